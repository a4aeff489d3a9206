"""The jobs of an edition: each runs one notebook with parameters of its own,
and says where the executed notebook goes, which folders it makes and what it
waits for.

An edition is the content of a file of ``config/``; what a notebook reads and
makes stands in its own metadata (`pages`). The workflow (``Snakefile``) and
the table of how far it is (`status`) both take the jobs from here.
"""

import itertools
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import execute
import pages

from mmssl.ledger.code import fingerprint, source_of

ROOT = Path(__file__).resolve().parents[1]
ENTRIES = {"edition", "banner", "notebooks", "grid", "variants", "study"}


class EditionError(ValueError):
    """An edition's file asks for what cannot be run."""


@dataclass
class Job:
    """One run of a notebook.

    Attributes
    ----------
    notebook : str
        Name of the notebook, e.g. ``"03_pretraining"``.
    executed : str
        Where the executed notebook goes, from the repository's root.
    parameters : dict
        Those that differ from the notebook's defaults.
    resolved : dict
        All of them.
    folders : list of str
        Folders that it makes.
    continued : list of str
        Those of them that a run which was stopped goes on from.
    slots : int
        1 where other jobs become ready together with it.
    priority : int
        The larger, the earlier.
    after : list of str
        Executed notebooks that must be there before.
    objective : str or None
        The one objective that it trains.
    """

    notebook: str
    executed: str
    parameters: dict[str, Any]
    resolved: dict[str, Any]
    folders: list[str]
    continued: list[str]
    slots: int
    priority: int
    after: list[str] = field(default_factory=list)
    objective: str | None = None

    @property
    def name(self) -> str:
        """The name of its rule in the workflow."""
        return Path(self.executed).stem.replace("-", "_")

    @property
    def source(self) -> str:
        """The notebook's file, from the repository's root."""
        return f"notebooks/{self.notebook}.ipynb"

    @property
    def code(self) -> list[str]:
        """The files of ours that the notebook reaches."""
        return code_of(self.source, self.objective)

    @property
    def made_anew(self) -> list[str]:
        """The folders that are removed before it begins.

        Not those of a run that was stopped, from which it goes on: its
        executed notebook is not there, and the folder is.
        """
        stopped = not Path(self.executed).exists()
        anew = []
        for folder in self.folders:
            kept = stopped and folder in self.continued
            if not (kept and Path(folder).exists()):
                anew.append(folder)
        return anew

    @property
    def processes(self) -> int:
        """How many work side by side: those that share a training, or those
        that it splits its own work into.
        """
        devices = self.resolved.get("devices", 1)
        return max(devices, self.parameters.get("jobs", 1))

    @property
    def launcher(self) -> str:
        """Words of a shell before the command, which start it as often as
        processes share the training; none for one process.
        """
        devices = self.resolved.get("devices", 1)
        if devices == 1:
            return ""
        start = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        start += ["--nproc-per-node", str(devices), "--no-python"]
        return shlex.join(start)

    @property
    def flags(self) -> str:
        """Its parameters as words of a shell, for `execute`."""
        words = []
        for name, value in self.parameters.items():
            kind = "-r" if isinstance(value, str) else "-p"
            words += [kind, name, str(value)]
        return shlex.join(words)


def jobs_of(edition: Mapping[str, Any]) -> list[Job]:
    """Return the jobs of an edition, in the order of its notebooks.

    Parameters
    ----------
    edition : mapping
        The content of a file of ``config/``.

    Raises
    ------
    EditionError
        Where it has an unknown entry or a bad name, asks for a notebook that
        does not exist, or gives a parameter that the notebook does not take.
    """
    unknown = set(edition) - ENTRIES
    if unknown:
        raise EditionError(
            f"unknown entries {sorted(unknown)} in the edition's file"
        )
    try:
        pages.check_edition(edition)
        jobs = dict(_jobs_by_notebook(edition))
    except (
        pages.PageError,
        execute.ParameterError,
        FileNotFoundError,
    ) as error:
        raise EditionError(str(error)) from error
    return [job for of_page in jobs.values() for job in of_page]


# the same for all points of a grid; 1000 of them would take half a minute
@cache
def code_of(notebook: str, objective: str | None = None) -> list[str]:
    """Return the files of ours that a notebook reaches, from the repository's
    root, as they are when first asked for.

    Parameters
    ----------
    notebook : str
    objective : str, optional
        The one that it trains; terms of others are not reached.
    """
    unused = execute.unused_imports(objective)
    modules = fingerprint(*_modules_of(notebook), without=unused)
    files = [source_of(module) for module in modules]
    return sorted(str(file.relative_to(ROOT)) for file in files)


@cache
def _modules_of(notebook: str) -> tuple[str, ...]:
    return execute.modules_of(ROOT / notebook)


def _jobs_by_notebook(
    edition: Mapping[str, Any],
) -> Iterator[tuple[str, list[Job]]]:
    """Each notebook that the edition names, with its jobs."""
    known = pages.read_pages(ROOT / "notebooks")
    jobs = {}
    for name, parameters in edition["notebooks"].items():
        if name not in known:
            raise FileNotFoundError(f"there is no notebooks/{name}.ipynb")
        jobs[name] = _jobs_of_page(known[name], parameters, known, edition)
    for name in jobs:
        earlier = pages.waits_for(known[name], known.values())
        # a page that the edition leaves out has brought its results before
        needed = [
            job.executed for page in earlier for job in jobs.get(page, ())
        ]
        for job in jobs[name]:
            job.after = needed
        yield name, jobs[name]


def _jobs_of_page(
    page: pages.Page,
    parameters: Mapping[str, Any],
    known: Mapping[str, pages.Page],
    edition: Mapping[str, Any],
) -> list[Job]:
    """The jobs of one notebook: one, or one for each grid point."""
    name = edition["edition"]
    shown = f"book/executed/{name}/{page.name}.ipynb"
    shared = {"edition": name, **parameters}
    if page.grid:
        runs = _grid_runs(page, shared, edition)
    else:
        runs = {page.name: shared}
    takes = execute.read_parameters(ROOT / f"notebooks/{page.name}.ipynb")
    slots = int(pages.runs_beside_others(page, known.values()))
    priority = int(pages.starts_at_once(page, known.values()))
    jobs = []
    for run, values in runs.items():
        resolved = execute.accepted(takes, values, f"{page.name}.ipynb")
        for made in page.makes:
            pages.check_folder(resolved[made], f"{page.name}: {made}")
        jobs.append(
            Job(
                page.name,
                # the first point of a grid is the one that the book shows
                f"data/executed/{name}/{run}.ipynb" if jobs else shown,
                values,
                resolved,
                [resolved[made] for made in page.makes],
                [resolved[made] for made in page.continues],
                slots,
                priority,
                objective=resolved.get(page.objective),
            )
        )
    return jobs


def _grid_runs(
    page: pages.Page,
    shared: Mapping[str, Any],
    edition: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """The parameters of each point of the grid, by name of the run.

    A name under ``objective`` that is also one of the variants stands for the
    variant's parameters; its runs are named after it.
    """
    (folder,) = page.makes
    variants = edition.get("variants", {})
    runs = {}
    for values in itertools.product(*edition["grid"].values()):
        point = dict(zip(edition["grid"], values, strict=True))
        run = "{objective}-fold{fold}-seed{seed}".format(**point)
        variant = variants.get(point["objective"], {})
        made = f"data/runs/{Path(shared['cohort']).name}/{run}"
        runs[run] = {**shared, **point, **variant, folder: made}
    return runs
