# make train  sets up .venv and trains configs/hidden_layer.yaml
# make test   sets up .venv and runs the tests
# make check  the linters and type checks
# make lock   renews requirements.lock from what is installed in .venv

PYTHON ?= $(firstword $(foreach v,3.11 3.12 3.13,$(shell command -v python$(v))) python3)
CONFIG ?= configs/hidden_layer.yaml
BIN := .venv/bin

.PHONY: train test check lock clean

train: .venv/.run
	$(BIN)/train $(CONFIG)

test: .venv/.dev
	$(BIN)/pytest -n auto

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock: .venv/.dev
	$(BIN)/pip freeze --exclude-editable | grep -v -i -E '^(pip|setuptools)==' > requirements.lock

# What running needs, and what developing needs on top; each is installed once a change.
.venv/.run: pyproject.toml requirements.lock | .venv
	$(BIN)/pip install --quiet --constraint requirements.lock --editable .
	@touch $@

.venv/.dev: .venv/.run
	$(BIN)/pip install --quiet --constraint requirements.lock --editable '.[dev]'
	@touch $@

.venv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; set PYTHON=…")'
	$(PYTHON) -m venv .venv

clean:
	rm -rf .venv
