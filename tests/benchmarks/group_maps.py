"""Rank-biserial maps and the max-statistic test at the papers' sample against SciPy."""

import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from scipy.stats import mannwhitneyu

from mmssl import groupmaps

PATIENTS, CONTROLS = 22, 66  # the hold-out of the "Taxonomy"
VOXELS, PERMUTATIONS = 60_000, 10_000


def people(voxels: int, decimals: int | None = None) -> np.ndarray:
    """Maps of 88 people, tied where ``decimals`` are few."""
    values = np.random.default_rng(0).normal(size=(PATIENTS + CONTROLS, voxels)).astype("f4")
    return values if decimals is None else values.round(decimals)


def seconds(call, *arguments, **options) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    call(*arguments, **options)
    return time.perf_counter() - start


def permuted_by_scipy(values: np.ndarray, permutations: int) -> np.ndarray:
    """The obvious way: SciPy's U of every relabelling, and its largest deviation."""
    rng, group = np.random.default_rng(0), np.arange(len(values)) < PATIENTS
    largest = []
    for _ in range(permutations):
        chosen = rng.permutation(group)
        u = mannwhitneyu(values[chosen], values[~chosen], method="asymptotic").statistic
        largest.append(np.abs(2 * u / (PATIENTS * CONTROLS) - 1).max())
    return np.array(largest)


def peak_memory(permutations: int) -> float:
    """Peak resident memory in MB of a fresh process that tests so often."""
    command = [sys.executable, __file__, str(permutations)]
    out = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(out.stdout.split()[-1])


def measure(rounds: int) -> dict:
    """Ratios to SciPy of the map (67,000 voxels, 22 against 66) and of 10,000 permutations."""
    report, labels = {}, np.arange(PATIENTS + CONTROLS) < PATIENTS
    for name, values in (("map", people(67_000)), ("map_all_tied", people(67_000, 1))):
        pair = values[labels], values[~labels]
        times = [(seconds(groupmaps.rank_biserial, *pair),
                  seconds(mannwhitneyu, *pair, method="asymptotic")) for _ in range(rounds)]
        report[f"{name}_ms"] = 1e3 * statistics.median(ours for ours, _ in times)
        report[f"{name}_ratio"] = statistics.median(peer / ours for ours, peer in times)
    values, few = people(VOXELS), 3
    times = [(seconds(groupmaps.max_statistic_test, values, labels, PERMUTATIONS, progress=False),
              seconds(permuted_by_scipy, values, few) * PERMUTATIONS / few)
             for _ in range(min(rounds, 3))]
    report["max_statistic_s"] = statistics.median(ours for ours, _ in times)
    report["max_statistic_ratio"] = statistics.median(peer / ours for ours, peer in times)
    report["max_statistic_peak_MB"] = peak_memory(PERMUTATIONS)
    report["without_permutations_peak_MB"] = peak_memory(1)
    return report


if __name__ == "__main__":  # a fresh process that tests once
    labels = np.arange(PATIENTS + CONTROLS) < PATIENTS
    groupmaps.max_statistic_test(people(VOXELS), labels, int(sys.argv[1]), progress=False)
    # not getrusage: its maximum is inherited from the parent process
    status = Path("/proc/self/status").read_text()
    print(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024)
