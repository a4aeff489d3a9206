"""How far an edition is: a line for each of its runs.

    python notebooks/status.py config/demo.yaml

A run is done when its executed notebook is there and everything that it was
made from and made is as it was, by content (`mmssl.ledger.stale`,
`mmssl.ledger.verify`, `mmssl.ledger.stale_files`), with the parameters that
the edition's file has now, and all that it waits for is done. It is stale
where that no longer holds, running while somebody holds its lock, and
failed where its notebook is kept for reading.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jobs
import nbformat
import yaml

from mmssl import ledger
from mmssl.ledger import locks

STATES = ("done", "running", "failed", "stale", "missing")
WIDTH = 100
"""Characters of what is told of a run, at most."""


@dataclass(frozen=True)
class Status:
    """How far one run is.

    Attributes
    ----------
    run : str
        Name of its rule in the workflow.
    state : str
        One of `STATES`.
    told : str
        Who makes it, where it failed, or why it is stale; may be empty.
    facts : mapping
        What its record says of time and memory; empty without one.
    """

    run: str
    state: str
    told: str
    facts: Mapping[str, Any]

    @property
    def core_hours(self) -> float | None:
        """Hours of a processor that it took."""
        seconds = self.facts.get("processor_seconds")
        return None if seconds is None else seconds / 3600

    @property
    def gpu_hours(self) -> float | None:
        """Hours for which it had a GPU, times their number."""
        gpus = self.facts.get("gpus")
        return None if gpus is None else gpus * self.facts["seconds"] / 3600

    @property
    def gigabytes(self) -> float | None:
        """Memory of the largest of its processes."""
        megabytes = self.facts.get("peak_memory_mb")
        return None if megabytes is None else megabytes / 1000


def status_of(job: jobs.Job, root: Path = jobs.ROOT) -> Status:
    """Return how far a run is.

    Parameters
    ----------
    job : Job
    root : Path
        The repository.
    """
    page = root / job.executed
    failed = page.with_suffix(".failed.ipynb")
    owner = locks.owner(page)
    if owner is not None:
        return Status(job.name, "running", owner, {})
    if failed.exists():
        return Status(job.name, "failed", failure(failed), {})
    if not page.exists():
        return Status(job.name, "missing", _left(job, root), {})
    reasons = _reasons(job, page, root)
    try:
        facts = ledger.read_sidecar(page)["facts"]
    except (FileNotFoundError, ValueError):  # among the reasons
        facts = {}
    if not reasons:
        return Status(job.name, "done", "", facts)
    told = reasons[0]
    if len(reasons) > 1:
        told += f" (and {len(reasons) - 1} more)"
    return Status(job.name, "stale", told, facts)


def statuses_of(
    known: Sequence[jobs.Job], root: Path = jobs.ROOT
) -> list[Status]:
    """Return how far all runs of an edition are: one that reads what is not
    done is stale.

    Parameters
    ----------
    known : sequence of Job
        In whatever order.
    root : Path
        The repository.
    """
    found = {job.executed: status_of(job, root) for job in known}
    news = True
    while news:
        news = False
        for job in known:
            undone = [
                p for p in job.after if p in found and found[p].state != "done"
            ]
            own = found[job.executed]
            if undone and own.state == "done":
                first = found[undone[0]]
                told = f"it reads {first.run}, which is {first.state}"
                found[job.executed] = replace(own, state="stale", told=told)
                news = True
    return list(found.values())


def failure(notebook: Path) -> str:
    """Say in which cell a notebook failed, by the number that Jupyter shows,
    and why.
    """
    ran = 0
    for cell in nbformat.read(notebook, as_version=4).cells:
        if not cell.metadata.get("papermill", {}).get("start_time"):
            continue
        # a kernel that dies at once does not tell the number
        ran = cell.get("execution_count") or ran + 1
        for output in cell.get("outputs", ()):
            if output.output_type == "error":
                why = (output.evalue.strip().splitlines() or [""])[0]
                return f"cell [{ran}]: {output.ename}: {why}"
    return f"cell [{ran}]: the kernel died; was it out of memory?"


def table(statuses: Iterable[Status]) -> str:
    """Return the table of all runs, and their sums, as text."""
    statuses = list(statuses)
    width = max(len(status.run) for status in statuses)
    lines = [
        f"{'run':<{width}}  {'state':<8}{'core-h':>8}{'GPU-h':>8}"
        f"{'memory':>10}"
    ]
    for status in statuses:
        told = status.told.replace("\n", " ")
        if len(told) > WIDTH:
            told = f"{told[: WIDTH - 3]}..."
        memory = _number(status.gigabytes, ".1f", " GB")
        line = (
            f"{status.run:<{width}}  {status.state:<8}"
            f"{_number(status.core_hours, '.2f'):>8}"
            f"{_number(status.gpu_hours, '.2f'):>8}{memory:>10}  {told}"
        )
        lines.append(line.rstrip())
    return "\n".join([*lines, "", _sums(statuses)])


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("edition", type=Path, help="a file of config/")
    file = parser.parse_args(arguments).edition
    try:
        edition = yaml.safe_load(file.read_text(encoding="utf-8"))
        known = jobs.jobs_of(edition)
    except (
        FileNotFoundError,
        jobs.EditionError,
        yaml.YAMLError,
    ) as error:
        print(f"{file}: {error}", file=sys.stderr)
        return 2
    print(table(statuses_of(known)))
    return 0


def _reasons(job: jobs.Job, page: Path, root: Path) -> list[str]:
    """Why an executed notebook is not what the edition asks for now."""
    reasons = ledger.stale(page, once=True)
    if not reasons:
        ran = ledger.read_sidecar(page)["parameters"]
        for name, value in job.resolved.items():
            if ran.get(name) != value:
                reasons.append(
                    f"it ran with {name} = {ran.get(name)!r}, the edition has "
                    f"{value!r}"
                )
    for folder in job.folders:
        if not (root / folder).is_dir():
            reasons.append(f"{folder} is gone")
        reasons += [
            f"{folder}: {reason}" for reason in ledger.verify(root / folder)
        ]
        of_runs = ledger.stale_files([root / folder], {})
        for place, found in of_runs.items():
            shown = place.relative_to(root)
            reasons += [f"{shown}: {reason}" for reason in found]
    return reasons


def _left(job: jobs.Job, root: Path) -> str:
    """What a run that was stopped has left, to go on from."""
    for folder in job.continued:
        for place in (folder, f"{folder}.partial"):
            if (root / place).is_dir():
                return f"stopped; goes on from {place}"
    return ""


def _number(value: float | None, layout: str, unit: str = "") -> str:
    """A number, or that nobody recorded it."""
    return "-" if value is None else f"{value:{layout}}{unit}"


def _sums(statuses: list[Status]) -> str:
    """How many runs there are of each state, and what those recorded took."""
    counts = []
    for state in STATES:
        number = sum(status.state == state for status in statuses)
        if number:
            counts.append(f"{number} {state}")
    cores = sum(status.core_hours or 0 for status in statuses)
    gpus = sum(status.gpu_hours or 0 for status in statuses)
    return (
        f"{len(statuses)} runs: {', '.join(counts)}; {cores:.1f} core-hours, "
        f"{gpus:.1f} GPU-hours on record"
    )


if __name__ == "__main__":
    sys.exit(main())
