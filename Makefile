# make install      the environment, in .venv
# make reproduce    every run of an edition and the book: EDITION=demo (default), CORES=2
# make test         the notebooks on their defaults, then the fast tests; make test-all: all tests
# make lab          the notebooks in JupyterLab, with the small data they read already there
# make bench        speed against the peers a user would pick
# make simulations  the statistics against worlds of known truth, for a page of the book
# make figures      the README's figures and results table, from the demo edition
# make clean        everything a run made; the environment stays

EDITION ?= demo
CORES ?= 2
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python

INSTALLED := $(VENV)/.installed
SOURCES := $(shell find mmssl -name '*.py') notebooks/execute.py
NOTEBOOKS := $(sort $(wildcard notebooks/[0-9]*.ipynb))
SMOKE := $(patsubst notebooks/%.ipynb,data/executed/smoke/%.ipynb,$(NOTEBOOKS))

# a notebook needs the one before it, and two cores are best left to one
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: install reproduce smoke test test-all lint lab bench simulations figures clean

install: $(INSTALLED)

# torch first: a later resolution would pull another build of it
$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet "$$(grep '^torch==' requirements.lock)"
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

reproduce: $(INSTALLED)
	$(BIN)/snakemake --cores $(CORES) --resources slots=$(CORES) --configfile config/$(EDITION).yaml \
	    --rerun-triggers mtime params --rerun-incomplete --nolock --quiet rules

# the small chain that every notebook's defaults read; what a notebook makes is made anew with it
smoke: $(SMOKE)

MADE_01_cohort := data/derived/smoke
MADE_02_preprocessing := data/derived/person
MADE_03_pretraining := data/runs/smoke/CR-XX-CC-fold0-seed0
MADE_09_natural_images := data/derived/smoke-natural data/runs/smoke-natural

data/executed/smoke/02_preprocessing.ipynb: data/executed/smoke/01_cohort.ipynb
data/executed/smoke/03_pretraining.ipynb: data/executed/smoke/01_cohort.ipynb
data/executed/smoke/04_linear_evaluation.ipynb: data/executed/smoke/03_pretraining.ipynb
data/executed/smoke/05_similarity.ipynb: data/executed/smoke/04_linear_evaluation.ipynb
data/executed/smoke/06_saliency.ipynb: data/executed/smoke/03_pretraining.ipynb
data/executed/smoke/07_group_differences.ipynb: data/executed/smoke/03_pretraining.ipynb
data/executed/smoke/08_robustness.ipynb: data/executed/smoke/03_pretraining.ipynb
data/executed/smoke/12_claims.ipynb: $(filter-out %12_claims.ipynb,$(SMOKE))

data/executed/smoke/%.ipynb: notebooks/%.ipynb $(SOURCES) | $(INSTALLED)
	rm -rf $(MADE_$*)
	$(RUN) notebooks/execute.py $< $@

lint: $(INSTALLED)
	$(BIN)/ruff check .

test: smoke lint
	$(RUN) -m pytest -m "not slow"

test-all: smoke lint
	$(RUN) -m pytest

lab: smoke
	$(BIN)/jupyter lab notebooks/01_cohort.ipynb

bench: $(INSTALLED)
	$(RUN) tests/benchmarks/run.py

simulations: $(INSTALLED)
	$(RUN) tests/simulation/run.py

figures: $(INSTALLED)
	$(RUN) figures/readme/refresh.py

clean:
	rm -rf book/_build book/executed data/derived data/runs data/results data/executed .snakemake
	find figures -mindepth 1 -maxdepth 1 -type d ! -name readme -exec rm -rf {} +
