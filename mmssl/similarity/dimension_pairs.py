"""Which latent dimension of one modality goes with which of another, and
whether by chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


class Pairing(NamedTuple):
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
        """One line a pair, largest first: the two dimensions, correlation,
        p.
        """
        import pandas as pd

        lines = [
            (*at, r, self.p[at]) for at, r in np.ndenumerate(self.correlation)
        ]
        table = pd.DataFrame(
            lines, columns=[first, second, "correlation", "p"]
        )
        return table.sort_values(
            "correlation", key=abs, ascending=False, ignore_index=True
        )


def pair(first, second, permutations: int = 10_000, seed: int = 0) -> Pairing:
    r"""Correlate every dimension of one modality with every dimension of
    another across people.

    001 shows the best pair of dimensions, the largest of :math:`64^2`
    correlations. What counts is therefore what the largest would be if the two
    images were not of the same people: :math:`p_{ij} = (1 + \#\{\max_{kl}
    |r_{kl}^{\pi}| \ge |r_{ij}|\}) / (1 + P)` over P permutations of the people
    of one modality (Nichols & Holmes 2002; Phipson & Smyth 2010). The sign of
    a latent dimension means nothing, so :math:`|r|`. A block of permutations
    is one matrix product.

    Parameters
    ----------
    first, second : array, shapes (n, d1) and (n, d2)
        Representations z, one row a person, in the same order.

    Raises
    ------
    ValueError
        For fewer than 4 people, other numbers of them, values not finite, or
        nothing that varies.
    """
    x, y = _standard(first, "first"), _standard(second, "second")
    if len(x) != len(y):
        raise ValueError(
            f"first has {len(x)} people and second {len(y)}: not the same people"
        )
    if permutations < 1:
        raise ValueError(f"permutations={permutations}, expected at least 1")
    correlation = x.T @ y
    size = np.nan_to_num(np.abs(correlation), nan=-1.0)
    if size.max() < 0:
        raise ValueError(
            "no dimension varies in both modalities: nothing to correlate"
        )
    left, right = x[:, ~np.isnan(x[0])], y[:, ~np.isnan(y[0])]
    rng, null = np.random.default_rng(seed), np.empty(permutations)
    for start in range(0, permutations, 128):
        orders = [rng.permutation(len(x)) for _ in null[start : start + 128]]
        shuffled = left[np.stack(orders)]  # (block, n, d1)
        null[start : start + 128] = np.abs(
            shuffled.transpose(0, 2, 1) @ right
        ).max((1, 2))
    # rounding may put a permutation that changes nothing just below what was
    # observed
    beaten = permutations - np.searchsorted(np.sort(null), size - 1e-12)
    p = np.where(size < 0, np.nan, (1 + beaten) / (1 + permutations))
    best = tuple(int(i) for i in np.unravel_index(size.argmax(), size.shape))
    return Pairing(correlation, best, p, null)


def _standard(z, name: str) -> np.ndarray:
    """Columns centred and of length 1, so that a product is a correlation; NaN
    where constant.
    """
    z = np.asarray(z, dtype=np.float64)
    if z.ndim != 2 or len(z) < 4 or not np.isfinite(z).all():
        raise ValueError(
            f"{name}: shape {z.shape}, expected finite (people, dimensions) of at "
            "least 4 people"
        )
    centred = z - z.mean(0)
    length = np.linalg.norm(centred, axis=0)
    constant = length <= 1e-12 * np.abs(z).max(0, initial=0) * len(z) ** 0.5
    return np.where(constant, np.nan, centred / np.where(constant, 1, length))
