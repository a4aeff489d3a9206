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
from collections.abc import Iterator, Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from mmssl.cohorts.study import Study
from mmssl.ledger import atomic, limits
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
from mmssl.preprocessing import read

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

# maps of a statistic and time series of motion are not in the standard yet,
# though many write them so; a page keeps a table here
_IGNORED = "".join(
    f"{pattern}\n"
    for pattern in (
        f"**/{RECORD}",
        f"**/{MANIFEST}",
        "**/*_boldmap.nii.gz",
        "**/*_timeseries.tsv",
        "quality.tsv*",
    )
)


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
        "pairs": [images_of(study, pair) for _, pair in own.iterrows()],
        "modules": fingerprint("mmssl.preprocessing.person"),
        "versions": versions(),
    }
    target = place(folder, participant)
    if _is_current(target, record, study.incomplete):
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
    ignored = Path(folder) / ".bidsignore"
    if ignored.exists() and ignored.read_text(encoding="utf-8") == _IGNORED:
        return
    with atomic.file(Path(folder) / "dataset_description.json") as file:
        text = json.dumps(_DESCRIPTION, indent=1)
        file.write_text(text + "\n", encoding="utf-8")
    with atomic.file(ignored) as file:
        file.write_text(_IGNORED, encoding="utf-8")


def _check_modalities(study: Study) -> None:
    unknown = set(study.modalities) - {ANATOMY, SERIES}
    if unknown or study.modalities[0] != ANATOMY:
        raise ValueError(
            f"{study.name}: modalities {', '.join(study.modalities)} found, "
            f"expected {ANATOMY}, or {ANATOMY} and {SERIES}"
        )


def images_of(study: Study, pair: pd.Series) -> dict[str, str]:
    """{modality: image} of a pair, which tell it from any other; without what
    it lacks.
    """
    return {m: pair[m] for m in study.modalities if pd.notna(pair[m])}


def _hashes(study: Study, own: pd.DataFrame) -> dict[str, str]:
    """{file: sha256} of a person's images; of a missing one None."""
    of_each = [own[m].dropna() for m in study.modalities]
    files = sorted({file for files in of_each for file in files})
    hashes = {}
    for file in files:
        path = study.root / file
        hashes[file] = hash_file(path) if path.is_file() else None
    return hashes


def _is_current(target: Path, record: Mapping, incomplete: bool) -> bool:
    """Whether a folder was made of the same, by the same code, and pairs
    whose series cannot be used were kept or set aside as they are now to be.
    """
    if not (target / RECORD).is_file():
        return False
    found = read_record(target)
    for pair in found["pairs"]:
        otherwise = "reason" if incomplete else "lacks"
        of_series = pair.get("unusable") != ANATOMY
        if otherwise in pair and SERIES in pair["files"] and of_series:
            return False
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
        record = {"files": images_of(study, pair)}
        try:
            prepared, unusable = _prepared_or_anatomy(
                study, pair, anatomies, parameters, progress
            )
        except ValueError as error:
            if study.incomplete:
                # without its series the pair was tried too
                record["unusable"] = ANATOMY
            yield {**record, "reason": _reason(study, error)}
            continue
        if unusable is not None:
            record["lacks"] = {SERIES: _reason(study, unusable)}
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


def _reason(study: Study, error: ValueError) -> str:
    """A message without the place on this machine, which says nothing to
    others.
    """
    return str(error).replace(f"{study.root}/", "")


def _prepared_or_anatomy(
    study: Study,
    pair: pd.Series,
    anatomies: dict,
    parameters: Mapping,
    progress: bool,
) -> tuple[people.Person, ValueError | None]:
    """One pair prepared; where people may lack a modality, without a series
    that cannot be used, and why it cannot.
    """
    files = images_of(study, pair)
    try:
        prepared = _prepared(study, pair, anatomies, parameters, progress)
        return prepared, None
    except ValueError as error:
        if not study.incomplete or SERIES not in files:
            raise
        alone = pair.where(pair.index != SERIES)
        prepared = _prepared(study, alone, anatomies, parameters, progress)
        return prepared, error


def _prepared(
    study: Study,
    pair: pd.Series,
    anatomies: dict,
    parameters: Mapping,
    progress: bool,
) -> people.Person:
    """One pair prepared; a T1 that several pairs have is registered once."""
    t1 = study.root / pair[ANATOMY]
    has_series = SERIES in images_of(study, pair)
    bold = study.root / pair[SERIES] if has_series else None
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
