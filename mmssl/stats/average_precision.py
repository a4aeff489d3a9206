"""Average precision: the precision that a ranking has on its way through all
that is positive.
"""

from __future__ import annotations

import numpy as np


def weighted_average_precision(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    r"""Average precision of every weighting of the rows at once.

    .. math:: \mathrm{AP} = \sum_k (R_k - R_{k-1}) P_k

    with precision :math:`P_k` and recall :math:`R_k` at the k-th largest
    score, those equal to it included: that of scikit-learn's
    ``average_precision_score``, a resample of the bootstrap per weighting.

    Parameters
    ----------
    labels : array, shape (n,)
        0 or 1.
    scores : array, shape (n,)
    weights : array, shape (B, n)
        Such as how often each row is drawn in B resamples.

    Returns
    -------
    array, shape (B,)
        NaN where no positive has weight.
    """
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) != 0])
    drawn = weights[:, order]
    # (B, distinct scores)
    positive = np.add.reduceat(drawn * labels[order], starts, axis=1)
    called = np.cumsum(np.add.reduceat(drawn, starts, axis=1), axis=1)
    found = np.cumsum(positive, axis=1)
    precision = np.divide(
        found, called, out=np.zeros_like(found), where=called > 0
    )
    total = found[:, -1]
    weighted = (positive * precision).sum(axis=1)
    return np.divide(
        weighted, total, out=np.full_like(total, np.nan), where=total > 0
    )
