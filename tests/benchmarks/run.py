"""`make bench`: hot paths side by side with the peer a user would pick, near
to the limits of this machine, and how their cost grows.

One module beside this one a part: its ``NAME``, a docstring that says what is
measured, and ``measure(rounds)``, which returns the figures; with a ``KIND``
("roofline", "convolutions", "growth") a list of lines instead. Peer and ours
alternate; what is reported is the median over rounds of the ratio in a round,
so a slow moment of the machine hits both. Peak memory comes from a fresh
process each.

Each part is kept in ``data/results/speed``, so that one that was stopped goes
on with the next: without names those are measured that are not there yet or
whose code or machine is another, with names these alone. With all of them
there ``book/speed.json`` is written, which a page of the book shows.

    run.py                    what is missing, then the report
    run.py NAME …             these parts anew, then the report where possible
    run.py --check            the same, then fails if a ratio has fallen
    run.py --commit           the same, then commits the ratios of this class
"""

import argparse
import importlib
import json
import re
import sys
import time
from pathlib import Path

from mmssl.ledger import atomic, paths
from mmssl.ledger.code import imports
from mmssl.ledger.sidecars import (
    read_sidecar,
    stale,
    versions,
    write_sidecar,
)

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import committed_ratios  # noqa: E402
import targets  # noqa: E402
from machine import machine  # noqa: E402

KEPT = paths.project("data/results/speed")
ROUNDS = 7
CHAPTERS = (
    "Seconds of each notebook on its defaults, when the small chain was last "
    "made."
)
TABLES = ("roofline", "convolutions", "growth")


def part_names() -> list[str]:
    """Modules that have a name on the page."""
    names = []
    for path in sorted(HERE.glob("*.py")):
        if re.search(r"^NAME = ", path.read_text(encoding="utf-8"), re.M):
            names.append(path.stem)
    return names


def measured(name: str, rounds: int) -> dict:
    """Measure a part: what it is called and about, on what, and its
    figures.
    """
    module = importlib.import_module(name)
    start = time.perf_counter()
    content = module.measure(rounds)
    kind = getattr(module, "KIND", "figures")
    about = {"name": module.NAME, "about": module.__doc__, "kind": kind}
    took = round(time.perf_counter() - start, 1)
    return about | {"machine": machine(), "took": took, "figures": content}


def keep(name: str, part: dict, rounds: int) -> None:
    """Write a part and which code it measured."""
    KEPT.mkdir(parents=True, exist_ok=True)
    file = KEPT / f"{name}.json"
    _write(file, part)
    write_sidecar(
        file, drivers(name), {"rounds": rounds}, None, measured_code(name)
    )


def drivers(name: str) -> dict[str, Path]:
    """A part's module and those beside it that it imports, by name."""
    found, waiting = {}, [name]
    while waiting:
        one = waiting.pop()
        file = HERE / f"{one}.py"
        if one in found or not file.exists():
            continue
        found[one] = file
        source = file.read_text(encoding="utf-8")
        waiting += re.findall(r"^(?:from|import) (\w+)", source, re.M)
    return dict(sorted(found.items()))


def measured_code(*names: str) -> tuple[str, ...]:
    """Files of the package that parts and their helpers import."""
    code: set[str] = set()
    for name in names:
        for file in drivers(name).values():
            code |= imports(file.read_text(encoding="utf-8"))
    return tuple(sorted(code))


def is_kept(name: str, kind: str) -> bool:
    """Whether a part was measured with this code on this class of hardware."""
    file = KEPT / f"{name}.json"
    if not file.exists() or stale(file):
        return False
    part = json.loads(file.read_text(encoding="utf-8"))
    return part["machine"]["class"] == kind


def chapters() -> dict:
    """Seconds each notebook took on its defaults."""
    folder = paths.project("data/executed/smoke")
    seconds = {}
    for page in sorted(folder.glob("*.ipynb")):
        facts = read_sidecar(page)["facts"]
        seconds[page.stem] = float(facts["seconds"])
    return {
        "name": "Notebooks",
        "about": CHAPTERS,
        "kind": "figures",
        "machine": machine(),
        "figures": seconds,
    }


def report_of(names: list[str]) -> dict:
    """All kept parts as the page reads them."""
    parts = []
    for name in names:
        text = (KEPT / f"{name}.json").read_text(encoding="utf-8")
        parts.append(json.loads(text))
    report = {"machine": machine()}
    report["paths"] = [p for p in parts if p["kind"] == "figures"]
    report["paths"].append(chapters())
    for kind in TABLES:
        report[kind] = [p for p in parts if p["kind"] == kind]
    report["targets"] = targets.held(targets.TARGETS, report)
    return report


def write_report(report: dict, names: list[str], rounds: int) -> Path:
    """Write the report, and beside it which code of the package was
    measured.
    """
    target = paths.project("book/speed.json")
    files: dict[str, Path] = {}
    for name in names:
        files |= drivers(name)
    _write(target, report)
    write_sidecar(
        target, files, {"rounds": rounds}, None, measured_code(*names)
    )
    return target


def _write(file: Path, content: dict) -> None:
    with atomic.file(file) as temporary:
        text = json.dumps(content, indent=1) + "\n"
        temporary.write_text(text, encoding="utf-8")


def show(part: dict) -> None:
    """Print a part's figures or lines."""
    print(f"{part['name']}, {part['took']} s")
    figures = part["figures"]
    if isinstance(figures, dict):
        for key, value in figures.items():
            text = f"{value:.4g}" if isinstance(value, float) else value
            print(f"    {key:48}", text, flush=True)
        return
    for line in figures:
        values = [
            f"{key} {value:.3g}"
            for key, value in line.items()
            if isinstance(value, float)
        ]
        name = line.get("name") or line.get("shape")
        print(f"    {name}: {', '.join(values)}", flush=True)


def main() -> int:
    """Run the parts and write the report; 1 where a ratio has fallen."""
    names = part_names()
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=str(names))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--commit", action="store_true")
    options = parser.parse_args()
    unknown = set(options.names) - set(names)
    if unknown:
        parser.error(f"unknown {sorted(unknown)}, expected of {names}")
    kind = machine()["class"]
    print(kind, versions())
    wanted = options.names or [n for n in names if not is_kept(n, kind)]
    for name in wanted:
        part = measured(name, options.rounds)
        keep(name, part, options.rounds)
        show(part)
    missing = [n for n in names if not is_kept(n, kind)]
    if missing:
        print("no report before these are measured:", *missing)
        return int(options.check)
    report = report_of(names)
    print(write_report(report, names, options.rounds))
    return _compared(report, options.check, options.commit)


def _compared(report: dict, check: bool, commit: bool) -> int:
    """Compare the ratios with those committed, or commit them."""
    if commit:
        measured_now = committed_ratios.ratios(report)
        committed_ratios.commit(report["machine"]["class"], measured_now)
    if not check:
        return 0
    lines = committed_ratios.check(report)
    print("\n".join(lines) or "every committed ratio holds")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
