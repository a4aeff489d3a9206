"""Group maps of 22 and 66 people against SciPy.

A map of rank-biserial correlations has 67,000 voxels, the test of its largest
value 60,000; the one that picks one of 64 dimensions in each of two modalities
anew in each permutation has no peer.
"""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.stats import mannwhitneyu

from mmssl.groupmaps import selection
from mmssl.groupmaps.mann_whitney import max_statistic_test, rank_biserial

NAME = "Group maps"
PATIENTS, CONTROLS = 22, 66  # the hold-out of the "Taxonomy"
VOXELS, PERMUTATIONS = 60_000, 10_000
MODALITIES, DIMENSIONS = ("T1", "fALFF"), 64
SELECTIONS = 1_000  # permutations with the dimension picked anew in each


def people(voxels: int, decimals: int | None = None) -> np.ndarray:
    """Maps of 88 people, tied where ``decimals`` are few."""
    values = (
        np.random.default_rng(0)
        .normal(size=(PATIENTS + CONTROLS, voxels))
        .astype("f4")
    )
    return values if decimals is None else values.round(decimals)


def seconds(call, *arguments, **options) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    call(*arguments, **options)
    return time.perf_counter() - start


def permuted_by_scipy(values: np.ndarray, permutations: int) -> np.ndarray:
    """The obvious way: SciPy's U of every relabelling, and its largest
    deviation.
    """
    rng, group = np.random.default_rng(0), np.arange(len(values)) < PATIENTS
    largest = []
    for _ in range(permutations):
        chosen = rng.permutation(group)
        u = mannwhitneyu(
            values[chosen], values[~chosen], method="asymptotic"
        ).statistic
        largest.append(np.abs(2 * u / (PATIENTS * CONTROLS) - 1).max())
    return np.array(largest)


class Stored:
    """Maps of one modality on disk, a file of float16 (people, voxels) a
    dimension.
    """

    def __init__(self, folder: str, modality: str) -> None:
        self.files = [
            Path(folder) / f"{modality}{k}.npy" for k in range(DIMENSIONS)
        ]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, k: int) -> np.ndarray:
        return np.load(self.files[k])


def store(folder: str) -> None:
    """Write 64 dimensions of both modalities, 1.35 GB of noise."""
    rng = np.random.default_rng(0)
    for modality in MODALITIES:
        for file in Stored(folder, modality).files:
            noise = rng.standard_normal(
                (PATIENTS + CONTROLS, VOXELS), dtype=np.float32
            )
            np.save(file, noise.astype(np.float16))


def selected(folder: str, permutations: int) -> dict[str, selection.Selected]:
    """Test the dimensions that say most in noise: each permutation picks
    others.
    """
    rng, labels = (
        np.random.default_rng(1),
        np.arange(PATIENTS + CONTROLS) < PATIENTS,
    )
    rules = {
        m: selection.strongest(rng.normal(size=(len(labels), DIMENSIONS)))
        for m in MODALITIES
    }
    maps = {m: Stored(folder, m) for m in MODALITIES}
    return selection.selected_test(
        maps, labels, rules, permutations, progress=False
    )


def fresh(*arguments) -> tuple[float, float]:
    """Seconds and peak resident MB of a fresh process (see the end of this
    file).
    """
    command = [sys.executable, __file__, *map(str, arguments)]
    out = subprocess.run(command, check=True, capture_output=True, text=True)
    taken, peak = out.stdout.split()[-2:]
    return float(taken), float(peak)


def measure(rounds: int) -> dict:
    """Time the map, the test of its largest value, and the one that picks a
    dimension inside.
    """
    report, labels = {}, np.arange(PATIENTS + CONTROLS) < PATIENTS
    for name, values in (
        ("map", people(67_000)),
        ("map of ties", people(67_000, 1)),
    ):
        pair = values[labels], values[~labels]
        times = [
            (
                seconds(rank_biserial, *pair),
                seconds(mannwhitneyu, *pair, method="asymptotic"),
            )
            for _ in range(rounds)
        ]
        found, scipy = (
            rank_biserial(*pair),
            mannwhitneyu(*pair, method="asymptotic"),
        )
        error = [
            found.rbc - (2 * scipy.statistic / (PATIENTS * CONTROLS) - 1),
            found.p - scipy.pvalue,
        ]
        report |= {
            f"{name}, ms": 1e3 * statistics.median(ours for ours, _ in times),
            f"{name}, ratio": statistics.median(
                peer / ours for ours, peer in times
            ),
            f"{name}, largest difference of RBC or p": float(
                np.abs(error).max()
            ),
        }
    values, few = people(VOXELS), 3
    times = [
        (
            seconds(
                max_statistic_test,
                values,
                labels,
                PERMUTATIONS,
                progress=False,
            ),
            seconds(permuted_by_scipy, values, few) * PERMUTATIONS / few,
        )
        for _ in range(min(rounds, 3))
    ]
    test, picking = (
        f"{PERMUTATIONS:,} permutations",
        f"{SELECTIONS:,} that pick a dimension",
    )
    report |= {
        f"{test}, s": statistics.median(ours for ours, _ in times),
        f"{test}, ratio": statistics.median(
            peer / ours for ours, peer in times
        ),
        f"{test}, peak MB": fresh(PERMUTATIONS)[1],
        "1 permutation, peak MB": fresh(1)[1],
    }
    with tempfile.TemporaryDirectory() as folder:
        store(folder)
        report[f"{picking}, s"], report[f"{picking}, peak MB"] = fresh(
            SELECTIONS, folder
        )
    return report


if __name__ == "__main__":  # a fresh process that tests once
    labels = np.arange(PATIENTS + CONTROLS) < PATIENTS
    if len(sys.argv) > 2:
        taken = seconds(selected, sys.argv[2], int(sys.argv[1]))
    else:
        values = people(VOXELS)
        taken = seconds(
            max_statistic_test,
            values,
            labels,
            int(sys.argv[1]),
            progress=False,
        )
    # not getrusage: its maximum is inherited from the parent process
    status = Path("/proc/self/status").read_text()
    print(taken, int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024)
