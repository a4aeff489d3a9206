"""`make bench`: hot paths side by side with the peer a user would pick, on this machine.

One module beside this one a hot path; its ``measure(rounds)`` returns the figures. Peer and ours
alternate within one process; what is reported is the median over rounds of the ratio in a round,
so a slow moment of the machine hits both. Peak memory comes from a fresh process each. Prints a
table and writes ``data/results/bench.json``; ``run.py NAME …`` measures those alone.
"""

import argparse
import importlib
import json
import platform
import sys
from pathlib import Path

import torch

from mmssl import ledger, paths

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
NAMES = sorted(
    path.stem for path in HERE.glob("*.py") if path.stem not in ("run", "peers", "__init__")
)


def machine() -> dict:
    """What the figures were measured on."""
    return {
        "processor": platform.processor() or platform.machine(),
        "amx": torch.cpu._is_amx_tile_supported(),
        "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),
        "threads": torch.get_num_threads(),
    }


def notebooks() -> dict:
    """Seconds each notebook took on its defaults when the small chain was last made."""
    pages = sorted(paths.project("data/executed/smoke").glob("*.ipynb"))
    return {page.stem: float(ledger.read_sidecar(page)["facts"]["seconds"]) for page in pages}


def show(name: str, result: dict) -> None:
    """Print one block of figures."""
    print(name)
    for key, value in result.items():
        print(f"    {key:28}", f"{value:.4g}" if isinstance(value, float) else value, flush=True)


def main() -> None:
    """Run the benchmarks and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(NAMES)}")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(f"unknown {sorted(unknown)}, expected of {NAMES}")
    path = paths.project("data/results/bench.json")
    report = json.loads(path.read_text()) if path.exists() and arguments.names else {}
    report |= {"machine": machine(), "versions": ledger.versions()}
    show("machine", report["machine"] | report["versions"])
    for name in arguments.names or NAMES:
        report[name] = importlib.import_module(name).measure(arguments.rounds)
        show(name.replace("_", " "), report[name])
    report["notebooks on their defaults, s"] = notebooks()
    show("notebooks on their defaults, s", report["notebooks on their defaults, s"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
