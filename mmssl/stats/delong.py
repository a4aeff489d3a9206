r"""DeLong's variance of an AUC, and the intervals that rest on it.

Every AUC is a mean of structural components V, one a person: of a patient, the
share of controls whose score is lower; of a control, the share of patients
whose score is higher (DeLong, DeLong & Clarke-Pearson 1988). Their spread
gives the covariance of several AUCs (`delong_covariance`), an interval of one
(`logit_interval`) and of a difference (`difference_interval`). The scans of
one subject are added up before the spread is taken (Obuchowski 1997).

Few patients estimate that spread badly, and a bootstrap, which knows no other
spread, inherits it: intervals here take the quantile of Student's t with the
degrees of freedom of the Brunner-Munzel test (2000),

.. math::
    \nu = \frac{(v_1 + v_0)^2}{v_1^2 / (n_1 - 1) + v_0^2 / (n_0 - 1)}, \quad
    v_c = \mathrm{var}(V_c) / n_c .
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit
from scipy.stats import rankdata
from scipy.stats import t as student

from mmssl.stats.auc import (
    Interval,
    checked_all,
    checked_classes,
    checked_level,
)
from mmssl.stats.intervals import score_interval
from mmssl.stats.missing import all_known


def delong_covariance(labels, scores) -> np.ndarray:
    r"""Covariance of the AUCs of several scores on the same people, rows taken
    as independent.

    .. math:: S = \mathrm{cov}(V_{10}) / n_1 + \mathrm{cov}(V_{01}) / n_0

    with the structural components :math:`V_{10}` of the positives (the share
    of negatives each one exceeds) and :math:`V_{01}` of the negatives, from
    midranks (Sun & Xu 2014).

    Parameters
    ----------
    labels : array-like, shape (n,)
        0 or 1.
    scores : array-like, shape (k, n)
        Larger means class 1.

    Returns
    -------
    array, shape (k, k)

    Raises
    ------
    ValueError
        As `mmssl.stats.auc.roc_auc`; also fewer than two rows in a class.
    """
    labels, scores = checked_all(labels, scores)
    n1, n0 = int((labels == 1).sum()), int((labels == 0).sum())
    if min(n1, n0) < 2:
        raise ValueError(
            f"DeLong needs two rows of each class, found {n0} of 0 and {n1} "
            "of 1"
        )
    placements = _placements(labels, scores)
    positive = np.atleast_2d(np.cov(placements[1]))
    negative = np.atleast_2d(np.cov(placements[0]))
    return positive / n1 + negative / n0


def logit_interval(
    labels, scores, subjects=None, level: float = 0.95
) -> Interval:
    r"""ROC-AUC with Student-t limits on the logit scale: the interval for few
    patients.

    .. math:: \mathrm{logit}\, A \pm t_\nu \frac{\sqrt{v_1 + v_0}}{A (1 - A)}

    In simulated worlds of 22 patients and 66 controls its 95 % holds the truth
    in .95 of them at an AUC of .5, .85 and .95, 2 to 4 % wider than the BCa
    bootstrap (``tests/simulation``). Near an AUC of 1, with patients far more
    spread than controls, it covers less than it says.

    Parameters
    ----------
    labels : array-like, shape (n,)
        0 or 1.
    scores : array-like, shape (n,) or (k, n)
        Larger means class 1; of k scores of the same rows, the mean of their
        AUCs is estimated.
    subjects : array-like, shape (n,), optional
        Whose row it is; by default each row is a person of its own.
    level : float
        Confidence level, in (0, 1).

    Returns
    -------
    Interval
        `method` is "logit t", or "score" (`mmssl.stats.intervals`) where the
        classes are separated perfectly and no spread is left to estimate.

    Raises
    ------
    ValueError
        As `mmssl.stats.auc.roc_auc`; also fewer than two subjects in a class,
        or a level outside (0, 1).
    """
    labels, scores = checked_all(labels, scores)
    return logit_limits(components(labels, scores, subjects), level)


def logit_limits(parts: Components, level: float) -> Interval:
    """`logit_interval` from the components of an AUC."""
    auc, variance = parts.estimate, parts.variance
    if variance <= 0 or not 0 < auc < 1:
        return score_interval(auc, *parts.smallest_problem(), level)
    reach = parts.quantile(level) * np.sqrt(variance) / (auc * (1 - auc))
    low, high = expit(logit(auc) + reach * np.array([-1, 1]))
    return Interval(auc, float(low), float(high), level, "logit t")


def difference_interval(
    labels, scores_a, scores_b, subjects=None, level: float = 0.95
) -> Interval:
    """AUC of `scores_a` minus AUC of `scores_b` on the same people, with
    Student-t limits.

    Parameters and errors as in `logit_interval`; of K > 2 classes scores are
    (K, n) or (k, K, n), and the difference is that of macro averages
    (`mmssl.stats.auc.roc_auc`). Identical rankings differ by exactly 0, and
    the interval is then [0, 0].
    """
    labels, scores_a = checked_classes(labels, scores_a)
    labels, scores_b = checked_classes(labels, scores_b)
    first = components(labels, scores_a, subjects)
    second = components(labels, scores_b, subjects)
    parts = first.minus(second)
    reach = 0.0
    if parts.variance > 0:
        reach = parts.quantile(level) * np.sqrt(parts.variance)
    low = max(-1.0, parts.estimate - reach)
    high = min(1.0, parts.estimate + reach)
    return Interval(parts.estimate, low, high, level, "t")


class Components(NamedTuple):
    """Structural components of an AUC, added up by subject.

    estimate : the AUC.
    spread : {class: (subjects,) sums of V - AUC}, 0 for who has none.
    people : {class: subjects that have it}.
    rows : {class: rows}.
    """

    estimate: float
    spread: dict[int, np.ndarray]
    people: dict[int, int]
    rows: dict[int, int]

    def minus(self, other: Components) -> Components:
        """The components of a difference of AUCs on the same rows."""
        spread = {c: own - other.spread[c] for c, own in self.spread.items()}
        return self._replace(
            estimate=self.estimate - other.estimate, spread=spread
        )

    def smallest_problem(self) -> tuple[int, int]:
        """People of one class and of the others, of whom an AUC is known
        least: of two classes of class 1 and 0, else of the smallest and the
        rest.
        """
        counts = [self.people[c] for c in sorted(self.people)]
        positives = counts[1] if len(counts) == 2 else min(counts)
        return positives, sum(counts) - positives

    def share(self, c: int) -> float:
        """Variance that class c contributes."""
        m = self.people[c]
        squares = (self.spread[c] ** 2).sum()
        return float(m / (m - 1) * squares / self.rows[c] ** 2)

    @property
    def variance(self) -> float:
        """Of the estimate; people with scans of several classes tie these
        (Obuchowski 1997).
        """
        subjects = len(self.spread[0])
        total = sum(self.share(c) for c in self.spread)
        for a, b in combinations(self.spread, 2):
            products = (self.spread[a] * self.spread[b]).sum()
            cross = subjects / (subjects - 1) * products
            total += float(2 * cross / (self.rows[a] * self.rows[b]))
        return total

    @property
    def freedom(self) -> float:
        """Degrees of freedom of Brunner and Munzel."""
        shares = np.array([self.share(c) for c in self.spread])
        freedom = np.array([self.people[c] - 1 for c in self.spread])
        return float(shares.sum() ** 2 / (shares**2 / freedom).sum())

    def quantile(self, level: float) -> float:
        """Of Student's t with these degrees of freedom."""
        return float(student.ppf(0.5 + checked_level(level) / 2, self.freedom))


def components(labels, scores, subjects) -> Components:
    """Components of the mean AUC of scores (k, n), or (k, K, n) of K
    classes.
    """
    if subjects is None:
        subjects = np.arange(len(labels))
    subjects = all_known(subjects, "subjects")
    if subjects.shape != labels.shape:
        raise ValueError(
            f"subjects: shape {subjects.shape}, labels {labels.shape}: not "
            "equal"
        )
    names, subject = np.unique(subjects, return_inverse=True)
    if scores.ndim == 2:
        estimate, parts = _two_class_parts(labels, scores)
    else:
        estimate, parts = _macro_parts(labels, scores)
    spread, people, rows = {}, {}, {}
    for c, part in parts.items():
        members = subject[labels == c]
        people[c], rows[c] = len(np.unique(members)), len(members)
        if people[c] < 2:
            raise ValueError(
                f"class {c} has {people[c]} subject, an interval needs at "
                "least 2"
            )
        spread[c] = np.bincount(
            members, weights=part - float(part.mean()), minlength=len(names)
        )
    return Components(estimate, spread, people, rows)


def _two_class_parts(
    labels: np.ndarray, scores: np.ndarray
) -> tuple[float, dict[int, np.ndarray]]:
    """Mean AUC of scores (k, n), and what each row of a class adds to it,
    {class: (rows of it,)}: the mean over either class is the AUC.
    """
    placements = _placements(labels, scores)
    parts = {c: placements[c].mean(axis=0) for c in (0, 1)}
    return float(parts[1].mean()), parts


def _macro_parts(
    labels: np.ndarray, scores: np.ndarray
) -> tuple[float, dict[int, np.ndarray]]:
    r"""Macro average of the AUCs of scores (k, K, n), and what each row of a
    class adds to it, {class: (rows of it,)}.

    A row i of class c is a positive of the problem "is of class c" and a
    negative of all others. The classes are samples of their own, of fixed
    sizes, so that what a row adds is scaled to its class,

    .. math:: W_i = \frac{1}{K} \sum_k V_{k,i} \frac{n_c}{n_{k,i}},

    with :math:`n_{k,i}` the rows on its side of problem k; within a class W is
    centred by `components`.
    """
    number = scores.shape[1]
    sizes = np.bincount(labels)
    added = np.zeros(len(labels))
    aucs = []
    for k in range(number):
        is_class = labels == k
        placements = _placements(is_class.astype(int), scores[:, k])
        for side, rows in ((1, is_class), (0, ~is_class)):
            value = placements[side].mean(axis=0)
            added[rows] += value * sizes[labels[rows]] / rows.sum()
        aucs.append(placements[1].mean())
    parts = {c: added[labels == c] / number for c in range(number)}
    return float(np.mean(aucs)), parts


def _placements(
    labels: np.ndarray, scores: np.ndarray
) -> dict[int, np.ndarray]:
    """Structural components of each class, {class: (k, rows of it)}: the share
    of the other class that a row is on the right side of, ties one half.
    """
    ranks = rankdata(scores, axis=1)
    lower = {}
    for c in (0, 1):
        rows = labels == c
        others = len(labels) - rows.sum()
        within = rankdata(scores[:, rows], axis=1)
        lower[c] = (ranks[:, rows] - within) / others
    return {0: 1 - lower[0], 1: lower[1]}
