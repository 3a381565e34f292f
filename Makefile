# Needs python3 with pip, and make. Everything else goes into .uv and .venv inside this folder.
PYTHON ?= python3
# Test processes (pytest-xdist). 0 = one process, which PyTensor and Numba compile for once.
WORKERS ?= 2
# Further arguments of `make demo`, `make test`, `test-long` and `test-slow`, e.g. ARGS="-k panel".
ARGS ?=

# Address at which the documentation will stand, e.g. SITE=https://example.org/bdfm; gives it a sitemap.
SITE ?=

# PyTorch, which is not in the lock.
TORCH_VERSION ?= 2.15.0
TORCH_BACKEND ?= cpu

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Tests run many commands: each would compile the package's source anew where bytecode is not to be written.
unexport PYTHONDONTWRITEBYTECODE
# Named, because ruff would walk through .uv where there is no git to say what is ignored.
CODE := $(wildcard bdfm tests scripts notebooks docs)
# A uv on PATH that does not run (a version manager's shim, say) counts as none.
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv)
ifeq ($(UV),)
UV_MADE := .uv/bin/uv
UV := $(UV_MADE)
endif

.PHONY: demo test test-long test-slow lint format lock torch coverage audit notebooks docs clean help

demo: $(STAMP) ## forecast the included data; results in bdfm-demo/
	$(BIN)/bdfm demo $(ARGS)

test: $(STAMP) ## fast tests (WORKERS=0 for one process, ARGS="-k panel" for some)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-long: $(STAMP) ## whole jobs and further cases, which the fast tests leave out
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "long and not slow" -n $(WORKERS) --dist worksteal $(ARGS)

test-slow: $(STAMP) ## long statistical checks
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow -n $(WORKERS) --dist worksteal $(ARGS)

lint: $(STAMP) ## ruff and mypy, changing nothing
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy bdfm

format: $(STAMP) ## ruff: mend what it can, then format
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

# torch is left out: on Linux the package index has only wheels with GPU libraries, and the CPU's are on an
# index of PyTorch's own, for which a lock would have to name an address.
# One lock for Linux, macOS and Windows and for every supported Python. Pins that still fit are kept;
# delete requirements.lock first to renew all. The grep refuses options and addresses of one machine.
lock: | $(UV_MADE) ## write requirements.lock again from pyproject.toml
	echo torch | $(UV) pip compile pyproject.toml --universal --python-version 3.12 --all-extras --group dev --group docs \
	  --excludes /dev/stdin --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet -o requirements.lock
	@! grep -nE '://|^-| @ ' requirements.lock || { echo "requirements.lock: the lines above name an address or an option"; exit 1; }

# Tests that need torch run once it is here, and are skipped before. The CPU build is 0.2 GB; where its index
# cannot be reached, `make torch TORCH_BACKEND=` takes the wheel of the package index, 3 GB on Linux.
torch: $(STAMP) ## add PyTorch (CPU) for the FactorVAE
	@$(UV) pip install --compile-bytecode --python $(BIN)/python $(if $(TORCH_BACKEND),--torch-backend $(TORCH_BACKEND)) \
	  --constraints requirements.lock 'torch==$(TORCH_VERSION)' || { \
	  echo "Is PyTorch's own index out of reach? make torch TORCH_BACKEND= takes the package index: 3 GB on Linux"; exit 1; }

# pytest-cov is not locked: nothing else needs it. What Numba compiles runs unseen, and is left out.
coverage: $(STAMP) ## lines of the package that the fast tests run; pages in htmlcov/
	@$(UV) pip install --quiet --python $(BIN)/python --constraints requirements.lock 'pytest-cov>=7'
	OMP_NUM_THREADS=1 COVERAGE_CORE=sysmon $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal \
	  --cov=bdfm --cov-report=term:skip-covered --cov-report=html $(ARGS)

audit: $(STAMP) ## vulnerabilities of locked versions, doubts about the code, licences; see SECURITY.md
	$(BIN)/python scripts/audit.py

notebooks: $(STAMP) ## run the notebooks and keep their output
	$(BIN)/python scripts/docs/notebooks.py

# -a writes every page: the sidebar of each names headings of the others.
docs: $(STAMP) ## build the documentation into docs/_build/html; no network, warnings are errors
	$(BIN)/sphinx-build -W --keep-going -q -a -b html $(if $(SITE),-D html_baseurl=$(SITE)) -d docs/_build/doctrees docs docs/_build/html

clean: ## remove caches and outputs; the environment (.venv, .uv) stays
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov dist bdfm-demo bdfm-out docs/_build docs/notebooks docs/reference/generated
	find . \( -path ./$(VENV) -o -path ./.uv -o -path ./.git \) -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "make %-10s %s\n", $$1, $$2}'

# --target needs no virtual environment and is allowed where the system's Python is externally managed.
# From /, so that a version manager does not read .python-version and stop because it lacks that version.
.uv/bin/uv:
	@echo "uv is not on PATH: installing it into .uv (once)"
	@cd / && PIP_USER=0 $(PYTHON) -m pip install --quiet --disable-pip-version-check --upgrade \
	  --target '$(CURDIR)/.uv' 'uv>=0.7'

# .python-version names the Python the lock is tested with; uv takes one that is installed or fetches it.
$(STAMP): requirements.lock pyproject.toml .python-version | $(UV_MADE)
	@$(BIN)/python -c '' 2>/dev/null || { rm -rf $(VENV) && $(UV) venv --quiet $(VENV); } || { \
	  echo "No Python $$(cat .python-version) here and none could be fetched: looking for any from 3.12 to 3.14"; \
	  $(UV) venv --quiet --no-python-downloads --python '>=3.12,<3.15' $(VENV); }
	@echo "Installing the locked packages into $(VENV) (once; with an empty download cache this takes minutes)"
	@$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.lock
	@$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps -e .
	@touch $@
