r"""The Dice coefficient of segmentations, a person at a time."""

from __future__ import annotations

import numpy as np


def dice_coefficient(predicted, truth, classes: int = 2) -> np.ndarray:
    r"""Overlap of what was found with what is there,

    .. math:: D = \frac{2\, |P \cap G|}{|P| + |G|},

    a mean over the classes that the truth of a person shows, but for the
    background (Dice 1945).

    Parameters
    ----------
    predicted, truth : array-like of int or bool, shape (n, *sides)
        Class of each voxel; the background is 0.
    classes : int
        The background among them.

    Returns
    -------
    array, shape (n,)
        In [0, 1]; NaN for who has nothing to be found.

    Raises
    ------
    ValueError
        If shapes differ, or for a class outside ``classes``.
    """
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    if predicted.shape != truth.shape:
        raise ValueError(
            f"Dice: predicted {predicted.shape} and truth {truth.shape}, "
            "expected equal shapes"
        )
    for name, values in (("predicted", predicted), ("truth", truth)):
        if values.size and not 0 <= values.min() <= values.max() < classes:
            raise ValueError(
                f"Dice: {name} holds {values.min()} to {values.max()}, "
                f"expected classes 0 to {classes - 1}"
            )
    total = np.zeros(len(truth))
    shown = np.zeros(len(truth))
    for k in range(1, classes):
        found = (predicted == k).reshape(len(truth), -1)
        there = (truth == k).reshape(len(truth), -1)
        sizes = found.sum(1) + there.sum(1)
        is_there = there.any(1)
        overlap = 2 * (found & there).sum(1) / np.maximum(sizes, 1)
        total += np.where(is_there, overlap, 0)
        shown += is_there
    return np.where(shown > 0, total / np.maximum(shown, 1), np.nan)
