# Every target sets up what it needs: on a fresh checkout `make test` and `make train` are enough.
#
# `make install` pins every version with constraints.txt. On Linux pip's default torch is the CUDA build, of gigabytes;
# for a CPU build pass the index named on pytorch.org's installation page:
#     make install PIP_ARGS="--extra-index-url ..."

PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
WORKERS ?= 2
SPIN ?=
ARGS ?=

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CLIENTS_VENV ?= .venv-clients
CLIENTS_STAMP := $(CLIENTS_VENV)/.installed
PYTHONS ?= $(PYTHON)
LOWEST_VENV ?= .venv-lowest
NEWEST_VENV ?= .venv-newest
RELEASE_VENV ?= .venv-release
DEMO_STAMP := $(VENV)/.installed_demo
DOCS_STAMP := $(VENV)/.installed_docs

.DEFAULT_GOAL := help
.PHONY: help install train demo test test-slow test-versions test-lowest test-newest test-clients lint format bench docs release clean

help: ## Print this list
	@echo "Usage: make TARGET [VARIABLE=value ...]"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "Variables (and their values now):"
	@echo "  PYTHON       interpreter that creates the environment ($(PYTHON))"
	@echo "  VENV         where the environment lies ($(VENV))"
	@echo "  CLIENTS_VENV where that of test-clients lies ($(CLIENTS_VENV))"
	@echo "  PIP_ARGS     extra options for pip, such as the index of CPU builds of torch ($(PIP_ARGS))"
	@echo "  PYTHONS      interpreters that test-versions takes in turn, say \"python3.10 python3.13\" ($(PYTHONS))"
	@echo "  LOWEST_VENV, NEWEST_VENV   where its environments lie ($(LOWEST_VENV)-PYTHON, $(NEWEST_VENV)-PYTHON)"
	@echo "  RELEASE_VENV where that of release lies, which has the wheel ($(RELEASE_VENV))"
	@echo "  WORKERS      processes that run the tests ($(WORKERS))"
	@echo "  SPIN         on a busy machine 1000: how often idle threads of train and bench look for work before they"
	@echo "               sleep (GOMP_SPINCOUNT); tests run one thread a process, which has nobody to wait for ($(SPIN))"
	@echo "  ARGS         extra arguments for train, demo, the tests and bench ($(ARGS))"

# Not set where SPIN is not: alone on a machine the default of GNU OpenMP is faster.
ifneq ($(SPIN),)
export GOMP_SPINCOUNT := $(SPIN)
endif

install: $(STAMP) ## Create the environment and install the package in it, editable, at the pinned versions

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt $(PIP_ARGS) -e '.[test,dev]'
	touch $@

train: $(STAMP) ## Train the example language model, tagger, translator and recogniser into runs/ (ARGS="--seed 1" and so on)
	$(BIN)/python examples/train_language_model.py --output_dir runs/python_docs_lm $(ARGS)
	$(BIN)/python examples/train_token_classification.py --output_dir runs/python_docs_tagger $(ARGS)
	$(BIN)/python examples/train_translation.py --output_dir runs/tatoeba_en_zh $(ARGS)
	$(BIN)/python examples/train_speech_recognition.py --output_dir runs/spoken_digits $(ARGS)

MODELS := runs/python_docs_lm runs/python_docs_tagger runs/tatoeba_en_zh runs/spoken_digits

demo: $(DEMO_STAMP) $(MODELS:%=%/config.json) ## Show the example models in a browser, trained first if there are none
	$(BIN)/python examples/app.py $(ARGS)

$(DEMO_STAMP): $(STAMP)
	$(BIN)/python -m pip install -c constraints.txt $(PIP_ARGS) -e '.[demo]'
	touch $@

runs/python_docs_lm/config.json: | $(STAMP)
	$(BIN)/python examples/train_language_model.py --output_dir $(@D)

runs/python_docs_tagger/config.json: | $(STAMP)
	$(BIN)/python examples/train_token_classification.py --output_dir $(@D)

runs/tatoeba_en_zh/config.json: | $(STAMP)
	$(BIN)/python examples/train_translation.py --output_dir $(@D)

runs/spoken_digits/config.json: | $(STAMP)
	$(BIN)/python examples/train_speech_recognition.py --output_dir $(@D)

# One thread a worker, or the workers fight over the cores; offline, because no test may depend on the Hub.
test test-slow test-lowest test-newest test-clients release: export OMP_NUM_THREADS = 1
test test-slow test-lowest test-newest test-clients release: export HF_HUB_OFFLINE = 1
test: $(STAMP) ## Run the quick tests, before a commit: 5 minutes at most (ARGS="-k crf", ARGS=tests/test_crf.py, ...)
	$(BIN)/python -m pytest -q -n $(WORKERS) -m "not slow" --durations=10 $(ARGS)

test-slow: $(STAMP) ## Run the others: processes, resuming, memory, compilation, all combinations
	$(BIN)/python -m pytest -q -n $(WORKERS) -m slow --durations=10 $(ARGS)

# What a release of another package has changed before, under the lowest versions that pyproject.toml allows and the
# newest that pip finds. The newest is set up anew each time; the pinned versions are those of `make test`.
VERSIONED := generation decoding tokenization tokenization_characters travel saved_folders trainer card_trainer output
VERSIONED += batching export adapters translation_tokenizer
VERSIONED := $(VERSIONED:%=tests/test_%.py)

test-versions: ## Run what depends on other packages under their lowest and newest versions, for each of PYTHONS
	set -e; for python in $(PYTHONS); do name=$$(basename $$python); $(MAKE) test-lowest test-newest PYTHON=$$python \
		LOWEST_VENV=$(LOWEST_VENV)-$$name NEWEST_VENV=$(NEWEST_VENV)-$$name; done

test-lowest: $(LOWEST_VENV)/.installed
	$(LOWEST_VENV)/bin/python -m pytest -q -n $(WORKERS) $(VERSIONED) $(ARGS)

$(LOWEST_VENV)/.installed: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv --clear $(LOWEST_VENV)
	$(LOWEST_VENV)/bin/python -m pip install -c constraints-lowest.txt $(PIP_ARGS) -e '.[test]'
	touch $@

test-newest:
	test -x $(NEWEST_VENV)/bin/python || $(PYTHON) -m venv $(NEWEST_VENV)
	$(NEWEST_VENV)/bin/python -m pip install --upgrade --upgrade-strategy eager $(PIP_ARGS) -e '.[test]'
	$(NEWEST_VENV)/bin/python -m pytest -q -n $(WORKERS) $(VERSIONED) $(ARGS)

# Other people's programs have many dependencies, and so an environment of their own, with these extras.
CLIENTS_EXTRAS := test,clients,demo-test,docs
$(CLIENTS_STAMP): pyproject.toml constraints.txt constraints-clients.txt
	test -x $(CLIENTS_VENV)/bin/python || $(PYTHON) -m venv $(CLIENTS_VENV)
	$(CLIENTS_VENV)/bin/python -m pip install -c constraints.txt -c constraints-clients.txt $(PIP_ARGS) -e '.[$(CLIENTS_EXTRAS)]'
	touch $@

test-clients: $(CLIENTS_STAMP) ## Run lm-eval, trl, a chat server and others on our models, in their own environment
	$(CLIENTS_VENV)/bin/python -m pytest -q tests/clients --record results/clients.md --durations=5 $(ARGS)

# The wheel is tried where nothing of the source is on the path: the program pytest, unlike `python -m`, adds no folder.
release: $(STAMP) ## Build wheel and sdist into dist/, check them, and run the README on the wheel, see RELEASE.md
	$(BIN)/python -m pip install -c constraints.txt $(PIP_ARGS) -e '.[release]'
	rm -rf build/lib build/bdist.* dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) -m venv --clear $(RELEASE_VENV)
	$(RELEASE_VENV)/bin/python -m pip install -c constraints.txt $(PIP_ARGS) "$$(ls dist/*.whl)[test]"
	$(RELEASE_VENV)/bin/pytest -q tests/test_package.py tests/test_docs.py -k "imports or README" $(ARGS)

lint: $(STAMP) ## Check style and formatting, changing nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP) ## Repair what ruff can repair and format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## Measure this machine into results/benchmarks.json (ARGS=--quick for two minutes, saved nowhere)
	$(BIN)/python benchmarks/run.py $(ARGS)

docs: $(DOCS_STAMP) ## Build the guides and the reference into build/docs; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install -c constraints.txt $(PIP_ARGS) -e '.[docs]'
	touch $@

clean: ## Remove caches and build outputs (the environment, runs/ and results stay)
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
