# make install      the environment, in .venv
# make reproduce    every run of an edition and the book: EDITION=demo, CORES=2;
#                   on a cluster PROFILE=slurm (config/profiles)
# make plan         what make reproduce would run, and why
# make status       how far an edition is, run by run
# make smoke        the notebooks on their defaults, which are small
# make test         the same, then the fast tests; make test-all: all tests
# make lab          the notebooks in JupyterLab, after make smoke
# make lint         the style of the code
# make bench        speed against the peers a user would pick; it goes on where
#                   it was stopped; some parts anew: PARTS="cka imports"
# make bench-check  the same, and fails where a ratio has lost a quarter
# make simulations  the statistics in simulated worlds, for a page of the book
# make choices      choices of training, on development cohorts, for a page
# make registrations  heads found on the template, for a page of the book
# make verify       every hash on record against the bytes of the files, and what
#                   would be made otherwise now
# make mutants      whether the tests notice a changed operator or constant
# make figures      the README's figure and table, of the published overnight
#                   edition, or else of one's own demo
# make paper        paper.md with the numbers of an edition, and its PDF
# make report       the book of an edition as one PDF, after make reproduce
# make publish      a finished edition's tables, figures and encoders, small,
#                   in book/published: EDITION=overnight
# make clean        everything a run made; the environment stays

# the shell reads these from its environment, so that no name is run by it
export EDITION ?= demo
export PROFILE ?= local
export CORES ?= 2
export ROOMS
export PARTS
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python

INSTALLED := $(VENV)/.installed
SOURCES := $(shell find mmssl book/claims -name '*.py') notebooks/execute.py
NOTEBOOKS := $(sort $(wildcard notebooks/[0-9]*.ipynb))
SMOKE := $(patsubst notebooks/%.ipynb,data/executed/smoke/%.ipynb,$(NOTEBOOKS))

# glibc gives a freed block of 32 MB or more back to the system, and the next
# training step asks for it again, page by page: at 64^3 an eighth of its time
export MALLOC_MMAP_MAX_ := 0
export MALLOC_TRIM_THRESHOLD_ := -1

.DELETE_ON_ERROR:
.PHONY: install reproduce plan status smoke pages test test-all lint lab
.PHONY: bench bench-check simulations choices registrations mutants verify
.PHONY: figures paper report publish clean

install: $(INSTALLED)

# torch first: a later resolution would pull another build of it
$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet "$$(grep '^torch==' requirements.lock)"
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

SNAKEMAKE := $(BIN)/snakemake --profile "config/profiles/$$PROFILE" \
    --configfile "config/$$EDITION.yaml"

reproduce: $(INSTALLED)
	$(SNAKEMAKE)

plan: $(INSTALLED)
	$(SNAKEMAKE) --dry-run

status: $(INSTALLED)
	$(RUN) notebooks/status.py "config/$$EDITION.yaml"

# the small chain that every notebook's defaults read; the folders that a
# notebook makes are made anew with it
smoke: $(INSTALLED)
	$(MAKE) --jobs "$$CORES" pages
pages: $(SMOKE)

# what each of them reads and makes is written in the notebooks themselves
ORDER := data/executed/smoke/order.mk
$(ORDER): notebooks/pages.py $(NOTEBOOKS)
	mkdir -p $(@D)
	$(PYTHON) notebooks/pages.py > $@

NO_SMOKE := install reproduce plan status lint simulations choices
NO_SMOKE += bench bench-check registrations mutants verify figures paper
NO_SMOKE += report publish clean
ifneq ($(filter-out $(NO_SMOKE),$(MAKECMDGOALS)),)
include $(ORDER)
endif

data/executed/smoke/%.ipynb: notebooks/%.ipynb $(SOURCES) | $(INSTALLED)
	rm -rf $(MADE_$*)
	OMP_NUM_THREADS=1 $(RUN) notebooks/execute.py $< $@

lint: $(INSTALLED)
	$(BIN)/ruff check .

# one file of tests a core at a time, as its tests share what they make
PYTEST := OMP_NUM_THREADS=1 ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1 \
    $(RUN) -m pytest -n "$$CORES" --dist loadfile

test: smoke lint
	$(PYTEST) -m "not slow"

test-all: smoke lint
	$(PYTEST)

lab: smoke
	$(BIN)/jupyter lab --ServerApp.root_dir="$$PWD" \
	    --LabApp.default_url=/lab/tree/notebooks/01_cohort.ipynb

# peers that clash with our environment have one of their own; one that cannot
# be installed is missing alone
PEERS := .venv-peers
$(PEERS)/.installed: tests/benchmarks/peers_apart.txt | $(INSTALLED)
	$(PYTHON) -m venv $(PEERS)
	grep '^torch==' requirements.lock > $(PEERS)/torch.txt
	$(PEERS)/bin/pip install --quiet --requirement $(PEERS)/torch.txt
	grep -v '^#' $< | while read -r peer; do \
	    $(PEERS)/bin/pip install --quiet --constraint $(PEERS)/torch.txt \
	        "$$peer" || echo "$$peer: not installed"; done
	touch $@

bench: $(INSTALLED) $(PEERS)/.installed
	$(RUN) tests/benchmarks/run.py $$PARTS

bench-check: $(INSTALLED) $(PEERS)/.installed
	$(RUN) tests/benchmarks/run.py --check

simulations: $(INSTALLED)
	$(RUN) tests/simulation/run.py

choices: $(INSTALLED)
	$(RUN) tests/simulation/training_choices.py

registrations: $(INSTALLED)
	$(RUN) tests/simulation/registrations.py

verify: $(INSTALLED)
	$(RUN) -m mmssl.ledger data book figures

# all rooms take hours: ROOMS="stats losses"
mutants: $(INSTALLED)
	$(RUN) tests/mutants/mutate.py $$ROOMS

figures: $(INSTALLED)
	$(RUN) figures/readme/refresh.py

paper: $(INSTALLED)
	$(RUN) book/paper.py "config/$$EDITION.yaml"

report: $(INSTALLED)
	$(RUN) book/report.py "config/$$EDITION.yaml"

publish: $(INSTALLED)
	$(RUN) book/publish.py "config/$$EDITION.yaml"

clean:
	rm -rf book/_build book/executed .snakemake
	rm -rf data/derived data/runs data/results data/executed
	find figures -mindepth 1 -maxdepth 1 -type d ! -name readme -exec rm -rf {} +
