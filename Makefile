# prelabel on one machine. Needs CPython 3.11, make and a C++ compiler; everything else is installed here.
PYTHON ?= $(shell for python in python3.11 python3 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' >/dev/null 2>&1 && echo "$$python" && break; done)
BIN := .venv/bin

.PHONY: help demo up down test check check-containers format test-slow test-containers python environment test-environment

help: ## this list
	@grep -E '^[a-z.-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

demo: environment ## start everything with two sample projects; Ctrl-C stops it
	@$(BIN)/prelabel up --demo $(ARGS)

up: environment ## start everything without samples
	@$(BIN)/prelabel up $(ARGS)

down: ## stop what `make demo` or `make up` started
	@$(BIN)/prelabel down

test: check ## format, lint, types, import contracts, then all tests but slow and containers
	$(BIN)/python -m pytest -m "not slow and not containers" --numprocesses 2 --dist loadfile $(ARGS)

check: test-environment check-containers ## format, lint, types, import contracts, Dockerfile and compose file
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check-containers: test-environment
	@containers/check.sh $(BIN)

format: test-environment ## write the code as `check` wants it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test-slow: test-environment ## the tests that compute for minutes
	$(BIN)/python -m pytest -m slow $(ARGS)

test-containers: test-environment ## build the images, bring the stack up on a container engine, kill its parts; an hour or so
	@containers/prepare.sh
	$(BIN)/python -m pytest -m containers --exitfirst $(ARGS)

.env: ## what docker compose reads: the settings of .env.example with new secrets
	@umask 077 && containers/secrets.sh > .env.new && mv .env.new .env

environment: python
	@$(PYTHON) -m backend.supervisor.bootstrap run

test-environment: python
	@$(PYTHON) -m backend.supervisor.bootstrap test

python:
	@test -n "$(PYTHON)" || { echo 'prelabel needs CPython 3.11, and none is on PATH: install it (Debian, Ubuntu:' \
		'python3.11 python3.11-venv; macOS: brew install python@3.11) or name it: make demo PYTHON=/path/to/python3.11' >&2; exit 2; }
