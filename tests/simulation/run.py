"""`python tests/simulation/run.py`: hold the statistics against worlds whose truth is known.

Prints and writes ``data/results/calibration.tsv``; ``--share .1`` takes a tenth of the worlds.
"""

import argparse
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import simulations  # noqa: E402

from mmssl import atomic, ledger, paths  # noqa: E402


def main() -> None:
    """Run and write the table with its sidecar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the full number of worlds")
    parser.add_argument("--output", default="data/results/calibration.tsv")
    asked = parser.parse_args()
    start, target = time.perf_counter(), paths.project(asked.output)
    table = simulations.everything(asked.share)
    with atomic.file(target) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format="%.6g")
    ledger.write_sidecar(
        target, {"simulations": HERE / "simulations.py"}, {"share": asked.share}, simulations.SEED,
        tuple(f"mmssl.{m}" for m in ("adjusted", "calibration", "confounds", "groupmaps", "stats")),
        {"seconds": time.perf_counter() - start})
    print(table.drop(columns=["promised"]).to_string(index=False, float_format="%.3f"))
    broken = table[table["holds"].eq(False)]
    print(f"{len(broken)} of {table['holds'].notna().sum()} claims do not hold; {target}")
    sys.exit(len(broken) > 0)


if __name__ == "__main__":
    main()
