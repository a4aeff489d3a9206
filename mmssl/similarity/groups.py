r"""Whether the modalities of one group are more alike than those of another.

A smaller group always seems more alike, so groups are compared at one size
(`matched_size`) and tested against labels permuted with both sizes kept
(`group_test`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmssl.similarity.inference import FEWEST, measures_of_subsets
from mmssl.similarity.measures import MEASURES, checked, measures
from mmssl.stats.permutation import permutation_p

if TYPE_CHECKING:
    import pandas as pd


def matched_size(
    x, y, people: int, draws: int = 100, seed: int = 0, threshold: float = 0.99
) -> dict[str, np.ndarray]:
    """The measures on random subsets of `people` rows, nobody twice: {measure:
    (draws,)}.

    What a group would show if it had only as many people as a smaller one.

    Parameters
    ----------
    x, y : array-like, shape (n, d1), (n, d2)
    people : int
        Rows of a subset.
    draws, seed : int
        Number of subsets.
    threshold : float
        Of SVCCA.

    Raises
    ------
    ValueError
        As `mmssl.similarity.measures.cka`; also `people` below 4 or above the
        number of rows.
    """
    x, y = checked(x, y, fewest=4)
    if not 4 <= people <= len(x):
        raise ValueError(
            f"people={people}, expected 4 to {len(x)}, the rows of x"
        )
    rng = np.random.default_rng((seed, len(x), people))
    subsets = [rng.permutation(len(x))[:people] for _ in range(draws)]
    return measures_of_subsets(x, y, subsets, threshold)


def group_test(
    x,
    y,
    labels,
    permutations: int = 200,
    seed: int = 0,
    threshold: float = 0.99,
) -> pd.DataFrame:
    """Test whether the similarity of group 1 differs from that of group 0,
    with and without matched sizes.

    Labels are permuted with both group sizes kept, so that a difference due to
    the sizes alone is in the null: that the codes of both groups have one
    distribution, but for their place and their spread. A group that lies
    elsewhere or varies more is not yet a group whose modalities agree more or
    less, so each group's mean and scale are removed first, in such a way that
    people stay exchangeable, which costs the test one person of each group
    (`_exchangeable`). Groups that vary in *other directions* are told apart
    too, whatever their modalities share.

    Parameters
    ----------
    x, y : array-like, shape (n, d1), (n, d2)
    labels : array-like, shape (n,)
        0 or 1, at least 5 rows each.
    permutations, seed : int
        Also the number of subsets behind the matched columns, and which person
        of each group is left out of the test.
    threshold : float
        Of SVCCA.

    Returns
    -------
    DataFrame
        A line per measure: first, second (groups 0 and 1); difference, second
        minus first without one person of each; null_difference and null_sd,
        its mean and standard deviation under permuted labels; p, two-sided
        around that mean; matched_first, matched_second (the larger group's
        mean at the smaller one's size), matched_difference.

    Raises
    ------
    ValueError
        As `mmssl.similarity.measures.cka`; also labels of another shape, other
        labels, a group below 5.
    """
    import pandas as pd

    x, y = checked(x, y)
    groups = rows_of_groups(labels, len(x))
    whole = [measures(x[rows], y[rows], threshold) for rows in groups]
    matched = _at_one_size(x, y, groups, whole, permutations, seed, threshold)
    differences = _permuted_differences(
        x, y, groups, permutations, seed, threshold
    )
    lines = []
    for name in MEASURES:
        values = differences[name]
        observed, permuted = values[0], values[1:]
        # centred with the observed one: each of them could have been it
        distance = np.abs(values - values.mean())
        lines.append(
            {
                "measure": name,
                "first": whole[0][name],
                "second": whole[1][name],
                "difference": observed,
                "null_difference": permuted.mean(),
                "null_sd": permuted.std(ddof=1),
                "p": permutation_p(distance[0], distance[1:]),
                "matched_first": matched[0][name],
                "matched_second": matched[1][name],
                "matched_difference": matched[1][name] - matched[0][name],
            }
        )
    return pd.DataFrame(lines)


def rows_of_groups(labels, n: int) -> list[np.ndarray]:
    """Rows of group 0 and of group 1, or a ValueError for labels that are not
    of two groups large enough to compare.
    """
    labels = np.asarray(labels)
    if labels.shape != (n,) or not np.isin(labels, (0, 1)).all():
        raise ValueError(
            f"labels: shape {labels.shape} with values "
            f"{np.unique(labels).tolist()}, expected ({n},) of 0 and 1"
        )
    groups = [np.flatnonzero(labels == k) for k in (0, 1)]
    if min(map(len, groups)) < FEWEST:
        raise ValueError(
            f"groups of {len(groups[0])} and {len(groups[1])} people, "
            f"expected at least {FEWEST} in each"
        )
    return groups


def _at_one_size(
    x: np.ndarray,
    y: np.ndarray,
    groups: Sequence[np.ndarray],
    whole: Sequence[dict[str, float]],
    draws: int,
    seed: int,
    threshold: float,
) -> list[dict[str, float]]:
    """The measures of each group at the size of the smaller one."""
    smaller = min(map(len, groups))
    matched = []
    for rows, values in zip(groups, whole, strict=True):
        if len(rows) > smaller:
            subsets = matched_size(
                x[rows], y[rows], smaller, draws, seed, threshold
            )
            values = {name: subsets[name].mean() for name in MEASURES}
        matched.append(values)
    return matched


def _permuted_differences(
    x: np.ndarray,
    y: np.ndarray,
    groups: Sequence[np.ndarray],
    permutations: int,
    seed: int,
    threshold: float,
) -> dict[str, np.ndarray]:
    """Group 1 minus group 0, {measure: (1 + permutations,)}: of the groups as
    they are, then with labels permuted.
    """
    rng = np.random.default_rng((seed, len(x)))
    groups = [rng.permutation(rows) for rows in groups]
    x, y = _exchangeable(x, groups), _exchangeable(y, groups)
    orders = [np.arange(len(x))]
    for _ in range(permutations):
        orders.append(rng.permutation(len(x)))
    size = len(groups[0]) - 1
    first = measures_of_subsets(
        x, y, [order[:size] for order in orders], threshold
    )
    second = measures_of_subsets(
        x, y, [order[size:] for order in orders], threshold
    )
    return {name: second[name] - first[name] for name in MEASURES}


def _exchangeable(z: np.ndarray, groups: Sequence[np.ndarray]) -> np.ndarray:
    r"""Rows of each group but its first, free of the group's mean and scale:
    (n - groups, d).

    People without their own mean :math:`r_i` sum to 0, so they are no longer
    exchangeable with those of another group, and rank-sensitive measures
    notice (Winkler et al. 2020, on CCA). Theil's residuals (1965),

    .. math::
        c_i = r_i - \frac{\sqrt{n} - 1}{n - 1}\, r_1, \qquad i = 2 \dots n,

    have the covariance of people again: the person left out lends the mean its
    noise. Each group's are divided by their root mean square, as the measures
    do not depend on scale but a mixture of two scales is not a group of
    either.
    """
    parts = []
    for rows in groups:
        n = len(rows)
        residuals = z[rows] - z[rows].mean(axis=0)
        freed = residuals[1:] - (np.sqrt(n) - 1) / (n - 1) * residuals[0]
        size = np.sqrt((freed**2).mean())
        parts.append(freed / max(size, np.finfo(freed.dtype).tiny))
    return np.concatenate(parts)
