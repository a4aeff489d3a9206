"""Who has no value: missing ones are refused where rows are grouped by value.

NaN equals nothing, itself least of all, so that ``x == value`` over the unique
values of x passes over whoever has none, in silence.
"""

from __future__ import annotations

import numpy as np


def all_known(values, name: str) -> np.ndarray:
    """Values as an array, or a ValueError that counts the missing ones.

    Parameters
    ----------
    values : array-like, shape (n,)
        Numbers, words or both; None, NaN and NA are missing. A list is looked
        at as it is: as an array, its NaN among words would be a word too.
    name : str
        What the message calls them, beside the column of a Series.

    Returns
    -------
    array, shape (n,)

    Raises
    ------
    ValueError
        For a value that is missing.
    """
    import pandas as pd

    column = getattr(values, "name", None)
    if hasattr(values, "cpu"):  # a tensor
        values = values.cpu().numpy()
    if not hasattr(values, "__array__"):
        values = list(values)
    missing = np.asarray(pd.isna(values))
    if missing.any():
        what = name if column is None else f"{name} (column {column!r})"
        rows = np.flatnonzero(missing)
        raise ValueError(
            f"{what}: {len(rows)} of {len(missing)} rows have no value, the "
            f"first is row {rows[0]}; expected a value for everybody"
        )
    return np.asarray(values)
