"""Reading a person's raw images, and refusing what cannot be right before any
long work.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmssl.preprocessing.falff import frequencies_in_band

if TYPE_CHECKING:
    import nibabel as nib

_SAME_TR = 1e-3  # s; sidecars and headers are rounded differently
_UNITS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}


class Image(NamedTuple):
    """A volume (X, Y, Z) or series (X, Y, Z, T), float32, axes in the nearest
    RAS+ order, with the (4, 4) affine of its voxels to world mm.
    """

    data: np.ndarray
    affine: np.ndarray


def read_t1(path: str | Path) -> Image:
    """Read a T1-weighted volume.

    Raises
    ------
    ValueError : the file is missing, truncated or no NIfTI; it is not 3D (a
        last axis of length 1
        is dropped); it holds NaN or Inf, is constant or nowhere positive.
    """
    return _read(Path(path), 3)


def read_bold(path: str | Path) -> Image:
    """Read a BOLD series.

    Raises
    ------
    ValueError : as `read_t1`, for a series that is not 4D.
    """
    return _read(Path(path), 4)


def repetition_time(path: str | Path, tr: float | None = None) -> float:
    """Repetition time of a BOLD series, from all that states it.

    Parameters
    ----------
    path : NIfTI of the series; the sidecar has its name with ``.json``.
    tr : s, what the caller believes; None believes the sidecar, then the
        header.

    Returns
    -------
    float : s.

    Raises
    ------
    ValueError : nothing states it, a statement is not a positive number, or
        two disagree by more
        than 1 ms, naming each source and its value.
    """
    path = Path(path)
    stated: dict[str, float] = {}
    if tr is not None:
        stated["parameter tr"] = tr
    sidecar = path.with_name(re.sub(r"\.nii(\.gz)?$", "", path.name) + ".json")
    if sidecar.is_file():
        about = _json(sidecar)
        if "RepetitionTime" in about:
            stated[f"{sidecar}: RepetitionTime"] = about["RepetitionTime"]
    header = _open(path).header
    unit = _UNITS.get(header.get_xyzt_units()[1], 1.0)
    zoom = float(header["pixdim"][4]) * unit
    if zoom != 0 or not stated:
        stated[f"{path}: header pixdim[4]"] = zoom
    for source, value in stated.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(
                f"{source}: found {value!r}, expected a number of seconds"
            )
        if not (np.isfinite(value) and value > 0):
            raise ValueError(
                f"{source}: found {value:g}, expected a repetition time above 0 s"
                " (give it as tr, or in the sidecar)"
            )
    if max(stated.values()) - min(stated.values()) > _SAME_TR:
        found = ", ".join(
            f"{source} {value:g} s" for source, value in stated.items()
        )
        raise ValueError(f"repetition time: found {found}, expected one value")
    return float(next(iter(stated.values())))


def check(
    t1: str | Path,
    bold: str | Path | None = None,
    tr: float | None = None,
    low: float = 0.01,
    high: float = 0.1,
) -> float | None:
    """Refuse a pair of files from their names, headers and sidecars, without
    reading the images.

    Returns
    -------
    float or None : the repetition time in s; None without a BOLD series.

    Raises
    ------
    ValueError : a file that cannot be read, wrong dimensions, a T1 and a BOLD
        whose names carry
        different ``sub-`` labels, a repetition time as in `repetition_time`,
        too few volumes for the band low to high (Hz).
    """
    _shape(Path(t1), 3)
    if bold is None:
        if tr is not None:
            raise ValueError(
                f"tr: found {tr!r} without a BOLD series, expected None"
            )
        return None
    shape = _shape(Path(bold), 4)
    people = [_label(Path(t1)), _label(Path(bold))]
    if None not in people and people[0] != people[1]:
        raise ValueError(
            f"{t1} and {bold}: found sub-{people[0]} and sub-{people[1]}, expected"
            " images of one person"
        )
    seconds = repetition_time(bold, tr)
    try:
        frequencies_in_band(shape[3], seconds, low, high)
    except ValueError as error:
        raise ValueError(f"{bold}: {error}") from error
    return seconds


def _label(path: Path) -> str | None:
    """The BIDS label of the person: from the file's name, else from its
    folders.
    """
    for part in reversed(path.absolute().parts):
        if found := re.match(r"sub-([A-Za-z0-9]+)", part):
            return found[1]
    return None


def _json(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid JSON ({error})") from error


def _open(path: Path) -> nib.Nifti1Image:
    import nibabel as nib

    if not path.is_file():
        raise ValueError(
            f"{path}: not found, expected a NIfTI file (.nii or .nii.gz)"
        )
    try:
        image = nib.load(path)
    except (nib.filebasedimages.ImageFileError, EOFError, OSError) as error:
        raise ValueError(
            f"{path}: not a readable NIfTI file ({error})"
        ) from error
    if not isinstance(image, nib.Nifti1Image | nib.Nifti2Image):
        raise ValueError(
            f"{path}: found {type(image).__name__}, expected NIfTI"
        )
    return image


def _shape(path: Path, dims: int) -> tuple[int, ...]:
    shape = _open(path).shape
    if dims == 3 and len(shape) == 4 and shape[3] == 1:
        shape = shape[:3]
    if len(shape) != dims:
        what = (
            "a T1 volume (X, Y, Z)"
            if dims == 3
            else "a BOLD series (X, Y, Z, T)"
        )
        raise ValueError(f"{path}: dimensions found {shape}, expected {what}")
    if min(shape[:3]) < 8:
        raise ValueError(
            f"{path}: dimensions found {shape}, expected at least 8 voxels a side"
        )
    return shape


def _read(path: Path, dims: int) -> Image:
    import nibabel as nib

    shape = _shape(path, dims)
    image = nib.as_closest_canonical(_open(path))
    affine = np.asarray(image.affine, dtype=np.float64)
    if (
        not np.isfinite(affine).all()
        or abs(np.linalg.det(affine[:3, :3])) < 1e-6
    ):
        raise ValueError(
            f"{path}: affine found {affine.tolist()}, expected an invertible one"
        )
    try:
        data = image.get_fdata(dtype=np.float32, caching="unchanged")
    except (EOFError, OSError, ValueError) as error:
        raise ValueError(
            f"{path}: data cannot be read, the file is truncated or damaged: expected"
            f" {shape} values ({error})"
        ) from error
    data = data.reshape(shape) if dims == 3 and data.ndim == 4 else data
    if bad := int(data.size - np.isfinite(data).sum()):
        raise ValueError(
            f"{path}: found {bad} NaN or Inf values, expected finite ones"
        )
    low, high = float(data.min()), float(data.max())
    if low == high or high <= 0:
        raise ValueError(
            f"{path}: found values from {low:g} to {high:g}, expected some above 0"
        )
    return Image(data, affine)
