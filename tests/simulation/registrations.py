"""`make registrations`: whether raw people are found on the template, and
whether a registration that failed is told from one that did not.

Registers simulated raw T1s whose true transform is known, and displaces each
from its true place by a few millimetres to a few centimetres: shifted,
turned, scaled, or all of it. Writes ``book/registrations.tsv``, which the page
of preprocessing shows. The limits of `mmssl.preprocessing.registration_status`
were set on people of other seeds.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import SimpleITK as sitk  # noqa: E402
from scipy.spatial.transform import Rotation  # noqa: E402

from mmssl.cohorts.simulated import images, raw  # noqa: E402
from mmssl.ledger import atomic, paths  # noqa: E402
from mmssl.ledger.code import imports  # noqa: E402
from mmssl.ledger.sidecars import write_sidecar  # noqa: E402
from mmssl.ledger.workers import end_with  # noqa: E402
from mmssl.preprocessing import (  # noqa: E402
    brain,
    quality,
    registration,
    template,
)
from mmssl.preprocessing.registration_status import (  # noqa: E402
    registration_status,
)

SEEDS = (401, 402, 403, 404, 405)
KINDS = ("shifted", "turned", "scaled", "all of it")


def main() -> None:
    """Register and displace everybody, and write the table."""
    options = parse_options()
    people = list(product(options.seeds, range(options.people)))
    worker = {"initializer": start_worker, "initargs": (os.getpid(),)}
    with ProcessPoolExecutor(options.jobs, **worker) as pool:
        tables = list(pool.map(measure, people))
    table = pd.concat(tables, ignore_index=True)
    target = paths.project(options.output)
    with atomic.file(target) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format="%.6g")
    code = imports(Path(__file__).read_text(encoding="utf-8"))
    settings = {"seeds": options.seeds, "people": options.people}
    write_sidecar(
        target, {"script": Path(__file__)}, settings, None, tuple(sorted(code))
    )
    print(pd.crosstab(table["case"], table["status"]))
    print(table.groupby("case")["error"].describe().round(2))
    print(target)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--output", default="book/registrations.tsv")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    return parser.parse_args()


def start_worker(parent: int) -> None:
    """People run side by side, each on one core, and end with the script."""
    end_with(parent)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def measure(who: tuple[int, int]) -> pd.DataFrame:
    """Lines of one person: seed, person, case, error (median over the brain,
    mm), the quality figures, status.
    """
    seed, number = who
    head = raw.raw_t1(number, seed, images.Design())
    t1 = head.t1.astype(np.float32)
    assess = partial(describe, t1, head.affine, head.similarity)
    found = registration.to_template(t1, head.affine).matrix
    lines = [{"case": "found", **assess(found)}]
    rng = np.random.default_rng((seed, number))
    # half of the kinds each, in turn
    for kind in KINDS[number % 2 :: 2]:
        wrong = head.similarity @ displacement(kind, rng)
        lines.append({"case": kind, **assess(wrong)})
    print(f"seed {seed}, person {number}: {lines[0]['error']:.2f} mm")
    return pd.DataFrame(lines).assign(seed=seed, person=number)


def describe(
    t1: np.ndarray, affine: np.ndarray, truth: np.ndarray, matrix: np.ndarray
) -> dict:
    """Error, figures and status of one transform of a T1."""
    mask = brain.brain_mask(t1, affine, matrix)
    figures = quality.similarity_to_template(t1, affine, mask, matrix)
    error = np.median(quality.position_error(matrix, truth))
    status = registration_status(figures)
    return {"error": error, **figures, "status": status}


def displacement(kind: str, rng: np.random.Generator) -> np.ndarray:
    """(4, 4) MNI mm to MNI mm about the centre of the brain."""
    linear, shift = np.eye(3), np.zeros(3)
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    if kind == "shifted":
        shift = direction * rng.uniform(6, 40)
    if kind == "turned":
        angle = np.deg2rad(rng.uniform(10, 60))
        linear = Rotation.from_rotvec(direction * angle).as_matrix()
    if kind == "scaled":
        ends = [(0.7, 0.88), (1.12, 1.35)][rng.integers(2)]
        linear = np.eye(3) * rng.uniform(*ends)
    if kind == "all of it":
        angles = rng.uniform(-25, 25, 3)
        turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
        linear = turn * rng.uniform(0.85, 1.25)
        shift = direction * rng.uniform(6, 30)
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = template.CENTRE - linear @ template.CENTRE + shift
    return matrix


if __name__ == "__main__":
    sys.exit(main())
