# Two commands do all the set-up: `make demo` and `make test`. Both make .venv if it is not there.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test system check clean

demo: .venv/.installed
	$(BIN)/python run.py demo --out data/demo

test: .venv/.installed-test system
	$(BIN)/python -m pytest

# What pip cannot bring: Chromium to look at pages, ffmpeg's libraries for torchcodec. Tests that lack them are skipped.
system:
	@{ command -v ffmpeg && command -v chromium; } >/dev/null || \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get -qq update && apt-get -qq install -y --no-install-recommends ffmpeg chromium >/dev/null || true; \
	  else echo "some tests will be skipped; to run all: apt-get install ffmpeg chromium"; fi

check: .venv/.installed-test
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

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
