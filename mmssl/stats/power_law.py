"""How a quantity grows or falls with size: exponents of power laws, with their
intervals.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from mmssl.stats.auc import (
    Interval,
    checked_classes,
    checked_level,
    left_out_auc,
    weighted_auc,
)
from mmssl.stats.bootstrap import Clusters, bca_limits


class PowerLaw(NamedTuple):
    """A line through logarithms.

    exponent, low, high : of the size, with its confidence limits; NaN for
        limits where there are two points only, through which a line always
        runs.
    factor : the value at size 1.
    points : how many it was fitted to.
    """

    exponent: float
    low: float
    high: float
    factor: float
    points: int


def power_law(sizes, values, level: float = 0.95) -> PowerLaw:
    r"""Fit :math:`v = f n^a` by least squares of logarithms.

    The limits are Student's, of the residuals; they take these for
    independent, which measurements of one machine need not be.

    Parameters
    ----------
    sizes, values : array-like, shape (n,)
        Above 0.
    level : float
        Confidence level, in (0, 1).

    Raises
    ------
    ValueError
        For shapes that differ, values that are not above 0, or fewer than two
        different sizes.
    """
    level = checked_level(level)
    sizes = _above_zero(sizes, "sizes")
    values = _above_zero(values, "values")
    if sizes.shape != values.shape or len(np.unique(sizes)) < 2:
        raise ValueError(
            f"sizes {sizes.tolist()} with {len(values)} values, expected a "
            "value each, and two different sizes"
        )
    line = stats.linregress(np.log(sizes), np.log(values))
    reach = np.nan
    if len(sizes) > 2:
        quantile = stats.t.ppf(0.5 + level / 2, len(sizes) - 2)
        reach = quantile * line.stderr
    return PowerLaw(
        float(line.slope),
        float(line.slope - reach),
        float(line.slope + reach),
        float(np.exp(line.intercept)),
        len(sizes),
    )


def shortfall_exponent(
    labels,
    scores,
    sizes,
    ceiling: float,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    r"""Exponent with which an AUC falls short of the best one as size grows.

    .. math:: c - \mathrm{AUC}(n) = f n^{-a}

    The exponent :math:`a`, above 0 where more helps, by least squares of
    logarithms. Its BCa interval is over the people tested, the same in every
    size: it says nothing of another training.

    Parameters
    ----------
    labels : array-like, shape (n,)
        0 or 1.
    scores : array-like, shape (sizes, n)
        Of the same people after training on each size.
    sizes : array-like, shape (sizes,)
    ceiling : float
        c, the best AUC there can be.
    resamples, seed, level
        As of `mmssl.stats.bootstrap.auc_interval`.

    Returns
    -------
    Interval
        NaN limits where a resample reaches the ceiling, or none differs; NaN
        all of it where an AUC itself does.

    Raises
    ------
    ValueError
        As `power_law` for sizes, and `auc_interval` for scores.
    """
    level = checked_level(level)
    sizes = _above_zero(sizes, "sizes")
    if np.shape(scores)[:1] != sizes.shape or len(np.unique(sizes)) < 2:
        raise ValueError(
            f"scores of shape {np.shape(scores)} for sizes {sizes.tolist()}, "
            "expected a row each, and two different sizes"
        )
    labels, scores = checked_classes(labels, scores)
    clusters = Clusters(labels, None)
    centred = np.log(sizes) - np.log(sizes).mean()
    slope = centred / (centred**2).sum()

    def exponents(aucs: list[np.ndarray]) -> np.ndarray:
        """Of the AUCs (B,) of each size, (B,)."""
        short = ceiling - np.array(aucs)
        with np.errstate(invalid="ignore"):
            logs = np.log(np.where(short > 0, short, np.nan))
        return -slope @ logs

    def weighted(weights: np.ndarray) -> np.ndarray:
        """Of every weighting of the people, (B,)."""
        return exponents([weighted_auc(labels, s, weights) for s in scores])

    estimate = float(weighted(np.ones((1, len(labels))))[0])
    draws = weighted(clusters.draws(resamples, seed))
    limits = (np.nan, np.nan)
    if np.isfinite(draws).all() and np.ptp(draws) > 0:
        jackknife = exponents(
            [left_out_auc(labels, s, clusters.rows) for s in scores]
        )
        limits = bca_limits(
            estimate, draws, jackknife, clusters.stratum, level
        )
    return Interval(estimate, *limits, level, "BCa")


def _above_zero(values, name: str) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not np.isfinite(values).all() or min(values) <= 0:
        raise ValueError(
            f"{name}: found {values.tolist()}, expected numbers above 0"
        )
    return values
