"""Reads a person's raw images and refuses, before any long work, what cannot
be right.
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

# Repetition times this close are one (s): sidecars and headers are rounded
# differently.
_SAME_TR = 1e-3
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}


class Image(NamedTuple):
    """An image, its axes in the nearest RAS+ order.

    Attributes
    ----------
    data : (X, Y, Z) volume or (X, Y, Z, T) series, float32.
    affine : (4, 4), voxels to world mm.
    """

    data: np.ndarray
    affine: np.ndarray


def read_t1(path: str | Path) -> Image:
    """Read a T1-weighted volume.

    Raises
    ------
    ValueError
        If the file is missing, truncated or no NIfTI; it is not 3D (a last
        axis of length 1 is dropped); it holds NaN or Inf, is constant or
        nowhere positive.
    """
    return _read(Path(path), 3)


def read_bold(path: str | Path) -> Image:
    """Read a BOLD series.

    Raises
    ------
    ValueError
        As `read_t1`, for a series that is not 4D.
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
    float
        s.

    Raises
    ------
    ValueError
        If nothing states it, a statement is not a positive number, or two
        disagree by more than 1 ms, naming each source and its value.
    """
    stated = _stated_times(Path(path), tr)
    for source, value in stated.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(
                f"{source}: found {value!r}, expected a number of seconds"
            )
        if not (np.isfinite(value) and value > 0):
            raise ValueError(
                f"{source}: found {value:g}, expected a repetition time "
                "above 0 s (give it as tr, or in the sidecar)"
            )
    if max(stated.values()) - min(stated.values()) > _SAME_TR:
        values = ", ".join(
            f"{name} {value:g} s" for name, value in stated.items()
        )
        raise ValueError(
            f"repetition time: found {values}, expected one value"
        )
    return float(next(iter(stated.values())))


def _stated_times(path: Path, tr: float | None) -> dict[str, float]:
    """{source: repetition time} of everything that states one, the most
    trusted first.
    """
    stated: dict[str, float] = {}
    if tr is not None:
        stated["parameter tr"] = tr
    sidecar = path.with_name(re.sub(r"\.nii(\.gz)?$", "", path.name) + ".json")
    if sidecar.is_file():
        fields = _json(sidecar)
        if "RepetitionTime" in fields:
            stated[f"{sidecar}: RepetitionTime"] = fields["RepetitionTime"]
    header = _open(path).header
    unit = _SECONDS.get(header.get_xyzt_units()[1], 1.0)
    zoom = float(header["pixdim"][4]) * unit
    if zoom != 0 or not stated:
        stated[f"{path}: header pixdim[4]"] = zoom
    return stated


def check(
    t1: str | Path,
    bold: str | Path | None = None,
    tr: float | None = None,
    low: float = 0.01,
    high: float = 0.1,
) -> float | None:
    """Check a pair of files by names, headers and sidecars, without reading
    the images.

    Parameters
    ----------
    t1, bold : NIfTI files; ``bold`` may be None.
    tr : repetition time, s; None reads the sidecar, then the header.
    low, high : band of the fALFF, Hz.

    Returns
    -------
    float or None
        The repetition time in s; None without a BOLD series.

    Raises
    ------
    ValueError
        For a file that cannot be read, wrong dimensions, a T1 and a BOLD whose
        names carry different ``sub-`` labels, a repetition time as in
        `repetition_time`, too few volumes for the band.
    """
    _shape(Path(t1), 3)
    if bold is None:
        if tr is not None:
            raise ValueError(
                f"tr: found {tr!r} without a BOLD series, expected None"
            )
        return None
    shape = _shape(Path(bold), 4)
    labels = [_label(Path(t1)), _label(Path(bold))]
    if None not in labels and labels[0] != labels[1]:
        raise ValueError(
            f"{t1} and {bold}: found sub-{labels[0]} and sub-{labels[1]}, "
            "expected images of one person"
        )
    seconds = repetition_time(bold, tr)
    try:
        frequencies_in_band(shape[3], seconds, low, high)
    except ValueError as error:
        raise ValueError(f"{bold}: {error}") from error
    return seconds


def _label(path: Path) -> str | None:
    """The person's BIDS label, from the file's name or else its folders."""
    for part in reversed(path.absolute().parts):
        label = re.match(r"sub-([A-Za-z0-9]+)", part)
        if label:
            return label[1]
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
    """Shape of an image of 3 or 4 dimensions, from its header."""
    shape = _open(path).shape
    if dims == 3 and len(shape) == 4 and shape[3] == 1:
        shape = shape[:3]
    if len(shape) != dims:
        expected = {
            3: "a T1 volume (X, Y, Z)",
            4: "a BOLD series (X, Y, Z, T)",
        }
        raise ValueError(
            f"{path}: dimensions found {shape}, expected {expected[dims]}"
        )
    if min(shape[:3]) < 8:
        raise ValueError(
            f"{path}: dimensions found {shape}, "
            "expected at least 8 voxels a side"
        )
    return shape


def _read(path: Path, dims: int) -> Image:
    import nibabel as nib

    shape = _shape(path, dims)
    image = nib.as_closest_canonical(_open(path))
    affine = np.asarray(image.affine, dtype=np.float64)
    finite = np.isfinite(affine).all()
    if not finite or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise ValueError(
            f"{path}: affine found {affine.tolist()}, "
            "expected an invertible one"
        )
    try:
        data = image.get_fdata(dtype=np.float32, caching="unchanged")
    except (EOFError, OSError, ValueError) as error:
        raise ValueError(
            f"{path}: data cannot be read, the file is truncated or damaged: "
            f"expected {shape} values ({error})"
        ) from error
    if data.ndim > dims:  # a last axis of length 1
        data = data[..., 0]
    bad = int(data.size - np.isfinite(data).sum())
    if bad:
        raise ValueError(
            f"{path}: found {bad} NaN or Inf values, expected finite ones"
        )
    low, high = float(data.min()), float(data.max())
    if low == high or high <= 0:
        raise ValueError(
            f"{path}: found values from {low:g} to {high:g}, "
            "expected some above 0"
        )
    return Image(data, affine)
