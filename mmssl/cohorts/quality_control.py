"""What is known of the people of a study once they are prepared: the figures
of every pair, why pairs were set aside, and the images themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from mmssl.cohorts.derivatives import (
    RECORD,
    SERIES,
    images_of,
    place,
    read_record,
)
from mmssl.cohorts.study import Study
from mmssl.ledger.manifest import check_files, read_manifest


def quality_table(study: Study, folder: str | Path) -> pd.DataFrame:
    """What is known of every pair: its figures, or why there are none.

    Returns
    -------
    table
        pair, participant_id, session, registration (one of
        `mmssl.preprocessing.registration_status.STATUSES`, or "none"),
        reason, lacks (why a pair that stays has no series, or none that can
        be used; of a study that may be incomplete), unusual (figures far from
        everybody's, see `unusual`), and the figures of
        `mmssl.preprocessing.quality`.

    Raises
    ------
    ValueError
        For a person who is not prepared.
    """
    rows = []
    for number, _, record in prepared_of(study, folder):
        row = {
            "pair": number,
            "participant_id": study.pairs.at[number, "participant_id"],
            "session": study.pairs.at[number, "session"],
            "registration": record.get("registration", "none"),
            "reason": record.get("reason"),
            "lacks": record.get("lacks", {}).get(SERIES),
        }
        needed = SERIES in study.modalities and not row["reason"]
        if needed and SERIES not in record["files"]:
            row["lacks"] = f"no image of {SERIES} near it"
        rows.append({**row, **record.get("quality", {})})
    table = pd.DataFrame(rows).sort_values("pair", ignore_index=True)
    table.insert(6, "unusual", unusual(table.iloc[:, 6:]))
    return table if study.incomplete else table.drop(columns="lacks")


def reasons(study: Study, quality: pd.DataFrame) -> pd.DataFrame:
    """Why images and pairs were set aside, without anybody's identifier.

    Parameters
    ----------
    study : that was read.
    quality : of `quality_table`.

    Returns
    -------
    table
        reason, number; the most frequent first. Files, people and sessions
        that a reason names are replaced by "…".
    """
    aside = pd.concat([study.aside, left_out(quality)], ignore_index=True)
    texts = []
    for row in aside.itertuples():
        text = str(row.reason)
        pairs = study.pairs[
            study.pairs["participant_id"].eq(row.participant_id)
        ]
        files = [file for m in study.modalities for file in pairs[m].dropna()]
        names = [*files, row.file, row.participant_id, row.session]
        names += [Path(name).name for name in files]
        known = {str(name) for name in names if pd.notna(name)}
        for name in sorted(known, key=len, reverse=True):
            text = text.replace(name, "…") if len(name) > 1 else text
        texts.append(text)
    counts = pd.Series(texts, dtype="str").value_counts()
    return counts.rename_axis("reason").reset_index(name="number")


def with_files(study: Study, quality: pd.DataFrame) -> pd.DataFrame:
    """Figures of every pair beside its images, as a table of exclusions names
    them: a column ``file_<modality>`` each.
    """
    table = quality.copy()
    files = study.pairs.loc[quality["pair"], list(study.modalities)]
    for column, modality in enumerate(study.modalities, 3):
        table.insert(column, f"file_{modality}", files[modality].to_numpy())
    return table


def left_out(quality: pd.DataFrame) -> pd.DataFrame:
    """Rows of the pairs, and of the series of pairs, that were set aside."""
    rows = [quality[quality["reason"].notna()]]
    if "lacks" in quality:
        lacking = quality[quality["lacks"].notna()]
        rows.append(lacking.assign(reason=lacking["lacks"]))
    return pd.concat(rows)[["participant_id", "session", "reason"]]


def prepared_volumes(
    study: Study, folder: str | Path, pairs: Sequence[int]
) -> dict[int, dict[str, np.ndarray]]:
    """The images of some pairs as they were prepared.

    Parameters
    ----------
    study, folder : as `prepare_person` took them.
    pairs : rows of the study's pairs.

    Returns
    -------
    {pair: {modality: (X, Y, Z) float32}}
        In the template's space; without the pairs that were set aside.

    Raises
    ------
    ValueError
        For a file that is not the one that was made.
    """
    found = {}
    for number, target, record in prepared_of(study, folder):
        volumes = record.get("volumes", {})
        if number not in pairs or not volumes:
            continue
        check_files(target, read_manifest(target), volumes.values())
        found[number] = {
            modality: nib.load(target / name).get_fdata(dtype=np.float32)
            for modality, name in volumes.items()
        }
    return {number: found[number] for number in pairs if number in found}


def prepared_of(
    study: Study, folder: str | Path
) -> Iterator[tuple[int, Path, dict]]:
    """Each pair of a study: its number, its person's folder, its record."""
    for participant, own in study.pairs.groupby("participant_id"):
        target = place(folder, participant)
        records = read_record(target)["pairs"]
        asked = [images_of(study, pair) for _, pair in own.iterrows()]
        if [record["files"] for record in records] != asked:
            raise ValueError(
                f"{target / RECORD}: pairs found {len(records)}, expected "
                f"{len(asked)} of the study's images; prepare the person anew"
            )
        for number, record in zip(own.index, records, strict=True):
            yield number, target, record


def unusual(figures: pd.DataFrame, limit: float = 3.5) -> pd.Series:
    """Which figures of each row lie far from those of the others.

    By the modified z-score of Iglewicz and Hoaglin (1993), .6745 (x - median)
    / MAD, which a few bad rows do not move. Far is no fault: it is what to
    look at first.

    Parameters
    ----------
    figures : numbers, one column a figure.
    limit : of the modified z-score.

    Returns
    -------
    Series of str
        Names of figures and their side, "noise (high), dice (low)"; missing
        where there is none.
    """
    away = figures - figures.median()
    score = 0.6745 * away / away.abs().median()
    names = []
    for row in score.to_numpy():
        far = []
        for name, value in zip(figures.columns, row, strict=True):
            if abs(value) > limit:
                far.append(f"{name} ({'high' if value > 0 else 'low'})")
        names.append(", ".join(far))
    return pd.Series(names, figures.index, dtype="str").replace("", np.nan)
