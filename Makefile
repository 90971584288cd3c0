# A Python from 3.11 to 3.13, make and a package index are all that these targets need.
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# JOBS: test processes; each may hold a model, so two fit a small machine. A file stays with one of
# them, which makes its fixtures once; in the order of the files the last ones are short.
JOBS ?= 2
BY_FILE := --dist loadfile --no-loadscope-reorder

# OWNER: whom the published weights belong to on the Hub; MANIFEST and CARDS: what is updated.
OWNER ?=
MANIFEST ?= weights_manifest.json
CARDS ?= docs/models

.PHONY: demo test test-slow test-all bench-read bench-load catalogue release-weights space space-rehearsal install \
    lint types wheel clean

demo: $(STAMP) ## open the page, with a sample study that runs at once
	$(BIN)/cspine-zoo demo

test: $(STAMP) ## the default tests: loopback only, a few minutes
	$(BIN)/python -m pytest -n $(JOBS) $(BY_FILE)

# Browsers and a server's visitors want the machine for themselves, the other slow tests do not.
ALONE := tests/demo

test-slow: $(STAMP) ## browser, many processes, a wheel in an empty environment
	$(BIN)/python -m pytest -m slow -n $(JOBS) $(ALONE:%=--ignore=%)
	$(BIN)/python -m pytest -m slow $(ALONE)

test-all: test test-slow

catalogue: $(STAMP) ## every odd and hostile input: how it ends, in what time and memory
	$(BIN)/python -m pytest -q -m slow -n $(JOBS) tests/catalogue

bench-read: $(STAMP) ## reading against the least that it could cost, as ratios
	$(BIN)/python -m benchmarks.reading

release-weights: $(STAMP) ## every bundled model to the Hub: make release-weights OWNER=somebody
	@test -n "$(OWNER)" || { echo "make release-weights OWNER=somebody" >&2; exit 2; }
	for name in $$($(BIN)/python -c "import cspine_zoo as cz; \
	    print(*(row.name for row in cz.list_models() if row.available == 'bundled'))"); do \
	    $(BIN)/cspine-zoo publish $$name --repo-id $(OWNER)/$$name --manifest $(MANIFEST) || exit 1; \
	done
	$(BIN)/python -c "from pathlib import Path; from cspine_zoo.zoo.card import write_cards; \
	    from cspine_zoo.zoo.manifest import read_manifest; \
	    write_cards(Path('$(CARDS)'), read_manifest(Path('$(MANIFEST)')))"

space: $(STAMP) ## the folder of a Hugging Face Space, in build/space; docs/hosting.md
	sh demo/space/assemble.sh $(BIN)/python build/space

space-rehearsal: $(STAMP) ## the steps of its Dockerfile in an empty directory, and the page they serve
	CSPINE_ZOO_SPACE_REHEARSAL=1 $(BIN)/python -m pytest -q -m slow tests/demo/test_space.py

bench-load: $(STAMP) ## loading checked weights against loading them unchecked, as ratios
	$(BIN)/python -m benchmarks.loading

install: $(STAMP)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

wheel: $(STAMP)
	$(BIN)/python -m build --wheel --no-isolation

clean:
	rm -rf $(VENV) dist build

$(STAMP): pyproject.toml constraints.txt
	sh .ci/make-venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e ".[train,dev]"
	touch $@
