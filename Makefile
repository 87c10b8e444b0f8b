# Every target does its own set-up; a second call costs a fraction of a second.
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
.SILENT:
.PHONY: help setup services demo test check bench overload bench-state bench-console bench-network learn-bench refresh-bench parity kills faults selftest fuzz soak clean
N ?= 10
# LIBRARY=confluent: workers and label book of bench, parity, kills, faults, fuzz and soak on the fast client
ifdef LIBRARY
export FRAUD_KAFKA__LIBRARY := $(LIBRARY)
endif

help:
	grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: ## make the environment for tests and training
	infra/setup.sh .venv serve,train,network,online,signing,console,postgres,bench,dev

services: ## install Kafka and Redis for tests; nothing is started
	infra/services.sh install >&2

demo: ## traffic, scoring and decisions on the screen; SECONDS=20 ends by itself
	infra/setup.sh .venv-run onnx,online,console
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

bench: setup services ## load test beside the bare pass-through, both clients, an hour; BENCH=--help tells how; writes build/bench.json
	.venv/bin/python -m tests.bench.live.load $(if $(MODEL),--model $(MODEL)) $(if $(LIBRARY),--library $(LIBRARY)) $(BENCH)

overload: setup services ## 3x the highest rate, then half of it: levels, marks, lost, backlog; RATE=N where it is known
	.venv/bin/python -m tests.bench.overload $(if $(MODEL),--model $(MODEL)) $(if $(RATE),--rate $(RATE))

bench-state: setup ## cost of an event by cards and histories, bytes of state
	.venv/bin/python -m tests.bench.state

bench-console: setup services ## the console on 1,000,000 alerts in both databases, its pages; CONSOLE=--help tells how
	.venv/bin/python -m tests.bench.console $(CONSOLE)

bench-network: setup ## forward pass, attention by length, scaling of histories
	.venv/bin/python -m tests.bench.forward
	.venv/bin/python -m tests.bench.attention
	.venv/bin/python -m tests.bench.scaling

learn-bench: setup ## learning from late labels on a replayed stream: gain, guard, poison, cost; LEARN=--help tells how
	.venv/bin/python -m tests.bench.learning $(LEARN)

refresh-bench: setup services ## learning on Kafka: label to live parameters, time of a step, p99 with refreshes against without
	.venv/bin/python -m tests.bench.learning.live $(REFRESH)

parity: setup services ## a recorded live run against its replay; DATA=FILE takes the handbook's payments, REFRESHES=1 changes parameters
	.venv/bin/python -m tests.parity.live $(if $(DATA),--data $(DATA)) $(if $(ROWS),--rows $(ROWS)) $(if $(MODEL),--model $(MODEL)) $(if $(REFRESHES),--refreshes)

kills: setup services ## kill -9 at random under load, N=10 times; STANDBY=1 warm standbys, CLUSTER=1 Redis Cluster, LEARN=1 refreshes, CONSOLE=1 the console
	.venv/bin/python -m tests.crash.$(if $(CONSOLE),console,$(if $(LEARN),learner,kills)) $(N) $(if $(STANDBY),--standby) $(if $(CLUSTER),--cluster) $(if $(MODEL),--model $(MODEL))

faults: setup services ## Redis killed, cut, gone, hung, an older copy; cut lines; Kafka restarted; topic made anew; commits refused; zombies; a death
	.venv/bin/python -m tests.crash.faults $(FAULTS)

selftest: setup services ## faults put into a copy, one at a time: does a crash test catch each? FAULT="..." some of them
	.venv/bin/python -m tests.crash.selftest $(FAULT)

fuzz: setup services ## 10,000 broken messages among good ones
	.venv/bin/python -m tests.crash.fuzz

soak: setup services ## half an hour at 500/s with the blend: memory, p99.9, rewrites; RATE, SECONDS, MODEL
	.venv/bin/python -m tests.bench.live.soak $(if $(RATE),--rate $(RATE)) $(if $(filter command line,$(origin SECONDS)),--seconds $(SECONDS)) $(if $(MODEL),--model $(MODEL))

clean: ## remove environments and builds
	rm -rf .venv .venv-run .uv build
