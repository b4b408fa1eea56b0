# Everything here needs python3 (3.11 or newer), make and git, and brings the rest by itself.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
PROCESSES ?= 4# of tests: most wait for a server or a process of their own more than they compute
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
INSTALL := $(PIP) install --require-hashes --only-binary :all:

# A stamp is named after what it was made from, so that a fresh checkout's file times mean nothing.
digest = $(firstword $(shell cat $(1) | cksum))
LOCKED := $(VENV)/.locked-$(call digest,requirements/dev.txt)
INSTALLED := $(VENV)/.installed-$(firstword $(shell sed -n '/^\[build-system\]/,/^\[dependency-groups\]/p' pyproject.toml | cksum))
BENCH_VENV := .cache/bench-venv
BENCH_LOCKED := $(BENCH_VENV)/.locked-$(call digest,requirements/bench.txt)

##@ Use

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(INSTALLED) ## Run the shop on the embedded default; on real servers with KAFKA=host:port DATABASE=postgresql://…; or EXAMPLE=waits
	@$(if $(KAFKA),AMENDS_BUS=kafka://$(KAFKA)) $(if $(DATABASE),AMENDS_STORE='$(DATABASE)') $(BIN)/amends demo $(or $(EXAMPLE),shop)

##@ Check

.PHONY: test
test: $(INSTALLED) ## Run all tests that this machine can; with ARGS='tests/unit -x' those; AMENDS_SERVERS=required fails on a skip
	@$(BIN)/python -m tests.servers fetch || echo 'Tests that need Kafka are not run.'
	@$(BIN)/pytest --numprocesses $(PROCESSES) --dist worksteal $(ARGS)

.PHONY: simulate
simulate: $(INSTALLED) ## Play random sagas in a world full of faults against the invariants: SEED=0 COUNT=20000
	@AMENDS_SIMULATE_SEED=$(or $(SEED),0) AMENDS_SIMULATE=$(or $(COUNT),20000) $(BIN)/pytest tests/simulation -k keeps

.PHONY: lint
lint: $(INSTALLED) ## Look at the code without running it: ruff, mypy, pyright, import contracts
	@failed=; for tool in 'ruff check .' 'ruff format --check .' 'mypy src tests .ci $(patsubst %/,%,$(dir $(firstword $(wildcard benchmarks/*.py))))' 'pyright tests/typing/*.py' lint-imports; do \
	  echo "-- $$tool"; $(BIN)/$$tool || failed+=" '$$tool'"; \
	done; [ -z "$$failed" ] || { echo "refused by$$failed"; exit 1; }

.PHONY: check
check: lint schemas docs packaging audit ## All that must hold beside the tests, as .ci/run runs it

.PHONY: schemas
schemas: $(INSTALLED) ## Write the committed schemas, Avro and JSON, again from the code; fail if that changed one
	@$(BIN)/python .ci/schemas.py

.PHONY: histories
histories: $(INSTALLED) ## Record the golden histories that are missing; NAMES="long parked" records those again
	@PYTHONPATH=. $(BIN)/python -m tests.replay.recording $(NAMES)

.PHONY: docs
docs: $(INSTALLED) ## Hold the documentation against the code: settings, commands, errors, events, examples
	@$(BIN)/pytest tests/test_docs.py

.PHONY: packaging
packaging: $(INSTALLED) ## Build the wheel and the sdist, install and import them elsewhere
	@$(BIN)/pytest tests/test_packaging.py tests/test_layers.py

.PHONY: audit
audit: $(INSTALLED) ## Look the locked dependencies up for known vulnerabilities, where an index can be reached
	@$(BIN)/python .ci/audit.py requirements/dev.txt requirements/bench.txt

.PHONY: bench
bench: $(INSTALLED) $(BENCH_LOCKED) ## Measure Amends beside its raw insert ceiling and DBOS; ARGS go to benchmarks
	@AMENDS_BENCH_PEER=$(abspath $(BENCH_VENV))/bin/python $(BIN)/python -m benchmarks $(ARGS)

##@ Servers

.PHONY: servers
servers: $(INSTALLED) ## Install Java, Kafka, PostgreSQL and kcat where missing, and start a Kafka and a PostgreSQL for you
	@$(BIN)/python -m tests.servers start

.PHONY: servers-install
servers-install: $(INSTALLED) ## Install them only: tests start servers of their own
	@$(BIN)/python -m tests.servers install

.PHONY: servers-stop
servers-stop: $(INSTALLED) ## Stop what `make servers` started, and remove its data
	@$(BIN)/python -m tests.servers stop

##@ Surroundings

.PHONY: venv
venv: $(INSTALLED) ## Make .venv from the lock (all other targets do that too, when the lock has changed)

.PHONY: lock
lock: $(INSTALLED) ## Pin all dependencies again in requirements/; LOCK=--upgrade takes the newest
	@.ci/lock $(LOCK)

.PHONY: changelog
changelog: $(INSTALLED) ## Gather the fragments of changes/ into CHANGELOG.md, under the version of pyproject.toml
	@$(BIN)/towncrier build --yes

.PHONY: clean
clean: ## Remove all that was made here, the environment and the servers' data included
	@if test -e .cache/servers.json; then $(BIN)/python -m tests.servers stop; fi
	@rm -rf .venv .cache .amends .amends-demo dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): $(LOCKED)
	@$(PIP) install --no-index --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.installed-* && touch $@

$(LOCKED):
	@$(call make_venv,$(VENV))
	@echo 'Installing requirements/dev.txt into $(VENV)'
	@$(INSTALL) --requirement requirements/dev.txt
	@touch $@

$(BENCH_LOCKED):
	@$(call make_venv,$(BENCH_VENV))
	@$(INSTALL:$(BIN)/%=$(BENCH_VENV)/bin/%) --requirement requirements/bench.txt
	@touch $@

define make_venv
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Amends needs Python 3.11 or newer, $(PYTHON) is {sys.version.split()[0]}: make PYTHON=python3.12")'
rm -rf $(1)
$(PYTHON) -m ensurepip --version >/dev/null 2>&1 || .ci/debian python3-venv
$(PYTHON) -m venv $(1)
endef
