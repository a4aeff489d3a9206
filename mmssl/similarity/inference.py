r"""What a similarity of two codes means: its chance level, its null
distribution, its interval.

Built on `mmssl.similarity.measures`. Rows must be independent: one pair of
scans of each person. A bootstrap would draw people twice; both codes agree on
the copies, so the resampled similarity lies above the estimate itself.
Intervals here therefore leave people out instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
from scipy.stats import t as student

from mmssl.similarity.measures import (
    BIASED,
    MEASURES,
    checked,
    decomposed,
    measures,
    measures_of_orders,
)
from mmssl.stats.auc import Interval

FEWEST = 5
"""People an interval or a group asks for: debiased CKA needs four after one is
left out.
"""


def chance_level(
    n: int,
    d1: int,
    d2: int | None = None,
    draws: int = 20,
    seed: int = 0,
    threshold: float = 0.99,
) -> dict[str, float]:
    """What the measures give for independent isotropic Gaussian codes: the
    mean of `draws` draws.

    Parameters
    ----------
    n, d1, d2 : int
        People and dimensions of either side; d2 is d1 where it is not given.
    draws, seed : int
        Of the Monte Carlo. Debiased CKA is 0 in expectation and reported as 0.
    threshold : float
        Of SVCCA.

    Returns
    -------
    {measure: float}

    Raises
    ------
    ValueError
        For fewer than 4 people or no dimension.
    """
    if n < 4 or d1 < 1:
        raise ValueError(
            f"chance level of n={n} people and d={d1}: expected at least 4 "
            "and 1"
        )
    return dict(_mean_of_draws(n, d1, d2 or d1, draws, seed, threshold))


@cache
def _mean_of_draws(
    n: int, d1: int, d2: int, draws: int, seed: int, threshold: float
) -> tuple[tuple[str, float], ...]:
    rng = np.random.default_rng((seed, n, d1, d2))
    drawn = []
    for _ in range(draws):
        x = rng.normal(size=(n, d1))
        y = rng.normal(size=(n, d2))
        drawn.append(measures(x, y, threshold))
    means = []
    for name in BIASED:
        means.append((name, float(np.mean([one[name] for one in drawn]))))
    return (*means, ("debiased CKA", 0.0))


def shuffled_null(
    x, y, permutations: int = 200, seed: int = 0, threshold: float = 0.99
) -> dict[str, np.ndarray]:
    """The measures after the people of y are shuffled: {measure:
    (permutations,)}.

    Centring, norms and bases do not change when rows are permuted, so a
    permutation costs a gather and the decomposition of a d1 by d2 matrix.
    CKA's mean over all permutations is known, sum(s_x^2) sum(s_y^2) / ((n - 1)
    |s_x^2| |s_y^2|) with s the singular values (Kazi-Aoual et al. 1995): the
    fewer people for the dimensions in use, the higher.

    Parameters
    ----------
    x, y : array-like, shape (n, d1), (n, d2)
    permutations, seed : int
    threshold : float
        Of SVCCA.

    Raises
    ------
    ValueError
        As `mmssl.similarity.measures.cka`; also fewer than 4 people or no
        permutation.
    """
    a, b = decomposed(x, y, threshold, fewest=4)
    if permutations < 1:
        raise ValueError(f"permutations={permutations}, expected at least 1")
    n = len(b.basis)
    rng = np.random.default_rng((seed, n))
    orders = [rng.permutation(n) for _ in range(permutations)]
    return measures_of_orders(a, b, orders)


def jackknife_intervals(
    x,
    y,
    blocks: int = 20,
    level: float = 0.95,
    seed: int = 0,
    threshold: float = 0.99,
) -> dict[str, Interval]:
    r"""How far the measures would move with other people: a delete-d jackknife
    (Shao & Wu 1989).

    A random partition into B blocks of :math:`d = \lfloor n / B \rfloor`
    people; each block is left out once, and with :math:`S^2` the variance of
    the B values,

    .. math:: \mathrm{SE}^2 = \frac{(n - d)^2}{d\,n} S^2, \qquad
        \hat\theta \pm t_{B-1} \mathrm{SE}.

    Every value is taken at the same n - d, so the bias of a small sample is
    the same in all and does not widen the interval. It is not removed either:
    the interval of a biased measure speaks of its value **at this n**, to be
    held against its chance level; that of debiased CKA speaks of the
    population. In simulation 95 % intervals cover in 96 to 100 %: the
    jackknife's variance is too large rather than too small (Efron & Stein
    1981), up to twice the true SE for CCA at n = 2d.

    Parameters
    ----------
    x, y : array-like, shape (n, d1), (n, d2)
    blocks : int
        B; n where there are fewer people.
    level : float
    seed : int
        Of the partition.
    threshold : float
        Of SVCCA.

    Returns
    -------
    {measure: Interval}
        Ends at 1; those of biased measures also at 0. Of no width where the
        value cannot move, as CCA with n - 1 <= d; NaN where it could only with
        more people than are left.

    Raises
    ------
    ValueError
        As `mmssl.similarity.measures.cka`; also fewer than 5 people or 2
        blocks.
    """
    x, y = checked(x, y, fewest=FEWEST)
    n, blocks = len(x), min(blocks, len(x))
    if blocks < 2 or not 0 < level < 1:
        raise ValueError(
            f"blocks={blocks}, level={level}: expected at least 2 and in "
            "(0, 1)"
        )
    order = np.random.default_rng((seed, n)).permutation(n)
    d = n // blocks
    left_out = order[: blocks * d].reshape(blocks, d)
    remaining = [np.setdiff1d(order, block) for block in left_out]
    values = measures_of_subsets(x, y, remaining, threshold)
    reach = student.ppf(0.5 + level / 2, blocks - 1) * (n - d) / np.sqrt(d * n)
    intervals = {}
    for name, estimate in measures(x, y, threshold).items():
        half = reach * float(values[name].std(ddof=1))
        # fixed at n - d people, but not at n
        if half < 1e-9 < abs(values[name][0] - estimate):
            half = np.nan
        least = 0 if name in BIASED else -1
        low, high = np.clip((estimate - half, estimate + half), least, 1)
        intervals[name] = Interval(
            estimate, float(low), float(high), level, "delete-d jackknife"
        )
    return intervals


def measures_of_subsets(
    x: np.ndarray, y: np.ndarray, subsets: Iterable, threshold: float
) -> dict[str, np.ndarray]:
    """All measures on each subset of the rows, {measure: (subsets,)}."""
    values = [measures(x[rows], y[rows], threshold) for rows in subsets]
    return {name: np.array([one[name] for one in values]) for name in MEASURES}
