# Everything from a fresh clone with Python 3.11 or newer and make. uv installs the packages where it exists, else pip.
PYTHON ?= python3
export LEDGER_HOME ?= $(CURDIR)/.ledger
# With this variable, each process would compile all the modules that it imports. The tests start thousands of processes.
unexport PYTHONDONTWRITEBYTECODE
bin := .venv/bin
# Tests of processes mostly wait, so four test processes keep two cores busy. One test process uses a given server,
# because roles belong to a whole server. Files start in the order of their names.
pytest := $(bin)/pytest --numprocesses $(if $(LEDGER_TEST_SERVER),1,4) --dist loadfile --no-loadscope-reorder

.PHONY: help demo unit test test-all campaigns explore fuzz coverage lint docs site bench bench-quality bench-stopping bench-public bench-earlier chaos attack up release-check clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */\1\t/' | expand -t 15

demo: .venv/installed  ## Run a small search: an SVM, 3 iterations of 2 trials on 2 workers
	$(bin)/ledger run --model svm --iterations 3 --batch-size 2 --workers 2 --seed 42

unit: .venv/ready  ## Run the tests that need no server, in under a minute
	$(bin)/pytest tests/unit --numprocesses 2 --dist worksteal

test: .venv/ready  ## Run the tests on an embedded server, or on the one of LEDGER_TEST_SERVER
	$(pytest)

test-all: .venv/ready  ## Run the tests that `make test` leaves out: containers, Compose, Keras, Lightning and slow ones
	@docker info >/dev/null 2>&1 || { echo "make test-all needs a Docker engine; make test does not" >&2; exit 1; }
	@$(MAKE) --no-print-directory .venv/frameworks
	$(pytest) -m "container or compose or slow"
	$(bin)/pytest tests/frameworks -m frameworks --numprocesses 2 --dist worksteal

campaigns: .venv/ready  ## Run the soak, the attack, and the same seed under faults for each model
	$(bin)/pytest -m campaign --numprocesses 2 --dist worksteal

explore: .venv/ready  ## Run the property tests with more examples, which differ from run to run
	$(pytest) -m "hypothesis and not container" --hypothesis-profile campaign

fuzz: .venv/fuzz  ## Fuzz the code that parses foreign bytes, on Linux: SECONDS=60 TARGETS="export table"
	$(bin)/python -m tests.attack.fuzz --seconds $(or $(SECONDS),60) $(TARGETS)

coverage: .venv/ready  ## Run `make test` and list the lines that no test reached
	$(pytest) --cov --cov-report=term

lint: .venv/ready  ## Check style, types, import rules and words
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	$(bin)/lint-imports
	$(bin)/codespell
	$(bin)/python -m tests.style

docs: .venv/ready  ## Write docs/reference/ from the commands and the schema
	$(bin)/python docs/reference.py

site: .venv/site  ## Build the documentation site in build/site, and look at every page at phone width
	$(bin)/python docs/site/build.py
	$(bin)/pytest --quiet tests/site.py

bench: .venv/bench  ## Measure speed beside other tools, in 40 minutes: SECTIONS="turnaround resume"
	$(bin)/python -m benchmarks $(SECTIONS)

bench-quality: .venv/bench  ## Measure what searches find beside other tools, in hours; can be interrupted: JOBS=2
	$(bin)/python -m benchmarks.quality $(if $(JOBS),--jobs $(JOBS))

bench-stopping: .venv/bench  ## Measure early stopping beside other tools, in days; can be interrupted: YAHPO=folder SEEDS=10 CONTESTANTS="ours-steady optuna-tpe"
	$(bin)/python -m benchmarks.stopping $(if $(YAHPO),--yahpo $(YAHPO)) $(if $(JOBS),--jobs $(JOBS)) $(if $(SEEDS),--seeds $(SEEDS)) \
	  $(if $(WORKERS),--workers $(WORKERS)) $(if $(TASKS),--tasks $(TASKS)) $(if $(CONTESTANTS),--contestants $(CONTESTANTS))

bench-public: .venv/bench  ## Measure what searches find on published problems, in hours; can be interrupted: YAHPO=folder JOBS=2 SEEDS=10 EVALUATIONS=60 BATCH=4 METHODS="ours-study optuna-gp"
	$(bin)/python -m benchmarks.public $(if $(YAHPO),--yahpo $(YAHPO)) $(if $(JOBS),--jobs $(JOBS)) $(if $(SEEDS),--seeds $(SEEDS)) \
	  $(if $(EVALUATIONS),--evaluations $(EVALUATIONS)) $(if $(BATCH),--batch $(BATCH)) $(if $(METHODS),--methods $(METHODS))

bench-earlier: .venv/bench  ## Measure claims and results beside an earlier commit, in 4 minutes: COMMIT=HEAD~10
	$(bin)/python -m benchmarks.earlier $(or $(COMMIT),HEAD~1)

chaos: .venv/ready  ## Run a study under faults: SECONDS=180 SEED=1 WORKERS=8 TRIALS=400 RULE=halving MODE=steady
	$(bin)/python -m tests.chaos --seconds $(or $(SECONDS),180) --seed $(or $(SEED),1) --workers $(or $(WORKERS),8) \
	  --trials $(or $(TRIALS),400) --model $(or $(MODEL),rugged) --rule $(or $(RULE),median) --mode $(or $(MODE),batch) $(if $(OUTPUT),--output $(OUTPUT))

attack: .venv/ready  ## Attack a ledger while a study runs: SECONDS=180 SEED=1
	$(bin)/python -m tests.attack --seconds $(or $(SECONDS),180) --seed $(or $(SEED),1) $(if $(OUTPUT),--output $(OUTPUT))

up:  ## Run a search in containers, on 4 workers
	docker compose up --build --scale worker=4

release-check:  ## Build the wheel, and run searches with it in an empty environment
	PYTHON=$(PYTHON) .ci/release-check

clean:  ## Remove what this Makefile made, except the ledger's data
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage* build dist *.egg-info

# `make demo` needs only what `pip install trial-ledger` installs; the other targets need the tools of development too.
.venv/installed: pyproject.toml constraints.txt
	$(call install,.,what a search needs)
	@touch $@

.venv/ready: pyproject.toml constraints.txt
	$(call install,.[dev],what a search and the tests need)
	@touch .venv/installed $@

.venv/bench: .venv/ready
	$(call install,.[dev$(comma)bench],what the benchmarks need)
	@touch $@

.venv/frameworks: .venv/ready
	$(call install,.[dev$(comma)frameworks],what trainings with Keras and Lightning need)
	@touch $@

.venv/fuzz: .venv/ready
	$(call install,.[dev$(comma)fuzz],what the fuzzer needs)
	@touch $@

.venv/site: .venv/ready
	$(call install,.[dev$(comma)site],what the documentation site needs)
	@touch $@

comma := ,
# Without --no-compile, pip would compile every module of every package; Python compiles those that are imported.
define install
@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is %d.%d; try make PYTHON=python3.13" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
@echo "Installing $(2) into .venv; this downloads packages and takes about a minute"
@if command -v uv >/dev/null; then \
  uv venv --quiet --allow-existing --python $(PYTHON) .venv && \
  uv pip install --quiet --python $(bin)/python --constraint constraints.txt --editable '$(1)'; \
else \
  $(PYTHON) -m venv .venv && \
  $(bin)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '$(1)'; \
fi
endef
