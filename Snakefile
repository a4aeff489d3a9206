"""Every run of an edition, then the book.

    snakemake --cores 2 --resources slots=2 --configfile config/demo.yaml

A profile says where they run, and on a cluster what each asks for
(config/profiles, notebooks/resources.py).

The edition's file says which notebooks run with which parameters, and over
which grid notebook 03 runs (notebooks/jobs.py); where it starts from a dataset
of real people (study), one job prepares each of them, and one writes their
cohort. Each notebook's metadata says which pages it reads and what it makes
(notebooks/pages.py). All of it is checked before anything starts. Each job is
one call of notebooks/execute.py; a job runs again when its notebook, the code
it reaches, its parameters or what it reads has changed.
"""

import shlex
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.io import IOFile

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "notebooks"))

import jobs
import pages
import resources
from mmssl.ledger import locks
from mmssl.ledger.code import fingerprint, source_of


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


OTHER_RULES = ("person", "cohort", "book")

# relative, as snakemake takes a brace in a path for a wildcard
EDITION_FILE = Path(workflow.configfiles[-1])
if EDITION_FILE.is_relative_to(ROOT):
    EDITION_FILE = EDITION_FILE.relative_to(ROOT)

DATASET = dataset_of(config)
try:
    JOBS = jobs.jobs_of(config)
except jobs.EditionError as error:
    raise WorkflowError(f"{EDITION_FILE}: {error}")
if DATASET is not None:
    for job in JOBS:
        if DATASET.cohort in job.parameters.values():
            job.after = [*job.after, DATASET.cohort]
EXECUTED = [job.executed for job in JOBS]

# what the profile asks a cluster for
DEFAULTS = workflow.resource_settings.default_resources
ASKED = workflow.resource_settings.overwrite_resources
try:
    resources.check_defaults(DEFAULTS.args)
    resources.check_rules(
        {
            of: {name: entry.orig_arg for name, entry in entries.items()}
            for of, entries in ASKED.items()
        },
        {*pages.read_pages(), *(job.name for job in JOBS), *OTHER_RULES},
    )
except resources.ResourceError as error:
    raise WorkflowError(str(error))


def asked_of(job):
    """Return the resources of a job: those of its notebook, as a profile asks
    for them. All runs of a grid have them, under the names of their own.
    """
    entries = ASKED.get(job.notebook, {})
    asked = {name: entry.value for name, entry in entries.items()}
    return {**asked, "slots": job.slots}


def as_new(job):
    """Return words of a shell that date the folders a job goes on from to its
    end.

    One that was kept is no output of the job and stays as old as it was: the
    next plan would take it for older than the code that the page ran with.
    Snakemake dates a folder by a file in it, if it has put one there.
    """
    if not job.continued:
        return ""
    dated = [f"{folder}/.snakemake_timestamp" for folder in job.continued]
    return f" && touch -c {shlex.join([*job.continued, *dated])}"


PAGES = sorted(path for path in EXECUTED if path.startswith("book/"))


OWNED = ExitStack()


# two of them would make the same files at once; unlike snakemake's own, this
# lock does not outlive a process that was killed
onstart:
    try:
        OWNED.enter_context(locks.owned(ROOT / "data" / "executed"))
    except locks.LockedError as error:
        raise WorkflowError(str(error)) from error
    # a killed workflow left them marked as incomplete; as no output of a job
    # that goes on they would stay so, and the next plan would make them anew
    for job in JOBS:
        for folder in set(job.continued) - set(job.made_anew):
            workflow.persistence.cleanup_metadata(IOFile(folder))


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
            # these are removed before the job and when it failed
            folders=[directory(folder) for folder in job.made_anew],
        params:
            flags=job.flags,
            launcher=job.launcher,
        # single-threaded jobs side by side beat jobs that share the cores;
        # one that splits its own work into processes takes as many
        threads: job.processes
        priority: job.priority
        # snakemake 9.15 never charges a job that was ready alone, but refunds
        # it when it ends, so that one core too many is in use from then on;
        # slots are charged only where many wait
        resources:
            **asked_of(job),
        # memory as in the Makefile, for a workflow that it did not start
        shell:
            # snakemake tells BLAS the job's threads, and numbers their last digits
            "OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 "
            "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1 "
            "MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=-1 "
            "{params.launcher} "
            "{sys.executable:q} notebooks/execute.py {input.notebook:q} "
            # these words are quoted already
            "{output.notebook:q} {params.flags}"
            f"{as_new(job)}"


rule book:
    input:
        pages=PAGES,
        edition=str(EDITION_FILE),
        sources=sorted(
            str(path.relative_to(ROOT)) for path in ROOT.glob("book/*.*")
        ),
        published=sorted(
            str(path.relative_to(ROOT))
            for path in ROOT.glob("book/published/*/manifest.json")
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
