"""Numbers with a few words among them, such as an age of "89+".

One such value makes words of a whole column: a stratum, a subgroup or a column
of zeros and ones for every age. What it shall be is for people to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

MIXED = ("refuse", "cap", "drop", "words")
"""What `numbers_or_words` may do with a column of both."""

_CAPPED = r"^\s*(?:[<>≤≥]=?\s*)?([-+]?\d+(?:\.\d+)?)\s*\+?\s*$"
# of the values that a message names
_SHOWN = 5


def numbers_or_words(
    covariates: pd.DataFrame, mixed: str = "refuse"
) -> pd.DataFrame:
    """Covariates whose columns are numbers or words, none of them both.

    Parameters
    ----------
    covariates : DataFrame, n rows
        A column of the type category is words by declaration.
    mixed : "refuse", "cap", "drop" or "words"
        What becomes of a column of text most of whose values are numbers: an
        error; the number in "89+", ">89" or "<= 18" counts; what is no number
        is missing; or all of it is words.

    Returns
    -------
    DataFrame
        Like ``covariates``, which stay as they are.

    Raises
    ------
    ValueError
        For such a column, naming it, what is no number and the ways out; with
        "cap", for what holds no number; for another ``mixed``.
    """
    import pandas as pd

    if mixed not in MIXED:
        raise ValueError(
            f"mixed is {mixed!r}, expected one of {', '.join(MIXED)}"
        )
    table = pd.DataFrame(covariates).copy()
    for name, column in table.items():
        numbers = _mostly_numbers(column)
        if numbers is None:
            continue
        if mixed == "words":
            table[name] = column.astype("category")
            continue
        if mixed == "cap":
            bounds = column.astype(str).str.extract(_CAPPED)[0]
            numbers = numbers.fillna(bounds.astype(float))
        others = column[numbers.isna() & column.notna()]
        if mixed != "drop" and len(others):
            raise ValueError(_message(name, column, others))
        table[name] = numbers
    return table


def _mostly_numbers(column: pd.Series) -> pd.Series | None:
    """A column of text as numbers, NaN where it holds none, if more than half
    of it are and some are not; else None.
    """
    import pandas as pd

    declared = isinstance(column.dtype, pd.CategoricalDtype)
    if declared or pd.api.types.is_numeric_dtype(column):
        return None
    numbers = pd.to_numeric(column, errors="coerce")
    known = int(column.notna().sum())
    found = int(numbers.notna().sum())
    return numbers if known / 2 < found < known else None


def _message(name, column: pd.Series, others: pd.Series) -> str:
    counts = others.astype(str).value_counts().head(_SHOWN).to_dict()
    return (
        f"covariates: column {name!r} holds numbers and {len(others)} values "
        f"that are none: {counts}, of {int(column.notna().sum())}; expected "
        "numbers alone or words alone. Ways out: mixed='cap' takes the number "
        "in '89+', mixed='drop' takes what is no number as missing, "
        "mixed='words' takes all of it as words"
    )
