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


def populations(
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
        0 or 1 on the rows asked about.
    scores : {row: {modality: (pairs,)}}
        Of the undistorted cohort.
    source, shift : array of int
        Rows of the hold-out of the population the models were trained on, and
        of the other; one row a person.
    margin : float
        The largest gap that would still count as none.
    level : float

    Returns
    -------
    DataFrame
        row, modality; source, source_low, source_high, shift, shift_low,
        shift_high (AUC); gap (shift minus source), gap_low, gap_high, p,
        equivalence_p, verdict ("different", "equivalent", "different, within
        the margin" or "undecided") and detectable, the fall that so many
        people would have shown with power .8.

    Raises
    ------
    ValueError
        If a population holds one class only, naming it; a margin that is not
        positive.
    """
    import pandas as pd

    rows = np.concatenate([source, shift])
    second = np.arange(len(rows)) >= len(source)
    for name, of in (("source", ~second), ("shift", second)):
        found = np.unique(labels[rows[of]]).tolist()
        if found != [0, 1]:
            raise ValueError(
                f"{name}: {of.sum()} people of the classes {found}, expected 0 and 1"
            )
    lines = []
    for row, by_modality in scores.items():
        for m, score in by_modality.items():
            found = auc_gap(
                labels[rows],
                np.asarray(score)[rows],
                second,
                margin=margin,
                level=level,
            )
            line = {"model": row, "modality": m}
            for name, auc in (
                ("source", found.first),
                ("shift", found.second),
            ):
                line |= {
                    name: auc.estimate,
                    f"{name}_low": auc.low,
                    f"{name}_high": auc.high,
                }
            gap = found.gap
            line |= {
                "gap": -gap.estimate,
                "gap_low": -gap.high,
                "gap_high": -gap.low,
            }
            lines.append(
                {
                    **line,
                    "p": found.p,
                    "equivalence_p": found.equivalence_p,
                    "verdict": found.verdict,
                    "detectable": found.detectable,
                }
            )
    return pd.DataFrame(lines)
