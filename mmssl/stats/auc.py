"""The area under the ROC curve (AUC), a rank statistic, plain or weighted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

_ELEMENTS = 1 << 22  # of weights that are sorted at a time


class Interval(NamedTuple):
    """An estimate with its confidence limits and the name of the method that
    gave them.
    """

    estimate: float
    low: float
    high: float
    level: float
    method: str

    def detectable(self, power: float = 0.8) -> float:
        """The true value that an interval of this width would tell from 0
        with the power.

        Half of the interval is as many standard errors as its level takes,
        and the power takes its own quantile more.
        """
        reach = (self.high - self.low) / 2
        errors = ndtri(0.5 + self.level / 2)
        return reach * (1 + ndtri(power) / errors)


def roc_auc(labels, scores) -> float:
    r"""Area under the ROC curve as a rank statistic, ties counted one half.

    .. math::
        \mathrm{AUC} = \frac{\sum_{i \in \mathrm{pos}} r_i - n_1 (n_1 + 1) / 2}
        {n_1 n_0}

    with :math:`r_i` the midranks of all scores (Hanley & McNeil 1982). Of more
    than two classes, the macro average of one against the rest: the plain mean
    over classes of the AUC of "is of class k" by the score of class k.

    Parameters
    ----------
    labels : array-like, shape (n,)
        0 or 1; both must occur. Or 0, …, K - 1, all of which must.
    scores : array-like, shape (n,)
        Larger means class 1. With K > 2 classes (K, n), a score of each.

    Raises
    ------
    ValueError
        One class only, labels other than 0 and 1, scores not finite, shapes
        that differ.
    """
    labels, scores = checked_classes(labels, scores)
    truths, rows = one_against_rest(labels, scores)
    equal = np.ones((1, len(labels)))
    aucs = [
        weighted_auc(truth, row, equal)[0]
        for truth, row in zip(truths, rows, strict=True)
    ]
    return float(np.mean(aucs))


def weighted_auc(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    r"""AUC of every weighting of the rows at once.

    .. math:: A = \frac{\sum_{i \in 1} \sum_{j \in 0} w_i w_j
        \bigl([s_i > s_j] + \tfrac12 [s_i = s_j]\bigr)}{\sum_i w_i \sum_j w_j}

    Rows are sorted once; positives count the negatives below them by a running
    sum.

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
        NaN where a class has no weight.
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) != 0])
    truth = labels[order]
    step = max(1, _ELEMENTS // len(labels))
    aucs = []
    for first in range(0, len(weights), step):
        drawn = weights[first : first + step, order]
        # (B, distinct scores)
        positive = np.add.reduceat(drawn * truth, starts, axis=1)
        negative = np.add.reduceat(drawn * (1 - truth), starts, axis=1)
        below = np.cumsum(negative, axis=1) - 0.5 * negative
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        aucs.append((positive * below).sum(axis=1) / pairs)
    return np.concatenate(aucs)


def left_out_auc(
    labels: np.ndarray, scores: np.ndarray, subjects: np.ndarray
) -> np.ndarray:
    r"""AUC of all rows but those of one subject, of each subject in turn.

    Of the pairs of a positive and a negative row that the AUC counts, those of
    the subject's rows are taken away, so that all subjects cost one sort.

    Parameters
    ----------
    labels : array, shape (n,)
        0 or 1.
    scores : array, shape (n,)
    subjects : array of int, shape (n,)
        Whose row it is, from 0 on, without a gap.

    Returns
    -------
    array, shape (subjects,)
    """
    values, place = np.unique(scores, return_inverse=True)
    positive = np.bincount(place, labels, len(values))
    negative = np.bincount(place, 1 - labels, len(values))
    below = np.cumsum(negative) - 0.5 * negative
    above = positive.sum() - np.cumsum(positive) + 0.5 * positive
    pairs_of_row = np.where(labels == 1, below[place], above[place])
    lost = np.bincount(subjects, pairs_of_row)
    ones = np.bincount(subjects, labels)
    zeros = np.bincount(subjects, 1 - labels)
    for subject in np.flatnonzero((ones > 0) & (zeros > 0)):
        rows = subjects == subject
        equal = np.ones((1, rows.sum()))
        inside = weighted_auc(labels[rows], scores[rows], equal)[0]
        # which were taken away from both sides
        lost[subject] -= inside * ones[subject] * zeros[subject]
    pairs = (ones.sum() - ones) * (zeros.sum() - zeros)
    return (positive @ below - lost) / pairs


def checked(labels, scores) -> tuple[np.ndarray, np.ndarray]:
    """Labels as int64 and scores as float64, both (n,), or a ValueError saying
    what is wrong.
    """
    labels = np.asarray(labels)
    scores = np.asarray(scores, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise ValueError(
            "labels and scores must both be (n,), found "
            f"{labels.shape} and {scores.shape}"
        )
    classes = np.unique(labels)
    if not np.isin(classes, (0, 1)).all():
        raise ValueError(
            f"labels must be 0 or 1, found {classes[:5].tolist()}"
        )
    if len(classes) < 2:
        raise ValueError(
            f"labels hold one class only ({classes.tolist()}): AUC needs 0 "
            "and 1"
        )
    if not np.isfinite(scores).all():
        count = int((~np.isfinite(scores)).sum())
        raise ValueError(f"scores hold {count} values that are not finite")
    return labels.astype(np.int64), scores


def checked_all(labels, scores) -> tuple[np.ndarray, np.ndarray]:
    """As `checked`, for one or several scores of the same rows: labels (n,)
    and scores (k, n).
    """
    rows = np.atleast_2d(np.asarray(scores))
    valid = [checked(labels, row) for row in rows]
    valid_labels, _ = valid[0]
    return valid_labels, np.stack([row for _, row in valid])


def checked_classes(labels, scores) -> tuple[np.ndarray, np.ndarray]:
    """As `checked_all`, for two classes or more: labels (n,) and scores (k,
    n), or (k, K, n) of K > 2 classes.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or np.isin(labels, (0, 1)).all():
        return checked_all(labels, scores)
    classes = np.unique(labels)
    number = len(classes)
    if not np.array_equal(classes, np.arange(number)):
        raise ValueError(
            f"labels must be 0 or 1, or 0 to K - 1 and each of them, found "
            f"{classes[:5].tolist()}"
        )
    scores = np.asarray(scores, dtype=np.float64)
    expected = (number, len(labels))
    if scores.ndim not in (2, 3) or scores.shape[-2:] != expected:
        raise ValueError(
            f"scores: shape {scores.shape}, expected {expected}, one line a "
            "class"
        )
    scores = scores.reshape(-1, *expected)
    for k, of_class in enumerate(scores.swapaxes(0, 1)):
        checked_all(labels == k, of_class)
    return labels.astype(np.int64), scores


def one_against_rest(
    labels: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Problems of two classes whose AUCs are averaged: labels and scores, both
    (rows, n).

    Parameters
    ----------
    labels, scores
        Of `checked_classes`. Two classes are one problem for each line of
        scores.
    """
    if scores.ndim == 2:
        return np.broadcast_to(labels, scores.shape), scores
    _, number, people = scores.shape
    truths = (labels == np.arange(number)[:, None]).astype(np.int64)
    return np.tile(truths, (len(scores), 1)), scores.reshape(-1, people)


def checked_level(level: float) -> float:
    """The confidence level, or a ValueError."""
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), found {level}")
    return level
