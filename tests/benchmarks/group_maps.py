"""Group maps of 22 and 66 people against SciPy and nilearn.

A map of rank-biserial correlations has 67,000 voxels, the test of its largest
value 60,000.
"""

import statistics
import sys
import time

import numpy as np
from scipy.stats import mannwhitneyu, rankdata
from timing import clocked, in_turns, mb_of, medians, peak_mb, ratio

from mmssl.groupmaps.mann_whitney import max_statistic_test, rank_biserial

NAME = "Group maps"
PATIENTS, CONTROLS = 22, 66  # the hold-out of the "Taxonomy"
VOXELS, PERMUTATIONS = 60_000, 10_000
NILEARN_PERMUTATIONS = 1000
SCIPY_PERMUTATIONS = 3  # timed; the rest takes as long


def people(voxels: int, decimals: int | None = None) -> np.ndarray:
    """Maps of 88 people, tied where ``decimals`` are few."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(PATIENTS + CONTROLS, voxels)).astype("f4")
    return values if decimals is None else values.round(decimals)


def labels() -> np.ndarray:
    """Who is a patient."""
    return np.arange(PATIENTS + CONTROLS) < PATIENTS


def seconds(call, *arguments, **options) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    call(*arguments, **options)
    return time.perf_counter() - start


def permuted_by_scipy(values: np.ndarray, permutations: int) -> np.ndarray:
    """The obvious way: SciPy's U of every relabelling, and its largest
    deviation.
    """
    rng = np.random.default_rng(0)
    largest = []
    for _ in range(permutations):
        chosen = rng.permutation(labels())
        u = mannwhitneyu(
            values[chosen], values[~chosen], method="asymptotic"
        ).statistic
        largest.append(np.abs(2 * u / (PATIENTS * CONTROLS) - 1).max())
    return np.array(largest)


def measure_map(name: str, values: np.ndarray, rounds: int) -> dict:
    """Time one map beside SciPy's, and compare both results."""
    groups = values[labels()], values[~labels()]
    ours, ratios = [], []
    for _ in range(rounds):
        taken = seconds(rank_biserial, *groups)
        peer = seconds(mannwhitneyu, *groups, method="asymptotic")
        ours.append(taken)
        ratios.append(peer / taken)
    result = rank_biserial(*groups)
    reference = mannwhitneyu(*groups, method="asymptotic")
    rbc = 2 * reference.statistic / (PATIENTS * CONTROLS) - 1
    errors = [result.rbc - rbc, result.p - reference.pvalue]
    return {
        f"{name}, ms": 1e3 * statistics.median(ours),
        f"{name}, ratio": statistics.median(ratios),
        f"{name}, largest difference of RBC or p": float(np.abs(errors).max()),
    }


def measure_test(rounds: int) -> dict:
    """Time the permutation test of the largest value beside SciPy's U of every
    relabelling.
    """
    values = people(VOXELS)
    ours, ratios = [], []
    for _ in range(rounds):
        taken = seconds(
            max_statistic_test, values, labels(), PERMUTATIONS, progress=False
        )
        few = seconds(permuted_by_scipy, values, SCIPY_PERMUTATIONS)
        ours.append(taken)
        ratios.append(few * PERMUTATIONS / SCIPY_PERMUTATIONS / taken)
    test = f"{PERMUTATIONS:,} permutations"
    return {
        **by_nilearn(rounds),
        f"{test}, s": statistics.median(ours),
        f"{test}, ratio": statistics.median(ratios),
        f"{test}, peak MB": mb_of(__file__, PERMUTATIONS),
        "1 permutation, peak MB": mb_of(__file__, 1),
    }


def by_nilearn(rounds: int) -> dict:
    """The same family-wise p by nilearn's `permuted_ols` on ranks, whose t
    orders voxels as the rank-biserial correlation does.
    """
    from nilearn.mass_univariate import permuted_ols

    values = people(VOXELS)
    ranked = rankdata(values, axis=0)
    group = labels().astype(float)[:, None]

    def peer() -> np.ndarray:
        found = permuted_ols(
            group,
            ranked,
            n_perm=NILEARN_PERMUTATIONS,
            random_state=0,
            n_jobs=1,
            output_type="dict",
        )
        return 10 ** -found["logp_max_t"][0]

    def ours() -> np.ndarray:
        number = NILEARN_PERMUTATIONS
        return max_statistic_test(values, labels(), number, progress=False)

    calls = {"nilearn": clocked(peer), "ours": clocked(ours)}
    times = in_turns(calls, min(rounds, 5))
    test = f"{NILEARN_PERMUTATIONS:,} permutations"
    figures = {}
    for name, seconds in medians(times, "s").items():
        figures[f"{test}, {name}"] = seconds
    error = np.abs(peer() - ours()).max()
    return {
        **figures,
        f"{test} to nilearn, ratio": ratio(times, "nilearn", "ours"),
        "largest difference of p, of other permutations": float(error),
    }


def measure(rounds: int) -> dict:
    """Time the map, with and without ties, and the test of its largest
    value.
    """
    report = measure_map("map", people(67_000), rounds)
    report.update(measure_map("map of ties", people(67_000, 1), rounds))
    report.update(measure_test(min(rounds, 3)))
    return report


if __name__ == "__main__":  # a fresh process that tests once
    max_statistic_test(
        people(VOXELS), labels(), int(sys.argv[1]), progress=False
    )
    print(peak_mb())
