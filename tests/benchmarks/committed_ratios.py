"""What a change of the code must not lose: for each class of hardware the
ratios that were measured on it once, in ``committed_ratios.json``.

A ratio may fall by a quarter, as machines of one class differ and are shared;
below that a check fails.
"""

import json
from collections.abc import Mapping
from pathlib import Path

FILE = Path(__file__).with_suffix(".json")
LOST = 0.25
ENDING = ", ratio"
Ratios = dict[str, float]


def ratios(report: Mapping) -> Ratios:
    """Every ratio of a report: "path: figure" -> value."""
    found = {}
    for path in report["paths"]:
        for name, value in path["figures"].items():
            if name.endswith(ENDING):
                found[f"{path['name']}: {name.removesuffix(ENDING)}"] = value
    return found


def fallen(measured: Ratios, committed: Ratios) -> list[str]:
    """One line for each committed ratio that has fallen by a quarter or more,
    or is not measured any more; empty when all hold.
    """
    lines = []
    for name, before in committed.items():
        least = (1 - LOST) * before
        if name not in measured:
            lines.append(f"{name}: not measured, expected {least:.3g}")
        elif not measured[name] > least:
            lines.append(
                f"{name}: {measured[name]:.3g}, expected above {least:.3g} "
                f"({before:.3g} less a quarter)"
            )
    return lines


def read(file: Path = FILE) -> dict[str, Ratios]:
    """Class of hardware -> ratios."""
    if not file.exists():
        return {}
    return json.loads(file.read_text(encoding="utf-8"))


def commit(kind: str, measured: Ratios, file: Path = FILE) -> None:
    """Write the ratios of a class of hardware, beside those of others."""
    rounded = {name: round(value, 3) for name, value in measured.items()}
    known = read(file) | {kind: dict(sorted(rounded.items()))}
    text = json.dumps(dict(sorted(known.items())), indent=1) + "\n"
    file.write_text(text, encoding="utf-8")


def check(report: Mapping, file: Path = FILE) -> list[str]:
    """Say what has fallen since, on this class of hardware.

    Returns
    -------
    list of str
        Empty when all holds; one line where nothing is committed for the
        class.
    """
    kind = report["machine"]["class"]
    known = read(file)
    if kind not in known:
        return [
            f"no ratios are committed for {kind!r}, only for "
            f"{sorted(known)}: `run.py --commit` writes them"
        ]
    return fallen(ratios(report), known[kind])
