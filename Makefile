# Every chore of Reel by name: `make help` lists them. `make demo` and `make test` do all
# their own set-up on a machine that has Python and make; the second time they start at once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.reel-installed
TEST := $(VENV)/.reel-test-installed
WEB_TOOLS := web/node_modules/.package-lock.json
# what an installation was made from; an editable one follows the sources by itself
INPUTS := pyproject.toml hatch_build.py $(wildcard recorder/*.c recorder/*.h) web/package.json web/package-lock.json
# names the missing thing, so that a deleted vendor folder is built again
VENDOR := $(if $(wildcard web/vendor/stamp.txt),,vendor-is-missing)
JS_TESTS = $(sort $(wildcard tests/js/*.test.js tests/js/*.test.mjs))
CODE := reel.py hatch_build.py recorder gridworld replay_server benchmarks
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check

# One more than there are cores, since many tests wait for a browser or another process.
WORKERS = $(shell $(PYTHON) -c "import os; print(min(4, (os.cpu_count() or 1) + 1))")

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo install test test-js test-python lint format bench torture soak screenshots \
	clean vendor-is-missing

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(RUN) ## train, serve and open the page; options: make demo ARGS="--episodes 300"
	@$(BIN)/reel demo $(ARGS)

test: test-js test-python ## all tests; options for pytest: make test ARGS="-k tape"

# What is imported is compiled once, not by each of the hundreds of processes that are started,
# also where the environment asks for no compiled files.
test-python: $(TEST)
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

# The viewer's logic needs no browser, only Node. Without Node it goes untested, which is
# said aloud, and is a failure where CI is set.
test-js:
ifneq ($(JS_TESTS),)
	@if command -v node >/dev/null; then node --test $(JS_TESTS); \
	elif [ -n "$$CI" ]; then echo "Node.js is missing: the viewer's tests need it." >&2; exit 1; \
	else echo "SKIPPED tests/js: Node.js is not installed."; fi
endif

lint: $(TEST) ## check style and types, of Python and of the viewer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory lint-web; \
	elif [ -n "$$CI" ]; then echo "npm is missing: the viewer's checks need it." >&2; exit 1; \
	else echo "SKIPPED the viewer's checks: npm is not installed."; fi

.PHONY: lint-web
lint-web: $(WEB_TOOLS)
	cd web && node_modules/.bin/biome check .
	cd web && node_modules/.bin/tsc --project tsconfig.json

format: $(TEST) ## lay out the code as `make lint` wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(WEB_TOOLS) && \
	  cd web && node_modules/.bin/biome check --write .; fi

bench: $(TEST) ## run the benchmarks; the quick form: make bench ARGS=--quick
	@set -e; for file in $$(grep -l __main__ benchmarks/*.py | grep -v soak); do \
	  $(BIN)/python -m benchmarks.$$(basename $$file .py) --json $(ARGS); done

torture: $(TEST) ## the tests that kill, starve and corrupt on purpose
	@$(BIN)/python -m pytest -m torture $(ARGS)

soak: $(TEST) ## watch a training live for an hour: memory stays flat; a minute: ARGS=--quick
	@$(BIN)/python -m benchmarks.soak $(ARGS)

screenshots: $(TEST) ## take the pictures of docs/ again
	@$(BIN)/python -m docs.screenshots $(ARGS)

install: $(TEST) ## set up .venv with everything that development needs

clean: ## remove all that was made: .venv, libraries, caches (runs stay)
	rm -rf $(VENV) web/vendor web/.vendor-* web/node_modules dist build recorder/*.so
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find recorder gridworld replay_server tests benchmarks -name __pycache__ -prune \
	  -exec rm -rf {} + 2>/dev/null || true

# --- set-up --------------------------------------------------------------------------

# A venv half made (Debian without python3-venv leaves one) has no pip and is made again.
$(VENV)/.reel-venv:
	@$(PYTHON) -c "" 2>/dev/null || { echo "$(PYTHON) is not there: Reel needs Python 3.11" \
	  "or newer; install it, or name another with make PYTHON=python3.12." >&2; exit 1; }
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { \
	  echo "Reel needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) -V 2>&1):" \
	  "name another with make PYTHON=python3.12." >&2; exit 1; }
	@$(PYTHON) -c "import ensurepip, venv" 2>/dev/null || { \
	  echo "$(PYTHON) cannot make a virtual environment: install its venv module" \
	  "(on Debian and Ubuntu: apt install python3-venv), then run make again." >&2; exit 1; }
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(RUN): $(INPUTS) $(VENDOR) | $(VENV)/.reel-venv
	@echo "Installing Reel ..."
	@$(PIP) -e .
	@touch $@

$(TEST): $(INPUTS) $(VENDOR) | $(VENV)/.reel-venv
	@echo "Installing Reel and what tests it ..."
	@$(PIP) -e '.[test]'
	@touch $(RUN) $@

$(WEB_TOOLS): web/package.json web/package-lock.json
	cd web && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@
