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
    row : str
        Of the table of the roofline: what its time goes to, where the target
        is missed.
    """

    path: str
    figure: str
    least: float | None = None
    most: float | None = None
    row: str = ""


TARGETS = (
    Target(
        "Training step",
        "bf16, ratio",
        least=3.0,
        row="training step, 64³, batch 8, bf16",
    ),
    Target(
        "Training step",
        "fp32, ratio",
        least=1.6,
        row="training step, 64³, batch 8, fp32",
    ),
    Target(
        "Input pipeline",
        "pairs, ratio",
        least=50.0,
        row="input pipeline, 64 pairs of 64³",
    ),
    Target(
        "InfoNCE",
        "an edge, ratio",
        least=3.0,
        row="InfoNCE of an edge, batch 64, 512 places",
    ),
    Target("InfoNCE", "memory of an edge, share", most=1 / 3),
    Target(
        "SmoothGrad",
        "fp32, ratio",
        least=4.0,
        row="SmoothGrad, 32³, 64 dimensions × 5, fp32",
    ),
    Target(
        "SmoothGrad",
        "bf16, ratio",
        least=6.0,
        row="SmoothGrad, 32³, 64 dimensions × 5, bf16",
    ),
    Target("Group maps", "map, ratio", least=6.0),
    Target(
        "Distortions",
        "sweep, ratio",
        least=25.0,
        row="distortion sweep, 10 points, 16 people, 7 models, 32³",
    ),
    Target(
        "Preservational learning",
        "corruptions together, ratio",
        least=20.0,
        row="shuffling, 8 volumes of 64×64×32",
    ),
    Target(
        "fALFF",
        "the whole array, ratio",
        least=1.5,
        row="fALFF, 64×64×36 voxels, 164 volumes",
    ),
    Target("One person", "T1 and 164 volumes, s", most=90.0),
    Target("Imports", "mmssl beyond torch, s", most=0.5),
    Target("Imports", "first cell of a notebook, s", most=6.0),
)


def held(targets: tuple[Target, ...], report: Mapping) -> list[dict]:
    """A line for each target: its figure, limit, and whether it is met; None
    where it was not measured; and what the library calls of its row take.
    """
    rows = {}
    for part in report.get("roofline", ()):
        rows |= {line["name"]: line for line in part["figures"]}
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
                "why": reason(target, value, rows.get(target.row)),
            }
        )
    return lines


def reason(target: Target, value: float | None, row: Mapping | None) -> str:
    """What the library calls of a row of the roofline take by themselves, and
    the ratio that a path of nothing else would have.
    """
    if row is None or row["alone"] is None:
        return ""
    share = row["fraction alone"]
    text = f"{share:.0%} of the time of *{row['name']}* is {row['library']}"
    if value is None or target.least is None:
        return text
    reachable = row["fraction reachable"]
    if reachable > share:
        text += ", and with the other operators as fast as a copy of what "
        text += f"they move {reachable:.0%}"
    return (
        f"{text}; with nothing else the ratio would be {value / reachable:.2g}"
    )


def is_met(value: float, target: Target) -> bool:
    """Whether a figure keeps to its limit, the limit itself included."""
    if target.least is not None:
        return value >= target.least
    return value <= target.most
