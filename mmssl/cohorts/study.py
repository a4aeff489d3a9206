"""A study: the people and the raw images of a dataset, paired, before anything
is computed from them.

`mmssl.cohorts.bids` and `mmssl.cohorts.oasis3` read one from a dataset on
disk. What they cannot use they set aside with a reason, and go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

SUFFIXES = {"T1": "T1w", "fALFF": "bold"}
"""{modality: BIDS suffix of the images that it is made of}, by default."""

IMAGE_COLUMNS = (
    "participant_id",
    "session",
    "day",
    "modality",
    "file",
    "repetition_time",
)
"""Of a table of images: ids and sessions as text, days since the first visit
(missing where unknown), the file relative to the dataset's root, seconds
(missing where the file's own sidecar or header is to be believed).
"""

ASIDE_COLUMNS = ("participant_id", "session", "file", "reason")
"""Of a table of what is set aside, and why."""


@dataclass(frozen=True, eq=False)
class Study:
    """Who and what a dataset has.

    Attributes
    ----------
    name : of the dataset.
    root : its folder.
    modalities : in the order of the pairs' columns.
    participants : participant_id, group, and whatever else is known.
    pairs : participant_id, session, day, downstream (1 for one pair of a
        person, the first that lacks nothing), and for each modality its file
        (missing where a pair lacks it), ``<modality>_day`` and
        ``<modality>_repetition_time``.
    tasks : as a cohort has them.
    aside : `ASIDE_COLUMNS`; images and people that were set aside.
    flow : step, participants, images, pairs: how many were left after it.
    reports : further tables for people to read.
    incomplete : whether who has an image of the first modality, and none of
        another that can be used, stays with what there is.
    """

    name: str
    root: Path
    modalities: tuple[str, ...]
    participants: pd.DataFrame
    pairs: pd.DataFrame
    tasks: Mapping[str, Mapping]
    aside: pd.DataFrame
    flow: pd.DataFrame
    reports: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    incomplete: bool = False

    def __repr__(self) -> str:
        return (
            f"Study({self.name!r}: {len(self.pairs)} pairs of "
            f"{self.pairs['participant_id'].nunique()} people, "
            f"{', '.join(self.modalities)}; {len(self.aside)} set aside)"
        )


def group_counts(study: Study) -> str:
    """How many people each task tells apart, and whom it does not, as text.

    Returns
    -------
    str
        "group: HC 40, AD 12; not told apart: other 3, without a label 2", a
        line a task; empty where there is none.
    """
    lines = []
    for spec in study.tasks.values():
        column = study.participants[spec["column"]]
        counts = column.dropna().astype(str).value_counts()
        told = [f"{name} {counts.get(name, 0)}" for name in spec["classes"]]
        others = counts.drop(spec["classes"], errors="ignore")
        left = [f"{name} {number}" for name, number in others.items()]
        if column.isna().any():
            left.append(f"without a label {column.isna().sum()}")
        line = f"{spec['column']}: {', '.join(told)}"
        lines.append(f"{line}; not told apart: {', '.join(left) or 'nobody'}")
    return "\n".join(lines)


class Flow:
    """How many people, images and pairs are left after each step, as the flow
    diagram of CONSORT has it.
    """

    def __init__(self) -> None:
        self._rows: list[dict] = []

    def add(
        self,
        step: str,
        images: pd.DataFrame | None = None,
        pairs: pd.DataFrame | None = None,
    ) -> None:
        """Count who is left after a step; of images or of pairs."""
        left = images if pairs is None else pairs
        row = {"step": step, "participants": left["participant_id"].nunique()}
        row["images"] = pd.NA if images is None else len(images)
        row["pairs"] = pd.NA if pairs is None else len(pairs)
        self._rows.append(row)

    def table(self) -> pd.DataFrame:
        """Step, participants, images, pairs, in the order of the steps."""
        columns = ["step", "participants", "images", "pairs"]
        counts = dict.fromkeys(columns[1:], "Int64")
        return pd.DataFrame(self._rows, columns=columns).astype(counts)


def add_pairs(
    flow: Flow, pairs: pd.DataFrame, modalities: Sequence[str]
) -> None:
    """Count the pairs, and those of them that lack a modality."""
    flow.add("closest pairs", pairs=pairs)
    for modality in modalities[1:]:
        lacking = pairs[pairs[modality].isna()]
        if len(lacking):
            flow.add(f"of these without {modality}", pairs=lacking)


def table_of_images(rows: Sequence[Mapping]) -> pd.DataFrame:
    """`IMAGE_COLUMNS`, by person, day, session and file."""
    table = pd.DataFrame(list(rows), columns=list(IMAGE_COLUMNS))
    table["day"] = table["day"].astype("Int64")
    table["repetition_time"] = table["repetition_time"].astype(float)
    order = ["participant_id", "day", "session", "file"]
    return table.sort_values(order, ignore_index=True)


def table_of_aside(rows: Sequence[Mapping]) -> pd.DataFrame:
    """`ASIDE_COLUMNS`, in the order given; what a row lacks is missing."""
    return pd.DataFrame(list(rows), columns=list(ASIDE_COLUMNS))


def nearest_pairs(
    images: pd.DataFrame,
    modalities: Sequence[str],
    most_days: float | None = None,
    incomplete: bool = False,
) -> pd.DataFrame:
    """Every image of the first modality with the images of each other modality
    that are closest to it in days, of the same person.

    "All possible pairs which are closest by days" (Fedorov et al. 2021,
    "Application to Alzheimer's disease", section 3.1): two runs of one session
    are equally close, so that both make a pair. Where days are unknown only
    images of one session make a pair.

    Parameters
    ----------
    images : `IMAGE_COLUMNS`.
    modalities : the first is the one that is paired with the others.
    most_days : further apart than this is no pair; None sets no limit.
    incomplete : whether an image of the first modality without another near
        it stays, as a pair that lacks this one.

    Returns
    -------
    table
        As the pairs of a `Study`, by person, day, session and files.
    """
    pairs = _renamed(images, modalities[0])
    for modality in modalities[1:]:
        others = _renamed(images, modality)
        others = others.rename(columns={"session": "other_session"})
        joined = pairs.merge(others, on="participant_id")
        closest = _closest(joined, modalities[0], modality, most_days)
        if incomplete:
            paired = pairs[modalities[0]].isin(closest[modalities[0]])
            closest = pd.concat([closest, pairs[~paired]])
        pairs = closest
    order = ["participant_id", f"{modalities[0]}_day", "session", *modalities]
    pairs = pairs.sort_values(order, ignore_index=True)
    whole = pairs[list(modalities)].notna().all(axis=1)
    return pairs.assign(
        day=pairs[f"{modalities[0]}_day"],
        downstream=first_whole(pairs["participant_id"], whole),
    )


def first_whole(people: pd.Series, whole: pd.Series) -> pd.Series:
    """1 for one pair of each person, 0 for the others: the first that lacks
    nothing, or the first of somebody who has none such.

    Parameters
    ----------
    people : participant_id of each pair, in their order.
    whole : bool, whether a pair has every image; same index.
    """
    order = whole.sort_values(ascending=False, kind="stable").index
    first = people.loc[order].drop_duplicates().index
    return people.index.isin(first).astype(int)


def _renamed(images: pd.DataFrame, modality: str) -> pd.DataFrame:
    """The images of a modality, with columns named after it."""
    chosen = images[images["modality"] == modality]
    names = {
        "file": modality,
        "day": f"{modality}_day",
        "repetition_time": f"{modality}_repetition_time",
    }
    return chosen.rename(columns=names).drop(columns="modality")


def _closest(
    joined: pd.DataFrame, first: str, other: str, most_days: float | None
) -> pd.DataFrame:
    """Of every pair of images of one person, the closest for each image of the
    first modality.
    """
    same = joined["session"] == joined["other_session"]
    apart = (joined[f"{first}_day"] - joined[f"{other}_day"]).abs()
    apart = apart.astype("Float64").fillna(np.inf)
    # without days a session is one day, and two sessions are any number
    apart = apart.mask(np.isinf(apart) & same, 0.0).astype(float)
    closest = apart.groupby(joined[first]).transform("min")
    kept = np.isfinite(apart) & (apart == closest)
    if most_days is not None:
        kept &= apart <= most_days
    return joined[kept].drop(columns="other_session")


def without_pair(
    images: pd.DataFrame, pairs: pd.DataFrame, modalities: Sequence[str]
) -> list[dict]:
    """What is said of the people whose images make no pair: one row each."""
    rows = []
    paired = set(pairs["participant_id"])
    for person, own in images.groupby("participant_id", sort=True):
        if person in paired:
            continue
        found = own["modality"].value_counts()
        counts = [f"{found.get(m, 0)} of {m}" for m in modalities]
        rows.append(
            {
                "participant_id": person,
                "reason": f"no pair: found {', '.join(counts)}",
            }
        )
    return rows
