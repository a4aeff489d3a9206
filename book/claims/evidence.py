"""What a test of a claim returns, and what it says when its table is not
there.
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
    def of(
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
            return cls(*map(float, between))
        # the neighbouring number, so that the end itself is outside
        low = -np.inf if above is None else np.nextafter(above, np.inf)
        return cls(
            low,
            np.inf if below is None else np.nextafter(below, -np.inf),
            negligible,
        )


class Found(NamedTuple):
    """What a test found.

    Attributes
    ----------
    estimate, low, high : float
        Of the quantity that the claim is about, with its 95 % limits; equal
        where nothing was sampled.
    sample : str
        What the interval is about: people, images, draws; for printed numbers,
        their rounding.
    method : str
        How the limits were found.
    at : callable, optional
        Limits at a level, where they are known at every one.
    """

    estimate: float
    low: float
    high: float
    sample: str
    method: str
    at: Callable[[float], tuple[float, float]] | None = None

    def limits(self, level: float) -> tuple[float, float]:
        """Limits at a level; of a table that has those of 95 %, stretched as a
        normal's.
        """
        if self.at is not None:
            low, high = self.at(level)
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


def exact(value: float, sample: str) -> Found:
    """A finding without sampling error."""
    return Found(float(value), float(value), float(value), sample, "exact")


def limited(
    value: float,
    at: Callable[[float], tuple[float, float]],
    sample: str,
    method: str,
) -> Found:
    """A finding whose limits are known at every level."""
    low, high = at(LEVEL)
    return Found(float(value), float(low), float(high), sample, method, at)


def normal(
    value: float, error: float, sample: str, method: str, df: float = np.inf
) -> Found:
    """A finding with a symmetric interval from a standard error, Student's if
    df is finite.
    """

    def at(level):
        half = stdtrit(df, 0.5 + level / 2) * error
        return value - half, value + half

    return limited(value, at, sample, method)


def fisher(r: float, error: float, sample: str) -> Found:
    """A correlation, with limits from the standard error of its artanh
    (Fisher's z).
    """
    z = normal(np.arctanh(r), error, sample, "Fisher")
    return limited(
        r, lambda level: tuple(np.tanh(z.limits(level))), sample, "Fisher"
    )


def of_interval(interval: Callable[[float], Interval], sample: str) -> Found:
    """A finding from an interval of `mmssl.stats`, given as a function of its
    level.
    """
    found = interval(LEVEL)
    return limited(
        found.estimate,
        lambda level: interval(level)[1:3],
        sample,
        found.method,
    )


def table(
    results: str | Path,
    name: str,
    chapter: str,
    columns: tuple[str, ...],
    arranged: Callable[[pd.DataFrame], Any] = pd.DataFrame,
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
    arranged : callable
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
        make = (
            "make smoke"
            if edition == "smoke"
            else f"make reproduce EDITION={edition}"
        )
        raise NotInEdition(
            f"{name} of notebook {chapter} is not there; make it with: {make}"
        )
    return _read(file, file.stat().st_mtime_ns, columns, arranged)


def lines(
    found: pd.DataFrame, rows: list[str], name: str, **cell: str
) -> pd.DataFrame:
    """Lines of the given rows in one cell of a table, each row at least once.

    Raises
    ------
    NotInEdition
        Where a row was not trained in this edition, or the cell is empty.
    """
    for column, value in cell.items():
        found = found[found[column].astype(str) == value]
    if absent := [row for row in rows if row not in set(found["model"])]:
        where = ", ".join(cell.values())
        raise NotInEdition(
            f"{name}: {', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not "
            f"among its rows{f' for {where}' if where else ''}"
        )
    return found[found["model"].isin(rows)]


@lru_cache(maxsize=8)
def _read(
    file: Path, changed: int, columns: tuple[str, ...], arranged: Callable
):
    """A table, checked and arranged, again only when the file has changed."""
    found = pd.read_csv(file, sep="\t")
    if missing := [column for column in columns if column not in found]:
        raise ValueError(
            f"{file}: columns {missing} are missing, found {list(found.columns)}"
        )
    return arranged(found)
