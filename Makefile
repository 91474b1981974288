# Two commands on a fresh machine with Python 3.11 to 3.13 and make: `make train` and `make test`.
PYTHON ?= python3
VENV := .venv
# What training needs, and all that the tests do. LOCKED=1 installs the versions of locked.txt.
INSTALLED := $(VENV)/.installed
FOR_TESTS := $(VENV)/.installed-for-tests
FOR_DOCS := $(VENV)/.installed-for-docs
# Two tests at a time, from both halves of the list; tests of one file share what they have trained.
IN_TWO = $(VENV)/bin/python -m pytest --numprocesses 2 --dist worksteal
PIP_INSTALL = $(VENV)/bin/python -m pip install --quiet $(if $(LOCKED),--constraint locked.txt) --editable

.PHONY: help train test test-all coverage test-gpu bench notebooks lint format docs docs-serve

help:
	@echo "make train     set up, then train the default MLP on scikit-learn's digits: no download"
	@echo "make test      set up, then the fast tests"
	@echo "make test-all  set up, then all tests"
	@echo "make coverage  the fast tests, and how much of src they reach"
	@echo "make test-gpu  set up, then the tests and the benchmark that need an NVIDIA GPU"
	@echo "make bench     compare speed and memory with other loops, on real data: over an hour on 2 quiet cores"
	@echo "make notebooks  executes notebooks/ anew and keeps their outputs"
	@echo "make lint      style, format and types"
	@echo "make format    mend style and format"
	@echo "make docs      set up, then build the documentation into site/; warnings and dead links are errors"
	@echo "make docs-serve  the same, then show it at http://127.0.0.1:8000"

train: $(INSTALLED)
	$(VENV)/bin/python train.py data=digits

# TESTS="tests/models tests/data/test_imdb.py" names some of them.
test: $(FOR_TESTS)
	$(IN_TWO) -m "not slow" $(TESTS)

test-all: $(FOR_TESTS)
	$(IN_TWO) $(TESTS)

# By lines and branches of src, in every process that the tests start; fails below what pyproject.toml asks for.
# Two tests are left out: what records the coverage takes memory that one counts, and writes to the full disk of the other.
coverage: $(FOR_TESTS)
	$(IN_TWO) -m "not slow" --cov --cov-report=term $(TESTS) \
	--deselect tests/labs/studies/test_memory_footprint.py::test_the_live_bytes_of_an_mlp_by_hand \
	--deselect tests/training/test_checkpoints.py::test_a_run_on_a_full_disk_ends_with_that_line_and_keeps_its_checkpoints

# In at most 8 minutes on one NVIDIA GPU; what it prints is in logs/test-gpu.log as it comes, should it be cut off.
# The benchmark needs Fashion-MNIST; without a GPU its rows are left out.
test-gpu: $(FOR_TESTS)
	@bash -o pipefail -c '{ timeout 240 $(VENV)/bin/python -m pytest -m gpu $(TESTS) && \
	if $(VENV)/bin/python -c "import sys, torch; sys.exit(not torch.cuda.is_available())"; \
	then timeout 240 $(VENV)/bin/python -m benchmarks --device cuda --cases mlp-1000-128 --rounds 3 --output logs/gpu.md; \
	else echo "no GPU: the rows mlp-1000-128 of the benchmark are left out"; fi; } 2>&1 | tee logs/test-gpu.log'

# Keras takes part where KERAS_PYTHON names a Python that has keras and tensorflow.
bench: $(FOR_TESTS)
	$(VENV)/bin/python -m benchmarks

# Those on reviews and clothes read them from DLPROJ_DATA_DIR, or download them.
notebooks: $(FOR_TESTS)
	$(VENV)/bin/python notebooks/execute.py

lint: $(FOR_TESTS)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy

format: $(FOR_TESTS)
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

docs: $(FOR_DOCS)
	$(VENV)/bin/python -m website.build

docs-serve: $(FOR_DOCS)
	$(VENV)/bin/python -m website.build --serve

# The settings with their defaults, ranges and help texts, as the classes in src/dlproj/config/ have them.
docs/settings.md: $(wildcard src/dlproj/config/*.py src/dlproj/cli/settings_page.py) | $(INSTALLED)
	env -u DLPROJ_DATA_DIR $(VENV)/bin/python -m dlproj.cli.settings_page > $@

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "dlproj needs Python 3.11 to 3.13: make PYTHON=python3.13")'
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) .
	@touch $@

$(FOR_TESTS): $(INSTALLED)
	$(PIP_INSTALL) ".[dev]"
	@touch $@

$(FOR_DOCS): $(INSTALLED)
	$(PIP_INSTALL) ".[docs]"
	@touch $@
