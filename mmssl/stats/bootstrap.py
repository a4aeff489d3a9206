"""The bootstrap: subjects resampled within their class, and BCa intervals of a
ROC-AUC and of a gain.

The person is the unit. All scans of one subject are resampled together, and
subjects are resampled within their class, so that every resample keeps the
cohort's proportions. Intervals are bias-corrected and accelerated (BCa, Efron
1987).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.special import ndtr, ndtri

from mmssl.stats.auc import (
    Interval,
    checked_classes,
    checked_level,
    left_out_auc,
    one_against_rest,
    weighted_auc,
)
from mmssl.stats.intervals import score_interval
from mmssl.stats.missing import all_known


def auc_interval(
    labels,
    scores,
    subjects=None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """ROC-AUC with its subject-cluster, class-stratified BCa bootstrap
    interval.

    In 2,000 simulated worlds of 22 patients and 66 controls its 95 % held the
    truth in .939 with null labels (99 % interval .924 to .952), .946 at an AUC
    of .85 and .938 at .95; `mmssl.stats.delong.logit_interval` in the same
    worlds in .948, .952 and .948 (``tests/simulation``).

    Where classes are separated perfectly no resample differs and a bootstrap
    interval would have no width; the score interval
    (`mmssl.stats.intervals.score_interval`) is given instead, and `method`
    says so.

    Parameters
    ----------
    labels : array-like, shape (n,)
    scores : array-like, shape (n,) or (k, n)
        As in `roc_auc`; of k scores of the same rows, the mean of their AUCs
        is estimated. Of K > 2 classes (K, n) or (k, K, n), their macro
        average.
    subjects : array-like, shape (n,), optional
        Whose row it is; by default each row is a person of its own.
    resamples : int
        Bootstrap draws.
    level : float
        Confidence level, in (0, 1).

    Returns
    -------
    Interval
        `method` is "BCa", or "score" under perfect separation.

    Raises
    ------
    ValueError
        As `roc_auc`; also fewer than two subjects in a class, fewer than 100
        resamples, or a level outside (0, 1).
    """
    labels, scores = checked_classes(labels, scores)
    level = checked_level(level)
    clusters = Clusters(labels, subjects)
    estimate, limits = _resampled(
        clusters,
        partial(_mean, weighted_auc, labels, scores),
        _mean(left_out_auc, labels, scores, clusters.rows),
        resamples,
        seed,
        level,
    )
    if limits is None:
        return score_interval(estimate, *clusters.smallest_problem(), level)
    return Interval(estimate, *limits, level, "BCa")


def auc_gain_interval(
    labels,
    scores,
    baseline,
    subjects=None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """AUC of some scores minus that of a baseline's by a paired bootstrap: in
    every resample both are of the same people.

    Parameters
    ----------
    labels, scores, subjects, resamples, seed, level
        As of `auc_interval`.
    baseline : array-like
        Other scores of the same rows, as many or not.

    Returns
    -------
    Interval
        `method` is "BCa"; limits are NaN where all resamples differ by the
        same.

    Raises
    ------
    ValueError
        As `auc_interval`.
    """
    checked, scores = checked_classes(labels, scores)
    _, baseline = checked_classes(labels, baseline)
    level = checked_level(level)
    clusters = Clusters(checked, subjects)

    def gains(weights: np.ndarray) -> np.ndarray:
        """Of weights of the rows, (B,)."""
        own = _mean(weighted_auc, checked, scores, weights)
        return own - _mean(weighted_auc, checked, baseline, weights)

    own = _mean(left_out_auc, checked, scores, clusters.rows)
    estimate, limits = _resampled(
        clusters,
        gains,
        own - _mean(left_out_auc, checked, baseline, clusters.rows),
        resamples,
        seed,
        level,
    )
    return Interval(estimate, *(limits or (np.nan, np.nan)), level, "BCa")


def _mean(
    measure: Callable, labels: np.ndarray, scores: np.ndarray, given
) -> np.ndarray:
    """Mean over scores of `weighted_auc` given weights, or of `left_out_auc`
    given subjects.
    """
    truths, rows = one_against_rest(labels, scores)
    pairs = zip(truths, rows, strict=True)
    return np.mean([measure(truth, row, given) for truth, row in pairs], 0)


def _resampled(
    clusters: Clusters,
    statistic: Callable[[np.ndarray], np.ndarray],
    jackknife: np.ndarray,
    resamples: int,
    seed: int,
    level: float,
) -> tuple[float, tuple[float, float] | None]:
    """A statistic of weighted rows and its BCa limits, with what it is without
    each subject; no limits where no resample differs.
    """
    if resamples < 100:
        raise ValueError(f"resamples must be at least 100, found {resamples}")
    estimate = float(statistic(np.ones((1, len(clusters.rows))))[0])
    draws = statistic(clusters.draws(resamples, seed))
    if np.ptp(draws) == 0:
        return estimate, None
    limits = bca_limits(estimate, draws, jackknife, clusters.stratum, level)
    return estimate, limits


def bca_limits(
    estimate: float,
    draws: np.ndarray,
    jackknife: np.ndarray,
    stratum: np.ndarray,
    level: float,
) -> tuple[float, float]:
    """Limits of the bias-corrected and accelerated bootstrap (Efron 1987).

    Parameters
    ----------
    estimate : float
    draws : array, shape (B,)
        The estimate in each resample.
    jackknife : array, shape (subjects,)
        The estimate without each subject.
    stratum : array, shape (subjects,)
        Within which subjects are drawn.
    level : float
    """
    bias = _bias(estimate, draws)
    acceleration = _acceleration(jackknife, stratum)
    normal = ndtri(np.array([0.5 - level / 2, 0.5 + level / 2]))
    limits = bias + normal
    shares = ndtr(bias + limits / (1 - acceleration * limits))
    low, high = np.quantile(draws, shares)
    return float(low), float(high)


def bias_corrected(
    estimate: float, draws: np.ndarray, level: float
) -> tuple[float, float]:
    """Limits of the bias-corrected percentile bootstrap (Efron 1981).

    Parameters
    ----------
    estimate : float
    draws : array, shape (B,)
        The estimate in each resample.
    level : float
    """
    normal = ndtri(np.array([0.5 - level / 2, 0.5 + level / 2]))
    shares = ndtr(2 * _bias(estimate, draws) + normal)
    low, high = np.quantile(draws, shares)
    return float(low), float(high)


def _bias(estimate: float, draws: np.ndarray) -> float:
    """Normal quantile of the share of draws below the estimate, ties one
    half: 0 for draws whose median is the estimate.
    """
    number = len(draws)
    below = (draws < estimate).sum() + 0.5 * (draws == estimate).sum()
    return ndtri(np.clip(below, 0.5, number - 0.5) / number)


def draw_counts(
    strata: np.ndarray, resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """How often each member is drawn, (resamples, n): with replacement, as
    many from each stratum as it has.

    Parameters
    ----------
    strata : array, shape (n,)
        Whose values are equal belong to one stratum; none may be missing.
    resamples : int
    rng : Generator
    """
    strata = all_known(strata, "strata")
    counts = np.zeros((resamples, len(strata)))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        chances = np.full(len(members), 1 / len(members))
        counts[:, members] = rng.multinomial(
            len(members), chances, size=resamples
        )
    return counts


class Clusters:
    """Subjects, whose rows are resampled together, and their strata.

    rows : (n,) index of each row's subject.
    stratum : (subjects,) the class of who has rows of that class only; the
        number of classes for who has rows of several.
    sizes : (classes,) subjects with rows of that class only.
    """

    def __init__(self, labels: np.ndarray, subjects) -> None:
        if subjects is None:
            subjects = np.arange(len(labels))
        subjects = all_known(subjects, "subjects")
        if subjects.shape != labels.shape:
            raise ValueError(
                f"subjects: shape {subjects.shape}, labels {labels.shape}: "
                "not equal"
            )
        _, self.rows = np.unique(subjects, return_inverse=True)
        number = int(labels.max()) + 1
        has = np.zeros((self.rows.max() + 1, number), dtype=bool)
        has[self.rows, labels] = True
        self.stratum = np.where(has.sum(1) == 1, has.argmax(1), number)
        for label, count in enumerate(has.sum(0).tolist()):
            if count < 2:
                raise ValueError(
                    f"class {label} has {count} subject, an interval needs "
                    "at least 2"
                )

        self.sizes = np.bincount(self.stratum, minlength=number)[:number]

    def smallest_problem(self) -> tuple[int, int]:
        """Subjects of one class and of the others, of whom an AUC is known
        least: of two classes of class 1 and 0, else of the smallest and the
        rest. Who has rows of several counts in none; at least 1.
        """
        positives = self.sizes[1]
        if len(self.sizes) > 2:
            positives = self.sizes.min()
        others = self.sizes.sum() - positives
        return max(1, int(positives)), max(1, int(others))

    def draws(self, resamples: int, seed: int) -> np.ndarray:
        """How often each row is drawn, (resamples, n)."""
        rng = np.random.default_rng(seed)
        return draw_counts(self.stratum, resamples, rng)[:, self.rows]


def _acceleration(jackknife: np.ndarray, stratum: np.ndarray) -> float:
    """Acceleration from estimates that leave out one subject each.

    For several samples as in Davison & Hinkley 1997 (5.23), summed over
    strata.
    """
    cubes, squares = 0.0, 0.0
    for value in np.unique(stratum):
        estimates = jackknife[stratum == value]
        number = len(estimates)
        influence = (number - 1) * (estimates.mean() - estimates) / number
        cubes += (influence**3).sum()
        squares += (influence**2).sum()
    return cubes / (6 * squares**1.5) if squares > 0 else 0.0
