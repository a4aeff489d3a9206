r"""How alike two representations of the same people are: CKA, CCA, SVCCA,
PWCCA.

All measures are similarities (1: alike), never distances, of two codes X (n,
d1) and Y (n, d2) whose rows are the same n people. Columns are centred here,
before anything else, and all is computed in float64. Four of the five grow as
n shrinks although nothing is shared: independent 64-dimensional codes have a
CKA of .75 and a CCA of 1 at n = 22. So none is read without its chance level
at the same n and d, without the null of the same codes with people shuffled,
which also reflects the codes' spectra (`mmssl.similarity.inference`), and
beside debiased CKA.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

MEASURES = ("CCA", "SVCCA", "PWCCA", "CKA", "debiased CKA")
"""Every measure of a table, in the order of Taxonomy's figure 7."""

BIASED = MEASURES[:4]
"""Those that are above 0 for unrelated codes, the more so the fewer people."""


def cka(x, y, debiased: bool = False) -> float:
    r"""Linear centred kernel alignment (004, equation 2; Kornblith et al.
    2019).

    .. math:: \frac{\lVert Y^\top X \rVert_F^2}
        {\lVert X^\top X \rVert_F \, \lVert Y^\top Y \rVert_F}

    Debiased, each of the three is replaced by the unbiased estimate of the
    same quantity in the population (HSIC_1 of Song et al. 2012), with K = XX',
    L = YY', diagonals zeroed:

    .. math:: \frac{1}{n(n-3)} \Bigl[\mathrm{tr}(\tilde K \tilde L)
        + \frac{1^\top \tilde K 1 \; 1^\top \tilde L 1}{(n-1)(n-2)}
        - \frac{2}{n-2} 1^\top \tilde K \tilde L 1\Bigr]

    On centred columns all sums are functions of the squared row norms k, l,
    and the bracket is :math:`\lVert Y^\top X \rVert_F^2 - \frac{n}{n-2} k
    \cdot l + \frac{\sum k \sum l}{(n-1)(n-2)}`: no n by n matrix is made
    unless it is the smaller one.

    Parameters
    ----------
    x, y : array-like, shape (n, d1), (n, d2)
        NumPy arrays or tensors on any device.
    debiased : bool
        Needs n >= 4.

    Returns
    -------
    float
        In [0, 1]; debiased in [-1, 1], about 0 for independent codes at any n.
        1 if Y is X turned, scaled and shifted. Not invariant to other linear
        maps.

    Raises
    ------
    ValueError
        Other shapes, different n, values that are not finite, fewer than 4
        rows (debiased), or a code in which all rows, debiased all but one, are
        equal.
    """
    x, y = checked(x, y, fewest=4 if debiased else 2)
    x, _ = _centred(x, "x")
    y, _ = _centred(y, "y")
    xy, xx, yy = _products(x, y)
    if debiased:
        kx, ky = (np.einsum("ij,ij->i", z, z) for z in (x, y))
        xy = _unbiased(xy, kx, ky)
        xx = _unbiased_norm(xx, kx, "x")
        yy = _unbiased_norm(yy, ky, "y")
    return float(xy / np.sqrt(xx * yy))


def cca(x, y) -> float:
    r"""Mean canonical correlation (004, equation 1).

    .. math:: \frac{1}{d} \lVert Q_Y^\top Q_X \rVert_*

    with Q orthonormal bases of the centred columns and d the smaller of the
    two ranks: a column that depends on others is no dimension. Invariant to
    any invertible linear map of either side, and 1 wherever n - 1 <= d,
    whatever the codes.

    Parameters and errors as `cka`.
    """
    a, b = decomposed(x, y)
    return float(_correlations(a.basis.T @ b.basis).mean())


def svcca(x, y, threshold: float = 0.99) -> float:
    """Mean canonical correlation of the leading principal components (Raghu et
    al. 2017).

    Each side keeps the fewest components, at least one, that hold `threshold`
    of its variance after centring. At 1 this is `cca`.

    Parameters
    ----------
    x, y : array-like, shape (n, d1), (n, d2)
    threshold : float
        Share of variance (squared singular values) kept, in (0, 1].

    Raises
    ------
    ValueError
        As `cka`; also a threshold outside (0, 1].
    """
    a, b = decomposed(x, y, threshold)
    cross = a.basis[:, : a.leading].T @ b.basis[:, : b.leading]
    return float(_correlations(cross).mean())


def pwcca(x, y) -> float:
    r"""Canonical correlations weighted by how much of X each one accounts for
    (Morcos et al. 2018).

    .. math:: \frac{\sum_i \alpha_i \rho_i}{\sum_i \alpha_i}, \qquad
        \alpha_i = \sum_j \lvert \langle h_i, x_j \rangle \rvert

    with :math:`h_i` the i-th canonical variate of X, of unit norm, and
    :math:`x_j` the centred columns of X. Not symmetric: the first argument
    weighs. With n - 1 < d1 + d2 several correlations are exactly 1 and their
    variates are free to rotate; the principal axes of what X has there are
    taken, so that the value is defined.

    Parameters and errors as `cka`.
    """
    a, b = decomposed(x, y)
    return _projection_weighted(a, a.basis.T @ b.basis)[1]


def measures(x, y, threshold: float = 0.99) -> dict[str, float]:
    """All of `MEASURES` at once, from one decomposition of each side.

    Parameters
    ----------
    x, y : array-like, shape (n, d1), (n, d2)
    threshold : float
        Of `svcca`.

    Returns
    -------
    {measure: float}

    Raises
    ------
    ValueError
        As `cka(debiased=True)`.
    """
    a, b = decomposed(x, y, threshold, fewest=4)
    values = measures_of_orders(a, b, [slice(None)])
    return {name: float(value[0]) for name, value in values.items()}


def checked(x, y, fewest: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Both sides as floating arrays, or a ValueError of what is wrong."""
    x, y = _as_code(x, "x"), _as_code(y, "y")
    if len(x) != len(y):
        raise ValueError(
            f"x has {len(x)} rows and y {len(y)}, expected the same"
        )
    if len(x) < fewest:
        raise ValueError(
            f"x and y have {len(x)} rows, expected at least {fewest}"
        )
    return x, y


def _as_code(z, name: str) -> np.ndarray:
    """A finite array (n, d) of floating numbers."""
    if hasattr(z, "detach"):  # a tensor
        z = z.detach().cpu()
        if z.is_floating_point() and z.itemsize < 4:
            z = z.float()  # NumPy has no bfloat16
        z = z.numpy()
    z = np.asarray(z)
    if z.ndim != 2 or z.shape[1] < 1 or z.dtype.kind not in "fiub":
        raise ValueError(
            f"{name}: shape {z.shape} of {z.dtype}, expected numbers (n, d)"
        )
    if not np.isfinite(z).all():
        number = int((~np.isfinite(z)).sum())
        raise ValueError(
            f"{name}: {number} values are NaN or Inf, expected none"
        )
    return z if z.dtype.kind == "f" else z.astype(np.float64)


class _Code(NamedTuple):
    """A centred code (n, d) and its decomposition basis @ diag(spread) @ axes,
    without null space.

    leading : how many components SVCCA keeps.
    """

    centred: np.ndarray
    basis: np.ndarray
    spread: np.ndarray
    axes: np.ndarray
    leading: int


def _centred(z: np.ndarray, name: str) -> tuple[np.ndarray, float]:
    """Float64 with columns centred, and the relative size of rounding in what
    was given.
    """
    precision = np.finfo(z.dtype if z.dtype == np.float64 else np.float32).eps
    z = np.asarray(z, dtype=np.float64)
    centred = z - z.mean(axis=0)
    if _largest(centred) <= np.finfo(np.float64).eps * _largest(z):
        raise ValueError(
            f"{name}: all {len(z)} rows are equal, expected some spread"
        )
    return centred, precision


def _largest(z: np.ndarray) -> float:
    """Largest absolute value, without an array of them."""
    return max(z.max(), -z.min())


def decomposed(
    x, y, threshold: float = 0.99, fewest: int = 2
) -> tuple[_Code, _Code]:
    """Both sides checked, centred and decomposed; errors as `svcca`."""
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold}, expected in (0, 1]")
    x, y = checked(x, y, fewest)
    x, precision_x = _centred(x, "x")
    y, precision_y = _centred(y, "y")
    a = _decompose(x, precision_x, threshold)
    b = _decompose(y, precision_y, threshold)
    return a, b


def _decompose(
    centred: np.ndarray, precision: float, threshold: float
) -> _Code:
    """Singular value decomposition without directions below rounding, which
    are no dimensions: float32 codes carry the noise of float32.
    """
    basis, spread, axes = np.linalg.svd(centred, full_matrices=False)
    rank = int((spread > spread[0] * max(centred.shape) * precision).sum())
    basis, spread, axes = basis[:, :rank], spread[:rank], axes[:rank]
    share = spread**2 / (spread**2).sum()
    # share of the variance that the first 1, 2, … components do not hold
    rest = np.append(np.cumsum(share[::-1])[::-1][1:], 0.0)
    leading = 1 + int((rest > 1 - threshold).sum())
    return _Code(centred, basis, spread, axes, leading)


def _correlations(cross: np.ndarray) -> np.ndarray:
    return np.clip(np.linalg.svd(cross, compute_uv=False), 0.0, 1.0)


def _projection_weighted(a: _Code, cross: np.ndarray) -> tuple[float, float]:
    """Plain and weighted mean of the canonical correlations, cross = Q_x'
    Q_y.
    """
    turn, rho, _ = np.linalg.svd(cross, full_matrices=False)
    rho = np.clip(rho, 0.0, 1.0)
    projections = (turn.T * a.spread) @ a.axes  # h_i' x_j
    tied = rho > 1 - 1e-9
    # n - 1 < d1 + d2: any rotation of these h_i is as good, take x's own axes
    if tied.sum() > 1:
        _, size, axes = np.linalg.svd(projections[tied], full_matrices=False)
        projections[tied] = size[:, None] * axes
    weights = np.abs(projections).sum(axis=1)
    return float(rho.mean()), min(1.0, float(weights @ rho / weights.sum()))


def measures_of_orders(
    a: _Code, b: _Code, orders: Iterable
) -> dict[str, np.ndarray]:
    """All measures for each order of the rows of b, {measure: (orders,)};
    everything comes from Q_x' Q_y.
    """
    kx, ky = (a.centred**2).sum(axis=1), (b.centred**2).sum(axis=1)
    norms = np.linalg.norm(a.spread**2) * np.linalg.norm(b.spread**2)
    xx = _unbiased_norm((a.spread**4).sum(), kx, "x")
    yy = _unbiased_norm((b.spread**4).sum(), ky, "y")
    values = []
    for order in orders:
        cross = a.basis.T @ b.basis[order]
        xy = ((a.spread[:, None] * cross * b.spread) ** 2).sum()
        mean, weighted = _projection_weighted(a, cross)
        leading = cross[: a.leading, : b.leading]
        leading_mean = mean
        if leading.shape != cross.shape:
            leading_mean = _correlations(leading).mean()
        debiased = _unbiased(xy, kx, ky[order]) / np.sqrt(xx * yy)
        values.append((mean, leading_mean, weighted, xy / norms, debiased))
    return dict(zip(MEASURES, np.array(values).T, strict=True))


def _products(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """|Y'X|^2, |X'X|^2, |Y'Y|^2 (Frobenius), by features or by Gram matrices:
    the cheaper one.
    """
    n, d1, d2 = len(x), x.shape[1], y.shape[1]
    if d1 * d2 + d1**2 + d2**2 <= n * (d1 + d2):
        products = (x.T @ y, x.T @ x, y.T @ y)
        return tuple(float(np.vdot(m, m)) for m in products)
    gram_x, gram_y = x @ x.T, y @ y.T
    return (
        float(np.vdot(gram_x, gram_y)),
        float(np.vdot(gram_x, gram_x)),
        float(np.vdot(gram_y, gram_y)),
    )


def _unbiased(product: float, kx: np.ndarray, ky: np.ndarray) -> float:
    """n(n - 3) HSIC_1 from |Y'X|^2 and squared row norms, columns centred."""
    n = len(kx)
    return (
        product
        - n / (n - 2) * (kx @ ky)
        + kx.sum() * ky.sum() / ((n - 1) * (n - 2))
    )


def _unbiased_norm(product: float, norms: np.ndarray, name: str) -> float:
    """`_unbiased` of a code with itself; ValueError where all of its spread is
    one row's, and the estimate 0 but for rounding.
    """
    value = _unbiased(product, norms, norms)
    if value <= 1e-12 * norms.sum() ** 2:
        raise ValueError(
            f"{name}: one row differs and all others are equal; debiased CKA "
            "expects spread that more than one row has"
        )
    return value
