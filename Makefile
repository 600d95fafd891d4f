PYTHON ?= python

.PHONY: check lint types test slow format

## check: everything a change must pass, in the order of cost
check: lint types test

lint:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types:
	$(PYTHON) -m mypy

## test: the fast tests; slow: those that train for minutes
test:
	$(PYTHON) -m pytest -m "not slow"

slow:
	$(PYTHON) -m pytest -m slow

## format: rewrites the code as `check` wants it
format:
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .
