# make up      a running cluster (sets up what is missing first)        make down    end it
# make setup   only install: the command is then .venv/bin/tiffin       make test    every test
# make lint    style, types, imports                                    make bench   the figures of docs/performance.md
# make up ARGS="--nodes 3"   hands options to tiffin up

TIFFIN := .venv/bin/tiffin
PYTHON := .venv/bin/python
ARGS ?=

.PHONY: help setup setup-dev up down test test-fast test-node test-e2e lint bench

help:
	@sed -n 's/^# //p' Makefile

setup:
	@scripts/setup

setup-dev:
	@scripts/setup dev

up: setup
	@$(TIFFIN) up $(ARGS)

down:
	@$(TIFFIN) down $(ARGS)

test: test-fast test-node test-e2e

test-fast: setup-dev
	$(PYTHON) -m pytest -m "not node" --ignore tests/e2e -n auto --dist loadfile

test-node: setup-dev
	$(PYTHON) -m pytest -m node --ignore tests/e2e

test-e2e: setup-dev
	$(PYTHON) -m pytest tests/e2e

lint: setup-dev
	.venv/bin/ruff check
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: setup-dev
	$(PYTHON) -m bench
