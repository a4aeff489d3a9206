r"""Groups of people side by side: the AUC or R2 in each, the gap of two,
whether they are equivalent.

Two groups share nobody, so their AUCs are independent, and the gap's limits
follow from those of each (square and add; Zou & Donner 2008):

.. math::
    d = A - B, \quad
    d_{\mathrm{low}} = d - \sqrt{(A - l_A)^2 + (u_B - B)^2}, \quad
    d_{\mathrm{high}} = d + \sqrt{(u_A - A)^2 + (B - l_B)^2}

with the limits l, u of `logit_interval`, or of `mmssl.stats.r2`. No
difference found is not
equivalence shown: that takes two one-sided tests against a margin (TOST;
Schuirmann 1987).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import brentq

from mmssl.stats.auc import Interval, checked_classes, checked_level
from mmssl.stats.delong import components, logit_interval, logit_limits
from mmssl.stats.missing import all_known
from mmssl.stats.permutation import permutation_p
from mmssl.stats.power import minimum_detectable_gap
from mmssl.stats.r2 import r2_resampled

if TYPE_CHECKING:
    import pandas as pd


# of a level, the interval of one group
Limits = Callable[[float], Interval]


class Gap(NamedTuple):
    """AUC of a first group minus AUC of a second, independent one; or of R2.

    first, second : the AUC or R2 of each.
    gap : their difference.
    p : two-sided, against no gap; the limits of `gap` exclude 0 just where p <
        1 - level.
    margin : what counts as equivalent.
    equivalence_p : of the two one-sided tests; .5 where the observed gap is
        not inside the margin.
    detectable : the fall from the first AUC that so many people would show
        with power .8, by a test at the level of `gap`; of R2, the gap that an
        interval of this width would show.
    """

    first: Interval
    second: Interval
    gap: Interval
    p: float
    margin: float
    equivalence_p: float
    detectable: float

    @property
    def conclusion(self) -> str:
        """different, equivalent (within the margin), both, or undecided: too
        few people to say.
        """
        alpha = 1 - self.gap.level
        different = self.p < alpha
        equivalent = self.equivalence_p < alpha
        if different and equivalent:
            return "different, within the margin"
        if different:
            return "different"
        return "equivalent" if equivalent else "undecided"


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
        0 or 1; both in each group. Of K classes 0 to K - 1.
    scores : array-like, shape (n,) or (k, n)
        Of k scores of the same rows, such as those of k folds, the mean of
        their AUCs counts. Of K > 2 classes (K, n) or (k, K, n), and the macro
        average counts.
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
    labels, scores = checked_classes(labels, scores)
    second = np.asarray(second, dtype=bool)
    if subjects is None:
        subjects = np.arange(len(labels))
    subjects = np.asarray(subjects)
    _check_groups(labels, second, subjects)
    parts = []
    for members in (~second, second):
        own = components(
            labels[members], scores[..., members], subjects[members]
        )
        parts.append(own)
    limits = [partial(logit_limits, own) for own in parts]
    gap = _gap(*limits, margin, level)
    return gap._replace(
        detectable=minimum_detectable_gap(
            gap.first.estimate,
            *(own.smallest_problem() for own in parts),
            level=level,
        )
    )


def r2_gap(
    truth,
    predictions,
    second,
    margin: float = 0.1,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Gap:
    """Compare the R2 of two groups of people, with an equivalence test.

    Parameters
    ----------
    truth : array-like, shape (n,)
        Numbers; rows are people.
    predictions : array-like, shape (n,) or (k, n)
    second, margin, level
        As in `auc_gap`.
    resamples, seed : int
        Of the bootstrap in each group.

    Raises
    ------
    ValueError
        As `mmssl.stats.r2.r2_interval` in a group; also for a margin
        that is not positive.
    """
    truth, second = np.asarray(truth), np.asarray(second, dtype=bool)
    predictions = np.atleast_2d(np.asarray(predictions))
    _check_groups(truth, second, np.arange(len(truth)))
    limits = []
    for members in (~second, second):
        own = r2_resampled(
            truth[members], predictions[:, members], resamples, seed
        )
        limits.append(own.interval)
    gap = _gap(*limits, margin, level)
    return gap._replace(detectable=gap.gap.detectable())


def _gap(first: Limits, second: Limits, margin: float, level: float) -> Gap:
    """The gap of two groups of which limits of every level are known."""
    if not margin > 0:
        raise ValueError(f"margin is {margin}, expected above 0")
    checked_level(level)

    def gap_at(alpha: float) -> Interval:
        """The gap with its limits at 1 - alpha."""
        return _square_and_add(first(1 - alpha), second(1 - alpha))

    def excludes_zero(alpha: float) -> float:
        """Positive where the limits exclude 0."""
        gap = gap_at(alpha)
        return max(gap.low, -gap.high)

    def inside_margin(alpha: float) -> float:
        """Positive where both limits lie inside the margin."""
        gap = gap_at(alpha)
        return min(margin - gap.high, margin + gap.low)

    return Gap(
        first=first(level),
        second=second(level),
        gap=_square_and_add(first(level), second(level)),
        p=_smallest_alpha(excludes_zero),
        margin=margin,
        # two one-sided tests at alpha are the limits at 1 - 2 alpha
        equivalence_p=_smallest_alpha(inside_margin) / 2,
        detectable=np.nan,
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
        Of everybody; a value that is missing is an error.
    reference : optional
        A value of `groups`; by default the group with the most rows.

    Returns
    -------
    DataFrame
        One line a group, the reference first: group, people, positives, auc,
        low, high; error, the standard error of a normal with the AUC's limits
        at .95, whatever the level; gap to the reference with gap_low,
        gap_high, p, equivalence_p, conclusion, detectable (NaN and "" for the
        reference itself). The largest gap of many is large by chance too:
        `spread_by_chance`.
    """
    import pandas as pd

    groups, labels = all_known(groups, "groups"), np.asarray(labels)
    scores = np.atleast_2d(np.asarray(scores))
    if subjects is None:
        subjects = np.arange(len(labels))
    subjects = np.asarray(subjects)
    values, counts = np.unique(groups, return_counts=True)
    if reference is None:
        reference = values[counts.argmax()]
    if reference not in values:
        raise ValueError(
            f"reference is {reference!r}, expected one of {values.tolist()}"
        )
    in_reference = groups == reference
    lines = []
    for group in (reference, *values[values != reference]):
        members = groups == group
        line = {"group": group} | _auc_columns(
            labels[members], scores[:, members], subjects[members], level
        )
        if group != reference:
            pair = members | in_reference
            comparison = auc_gap(
                labels[pair],
                scores[:, pair],
                members[pair],
                subjects[pair],
                margin,
                level,
            )
            line |= _gap_columns(comparison)
        lines.append(line)
    return pd.DataFrame(lines)


def _auc_columns(labels, scores, subjects, level: float) -> dict:
    """How many people a group has, and its AUC."""
    auc = logit_interval(labels, scores, subjects, level)
    usual = logit_interval(labels, scores, subjects, 0.95)
    return {
        "people": len(np.unique(subjects)),
        "positives": len(np.unique(subjects[labels == 1])),
        "auc": auc.estimate,
        "low": auc.low,
        "high": auc.high,
        "conclusion": "",
        "error": (usual.high - usual.low) / (2 * 1.959964),
    }


def _gap_columns(comparison: Gap) -> dict:
    """A group's gap to the reference."""
    return {
        "gap": comparison.gap.estimate,
        "gap_low": comparison.gap.low,
        "gap_high": comparison.gap.high,
        "p": comparison.p,
        "conclusion": comparison.conclusion,
        "equivalence_p": comparison.equivalence_p,
        "detectable": comparison.detectable,
    }


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
    observed = float(np.ptp(table["auc"].to_numpy()))
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(draws, len(table))) * errors
    chance = np.ptp(noise, axis=1)
    return pd.Series(
        {
            "observed": observed,
            "expected": chance.mean(),
            "upper": np.quantile(chance, 0.95),
            "p": permutation_p(observed, chance),
        }
    )


def _smallest_alpha(condition) -> float:
    """The smallest alpha in [1e-6, 1] from which on `condition(alpha)` is
    positive.
    """
    low, high = 1e-6, 0.999
    if condition(low) > 0:
        return low
    if condition(high) > 0:
        return float(brentq(condition, low, high))
    return 1.0


def _square_and_add(first: Interval, second: Interval) -> Interval:
    """First minus second, for independent ones (Zou & Donner 2008)."""
    gap = first.estimate - second.estimate
    below = np.hypot(first.estimate - first.low, second.high - second.estimate)
    above = np.hypot(first.high - first.estimate, second.estimate - second.low)
    low, high = float(gap - below), float(gap + above)
    return Interval(gap, low, high, first.level, "square and add")


def _check_groups(labels, second, subjects) -> None:
    """ValueError for other shapes, or a person in both groups."""
    if second.shape != labels.shape or subjects.shape != labels.shape:
        raise ValueError(
            f"second: shape {second.shape}, subjects {subjects.shape}, "
            f"expected {labels.shape} as the labels"
        )
    shared = np.intersect1d(subjects[second], subjects[~second])
    if len(shared):
        raise ValueError(
            f"{len(shared)} subjects are in both groups: they are not "
            "independent"
        )
