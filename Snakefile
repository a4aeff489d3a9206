"""Every run of an edition, then the book.

    snakemake --cores 2 --resources slots=2 --configfile config/demo.yaml

The edition's file says which notebooks run with which parameters, and over which grid notebook
03 runs. All of it is checked against the notebooks before anything starts. Each job is one call
of notebooks/execute.py; a job runs again when its notebook, the code it reaches, its parameters
or what it reads has changed.
"""

import itertools
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path

from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "notebooks"))

import execute
from mmssl import ledger


@dataclass
class Job:
    """One notebook with its parameters, what it makes and what must be there before."""

    notebook: str
    executed: str
    parameters: dict
    folders: list = field(default_factory=list)
    after: list = field(default_factory=list)
    slots: int = 0
    priority: int = 0

    @property
    def name(self):
        return Path(self.executed).stem.replace("-", "_")

    @property
    def source(self):
        return f"notebooks/{self.notebook}.ipynb"

    @property
    def code(self):
        modules = ledger.fingerprint(*execute.modules_of(self.source))
        return sorted(str(ledger.source_of(m).relative_to(ROOT)) for m in modules)

    @property
    def flags(self):
        kinds = (("-r" if isinstance(v, str) else "-p", n, v) for n, v in self.parameters.items())
        return " ".join(f"{kind} {name} {shlex.quote(str(value))}" for kind, name, value in kinds)


def plan(config):
    """Return the jobs of an edition, in order; refuse what a notebook would not take."""
    unknown = set(config) - {"edition", "banner", "notebooks", "grid", "variants"}
    if unknown:
        raise WorkflowError(f"unknown entries {sorted(unknown)} in the edition's file")
    edition, given, grid = config["edition"], config["notebooks"], config["grid"]
    jobs, cohort, chapters, alone, last = [], [], [], [], []
    for notebook, parameters in given.items():
        parameters = {"edition": edition, **parameters}
        page = f"book/executed/{edition}/{notebook}.ipynb"
        if notebook == "01_cohort":
            jobs.append(Job(notebook, page, parameters, [parameters["output"]]))
            cohort = [page]
        elif notebook == "02_preprocessing":
            jobs.append(Job(notebook, page, parameters, [parameters["output"]], cohort, slots=1))
        elif notebook == "03_pretraining":
            variants = config.get("variants", {})
            jobs += training_jobs(parameters, grid, variants, page, edition, cohort)
        elif notebook == "04_linear_evaluation":
            jobs.append(Job(notebook, page, parameters, after=[job.executed for job in jobs]))
        elif notebook == "12_claims":  # it reads what all others left
            last.append(Job(notebook, page, parameters))
        elif parameters.get("cohort") == given["03_pretraining"]["cohort"]:
            # the later chapters read what 01 to 04 left, not each other
            chapters.append(Job(notebook, page, parameters, slots=1))
        else:  # and one with data of its own waits for nobody, so that it may as well begin
            alone.append(Job(notebook, page, parameters, slots=1, priority=1))
    for job in chapters:
        job.after = [earlier.executed for earlier in jobs]
    jobs += chapters + alone
    for job in last:
        job.after = [earlier.executed for earlier in jobs]
    jobs += last
    for job in jobs:
        try:
            execute.resolve(ROOT / job.source, job.parameters)
        except (execute.ParameterError, FileNotFoundError) as error:
            raise WorkflowError(f"edition {edition}: {error}")
    return jobs


def training_jobs(shared, grid, variants, page, edition, after):
    """Return one job for each point of the grid; the first is the one the book shows.

    A name under ``objective`` that is also one of the variants stands for the variant's parameters;
    its runs are named after it.
    """
    runs = Path("data/runs") / Path(shared["cohort"]).name
    jobs = []
    for values in itertools.product(*grid.values()):
        point = dict(zip(grid, values, strict=True))
        run = "{objective}-fold{fold}-seed{seed}".format(**point)
        executed = page if not jobs else f"data/executed/{edition}/{run}.ipynb"
        given = {**shared, **point, **variants.get(point["objective"], {})}
        parameters = {**given, "run_dir": f"{runs}/{run}"}
        jobs.append(Job("03_pretraining", executed, parameters, [f"{runs}/{run}"], after, slots=1))
    return jobs


JOBS = plan(config)
PAGES = sorted(job.executed for job in JOBS if job.executed.startswith("book/"))
EDITION_FILE = workflow.configfiles[-1]


# every file is asked for by name: a missing one in between would else go unnoticed
rule all:
    input:
        "book/_build/html/index.html",
        [job.executed for job in JOBS],
        [folder for job in JOBS for folder in job.folders],


for job in JOBS:

    rule:
        name:
            job.name
        input:
            notebook=job.source,
            code=job.code,
            after=job.after,
        output:
            notebook=job.executed,
            sidecar=job.executed + ".json",
            folders=[directory(folder) for folder in job.folders],
        params:
            flags=job.flags,
        # single-threaded jobs side by side beat jobs that share the cores; one that splits its own
        # work into processes takes as many
        threads: job.parameters.get("jobs", 1)
        priority: job.priority
        # snakemake 9.15 never charges a job that was ready alone, but refunds it when it ends, so
        # that one core too many is in use from then on; slots are charged only where many wait
        resources:
            slots=job.slots,
        shell:
            "OMP_NUM_THREADS=1 ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1 "
            "{sys.executable} notebooks/execute.py {input.notebook} {output.notebook} {params.flags}"


rule book:
    input:
        pages=PAGES,
        edition=EDITION_FILE,
        sources=sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("book/*.*")),
        static=sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("book/_static/*")),
    output:
        "book/_build/html/index.html",
    params:
        edition=config["edition"],
    shell:
        "{sys.executable} book/build.py {input.edition}"
