"""The whole chain for one person: raw T1 (and BOLD) to a pair of volumes on
the cohort's grid.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmssl.ledger.hashes import hash_file
from mmssl.preprocessing import brain, read, registration, space, template
from mmssl.preprocessing.falff import falff
from mmssl.preprocessing.motion import realign
from mmssl.preprocessing.quality import (
    shifted,
    similarity_to_template,
    tissue_contrast,
)

if TYPE_CHECKING:
    import nibabel as nib
    import pandas as pd

# mm, the control that the quality figures must notice. Sideways, where brains
# are symmetric: a shift forward or up can by accident suit a person's own
# proportions.
PLANTED_SHIFT = (5.0, 0.0, 0.0)
_FINEST = 0.8  # mm; finer T1s are averaged to 1 mm, the grid has 3 mm
_INSIDE = 0.5  # fraction of a voxel inside a mask for the voxel to be inside
# of the brain's median BOLD: darker is dropout or outside the field of view
_SIGNAL = 0.25


@dataclass(frozen=True, eq=False)
class Person:
    """What `prepare` found.

    Attributes
    ----------
    volumes : {"T1": (X, Y, Z)} and, with a BOLD series, "fALFF": float32,
        brain only, zero outside.
    mask : (X, Y, Z) bool, the person's brain on the grid.
    measured : {modality: (X, Y, Z) bool}, where it was seen: a BOLD series
        rarely covers all.
    affine : (4, 4), grid voxels to MNI mm.
    to_native : (4, 4), MNI mm to the T1's mm (similarity).
    to_bold : (4, 4), the T1's mm to the BOLD's mm (rigid); None without.
    native_mask : NIfTI image, the brain in the T1's own space.
    motion : table of `motion.Motion`; None without.
    quality : {figure: value}, of `quality.similarity_to_template` and
        `quality.tissue_contrast`.
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

    T1: similarity registration, brain mask, one resampling. BOLD: realignment
    to its first volume, fALFF in its own space, rigid registration of the mean
    to the T1; the two transforms are composed, so that the fALFF is resampled
    once.

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
    ValueError : as `inputs.check`, `inputs.read_t1` and `inputs.read_bold`;
        before any long work.
    """
    grid = template.grid(size)
    tr = read.check(t1, bold, tr, low, high)
    original = read.read_t1(t1)
    series = None if bold is None else read.read_bold(bold)
    anatomy = read.Image(*space.coarsen(*original, _FINEST))
    to_native = registration.to_template(*anatomy).matrix
    native = brain.brain_mask(*anatomy, to_native)
    shape = (size,) * 3
    mask = (
        space.resample(native, anatomy.affine, to_native, grid, shape)
        > _INSIDE
    )
    image = space.resample(*anatomy, to_native, grid, shape, mask=native)
    wrong = shifted(to_native, PLANTED_SHIFT)
    person = Person(
        volumes={"T1": np.where(mask, image, 0).astype(np.float32)},
        mask=mask,
        measured={"T1": mask},
        affine=grid,
        to_native=to_native,
        native_mask=_native_mask(native, anatomy.affine, original),
        quality=similarity_to_template(*anatomy, native, to_native),
        control=similarity_to_template(*anatomy, native, wrong),
        hashes={"t1": hash_file(t1)},
        parameters={"size": size},
    )
    if series is None:
        return person
    found = _functional(
        person, anatomy, native, series, tr, (low, high), progress
    )
    hashes = person.hashes | {"bold": hash_file(bold)}
    parameters = {"size": size, "tr": tr, "low": low, "high": high}
    return replace(
        person, **found, hashes=hashes, parameters=parameters, tr=tr
    )


def _functional(person, anatomy, native, series, tr, band, progress) -> dict:
    """The fields of `Person` that a BOLD series fills."""
    moved = realign(*series, progress=progress)
    mean = moved.bold.mean(axis=3)
    to_bold = registration.to_anatomy(
        mean, series.affine, *anatomy, native
    ).matrix
    shape, grid = mean.shape, person.affine
    # T1 mm to BOLD mm, so the BOLD grid reaches the T1 through the inverse.
    back = np.linalg.inv(to_bold)
    inside = (
        space.resample(native, anatomy.affine, back, series.affine, shape)
        > _INSIDE
    )
    inside &= mean > _SIGNAL * np.median(mean[inside])
    ratio = falff(moved.bold, tr, *band, mask=inside)
    inside &= ratio > 0  # voxels without any fluctuation were not measured
    to_series = to_bold @ person.to_native
    place = (series.affine, to_series, grid, person.mask.shape)
    seen = (space.resample(inside, *place) > _INSIDE) & person.mask
    volume = np.where(
        seen, space.resample(ratio, *place, mask=inside), 0
    ).astype(np.float32)
    model = template.template(len(volume))
    contrast = tissue_contrast(volume, seen, model.grey, model.white)
    contrast["falff_coverage"] = float(seen.sum() / person.mask.sum())
    displacement = moved.parameters["framewise_displacement"]
    contrast["mean_framewise_displacement_mm"] = float(
        displacement.iloc[1:].mean()
    )
    return {
        "volumes": person.volumes | {"fALFF": volume},
        "measured": person.measured | {"fALFF": seen},
        "to_bold": to_bold,
        "motion": moved.parameters,
        "quality": person.quality | contrast,
    }


def _native_mask(
    mask: np.ndarray, affine: np.ndarray, original: read.Image
) -> nib.Nifti1Image:
    import nibabel as nib

    values = mask
    if mask.shape != original.data.shape:
        shape = original.data.shape
        values = (
            space.resample(mask, affine, np.eye(4), original.affine, shape)
            > 0.5
        )
    return nib.Nifti1Image(values.astype(np.uint8), original.affine)
