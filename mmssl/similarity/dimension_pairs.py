"""Which latent dimension of one modality goes with which of another, and
whether by chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmssl.stats.permutation import permutation_p

if TYPE_CHECKING:
    import pandas as pd


_BLOCK = 128  # permutations multiplied at once


class DimensionPairs(NamedTuple):
    """Correlation of the dimensions of two modalities across people.

    correlation : (d1, d2) Pearson; NaN where a dimension is constant.
    best : (i, j), the pair of largest absolute correlation.
    p : (d1, d2), corrected for all pairs.
    null : (permutations,), largest absolute correlation of all pairs, people
        shuffled.
    """

    correlation: np.ndarray
    best: tuple[int, int]
    p: np.ndarray
    null: np.ndarray

    def table(self, first: str, second: str) -> pd.DataFrame:
        """All pairs, the largest correlation first.

        Parameters
        ----------
        first, second : str
            Names of the modalities, and of the columns of their dimensions.

        Returns
        -------
        DataFrame
            first, second, correlation, p.
        """
        import pandas as pd

        lines = []
        for (i, j), correlation in np.ndenumerate(self.correlation):
            lines.append((i, j, correlation, self.p[i, j]))
        table = pd.DataFrame(
            lines, columns=[first, second, "correlation", "p"]
        )
        return table.sort_values(
            "correlation", key=abs, ascending=False, ignore_index=True
        )


def correlate_dimensions(
    first, second, permutations: int = 10_000, seed: int = 0
) -> DimensionPairs:
    r"""Correlate every dimension of one modality with every dimension of
    another across people.

    001 shows the best pair of dimensions, the largest of :math:`64^2`
    correlations. What counts is therefore what the largest would be if the two
    images were not of the same people:

    .. math:: p_{ij} = \frac{1 + \#\{\pi : \max_{kl} |r_{kl}^{\pi}| \ge
        |r_{ij}|\}}{1 + P}

    over P permutations of the people of one modality (Nichols & Holmes 2002;
    Phipson & Smyth 2010). The sign of a latent dimension means nothing, so
    :math:`|r|`. A block of permutations is one matrix product.

    Parameters
    ----------
    first, second : array, shapes (n, d1) and (n, d2)
        Representations z, one row a person, in the same order.
    permutations, seed : int

    Returns
    -------
    DimensionPairs

    Raises
    ------
    ValueError
        For fewer than 4 people, other numbers of them, values not finite, or
        nothing that varies.
    """
    x, y = _standard(first, "first"), _standard(second, "second")
    if len(x) != len(y):
        raise ValueError(
            f"first has {len(x)} people and second {len(y)}: not the same "
            "people"
        )
    if permutations < 1:
        raise ValueError(f"permutations={permutations}, expected at least 1")
    correlation = x.T @ y
    size = np.nan_to_num(np.abs(correlation), nan=-1.0)
    if size.max() < 0:
        raise ValueError(
            "no dimension varies in both modalities: nothing to correlate"
        )
    null = _largest_correlations(
        x[:, ~np.isnan(x[0])], y[:, ~np.isnan(y[0])], permutations, seed
    )
    p = np.where(size < 0, np.nan, permutation_p(size, null))
    i, j = np.unravel_index(size.argmax(), size.shape)
    return DimensionPairs(correlation, (int(i), int(j)), p, null)


def strongest_modalities(
    codes: Mapping[str, np.ndarray],
    permutations: int = 10_000,
    seed: int = 0,
) -> tuple[tuple[str, str], DimensionPairs]:
    """The two modalities that hold the most correlated pair of dimensions.

    Parameters
    ----------
    codes : {modality: (n, d)}
        Representations of the same people, of two modalities or more.
    permutations, seed : int
        As in `correlate_dimensions`.

    Returns
    -------
    modalities : (first, second)
    pairs : DimensionPairs
        Of these two; where there were several pairs of modalities to choose
        from, p is corrected for their number too (Bonferroni).

    Raises
    ------
    ValueError
        As `correlate_dimensions`; also for a single modality.
    """
    related = list(combinations(codes, 2))
    if not related:
        raise ValueError(
            f"codes of {', '.join(codes) or 'nothing'}, expected two "
            "modalities or more"
        )
    found = {}
    for first, second in related:
        found[first, second] = correlate_dimensions(
            codes[first], codes[second], permutations, seed
        )

    def strength(modalities: tuple[str, str]) -> float:
        """Largest absolute correlation of a pair of modalities."""
        pairs = found[modalities]
        return abs(pairs.correlation[pairs.best])

    strongest = max(related, key=strength)
    pairs = found[strongest]
    p = np.minimum(1.0, pairs.p * len(related))
    return strongest, pairs._replace(p=p)


def _largest_correlations(
    x: np.ndarray, y: np.ndarray, permutations: int, seed: int
) -> np.ndarray:
    """Largest absolute correlation of all pairs of columns, the people of x
    shuffled, (permutations,).
    """
    rng = np.random.default_rng(seed)
    largest = np.empty(permutations)
    for start in range(0, permutations, _BLOCK):
        block = slice(start, min(start + _BLOCK, permutations))
        orders = []
        for _ in range(block.start, block.stop):
            orders.append(rng.permutation(len(x)))
        shuffled = x[np.stack(orders)]  # (block, n, d1)
        correlations = shuffled.transpose(0, 2, 1) @ y
        largest[block] = np.abs(correlations).max((1, 2))
    return largest


def _standard(z, name: str) -> np.ndarray:
    """Columns centred and of length 1, so that a product is a correlation; NaN
    where constant.
    """
    z = np.asarray(z, dtype=np.float64)
    if z.ndim != 2 or len(z) < 4 or not np.isfinite(z).all():
        raise ValueError(
            f"{name}: shape {z.shape}, expected finite (people, dimensions) "
            "of at least 4 people"
        )
    centred = z - z.mean(0)
    length = np.linalg.norm(centred, axis=0)
    constant = length <= 1e-12 * np.abs(z).max(0, initial=0) * len(z) ** 0.5
    return np.where(constant, np.nan, centred / np.where(constant, 1, length))
