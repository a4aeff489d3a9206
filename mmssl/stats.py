"""How sure a ROC-AUC is: bootstrap intervals, paired differences, power.

The person is the unit. All scans of one subject are resampled together, and subjects are resampled
within their class, so that every resample keeps the cohort's proportions. Intervals are
bias-corrected and accelerated (BCa, Efron 1987). Two closed forms stand beside the bootstrap:
DeLong's covariance (DeLong, DeLong & Clarke-Pearson 1988) and Hanley & McNeil's variance (1982),
from which power follows without any data.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata


class Interval(NamedTuple):
    """An estimate with its confidence limits and the name of the method that gave them."""

    estimate: float
    low: float
    high: float
    level: float
    method: str


def roc_auc(labels, scores) -> float:
    r"""Area under the ROC curve as a rank statistic, ties counted one half.

    .. math:: \mathrm{AUC} = \frac{\sum_{i \in \mathrm{pos}} r_i - n_1 (n_1 + 1) / 2}{n_1 n_0}

    with :math:`r_i` the midranks of all scores (Hanley & McNeil 1982).

    Parameters
    ----------
    labels : array-like, shape (n,)
        0 or 1; both must occur.
    scores : array-like, shape (n,)
        Larger means class 1.

    Raises
    ------
    ValueError
        One class only, labels other than 0 and 1, scores not finite, shapes that differ.
    """
    labels, scores = _checked(labels, scores)
    return float(_weighted_auc(labels, scores, np.ones((1, len(labels))))[0])


def auc_interval(
    labels, scores, subjects=None, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """ROC-AUC with its subject-cluster, class-stratified BCa bootstrap interval.

    Where classes are separated perfectly no resample differs and a bootstrap interval would have no
    width; the score interval (`score_interval`) is given instead, and `method` says so.

    Parameters
    ----------
    labels : array-like, shape (n,)
    scores : array-like, shape (n,) or (k, n)
        As in `roc_auc`; of k scores of the same rows, the mean of their AUCs is estimated.
    subjects : array-like, shape (n,), optional
        Whose row it is; by default each row is a person of its own.
    resamples : int
        Bootstrap draws.
    level : float
        Confidence level, in (0, 1).

    Raises
    ------
    ValueError
        As `roc_auc`; also fewer than two subjects in a class, or a level outside (0, 1).
    """
    labels, scores = _checked_all(labels, scores)
    return _bca(labels, [scores], _Clusters(labels, subjects), resamples, seed, level)


def auc_difference(
    labels,
    scores_a,
    scores_b,
    subjects=None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """AUC of `scores_a` minus AUC of `scores_b`, both on the same resamples of the same subjects.

    Parameters and errors as in `auc_interval`. Identical rankings differ by exactly 0 in every
    resample, and the interval is then [0, 0].
    """
    labels, scores_a = _checked_all(labels, scores_a)
    labels, scores_b = _checked_all(labels, scores_b)
    clusters = _Clusters(labels, subjects)
    return _bca(labels, [scores_a, scores_b], clusters, resamples, seed, level)


def delong_covariance(labels, scores) -> np.ndarray:
    r"""Covariance of the AUCs of several scores on the same people, rows taken as independent.

    .. math:: S = \mathrm{cov}(V_{10}) / n_1 + \mathrm{cov}(V_{01}) / n_0

    with the structural components :math:`V_{10}` of the positives (the share of negatives each one
    exceeds) and :math:`V_{01}` of the negatives, from midranks (Sun & Xu 2014).

    Parameters
    ----------
    labels : array-like, shape (n,)
    scores : array-like, shape (k, n)

    Returns
    -------
    array, shape (k, k)
    """
    scores = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    for row in scores:
        labels, _ = _checked(labels, row)
    positive = labels == 1
    n1, n0 = int(positive.sum()), int((~positive).sum())
    if min(n1, n0) < 2:
        raise ValueError(f"DeLong needs two rows of each class, found {n0} of 0 and {n1} of 1")
    ranks = rankdata(scores, axis=1)
    v10 = (ranks[:, positive] - rankdata(scores[:, positive], axis=1)) / n0  # (k, n1)
    v01 = 1 - (ranks[:, ~positive] - rankdata(scores[:, ~positive], axis=1)) / n1  # (k, n0)
    return np.atleast_2d(np.cov(v10)) / n1 + np.atleast_2d(np.cov(v01)) / n0


def auc_variance(auc: float, positives: int, negatives: int) -> float:
    r"""Variance of an AUC expected at given group sizes (Hanley & McNeil 1982).

    .. math::
        \frac{A (1 - A) + (n_1 - 1)(Q_1 - A^2) + (n_0 - 1)(Q_2 - A^2)}{n_1 n_0},
        \quad Q_1 = \frac{A}{2 - A}, \; Q_2 = \frac{2 A^2}{1 + A}
    """
    _check_design(auc, positives, negatives)
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    return (auc * (1 - auc) + spread) / (positives * negatives)


def score_interval(auc: float, positives: int, negatives: int, level: float = 0.95) -> Interval:
    """The values A that a two-sided test of the observed AUC against A would not reject.

    Inverts (AUC - A)^2 = z^2 var(A), the variance of `auc_variance` taken at A (Newcombe 2006): it
    keeps its width at an AUC of exactly 0 or 1, where a bootstrap has none.
    """
    _check_design(auc, positives, negatives)
    z = ndtri(0.5 + _checked_level(level) / 2)

    def excess(candidate: float) -> float:
        return (auc - candidate) ** 2 - z**2 * auc_variance(candidate, positives, negatives)

    # the observed value is a root of its own where it has no variance (0 and 1): step off it
    low = brentq(excess, 0.0, auc - 1e-9) if auc > 1e-6 else 0.0
    high = brentq(excess, auc + 1e-9, 1.0) if auc < 1 - 1e-6 else 1.0
    return Interval(float(auc), float(low), float(high), level, "score")


def proportion_interval(successes: int, total: int, level: float = 0.95) -> Interval:
    """A share of independent cases, such as an accuracy, with its score interval (Wilson 1927)."""
    if total < 1 or not 0 <= successes <= total:
        raise ValueError(f"{successes} successes of {total} is no proportion")
    z, share = ndtri(0.5 + _checked_level(level) / 2), successes / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Interval(share, float(low), float(high), level, "Wilson")


def power_of_difference(
    auc: float,
    difference: float,
    positives: int,
    negatives: int,
    correlation: float = 0.5,
    level: float = 0.95,
) -> float:
    r"""Chance that a two-sided paired test finds `auc + difference` to differ from `auc`.

    The standard error of a difference of two AUCs on the same people is
    :math:`\sqrt{V_1 + V_2 - 2 r \sqrt{V_1 V_2}}` (Hanley & McNeil 1983), V from `auc_variance`.

    Parameters
    ----------
    correlation : float
        r of the two AUC estimates, in [-1, 1); `delong_covariance` gives it from scores. 22
        patients and 66 controls, AUC .846 and a difference of .034 have power .14 at r = .72, and
        .10 at r = .5.
    """
    if not -1 <= correlation < 1:
        raise ValueError(f"correlation must be in [-1, 1), found {correlation}")
    first = auc_variance(auc, positives, negatives)
    second = auc_variance(auc + difference, positives, negatives)
    error = np.sqrt(first + second - 2 * correlation * np.sqrt(first * second))
    z = ndtri(0.5 + _checked_level(level) / 2)
    if error == 0:
        return float(difference != 0)
    return float(ndtr(difference / error - z) + ndtr(-difference / error - z))


def minimum_detectable_difference(
    auc: float,
    positives: int,
    negatives: int,
    correlation: float = 0.5,
    power: float = 0.8,
    level: float = 0.95,
) -> float:
    """The smallest gain over `auc` that a paired test would find with the given power.

    NaN where even an AUC of 1 would not be found. Parameters as in `power_of_difference`.
    """
    if not 0 < power < 1:
        raise ValueError(f"power must be in (0, 1), found {power}")

    def shortfall(difference: float) -> float:
        found = power_of_difference(auc, difference, positives, negatives, correlation, level)
        return found - power

    room = 1.0 - auc
    if room <= 0 or shortfall(room) < 0:
        return float("nan")
    return float(brentq(shortfall, 0.0, room))


class _Clusters:
    """Subjects and their strata: only class 0, only class 1, or scans of both.

    rows : (n,) index of each row's subject;  stratum : (subjects,);  sizes : {stratum: subjects}
    """

    def __init__(self, labels: np.ndarray, subjects) -> None:
        subjects = np.arange(len(labels)) if subjects is None else np.asarray(subjects)
        if subjects.shape != labels.shape:
            raise ValueError(f"subjects: shape {subjects.shape}, labels {labels.shape}: not equal")
        names, self.rows = np.unique(subjects, return_inverse=True)
        share = np.bincount(self.rows, weights=labels) / np.bincount(self.rows)
        self.stratum = np.where(share == 0, 0, np.where(share == 1, 1, 2))
        for label in (0, 1):
            count = int(((self.stratum == label) | (self.stratum == 2)).sum())
            if count < 2:
                raise ValueError(f"class {label} has {count} subject, an interval needs at least 2")

    def draws(self, resamples: int, seed: int) -> np.ndarray:
        """How often each row is drawn, (resamples, n)."""
        rng = np.random.default_rng(seed)
        counts = np.zeros((resamples, len(self.stratum)))
        for stratum in np.unique(self.stratum):
            members = np.flatnonzero(self.stratum == stratum)
            chances = np.full(len(members), 1 / len(members))
            counts[:, members] = rng.multinomial(len(members), chances, size=resamples)
        return counts[:, self.rows]

    def leave_one_out(self) -> np.ndarray:
        """Each subject left out once, (subjects, n)."""
        return (1.0 - np.eye(len(self.stratum)))[:, self.rows]


def _bca(labels, scores, clusters, resamples, seed, level) -> Interval:
    """BCa limits of the mean AUC of the rows of scores[0], minus scores[1]'s if there are two.

    Acceleration for several samples as in Davison & Hinkley 1997 (5.23), summed over strata.
    """
    if resamples < 100:
        raise ValueError(f"resamples must be at least 100, found {resamples}")
    level = _checked_level(level)

    def statistic(weights: np.ndarray) -> np.ndarray:
        aucs = [np.mean([_weighted_auc(labels, s, weights) for s in rows], 0) for rows in scores]
        return aucs[0] if len(aucs) == 1 else aucs[0] - aucs[1]

    estimate = float(statistic(np.ones((1, len(labels))))[0])
    draws = statistic(clusters.draws(resamples, seed))
    if np.ptp(draws) == 0:
        if len(scores) == 2:
            return Interval(estimate, estimate, estimate, level, "BCa")
        sizes = [max(1, int((clusters.stratum == c).sum())) for c in (1, 0)]
        return score_interval(estimate, *sizes, level)
    below = (draws < estimate).sum() + 0.5 * (draws == estimate).sum()
    bias = ndtri(np.clip(below, 0.5, resamples - 0.5) / resamples)
    jackknife, cubes, squares = statistic(clusters.leave_one_out()), 0.0, 0.0
    for stratum in np.unique(clusters.stratum):
        values = jackknife[clusters.stratum == stratum]
        influence = (len(values) - 1) * (values.mean() - values) / len(values)
        cubes, squares = cubes + (influence**3).sum(), squares + (influence**2).sum()
    acceleration = cubes / (6 * squares**1.5) if squares > 0 else 0.0
    limits = bias + ndtri(np.array([0.5 - level / 2, 0.5 + level / 2]))
    low, high = np.quantile(draws, ndtr(bias + limits / (1 - acceleration * limits)))
    return Interval(estimate, float(low), float(high), level, "BCa")


def _weighted_auc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUC of every weighting of the rows at once, (B,) from weights (B, n).

    Rows are sorted once; positives count the negatives below them by a running sum, ties by one
    half.
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) != 0])
    drawn = weights[:, order]
    positive = np.add.reduceat(drawn * labels[order], starts, axis=1)  # (B, distinct scores)
    negative = np.add.reduceat(drawn * (1 - labels[order]), starts, axis=1)
    below = np.cumsum(negative, axis=1) - 0.5 * negative
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return (positive * below).sum(axis=1) / pairs


def _checked(labels, scores) -> tuple[np.ndarray, np.ndarray]:
    """Labels as int64 and scores as float64, both (n,), or a ValueError saying what is wrong."""
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape:
        found = f"{labels.shape} and {scores.shape}"
        raise ValueError(f"labels and scores must both be (n,), found {found}")
    found = np.unique(labels)
    if not np.isin(found, (0, 1)).all():
        raise ValueError(f"labels must be 0 or 1, found {found[:5].tolist()}")
    if len(found) < 2:
        raise ValueError(f"labels hold one class only ({found.tolist()}): AUC needs 0 and 1")
    if not np.isfinite(scores).all():
        count = int((~np.isfinite(scores)).sum())
        raise ValueError(f"scores hold {count} values that are not finite")
    return labels.astype(np.int64), scores


def _checked_all(labels, scores) -> tuple[np.ndarray, np.ndarray]:
    """As `_checked`, for one or several scores of the same rows: (n,) and (k, n)."""
    checked = [_checked(labels, row) for row in np.atleast_2d(np.asarray(scores))]
    return checked[0][0], np.stack([row for _, row in checked])


def _checked_level(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), found {level}")
    return level


def _check_design(auc: float, positives: int, negatives: int) -> None:
    if not 0 <= auc <= 1:
        raise ValueError(f"auc must be in [0, 1], found {auc}")
    if positives < 1 or negatives < 1:
        raise ValueError(f"both groups need a person, found {positives} and {negatives}")
