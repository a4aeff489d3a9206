"""Columns of numbers and words: refused, and each way out by hand."""

import numpy as np
import pandas as pd
import pytest

from mmssl.stats.mixed import numbers_or_words
from mmssl.stats.permutation import strata

AGES = ["70.5", "89+", "62", "NA", "> 90", None, "71", "72", "81"]


@pytest.fixture
def table():
    """Give ages of which some are no numbers, and words."""
    return pd.DataFrame(
        {
            "age": pd.Series(AGES),
            "site": ["1", "B", "C"] * 3,
            "code": ["01", "02", "01"] * 3,
            "score": [1, 2, np.nan] * 3,
        }
    )


def test_a_column_of_both_is_named_with_the_ways_out(table):
    with pytest.raises(
        ValueError,
        match=r"column 'age' holds numbers and 3 values that are none: "
        r"\{'89\+': 1, 'NA': 1, '> 90': 1\}, of 8; .* mixed='cap' .* "
        "mixed='drop' .* mixed='words'",
    ):
        numbers_or_words(table)


def test_the_ways_out_by_hand(table):
    dropped = numbers_or_words(table, "drop")
    np.testing.assert_array_equal(
        dropped["age"], [70.5, np.nan, 62, *[np.nan] * 3, 71, 72, 81]
    )
    with pytest.raises(ValueError, match=r"1 values that are none: \{'NA': 1"):
        numbers_or_words(table, "cap")
    table = table.drop(index=3)
    capped = numbers_or_words(table, "cap")
    np.testing.assert_array_equal(
        capped["age"], [70.5, 89, 62, 90, np.nan, 71, 72, 81]
    )
    words = numbers_or_words(table, "words")
    assert words["age"].tolist() == table["age"].tolist()
    assert numbers_or_words(words).equals(words)
    with pytest.raises(ValueError, match="mixed is 'guess', expected one of"):
        numbers_or_words(table, "guess")


def test_numbers_alone_and_words_alone_stay(table):
    clear = table.drop(columns="age")
    for mixed in ("refuse", "cap", "drop", "words"):
        assert numbers_or_words(clear, mixed).equals(clear)


def test_one_capped_age_makes_no_stratum_of_every_age():
    ages = np.linspace(60, 88, 36).round(1).astype(str).astype(object)
    ages[7] = "89+"
    table = pd.DataFrame({"age": ages, "sex": ["F", "M"] * 18})
    with pytest.raises(ValueError, match=r"1 values that are none: \{'89\+'"):
        strata(table)
    found = strata(numbers_or_words(table, "cap"))
    assert len(np.unique(found)) == 6
