"""Codes of simulated people whose true similarity is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from mmssl.similarity.groups import group_test

if TYPE_CHECKING:
    import pandas as pd


def simulated_codes(
    n: int, d: int = 64, shared: float = 0.5, rank: int = 8, rng=None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw n people with two Gaussian codes that share `rank` factors.

    Dimensions 1 to `rank` of both codes are the same factors in noise,
    `shared` of their variance; all others are independent. In the population
    there are `rank` canonical correlations, all equal to `shared`, so that one
    code explains its square of the other; the rest are 0.

    Parameters
    ----------
    n, d, rank : int
        People, dimensions of each code, and how many of them are shared.
    shared : float
        In [0, 1].
    rng : None, int or Generator

    Returns
    -------
    x, y : arrays, shape (n, d)

    Raises
    ------
    ValueError
        For `shared` outside [0, 1] or `rank` outside 1 to d.
    """
    if not (0 <= shared <= 1 and 1 <= rank <= d):
        raise ValueError(
            f"shared={shared}, rank={rank}: expected in [0, 1] and in 1 to "
            f"d={d}"
        )
    rng = np.random.default_rng(rng)
    factors = np.zeros((n, d))
    factors[:, :rank] = np.sqrt(shared) * rng.normal(size=(n, rank))
    noise = np.ones(d)
    noise[:rank] = np.sqrt(1 - shared)
    x = factors + noise * rng.normal(size=(n, d))
    y = factors + noise * rng.normal(size=(n, d))
    return x, y


def studies_without_difference(
    studies: int = 20,
    sizes: tuple[int, int] = (66, 22),
    d: int = 64,
    shared: float = 0.7,
    permutations: int = 99,
    seed: int = 0,
) -> pd.DataFrame:
    """`mmssl.similarity.groups.group_test` in simulated studies whose two
    groups come from one population: any difference found is an error.

    Parameters
    ----------
    studies : int
    sizes : (int, int)
        People of either group.
    d, shared
        As in `simulated_codes`; an eighth of the dimensions is shared.
    permutations, seed : int

    Returns
    -------
    DataFrame
        The columns of `mmssl.similarity.groups.group_test`, and study.
    """
    import pandas as pd

    labels = np.repeat((0, 1), sizes)
    rank = max(1, d // 8)
    tables = []
    for study in tqdm(range(studies), desc="simulated studies"):
        x, y = simulated_codes(len(labels), d, shared, rank, (seed, study))
        table = group_test(x, y, labels, permutations, seed)
        tables.append(table.assign(study=study))
    return pd.concat(tables, ignore_index=True)
