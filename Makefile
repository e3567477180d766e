# `make demo` and `make test`, the two commands to start with, need git, make and python3-venv.
# The first target that needs a package installs it into .venv, checked against its hash.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
OLDEST := .venv-oldest
PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
CACHE  := .cache
SEEDS  ?= 30
FIRST  ?= 1
MINUTES ?= 60
# Three workers per two cores, because many tests wait for sessions to outlive their lifetime. Idle workers take
# tests from others, except where the tests of a file share an expensive setup.
WORKERS := --numprocesses $(shell echo $$(((3 * $$(nproc) + 1) / 2))) --dist
# Only the results of a whole hour are published.
SOAK   = $(if $(filter 60,$(MINUTES)),benchmarks/results,build/soak)

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-oldest check system hosts coverage storm durability fuzz mutants bench structure branches \
	contract diagram picture bench-check survive soak attack package sbom lock clean bundle install uninstall
.DELETE_ON_ERROR:

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.base ## Show update sessions that outlive their lifetime, half a minute, no vCenter needed
	@$(BIN)/clkeepalived demo

test: $(VENV)/.dev ## Run the tests of every rule and every part, about two and a half minutes
	@echo "Running the tests: about two and a half minutes on two idle cores. 'make test-all' also runs the slow ones."
	@$(BIN)/python -m pytest $(WORKERS) worksteal -m 'not system and not extended'

test-all: $(VENV)/.dev ## Run the tests of `make test` and the slow tests, about seven minutes
	@echo "Running all tests except 'make system': about seven minutes on two idle cores."
	@EXAMPLES_SHARE=1 $(BIN)/python -m pytest $(WORKERS) worksteal -m 'not system'

test-oldest: $(OLDEST)/.dev ## Run the tests of `make test` on the oldest releases that pyproject.toml allows
	@$(OLDEST)/bin/python -m pytest $(WORKERS) worksteal -m 'not system and not extended'

check: $(VENV)/.dev ## Check lint rules, format, types and layers
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "run 'ruff format' on these files:"; \
		$(BIN)/ruff format --check . | sed -n 's/^Would reformat: /  /p'; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

system: $(VENV)/.dev ## Run the tests against real peers (Debian: golang-go, golang-github-{vmware-govmomi,kr-pretty}-dev)
	@$(BIN)/python -m pytest $(WORKERS) loadfile -m 'system and not hosts' tests/system

hosts: $(VENV)/.dev ## Install, build and run it: under a separate systemd, in containers and pods (as root)
	@$(BIN)/python -m pytest -m hosts -s tests/system

coverage: $(VENV)/.dev ## Run `make test-all` without the storms under coverage, and check the limits
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest $(WORKERS) worksteal -m 'not system' --deselect tests/unit/test_storm.py
	@$(BIN)/coverage combine --quiet
	@echo "the pure core, every branch:"
	@$(BIN)/coverage report --skip-covered --include='keepalived/lease/*' --fail-under=100
	@echo "everything else:"
	@$(BIN)/coverage report --skip-covered --omit='keepalived/lease/*' --fail-under=95

storm: $(VENV)/.dev ## Run SEEDS (30) small and large fault storms instead of one small one, from seed FIRST (1)
	@STORM_SEEDS=$(SEEDS) STORM_FIRST_SEED=$(FIRST) $(BIN)/python -m pytest --numprocesses auto -k storm tests

durability: $(VENV)/.dev ## Kill the daemon KILLS (50) times under load, and check that nothing was lost
	@KILLS=$${KILLS:-50} $(BIN)/python -m pytest tests/integration/test_durability.py

fuzz: $(VENV)/.dev ## Test the parsers of foreign input with FUZZ_EXAMPLES (2000) examples per property
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-2000} $(BIN)/python -m pytest $(WORKERS) worksteal tests/fuzz \
		tests/integration/test_control_schema.py

contract: $(VENV)/.dev ## Print the public interfaces: commands, configuration, control API, metrics, events
	@$(BIN)/python -m tests.support.contract

diagram: $(VENV)/.dev ## Draw the imports between the rooms again (docs/rooms.svg)
	@$(BIN)/python -m tests.support.diagram

picture: $(VENV)/.dev ## Draw the summary of `make demo` again (docs/demo.svg)
	@$(BIN)/python -m tests.support.demo_picture

package: $(VENV)/.dev ## Build wheel and sdist twice, compare them, and test them after installation
	@PYTHON=$(BIN)/python .ci/package

sbom: $(VENV)/.proof ## List the contents of an installation, for machines (dist/) and for people (docs/licences.md)
	@mkdir -p dist
	@PYTHONWARNINGS=ignore $(BIN)/cyclonedx-py requirements requirements/base.txt --pyproject pyproject.toml \
		--output-reproducible --output-format JSON --output-file dist/clkeepalived.cdx.json
	@$(BIN)/python installer/licences.py requirements/base.txt >docs/licences.md

mutants: $(VENV)/.proof ## Change ROOM (all, or lease, keeper, store) in every place, and list the changes that no test detects
	@$(BIN)/python -m tests.support.mutants $(or $(ROOM),all)

structure: $(VENV)/.dev ## Count code lines, classes, repeated runs, and the functions entered on four main paths
	@$(BIN)/python -m benchmarks.structure

branches: $(VENV)/.dev ## Remove each branch of each event listener in turn, and check that a chain test fails
	@$(BIN)/python -m tests.support.branches

bench: MINUTES = 10
bench: $(VENV)/.proof ## Compare its cost with other tools: all, or ONLY=lane,idle; MINUTES (10) of real time each
	@$(BIN)/python -m benchmarks --only '$(or $(ONLY),all)' --minutes $(MINUTES)

bench-check: $(VENV)/.proof ## Check in a minute whether it has become expensive relative to other tools
	@$(BIN)/python -m benchmarks.check

survive: $(VENV)/.dev ## Count the sessions that faults cost, by keeper: all faults, or FAULTS=none,kill SECONDS=180
	@$(BIN)/python -m benchmarks.survive --faults '$(FAULTS)' --seconds $(or $(SECONDS),1200)

soak: $(VENV)/.proof ## Run a daemon under churn for MINUTES (60) of real time, and check that nothing grows
	@$(BIN)/python -m benchmarks.soak --minutes $(MINUTES) --results $(SOAK)

attack: MINUTES = 3
attack: $(VENV)/.dev ## Attack a daemon with files, requests, answers and users for MINUTES (3) of real time
	@$(BIN)/python -m benchmarks.attack --minutes $(MINUTES) $(and $(RESULTS),--results '$(RESULTS)')

# Chooses new versions for requirements/*.in; the tool for it has its own environment.
LOCK = CUSTOM_COMPILE_COMMAND='make lock' $(CACHE)/lock/bin/pip-compile --upgrade \
	--generate-hashes --strip-extras --allow-unsafe --quiet \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

lock: ## Pin the newest versions of everything in requirements/*.in
	@test -x $(CACHE)/lock/bin/pip-compile || { $(PYTHON) -m venv $(CACHE)/lock && \
		$(CACHE)/lock/bin/python -m pip --quiet install pip-tools; }
	@for name in base speed build dev proof howto; do echo "requirements/$$name.txt"; \
		$(LOCK) --output-file requirements/$$name.txt requirements/$$name.in || exit 1; done
	@echo "requirements/oldest.txt"
	@$(PYTHON) requirements/oldest.py >$(CACHE)/oldest.in
	@cp requirements/dev.txt requirements/oldest.txt # pip-compile keeps its versions where these allow it
	@$(subst --upgrade,,$(LOCK)) --output-file requirements/oldest.txt - <$(CACHE)/oldest.in

# The input of `make install` and `make bundle`: made again each time, in seconds.
BUNDLE = build/clkeepalived

$(BUNDLE): $(VENV)/.base FORCE
	@PYTHON=$(BIN)/python installer/bundle $@

FORCE:

bundle: $(BUNDLE) ## Make one archive for installation on a host without a network (dist/)
	@installer/archive $(BUNDLE) dist

install: $(BUNDLE) ## Install on this host, or into DESTDIR=, below PREFIX= (/usr)
	@DESTDIR='$(DESTDIR)' PREFIX='$(or $(PREFIX),/usr)' $(BUNDLE)/install

uninstall: ## Remove what `make install` installed, except configuration and state
	@DESTDIR='$(DESTDIR)' PREFIX='$(or $(PREFIX),/usr)' installer/uninstall

clean: ## Remove all files that make created here
	rm -rf $(VENV) $(OLDEST) $(CACHE) .coverage .coverage.* htmlcov build dist .hypothesis
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find keepalived tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/pyvenv.cfg:
	@echo "creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)

# The checkout itself is installed in place, with a pinned build tool.
$(VENV)/.base: requirements/base.txt requirements/build.txt pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "installing the program and its dependencies"
	@$(PIP) install --require-hashes -r requirements/base.txt -r requirements/build.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.base
	@echo "installing the test dependencies"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.proof: requirements/proof.txt $(VENV)/.dev
	@echo "installing the measurement tools"
	@$(PIP) install --require-hashes -r requirements/proof.txt
	@touch $@

# The program with its oldest allowed requirements, and the tools of the tests.
$(OLDEST)/.dev: requirements/oldest.txt requirements/build.txt pyproject.toml
	@echo "creating $(OLDEST)"
	@$(PYTHON) -m venv --clear $(OLDEST)
	@for file in build oldest; do $(subst $(VENV),$(OLDEST),$(PIP)) install --require-hashes \
		-r requirements/$$file.txt || exit 1; done
	@$(subst $(VENV),$(OLDEST),$(PIP)) install --no-deps --no-build-isolation --editable .
	@touch $@
