"""Values that everybody has are returned, missing ones counted."""

import numpy as np
import pandas as pd
import pytest
import torch

from mmssl.stats.missing import all_known


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3],
        ("A", "nan", "None"),
        np.array([1.5, np.inf]),
        pd.Series(["A", "B"]),
        torch.tensor([0, 1]),
    ],
)
def test_what_is_known_comes_back(values):
    known = all_known(values, "values")
    assert isinstance(known, np.ndarray)
    assert known.tolist() == list(values)


@pytest.mark.parametrize(
    "values",
    [
        ["A", np.nan, "B"],
        ("A", None, "B"),
        np.array([1.0, np.nan, 2.0]),
        pd.Series([1, pd.NA, 2], dtype="Int64"),
        pd.Categorical(["A", None, "B"]),
        torch.tensor([1.0, float("nan"), 2.0]),
    ],
)
def test_what_is_missing_is_counted(values):
    with pytest.raises(
        ValueError,
        match="values: 1 of 3 rows have no value, the first is row 1; "
        "expected a value for everybody",
    ):
        all_known(values, "values")
