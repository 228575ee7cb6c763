# Two commands on a fresh machine: `make train`, `make test`. Everything is installed into .venv, but for the libraries
# that `make parity` compares Clipper with: these have an environment of their own.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PEERS  := stable-baselines3==2.9.2 sb3-contrib==2.9.2 PyYAML
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help install train test test-long parity docs check constraints clean

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Clipper needs Python 3.11 or newer; say: make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Clipper into $(VENV) …"
	@# torch first and by itself: its exact pin keeps any other package from asking for another build.
	@$(PIP) install $(shell grep '^torch==' constraints.txt)
	@$(PIP) install --constraint constraints.txt --editable '.[play]'
	@echo "Compiling kernels, once …"
	@$(BIN)/python tools/compile_kernels.py
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	@echo "Installing what the tests need …"
	@$(PIP) install --constraint constraints.txt --editable '.[atari,mujoco,box2d,envpool,play,export]' $$($(BIN)/python tools/dependency_group.py test)
	@touch $@

install: $(VENV)/installed ## Install Clipper into .venv

train: install ## Train PPO on CartPole until it is solved, and draw its curve
	@$(BIN)/clipper train cartpole --until-solved

test: $(VENV)/installed-test ## Install what tests need, and run them
	@$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest -m "not long" -n auto --maxprocesses 8 --dist worksteal

test-long: $(VENV)/installed-test ## Run all tests with full counts
	$(BIN)/python -m pytest

$(VENV)-parity/installed: pyproject.toml constraints.txt
	@test -x $(VENV)-parity/bin/python || $(PYTHON) -m venv $(VENV)-parity
	@echo "Installing Clipper and the libraries that it is compared with into $(VENV)-parity …"
	@$(VENV)-parity/bin/pip --quiet install $(shell grep '^torch==' constraints.txt)
	@$(VENV)-parity/bin/pip --quiet install --constraint constraints.txt --editable . $(PEERS) beartype hypothesis pytest
	@$(VENV)-parity/bin/pip --quiet install --no-deps rl_zoo3==2.9.2 # for its hyperparams/ppo.yml
	@touch $@

parity: $(VENV)-parity/installed ## Compare single updates with Stable-Baselines3, sb3-contrib, CleanRL and Spinning Up
	$(VENV)-parity/bin/python -m pytest tests/parity

$(VENV)/installed-docs: $(VENV)/installed
	@echo "Installing what the documentation needs …"
	@$(PIP) install --constraint constraints.txt $$($(BIN)/python tools/dependency_group.py docs)
	@touch $@

docs: $(VENV)/installed-docs ## Build docs/en and docs/zh into build/docs
	@$(BIN)/python -m sphinx -q -W --keep-going -c docs -d build/doctrees/en docs/en build/docs/en
	@$(BIN)/python -m sphinx -q -W --keep-going -c docs -d build/doctrees/zh -t zh docs/zh build/docs/zh
	@echo "Written to build/docs/en/index.html and build/docs/zh/index.html"

check: $(VENV)/installed-test ## Style, types and import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

constraints: $(VENV)/installed-test $(VENV)/installed-docs ## Write the installed versions to constraints.txt
	@head -1 constraints.txt > constraints.new
	@$(PIP) freeze --exclude-editable | sed 's/^torch==\([0-9.]*\).*/torch==\1/' >> constraints.new
	@mv constraints.new constraints.txt

clean: ## Remove the virtual environment
	rm -rf $(VENV) $(VENV)-parity
