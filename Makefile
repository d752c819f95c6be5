# Two commands set everything up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-quick lint bench gpu clean

demo: $(VENV)/.installed
	$(BIN)/texton filter examples/chelsea.jpg \
	  relu1_2:2-4 relu2_2:0,3,4 relu3_2:0,1,4 relu4_2:1,2,4 relu5_2:0,3,4 \
	  --size 224 --force -o out/demo.png
	@echo "The sheet is $(CURDIR)/out/demo.png: a row is a layer, a tile the texture one filter extracts."

# Processes of one thread each: small pictures gain nothing by a second thread. Three for two cores:
# tests of commands, browsers and kills wait for others a third of their time.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist worksteal

test: $(VENV)/.installed-dev
	$(PYTEST)

# For daily work: without what is marked slow.
test-quick: $(VENV)/.installed-dev
	$(PYTEST) -m 'not slow'

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Smallest first: docs/performance.md has each table as soon as it is measured (two have their own
# commands, which the page tells).
bench: $(VENV)/.installed-dev
	$(BIN)/python bench/memory.py
	$(BIN)/python bench/overhead.py
	$(BIN)/python bench/growth.py
	$(BIN)/python bench/time_to_error.py
	$(BIN)/python bench/every_filter.py

# What takes a device, on DEVICE. An interpreter of your own (GPU_PYTHON=python3) has to have what
# the tests import: nothing is installed then.
DEVICE ?= cuda
GPU_PYTHON ?= $(BIN)/python
GPU_PATH := src$(if $(PYTHONPATH),:$(PYTHONPATH))
gpu: $(if $(filter $(BIN)/python,$(GPU_PYTHON)),$(VENV)/.installed-dev)
	PYTHONPATH=$(GPU_PATH) $(GPU_PYTHON) -m pytest tests/solve/test_device.py --device $(DEVICE)
	PYTHONPATH=$(GPU_PATH) $(GPU_PYTHON) bench/overhead.py --device $(DEVICE) --rounds 7

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -e '.[atlas,experiments]'
	@mkdir -p out && touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) out
