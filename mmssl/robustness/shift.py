"""The natural shift: is the second population served as well as the one the
models come from?
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mmssl.robustness.measures import is_number
from mmssl.stats.equivalence import auc_gap, r2_gap

if TYPE_CHECKING:
    import pandas as pd


def compare_populations(
    labels: np.ndarray,
    scores: Mapping[str, Mapping[str, np.ndarray]],
    source: np.ndarray,
    shift: np.ndarray,
    margin: float = 0.1,
    level: float = 0.95,
) -> pd.DataFrame:
    """AUC of each model in two populations, the gap between them and its
    equivalence test; or R2 where numbers are predicted.

    Not finding a gap is not showing that there is none:
    `mmssl.stats.equivalence.auc_gap` also asks whether it lies within a stated
    margin (two one-sided tests, Schuirmann 1987).

    Parameters
    ----------
    labels : array, shape (pairs,)
        0 or 1 for the people asked about, or 0 to K - 1; float where numbers
        are predicted.
    scores : {model: {modality: (pairs,)}}
        Of the undistorted cohort; (K, pairs) of K > 2 classes.
    source, shift : array of int
        Rows of the cohort: the hold-out of the population the models were
        trained on, and the other population; one row a person.
    margin : float
        The largest gap that would still count as none.
    level : float

    Returns
    -------
    DataFrame
        model, modality; source, source_low, source_high, shift, shift_low,
        shift_high (AUC or R2); gap (shift minus source), gap_low, gap_high, p,
        equivalence_p, conclusion ("different", "equivalent", "different,
        within the margin" or "undecided") and detectable, the fall that so
        many people would have shown with power .8.

    Raises
    ------
    ValueError
        If a population lacks a class, naming it; a margin that is not
        positive.
    """
    import pandas as pd

    labels = np.asarray(labels)
    people = np.concatenate([source, shift])
    compare = r2_gap
    if not is_number(labels):
        compare = auc_gap
        _check_classes(labels, {"source": source, "shift": shift})
    in_shift = np.arange(len(people)) >= len(source)
    lines = []
    for model, by_modality in scores.items():
        for modality, score in by_modality.items():
            comparison = compare(
                labels[people],
                np.asarray(score)[..., people],
                in_shift,
                margin=margin,
                level=level,
            )
            # the gap of a `Gap` is first minus second
            line = {
                "model": model,
                "modality": modality,
                "source": comparison.first.estimate,
                "source_low": comparison.first.low,
                "source_high": comparison.first.high,
                "shift": comparison.second.estimate,
                "shift_low": comparison.second.low,
                "shift_high": comparison.second.high,
                "gap": -comparison.gap.estimate,
                "gap_low": -comparison.gap.high,
                "gap_high": -comparison.gap.low,
                "p": comparison.p,
                "equivalence_p": comparison.equivalence_p,
                "conclusion": comparison.conclusion,
                "detectable": comparison.detectable,
            }
            lines.append(line)
    return pd.DataFrame(lines)


def _check_classes(labels: np.ndarray, samples: Mapping) -> None:
    """ValueError for a sample that lacks a class."""
    expected = list(range(int(labels.max()) + 1))
    for name, rows in samples.items():
        classes = np.unique(labels[rows]).tolist()
        if classes != expected or len(expected) < 2:
            names = " and ".join(map(str, expected))
            raise ValueError(
                f"{name}: {len(rows)} people of the classes {classes}, "
                f"expected {names}"
            )
