# Everything sets itself up: `make demo` and `make test` work in a fresh clone with Python 3.10 or newer and a C++ compiler.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The order in which a set shows its strings is part of a trace.
export PYTHONHASHSEED := 0

.PHONY: demo test test-all check format bench clean

demo: $(VENV)/installed
	@$(BIN)/foretrace diff examples/total.py examples/strawberry.py || test $$? -eq 1 # diverged: worth seeing

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest

test-all: $(VENV)/installed-dev
	FORETRACE_TEST_ALL=1 $(BIN)/python -m pytest

check: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	@./setup.sh luacheck lua-check
	luacheck --quiet --config editors/neovim/.luacheckrc editors/neovim

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/installed-dev
	$(BIN)/python -m bench.capture
	$(BIN)/python -m bench.busy
	$(BIN)/python -m bench.memory
	$(BIN)/python -m bench.predict --quick
	$(BIN)/python -m bench.server

clean:
	rm -rf $(VENV) build dist

# llama.cpp is compiled while llama-cpp-python is installed: minutes the first time, seconds once pip has cached the wheel.
$(VENV)/installed: pyproject.toml
	@PYTHON="$(PYTHON)" VENV="$(VENV)" ./setup.sh
	@echo "Installing foretrace (llama.cpp is compiled the first time; that takes a few minutes) ..."
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "Installing what the tests need (PyTorch among it) ..."
	@$(BIN)/python -m pip install --quiet --group dev --group nano
	@touch $@
