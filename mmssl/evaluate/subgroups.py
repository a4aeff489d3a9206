"""Who is served less well: women, older people, one scanner's, or small heads?

A representation may hold for a population and fail for a part of it. The parts
of every covariate share nobody, so that `mmssl.stats.equivalence.auc_by_group`
compares them, with an interval and an equivalence test for every gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mmssl.stats.equivalence import auc_by_group, spread_by_chance

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 5
"""People of each class that a part needs to be shown."""


def gaps(
    labels: np.ndarray,
    scores: Mapping[str, Mapping[str, np.ndarray]],
    covariates: pd.DataFrame,
    rows: np.ndarray,
    margin: float = 0.1,
    level: float = 0.95,
) -> pd.DataFrame:
    """AUC of each model in the parts of a population, and each part's gap to
    the largest one.

    Parameters
    ----------
    labels : array, shape (pairs,)
        0 or 1 on the rows asked about.
    scores : {row: {modality: (pairs,)}}
    covariates : DataFrame, (pairs,)
        Of `mmssl.evaluate.confounds.covariates`: words are taken as they are,
        numbers are cut at the median of the people asked about.
    rows : array of int
        Rows of the population, one a person. Who lacks a covariate is left out
        of its parts, and so is a part with fewer than `FEWEST` people of a
        class.
    margin, level : float
        Of the equivalence test and the limits.

    Returns
    -------
    DataFrame
        One line per row, modality, covariate and part: people, positives, auc,
        low, high; reference (the largest part); gap (part minus reference)
        with gap_low, gap_high, p, equivalence_p, verdict, detectable, all
        empty for the reference itself; spread_p: how often equal parts of
        these sizes differ as much as the highest and the lowest AUC. Without
        lines where no covariate has two parts.
    """
    import pandas as pd

    parts = {}
    for name in covariates:
        part = _parts(covariates[name].iloc[rows])
        counts = (
            pd.crosstab(part, labels[rows])
            .reindex(columns=[0, 1], fill_value=0)
            .min(axis=1)
        )
        kept = part.isin(counts.index[counts >= FEWEST]).to_numpy()
        if part[kept].nunique() > 1:
            parts[name] = (
                np.asarray(rows)[kept],
                part[kept].to_numpy(dtype=str),
            )
    lines = [
        _compared(
            labels[of], np.asarray(score)[of], part, margin, level
        ).assign(model=row, modality=m, covariate=name)
        for row, by_modality in scores.items()
        for m, score in by_modality.items()
        for name, (of, part) in parts.items()
    ]
    table = (
        pd.concat(lines, ignore_index=True)
        if lines
        else pd.DataFrame(columns=_COLUMNS)
    )
    return table.rename(columns={"group": "part"})[list(_COLUMNS)]


def summary(table: pd.DataFrame) -> str:
    """What the gaps of `gaps` amount to, in two sentences."""
    shown = table.dropna(subset="gap")
    if shown.empty:
        return f"No covariate has two parts with at least {FEWEST} people of each class."
    verdicts = ", ".join(
        f"{count} {v}" for v, count in shown["verdict"].value_counts().items()
    )
    spread = table.drop_duplicates(["model", "modality", "covariate"])[
        "spread_p"
    ]
    return (
        f"{len(shown)} gaps of parts with at least {FEWEST} people of each class: {verdicts}. "
        f"The parts of a covariate lie further apart than equal ones do in 19 of 20 samples "
        f"for **{(spread <= 0.05).sum()} of {len(spread)}** combinations of model, modality "
        f"and covariate, where chance makes it {0.05 * len(spread):.1f}; the smallest fall "
        f"that any part would have shown with power .8 is {shown['detectable'].min():.2f}."
    )


_COLUMNS = (
    "model",
    "modality",
    "covariate",
    "part",
    "reference",
    "people",
    "positives",
    "auc",
    "low",
    "high",
    "gap",
    "gap_low",
    "gap_high",
    "p",
    "equivalence_p",
    "verdict",
    "detectable",
    "spread_p",
)


def _compared(
    labels, score, part, margin: float, level: float
) -> pd.DataFrame:
    found = auc_by_group(labels, score, part, margin=margin, level=level)
    turned = {
        "gap": -found["gap"],
        "gap_low": -found["gap_high"],
        "gap_high": -found["gap_low"],
    }
    return found.assign(
        **turned,
        reference=found["group"].iloc[0],
        spread_p=spread_by_chance(found)["p"],
    )


def _parts(values: pd.Series) -> pd.Series:
    """Words, or which side of the median a number lies on; missing where it is
    missing.
    """
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(values):
        return values
    middle = values.median()
    sides = np.where(
        values > middle, f"above {middle:.3g}", f"up to {middle:.3g}"
    )
    return pd.Series(sides, index=values.index).where(values.notna())
