# Two commands on a fresh machine: `make train`, `make test`. Everything is installed into .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help install train test test-long check constraints clean

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
	@$(BIN)/python -c 'from clipper.engines.cpu import compile_kernels; compile_kernels()'
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	@echo "Installing what the tests need …"
	@$(PIP) install --constraint constraints.txt --editable '.[mujoco,box2d,play]' $$($(BIN)/python tools/dependency_group.py test)
	@touch $@

install: $(VENV)/installed ## Install Clipper into .venv

train: install ## Train PPO on CartPole until it is solved, and draw its curve
	@$(BIN)/clipper train cartpole --until-solved

test: $(VENV)/installed-test ## Install what tests need, and run them
	@$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest -m "not long"

test-long: $(VENV)/installed-test ## Run all tests with full counts
	$(BIN)/python -m pytest

check: $(VENV)/installed-test ## Style, types and import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

constraints: $(VENV)/installed-test ## Write the installed versions to constraints.txt
	@head -1 constraints.txt > constraints.new
	@$(PIP) freeze --exclude-editable | sed 's/^torch==\([0-9.]*\).*/torch==\1/' >> constraints.new
	@mv constraints.new constraints.txt

clean: ## Remove the virtual environment
	rm -rf $(VENV)
