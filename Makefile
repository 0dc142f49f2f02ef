# `make demo` and `make test` do all the set-up themselves. Another Python: make test PYTHON=python3.12
PYTHON ?= python3
VENV ?= .venv
DEMO ?= out/demo.mp4
COMFYUI_PATH ?= $(HOME)/ComfyUI

BIN := $(VENV)/bin
# Where ComfyUI is, the tests talk to its server and its editor, and need some more for that.
# COMFYUI_PATH may name several, as $PATH does.
COMFYUIS := $(subst ;, ,$(subst :, ,$(COMFYUI_PATH)))
EXTRAS := test$(if $(wildcard $(COMFYUIS:%=%/main.py)),-e2e)

.PHONY: demo test snapshot format clean

demo: $(VENV)/installed
	@mkdir -p $(dir $(DEMO))
	$(BIN)/edtalk animate weights/examples/portrait.jpg weights/examples/speech.flac -o $(DEMO)

test: $(VENV)/installed-$(EXTRAS)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

# Promises users the nodes, inputs and outputs that are new, and writes the English texts of the nodes anew.
snapshot: $(VENV)/installed-test-e2e
	$(BIN)/pytest tests/e2e/test_comfyui_contract.py tests/e2e/test_comfyui_texts.py --snapshot

format: $(VENV)/installed-$(EXTRAS)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) out build .grimp_cache .mypy_cache .ruff_cache .pytest_cache

$(BIN):
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# The stamps are older than pyproject.toml when the requirements may have changed.
$(VENV)/installed: pyproject.toml | $(BIN)
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/installed-test: pyproject.toml | $(BIN)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/installed

$(VENV)/installed-test-e2e: pyproject.toml | $(BIN)
	$(BIN)/python -m pip install --quiet --editable '.[test,e2e]'
	@touch $@ $(VENV)/installed $(VENV)/installed-test
