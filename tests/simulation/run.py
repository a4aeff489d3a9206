"""`make simulations`: hold the statistics against worlds whose truth is known.

Prints and writes ``book/simulations.tsv``, which a page of the book shows.
Each simulation leaves its own table in ``data/results/simulations`` and is run
anew only where its code has changed. ``--share .1`` takes a tenth of the
worlds, ``--output`` writes elsewhere. Exits with 1 if a promise is
contradicted.
"""

import argparse
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
# worlds run side by side, each on one core
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pandas as pd  # noqa: E402
import simulations  # noqa: E402
import worlds  # noqa: E402

from mmssl.ledger import atomic, paths
from mmssl.ledger.code import imports
from mmssl.ledger.sidecars import read_sidecar, stale, write_sidecar  # noqa: E402


def main() -> None:
    """Run what is not there yet and write the table with its sidecar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the full number of worlds"
    )
    parser.add_argument("--output", default="book/simulations.tsv")
    parser.add_argument(
        "--parts",
        default="data/results/simulations",
        help="folder of the parts",
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="processes"
    )
    asked = parser.parse_args()
    worlds.JOBS = asked.jobs
    parts = [
        part(run, number, asked.share, paths.project(asked.parts))
        for run, number in simulations.sizes(asked.share).items()
    ]
    table = pd.concat(
        [pd.read_csv(path, sep="\t") for path in parts], ignore_index=True
    )
    seconds = sum(read_sidecar(path)["facts"]["seconds"] for path in parts)
    target = keep(
        table,
        paths.project(asked.output),
        sorted(set(table["part"])),
        asked.share,
        seconds,
    )
    print(
        table.drop(columns=["part"]).to_string(
            index=False, float_format="%.3f"
        )
    )
    broken = table[table["holds"].eq(False)]
    print(
        f"{len(broken)} of {table['holds'].notna().sum()} promises are contradicted; {target}"
    )
    sys.exit(len(broken) > 0)


def part(run, number: int, share: float, folder: Path) -> Path:
    """Where the lines of one simulation are, made if they are not there or of
    other code.
    """
    path = folder / f"{run.__name__}.tsv"
    fresh = not stale(path) and read_sidecar(path)["parameters"] == {
        "share": share
    }
    print(
        f"{run.__name__}: {number} worlds{', as they are' if fresh else ''}",
        flush=True,
    )
    if fresh:
        return path
    start, name = time.perf_counter(), run.__module__
    table = run(number).assign(part=name)
    return keep(table, path, [name], share, time.perf_counter() - start)


def keep(
    table: pd.DataFrame,
    target: Path,
    modules: list[str],
    share: float,
    seconds: float,
):
    """Write a table, and beside it which simulations made it from which code
    of the package.
    """
    drawn = {name: HERE / f"{name}.py" for name in (*modules, "worlds")}
    code = {
        found for file in drawn.values() for found in imports(file.read_text())
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic.file(target) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format="%.6g")
    write_sidecar(
        target,
        drawn,
        {"share": share},
        worlds.SEED,
        tuple(sorted(code)),
        {"seconds": round(seconds), "processes": worlds.JOBS},
    )
    return target


if __name__ == "__main__":
    main()
