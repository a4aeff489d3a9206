"""OASIS-3, from the folder of a download to people, labels and pairs.

The images may lie as OASIS's download script leaves them, as raw XNAT
exports, or as BIDS; the clinical tables may be those of today or older
exports. Files are known by their names, tables by their columns. The data
are shared under an agreement and come with nothing here: LaMontagne et al.
2019.

The people are those of Fedorov et al. 2021 ("Application to Alzheimer's
disease", section 3.1): pairs of T1 and fALFF closest by days; of non-Hispanic
Caucasians, with African Americans as the second population ("Tasting the
cake", appendix A.2).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.errors import EmptyDataError, ParserError

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
from mmssl.ledger import limits

HC, AD, OTHER = "HC", "AD", "other"
TASKS = {
    "diagnosis": {"column": "group", "classes": [HC, AD], "ignored": [OTHER]}
}

RULES = ("papers", "strict", "cdr")
"""What makes a visit one of a patient (AD) or of a control (HC):

papers : HC where dx1 is "Cognitively normal" or "No dementia", or NORMCOG 1;
    AD where dx1 is "AD Dementia", "DAT" or one of the family "AD dem …"
    except "AD dem cannot be primary", or PROBAD (PROBADIF) 1 without NORMCOG 1
strict : HC where dx1 is "Cognitively normal", AD where it is "AD Dementia"
cdr : HC where the clinical dementia rating is 0, AD from .5 on

A person is AD with any visit that is, HC where every visit that says anything
is, and "other" else.
"""

SUBSETS = ("papers", "everybody")
"""Who is kept:

papers : non-Hispanic Caucasians, and African Americans as the second
    population
everybody : as one population
"""

PAPERS_COUNTS = {
    "people": 826,
    "pairs": 4021,
    "people of the second population": 134,
}
"""What the papers report of theirs, after 15 T1s were removed by eye (001,
section 3.1; 000, appendix A.2; of the second population HC and AD alone).
"""

VISIT_WITHIN = 365
"""Days between a scan and the visit that its age, MMSE and CDR come from."""

_NAME = re.compile(
    r"sub-(?P<person>OAS3\d+)_sess?-(?P<session>d(?P<day>\d+))"
    r"(?P<entities>(?:_[A-Za-z]+-[A-Za-z0-9]+)*)"
    r"_(?P<suffix>[A-Za-z0-9]+)\.nii(?:\.gz)?"
)
_FOLDERS = (
    re.compile(r"(?P<person>OAS3\d+)_MR_(?P<session>d\d+)"),
    re.compile(r"sub-(?P<person>OAS3\d+)"),
    re.compile(r"sess?-(?P<session>d\d+)"),
)
_LAST_DAY = 36_500  # a hundred years

# {our name: how a table may call it, lower case, letters and digits only}
_COLUMNS = {
    "participant_id": ("oasisid", "subject"),
    "label": ("oasissessionlabel", "adrcadrcclinicaldataid"),
    "days": ("daystovisit",),
    "age_at_entry": ("ageatentry",),
    "sex": ("gender", "mf", "sex"),
    "education": ("educ", "education"),
    "race": ("race",),
    "hispanic": ("hispanic", "ethnicity", "ethnic"),
    "mmse": ("mmse",),
    "cdr": ("cdrtot", "cdr"),
    "dx1": ("dx1",),
    "normcog": ("normcog",),
    "probad": ("probad", "probadif"),
}
_OF_VISITS = ("dx1", "cdr", "mmse", "normcog", "probad")
_OF_PEOPLE = ("sex", "education", "race", "hispanic")
_NUMBERS = ("age_at_entry", "mmse", "cdr", "education")
_WORDS = ("dx1", "race", "hispanic")
_MISSING = ("", ".", "n/a", "NA")
_SEX = {"1": "M", "2": "F", "m": "M", "f": "F", "male": "M", "female": "F"}
_CAUCASIAN = {"caucasian", "white"}
_AFRICAN_AMERICAN = {"african american", "black", "black or african american"}
_HISPANIC = {"1", "yes", "hispanic", "hispanic or latino"}


def read(
    root: str | Path,
    tables: str | Path | None = None,
    rule: str = "papers",
    subset: str = "papers",
    modalities: Sequence[str] = tuple(SUFFIXES),
    most_days: float | None = None,
    incomplete: bool = False,
) -> Study:
    """Read a download of OASIS-3.

    Parameters
    ----------
    root : folder of the images, in any of the three layouts.
    tables : folder of the clinical tables, CSV; None: they are below `root`.
    rule : one of `RULES`.
    subset : one of `SUBSETS`.
    modalities : of `SUFFIXES`; the first is paired with the others.
    most_days : between the images of a pair; None sets no limit.
    incomplete : whether people who lack a modality other than the first stay.

    Returns
    -------
    Study
        Participants have group (HC, AD, other; missing where no visit says
        anything), population, sex, age (at the first pair, years), education,
        mmse and cdr (of the visit nearest to it within `VISIT_WITHIN` days).
        Reports: "diagnoses", what each value of dx1 counts as, and "counts",
        beside the papers'.

    Raises
    ------
    ValueError
        For an unknown rule, subset or modality; no images; no clinical table,
        or one without the columns that the rule needs.
    """
    _check_choice("rule", rule, RULES)
    _check_choice("subset", subset, SUBSETS)
    for modality in modalities:
        _check_choice("modality", modality, tuple(SUFFIXES))
    root = Path(root)
    flow = Flow()
    images, aside = find_images(root, modalities)
    flow.add("images found", images)
    people, visits, unread = read_tables(root if tables is None else tables)
    aside += unread

    known = images["participant_id"].isin(people["participant_id"])
    aside += _set_aside(images[~known], "in no clinical table")
    images = images[known]
    flow.add("people in the clinical tables", images)

    people["population"] = _population(people, subset)
    kept = people.dropna(subset="population")
    inside = images["participant_id"].isin(kept["participant_id"])
    aside += _set_aside(images[~inside], f"not of the subset {subset!r}")
    images = images[inside]
    flow.add(f"subset: {subset}", images)

    pairs = nearest_pairs(images, modalities, most_days, incomplete)
    aside += without_pair(images, pairs, modalities)
    add_pairs(flow, pairs, modalities)

    visits["class"] = visit_class(visits, rule)
    participants = _participants(kept, visits, pairs)
    groups = participants.set_index("participant_id")["group"]
    group_of_pair = pairs["participant_id"].map(groups)
    for group in (HC, AD, OTHER):
        flow.add(f"of these {group}", pairs=pairs[group_of_pair == group])
    reports = {
        "diagnoses": _diagnoses(visits),
        "counts": _counts(participants, pairs),
    }
    return Study(
        name="OASIS-3",
        root=root,
        modalities=tuple(modalities),
        participants=participants,
        pairs=pairs,
        tasks=TASKS,
        aside=table_of_aside(aside),
        flow=flow.table(),
        reports=reports,
        incomplete=incomplete,
    )


def find_images(
    root: str | Path, modalities: Sequence[str] = tuple(SUFFIXES)
) -> tuple[pd.DataFrame, list[dict]]:
    """The images of a download, known by their files' names.

    Parameters
    ----------
    root : folder, in any layout.
    modalities : of `SUFFIXES`.

    Returns
    -------
    table, list of dict
        `mmssl.cohorts.study.IMAGE_COLUMNS`, and rows of what is set aside: a
        name that contradicts its folder, a second copy of an image, a sidecar
        that cannot be read.

    Raises
    ------
    ValueError
        If there is no image.
    """
    root = Path(root)
    modality_of = {SUFFIXES[modality]: modality for modality in modalities}
    rows, aside, taken = [], [], {}
    for file in _files(root, "*.nii*"):
        name = _NAME.fullmatch(file.name)
        if name is None or name["suffix"] not in modality_of:
            continue
        entities = dict(
            entity.split("-", 1) for entity in name["entities"].split("_")[1:]
        )
        if entities.get("task", "rest") != "rest":
            continue
        row = {
            "participant_id": name["person"],
            "session": name["session"],
            "day": int(name["day"]),
            "modality": modality_of[name["suffix"]],
            "file": file.relative_to(root).as_posix(),
        }
        stem = file.name.split(".")[0]
        try:
            _check_folders(file, root, name)
            if stem in taken:
                raise ValueError(f"a second copy of {taken[stem]}")
            row["repetition_time"] = _stated_repetition_time(file)
        except ValueError as error:
            aside.append({**row, "reason": str(error)})
            continue
        taken[stem] = row["file"]
        rows.append(row)
    if not rows:
        raise ValueError(
            f"{root}: found no image of OASIS-3, expected files such as "
            "sub-OAS30001_ses-d0129_run-01_T1w.nii.gz in any folder below"
        )
    return table_of_images(rows), aside


def _files(root: Path, pattern: str) -> Iterator[Path]:
    """Files below a folder whose names fit, in one order everywhere."""
    if not root.is_dir():
        raise ValueError(f"{root}: not found, expected a folder of OASIS-3")
    yield from sorted(path for path in root.rglob(pattern) if path.is_file())


def _check_folders(file: Path, root: Path, name: re.Match) -> None:
    """ValueError where a folder names another person or day than the file."""
    for folder in file.relative_to(root).parts[:-1]:
        for pattern in _FOLDERS:
            found = pattern.fullmatch(folder)
            for what, value in (found.groupdict() if found else {}).items():
                if value != name[what]:
                    raise ValueError(
                        f"{what} {value} in the folder's name, "
                        f"{name[what]} in the file's"
                    )


def _stated_repetition_time(file: Path) -> float:
    """Seconds, from the sidecar of an XNAT export, which lies in a folder
    beside that of the images; NaN in the other layouts, where whoever reads
    the image finds it.
    """
    stem = file.name.split(".")[0]
    sidecar = file.parents[2] / "BIDS" / "files" / f"{stem}.json"
    if file.parents[1].name != "NIFTI" or not sidecar.is_file():
        return np.nan
    try:
        fields = json.loads(limits.read_text(sidecar))
        return float(fields.get("RepetitionTime", np.nan))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{sidecar.name}: RepetitionTime not readable ({error})"
        ) from error


def read_tables(
    folder: str | Path,
) -> tuple[pd.DataFrame, pd.DataFrame, list[dict]]:
    """The clinical tables of a download, of today or of older exports.

    Parameters
    ----------
    folder : holds CSV files, at any depth; which one is which is told by
        their columns, whatever their case.

    Returns
    -------
    people, visits, aside
        participant_id, age_at_entry (years), sex (M, F), education (years),
        race, hispanic; participant_id, day, dx1, cdr, mmse, normcog, probad;
        rows of what is set aside. Words are lower case, "." is missing.

    Raises
    ------
    ValueError
        If no table has people, or none has visits.
    """
    people, visits, aside = [], [], []
    folder = Path(folder)
    for file in _files(folder, "*.csv"):
        table = _read_csv(file)
        if "participant_id" not in table:
            continue
        if set(table) & set(_OF_VISITS):
            dated, undated = _dated(table, file.name)
            visits.append(dated)
            aside += undated
        if set(table) & {*_OF_PEOPLE, "age_at_entry"}:
            people.append(table)
    for kind, tables, column in (
        ("people", people, "race"),
        ("visits", visits, "dx1"),
    ):
        if not any(column in table for table in tables):
            raise ValueError(
                f"{folder}: found no table of {kind} with a column {column}, "
                "expected the CSV files of OASIS-3's clinical data "
                "(OASIS3_demographics.csv, OASIS3_UDSb4_cdr.csv, or those of "
                "an older export)"
            )
    people_columns = ["age_at_entry", *_OF_PEOPLE]
    return (
        _first_known(people, ["participant_id"], people_columns),
        _first_known(visits, ["participant_id", "day"], list(_OF_VISITS)),
        aside,
    )


def _read_csv(file: Path) -> pd.DataFrame:
    """A table under our names of its columns, as text or numbers."""
    limits.check_text(file)
    try:
        table = pd.read_csv(
            file, dtype=str, encoding="utf-8-sig", keep_default_na=False
        )
    except (UnicodeError, ParserError, EmptyDataError) as error:
        raise ValueError(
            f"{file}: not a table of comma-separated UTF-8 text ({error})"
        ) from error
    found = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in table}
    columns = {}
    for ours, names in _COLUMNS.items():
        known = [found[name] for name in names if name in found]
        if known:
            text = table[known[0]].str.strip()
            columns[ours] = text.replace(dict.fromkeys(_MISSING, np.nan))
    table = pd.DataFrame(columns, dtype="str")
    for name in table.columns.intersection(_WORDS):
        table[name] = plain_words(table[name])
    for name in table.columns.intersection(_NUMBERS):
        table[name] = pd.to_numeric(table[name], errors="coerce")
    if "sex" in table:
        table["sex"] = table["sex"].str.lower().map(_SEX)
    if "participant_id" in table:
        table["participant_id"] = table["participant_id"].str.upper()
        table = table.dropna(subset="participant_id")
    return table


def plain_words(column: pd.Series) -> pd.Series:
    """Text in lower case, with commas, dashes and runs of spaces as one space:
    one diagnosis is spelt with each of them.
    """
    words = column.str.lower().str.replace(r"[\s,\-]+", " ", regex=True)
    return words.str.strip()


def _dated(table: pd.DataFrame, file: str) -> tuple[pd.DataFrame, list[dict]]:
    """A table of visits with the column day, and those that have none.

    The day stands in a column of its own, in the visit's label, or in both.
    """
    stated = pd.DataFrame(index=table.index)
    if "days" in table:
        stated["days"] = pd.to_numeric(table["days"], errors="coerce")
    if "label" in table:
        labels = table["label"].str.extract(r"_d(-?\d+)$")[0]
        stated["label"] = pd.to_numeric(labels, errors="coerce")
    stated = stated.astype("Float64")
    day = stated.bfill(axis=1).iloc[:, 0] if len(stated.columns) else None
    if day is None:
        day = pd.Series(pd.NA, table.index, dtype="Float64")
    reason = pd.Series(np.nan, table.index, dtype="str")
    reason[day.isna()] = "a visit without a day"
    real = day.between(0, _LAST_DAY) & (day % 1 == 0)
    reason[~real.fillna(True)] = "a visit on no real day"
    reason[(stated.min(axis=1) != stated.max(axis=1)).fillna(False)] = (
        "a visit whose day and label differ"
    )
    aside = []
    for row in reason.dropna().index:
        found = stated.loc[row].to_dict()
        aside.append(
            {
                "participant_id": table.at[row, "participant_id"],
                "file": file,
                "reason": f"{reason[row]}: {found}, expected 0 to {_LAST_DAY}",
            }
        )
    kept = reason.isna()
    return table[kept].assign(day=day[kept].astype("Int64")), aside


def _first_known(
    tables: Sequence[pd.DataFrame], keys: list[str], columns: list[str]
) -> pd.DataFrame:
    """One row for each key, with the first value that any table knows."""
    joined = pd.concat(tables, ignore_index=True).reindex(
        columns=[*keys, *columns]
    )
    return joined.groupby(keys, as_index=False, sort=True).first()


def visit_class(visits: pd.DataFrame, rule: str) -> pd.Series:
    """What each visit says of its person, by one of `RULES`.

    Parameters
    ----------
    visits : as of `read_tables`.
    rule : one of `RULES`.

    Returns
    -------
    Series
        HC, AD or other; missing where the visit says nothing, or where it
        says both.
    """
    _check_choice("rule", rule, RULES)
    dx1 = visits["dx1"].astype("str")
    if rule == "cdr":
        says = visits["cdr"].notna()
        healthy = visits["cdr"].eq(0)
        ill = visits["cdr"].ge(0.5)
    elif rule == "strict":
        says = dx1.notna()
        healthy = dx1.eq("cognitively normal")
        ill = dx1.eq("ad dementia")
    else:
        normal, probable = (
            pd.to_numeric(visits[name], errors="coerce").eq(1)
            for name in ("normcog", "probad")
        )
        says = dx1.notna() | visits["normcog"].notna()
        healthy = dx1.isin(["cognitively normal", "no dementia"]) | normal
        family = dx1.str.startswith("ad dem ") & dx1.ne(
            "ad dem cannot be primary"
        )
        ill = dx1.isin(["ad dementia", "dat"]) | family | (probable & ~normal)
    healthy, ill = (flag.fillna(False).astype(bool) for flag in (healthy, ill))
    classes = pd.Series(np.nan, visits.index, dtype="str")
    classes[says] = OTHER
    classes[healthy] = HC
    classes[ill] = AD
    classes[healthy & ill] = np.nan
    return classes


def _population(people: pd.DataFrame, subset: str) -> pd.Series:
    """The population of each person; missing for who is not of the subset."""
    populations = pd.Series(np.nan, people.index, dtype="str")
    if subset == "everybody":
        populations[:] = MAIN
        return populations
    hispanic = people["hispanic"].isin(_HISPANIC)
    populations[people["race"].isin(_CAUCASIAN) & ~hispanic] = MAIN
    african = people["race"].isin(_AFRICAN_AMERICAN)
    populations[african] = "African American"
    return populations


def _participants(
    people: pd.DataFrame, visits: pd.DataFrame, pairs: pd.DataFrame
) -> pd.DataFrame:
    """Who has a pair, with their group and what was known around it."""
    classes = visits.dropna(subset="class").groupby("participant_id")["class"]
    any_ill = classes.agg(lambda found: (found == AD).any())
    all_healthy = classes.agg(lambda found: (found == HC).all())
    group = pd.Series(OTHER, any_ill.index, dtype="str")
    group[all_healthy] = HC
    group[any_ill] = AD

    first = pairs.loc[pairs["downstream"] == 1, ["participant_id", "day"]]
    table = first.merge(people, on="participant_id")
    table["group"] = table["participant_id"].map(group)
    table["age"] = (table["age_at_entry"] + table["day"] / 365.25).round(2)
    scored = visits[["participant_id", "day", "mmse", "cdr"]]
    nearest = pd.merge_asof(
        table[["participant_id", "day"]].sort_values("day"),
        scored.sort_values("day"),
        on="day",
        by="participant_id",
        direction="nearest",
        tolerance=VISIT_WITHIN,
    )
    table = table.merge(nearest.drop(columns="day"), on="participant_id")
    columns = ["participant_id", "group", "population", "sex", "age"]
    columns += ["education", "mmse", "cdr"]
    return table[columns].sort_values("participant_id", ignore_index=True)


def _diagnoses(visits: pd.DataFrame) -> pd.DataFrame:
    """How many visits have each value of dx1, and what they count as."""
    found = visits.assign(dx1=visits["dx1"].fillna("(none)"))
    return found.value_counts(["dx1", "class"], dropna=False).reset_index()


def _counts(participants: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """How many people and pairs there are, beside the papers'."""
    main = participants[participants["population"] == MAIN]["participant_id"]
    of_main = pairs["participant_id"].isin(main)
    found = {
        "people": len(main),
        "pairs": int(of_main.sum()),
        "people of the second population": len(participants) - len(main),
    }
    rows = []
    for what, number in found.items():
        papers = PAPERS_COUNTS.get(what)
        rows.append({"what": what, "here": number, "papers": papers})
    return pd.DataFrame(rows)


def _set_aside(images: pd.DataFrame, reason: str) -> list[dict]:
    """Rows that say why images are set aside."""
    columns = ["participant_id", "session", "file"]
    return images[columns].assign(reason=reason).to_dict("records")


def _check_choice(what: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(
            f"{what} is {value!r}, expected one of {', '.join(known)}"
        )
