"""From a study's raw images to a cohort: each person prepared in a folder of
their own, then all of them on one grid.

A person's folder appears when it is complete and is never made again while
images and parameters are the same, so that a batch that was interrupted goes
on where it was. What is wrong with an image sets its pair aside with a reason;
what is wrong with the machine (no room, no memory) stops the person, and
nothing is left behind.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from mmssl.cohorts import cohort as cohorts
from mmssl.cohorts import splits
from mmssl.cohorts.cohort import Cohort
from mmssl.cohorts.study import Study
from mmssl.ledger import atomic, limits
from mmssl.ledger.allocation import new_array
from mmssl.ledger.code import fingerprint
from mmssl.ledger.hashes import hash_file
from mmssl.ledger.manifest import (
    MANIFEST,
    check_files,
    read_manifest,
    write_manifest,
)
from mmssl.ledger.sidecars import versions
from mmssl.preprocessing import person as people
from mmssl.preprocessing import read, template
from mmssl.preprocessing.registration_status import DOUBTFUL, STATUSES

RECORD = "prepared.json"
"""What a person's folder says of every pair: files, figures, or a reason."""

ANATOMY, SERIES = "T1", "fALFF"
SPACE = "MNI152NLin2009aSym"
_DESCRIPTION = {
    "Name": "T1 and fALFF in MNI space",
    "BIDSVersion": "1.10.0",
    "DatasetType": "derivative",
    "GeneratedBy": [{"Name": "mmssl", "Version": versions()["mmssl"]}],
}


def prepare_person(
    study: Study,
    participant: str,
    folder: str | Path,
    size: int = 64,
    tr: float | None = None,
    low: float = 0.01,
    high: float = 0.1,
    orientation: str | None = None,
    dummy_scans: int = 0,
    backend: str = people.SIMPLEITK,
    progress: bool = False,
) -> dict:
    """Prepare every pair of one person.

    Parameters
    ----------
    study : with the modality T1, or T1 and fALFF.
    participant : one of its people.
    folder : of the derivatives; a finished folder of the person, made of the
        same images with the same parameters and code, is taken as it is.
    size, tr, low, high, orientation, dummy_scans, backend, progress
        As `mmssl.preprocessing.prepare` takes them; ``tr`` None: what the
        study says, then sidecar and header.

    Returns
    -------
    dict
        The record, as it stands in ``prepared.json``: "participant_id",
        "parameters", "inputs" {file: sha256}, "modules", "versions", and
        "pairs", each with its files and either "volumes", "registration" and
        "quality", or a "reason".

    Raises
    ------
    ValueError
        For a person or a modality that the study does not have.
    OSError, MemoryError
        Of the machine; the folder is not made.
    """
    _check_modalities(study)
    people.check_backend(backend)
    own = study.pairs[study.pairs["participant_id"] == participant]
    if own.empty:
        raise ValueError(
            f"{study.root}: {participant!r} found in no pair, expected one of "
            f"{study.pairs['participant_id'].nunique()} people"
        )
    parameters = {
        "size": size,
        "tr": tr,
        "low": low,
        "high": high,
        "orientation": orientation,
        "dummy_scans": dummy_scans,
        "backend": backend,
    }
    record = {
        "participant_id": participant,
        "parameters": parameters,
        "inputs": _hashes(study, own),
        "pairs": [_files(study, pair) for _, pair in own.iterrows()],
        "modules": fingerprint("mmssl.preprocessing.person"),
        "versions": versions(),
    }
    target = place(folder, participant)
    if _is_current(target, record):
        return read_record(target)
    # what is stale is made anew from the same images
    shutil.rmtree(target, ignore_errors=True)
    with atomic.directory(target) as unfinished:
        pairs = _prepared_pairs(study, own, unfinished, parameters, progress)
        record["pairs"] = list(pairs)
        text = json.dumps(record, indent=1, ensure_ascii=False)
        (unfinished / RECORD).write_text(text + "\n", encoding="utf-8")
        write_manifest(unfinished)
    return record


def place(folder: str | Path, participant: str) -> Path:
    """The folder of a person's derivatives."""
    return Path(folder) / f"sub-{participant.removeprefix('sub-')}"


def describe(folder: str | Path) -> None:
    """Write what makes a folder of derivatives a BIDS dataset, once."""
    if (Path(folder) / ".bidsignore").exists():
        return
    with atomic.file(Path(folder) / "dataset_description.json") as file:
        text = json.dumps(_DESCRIPTION, indent=1)
        file.write_text(text + "\n", encoding="utf-8")
    with atomic.file(Path(folder) / ".bidsignore") as file:
        # maps of a statistic are not in the standard yet, though many write
        # them so
        text = f"**/{RECORD}\n**/{MANIFEST}\n**/*_boldmap.nii.gz\n"
        file.write_text(text, encoding="utf-8")


def _check_modalities(study: Study) -> None:
    unknown = set(study.modalities) - {ANATOMY, SERIES}
    if unknown or study.modalities[0] != ANATOMY:
        raise ValueError(
            f"{study.name}: modalities {', '.join(study.modalities)} found, "
            f"expected {ANATOMY}, or {ANATOMY} and {SERIES}"
        )


def _files(study: Study, pair: pd.Series) -> dict[str, str]:
    """{modality: image} of a pair, which tell it from any other."""
    return {m: pair[m] for m in study.modalities}


def _hashes(study: Study, own: pd.DataFrame) -> dict[str, str]:
    """{file: sha256} of a person's images; of a missing one None."""
    files = sorted({file for m in study.modalities for file in own[m]})
    hashes = {}
    for file in files:
        path = study.root / file
        hashes[file] = hash_file(path) if path.is_file() else None
    return hashes


def _is_current(target: Path, record: Mapping) -> bool:
    """Whether a folder was made of the same, by the same code."""
    if not (target / RECORD).is_file():
        return False
    found = read_record(target)
    files = [pair["files"] for pair in found["pairs"]]
    found = {**found, "pairs": files}
    return all(found.get(key) == record[key] for key in record)


def read_record(target: str | Path) -> dict:
    """Read what a person's folder says of them.

    Raises
    ------
    ValueError
        Where there is no record, or it is not the one that was made.
    """
    file = Path(target) / RECORD
    if not file.is_file():
        raise ValueError(f"{file}: not found; the person is not prepared")
    check_files(target, read_manifest(target), [RECORD])
    return json.loads(limits.read_text(file))


def _prepared_pairs(
    study: Study,
    own: pd.DataFrame,
    folder: Path,
    parameters: Mapping,
    progress: bool,
) -> Iterator[dict]:
    """Prepare each pair of a person and write its images; one record each."""
    anatomies: dict[str, people.Anatomy | ValueError] = {}
    for _, pair in own.iterrows():
        record = {"files": _files(study, pair)}
        try:
            prepared = _prepared(study, pair, anatomies, parameters, progress)
        except ValueError as error:
            # of a message the place on this machine says nothing to others
            reason = str(error).replace(f"{study.root}/", "")
            yield {**record, "reason": reason}
            continue
        volumes = {}
        for modality, volume in prepared.volumes.items():
            name = _name(pair, modality)
            _write_image(folder / name, volume, prepared.affine)
            volumes[modality] = name
        sidecar = folder / volumes[ANATOMY].replace(".nii.gz", ".json")
        text = json.dumps({"SkullStripped": True}) + "\n"
        sidecar.write_text(text, encoding="utf-8")
        if prepared.motion is not None:
            name = _name(pair, SERIES).split("_space-")[0]
            file = folder / f"{name}_desc-motion_timeseries.tsv"
            prepared.motion.to_csv(file, sep="\t", index=False)
        yield {
            **record,
            "volumes": volumes,
            "registration": prepared.registration,
            "quality": prepared.quality,
            "tr": prepared.tr,
        }


def _prepared(
    study: Study,
    pair: pd.Series,
    anatomies: dict,
    parameters: Mapping,
    progress: bool,
) -> people.Person:
    """One pair prepared; a T1 that several pairs have is registered once."""
    t1 = study.root / pair[ANATOMY]
    bold = study.root / pair[SERIES] if SERIES in study.modalities else None
    orientation = parameters["orientation"]
    tr = parameters["tr"]
    if bold is not None and tr is None:
        stated = pair[f"{SERIES}_repetition_time"]
        tr = None if pd.isna(stated) else float(stated)
    band = (parameters["low"], parameters["high"])
    dummy_scans = parameters["dummy_scans"]
    tr = read.check(t1, bold, tr, *band, orientation, dummy_scans)
    if pair[ANATOMY] not in anatomies:
        try:
            found = people.prepare_anatomy(
                t1, parameters["size"], orientation, parameters["backend"]
            )
        except ValueError as error:
            found = error
        anatomies[pair[ANATOMY]] = found
    anatomy = anatomies[pair[ANATOMY]]
    if isinstance(anatomy, ValueError):
        raise anatomy
    if bold is None:
        return anatomy.person
    series = people.read_series(bold, orientation, dummy_scans)
    return people.add_series(
        anatomy, bold, series, tr, *band, dummy_scans, progress
    )


def _name(pair: pd.Series, modality: str) -> str:
    """The BIDS name of a derivative, relative to the person's folder.

    A series that is paired with two T1s has a map for each, told apart by
    ``desc``.
    """
    raw = Path(pair[modality])
    stem = raw.name.split(".")[0].rsplit("_", 1)[0]
    session = re.search(r"_ses-([A-Za-z0-9]+)", stem)
    folder = Path(f"ses-{session[1]}") if session else Path()
    if modality == ANATOMY:
        name = f"{stem}_space-{SPACE}_desc-brain_T1w.nii.gz"
        return (folder / "anat" / name).as_posix()
    entities = Path(pair[ANATOMY]).name.split(".")[0].split("_")[1:-1]
    other = re.sub(r"[^A-Za-z0-9]", "", "".join(entities))
    name = f"{stem}_space-{SPACE}_stat-falff_desc-T1w{other}_boldmap.nii.gz"
    return (folder / "func" / name).as_posix()


def _write_image(file: Path, volume: np.ndarray, affine: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(volume.astype(np.float32), affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, file)


def quality_table(study: Study, folder: str | Path) -> pd.DataFrame:
    """What is known of every pair: its figures, or why there are none.

    Returns
    -------
    table
        pair, participant_id, session, registration (one of
        `mmssl.preprocessing.registration_status.STATUSES`, or "none"),
        reason, unusual (figures far from everybody's, see `unusual`), and
        the figures of `mmssl.preprocessing.quality`.

    Raises
    ------
    ValueError
        For a person who is not prepared.
    """
    rows = []
    for number, _, record in _prepared_of(study, folder):
        row = {
            "pair": number,
            "participant_id": study.pairs.at[number, "participant_id"],
            "session": study.pairs.at[number, "session"],
            "registration": record.get("registration", "none"),
            "reason": record.get("reason"),
        }
        rows.append({**row, **record.get("quality", {})})
    table = pd.DataFrame(rows).sort_values("pair", ignore_index=True)
    table.insert(5, "unusual", unusual(table.iloc[:, 5:]))
    return table


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
    left_out = quality.loc[quality["reason"].notna()]
    aside = pd.concat([study.aside, left_out], ignore_index=True)
    texts = []
    for row in aside.itertuples():
        text = str(row.reason)
        pairs = study.pairs[
            study.pairs["participant_id"].eq(row.participant_id)
        ]
        files = pairs[list(study.modalities)].to_numpy().ravel().tolist()
        names = [*files, row.file, row.participant_id, row.session]
        names += [Path(name).name for name in files]
        known = {str(name) for name in names if pd.notna(name)}
        for name in sorted(known, key=len, reverse=True):
            text = text.replace(name, "…") if len(name) > 1 else text
        texts.append(text)
    counts = pd.Series(texts, dtype="str").value_counts()
    return counts.rename_axis("reason").reset_index(name="number")


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
    for number, target, record in _prepared_of(study, folder):
        volumes = record.get("volumes", {})
        if number not in pairs or not volumes:
            continue
        check_files(target, read_manifest(target), volumes.values())
        found[number] = {
            modality: nib.load(target / name).get_fdata(dtype=np.float32)
            for modality, name in volumes.items()
        }
    return {number: found[number] for number in pairs if number in found}


def _prepared_of(
    study: Study, folder: str | Path
) -> Iterator[tuple[int, Path, dict]]:
    """Each pair of a study: its number, its person's folder, its record."""
    for participant, own in study.pairs.groupby("participant_id"):
        target = place(folder, participant)
        records = read_record(target)["pairs"]
        asked = [_files(study, pair) for _, pair in own.iterrows()]
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
        Names of figures, joined by ", "; missing where there is none.
    """
    away = figures - figures.median()
    score = 0.6745 * away / away.abs().median()
    far = score.abs() > limit
    names = [", ".join(figures.columns[row]) for row in far.to_numpy()]
    return pd.Series(names, figures.index, dtype="str").replace("", np.nan)


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
        at and left out, with their pairs; see `read_exclusions`.
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
    quality = quality_table(study, folder)
    reason = _reasons(study, quality, accept, excluded)
    kept = quality[reason.isna()]
    if kept.empty:
        raise ValueError(
            f"{folder}: 0 of {len(quality)} pairs left: "
            f"{reason.value_counts().to_dict()}"
        )
    pairs = _cohort_pairs(study.pairs.loc[kept["pair"]])
    people_left = study.participants["participant_id"].isin(
        pairs["participant_id"]
    )
    participants = study.participants[people_left].reset_index(drop=True)
    worst = kept["registration"].map(STATUSES.index)
    worst = (
        worst.groupby(kept["participant_id"]).max().map(STATUSES.__getitem__)
    )
    participants["registration"] = participants["participant_id"].map(worst)
    classes = (
        next(iter(study.tasks.values()))["classes"] if study.tasks else ()
    )
    dealt = splits.make(participants, folds, holdout, seed, classes)
    parameters = {
        "study": study.name,
        "accept": accept,
        "excluded": len(excluded),
        "folds": folds,
        "prepared": _prepared_with(study, folder),
    }
    with atomic.directory(path) as unfinished:
        _write_volumes(study, folder, kept["pair"], unfinished)
        for name, table in _tables(study, quality, reason).items():
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
    known = {name for m in study.modalities for name in study.pairs[m]}
    unknown = sorted(set(excluded) - known)
    if unknown:
        raise ValueError(
            f"{file}: {len(unknown)} of {len(excluded)} files are no images "
            f"of {study.name}'s pairs, the first is {unknown[0]!r}; expected "
            f"such as {min(known)!r}"
        )


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
    for modality in study.modalities:
        by_eye = pairs[modality].map(excluded).to_numpy()
        reason = reason.where(reason.notna(), by_eye)
    return reason


def _cohort_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """Pairs of a study as a cohort has them; the first that is left of a
    person is the one that an evaluation reads.
    """
    table = pairs[["participant_id", "session", "day"]].reset_index(drop=True)
    first = ~table["participant_id"].duplicated()
    table.insert(0, "pair", range(len(table)))
    return table.assign(downstream=first.astype(int))


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


def _write_volumes(
    study: Study, folder: Path, numbers: pd.Series, unfinished: Path
) -> None:
    """Fill the arrays of the cohort, row by row."""
    files = {}
    for number, target, record in _prepared_of(study, folder):
        volumes = record.get("volumes", {})
        check_files(target, read_manifest(target), volumes.values())
        for modality, name in volumes.items():
            files[number, modality] = target / name
    for modality in study.modalities:
        array = None
        for row, number in enumerate(numbers):
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
    study: Study, quality: pd.DataFrame, reason: pd.Series
) -> dict[str, pd.DataFrame]:
    """{name: table} of what people want to read about a study's cohort."""
    left_out = quality[["participant_id", "session"]].assign(
        file=np.nan, reason=reason
    )
    left_out = left_out[reason.notna()]
    kept = quality[reason.isna()]
    step = {
        "step": "prepared and accepted",
        "participants": kept["participant_id"].nunique(),
        "images": pd.NA,
        "pairs": len(kept),
    }
    flow = pd.concat([study.flow, pd.DataFrame([step])], ignore_index=True)
    return {
        "aside": pd.concat([study.aside, left_out], ignore_index=True),
        "flow": flow,
        "quality": quality.drop(columns="reason"),
        **study.reports,
    }
