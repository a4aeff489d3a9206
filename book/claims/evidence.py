"""What a test of a claim returns, and how a test reads an edition's tables.

A test answers with a `Finding`: the estimate of the quantity that the claim is
about, with its interval. A `Region` is what the claim says of that quantity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit

from mmssl.stats.auc import Interval

LEVEL = 0.95
"""Of the intervals that tests return, before any correction for their
number.
"""


class NotInEdition(LookupError):
    """A table, or a line of it, that a test reads was not made in this
    edition.
    """


class Region(NamedTuple):
    """Where a claim says that its quantity lies; ends that are not infinite
    belong to it.

    negligible : the smallest distance from an end that matters.
    """

    low: float = -np.inf
    high: float = np.inf
    negligible: float = 0.0

    @classmethod
    def from_words(
        cls,
        above: float | None = None,
        below: float | None = None,
        between: Sequence[float] | None = None,
        negligible: float = 0.0,
    ) -> Region:
        """Open half-lines above or below a value, or the closed interval
        between two.
        """
        if between is not None:
            low, high = between
            return cls(float(low), float(high))
        low, high = -np.inf, np.inf
        # the neighbouring number, so that the end itself is outside
        if above is not None:
            low = np.nextafter(above, np.inf)
        if below is not None:
            high = np.nextafter(below, -np.inf)
        return cls(low, high, negligible)


class Finding(NamedTuple):
    """What a test says of the quantity that a claim is about.

    Attributes
    ----------
    estimate, low, high : float
        Of the quantity, with its 95 % limits; equal where nothing was sampled.
    sample : str
        What the interval is about: people, images, draws; for printed numbers,
        their rounding.
    method : str
        How the limits were computed.
    limits_at : callable, optional
        Limits at a level, where they are known at every one.
    """

    estimate: float
    low: float
    high: float
    sample: str
    method: str
    limits_at: Callable[[float], tuple[float, float]] | None = None

    def limits(self, level: float) -> tuple[float, float]:
        """Limits at a level; where a table has those of 95 % alone, these are
        stretched like a normal distribution's.
        """
        if self.limits_at is not None:
            low, high = self.limits_at(level)
            return float(low), float(high)
        factor = float(ndtri(0.5 + level / 2) / ndtri(0.5 + LEVEL / 2))
        return (
            self.estimate - factor * (self.estimate - self.low),
            self.estimate + factor * (self.high - self.estimate),
        )

    @property
    def sampled(self) -> bool:
        """Whether the interval is one of people or images, rather than of
        arithmetic or draws.
        """
        return self.method not in ("exact", "simulation")


def exact(value: float, sample: str) -> Finding:
    """A finding without sampling error."""
    value = float(value)
    return Finding(value, value, value, sample, "exact")


def from_limits(
    value: float,
    limits_at: Callable[[float], tuple[float, float]],
    sample: str,
    method: str,
) -> Finding:
    """A finding whose limits are known at every level."""
    low, high = limits_at(LEVEL)
    return Finding(
        float(value), float(low), float(high), sample, method, limits_at
    )


def normal(
    value: float, error: float, sample: str, method: str, df: float = np.inf
) -> Finding:
    """A finding with a symmetric interval from a standard error, Student's if
    df is finite.
    """

    def limits_at(level):
        half = stdtrit(df, 0.5 + level / 2) * error
        return value - half, value + half

    return from_limits(value, limits_at, sample, method)


def fisher(r: float, error: float, sample: str) -> Finding:
    """A correlation, with limits from the standard error of its artanh
    (Fisher's z).
    """
    z = normal(np.arctanh(r), error, sample, "Fisher")

    def limits_at(level):
        low, high = np.tanh(z.limits(level))
        return low, high

    return from_limits(r, limits_at, sample, "Fisher")


def from_interval(
    interval: Callable[[float], Interval], sample: str
) -> Finding:
    """A finding from an interval of `mmssl.stats`, given as a function of its
    level.
    """
    at_95 = interval(LEVEL)

    def limits_at(level):
        at_level = interval(level)
        return at_level.low, at_level.high

    return from_limits(at_95.estimate, limits_at, sample, at_95.method)


def read_table(
    results: str | Path,
    name: str,
    chapter: str,
    columns: tuple[str, ...],
    arrange: Callable[[pd.DataFrame], Any] = pd.DataFrame,
):
    """Read a table that a chapter leaves in the edition's results.

    Parameters
    ----------
    results : path
        Folder ``data/results/<edition>``.
    name, chapter : str
        File name, and the notebook that makes it.
    columns : tuple of str
        What must be in it.
    arrange : callable
        What is made of the table, once for all tests that ask for the same.

    Raises
    ------
    NotInEdition
        Where there is no such file, with the command that makes it.
    ValueError
        Where a column is missing: the table was made by other code.
    """
    file = Path(results) / name
    if not file.is_file():
        edition = Path(results).name
        command = f"make reproduce EDITION={edition}"
        if edition == "smoke":
            command = "make smoke"
        raise NotInEdition(
            f"{name} of notebook {chapter} is not there; "
            f"make it with: {command}"
        )
    return _read(file, file.stat().st_mtime_ns, columns, arrange)


def select_models(
    table: pd.DataFrame, models: list[str], name: str, **cell: str
) -> pd.DataFrame:
    """Lines of the given models in one cell of a table, each model at least
    once.

    Parameters
    ----------
    table : DataFrame
        With a column ``model``.
    models : list of str
    name : str
        Of the table, for the message.
    **cell : str
        {column: the value that its lines must have}.

    Raises
    ------
    NotInEdition
        Where a model was not trained in this edition, or the cell is empty.
    """
    for column, value in cell.items():
        table = table[table[column].astype(str) == value]
    present = set(table["model"])
    absent = [model for model in models if model not in present]
    if absent:
        verb = "is" if len(absent) == 1 else "are"
        message = f"{name}: {', '.join(absent)} {verb} not among its models"
        if cell:
            message += f" for {', '.join(cell.values())}"
        raise NotInEdition(message)
    return table[table["model"].isin(models)]


@lru_cache(maxsize=8)
def _read(
    file: Path, modified: int, columns: tuple[str, ...], arrange: Callable
):
    """A table, checked and arranged; read again when its time of modification
    is another.
    """
    table = pd.read_csv(file, sep="\t")
    missing = [column for column in columns if column not in table]
    if missing:
        raise ValueError(
            f"{file}: columns {missing} are missing, "
            f"found {list(table.columns)}"
        )
    return arrange(table)
