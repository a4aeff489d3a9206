"""`make simulations`: hold the statistics against worlds whose truth is known.

Prints and writes ``book/simulations.tsv``, which a page of the book shows.
Each simulation leaves its own table in ``data/results/simulations`` and is run
anew only where its code has changed. ``--share .1`` takes a tenth of the
worlds, ``--output`` writes elsewhere. Exits with 1 if a nominal rate is
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

from mmssl.ledger import atomic, paths  # noqa: E402
from mmssl.ledger.code import imports  # noqa: E402
from mmssl.ledger.sidecars import (  # noqa: E402
    read_sidecar,
    stale,
    write_sidecar,
)


def main() -> None:
    """Run what is not there yet and write the table with its sidecar."""
    options = parse_options()
    worlds.JOBS = options.jobs
    folder = paths.project(options.parts)
    files = [
        simulate(simulation, number, options.share, folder)
        for simulation, number in simulations.sizes(options.share).items()
    ]
    tables = [pd.read_csv(file, sep="\t") for file in files]
    table = pd.concat(tables, ignore_index=True)
    seconds = sum(read_sidecar(file)["facts"]["seconds"] for file in files)
    target = write_table(
        table,
        paths.project(options.output),
        sorted(set(table["part"])),
        options.share,
        seconds,
    )
    shown = table.drop(columns=["part"])
    print(shown.to_string(index=False, float_format="%.3f"))
    contradicted = int(table["holds"].eq(False).sum())
    print(
        f"{contradicted} of {table['holds'].notna().sum()} nominal rates are "
        f"contradicted; {target}"
    )
    sys.exit(contradicted > 0)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
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
    return parser.parse_args()


def simulate(simulation, number: int, share: float, folder: Path) -> Path:
    """Return the file with the lines of one simulation, made if it is not
    there or of other code.
    """
    path = folder / f"{simulation.__name__}.tsv"
    if not stale(path):
        if read_sidecar(path)["parameters"] == {"share": share}:
            print(f"{simulation.__name__}: as it is", flush=True)
            return path
    print(f"{simulation.__name__}: {number} worlds", flush=True)
    start = time.perf_counter()
    part = simulation.__module__
    table = simulation(number).assign(part=part)
    seconds = time.perf_counter() - start
    return write_table(table, path, [part], share, seconds)


def write_table(
    table: pd.DataFrame,
    target: Path,
    parts: list[str],
    share: float,
    seconds: float,
) -> Path:
    """Write a table, and beside it which simulations made it from which code
    of the package.
    """
    drivers = {name: HERE / f"{name}.py" for name in (*parts, "worlds")}
    code: set[str] = set()
    for file in drivers.values():
        code |= imports(file.read_text(encoding="utf-8"))
    with atomic.file(target) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format="%.6g")
    write_sidecar(
        target,
        drivers,
        {"share": share},
        worlds.SEED,
        tuple(sorted(code)),
        {"seconds": round(seconds), "processes": worlds.JOBS},
    )
    return target


if __name__ == "__main__":
    main()
