"""The cohort of a study whose people are prepared: who is kept, who lacks
what, and all images on one grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from mmssl.cohorts import cohort as cohorts
from mmssl.cohorts import splits
from mmssl.cohorts.checks import PRESENCE
from mmssl.cohorts.cohort import Cohort
from mmssl.cohorts.derivatives import RECORD, place, read_record
from mmssl.cohorts.quality_control import (
    left_out,
    prepared_of,
    quality_table,
    with_files,
)
from mmssl.cohorts.study import Study, first_whole
from mmssl.ledger import atomic
from mmssl.ledger.allocation import new_array
from mmssl.ledger.manifest import check_files, read_manifest
from mmssl.preprocessing import template
from mmssl.preprocessing.registration_status import DOUBTFUL, STATUSES


def assemble(
    study: Study,
    folder: str | Path,
    path: str | Path,
    accept: str = DOUBTFUL,
    excluded: Mapping[str, str] | None = None,
    folds: int = 5,
    holdout: float | Mapping[str, float] | Sequence[str] = 0.2,
    seed: int = 0,
) -> Cohort:
    """Write the cohort of a study whose people are prepared.

    Parameters
    ----------
    study, folder : as `prepare_person` took them.
    path : of the cohort's folder to make.
    accept : the worst of `registration_status.STATUSES` that is taken.
    excluded : {image: reason}, images of the study that somebody has looked
        at and left out, with their pairs; of a study that may be incomplete,
        a series alone. See `read_exclusions`.
    folds, holdout, seed : as `mmssl.cohorts.splits.make` takes them.

    Returns
    -------
    Cohort
        Its mask is the template's, which knows nothing of anybody. The folder
        also holds ``aside.tsv`` (who was left out, and why), ``flow.tsv`` and
        ``quality.tsv``.

    Raises
    ------
    ValueError
        For a person who is not prepared, an image excluded that is none of
        the study's, another status; if nobody is left; as `splits.make`.
    """
    folder, path = Path(folder), Path(path)
    if accept not in STATUSES:
        raise ValueError(f"accept is {accept!r}, expected one of {STATUSES}")
    excluded = dict(excluded or {})
    _check_exclusions(study, excluded)
    quality = _lacking(study, quality_table(study, folder), excluded)
    reason = _reasons(study, quality, accept, excluded)
    kept = quality[reason.isna()]
    if kept.empty:
        raise ValueError(
            f"{folder}: 0 of {len(quality)} pairs left: "
            f"{reason.value_counts().to_dict()}"
        )
    files = _volume_files(study, folder, kept["pair"], excluded)
    _check_every_modality(study, folder, files)
    pairs = _cohort_pairs(study, kept["pair"], files)
    people_left = study.participants["participant_id"].isin(
        pairs["participant_id"]
    )
    participants = study.participants[people_left].reset_index(drop=True)
    worst = kept["registration"].map(STATUSES.index)
    worst = (
        worst.groupby(kept["participant_id"]).max().map(STATUSES.__getitem__)
    )
    participants["registration"] = participants["participant_id"].map(worst)
    dealt = deal(study, participants, folds, holdout, seed)
    parameters = {
        "study": study.name,
        "accept": accept,
        "excluded": len(excluded),
        "incomplete": study.incomplete,
        "folds": folds,
        "prepared": _prepared_with(study, folder),
    }
    with atomic.directory(path) as unfinished:
        _write_volumes(study, files, kept["pair"], unfinished)
        for name, table in _tables(study, quality, reason, pairs).items():
            file = unfinished / f"{name}.tsv"
            table.to_csv(file, sep="\t", index=False, na_rep="n/a")
        size = parameters["prepared"]["size"]
        space = template.template(size)
        cohorts.describe(
            unfinished,
            name=path.name,
            kind="study",
            modalities=study.modalities,
            participants=participants,
            pairs=pairs,
            splits=dealt,
            affine=space.affine,
            mask=space.mask,
            tasks=study.tasks,
            parameters=parameters,
            seed=seed,
        )
    return cohorts.load(path)


def check_study(study: Study, cohort: Cohort) -> None:
    """ValueError unless a cohort was made of the pairs of this study: rows of
    the one would be somebody else's in the other.

    Parameters
    ----------
    study : as it was read now.
    cohort : that `assemble` wrote earlier.
    """
    file = cohort.file("quality.tsv")
    columns = [f"file_{modality}" for modality in study.modalities]
    known = cohorts.read_table(file, columns, columns)
    here = study.pairs[list(study.modalities)].fillna("n/a")
    there = known[columns].fillna("n/a")
    if here.to_numpy().tolist() != there.to_numpy().tolist():
        raise ValueError(
            f"{file}: made of {len(there)} pairs of images, found are "
            f"{len(here)}, not the same ones; expected the options with which "
            "the cohort was made (--incomplete, --modalities, --task, "
            "--most-days, …)"
        )


def deal(
    study: Study,
    participants: pd.DataFrame,
    folds: int = 5,
    holdout: float | Mapping[str, float] | Sequence[str] = 0.2,
    seed: int = 0,
) -> dict:
    """The splits of some people of a study, its first task's classes on both
    sides of each fold; parameters and errors as `mmssl.cohorts.splits.make`.
    """
    classes = ()
    if study.tasks:
        classes = next(iter(study.tasks.values()))["classes"]
    return splits.make(participants, folds, holdout, seed, classes)


def read_exclusions(study: Study, file: str | Path) -> dict[str, str]:
    """Read which images somebody has looked at and left out.

    Parameters
    ----------
    study : whose images they are.
    file : table of tab-separated text with the columns file (as in the
        study's pairs, relative to its root) and, optionally, reason.

    Returns
    -------
    dict
        {image: reason}.

    Raises
    ------
    ValueError
        Where a file is none of the study's.
    """
    table = cohorts.read_table(Path(file), ["file"], ["file", "reason"])
    reasons = dict.fromkeys(table["file"], "excluded after a look")
    if "reason" in table:
        stated = table.dropna(subset="reason")
        reasons |= dict(zip(stated["file"], stated["reason"], strict=True))
    _check_exclusions(study, reasons, file)
    return reasons


def _check_exclusions(
    study: Study, excluded: Mapping[str, str], file: str | Path = "excluded"
) -> None:
    known = {
        name for m in study.modalities for name in study.pairs[m].dropna()
    }
    unknown = sorted(set(excluded) - known)
    if unknown:
        raise ValueError(
            f"{file}: {len(unknown)} of {len(excluded)} files are no images "
            f"of {study.name}'s pairs, the first is {unknown[0]!r}; expected "
            f"such as {min(known)!r}"
        )


def _lacking(
    study: Study, quality: pd.DataFrame, excluded: Mapping[str, str]
) -> pd.DataFrame:
    """The figures, and in "lacks" also why somebody left an image out."""
    if "lacks" not in quality:
        return quality
    lacks = quality["lacks"].astype("object")
    pairs = study.pairs.loc[quality["pair"]]
    for modality in study.modalities[1:]:
        by_eye = pairs[modality].map(excluded).to_numpy()
        lacks = lacks.where(lacks.notna(), by_eye)
    return quality.assign(lacks=lacks)


def _reasons(
    study: Study,
    quality: pd.DataFrame,
    accept: str,
    excluded: Mapping[str, str],
) -> pd.Series:
    """Why each pair is left out; missing for those that stay."""
    reason = quality["reason"].astype("object")
    accepted = STATUSES[: STATUSES.index(accept) + 1]
    status = quality["registration"]
    worse = reason.isna() & ~status.isin(accepted)
    reason[worse] = "registration " + status[worse]
    pairs = study.pairs.loc[quality["pair"]]
    needed = study.modalities[:1] if study.incomplete else study.modalities
    for modality in needed:
        by_eye = pairs[modality].map(excluded).to_numpy()
        reason = reason.where(reason.notna(), by_eye)
    return reason


def _cohort_pairs(
    study: Study, numbers: pd.Series, files: Mapping
) -> pd.DataFrame:
    """Pairs of a study as a cohort has them, and who lacks what; the first
    that is left of a person and lacks nothing is the one that an evaluation
    reads.
    """
    columns = ["participant_id", "session", "day"]
    table = study.pairs.loc[numbers, columns].reset_index(drop=True)
    table.insert(0, "pair", range(len(table)))
    there = pd.DataFrame(
        {m: [(n, m) in files for n in numbers] for m in study.modalities}
    )
    table["downstream"] = first_whole(
        table["participant_id"], there.all(axis=1)
    )
    for modality in study.modalities:
        if not there[modality].all():
            column = f"{PRESENCE}{modality}"
            table[column] = there[modality].astype(int)
    return table


def _prepared_with(study: Study, folder: Path) -> dict:
    """The parameters that everybody was prepared with."""
    expected = None
    for participant in study.participants["participant_id"]:
        target = place(folder, participant)
        found = read_record(target)["parameters"]
        if expected is not None and found != expected:
            raise ValueError(
                f"{target / RECORD}: parameters found {found}, expected "
                f"{expected} as of the people before"
            )
        expected = found
    return expected


def _volume_files(
    study: Study, folder: Path, numbers: pd.Series, excluded: Mapping
) -> dict[tuple[int, str], Path]:
    """{(pair, modality): prepared image} of the pairs that are kept."""
    files = {}
    kept = set(numbers)
    for number, target, record in prepared_of(study, folder):
        volumes = record.get("volumes", {})
        check_files(target, read_manifest(target), volumes.values())
        for modality, name in volumes.items():
            raw = record["files"][modality]
            if number in kept and raw not in excluded:
                files[number, modality] = target / name
    return files


def _check_every_modality(study: Study, folder: Path, files: Mapping) -> None:
    """ValueError for a modality that no pair has."""
    there = {modality for _, modality in files}
    for modality in study.modalities:
        if modality not in there:
            raise ValueError(
                f"{folder}: no pair left has an image of {modality}; read the "
                "dataset with the other modalities alone"
            )


def _write_volumes(
    study: Study, files: Mapping, numbers: pd.Series, unfinished: Path
) -> None:
    """Fill the arrays of the cohort, row by row; 0 where there is no image."""
    for modality in study.modalities:
        array = None
        for row, number in enumerate(numbers):
            if (number, modality) not in files:
                continue
            volume = nib.load(files[number, modality]).get_fdata(
                dtype=np.float32
            )
            if array is None:
                shape = (len(numbers), *volume.shape)
                array = new_array(
                    unfinished / f"{modality}.npy", shape, np.float32
                )
            array[row] = volume
        array.flush()


def _tables(
    study: Study,
    quality: pd.DataFrame,
    reason: pd.Series,
    pairs: pd.DataFrame,
) -> dict[str, pd.DataFrame]:
    """{name: table} of what people want to read about a study's cohort."""
    rows = left_out(quality.assign(reason=reason))
    rows.insert(2, "file", np.nan)
    kept = quality[reason.isna()]
    step = {
        "step": "prepared and accepted",
        "participants": kept["participant_id"].nunique(),
        "images": pd.NA,
        "pairs": len(kept),
    }
    steps = [step]
    for modality in study.modalities:
        if f"{PRESENCE}{modality}" not in pairs:
            continue
        lacking = pairs[pairs[f"{PRESENCE}{modality}"] == 0]
        steps.append(
            {
                "step": f"of these without {modality}",
                "participants": lacking["participant_id"].nunique(),
                "images": pd.NA,
                "pairs": len(lacking),
            }
        )
    flow = pd.concat([study.flow, pd.DataFrame(steps)], ignore_index=True)
    return {
        "aside": pd.concat([study.aside, rows], ignore_index=True),
        "flow": flow,
        "quality": with_files(study, quality.drop(columns="reason")),
        **study.reports,
    }
