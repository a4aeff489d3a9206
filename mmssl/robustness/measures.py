"""How well scores tell the truth, in every resample of the people at once.

Three kinds of truth: two classes, whose measure is the ROC-AUC; more classes,
with its macro average over one against the rest; and numbers, with R2. Scores
of bad images may be off by powers of ten: an R2 below `LOWEST` counts as
`LOWEST`, or one value of a panel would outweigh all others in an area.
"""

from __future__ import annotations

import numpy as np

from mmssl.stats.auc import one_against_rest, weighted_auc
from mmssl.stats.bootstrap import Clusters, draw_counts

LOWEST = -1.0
"""R2 that no lower one counts as less than."""


def checked_truth(truth, people: int) -> np.ndarray:
    """Labels as integers or numbers as float64, (people,).

    Raises
    ------
    ValueError
        For another number of people, classes other than 0 to K - 1 or one
        alone, numbers that are not finite or the same in everybody.
    """
    truth = np.asarray(truth)
    if truth.shape != (people,):
        raise ValueError(
            f"labels: shape {truth.shape}, expected ({people},) as the scores"
        )
    if is_number(truth):
        if not np.isfinite(truth).all() or np.ptp(truth) == 0:
            raise ValueError(
                f"numbers from {truth.min()} to {truth.max()}, expected "
                "finite ones that differ"
            )
        return truth.astype(np.float64)
    classes = np.unique(truth).tolist()
    if len(classes) < 2 or classes != list(range(len(classes))):
        raise ValueError(
            f"labels: classes {classes}, expected 0 and 1, or 0 to K - 1: one "
            "class has no AUC"
        )
    return truth.astype(np.int64)


def is_number(truth: np.ndarray) -> bool:
    """Whether numbers are to be predicted, and not classes."""
    return truth.dtype.kind == "f"


def name_of(truth: np.ndarray) -> str:
    """Column of the measure in a table: "auc" or "r2"."""
    return "r2" if is_number(truth) else "auc"


def sizes(truth: np.ndarray) -> tuple[int, ...]:
    """People of each class, or all where there are none."""
    if is_number(truth):
        return (len(truth),)
    return tuple(np.bincount(truth).tolist())


def resampled(truth: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """How often each person is drawn, (resamples, people): within classes."""
    if is_number(truth):
        rng = np.random.default_rng(seed)
        return draw_counts(np.zeros(len(truth)), resamples, rng)
    return Clusters(truth, None).draws(resamples, seed)


def are_half_scored(truth: np.ndarray, scored: np.ndarray) -> bool:
    """Whether at least half of the people of each class were scored."""
    kinds = np.zeros(len(truth), int) if is_number(truth) else truth
    everybody = np.bincount(kinds)
    left = np.bincount(kinds[scored], minlength=len(everybody))
    return bool((left >= everybody / 2).all())


def measured(
    truth: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """The measure of each model in each resample.

    Parameters
    ----------
    truth : array, shape (n,)
        Of `checked_truth`.
    scores : array, shape (models, n), or (models, K, n) of K > 2 classes
    weights : array, shape (R, n)
        How often each person is drawn. Where a draw holds nobody of a class,
        or numbers of one value only, everybody counts once.

    Returns
    -------
    array, shape (models, R)
    """
    if is_number(truth):
        return np.stack([_r2(truth, each, weights) for each in scores])
    lacking = np.zeros(len(weights), bool)
    for c in np.unique(truth):
        lacking |= weights[:, truth == c].sum(1) == 0
    weights = np.where(lacking[:, None], 1.0, weights)
    measures = []
    for each in scores:
        truths, rows = one_against_rest(truth, each[None])
        pairs = zip(truths, rows, strict=True)
        aucs = [weighted_auc(own, row, weights) for own, row in pairs]
        measures.append(np.mean(aucs, axis=0))
    return np.stack(measures)


def _r2(
    truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """R2 of predictions (n,) in each resample, not below `LOWEST`, (R,)."""
    values = truth - truth.mean()
    spread = weights @ values**2 - (weights @ values) ** 2 / weights.sum(1)
    has_no_spread = spread <= 1e-9 * (values**2).max()
    weights = np.where(has_no_spread[:, None], 1.0, weights)
    spread = np.where(has_no_spread, (values**2).sum(), spread)
    return np.maximum(LOWEST, 1 - weights @ (truth - predicted) ** 2 / spread)
