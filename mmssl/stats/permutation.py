"""Permutation: who may change places with whom, and the p that follows.

The one p-value of every permutation test here counts the observed labelling
among the permuted ones, so that none is 0 (Phipson & Smyth 2010). Labels move
only between people who are exchangeable: all of them, or those of one stratum.
"""

from __future__ import annotations

from itertools import chain, combinations, product
from math import comb, prod

import numpy as np
import torch

SMALLEST_GROUP = 4


def corrected_p(observed, largest) -> np.ndarray:
    """Share of P maxima that reach each observed size, the observed labelling
    counted in.
    """
    reached = len(largest) - np.searchsorted(
        np.sort(largest), np.abs(observed), side="left"
    )
    return (1 + reached) / (1 + len(largest))


def labellings(
    group, permutations: int, seed: int = 0, strata=None
) -> np.ndarray:
    """Relabellings of people other than the observed one, (P, n) bool.

    Random ones, drawn with replacement from all, or every other one once where
    no more than ``permutations`` exist. A function of its arguments alone,
    whatever is done with it in blocks.

    Raises
    ------
    ValueError
        For strata of another length, or in none of which both groups occur.
    """
    group = np.asarray(group, dtype=bool)
    strata = np.zeros(len(group)) if strata is None else np.asarray(strata)
    if strata.shape != group.shape:
        raise ValueError(
            f"strata: shape {strata.shape}, expected {group.shape} as the labels"
        )
    members = [np.flatnonzero(strata == s) for s in np.unique(strata)]
    number = prod(comb(len(m), int(group[m].sum())) for m in members)
    if number == 1:
        raise ValueError(
            "strata: no stratum holds people of both groups, nothing can be permuted"
        )
    if number - 1 <= permutations:
        return _every_other(group, members, number)
    draws = np.empty((permutations, len(group)), dtype=bool)
    rng = np.random.default_rng(seed)
    for m in members:
        draws[:, m] = rng.permuted(
            np.tile(group[m], (permutations, 1)), axis=1
        )
    return draws


def two_groups(labels, n: int) -> np.ndarray:
    """Two-valued labels as bool, (n,), the larger value true.

    Raises
    ------
    ValueError
        For another length or number of values, or fewer than 4 people of one.
    """
    labels = np.asarray(
        labels.cpu() if isinstance(labels, torch.Tensor) else labels
    )
    if labels.shape != (n,):
        raise ValueError(
            f"labels: shape {labels.shape}, expected ({n},) as values has rows"
        )
    found = np.unique(labels)
    if len(found) != 2:
        raise ValueError(
            f"labels hold {len(found)} values ({found[:5].tolist()}), expected two"
        )
    group = labels == found[1]
    check_group_sizes(int(group.sum()), int((~group).sum()))
    return group


def check_group_sizes(n1: int, n0: int) -> None:
    if min(n1, n0) < SMALLEST_GROUP:
        raise ValueError(
            f"groups of {n1} and {n0} people, expected at least {SMALLEST_GROUP} each"
        )


def _every_other(
    group: np.ndarray, members: list[np.ndarray], number: int
) -> np.ndarray:
    """All labellings with the observed counts in every stratum, less the
    observed one.
    """
    draws = np.zeros((number, len(group)), dtype=bool)
    each = (combinations(m.tolist(), int(group[m].sum())) for m in members)
    for row, chosen in zip(draws, product(*each), strict=True):
        row[list(chain.from_iterable(chosen))] = True
    return draws[(draws != group).any(axis=1)]


def strata(covariates, bins: int = 3) -> np.ndarray:
    """Who is alike: strata for
    `mmssl.groupmaps.mann_whitney.max_statistic_test`, from age, sex and site.

    Parameters
    ----------
    covariates : DataFrame, n rows
        Words are taken as they are; numbers are cut at their quantiles, and
        what they explain within a part stays in the maps: `freedman_lane` is
        the one for a strong age effect.
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
        For a value that is missing, or fewer than two bins.
    """
    import pandas as pd

    table = pd.DataFrame(covariates)
    if table.empty or table.isna().any(axis=None):
        missing = table.isna().sum().loc[lambda count: count > 0].to_dict()
        raise ValueError(
            f"covariates: shape {table.shape}, missing {missing}, expected a value "
            "for everybody"
        )
    if bins < 2:
        raise ValueError(f"bins is {bins}, expected at least 2")
    cut = {
        name: pd.qcut(column, bins, labels=False, duplicates="drop")
        if pd.api.types.is_numeric_dtype(column) and column.nunique() > bins
        else column
        for name, column in table.items()
    }
    return pd.DataFrame(cut).groupby(list(cut)).ngroup().to_numpy()


def p_value(observed: float, null: np.ndarray) -> float:
    """(1 + values of the null at least as large) / (1 + their number) (Phipson
    & Smyth 2010).
    """
    return float((1 + (null >= observed - 1e-9).sum()) / (1 + len(null)))
