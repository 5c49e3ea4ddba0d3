# Everything from a fresh clone with nothing but Python 3.11+ and make; uv is used where it is installed.
PYTHON ?= python3
export LEDGER_HOME ?= $(CURDIR)/.ledger
bin := .venv/bin

.PHONY: help demo test coverage lint docs site bench bench-quality chaos up clean

help:  ## Say what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */\1\t/' | expand -t 15

demo: .venv/ready  ## Search the SVM's parameters: 3 iterations of 2 points on 2 workers
	$(bin)/ledger run --model svm --iterations 3 --batch-size 2 --workers 2 --seed 42

# in the order of their names, files of few and long tests do not come last, on one process
test: .venv/ready  ## Run every test that this machine can run
	$(bin)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

coverage: .venv/ready  ## Run every test and say which lines none reached
	$(bin)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder --cov --cov-report=term

lint: .venv/ready  ## Check style, types and import rules
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	$(bin)/lint-imports

docs: .venv/ready  ## Write docs/reference/ anew, of the commands and the schema
	$(bin)/python docs/reference.py

site: .venv/site  ## Build the documentation site in build/site, and look at every page at phone width
	$(bin)/python docs/site/build.py
	$(bin)/pytest --quiet tests/site.py

bench: .venv/bench  ## Measure speed beside the peers, half an hour; writes benchmarks/RESULTS.md
	$(bin)/python -m benchmarks $(SECTIONS)

bench-quality: .venv/bench  ## Measure what searches find beside the peers, hours; interrupt it as you like: JOBS=2
	$(bin)/python -m benchmarks.quality $(if $(JOBS),--jobs $(JOBS))

chaos: .venv/ready  ## Carry a study on while everything fails: SECONDS=180 SEED=1 WORKERS=8 TRIALS=400 MODEL=rugged
	$(bin)/python -m tests.chaos --seconds $(or $(SECONDS),180) --seed $(or $(SEED),1) --workers $(or $(WORKERS),8) \
	  --trials $(or $(TRIALS),400) --model $(or $(MODEL),rugged) $(if $(OUTPUT),--output $(OUTPUT))

up:  ## The same search in containers, on 4 workers
	docker compose up --build --scale worker=4

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is %d.%d; try make PYTHON=python3.13" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@if command -v uv >/dev/null; then \
	  uv venv --quiet --allow-existing --python $(PYTHON) .venv && \
	  uv pip install --quiet --python $(bin)/python --constraint constraints.txt --editable '.[dev]'; \
	else \
	  $(PYTHON) -m venv .venv && \
	  $(bin)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'; \
	fi
	@touch $@

.venv/bench: .venv/ready
	@if command -v uv >/dev/null; then \
	  uv pip install --quiet --python $(bin)/python --constraint constraints.txt --editable '.[dev,bench]'; \
	else \
	  $(bin)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'; \
	fi
	@touch $@

.venv/site: .venv/ready
	@if command -v uv >/dev/null; then \
	  uv pip install --quiet --python $(bin)/python --constraint constraints.txt --editable '.[dev,site]'; \
	else \
	  $(bin)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,site]'; \
	fi
	@touch $@

clean:  ## Remove what this Makefile made, except the ledger's data
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage* build dist *.egg-info

.PHONY: release-check
release-check:  ## Build the wheel, and run searches with it in an empty environment
	PYTHON=$(PYTHON) .ci/release-check
