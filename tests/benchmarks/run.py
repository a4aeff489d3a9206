"""`make bench`: hot paths side by side with the peer a user would pick, on
this machine.

One module beside this one a hot path: its ``NAME``, a docstring that says what
is measured, and ``measure(rounds)``, which returns the figures. Peer and ours
alternate; what is reported is the median over rounds of the ratio in a round,
so a slow moment of the machine hits both. Peak memory comes from a fresh
process each. Prints all figures and writes ``book/speed.json``, which a page
of the book shows; ``run.py NAME …`` measures those alone and prints them.
"""

import argparse
import importlib
import json
import platform
import re
import sys
from pathlib import Path

import torch

from mmssl.ledger import atomic, paths
from mmssl.ledger.code import imports
from mmssl.ledger.sidecars import read_sidecar, versions, write_sidecar

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
NAMES = sorted(
    path.stem
    for path in HERE.glob("*.py")
    if path.stem not in ("run", "peers", "__init__")
)
CHAPTERS = (
    "Seconds of each notebook on its defaults, when the small chain was last "
    "made."
)


def machine() -> dict:
    """What the figures were measured on."""
    about_processors = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    name = re.search(r"model name\s*: (.+)", about_processors)
    return {
        "processor": name[1] if name else platform.machine(),
        "AMX": torch.cpu._is_amx_tile_supported(),
        "AVX-512 bfloat16": torch.cpu._is_avx512_bf16_supported(),
        "threads": torch.get_num_threads(),
    }


def hot_path(name: str, rounds: int) -> dict:
    """Measure one: what it is called and about, and its figures."""
    module = importlib.import_module(name)
    return {
        "name": module.NAME,
        "about": module.__doc__,
        "figures": module.measure(rounds),
    }


def chapters() -> dict:
    """Seconds each notebook took on its defaults."""
    folder = paths.project("data/executed/smoke")
    seconds = {}
    for page in sorted(folder.glob("*.ipynb")):
        facts = read_sidecar(page)["facts"]
        seconds[page.stem] = float(facts["seconds"])
    return {"name": "Notebooks", "about": CHAPTERS, "figures": seconds}


def show(path: dict) -> dict:
    """Print one hot path's figures, and return it."""
    print(path["name"])
    for key, value in path["figures"].items():
        text = f"{value:.4g}" if isinstance(value, float) else value
        print(f"    {key:44}", text, flush=True)
    return path


def main() -> None:
    """Run the benchmarks and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of: {', '.join(NAMES)}"
    )
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"unknown {sorted(unknown)}, expected of {NAMES}")
    show({"name": "machine", "figures": {**machine(), **versions()}})
    measured = []
    for name in options.names or NAMES:
        measured.append(show(hot_path(name, options.rounds)))
    measured.append(show(chapters()))
    if not options.names:
        report = {"machine": machine(), "paths": measured}
        print(write_report(report, options.rounds))


def write_report(report: dict, rounds: int) -> Path:
    """Write the report, and beside it which code of the package was
    measured.
    """
    target = paths.project("book/speed.json")
    drivers = {name: HERE / f"{name}.py" for name in NAMES}
    code: set[str] = set()
    for file in drivers.values():
        code |= imports(file.read_text(encoding="utf-8"))
    with atomic.file(target) as temporary:
        temporary.write_text(
            json.dumps(report, indent=1) + "\n", encoding="utf-8"
        )
    write_sidecar(
        target, drivers, {"rounds": rounds}, None, tuple(sorted(code))
    )
    return target


if __name__ == "__main__":
    main()
