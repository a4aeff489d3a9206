"""Texts whose numbers come from tables: a placeholder names a table, its rows
and what is wanted of them, and `fill` puts the number there.

    {{similarity[role=holdout, group=all, measure=CKA].estimate:.2f}}
    {{linear_evaluation[baseline=False, difference_low>0].count}}
    {{linear_evaluation[model=RR].mean(auc):.2f}}

Conditions are ``column=value``, ``column!=value``, ``column>number`` and
``column<number``.
Behind the point stands a column, of which one row must be left, ``count`` (of
rows), or of a column ``mean``, ``least``, ``largest``, ``distinct`` (how many)
or ``names`` (which); behind a colon, the format of Python.

A placeholder that names nothing is an error: a table, a column or a value that
is not there. So is a digit typed outside of one (`typed_digits`).
"""

import re
from collections.abc import Mapping

import pandas as pd

PLACEHOLDER = re.compile(
    r"\{\{\s*(?P<table>\w+)(?:\[(?P<rows>[^\]]*)\])?"
    r"\.(?:(?P<statistic>\w+)\((?P<of>[^)]+)\)|(?P<column>\w+))"
    r"(?::(?P<form>[^}]+))?\s*\}\}"
)

CONDITION = re.compile(
    r"\s*(?P<column>\w+)\s*(?P<sign>!?=|[<>])\s*(?P<value>.*\S)\s*"
)

STATISTICS = ("mean", "least", "largest", "distinct", "names")

UNCOUNTED = re.compile(
    r"\A---\n.*?\n---\n"  # the head of the file
    r"|\{\{.*?\}\}|\[@[^\]]*\]|`[^`]*`|\$[^$]*\$|\]\([^)]*\)"
    r"|\b(?:T1|[23]D|OASIS-3|MNI152|PCA-64)\b",
    re.DOTALL,
)
"""What may hold digits: placeholders, keys of references, code, equations,
addresses, and names.
"""


def fill(text: str, tables: Mapping[str, pd.DataFrame]) -> str:
    """Replace every placeholder of a text.

    Parameters
    ----------
    text : str
        With placeholders.
    tables : mapping of str to DataFrame
        What they may name.

    Returns
    -------
    str
        The text without placeholders.

    Raises
    ------
    ValueError
        For a placeholder that names nothing or not one thing, and for braces
        that are no placeholder.
    """
    filled = PLACEHOLDER.sub(lambda match: _value(match, tables), text)
    left = re.search(r"\{\{.*?(\}\}|$)", filled, re.MULTILINE)
    if left:
        raise ValueError(
            f"{left[0]}: not a placeholder, expected "
            "{{table[column=value].column:format}}"
        )
    return filled


def typed_digits(text: str) -> list[str]:
    """Return the words with a digit that a text has outside of placeholders,
    references, code, equations and addresses.
    """
    return re.findall(r"\S*\d\S*", UNCOUNTED.sub(" ", text))


def is_filled_from(filled: str, text: str) -> bool:
    """Whether one text is another with its placeholders filled, whatever the
    numbers and the breaks of lines.
    """
    parts = []
    for part in re.split(r"\{\{.*?\}\}", " ".join(text.split())):
        parts.append(re.escape(part))
    pattern = re.compile(".+?".join(parts))
    return pattern.fullmatch(" ".join(filled.split())) is not None


def _value(match: re.Match, tables: Mapping[str, pd.DataFrame]) -> str:
    """What stands in the place of a placeholder."""
    whole = match[0]
    if match["table"] not in tables:
        raise ValueError(
            f"{whole}: no table {match['table']!r}, expected one of "
            f"{', '.join(sorted(tables))}"
        )
    rows = tables[match["table"]]
    for condition in (match["rows"] or "").split(","):
        if condition.strip():
            rows = _rows(rows, condition, tables[match["table"]], whole)
    statistic = match["statistic"]
    if statistic is not None:
        values = _column(rows, match["of"].strip(), whole)
        value = _statistic(values, statistic, whole)
    elif match["column"] == "count":
        value = len(rows)
    else:
        values = _column(rows, match["column"], whole)
        if len(values) != 1:
            raise ValueError(f"{whole}: {len(values)} rows, expected one")
        value = values.iloc[0]
    if pd.isna(value):
        raise ValueError(f"{whole}: the value is missing")
    if match["form"] is None:
        return str(value)
    # a minus sign, not a hyphen
    return format(value, match["form"].strip()).replace("-", "−")


def _rows(
    rows: pd.DataFrame, condition: str, table: pd.DataFrame, whole: str
) -> pd.DataFrame:
    """The rows for which a condition holds; its value must occur in the
    table.
    """
    parts = CONDITION.fullmatch(condition)
    if parts is None:
        raise ValueError(
            f"{whole}: {condition.strip()!r}, expected column=value"
        )
    column = _column(rows, parts["column"], whole)
    value = parts["value"]
    if "=" in parts["sign"]:
        if value not in _known(table[parts["column"]]):
            raise ValueError(
                f"{whole}: no {parts['column']} {value!r} in the table"
            )
        is_equal = column.astype(str) == value
        return rows[is_equal if parts["sign"] == "=" else ~is_equal]
    try:
        limit = float(value)
    except ValueError as error:
        raise ValueError(f"{whole}: {value!r}, expected a number") from error
    return rows[column > limit if parts["sign"] == ">" else column < limit]


def _known(column: pd.Series) -> set[str]:
    """The values that a condition may name: those of the column, and what no
    row happens to have of categories and of yes and no.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        return set(map(str, column.cat.categories))
    values = set(map(str, column))
    if values & {"True", "False"}:
        values |= {"True", "False"}
    return values


def _column(rows: pd.DataFrame, name: str, whole: str) -> pd.Series:
    if name not in rows.columns:
        raise ValueError(
            f"{whole}: no column {name!r}, expected one of "
            f"{', '.join(rows.columns)}"
        )
    return rows[name]


def _statistic(values: pd.Series, name: str, whole: str):
    """One value of a column."""
    if name == "names":
        return ", ".join(dict.fromkeys(map(str, values))) or "none"
    if name == "distinct":
        return values.nunique()
    if name not in STATISTICS:
        raise ValueError(
            f"{whole}: {name!r}, expected one of {', '.join(STATISTICS)}"
        )
    if values.empty:
        raise ValueError(f"{whole}: no rows are left")
    chosen = {"least": "min", "largest": "max"}.get(name, name)
    return getattr(values, chosen)()
