# Everything a developer runs. Python 3.10 to 3.14 and make are all that must be there before.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
CONSTRAINTS := development/constraints.txt
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) --editable

.PHONY: help install install-mariadb constraints demo demo-up demo-down demo-check \
  test test-mariadb test-matrix test-nightly bench bench-quick docs screenshots lint deb test-perl lint-perl

help:
	@echo "make demo         a Nautobot with a small PVE network, until Ctrl-C"
	@echo "make demo-up      the same in the background; .demo/env tells where; make demo-down stops it"
	@echo "make demo-check   starts it, compares five allocated addresses with the expected ones, stops it"
	@echo "make test         all tests (ARGS='-k mac' for some)"
	@echo "make test-mariadb the tests on MariaDB (apt-get install mariadb-server libmariadb-dev gcc pkg-config)"
	@echo "make test-matrix  the tests on the oldest and the newest Nautobot, on several Pythons; a table at the end"
	@echo "make test-nightly all of these, the tests in their long form"
	@echo "make bench        side by side with Nautobot core; make bench-quick for a first look"
	@echo "make docs         the App's documentation, from nautobot_pve_ipam/docs/*.md to the HTML beside it"
	@echo "make screenshots  the documentation's pictures of the pages, taken by the browser tests"
	@echo "make lint         ruff, mypy"
	@echo "make constraints  the newest versions of what is installed here, into $(CONSTRAINTS)"
	@echo "make deb          the Debian package for PVE nodes; make test-perl, make lint-perl: its plugin alone"

install: $(READY)

install-mariadb: $(READY)
	$(INSTALL) '.[mariadb]'

constraints:
	@$(PYTHON) -m development.constraints

demo: $(READY)
	@$(BIN)/python -m development.demo run

demo-up demo-down demo-check: demo-%: $(READY)
	@$(BIN)/python -m development.demo $*

test: $(READY)
	$(BIN)/python -m pytest $(ARGS)

test-mariadb: install-mariadb
	NAUTOBOT_PVE_IPAM_SERVER=mariadb $(BIN)/python -m pytest $(ARGS)

test-matrix:
	@$(PYTHON) -m development.matrix $(ARGS)

test-nightly: $(READY)
	NAUTOBOT_PVE_IPAM_NIGHTLY=1 $(BIN)/python -m pytest $(ARGS)
	$(MAKE) test-mariadb
	$(MAKE) test-matrix

bench: $(READY)
	$(BIN)/python -m benchmarks $(ARGS)

bench-quick: $(READY)
	$(BIN)/python -m benchmarks --quick $(ARGS)

docs: $(READY)
	@$(BIN)/python -m development.docs

screenshots: $(READY)
	CI=true NAUTOBOT_PVE_IPAM_SCREENSHOTS=nautobot_pve_ipam/docs/images $(BIN)/python -m pytest tests/browser -k everybody

deb test-perl lint-perl:
	$(MAKE) -C pve $@

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict nautobot_pve_ipam/free_addresses.py nautobot_pve_ipam/errors.py pve/pve_nautobot

$(READY): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null || \
	  { echo "This needs Python 3.10 to 3.14: $(PYTHON) is not one of them; name another with make PYTHON=python3.12."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "Python's venv module is missing: install the package python3-venv (apt-get install python3-venv)."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) '.[dev]'
	@touch $@
