"""What a profile asks a cluster for, checked before anything starts.

A profile (``config/profiles/<name>/config.yaml``) asks for what every job gets
in Snakemake's ``default-resources``, and in ``set-resources`` for what the
jobs of a notebook get instead, by the notebook's name. A misspelt name would
be ignored, and a job would wait for days in the wrong queue.
"""

import re
from collections.abc import Collection, Iterable, Mapping

NAMES = (
    "clusters",
    "constraint",
    "cpus_per_gpu",
    "cpus_per_task",
    "disk",
    "disk_mb",
    "gpu",
    "gpu_model",
    "gres",
    "mem",
    "mem_mb",
    "mem_mb_per_cpu",
    "mpi",
    "nodes",
    "qos",
    "runtime",
    "slurm_account",
    "slurm_extra",
    "slurm_partition",
    "tasks",
    "tasks_per_gpu",
    "tasks_per_node",
    "tmpdir",
)
"""What Snakemake and its executor for Slurm read."""

NUMBERS = (
    "cpus_per_gpu",
    "cpus_per_task",
    "disk_mb",
    "gpu",
    "mem_mb",
    "mem_mb_per_cpu",
    "nodes",
    "tasks",
    "tasks_per_gpu",
    "tasks_per_node",
)
"""Those of them that are whole numbers."""

EXPRESSION = re.compile(r"\b(attempt|threads|input)\b")
"""What makes a value one that Snakemake computes for each job."""


class ResourceError(ValueError):
    """A profile asks for what no cluster understands."""


def check_defaults(asked: Iterable[str]) -> None:
    """Refuse ``default-resources`` with a bad name or value.

    Parameters
    ----------
    asked : iterable of str
        ``name=value``, as on Snakemake's command line.

    Raises
    ------
    ResourceError
        Naming the resource, the value found and what was expected.
    """
    for text in asked:
        name, _, value = text.partition("=")
        _check(f"default-resources.{name}", name, value)


def check_rules(
    asked: Mapping[str, Mapping[str, str]], rules: Collection[str]
) -> None:
    """Refuse ``set-resources`` with a bad name or value.

    Parameters
    ----------
    asked : {rule: {name: value}}
        Values as they are written.
    rules : collection of str
        Names that may be asked for: of notebooks and of rules.

    Raises
    ------
    ResourceError
        Naming the entry, the value found and what was expected.
    """
    for rule, entries in asked.items():
        if rule not in rules:
            raise ResourceError(
                f"set-resources: found {rule!r}, expected the name of a "
                "notebook or of a run"
            )
        for name, value in entries.items():
            _check(f"set-resources.{rule}.{name}", name, str(value))


def _check(entry: str, name: str, value: str) -> None:
    """ResourceError unless a name is known and its value can be one."""
    if name not in NAMES:
        raise ResourceError(
            f"{entry}: unknown resource, expected one of {', '.join(NAMES)}"
        )
    if name not in NUMBERS or EXPRESSION.search(value):
        return
    if not re.fullmatch(r"-?[0-9]+", value.strip()):
        raise ResourceError(
            f"{entry}: found {value!r}, expected a whole number, or an "
            "expression of attempt, threads or input"
        )
