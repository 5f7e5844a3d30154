# Two commands are enough: `make run` and `make test`. Both set up what is missing first.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
CDP := $(VENV)/bin/cdp
PEOPLE ?= 5000
NIGHTS ?= 3
SEED ?= 7
MONTHS ?= 6
BANK := examples/bank
RUFF := $(VENV)/bin/ruff
# Compiled modules are kept, whatever the shell says: tests start hundreds of processes.
export PYTHONDONTWRITEBYTECODE :=
FAST := -m "not slow and not cluster" -n 2 --dist loadgroup --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup run test test-slow test-cluster coverage check audit release bench docs clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS=$$'\t' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

setup: $(VENV)/.ready ## make the environment in .venv and, where there is Java, fetch Delta's JARs; .venv/bin/cdp is the command

run: $(VENV)/.ready ## simulate a bank and run its nights, from files to audiences; ENGINE=spark runs them once more by Spark and compares
	@$(CDP) demo --workspace $(BANK) --people $(PEOPLE) --nights $(NIGHTS) --seed $(SEED) --history-months $(MONTHS) $(if $(ENGINE),--engine $(ENGINE))

test: $(VENV)/.ready-dev ## run the tests (five minutes on two cores)
	$(VENV)/bin/python -m pytest $(FAST)

test-slow: $(VENV)/.ready-dev ## run the slow tests, end to end
	$(VENV)/bin/python -m pytest -m slow -n 2 --dist loadgroup

test-cluster: $(VENV)/.ready-dev ## run the tests of a cluster, a master and two workers on this machine; an hour
	$(VENV)/bin/python -m pytest -m cluster

coverage: $(VENV)/.ready-dev ## run the tests of make test with coverage, which has a floor; measuring doubles their time
	$(VENV)/bin/python -m pytest $(FAST) --cov --cov-report=
	$(VENV)/bin/coverage report --format=total

check: $(VENV)/.ready-dev ## run the linters and the type checker
	$(RUFF) check .
	$(RUFF) format --check .
	$(VENV)/bin/mypy

audit: $(VENV)/.ready-dev ## hold the pins against known faults; exit 2 where the source of advisories does not answer
	$(VENV)/bin/python -m release.audit

release: $(VENV)/.ready-dev ## write the wheel, its bill of materials, the lock file and their sums into dist
	$(VENV)/bin/python -m release dist

bench: $(VENV)/.ready-bench ## measure speed and quality against alternatives; results in benchmarks/results
	$(VENV)/bin/python -m benchmarks

docs: $(VENV)/.ready ## regenerate reference pages, dbt sources and the compiled dbt project
	$(VENV)/bin/python -m jobs.report.generate

clean: ## remove what runs have made; the environment and the JARs stay
	rm -rf $(BANK)/{lake,inbox,truth,reports,published,.cdp} examples/berka/{lake,reports,published,.cdp}
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis spark-warehouse logs

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: name one with make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: requirements.txt pyproject.toml lakehouse/session/jars.sha256 | $(VENV)/bin/python
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --config-settings editable_mode=compat -e .
	@if java -version >/dev/null 2>&1; then $(CDP) jars fetch; else echo "There is no Java: the engine duckdb needs none; for Spark install one and run $(CDP) jars fetch"; fi
	@touch $@

$(VENV)/.ready-dev: requirements-dev.txt $(VENV)/.ready
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

# What the product is compared with is not needed to test it.
$(VENV)/.ready-bench: pyproject.toml $(VENV)/.ready-dev
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-build-isolation --config-settings editable_mode=compat -e '.[fuzzy]'
	@touch $@
