"""Tests of what papers print: does it add up, and could so few people have
shown it?

They need no data. The numbers are those of the papers' texts and tables,
quoted in the list of claims; what is sampled is then the papers' own test set,
with the closed forms of `mmssl.stats`.
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

from book.claims.evidence import (
    Finding,
    exact,
    fisher,
    from_interval,
    normal,
)
from mmssl.stats.intervals import proportion_interval, score_interval
from mmssl.stats.power import auc_variance


def total(terms: list[float]) -> Finding:
    """Sum of printed numbers."""
    return exact(np.sum(terms), f"{len(terms)} printed numbers")


def difference(first: list[float], second: list[float]) -> Finding:
    """Mean of some printed numbers minus the mean of others."""
    count = len(first) + len(second)
    return exact(np.mean(first) - np.mean(second), f"{count} printed numbers")


def ratio(first: list[float], second: list[float]) -> Finding:
    """Mean of some printed numbers over the mean of others."""
    count = len(first) + len(second)
    return exact(np.mean(first) / np.mean(second), f"{count} printed numbers")


def smallest_lead(
    first: list[float], others: dict[str, list[float]]
) -> Finding:
    """Smallest lead of a line of a printed table over the best of others, over
    its columns.
    """
    best_other = _other_lines(first, others).max(axis=0)
    return exact(
        np.min(np.array(first) - best_other),
        f"{len(first)} columns, {len(others)} competitors",
    )


def largest_gap(first: list[float], others: dict[str, list[float]]) -> Finding:
    """Largest absolute difference of a line of a printed table to any other,
    over its columns.
    """
    gaps = np.array(first) - _other_lines(first, others)
    return exact(
        np.abs(gaps).max(), f"{len(first)} columns, {len(others)} others"
    )


def correlation(first: list[float], second: list[float]) -> Finding:
    r"""Pearson's correlation of two printed columns, with Fisher's interval.

    .. math:: \tanh(\mathrm{artanh}\, r \pm z / \sqrt{n - 3})
    """
    if len(first) != len(second) or len(first) < 4:
        raise ValueError(
            f"columns of {len(first)} and {len(second)}: expected two of 4 or "
            "more"
        )
    r = float(np.corrcoef(first, second)[0, 1])
    return fisher(r, (len(first) - 3) ** -0.5, f"{len(first)} methods")


def share(successes: int, cases: int) -> Finding:
    """A printed share of independent cases, with Wilson's interval."""

    def interval(level):
        return proportion_interval(successes, cases, level)

    return from_interval(interval, f"{cases} cases")


def share_difference(
    first: float,
    second: float,
    cases: int,
    correlation: float = 0.5,
    design_effect: float = 1.0,
) -> Finding:
    r"""Difference of two printed shares of the same cases (accuracies), were
    they sampled anew.

    Standard error :math:`\sqrt{d\,(V_1 + V_2 - 2 r \sqrt{V_1 V_2})}`, V = p(1
    - p)/n. The correlation of the two and the design effect d of cases that
    come in clusters (1 + (size - 1) ICC, Kish 1965) are not printed: the claim
    says what was assumed.
    """
    error = _paired_error(
        first * (1 - first) / cases,
        second * (1 - second) / cases,
        correlation,
        design_effect,
    )
    return normal(first - second, error, f"{cases} cases", "normal")


def auc(value: float, positives: int, negatives: int) -> Finding:
    """A printed AUC with the score interval that its group sizes allow
    (Newcombe 2006).
    """

    def interval(level):
        return score_interval(value, positives, negatives, level)

    return from_interval(interval, f"{positives} + {negatives} people")


def auc_gap(
    first: float,
    second: float,
    positives: int,
    negatives: int,
    correlation: float = 0.5,
    design_effect: float = 1.0,
) -> Finding:
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
    error = _paired_error(
        auc_variance(first, positives, negatives),
        auc_variance(second, positives, negatives),
        correlation,
        design_effect,
    )
    sample = f"{positives} + {negatives}, r = {correlation:g}"
    return normal(first - second, error, sample, "Hanley & McNeil")


def implied_spread(gap: float, p: float, repeats: int) -> Finding:
    r"""Spread of a paired difference over repeats that a printed p implies.

    A two-sided paired t test of n repeats with mean difference g has :math:`t
    = g \sqrt{n} / s`; solved for s.
    """
    if not 0 < p < 1 or repeats < 2:
        raise ValueError(
            f"p={p}, repeats={repeats}: expected 0 < p < 1 and at least 2"
        )
    t = stdtrit(repeats - 1, 1 - p / 2)
    return exact(gap * repeats**0.5 / t, f"{repeats} repeats")


def _paired_error(
    first_variance: float,
    second_variance: float,
    correlation: float,
    design_effect: float,
) -> float:
    """Standard error of a difference of two estimates on the same cases."""
    covariance = correlation * np.sqrt(first_variance * second_variance)
    variance = first_variance + second_variance - 2 * covariance
    return np.sqrt(design_effect * variance)


def _other_lines(
    first: list[float], others: dict[str, list[float]]
) -> np.ndarray:
    """The other lines, (lines, columns), if all have the columns of the
    first.
    """
    odd = [name for name, line in others.items() if len(line) != len(first)]
    if odd:
        raise ValueError(
            f"others: {', '.join(odd)} differ in length from first "
            f"({len(first)})"
        )
    return np.array(list(others.values()), dtype=float)
