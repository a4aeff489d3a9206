"""`make calibration`: hold the statistics against worlds whose truth is known.

Prints and writes ``book/calibration.tsv``, which a page of the book shows. ``--share .1`` takes a
tenth of the worlds, ``--output`` writes elsewhere. Exits with 1 if a claim does not hold.
"""

import argparse
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # worlds run side by side, each on one core

import simulations  # noqa: E402
import worlds  # noqa: E402

from mmssl import atomic, ledger, paths  # noqa: E402

MODULES = tuple(f"mmssl.{m}" for m in (
    "adjusted", "agreement", "calibration", "claims.worlds", "confounds", "enhancement",
    "groupmaps", "selection", "stats"))  # fmt: skip


def main() -> None:
    """Run and write the table with its sidecar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the full number of worlds")
    parser.add_argument("--output", default="book/calibration.tsv")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    asked = parser.parse_args()
    start, target, worlds.JOBS = time.perf_counter(), paths.project(asked.output), asked.jobs
    table = simulations.everything(asked.share)
    with atomic.file(target) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format="%.6g")
    drawn = {file.stem: file for file in sorted(HERE.glob("*.py"))
             if file.stem != "run" and not file.stem.startswith("test_")}
    ledger.write_sidecar(
        target, drawn, {"share": asked.share}, worlds.SEED, MODULES,
        {"seconds": round(time.perf_counter() - start), "processes": asked.jobs})
    print(table.drop(columns=["part"]).to_string(index=False, float_format="%.3f"))
    broken = table[table["holds"].eq(False)]
    print(f"{len(broken)} of {table['holds'].notna().sum()} claims do not hold; {target}")
    sys.exit(len(broken) > 0)


if __name__ == "__main__":
    main()
