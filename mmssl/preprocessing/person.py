"""The whole chain for one person: raw T1 (and BOLD) to a pair of volumes on the cohort's grid."""

import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from mmssl import ledger
from mmssl.cohorts.cohort import Cohort
from mmssl.cohorts.cohort import write as write_cohort
from mmssl.preprocessing import (
    brain,
    fluctuations,
    inputs,
    motion,
    quality,
    registration,
    space,
    template,
)

# mm, the control that the quality figures must notice. Sideways, where brains are symmetric: a
# shift forward or up can by accident suit a person's own proportions.
PLANTED_SHIFT = (5.0, 0.0, 0.0)
_FINEST = 0.8  # mm; finer T1s are averaged to 1 mm, the grid has 3 mm
_INSIDE = 0.5  # fraction of a voxel inside a mask for the voxel to be inside
_SIGNAL = 0.25  # of the brain's median BOLD: darker is dropout or outside the field of view
NAME = "person-1"  # neutral: a label from a hospital's or a study's file never leaves this machine


@dataclass(frozen=True, eq=False)
class Person:
    """What `prepare` found.

    Attributes
    ----------
    volumes : {"T1": (X, Y, Z)} and, with a BOLD series, "fALFF": float32, brain only, zero outside.
    mask : (X, Y, Z) bool, the person's brain on the grid.
    measured : {modality: (X, Y, Z) bool}, where it was seen: a BOLD series rarely covers all.
    affine : (4, 4), grid voxels to MNI mm.
    to_native : (4, 4), MNI mm to the T1's mm (similarity).
    to_bold : (4, 4), the T1's mm to the BOLD's mm (rigid); None without.
    native_mask : NIfTI image, the brain in the T1's own space.
    motion : table of `motion.Motion`; None without.
    quality : {figure: value}, of `quality.similarity_to_template` and `quality.tissue_contrast`.
    control : {figure: value}, the same with the registration made 5 mm wrong.
    tr : s; None without.
    hashes : {"t1": sha256, "bold": sha256}, of the files read.
    """

    volumes: dict[str, np.ndarray]
    mask: np.ndarray
    measured: dict[str, np.ndarray]
    affine: np.ndarray
    to_native: np.ndarray
    native_mask: nib.Nifti1Image
    quality: dict[str, float]
    control: dict[str, float]
    hashes: dict[str, str]
    to_bold: np.ndarray | None = None
    motion: pd.DataFrame | None = None
    tr: float | None = None
    parameters: dict = field(default_factory=dict)


def prepare(
    t1: str | Path,
    bold: str | Path | None = None,
    tr: float | None = None,
    size: int = 64,
    low: float = 0.01,
    high: float = 0.1,
    progress: bool = True,
) -> Person:
    """Register a person's raw images to MNI152 and compute the fALFF.

    T1: similarity registration, brain mask, one resampling. BOLD: realignment to its first volume,
    fALFF in its own space, rigid registration of the mean to the T1; the two transforms are
    composed, so that the fALFF is resampled once.

    Parameters
    ----------
    t1 : NIfTI file, skull on or off.
    bold : NIfTI file of a series; None prepares the T1 alone.
    tr : repetition time, s; None reads the sidecar, then the header.
    size : voxels along each axis of the grid, see `template.grid`.
    low, high : band of the fALFF, Hz.
    progress : show a progress bar.

    Returns
    -------
    Person

    Raises
    ------
    ValueError : as `inputs.check`, `inputs.read_t1` and `inputs.read_bold`; before any long work.
    """
    grid = template.grid(size)
    tr = inputs.check(t1, bold, tr, low, high)
    original = inputs.read_t1(t1)
    series = None if bold is None else inputs.read_bold(bold)
    anatomy = inputs.Image(*space.coarsen(*original, _FINEST))
    to_native = registration.to_template(*anatomy).matrix
    native = brain.brain_mask(*anatomy, to_native)
    shape = (size,) * 3
    mask = space.resample(native, anatomy.affine, to_native, grid, shape) > _INSIDE
    image = space.resample(*anatomy, to_native, grid, shape, mask=native)
    wrong = quality.shifted(to_native, PLANTED_SHIFT)
    person = Person(
        volumes={"T1": np.where(mask, image, 0).astype(np.float32)},
        mask=mask,
        measured={"T1": mask},
        affine=grid,
        to_native=to_native,
        native_mask=_native_mask(native, anatomy.affine, original),
        quality=quality.similarity_to_template(*anatomy, native, to_native),
        control=quality.similarity_to_template(*anatomy, native, wrong),
        hashes={"t1": ledger.hash_file(t1)},
        parameters={"size": size},
    )
    if series is None:
        return person
    found = _functional(person, anatomy, native, series, tr, (low, high), progress)
    hashes = person.hashes | {"bold": ledger.hash_file(bold)}
    parameters = {"size": size, "tr": tr, "low": low, "high": high}
    return replace(person, **found, hashes=hashes, parameters=parameters, tr=tr)


def write(person: Person, path: str | Path) -> Cohort:
    """Write a person as a cohort of one pair, which `cohorts.load` reads.

    The participant is called "person-1", whatever the files were called, and stands in the
    hold-out; no path and no label of the files is kept, only their content hashes. The folder also
    holds ``motion.tsv``, ``quality.tsv`` and ``transforms.json``.

    Parameters
    ----------
    person : from `prepare`.
    path : folder; one that holds the same person made with the same parameters is replaced.

    Returns
    -------
    Cohort

    Raises
    ------
    ValueError : the folder exists and holds anything else; nothing is changed.
    """
    path = Path(path)
    parameters = person.parameters | {"inputs": person.hashes}
    old = path.with_name(f".old-{path.name}")
    if path.exists():
        _check_same(path, parameters)
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
    try:
        return _write(person, path, parameters)
    except BaseException:
        if old.exists():
            old.rename(path)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _write(person: Person, path: Path, parameters: dict) -> Cohort:
    people = pd.DataFrame({"participant_id": [NAME], "group": ["n/a"]})
    pairs = pd.DataFrame(
        {"pair": [0], "participant_id": [NAME], "session": [1], "day": [0], "downstream": [1]}
    )
    return write_cohort(
        path,
        name=path.name,
        kind="person",
        volumes={m: v[None] for m, v in person.volumes.items()},
        participants=people,
        pairs=pairs,
        splits={"seed": None, "holdout": [NAME], "shift": [], "folds": []},
        affine=person.affine,
        mask=person.mask,
        parameters=parameters,
        extra=lambda folder: _tables(person, folder),
    )


def _functional(person, anatomy, native, series, tr, band, progress) -> dict:
    """The fields of `Person` that a BOLD series fills."""
    moved = motion.realign(*series, progress=progress)
    mean = moved.bold.mean(axis=3)
    to_bold = registration.to_anatomy(mean, series.affine, *anatomy, native).matrix
    shape, grid = mean.shape, person.affine
    # T1 mm to BOLD mm, so the BOLD grid reaches the T1 through the inverse.
    back = np.linalg.inv(to_bold)
    inside = space.resample(native, anatomy.affine, back, series.affine, shape) > _INSIDE
    inside &= mean > _SIGNAL * np.median(mean[inside])
    ratio = fluctuations.falff(moved.bold, tr, *band, mask=inside)
    inside &= ratio > 0  # voxels without any fluctuation were not measured
    to_series = to_bold @ person.to_native
    place = (series.affine, to_series, grid, person.mask.shape)
    seen = (space.resample(inside, *place) > _INSIDE) & person.mask
    volume = np.where(seen, space.resample(ratio, *place, mask=inside), 0).astype(np.float32)
    model = template.template(len(volume))
    contrast = quality.tissue_contrast(volume, seen, model.grey, model.white)
    contrast["falff_coverage"] = float(seen.sum() / person.mask.sum())
    displacement = moved.parameters["framewise_displacement"]
    contrast["mean_framewise_displacement_mm"] = float(displacement.iloc[1:].mean())
    return {
        "volumes": person.volumes | {"fALFF": volume},
        "measured": person.measured | {"fALFF": seen},
        "to_bold": to_bold,
        "motion": moved.parameters,
        "quality": person.quality | contrast,
    }


def _native_mask(mask: np.ndarray, affine: np.ndarray, original: inputs.Image) -> nib.Nifti1Image:
    values = mask
    if mask.shape != original.data.shape:
        shape = original.data.shape
        values = space.resample(mask, affine, np.eye(4), original.affine, shape) > 0.5
    return nib.Nifti1Image(values.astype(np.uint8), original.affine)


def _check_same(path: Path, parameters: dict) -> None:
    about = path / "cohort.json"
    found = json.loads(about.read_text()) if about.is_file() else {}
    if found.get("kind") != "person" or found.get("parameters") != parameters:
        raise ValueError(
            f"{path}: exists and holds kind {found.get('kind')!r} with parameters"
            f" {found.get('parameters')}, expected this person with {parameters}; choose another"
            " output or remove the folder"
        )


def _tables(person: Person, folder: Path) -> None:
    rows = [
        {"figure": k, "value": v, "shifted_5_mm": person.control.get(k)}
        for k, v in person.quality.items()
    ]
    pd.DataFrame(rows).to_csv(folder / "quality.tsv", sep="\t", index=False)
    transforms = {"mni_to_t1": person.to_native.tolist()}
    if person.motion is not None:
        transforms["t1_to_bold"] = person.to_bold.tolist()
        person.motion.to_csv(folder / "motion.tsv", sep="\t", index=False)
    (folder / "transforms.json").write_text(json.dumps(transforms, indent=1) + "\n")
