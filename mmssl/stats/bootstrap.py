"""Bootstrap intervals of a ROC-AUC: subjects resampled within their class, BCa
limits.

The person is the unit. All scans of one subject are resampled together, and
subjects are resampled within their class, so that every resample keeps the
cohort's proportions. Intervals are bias-corrected and accelerated (BCa, Efron
1987).
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from mmssl.stats.auc import Interval, checked_all, checked_level, weighted_auc
from mmssl.stats.intervals import score_interval


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
    of .85 and .938 at .95; `logit_interval` in the same worlds in .948, .952
    and .948 (``tests/simulation``).

    Where classes are separated perfectly no resample differs and a bootstrap
    interval would have no width; the score interval (`score_interval`) is
    given instead, and `method` says so.

    Parameters
    ----------
    labels : array-like, shape (n,)
    scores : array-like, shape (n,) or (k, n)
        As in `roc_auc`; of k scores of the same rows, the mean of their AUCs
        is estimated.
    subjects : array-like, shape (n,), optional
        Whose row it is; by default each row is a person of its own.
    resamples : int
        Bootstrap draws.
    level : float
        Confidence level, in (0, 1).

    Raises
    ------
    ValueError
        As `roc_auc`; also fewer than two subjects in a class, or a level
        outside (0, 1).
    """
    labels, scores = checked_all(labels, scores)
    return _bca(
        labels, [scores], Clusters(labels, subjects), resamples, seed, level
    )


def auc_difference(
    labels,
    scores_a,
    scores_b,
    subjects=None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """AUC of `scores_a` minus AUC of `scores_b`, both on the same resamples of
    the same subjects.

    Parameters and errors as in `auc_interval`. Identical rankings differ by
    exactly 0 in every resample, and the interval is then [0, 0].

    With few patients it is too short: in 1,000 simulated worlds of 22 patients
    and 66 controls without a difference its 95 % held 0 in .930 at AUCs of .5
    and in .910 at .85 (99 % interval .884 to .932); `difference_interval`, 3
    to 5 % wider, in .947 and .953.
    """
    labels, scores_a = checked_all(labels, scores_a)
    labels, scores_b = checked_all(labels, scores_b)
    clusters = Clusters(labels, subjects)
    return _bca(labels, [scores_a, scores_b], clusters, resamples, seed, level)


def bias_corrected(
    estimate: float, draws: np.ndarray, level: float
) -> tuple[float, float]:
    """Limits of the bias-corrected percentile bootstrap (Efron 1981)."""
    below = ((draws < estimate).sum() + 0.5 * (draws == estimate).sum()) / len(
        draws
    )
    bias = ndtri(np.clip(below, 0.5 / len(draws), 1 - 0.5 / len(draws)))
    low, high = np.quantile(
        draws, ndtr(2 * bias + ndtri([0.5 - level / 2, 0.5 + level / 2]))
    )
    return float(low), float(high)


class Clusters:
    """Subjects and their strata: only class 0, only class 1, or scans of both.

    rows : (n,) index of each row's subject;  stratum : (subjects,);  sizes :
        {stratum: subjects}
    """

    def __init__(self, labels: np.ndarray, subjects) -> None:
        subjects = (
            np.arange(len(labels))
            if subjects is None
            else np.asarray(subjects)
        )
        if subjects.shape != labels.shape:
            raise ValueError(
                f"subjects: shape {subjects.shape}, labels {labels.shape}: not equal"
            )
        names, self.rows = np.unique(subjects, return_inverse=True)
        share = np.bincount(self.rows, weights=labels) / np.bincount(self.rows)
        self.stratum = np.where(share == 0, 0, np.where(share == 1, 1, 2))
        for label in (0, 1):
            count = int(((self.stratum == label) | (self.stratum == 2)).sum())
            if count < 2:
                raise ValueError(
                    f"class {label} has {count} subject, an interval needs at least 2"
                )

    def draws(self, resamples: int, seed: int) -> np.ndarray:
        """How often each row is drawn, (resamples, n)."""
        rng = np.random.default_rng(seed)
        counts = np.zeros((resamples, len(self.stratum)))
        for stratum in np.unique(self.stratum):
            members = np.flatnonzero(self.stratum == stratum)
            chances = np.full(len(members), 1 / len(members))
            counts[:, members] = rng.multinomial(
                len(members), chances, size=resamples
            )
        return counts[:, self.rows]

    def leave_one_out(self) -> np.ndarray:
        """Each subject left out once, (subjects, n)."""
        return (1.0 - np.eye(len(self.stratum)))[:, self.rows]


def _bca(labels, scores, clusters, resamples, seed, level) -> Interval:
    """BCa limits of the mean AUC of the rows of scores[0], minus scores[1]'s
    if there are two.

    Acceleration for several samples as in Davison & Hinkley 1997 (5.23),
    summed over strata.
    """
    if resamples < 100:
        raise ValueError(f"resamples must be at least 100, found {resamples}")
    level = checked_level(level)

    def statistic(weights: np.ndarray) -> np.ndarray:
        aucs = [
            np.mean([weighted_auc(labels, s, weights) for s in rows], 0)
            for rows in scores
        ]
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
        cubes, squares = (
            cubes + (influence**3).sum(),
            squares + (influence**2).sum(),
        )
    acceleration = cubes / (6 * squares**1.5) if squares > 0 else 0.0
    limits = bias + ndtri(np.array([0.5 - level / 2, 0.5 + level / 2]))
    low, high = np.quantile(
        draws, ndtr(bias + limits / (1 - acceleration * limits))
    )
    return Interval(estimate, float(low), float(high), level, "BCa")
