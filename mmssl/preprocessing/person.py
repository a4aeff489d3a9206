"""The whole chain for one person, from raw files to volumes on the cohort's
grid.

`prepare` returns the volumes; `mmssl.cohorts.preprocessed.write_person` writes
them as a cohort.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmssl.ledger.hashes import hash_file
from mmssl.preprocessing import (
    brain,
    fsl,
    read,
    registration,
    space,
    template,
)
from mmssl.preprocessing.falff import falff
from mmssl.preprocessing.motion import realign
from mmssl.preprocessing.quality import (
    shifted,
    similarity_to_template,
    temporal_snr,
    tissue_contrast,
)
from mmssl.preprocessing.registration_status import registration_status

if TYPE_CHECKING:
    import nibabel as nib
    import pandas as pd

SIMPLEITK, FSL = BACKENDS = ("simpleitk", "fsl")
"""What aligns, registers and finds the brain."""

# Error that the quality figures must notice, mm. It is sideways, where brains
# are symmetric: a shift forward or up can by accident suit a person's own
# proportions.
PLANTED_SHIFT = (5.0, 0.0, 0.0)
# T1s with smaller voxels than this (mm) are averaged to 1 mm.
_FINEST = 0.8
# A voxel is inside a resampled mask from this fraction on.
_INSIDE = 0.5
# Darker than this share of the brain's median BOLD is dropout or outside the
# field of view.
_SIGNAL = 0.25


@dataclass(frozen=True, eq=False)
class Person:
    """A preprocessed person, as `prepare` returns it.

    Attributes
    ----------
    volumes : {"T1": (X, Y, Z)} and, with a BOLD series, "fALFF": float32,
        brain only, zero outside.
    mask : (X, Y, Z) bool, the person's brain on the grid.
    measured : {modality: (X, Y, Z) bool}, where there are values: a BOLD
        series rarely covers the whole brain.
    affine : (4, 4), grid voxels to MNI mm.
    to_native : (4, 4), MNI mm to the T1's mm (similarity).
    to_bold : (4, 4), the T1's mm to the BOLD's mm (rigid); None without.
    native_mask : NIfTI image, the brain in the T1's own space.
    motion : table of `motion.Motion`; None without.
    quality : {figure: value}, of `quality.similarity_to_template` and, with a
        BOLD series, `quality.tissue_contrast`, `quality.temporal_snr`, the
        share of the brain it covers and the mean framewise displacement (mm).
    control : {figure: value}, the same with the registration made 5 mm wrong.
    tr : s; None without.
    hashes : {"t1": sha256, "bold": sha256}, of the files read.
    parameters : size, orientation and backend, and with a BOLD series tr,
        low, high and dummy_scans.
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

    @property
    def registration(self) -> str:
        """Status of the T1's registration, one of
        `registration_status.STATUSES`."""
        return registration_status(self.quality)


def prepare(
    t1: str | Path,
    bold: str | Path | None = None,
    tr: float | None = None,
    size: int = 64,
    low: float = 0.01,
    high: float = 0.1,
    progress: bool = True,
    orientation: str | None = None,
    dummy_scans: int = 0,
    backend: str = SIMPLEITK,
) -> Person:
    """Register a person's raw images to MNI152 and compute the fALFF.

    T1: similarity registration, brain mask, one resampling. BOLD: realignment
    to its first volume, fALFF in its own space, rigid registration of its mean
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
    orientation : where the voxel axes of a file that does not say so point
        to, as "LAS".
    dummy_scans : first volumes of the series to leave out.
    backend : one of `BACKENDS`; "fsl" runs the papers' commands
        (`mmssl.preprocessing.fsl`).

    Returns
    -------
    Person

    Raises
    ------
    ValueError
        As `read.check`, `read.read_t1` and `read.read_bold`, before any long
        work; if the T1 or the BOLD meets nothing in any pose.
    RuntimeError
        If FSL is asked for and not installed.
    """
    check_backend(backend)
    tr = read.check(t1, bold, tr, low, high, orientation, dummy_scans)
    series = None
    if bold is not None:
        series = read_series(bold, orientation, dummy_scans)
    anatomy = prepare_anatomy(t1, size, orientation, backend)
    if series is None:
        return anatomy.person
    return add_series(
        anatomy, bold, series, tr, low, high, dummy_scans, progress
    )


class Anatomy(NamedTuple):
    """A person's registered T1, and what a BOLD series needs of it.

    Attributes
    ----------
    person : the T1 alone.
    image : the T1 as it was registered, in its own space.
    mask : (X, Y, Z) bool, its brain.
    """

    person: Person
    image: read.Image
    mask: np.ndarray


def check_backend(backend: str) -> None:
    """ValueError for an unknown backend, RuntimeError for FSL that is not
    installed.
    """
    if backend not in BACKENDS:
        raise ValueError(
            f"backend is {backend!r}, expected one of {', '.join(BACKENDS)}"
        )
    if backend == FSL:
        fsl.check_installed()


def prepare_anatomy(
    t1: str | Path,
    size: int = 64,
    orientation: str | None = None,
    backend: str = SIMPLEITK,
) -> Anatomy:
    """Register a T1 to MNI152, find the brain and resample it.

    Parameters
    ----------
    t1, size, orientation, backend : as `prepare` takes them.

    Raises
    ------
    ValueError
        As `read.read_t1`; if the T1 meets nothing in any pose.
    """
    grid = template.grid(size)
    shape = (size,) * 3
    original = read.read_t1(t1, orientation)
    image = read.Image(*space.coarsen(*original, _FINEST))
    with _named(t1):
        if backend == FSL:
            native_mask, to_native = fsl.register_anatomy(*image)
        else:
            to_native = registration.to_template(*image).matrix
            native_mask = brain.brain_mask(*image, to_native)
    coverage = space.resample(
        native_mask, image.affine, to_native, grid, shape
    )
    mask = coverage > _INSIDE
    volume = space.resample(*image, to_native, grid, shape, mask=native_mask)
    wrong = shifted(to_native, PLANTED_SHIFT)
    person = Person(
        volumes={"T1": np.where(mask, volume, 0).astype(np.float32)},
        mask=mask,
        measured={"T1": mask},
        affine=grid,
        to_native=to_native,
        native_mask=_mask_image(native_mask, image.affine, original),
        quality=similarity_to_template(*image, native_mask, to_native),
        control=similarity_to_template(*image, native_mask, wrong),
        hashes={"t1": hash_file(t1)},
        parameters={
            "size": size,
            "orientation": orientation,
            "backend": backend,
        },
    )
    return Anatomy(person, image, native_mask)


def read_series(
    bold: str | Path, orientation: str | None = None, dummy_scans: int = 0
) -> read.Image:
    """A BOLD series without its first volumes; as `read.read_bold`."""
    series = read.read_bold(bold, orientation)
    return series._replace(data=series.data[..., dummy_scans:])


def add_series(
    anatomy: Anatomy,
    bold: str | Path,
    series: read.Image,
    tr: float,
    low: float = 0.01,
    high: float = 0.1,
    dummy_scans: int = 0,
    progress: bool = True,
) -> Person:
    """The person with the fALFF of a BOLD series, on the grid of the T1.

    Parameters
    ----------
    anatomy : from `prepare_anatomy`.
    bold : file of the series, for its hash and for messages.
    series : from `read_series`, without the ``dummy_scans`` first volumes.
    tr : repetition time, s.
    low, high, progress : as `prepare` takes them.

    Raises
    ------
    ValueError
        If the series meets the T1 in no pose.
    """
    with _named(bold):
        person = _add_falff(anatomy, series, tr, (low, high), progress)
    # Numbered as in the file.
    motion = person.motion.assign(volume=person.motion["volume"] + dummy_scans)
    return replace(
        person,
        motion=motion,
        hashes={**person.hashes, "bold": hash_file(bold)},
        parameters={
            **person.parameters,
            "tr": tr,
            "low": low,
            "high": high,
            "dummy_scans": dummy_scans,
        },
        tr=tr,
    )


@contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """A ValueError in what is made of a file names the file."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _add_falff(
    anatomy: Anatomy,
    series: read.Image,
    tr: float,
    band: tuple[float, float],
    progress: bool,
) -> Person:
    """The person with the fALFF of a BOLD series on the grid of the T1, in a
    ``band`` in Hz.
    """
    person = anatomy.person
    if person.parameters["backend"] == FSL:
        realigned = fsl.realign(*series)
        mean = realigned.bold.mean(axis=3)
        place = (mean, series.affine, *anatomy.image, anatomy.mask)
        to_bold = fsl.register_series(*place)
    else:
        realigned = realign(*series, progress=progress)
        mean = realigned.bold.mean(axis=3)
        place = (mean, series.affine, *anatomy.image, anatomy.mask)
        to_bold = registration.to_anatomy(*place).matrix
    inside = _brain_in_bold(anatomy, mean, series.affine, to_bold)
    ratio = falff(realigned.bold, tr, *band, mask=inside)
    inside &= ratio > 0  # voxels without any fluctuation were not measured
    to_series = to_bold @ person.to_native
    place = (series.affine, to_series, person.affine, person.mask.shape)
    measured = (space.resample(inside, *place) > _INSIDE) & person.mask
    volume = space.resample(ratio, *place, mask=inside)
    volume = np.where(measured, volume, 0).astype(np.float32)
    mni = template.template(len(volume))
    quality = dict(person.quality)
    quality.update(tissue_contrast(volume, measured, mni.grey, mni.white))
    _check_contrast(quality)
    quality["falff_coverage"] = float(measured.sum() / person.mask.sum())
    quality["temporal_snr"] = temporal_snr(realigned.bold, inside)
    displacement = realigned.parameters["framewise_displacement"].iloc[1:]
    quality["mean_framewise_displacement_mm"] = float(displacement.mean())
    return replace(
        person,
        volumes={**person.volumes, "fALFF": volume},
        measured={**person.measured, "fALFF": measured},
        to_bold=to_bold,
        motion=realigned.parameters,
        quality=quality,
    )


def _check_contrast(quality: dict[str, float]) -> None:
    """Warn of a fALFF that is not higher in grey than in white matter."""
    grey, white = quality["falff_grey"], quality["falff_white"]
    if grey <= white:
        warnings.warn(
            f"fALFF: found a mean of {grey:.3f} in grey and {white:.3f} in "
            "white matter, expected more in grey: a short series, a head "
            "that moved, or images that are not aligned",
            stacklevel=4,
        )


def _brain_in_bold(
    anatomy: Anatomy,
    mean: np.ndarray,
    bold_affine: np.ndarray,
    to_bold: np.ndarray,
) -> np.ndarray:
    """(X, Y, Z) bool: the brain's voxels in the BOLD that have signal.

    ``mean`` is the mean BOLD volume; ``to_bold`` maps T1 mm to BOLD mm, so the
    BOLD's grid reaches the T1 through its inverse.
    """
    to_t1 = np.linalg.inv(to_bold)
    coverage = space.resample(
        anatomy.mask, anatomy.image.affine, to_t1, bold_affine, mean.shape
    )
    inside = coverage > _INSIDE
    return inside & (mean > _SIGNAL * np.median(mean[inside]))


def _mask_image(
    mask: np.ndarray, affine: np.ndarray, original: read.Image
) -> nib.Nifti1Image:
    """A native mask as an image on the grid of the original T1."""
    import nibabel as nib

    shape = original.data.shape
    if mask.shape != shape:
        coverage = space.resample(
            mask, affine, np.eye(4), original.affine, shape
        )
        mask = coverage > _INSIDE
    return nib.Nifti1Image(mask.astype(np.uint8), original.affine)
