"""What this package should reach on two cores of a CPU, and whether it does.

Ratios are medians over rounds; a target on memory is a share of the peer's.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A limit on one figure of one path.

    Attributes
    ----------
    path, figure : str
        As in the report.
    least, most : float, optional
        One of them.
    why : str
        What was measured where it is missed.
    """

    path: str
    figure: str
    least: float | None = None
    most: float | None = None
    why: str = ""


TARGETS = (
    Target(
        "Training step",
        "bf16, ratio",
        least=3.0,
        why="convolutions alone take most of the step (table of convolutions)",
    ),
    Target(
        "Training step",
        "fp32, ratio",
        least=1.6,
        why="convolutions alone take most of the step (table of convolutions)",
    ),
    Target("Input pipeline", "pairs, ratio", least=50.0),
    Target("InfoNCE", "an edge, ratio", least=3.0),
    Target("InfoNCE", "memory of an edge, share", most=1 / 3),
    Target("SmoothGrad", "fp32, ratio", least=4.0),
    Target("SmoothGrad", "bf16, ratio", least=6.0),
    Target("Group maps", "map, ratio", least=6.0),
    Target("Distortions", "sweep, ratio", least=25.0),
    Target(
        "Preservational learning", "corruptions together, ratio", least=20.0
    ),
    Target("fALFF", "the whole array, ratio", least=1.5),
    Target("One person", "T1 and 164 volumes, s", most=90.0),
    Target("Imports", "mmssl beyond torch, s", most=0.5),
    Target("Imports", "first cell of a notebook, s", most=6.0),
)


def held(targets: tuple[Target, ...], report: Mapping) -> list[dict]:
    """A line for each target: its figure, limit, and whether it is met; None
    where it was not measured.
    """
    figures = {}
    for path in report["paths"]:
        for name, value in path["figures"].items():
            figures[path["name"], name] = value
    lines = []
    for target in targets:
        value = figures.get((target.path, target.figure))
        lines.append(
            {
                "path": target.path,
                "figure": target.figure,
                "least": target.least,
                "most": target.most,
                "value": value,
                "met": value is not None and is_met(value, target),
                "why": target.why,
            }
        )
    return lines


def is_met(value: float, target: Target) -> bool:
    """Whether a figure keeps to its limit, the limit itself included."""
    if target.least is not None:
        return value >= target.least
    return value <= target.most
