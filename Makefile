# All commands for developers. Only Python 3.10 to 3.14 and make are needed beforehand.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
EXTRAS ?= dev
DOCS := nautobot_pve_ipam/docs
HTML := $(DOCS)/index.html
# Two processes, each with servers and a database of its own. For one: make test ARGS='-n 0'.
IN_PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder
PYTEST := $(BIN)/python -m pytest $(IN_PARALLEL)
CONSTRAINTS := development/constraints.txt
# Python compiles what is imported, when it is; most of Nautobot's packages never are.
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint $(CONSTRAINTS) --editable

.PHONY: help install install-mariadb constraints demo demo-up demo-down demo-check \
  test test-mariadb test-matrix test-nightly bench bench-quick docs screenshots lint deb test-perl lint-perl ci

help:
	@echo "make demo         a Nautobot with a small PVE network, until Ctrl-C"
	@echo "make demo-up      the same in the background; .demo/env has its URL; make demo-down stops it"
	@echo "make demo-check   starts it, compares five allocated addresses with the expected ones, stops it"
	@echo "make test         all tests (ARGS='-k mac' for some)"
	@echo "make test-mariadb the tests on MariaDB (apt-get install mariadb-server libmariadb-dev gcc pkg-config)"
	@echo "make test-matrix  the tests on the oldest and the newest Nautobot, on several Pythons; a table at the end"
	@echo "make test-nightly all three, the tests in their long form"
	@echo "make bench        a comparison with Nautobot core; make bench-quick for a first look"
	@echo "make docs         the App's documentation, as HTML; part of make install, too"
	@echo "make screenshots  the documentation's pictures of the pages, taken by the browser tests"
	@echo "make lint         ruff, mypy, and import-linter: which room may import which"
	@echo "make constraints  the newest versions of all dependencies, into $(CONSTRAINTS)"
	@echo "make ci           everything that CI checks, in a fresh virtual environment"
	@echo "make deb          the Debian package for PVE nodes; make test-perl, make lint-perl: its plugin alone"

install: $(READY) $(HTML)

install-mariadb: $(READY)
	$(INSTALL) '.[mariadb]'

constraints:
	@$(PYTHON) -m development.constraints

demo: $(READY) $(HTML)
	@$(BIN)/python -m development.demo run

demo-up demo-down demo-check: demo-%: $(READY) $(HTML)
	@$(BIN)/python -m development.demo $*

test: $(READY) $(HTML)
	$(PYTEST) $(ARGS)

test-mariadb: install-mariadb $(HTML)
	NAUTOBOT_PVE_IPAM_SERVER=mariadb $(PYTEST) $(ARGS)

test-matrix:
	@$(PYTHON) -m development.matrix $(IN_PARALLEL) $(ARGS)

test-nightly: $(READY) $(HTML)
	NAUTOBOT_PVE_IPAM_NIGHTLY=1 $(PYTEST) --cov --cov-fail-under=50 $(ARGS)
	$(MAKE) test-mariadb
	$(MAKE) test-matrix

bench: $(READY)
	$(BIN)/python -m benchmarks $(ARGS)

bench-quick: $(READY)
	$(BIN)/python -m benchmarks --quick $(ARGS)

docs: $(HTML)

# not in Git; one run renders all pages
$(HTML): development/docs.py $(shell find $(DOCS) -name '*.md') | $(READY)
	@$(BIN)/python -m development.docs

screenshots: $(READY)
	CI=true NAUTOBOT_PVE_IPAM_SCREENSHOTS=nautobot_pve_ipam/docs/images $(BIN)/python -m pytest tests/browser -k everybody

ci:
	CI=true bash .ci/run

deb test-perl lint-perl:
	$(MAKE) -C pve $@

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy nautobot_pve_ipam pve/pve_nautobot

$(READY): pyproject.toml $(CONSTRAINTS) pve/pve_nautobot/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null || \
	  { echo "This needs Python 3.10 to 3.14: $(PYTHON) is not one of them; name another with make PYTHON=python3.12."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "Python's venv module is missing: install the package python3-venv (apt-get install python3-venv)."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) '.[$(EXTRAS)]'
	@touch $@
