"""Debiased CKA at n = 4000, d = 64 against its Gram form; a shuffled null
against decomposing every shuffle anew.
"""

import statistics
import time

import numpy as np

from mmssl.similarity.inference import shuffled_null
from mmssl.similarity.measures import cka, measures

NAME = "CKA"
PEOPLE, LATENT = 4000, 64
SHUFFLED, SHUFFLES = 134, 50


def gram(x, y) -> float:
    """Debiased CKA with n by n matrices, as Song et al. 2012 print HSIC_1 and
    most code has it.
    """
    n = len(x)
    k, m = x @ x.T, y @ y.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)

    def hsic(a, b) -> float:
        rows_a, rows_b = a.sum(axis=0), b.sum(axis=0)
        middle = rows_a.sum() * rows_b.sum() / ((n - 1) * (n - 2))
        return (a * b).sum() + middle - 2 / (n - 2) * (rows_a @ rows_b)

    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def anew(x, y) -> None:
    """All measures of shuffled people, each shuffle decomposed again."""
    rng = np.random.default_rng(0)
    for _ in range(SHUFFLES):
        measures(x, y[rng.permutation(len(y))])


def seconds(call, *arguments) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


def measure(rounds: int) -> dict:
    """Medians over alternating rounds, and how far the two values of debiased
    CKA differ.
    """
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, PEOPLE, LATENT))
    few_x, few_y = x[:SHUFFLED], y[:SHUFFLED]
    calls = {
        "Gram form": (gram, x, y),
        "debiased CKA": (cka, x, y, True),
        "shuffles anew": (anew, few_x, few_y),
        "null of 50 shuffles": (shuffled_null, few_x, few_y, SHUFFLES),
    }
    for call in calls.values():
        seconds(*call)  # warm up
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(seconds(*call))
    report = {}
    for name in calls:
        report[f"{name}, ms"] = 1e3 * statistics.median(times[name])
    for peer, ours in (
        ("Gram form", "debiased CKA"),
        ("shuffles anew", "null of 50 shuffles"),
    ):
        ratios = np.divide(times[peer], times[ours])
        report[f"{ours}, ratio"] = statistics.median(ratios.tolist())
    report["difference of both values"] = abs(gram(x, y) - cka(x, y, True))
    return report
