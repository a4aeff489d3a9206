"""Tests of what papers print: does it add up, and could so few people have
shown it?

They need no data. The numbers are those of the papers' texts and tables,
quoted in the list of claims; what is sampled is then the papers' own test set,
with the closed forms of `mmssl.stats`.
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

from book.claims.evidence import Found, exact, fisher, normal, of_interval
from mmssl.stats.intervals import proportion_interval, score_interval
from mmssl.stats.power import auc_variance


def total(terms: list[float]) -> Found:
    """Sum of printed numbers."""
    return exact(np.sum(terms), f"{len(terms)} printed numbers")


def difference(first: list[float], second: list[float]) -> Found:
    """Mean of some printed numbers minus the mean of others."""
    count = len(first) + len(second)
    return exact(np.mean(first) - np.mean(second), f"{count} printed numbers")


def ratio(first: list[float], second: list[float]) -> Found:
    """Mean of some printed numbers over the mean of others."""
    count = len(first) + len(second)
    return exact(np.mean(first) / np.mean(second), f"{count} printed numbers")


def smallest_lead(first: list[float], others: dict[str, list[float]]) -> Found:
    """Smallest lead of a line of a printed table over the best of others, over
    its columns.
    """
    columns = _table(first, others)
    return exact(
        np.min(np.array(first) - columns.max(axis=0)),
        f"{len(first)} columns, {len(others)} rivals",
    )


def largest_gap(first: list[float], others: dict[str, list[float]]) -> Found:
    """Largest absolute difference of a line of a printed table to any other,
    over its columns.
    """
    columns = _table(first, others)
    return exact(
        np.abs(np.array(first) - columns).max(),
        f"{len(first)} columns, {len(others)} others",
    )


def correlation(first: list[float], second: list[float]) -> Found:
    r"""Pearson's correlation of two printed columns, with Fisher's interval.

    .. math:: \tanh(\mathrm{artanh}\, r \pm z / \sqrt{n - 3})
    """
    if len(first) != len(second) or len(first) < 4:
        raise ValueError(
            f"columns of {len(first)} and {len(second)}: expected two of 4 or more"
        )
    r = float(np.corrcoef(first, second)[0, 1])
    return fisher(r, (len(first) - 3) ** -0.5, f"{len(first)} methods")


def share(successes: int, cases: int) -> Found:
    """A printed share of independent cases, with Wilson's interval."""
    return of_interval(
        lambda level: proportion_interval(successes, cases, level),
        f"{cases} cases",
    )


def share_difference(
    first: float,
    second: float,
    cases: int,
    correlation: float = 0.5,
    design_effect: float = 1.0,
) -> Found:
    r"""Difference of two printed shares of the same cases (accuracies), were
    they sampled anew.

    Standard error :math:`\sqrt{d\,(V_1 + V_2 - 2 r \sqrt{V_1 V_2})}`, V = p(1
    - p)/n. The correlation of the two and the design effect d of cases that
    come in clusters (1 + (size - 1) ICC, Kish 1965) are not printed: the claim
    says what was assumed.
    """
    v1, v2 = (p * (1 - p) / cases for p in (first, second))
    return _paired(
        first - second, v1, v2, correlation, design_effect, f"{cases} cases"
    )


def auc(value: float, positives: int, negatives: int) -> Found:
    """A printed AUC with the score interval that its group sizes allow
    (Newcombe 2006).
    """
    return of_interval(
        lambda level: score_interval(value, positives, negatives, level),
        f"{positives} + {negatives} people",
    )


def auc_gap(
    first: float,
    second: float,
    positives: int,
    negatives: int,
    correlation: float = 0.5,
    design_effect: float = 1.0,
) -> Found:
    """Difference of two printed AUCs on the same people, with Hanley &
    McNeil's interval (1983).

    Parameters
    ----------
    first, second : float
        AUCs, in [0, 1].
    positives, negatives : int
        People (images) of the test set.
    correlation : float
        Of the two estimates: not printed, assumed. The larger it is, the
        narrower the interval.
    design_effect : float
        By how much clusters (slices of a person) raise the variance.
    """
    v1, v2 = (auc_variance(a, positives, negatives) for a in (first, second))
    return _paired(
        first - second,
        v1,
        v2,
        correlation,
        design_effect,
        f"{positives} + {negatives}, r = {correlation:g}",
    )


def repeats(gap: float, p: float, number: int) -> Found:
    r"""Spread of a paired difference over repeats that a printed p implies.

    A two-sided paired t test of n repeats with mean difference g has :math:`t
    = g \sqrt{n} / s`; solved for s.
    """
    if not 0 < p < 1 or number < 2:
        raise ValueError(
            f"p={p}, repeats={number}: expected 0 < p < 1 and at least 2"
        )
    return exact(
        gap * number**0.5 / stdtrit(number - 1, 1 - p / 2), f"{number} repeats"
    )


def _paired(
    gap: float, v1: float, v2: float, r: float, design: float, sample: str
) -> Found:
    error = np.sqrt(design * (v1 + v2 - 2 * r * np.sqrt(v1 * v2)))
    return normal(
        gap, error, sample, "Hanley & McNeil" if "r =" in sample else "normal"
    )


def _table(first: list[float], others: dict[str, list[float]]) -> np.ndarray:
    """The other lines, (lines, columns), if all have the columns of the
    first.
    """
    if odd := [
        name for name, line in others.items() if len(line) != len(first)
    ]:
        raise ValueError(
            f"others: {', '.join(odd)} differ in length from first ({len(first)})"
        )
    return np.array(list(others.values()), dtype=float)
