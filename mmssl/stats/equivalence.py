r"""Groups of people side by side: the AUC in each, the gap of two, whether
they are equivalent.

Two groups share nobody, so their AUCs are independent, and the gap's limits
follow from those of each (square and add; Zou & Donner 2008):

.. math::
    d = A - B, \quad d_{\mathrm{low}} = d - \sqrt{(A - l_A)^2 + (u_B - B)^2}, \quad
    d_{\mathrm{high}} = d + \sqrt{(u_A - A)^2 + (B - l_B)^2}

with the limits l, u of `logit_interval`. No difference found is not
equivalence shown: that takes two one-sided tests against a margin (TOST;
Schuirmann 1987).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import brentq

from mmssl.stats.auc import Interval, checked_all, checked_level
from mmssl.stats.delong import components
from mmssl.stats.intervals import logit_interval, logit_limits
from mmssl.stats.power import minimum_detectable_gap

if TYPE_CHECKING:
    import pandas as pd


class Gap(NamedTuple):
    """AUC of a first group minus AUC of a second, independent one.

    first, second : the AUC of each.
    gap : their difference.
    p : two-sided, against no gap; the limits of `gap` exclude 0 just where p <
        1 - level.
    margin : what counts as equivalent.
    equivalence_p : of the two one-sided tests; .5 where the gap found is not
        inside the margin.
    detectable : the fall from the first AUC that these numbers would find with
        power .8, by a
        test at the level of `gap`.
    """

    first: Interval
    second: Interval
    gap: Interval
    p: float
    margin: float
    equivalence_p: float
    detectable: float

    @property
    def verdict(self) -> str:
        """different, equivalent (within the margin), both, or neither: too few
        people to say.
        """
        alpha = 1 - self.gap.level
        different, equivalent = self.p < alpha, self.equivalence_p < alpha
        if different and equivalent:
            return "different, within the margin"
        return (
            "different"
            if different
            else "equivalent"
            if equivalent
            else "undecided"
        )


def auc_gap(
    labels,
    scores,
    second,
    subjects=None,
    margin: float = 0.1,
    level: float = 0.95,
) -> Gap:
    """Compare the AUC of two groups of people, with an equivalence test.

    Parameters
    ----------
    labels : array-like, shape (n,)
        0 or 1; both in each group.
    scores : array-like, shape (n,) or (k, n)
        Of k scores of the same rows, such as those of k folds, the mean of
        their AUCs counts.
    second : array-like of bool, shape (n,)
        Who belongs to the second group.
    subjects : array-like, shape (n,), optional
    margin : float
        Gap in either direction below which the groups are called equivalent.
    level : float

    Raises
    ------
    ValueError
        As `logit_interval`; also for a person in both groups, or a margin that
        is not positive.
    """
    labels, scores = checked_all(labels, scores)
    second = np.asarray(second, dtype=bool)
    subjects = (
        np.arange(len(labels)) if subjects is None else np.asarray(subjects)
    )
    if second.shape != labels.shape or subjects.shape != labels.shape:
        raise ValueError(
            f"second: shape {second.shape}, subjects {subjects.shape}, expected "
            f"{labels.shape} as the labels"
        )
    if shared := set(subjects[second].tolist()) & set(
        subjects[~second].tolist()
    ):
        raise ValueError(
            f"{len(shared)} subjects are in both groups: they are not independent"
        )
    if not margin > 0:
        raise ValueError(f"margin is {margin}, expected above 0")
    checked_level(level)

    parts = [
        components(labels[of], scores[:, of], subjects[of])
        for of in (~second, second)
    ]

    def gap(alpha: float) -> Interval:
        return _gap(*(logit_limits(one, 1 - alpha) for one in parts))

    a, b = (logit_limits(one, level) for one in parts)
    p = _smallest(lambda alpha: max(gap(alpha).low, -gap(alpha).high))
    # two one-sided tests at alpha are the limits at 1 - 2 alpha
    one_sided = (
        _smallest(
            lambda alpha: min(
                margin - gap(alpha).high, margin + gap(alpha).low
            )
        )
        / 2
    )
    sizes = [(one.people[1], one.people[0]) for one in parts]
    return Gap(
        a,
        b,
        _gap(a, b),
        p,
        margin,
        one_sided,
        minimum_detectable_gap(a.estimate, *sizes, level=level),
    )


def auc_by_group(
    labels,
    scores,
    groups,
    subjects=None,
    reference=None,
    margin: float = 0.1,
    level: float = 0.95,
) -> pd.DataFrame:
    """The AUC of every group and its gap to a reference group.

    Parameters
    ----------
    labels, scores, subjects, margin, level
        As in `auc_gap`.
    groups : array-like, shape (n,)
    reference : optional
        A value of `groups`; by default the group with the most rows.

    Returns
    -------
    DataFrame
        One line a group, the reference first: group, people, positives, auc,
        low, high; error, the standard error of a normal with the AUC's limits
        at .95, whatever the level; gap to the reference with gap_low,
        gap_high, p, equivalence_p, verdict, detectable (NaN and "" for the
        reference itself). The largest gap of many is large by chance too:
        `spread_by_chance`.
    """
    import pandas as pd

    groups, labels = np.asarray(groups), np.asarray(labels)
    scores = np.atleast_2d(np.asarray(scores))
    subjects = (
        np.arange(len(labels)) if subjects is None else np.asarray(subjects)
    )
    values, counts = np.unique(groups, return_counts=True)
    first = values[counts.argmax()] if reference is None else reference
    if first not in values:
        raise ValueError(
            f"reference is {first!r}, expected one of {values.tolist()}"
        )
    lines = []
    for group in (first, *(v for v in values if v != first)):
        of = groups == group
        auc, usual = (
            logit_interval(labels[of], scores[:, of], subjects[of], at)
            for at in (level, 0.95)
        )
        positives, negatives = _sizes(labels[of], subjects[of])
        line = {
            "group": group,
            "people": len(np.unique(subjects[of])),
            "positives": positives,
            "auc": auc.estimate,
            "low": auc.low,
            "high": auc.high,
            "verdict": "",
            "error": (usual.high - usual.low) / (2 * 1.959964),
        }
        if group != first:
            pair = of | (groups == first)
            found = auc_gap(
                labels[pair],
                scores[:, pair],
                of[pair],
                subjects[pair],
                margin,
                level,
            )
            line |= {
                "gap": found.gap.estimate,
                "gap_low": found.gap.low,
                "gap_high": found.gap.high,
                "p": found.p,
                "verdict": found.verdict,
                "equivalence_p": found.equivalence_p,
                "detectable": found.detectable,
            }
        lines.append(line)
    return pd.DataFrame(lines)


def spread_by_chance(
    table: pd.DataFrame, draws: int = 10_000, seed: int = 0
) -> pd.Series:
    """Largest AUC minus smallest over groups, beside what equal groups of
    these sizes would show.

    Parameters
    ----------
    table : DataFrame
        Of `auc_by_group`.

    Returns
    -------
    Series
        observed; expected and upper (95th percentile) if all groups had one
        AUC and the errors in the table; p.
    """
    import pandas as pd

    errors = table["error"].to_numpy()
    noise = (
        np.random.default_rng(seed).normal(size=(draws, len(table))) * errors
    )
    chance, observed = (
        np.ptp(noise, axis=1),
        float(np.ptp(table["auc"].to_numpy())),
    )
    return pd.Series(
        {
            "observed": observed,
            "expected": chance.mean(),
            "upper": np.quantile(chance, 0.95),
            "p": (1 + (chance >= observed).sum()) / (1 + draws),
        }
    )


def _smallest(condition) -> float:
    """The smallest alpha in [1e-6, 1] from which on `condition(alpha)` is
    positive.
    """
    low, high = 1e-6, 0.999
    if condition(low) > 0:
        return low
    return float(brentq(condition, low, high)) if condition(high) > 0 else 1.0


def _gap(a: Interval, b: Interval) -> Interval:
    """Square and add."""
    d = a.estimate - b.estimate
    low = d - np.hypot(a.estimate - a.low, b.high - b.estimate)
    high = d + np.hypot(a.high - a.estimate, b.estimate - b.low)
    return Interval(d, float(low), float(high), a.level, "square and add")


def _sizes(labels: np.ndarray, subjects: np.ndarray) -> tuple[int, int]:
    """Subjects with a positive and with a negative row."""
    return tuple(len(np.unique(subjects[labels == c])) for c in (1, 0))
