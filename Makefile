# `make demo` and `make test` do all the set-up themselves. Another Python: make test PYTHON=python3.12
PYTHON ?= python3
VENV ?= .venv
DEMO ?= out/demo.mp4

BIN := $(VENV)/bin

.PHONY: demo test format clean

demo: $(VENV)/installed
	@mkdir -p $(dir $(DEMO))
	$(BIN)/edtalk animate weights/examples/portrait.jpg weights/examples/speech.flac -o $(DEMO)

test: $(VENV)/installed-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest

format: $(VENV)/installed-test
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) out build .mypy_cache .ruff_cache .pytest_cache

$(BIN):
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# The stamps are older than pyproject.toml when the requirements may have changed.
$(VENV)/installed: pyproject.toml | $(BIN)
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/installed-test: pyproject.toml | $(BIN)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/installed
