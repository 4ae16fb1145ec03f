# Two commands do all the set-up: `make demo` and `make test`. Both make .venv if it is not there.
PYTHON ?= python3
BIN := .venv/bin
QUICK := tests/test_architecture.py tests/test_docs.py tests/configs tests/shards tests/pipeline/sources \
  --ignore tests/shards/stores
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test quick check lowest system clean

demo: .venv/.installed
	$(BIN)/avcorr demo --out data/demo

test: .venv/.installed-test system
	$(BIN)/python -m pytest

# Tests of the format, of configurations and of names: under a minute, for use while writing.
quick: .venv/.installed-test
	$(BIN)/python -m pytest -q $(QUICK)

# What CI demands besides the tests: style, types, every Python block of the documents, the wheel.
check: .venv/.installed-test
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest -q tests/test_docs.py tests/test_examples.py tests/test_wheel.py

# Proves the lower bounds of setup.py: the tests with the oldest versions that it allows. For a release.
lowest: .venv/.installed-test system
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m uv venv --quiet --clear --python $(BIN)/python .venv/lowest
	$(BIN)/python -m uv pip install --quiet --python .venv/lowest/bin/python --resolution lowest-direct \
	  --editable '.[test]'
	.venv/lowest/bin/python -m pytest

# What pip cannot bring: Chromium to look at pages, ffmpeg's libraries for torchcodec. Tests that lack them are skipped.
system:
	@{ command -v ffmpeg && command -v chromium; } >/dev/null || \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get -qq update && apt-get -qq install -y --no-install-recommends ffmpeg chromium >/dev/null || true; \
	  else echo "some tests will be skipped; to run all: apt-get install ffmpeg chromium"; fi

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.installed: setup.py | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/.installed-test: setup.py | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@ .venv/.installed

clean:
	rm -rf .venv data build *.egg-info
