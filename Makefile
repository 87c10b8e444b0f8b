# Every target does its own set-up; a second call costs a fraction of a second.
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
.SILENT:
.PHONY: help setup services demo test check bench clean

help:
	grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: ## make the environment for tests and training
	infra/setup.sh .venv serve,train,dev

services: ## install what the tests need beside Python
	if [ -f infra/services.sh ]; then bash infra/services.sh install >&2; fi

demo: ## traffic, scoring and decisions on the screen; SECONDS=20 ends by itself
	infra/setup.sh .venv-run
	exec .venv-run/bin/fraud demo $(if $(filter command line,$(origin SECONDS)),--seconds $(SECONDS))

check: setup ## ruff, mypy, import contracts, size budget
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/python infra/checks/size_budget.py
	echo "checks passed"

test: setup services check ## everything that CI asks
	.venv/bin/python -m pytest

bench: setup ## cost of features and state; prints ratios
	.venv/bin/python -m tests.bench.state

clean: ## remove environments and builds
	rm -rf .venv .venv-run .uv build
