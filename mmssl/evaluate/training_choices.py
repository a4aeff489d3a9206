"""Choices of training, held against each other on several cohorts.

Cohorts are the units: every choice is trained on each of them once, and a
difference is paired within a cohort.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student

if TYPE_CHECKING:
    import pandas as pd


def choice_differences(
    table: pd.DataFrame, reference: str, level: float = 0.95
) -> pd.DataFrame:
    """AUC of every choice, and its difference to one of them on the same
    cohorts.

    Parameters
    ----------
    table : DataFrame
        objective, choice, seed (of the cohort), modality, value: one AUC each.
    reference : str
        The choice that an objective's others are compared with.
    level : float
        Of the Student-t interval over cohorts.

    Returns
    -------
    DataFrame
        objective, choice, modality, cohorts, auc (mean), difference, low,
        high; the last three NaN for the reference itself, and where an
        objective has none.

    Raises
    ------
    ValueError
        If a choice was not trained on the cohorts of the reference.
    """
    import pandas as pd

    lines = []
    for (objective, modality), part in table.groupby(
        ["objective", "modality"], sort=False
    ):
        values = part.pivot(index="seed", columns="choice", values="value")
        for choice in dict.fromkeys(part["choice"]):
            auc = values[choice].dropna()
            line = {"objective": objective, "choice": choice}
            line |= {"modality": modality, "cohorts": len(auc)}
            line["auc"] = auc.mean()
            if reference in values and choice != reference:
                usual = values[reference].dropna()
                if set(usual.index) != set(auc.index):
                    raise ValueError(
                        f"{objective}, {choice}: cohorts {list(auc.index)}, "
                        f"expected {list(usual.index)} as of {reference!r}"
                    )
                line |= _paired((auc - usual).to_numpy(), level)
            lines.append(line)
    columns = ["objective", "choice", "modality", "cohorts", "auc"]
    columns += ["difference", "low", "high"]
    return pd.DataFrame(lines, columns=columns)


def _paired(differences: np.ndarray, level: float) -> dict[str, float]:
    """Mean of paired differences with Student-t limits."""
    number = len(differences)
    mean = differences.mean()
    reach = np.nan
    if number > 1:
        error = differences.std(ddof=1) / np.sqrt(number)
        reach = student.ppf(0.5 + level / 2, number - 1) * error
    return {"difference": mean, "low": mean - reach, "high": mean + reach}
