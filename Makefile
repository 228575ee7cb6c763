# Two commands on a fresh machine: `make train`, `make test`. Everything is installed into .venv, but for the libraries
# that `make parity` compares Clipper with: these have an environment of their own.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PEERS  := stable-baselines3==2.9.2 sb3-contrib==2.9.2 PyYAML
PIP    := -m pip --disable-pip-version-check --quiet

# Can the environment $(1) be used: does its Python run, has it pip, and was it made for this very folder?
usable = $(1)/bin/python tools/check_environment.py 2>/dev/null

# Make $(1), and make it anew where one lies there that cannot be used; one that only lacks pip is given it.
define environment
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Clipper needs Python 3.11 or newer; say: make PYTHON=python3.12 …")'
@$(call usable,$(1)) || $(1)/bin/python -m ensurepip --default-pip >/dev/null 2>&1 && $(call usable,$(1)) || { \
	if [ -e $(1) ] || [ -L $(1) ]; then echo "Making $(1) anew: what lies there does not run in this folder"; fi; \
	rm -rf $(1) && $(PYTHON) -m venv $(1); }
endef

# Say what is installed into $(1), do it with pip's arguments $(3), and say how long it took.
define install
@printf '%s' 'Installing $(2) into $(1) … '; began=$$(date +%s); \
	$(1)/bin/python $(PIP) install $(3) && echo "$$(($$(date +%s) - began)) s"
endef

COMMA  := ,
TORCH  := $(shell grep '^torch==' constraints.txt)
PINNED := --constraint constraints.txt

# Stamps of an environment that cannot be used say nothing.
$(foreach one,$(VENV) $(VENV)-parity $(VENV)-sb3 $(wildcard $(VENV)-floors/*),$(shell test ! -e $(one)/installed || $(call usable,$(one)) || rm -f $(one)/installed*))

.PHONY: help install train test test-long parity sb3-tests floors docs cases check constraints clean

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/installed: pyproject.toml constraints.txt
	$(call environment,$(VENV))
	@# torch first and by itself: its exact pin keeps any other package from asking for another build.
	$(call install,$(VENV),torch$(COMMA) the largest part$(COMMA),$(TORCH))
	$(call install,$(VENV),Clipper and what else it needs,$(PINNED) --editable '.[play]')
	@printf '%s' 'Compiling kernels, once … '; began=$$(date +%s); \
		$(BIN)/python tools/compile_kernels.py && echo "$$(($$(date +%s) - began)) s"
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(call install,$(VENV),what the tests need,$(PINNED) --editable '.[atari$(COMMA)mujoco$(COMMA)box2d$(COMMA)envpool$(COMMA)play$(COMMA)export$(COMMA)language$(COMMA)multiagent]' \
		$$($(BIN)/python tools/dependency_group.py test))
	@# Here, not in the first test that asks for them: each of the processes that share the tests would compile them.
	@$(BIN)/python tools/compile_kernels.py replayed
	@touch $@

install: $(VENV)/installed ## Install Clipper into .venv

train: install ## Train PPO on CartPole until it is solved, and draw its curve
	@$(BIN)/clipper train cartpole --until-solved

test: $(VENV)/installed-test ## Install what tests need, and run them
	@$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest -m "not long" -n auto --maxprocesses 8 --dist worksteal

test-long: $(VENV)/installed-test ## Run all tests with full counts
	CLIPPER_CHECK_ALL_CALLS=1 $(BIN)/python -m pytest

$(VENV)-parity/installed: pyproject.toml constraints.txt
	$(call environment,$(VENV)-parity)
	$(call install,$(VENV)-parity,torch$(COMMA) the largest part$(COMMA),$(TORCH))
	$(call install,$(VENV)-parity,Clipper and the libraries that it is compared with,$(PINNED) --editable . $(PEERS) beartype hypothesis pytest)
	@# for its hyperparams/ppo.yml
	$(call install,$(VENV)-parity,the settings of RL Baselines3 Zoo,--no-deps rl_zoo3==2.9.2)
	@touch $@

parity: $(VENV)-parity/installed ## Compare single updates with Stable-Baselines3, sb3-contrib, CleanRL and Spinning Up
	$(VENV)-parity/bin/python -m pytest tests/proofs/parity

$(VENV)-sb3/installed: pyproject.toml constraints.txt
	$(call environment,$(VENV)-sb3)
	$(call install,$(VENV)-sb3,torch$(COMMA) the largest part$(COMMA),$(TORCH))
	$(call install,$(VENV)-sb3,Clipper and what the tests of Stable-Baselines3 need,$(PINNED) --editable '.[atari$(COMMA)play]' \
		pandas tqdm rich tensorboard opencv-python-headless pytest)
	@touch $@

sb3-tests: $(VENV)-sb3/installed ## Run the own tests of Stable-Baselines3 and sb3-contrib over clipper.compat.sb3
	$(VENV)-sb3/bin/python tools/sb3_tests.py $(FILES)

# The lowest version of each requirement, which every Python may have another of; only wheels, so that no compiler is
# needed. torch alone stays at the version of constraints.txt: it is the largest part, and others come in other builds.
FLOORS      := 3.11 3.12 3.13
FLOOR_TESTS := tests/unit/runs/test_train.py::test_what_a_run_leaves tests/unit/storage/test_checkpoint.py tests/unit/runs/test_compare.py \
	$(addprefix tests/unit/cli/test_cli.py::test_,train_then_everything_else values_as_flags help_explains_every_field \
	a_wrong_flag_shows_the_right_one play_writes_a_video) tests/unit/networks/test_export.py

$(VENV)-floors/%/installed: pyproject.toml constraints.txt
	$(call environment,$(@D))
	$(call install,$(@D),torch$(COMMA) the largest part$(COMMA),$(TORCH) uv)
	@$(@D)/bin/uv pip install --quiet --python $(@D)/bin/python --resolution lowest-direct --only-binary :all: \
		--requirements pyproject.toml --all-extras $(TORCH) \
		$$($(@D)/bin/python tools/dependency_group.py test | tr ' ' '\n' | grep -E '^(beartype|hypothesis|pytest)>')
	$(call install,$(@D),Clipper,--no-deps --editable .)
	@touch $@

floors: ## Run a quick part of the tests with the lowest versions declared, torch as pinned, on each Python here
	@for version in $(FLOORS); do \
		python$$version -c '' 2>/dev/null || { echo "Python $$version is not here: left out"; continue; }; \
		$(MAKE) --no-print-directory PYTHON=python$$version $(VENV)-floors/$$version/installed && \
		$(VENV)-floors/$$version/bin/python -m pytest -m "not long" -W ignore::DeprecationWarning $(FLOOR_TESTS) || exit 1; \
	done

$(VENV)/installed-docs: $(VENV)/installed
	$(call install,$(VENV),what the documentation needs,$(PINNED) $$($(BIN)/python tools/dependency_group.py docs))
	@touch $@

docs: $(VENV)/installed-docs ## Build docs/en and docs/zh into build/docs
	@# All anew: a page that was read before gives its warnings no second time, and a page that is gone would stay.
	@rm -rf build/docs build/doctrees
	@$(BIN)/python -m sphinx -q -W --keep-going -c docs -d build/doctrees/en docs/en build/docs/en
	@$(BIN)/python -m sphinx -q -W --keep-going -c docs -d build/doctrees/zh -t zh docs/zh build/docs/zh
	@echo "Written to build/docs/en/index.html and build/docs/zh/index.html"

cases: $(VENV)/installed-test ## Run a folder of small inputs: make cases CASES=folder
	@$(BIN)/python tools/cases.py $(CASES)

check: $(VENV)/installed-test ## Style, types and import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

constraints: $(VENV)/installed-test $(VENV)/installed-docs ## Write the installed versions to constraints.txt
	@head -1 constraints.txt > constraints.new
	@$(BIN)/python $(PIP) freeze --exclude-editable | sed 's/^torch==\([0-9.]*\).*/torch==\1/' >> constraints.new
	@mv constraints.new constraints.txt

clean: ## Remove environments, built pages, packages and caches; runs/ stays, which is yours
	rm -rf $(VENV) $(VENV)-parity $(VENV)-sb3 $(VENV)-floors build dist src/*.egg-info MUJOCO_LOG.TXT
	rm -rf .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find benchmarks docs examples src tests tools -name '.?*' -prune -o -name __pycache__ -prune -exec rm -rf {} +
