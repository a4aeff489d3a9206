"""The structural components of an AUC (DeLong, DeLong & Clarke-Pearson 1988)
and its covariance.

Every AUC is a mean of components, one a person; scans of one subject are added
up before their spread is taken (Obuchowski 1997).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata
from scipy.stats import t as student

from mmssl.stats.auc import checked, checked_level


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
    scores : array-like, shape (k, n)

    Returns
    -------
    array, shape (k, k)
    """
    scores = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    for row in scores:
        labels, _ = checked(labels, row)
    positive = labels == 1
    n1, n0 = int(positive.sum()), int((~positive).sum())
    if min(n1, n0) < 2:
        raise ValueError(
            f"DeLong needs two rows of each class, found {n0} of 0 and {n1} of 1"
        )
    ranks = rankdata(scores, axis=1)
    # (k, n1)
    v10 = (ranks[:, positive] - rankdata(scores[:, positive], axis=1)) / n0
    # (k, n0)
    v01 = (
        1 - (ranks[:, ~positive] - rankdata(scores[:, ~positive], axis=1)) / n1
    )
    return np.atleast_2d(np.cov(v10)) / n1 + np.atleast_2d(np.cov(v01)) / n0


class Components(NamedTuple):
    """Structural components of an AUC, added up by subject.

    estimate : the AUC.  spread : {class: (subjects,) sums of V - AUC}, 0 for
        who has none.
    people : {class: subjects that have it}.  rows : {class: rows}.
    """

    estimate: float
    spread: dict[int, np.ndarray]
    people: dict[int, int]
    rows: dict[int, int]

    def minus(self, other: Components) -> Components:
        """The components of a difference of AUCs on the same rows."""
        spread = {c: self.spread[c] - other.spread[c] for c in (0, 1)}
        return self._replace(
            estimate=self.estimate - other.estimate, spread=spread
        )

    def share(self, c: int) -> float:
        """Variance that class c contributes."""
        m = self.people[c]
        return float(
            m / (m - 1) * (self.spread[c] ** 2).sum() / self.rows[c] ** 2
        )

    @property
    def variance(self) -> float:
        """Of the estimate; people with scans of both classes tie the two
        (Obuchowski 1997).
        """
        both = len(self.spread[0])
        cross = both / (both - 1) * (self.spread[0] * self.spread[1]).sum()
        return (
            self.share(0)
            + self.share(1)
            + float(2 * cross / (self.rows[0] * self.rows[1]))
        )

    def quantile(self, level: float) -> float:
        """Of Student's t with the degrees of freedom of Brunner and Munzel."""
        shares = np.array([self.share(c) for c in (0, 1)])
        freedom = np.array([self.people[c] - 1 for c in (0, 1)])
        nu = shares.sum() ** 2 / (shares**2 / freedom).sum()
        return float(student.ppf(0.5 + checked_level(level) / 2, nu))


def components(labels, scores, subjects) -> Components:
    """Components of the mean AUC of the rows of scores, (k, n)."""
    subjects = (
        np.arange(len(labels)) if subjects is None else np.asarray(subjects)
    )
    if subjects.shape != labels.shape:
        raise ValueError(
            f"subjects: shape {subjects.shape}, labels {labels.shape}: not equal"
        )
    names, whose = np.unique(subjects, return_inverse=True)
    spread, people, rows, estimate = {}, {}, {}, 0.0
    ranks = rankdata(scores, axis=1)
    for c in (0, 1):
        of = labels == c
        people[c], rows[c] = len(np.unique(whose[of])), int(of.sum())
        if people[c] < 2:
            raise ValueError(
                f"class {c} has {people[c]} subject, an interval needs at least 2"
            )
        below = (ranks[:, of] - rankdata(scores[:, of], axis=1)) / (
            len(labels) - rows[c]
        )
        won = (below if c == 1 else 1 - below).mean(axis=0)  # (rows of c,)
        estimate = float(won.mean())
        spread[c] = np.bincount(
            whose[of], weights=won - estimate, minlength=len(names)
        )
    return Components(estimate, spread, people, rows)
