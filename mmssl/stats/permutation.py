"""Permutation tests: who may change places with whom, and the p that follows.

Labels move only between people who are exchangeable: all of them, or those of
one stratum (`labellings`, `strata`). Every p counts the observed labelling
among the permuted ones, so that none is 0 (`permutation_p`).
"""

from __future__ import annotations

from itertools import chain, combinations, product
from math import comb, prod
from typing import TYPE_CHECKING

import numpy as np

from mmssl.stats.missing import all_known
from mmssl.stats.mixed import numbers_or_words

if TYPE_CHECKING:
    import pandas as pd

SMALLEST_GROUP = 4

TIE_SLACK = 1e-12
"""How far below the observed value a value of the null still counts as equal.

Equal statistics of two permutations may differ in their last digits, because
sums are taken in another order. What is compared here are correlations,
effect sizes, AUCs and standardised differences: numbers near 1, whose rounding
errors lie below 1e-13. A wider slack would count neighbours as ties: among
4,096 pairs of dimensions and 10,000 shuffles some lie within 1e-9.
"""


def permutation_p(observed, null, slack: float = TIE_SLACK):
    r"""Share of a null distribution that reaches each observed value.

    .. math:: p = \frac{1 + \#\{b : t_b \ge t - \epsilon\}}{1 + B}

    with the observed value counted in, so that no p is 0 (Phipson & Smyth
    2010), and :math:`\epsilon` the slack for ties.

    Parameters
    ----------
    observed : float or array-like, any shape
        Statistics t, large where the null does not hold; absolute values for a
        two-sided test.
    null : array-like, shape (B,)
        The statistic under the null; for a family-wise p, the largest of the
        family in each permutation.
    slack : float
        How far below the observed value still counts as equal.

    Returns
    -------
    float or array, shape as ``observed``
        In [1 / (1 + B), 1]; NaN where the statistic is. A NaN of the null
        counts as one that reaches every value.
    """
    # a sorted search needs no (observed, B) table of comparisons
    ordered = np.sort(null)
    observed = np.asarray(observed, dtype=np.float64)
    least = observed - slack
    below = np.searchsorted(ordered, least, side="left")
    p = (1 + len(ordered) - below) / (1 + len(ordered))
    p = np.where(np.isnan(observed), np.nan, p)
    return p if np.ndim(p) else float(p)


def labellings(
    group, permutations: int, seed: int = 0, strata=None
) -> np.ndarray:
    """Relabellings of people other than the observed one, (P, n) bool.

    Random ones, drawn with replacement from all, or every other one once where
    no more than ``permutations`` exist. A function of its arguments alone, so
    that it may be used in blocks of any size.

    Parameters
    ----------
    group : array-like of bool, shape (n,)
        Who belongs to the first group.
    permutations, seed : int
    strata : array-like, shape (n,), optional
        Labels move only between people of the same stratum.

    Raises
    ------
    ValueError
        For strata of another length, with a value that is missing, or in none
        of which both groups occur, or permutations below 1.
    """
    if permutations < 1:
        raise ValueError(
            f"permutations is {permutations}, expected at least 1"
        )
    group = np.asarray(group, dtype=bool)
    if strata is None:
        strata = np.zeros(len(group))
    strata = all_known(strata, "strata")
    if strata.shape != group.shape:
        raise ValueError(
            f"strata: shape {strata.shape}, expected {group.shape} as the "
            "labels"
        )
    members = [np.flatnonzero(strata == value) for value in np.unique(strata)]
    sizes = [(len(people), int(group[people].sum())) for people in members]
    number = prod(comb(people, first) for people, first in sizes)
    if number == 1:
        raise ValueError(
            "strata: no stratum holds people of both groups, nothing can be "
            "permuted"
        )
    if number - 1 <= permutations:
        return _every_other(group, members, number)
    draws = np.empty((permutations, len(group)), dtype=bool)
    rng = np.random.default_rng(seed)
    for people in members:
        copies = np.tile(group[people], (permutations, 1))
        draws[:, people] = rng.permuted(copies, axis=1)
    return draws


def _every_other(
    group: np.ndarray, members: list[np.ndarray], number: int
) -> np.ndarray:
    """All labellings with the observed counts in every stratum, less the
    observed one.
    """
    draws = np.zeros((number, len(group)), dtype=bool)
    choices = []
    for people in members:
        first = int(group[people].sum())
        choices.append(combinations(people.tolist(), first))
    for draw, chosen in zip(draws, product(*choices), strict=True):
        draw[list(chain.from_iterable(chosen))] = True
    return draws[(draws != group).any(axis=1)]


def strata(covariates: pd.DataFrame, bins: int = 3) -> np.ndarray:
    """Who is alike: strata for `labellings`, from age, sex and site.

    Parameters
    ----------
    covariates : DataFrame, n rows
        Words are taken as they are; numbers are cut at their quantiles, and
        what they explain within a part stays in the maps:
        `mmssl.groupmaps.freedman_lane` is the one for a strong age effect.
        Not both in one column: `mmssl.stats.mixed.numbers_or_words`.
    bins : int
        Parts of a number, with equally many people.

    Returns
    -------
    array of int, shape (n,)
        One value for each combination that occurs. A stratum with people of
        one group only has nothing to exchange, and does not count in the test.

    Raises
    ------
    ValueError
        For a value that is missing, a column of numbers and words, or fewer
        than two bins.
    """
    import pandas as pd

    table = numbers_or_words(covariates)
    if table.empty or table.isna().any(axis=None):
        missing = table.isna().sum().loc[lambda count: count > 0].to_dict()
        raise ValueError(
            f"covariates: shape {table.shape}, missing {missing}, expected a "
            "value for everybody"
        )
    if bins < 2:
        raise ValueError(f"bins is {bins}, expected at least 2")
    parts = {}
    for name, column in table.items():
        number = pd.api.types.is_numeric_dtype(column)
        if number and column.nunique() > bins:
            column = pd.qcut(column, bins, labels=False, duplicates="drop")
        parts[name] = column
    return pd.DataFrame(parts).groupby(list(parts)).ngroup().to_numpy()


def two_groups(labels, n: int) -> np.ndarray:
    """Two-valued labels as bool, (n,), the larger value true.

    Raises
    ------
    ValueError
        For another length or number of values, one that is missing, or fewer
        than 4 people of one.
    """
    labels = all_known(labels, "labels")
    if labels.shape != (n,):
        raise ValueError(
            f"labels: shape {labels.shape}, expected ({n},) as values has rows"
        )
    values = np.unique(labels)
    if len(values) != 2:
        raise ValueError(
            f"labels hold {len(values)} values ({values[:5].tolist()}), "
            "expected two"
        )
    group = labels == values[1]
    check_group_sizes(int(group.sum()), int((~group).sum()))
    return group


def check_group_sizes(n1: int, n0: int) -> None:
    """ValueError for a group of fewer than 4 people."""
    if min(n1, n0) < SMALLEST_GROUP:
        raise ValueError(
            f"groups of {n1} and {n0} people, expected at least "
            f"{SMALLEST_GROUP} each"
        )
