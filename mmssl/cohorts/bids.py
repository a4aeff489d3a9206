"""Any BIDS dataset, from its folder to people, groups and pairs.

The Brain Imaging Data Structure (Gorgolewski et al. 2016) names files by what
they are; bids2table reads the names. Sidecars and their inheritance are read
with the images (`mmssl.preprocessing.read`).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mmssl.cohorts.cohort import read_table
from mmssl.cohorts.splits import MAIN
from mmssl.cohorts.study import (
    SUFFIXES,
    Flow,
    Study,
    add_pairs,
    nearest_pairs,
    table_of_aside,
    table_of_images,
    without_pair,
)

COLUMNS = {"group": "group", "age": "age", "sex": "sex"}
"""{our name: the column of ``participants.tsv``}, by default."""

_WORDS = ("group", "sex", "site", "population")
_DAY = re.compile(r"d(\d+)")


def read(
    root: str | Path,
    suffixes: Mapping[str, str] = SUFFIXES,
    task: str | None = "rest",
    columns: Mapping[str, str] = COLUMNS,
    classes: Sequence[str] | None = None,
    most_days: float | None = None,
    incomplete: bool = False,
) -> Study:
    """Read a BIDS dataset.

    Parameters
    ----------
    root : folder of the dataset.
    suffixes : {modality: BIDS suffix}; the first modality is paired with the
        others, see `mmssl.cohorts.study.nearest_pairs`. One is enough.
    task : of the BOLD series; None takes all of them.
    columns : {our name: the column of ``participants.tsv``}, for group, age,
        sex, site, population. Those by default need not be there, those that
        are asked for must.
    classes : the values of the group's column that are to be told apart;
        others are kept and not labelled. None: all there are.
    most_days : between the images of a pair; None sets no limit.
    incomplete : whether people who lack a modality other than the first stay.

    Returns
    -------
    Study
        Its days are those of ``sub-…_sessions.tsv`` (``acq_time``), since the
        first session, or of session labels such as ``d0129``.

    Raises
    ------
    ValueError
        If the folder is no BIDS dataset or has no image of a suffix;
        ``participants.tsv`` lacks a column or a class, or names somebody
        twice.
    """
    root = Path(root)
    flow = Flow()
    images, aside = find_images(root, suffixes, task)
    flow.add("images found", images)
    people = _participants(root, images, columns)
    listed = people["participant_id"]

    known = images["participant_id"].isin(listed)
    for person in sorted(set(images.loc[~known, "participant_id"])):
        reason = "not in participants.tsv"
        aside.append({"participant_id": person, "reason": reason})
    for person in sorted(set(listed) - set(images["participant_id"])):
        reason = f"no image: expected {', '.join(suffixes.values())}"
        aside.append({"participant_id": person, "reason": reason})
    images = images[known]
    flow.add("people in participants.tsv", images)

    modalities = tuple(suffixes)
    pairs = nearest_pairs(images, modalities, most_days, incomplete)
    _check_any(root, images, pairs, modalities, task)
    aside += without_pair(images, pairs, modalities)
    add_pairs(flow, pairs, modalities)
    people = people[listed.isin(pairs["participant_id"])]
    return Study(
        name=root.resolve().name,
        root=root,
        modalities=modalities,
        participants=people.reset_index(drop=True),
        pairs=pairs,
        tasks=_tasks(root, people, classes),
        aside=table_of_aside(aside),
        flow=flow.table(),
        incomplete=incomplete,
    )


def find_images(
    root: str | Path,
    suffixes: Mapping[str, str] = SUFFIXES,
    task: str | None = "rest",
) -> tuple[pd.DataFrame, list[dict]]:
    """The images of a dataset, known by their names.

    Parameters
    ----------
    root, suffixes, task : as `read` takes them.

    Returns
    -------
    table, list of dict
        `mmssl.cohorts.study.IMAGE_COLUMNS`, and rows of what is set aside:
        series of other tasks, phase images, and echoes after the first.

    Raises
    ------
    ValueError
        If the folder is no BIDS dataset, or has no image of a suffix.
    """
    root = Path(root)
    found = _index(root)
    found = found[found["ext"].isin([".nii", ".nii.gz"])]
    modality_of = {suffix: modality for modality, suffix in suffixes.items()}
    found = found[found["suffix"].isin(list(modality_of))]
    rows, aside = [], []
    days = {}
    for image in found.to_dict("records"):
        person = f"sub-{image['sub']}"
        if person not in days:
            days[person] = _days(root / person)
        session = image["ses"] if pd.notna(image["ses"]) else "n/a"
        row = {
            "participant_id": person,
            "session": session,
            "day": _day(session, days[person]),
            "modality": modality_of[image["suffix"]],
            "file": image["path"],
            "repetition_time": np.nan,
        }
        reason = _unusable(image, task)
        if reason is None:
            rows.append(row)
        else:
            aside.append({**row, "reason": reason})
    images = table_of_images(rows)
    missing = [m for m in suffixes if m not in set(images["modality"])]
    if missing == list(suffixes):
        which = "" if task is None else f" of task {task!r}"
        others = {row["reason"].split(",")[0] for row in aside}
        others = f" ({'; '.join(sorted(others))})" if others else ""
        raise ValueError(
            f"{root}: found no image with a suffix of "
            f"{', '.join(suffixes.values())}{which}{others}, expected files "
            "such as sub-01/anat/sub-01_T1w.nii.gz"
        )
    return images, aside


def _index(root: Path) -> pd.DataFrame:
    """Every file of a dataset with the entities of its name."""
    import bids2table

    if not root.is_dir() or not any(root.glob("sub-*/")):
        raise ValueError(
            f"{root}: found no folder sub-…, expected a BIDS dataset"
        )
    # bids2table takes no folder with a dot or a bracket in its name, and
    # remembers what a folder held
    with tempfile.TemporaryDirectory(prefix="dataset") as folder:
        link = Path(folder) / "dataset"
        link.symlink_to(root.resolve(), target_is_directory=True)
        return bids2table.index_dataset(link).to_pandas()


def _check_any(
    root: Path,
    images: pd.DataFrame,
    pairs: pd.DataFrame,
    modalities: Sequence[str],
    task: str | None,
) -> None:
    """ValueError where nobody has a pair."""
    if len(pairs):
        return
    found = images["modality"].value_counts()
    counts = [f"{found.get(m, 0)} of {m}" for m in modalities]
    which = "" if task is None else f", of the series those of task {task!r}"
    raise ValueError(
        f"{root}: nobody has a pair; images found {', '.join(counts)}{which}; "
        f"expected both of somebody, or {modalities[0]} alone to be asked for"
    )


def _unusable(image: Mapping, task: str | None) -> str | None:
    """Why an image is none of those that are asked for; None if it is."""
    if task is not None and image["suffix"] == "bold":
        if image["task"] != task:
            return f"task-{image['task']}, expected task-{task}"
    if pd.notna(image["part"]) and image["part"] != "mag":
        return f"part-{image['part']}, expected the magnitude"
    if pd.notna(image["echo"]) and int(image["echo"]) > 1:
        return f"echo-{image['echo']:g}, expected the first echo"
    return None


def _days(folder: Path) -> dict[str, int]:
    """{session: days since the first}, of a person's table of sessions."""
    file = folder / f"{folder.name}_sessions.tsv"
    if not file.is_file():
        return {}
    table = read_table(file, ["session_id"], ["session_id", "acq_time"])
    if "acq_time" not in table:
        return {}
    times = pd.to_datetime(
        table["acq_time"], errors="coerce", format="ISO8601"
    )
    known = times.notna()
    dates = times[known].dt.normalize()
    days = (dates - dates.min()).dt.days
    sessions = table.loc[known, "session_id"].str.removeprefix("ses-")
    return dict(zip(sessions, days.tolist(), strict=True))


def _day(session: str, days: Mapping[str, int]) -> int | None:
    """Of a session, by the table of sessions or else by its label."""
    label = _DAY.fullmatch(session)
    if session in days:
        return days[session]
    return int(label[1]) if label else None


def _participants(
    root: Path, images: pd.DataFrame, columns: Mapping[str, str]
) -> pd.DataFrame:
    """``participants.tsv`` under our names of its columns."""
    file = root / "participants.tsv"
    wanted = []
    for ours, name in columns.items():
        by_default = COLUMNS.get(ours) == name and ours != "group"
        if columns is not COLUMNS and not by_default:
            wanted.append(name)
    if not file.is_file() and not wanted:
        ids = sorted(set(images["participant_id"]))
        return pd.DataFrame(
            {"participant_id": ids, "group": pd.NA, "population": MAIN}
        )
    words = ["participant_id"]
    words += [name for ours, name in columns.items() if ours in _WORDS]
    table = read_table(file, ["participant_id"], words)
    missing = [name for name in wanted if name not in table]
    if missing:
        raise ValueError(
            f"{file}: missing columns: {', '.join(missing)}; found "
            f"{', '.join(table.columns)}"
        )
    ids = "sub-" + table["participant_id"].str.removeprefix("sub-")
    twice = sorted(ids[ids.duplicated()])
    if twice:
        raise ValueError(
            f"{file}: participant_id: {len(twice)} of {len(ids)} rows name "
            "somebody a second time, expected one row a person"
        )
    people = pd.DataFrame({"participant_id": ids, "group": pd.NA})
    for ours, name in columns.items():
        if name in table:
            # an empty cell is no word
            people[ours] = table[name].mask(table[name].eq(""))
    _check_spelling(file, columns.get("group"), people["group"])
    if "population" not in people:
        people["population"] = MAIN
    return people.sort_values("participant_id", ignore_index=True)


def _check_spelling(file: Path, column: str | None, group: pd.Series) -> None:
    """ValueError for groups that differ in capitals or spaces alone: people
    would be lost to a typing mistake.
    """
    spellings: dict[str, set[str]] = {}
    for name in group.dropna().unique():
        spellings.setdefault(str(name).strip().casefold(), set()).add(name)
    for names in spellings.values():
        if len(names) > 1:
            counts = group[group.isin(names)].value_counts().to_dict()
            raise ValueError(
                f"{file}: {column}: {counts} found, expected one spelling of "
                "a group"
            )


def _tasks(
    root: Path, people: pd.DataFrame, classes: Sequence[str] | None
) -> dict:
    """The task of telling the groups apart; none where there are no groups."""
    found = sorted(set(people["group"].dropna()))
    if classes is None:
        classes = found
    absent = [name for name in classes if name not in found]
    if absent:
        raise ValueError(
            f"{root / 'participants.tsv'}: group: nobody with a pair is "
            f"{' or '.join(map(repr, absent))}; found {found}"
        )
    if not found:
        return {}
    ignored = [name for name in found if name not in classes]
    spec = {"column": "group", "classes": list(classes), "ignored": ignored}
    return {"group": spec}
