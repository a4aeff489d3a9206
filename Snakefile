"""Every run of an edition, then the book.

    snakemake --cores 2 --resources slots=2 --configfile config/demo.yaml

The edition's file says which notebooks run with which parameters, and over
which grid notebook 03 runs; where it starts from a dataset of real people
(study), one job prepares each of them, and one writes their cohort. Each notebook's metadata says which pages it
reads and what it makes (notebooks/pages.py). All of it is checked before
anything starts. Each job is one call of notebooks/execute.py; a job runs
again when its notebook, the code it reaches, its parameters or what it reads
has changed.
"""

import itertools
import shlex
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "notebooks"))

import execute
import pages
from mmssl.ledger import locks
from mmssl.ledger.code import fingerprint, source_of

ENTRIES = {"edition", "banner", "notebooks", "grid", "variants", "study"}


@dataclass
class Job:
    """One run of a notebook: its parameters, what it makes, what it needs."""

    notebook: str
    executed: str
    parameters: dict
    folders: list
    slots: int
    priority: int
    after: list = field(default_factory=list)

    @property
    def name(self):
        return Path(self.executed).stem.replace("-", "_")

    @property
    def source(self):
        return f"notebooks/{self.notebook}.ipynb"

    @property
    def code(self):
        modules = fingerprint(*execute.modules_of(self.source))
        files = [source_of(module) for module in modules]
        return sorted(str(file.relative_to(ROOT)) for file in files)

    @property
    def flags(self):
        words = []
        for name, value in self.parameters.items():
            kind = "-r" if isinstance(value, str) else "-p"
            words += [kind, name, str(value)]
        return shlex.join(words)


@dataclass
class Dataset:
    """A dataset of real people: what prepares them, and the cohort of them."""

    words: list
    cohort: str
    prepared: Path
    files: dict

    @property
    def folders(self):
        return [str(self.prepared / person) for person in self.files]


def dataset_of(config):
    """Return the dataset that an edition starts from; None without one, and
    where its cohort is there and the dataset is not.
    """
    entry = config.get("study")
    if entry is None:
        return None
    from mmssl.cohorts import __main__ as datasets
    from mmssl.cohorts import derivatives

    unknown = set(entry) ^ {"dataset", "root", "cohort", "options"}
    if unknown:
        raise WorkflowError(
            f"study: {sorted(unknown)} unknown or missing, expected dataset, "
            "root, cohort and options"
        )
    pages.check_folder(entry["cohort"], "study: cohort")
    if (ROOT / entry["cohort"]).is_dir() and not Path(entry["root"]).is_dir():
        return None
    words = [entry["dataset"], entry["root"], entry["cohort"]]
    for name, value in entry["options"].items():
        words += [f"--{name}", str(value)]
    try:
        study, prepared = datasets.read(words)
    except ValueError as error:
        raise WorkflowError(f"study: {error}")
    files = {}
    for person, pairs in study.pairs.groupby("participant_id"):
        images = {file for m in study.modalities for file in pairs[m]}
        name = derivatives.place(prepared, person).name
        files[name] = [str(study.root / image) for image in sorted(images)]
    return Dataset(words, entry["cohort"], prepared, files)


def plan(config):
    """Return the jobs of an edition, in order; refuse a bad edition."""
    unknown = set(config) - ENTRIES
    if unknown:
        raise WorkflowError(
            f"unknown entries {sorted(unknown)} in the edition's file"
        )
    try:
        pages.check_edition(config)
        return jobs_of_edition(config)
    except (
        pages.PageError,
        execute.ParameterError,
        FileNotFoundError,
    ) as error:
        raise WorkflowError(f"{EDITION_FILE}: {error}")


def jobs_of_edition(config):
    """Return the jobs of all notebooks that the edition names."""
    known = pages.read_pages(ROOT / "notebooks")
    jobs = {}
    for name, parameters in config["notebooks"].items():
        if name not in known:
            raise FileNotFoundError(f"there is no notebooks/{name}.ipynb")
        jobs[name] = jobs_of_page(known[name], parameters, known, config)
    for name in jobs:
        earlier = pages.waits_for(known[name], known.values())
        # a page that the edition leaves out has brought its results before
        needed = [
            job.executed
            for page in earlier
            for job in jobs.get(page, ())
        ]
        for job in jobs[name]:
            job.after = needed
    return [job for name in jobs for job in jobs[name]]


def jobs_of_page(page, parameters, known, config):
    """Return the jobs of one notebook: one, or one for each grid point."""
    edition = config["edition"]
    shown = f"book/executed/{edition}/{page.name}.ipynb"
    shared = {"edition": edition, **parameters}
    if page.grid:
        runs = grid_runs(page, shared, config)
    else:
        runs = {page.name: shared}
    jobs = []
    for run, values in runs.items():
        # the first point of a grid is the one that the book shows
        executed = f"data/executed/{edition}/{run}.ipynb" if jobs else shown
        resolved = execute.resolve(
            ROOT / f"notebooks/{page.name}.ipynb", values
        )
        for made in page.makes:
            pages.check_folder(resolved[made], f"{page.name}: {made}")
        jobs.append(
            Job(
                page.name,
                executed,
                values,
                [resolved[name] for name in page.makes],
                slots=int(pages.runs_beside_others(page, known.values())),
                priority=int(pages.starts_at_once(page, known.values())),
            )
        )
    return jobs


def grid_runs(page, shared, config):
    """Return the parameters of each point of the grid, by name of the run.

    A name under ``objective`` that is also one of the variants stands for the
    variant's parameters; its runs are named after it.
    """
    (folder,) = page.makes
    variants = config.get("variants", {})
    runs = {}
    for values in itertools.product(*config["grid"].values()):
        point = dict(zip(config["grid"], values, strict=True))
        run = "{objective}-fold{fold}-seed{seed}".format(**point)
        variant = variants.get(point["objective"], {})
        made = f"data/runs/{Path(shared['cohort']).name}/{run}"
        runs[run] = {**shared, **point, **variant, folder: made}
    return runs


# relative, as snakemake takes a brace in a path for a wildcard
EDITION_FILE = Path(workflow.configfiles[-1])
if EDITION_FILE.is_relative_to(ROOT):
    EDITION_FILE = EDITION_FILE.relative_to(ROOT)

DATASET = dataset_of(config)
JOBS = plan(config)
if DATASET is not None:
    for job in JOBS:
        if DATASET.cohort in job.parameters.values():
            job.after = [*job.after, DATASET.cohort]
EXECUTED = [job.executed for job in JOBS]
PAGES = sorted(path for path in EXECUTED if path.startswith("book/"))


OWNED = ExitStack()


# two of them would make the same files at once; unlike snakemake's own, this
# lock does not outlive a process that was killed
onstart:
    try:
        OWNED.enter_context(locks.owned(ROOT / "data" / "executed"))
    except locks.LockedError as error:
        raise WorkflowError(str(error)) from error


onsuccess:
    OWNED.close()


onerror:
    OWNED.close()


# every file is asked for by name: a missing one in between would else go
# unnoticed
rule all:
    input:
        "book/_build/html/index.html",
        EXECUTED,
        [folder for job in JOBS for folder in job.folders],


if DATASET is not None:
    PREPARATION = fingerprint("mmssl.cohorts.derivatives")

    rule person:
        input:
            lambda words: DATASET.files[words.person],
            code=[str(source_of(m).relative_to(ROOT)) for m in PREPARATION],
        output:
            directory(str(DATASET.prepared / "{person}")),
        wildcard_constraints:
            person="sub-[A-Za-z0-9]+",
        params:
            words=shlex.join(DATASET.words),
        resources:
            slots=1,
        shell:
            "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1 OMP_NUM_THREADS=1 "
            "{sys.executable:q} -m mmssl.cohorts {params.words} "
            "--person {wildcards.person:q}"

    rule cohort:
        input:
            DATASET.folders,
        output:
            directory(DATASET.cohort),
        params:
            words=shlex.join(DATASET.words),
        shell:
            "{sys.executable:q} -m mmssl.cohorts {params.words}"


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
        # single-threaded jobs side by side beat jobs that share the cores;
        # one that splits its own work into processes takes as many
        threads: job.parameters.get("jobs", 1)
        priority: job.priority
        # snakemake 9.15 never charges a job that was ready alone, but refunds
        # it when it ends, so that one core too many is in use from then on;
        # slots are charged only where many wait
        resources:
            slots=job.slots,
        # memory as in the Makefile, for a workflow that it did not start
        shell:
            # snakemake tells BLAS the job's threads, and numbers their last digits
            "OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 "
            "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1 "
            "MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=-1 "
            "{sys.executable:q} notebooks/execute.py {input.notebook:q} "
            # these words are quoted already
            "{output.notebook:q} {params.flags}"


rule book:
    input:
        pages=PAGES,
        edition=str(EDITION_FILE),
        sources=sorted(
            str(path.relative_to(ROOT)) for path in ROOT.glob("book/*.*")
        ),
        static=sorted(
            str(path.relative_to(ROOT)) for path in ROOT.glob("book/_static/*")
        ),
    output:
        "book/_build/html/index.html",
    params:
        edition=config["edition"],
    shell:
        "{sys.executable:q} book/build.py {input.edition:q}"
