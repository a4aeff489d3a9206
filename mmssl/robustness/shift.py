"""The natural shift: is the second population served as well as the one the
models come from?
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mmssl.stats.equivalence import auc_gap

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
    equivalence test.

    Not finding a gap is not showing that there is none:
    `mmssl.stats.equivalence.auc_gap` also asks whether it lies within a stated
    margin (two one-sided tests, Schuirmann 1987).

    Parameters
    ----------
    labels : array, shape (pairs,)
        0 or 1 for the people asked about.
    scores : {model: {modality: (pairs,)}}
        Of the undistorted cohort.
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
        shift_high (AUC); gap (shift minus source), gap_low, gap_high, p,
        equivalence_p, conclusion ("different", "equivalent", "different,
        within the margin" or "undecided") and detectable, the fall that so
        many people would have shown with power .8.

    Raises
    ------
    ValueError
        If a population holds one class only, naming it; a margin that is not
        positive.
    """
    import pandas as pd

    for name, rows in (("source", source), ("shift", shift)):
        classes = np.unique(labels[rows]).tolist()
        if classes != [0, 1]:
            raise ValueError(
                f"{name}: {len(rows)} people of the classes {classes}, "
                "expected 0 and 1"
            )
    people = np.concatenate([source, shift])
    in_shift = np.arange(len(people)) >= len(source)
    lines = []
    for model, by_modality in scores.items():
        for modality, score in by_modality.items():
            comparison = auc_gap(
                labels[people],
                np.asarray(score)[people],
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
