"""Reads a person's raw images and refuses, before any long work, what cannot
be right.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from mmssl.ledger import limits
from mmssl.preprocessing import space
from mmssl.preprocessing.falff import frequencies_in_band

if TYPE_CHECKING:
    import nibabel as nib

# Repetition times this close are one (s): sidecars and headers are rounded
# differently.
_SAME_TR = 1e-3
# The header's codes of units, in s and in mm; 0 states none.
_SECONDS = {0: 1.0, 8: 1.0, 16: 1e-3, 24: 1e-6}
_MILLIMETRES = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}
# The last of the codes that say what space an affine leads to.
_LAST_CODE = 5
# Sides of a voxel of a head, mm.
_SIDES = (0.05, 20.0)
# Rotations of sform and qform that are this far apart contradict (degrees);
# closer ones are another rounding (degrees, mm at the corners).
_CONTRADICTION = 5.0
_ROUNDING = (0.1, 1.0)
# Bytes of the longest header, and bytes after the data that are padding.
_HEADER_BYTES = 540
_PADDING = 512
# Share of the voxels of a head that are above 0.
_FILLED = 0.01


class Image(NamedTuple):
    """An image, its axes in the nearest RAS+ order.

    Attributes
    ----------
    data : (X, Y, Z) volume or (X, Y, Z, T) series, float32.
    affine : (4, 4), voxels to world mm.
    """

    data: np.ndarray
    affine: np.ndarray


def read_t1(path: str | Path, orientation: str | None = None) -> Image:
    """Read a T1-weighted volume.

    Parameters
    ----------
    path : NIfTI file, ``.nii`` or ``.nii.gz``.
    orientation : where the three voxel axes of a file that does not say so
        point to, as "LAS"; the middle of its grid becomes the origin.

    Raises
    ------
    ValueError
        If the file is missing, truncated, damaged or no NIfTI, or says that
        it holds more than `mmssl.ledger.limits.LARGEST`; it is not 3D (a last
        axis of length 1 is dropped); its values are no real numbers; its
        orientation is unknown, contradictory or not at right angles; its
        voxels are no head's; it holds NaN or Inf, is constant or almost
        nowhere positive.

    Warns
    -----
    UserWarning
        If sform and qform differ by less than 5 degrees; the sform is used.
    """
    return _read(Path(path), 3, orientation)


def read_bold(path: str | Path, orientation: str | None = None) -> Image:
    """Read a BOLD series.

    Parameters
    ----------
    path, orientation : as in `read_t1`.

    Raises
    ------
    ValueError
        As `read_t1`, for a series that is not 4D.
    """
    return _read(Path(path), 4, orientation)


def repetition_time(path: str | Path, tr: float | None = None) -> float:
    """Repetition time of a BOLD series, from all that states it.

    Parameters
    ----------
    path : NIfTI of the series; its sidecars are those of BIDS, from its folder
        up to that of ``dataset_description.json``.
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
    for sidecar in _sidecars(path):
        fields = _json(sidecar)
        if "RepetitionTime" in fields:
            stated[f"{sidecar}: RepetitionTime"] = fields["RepetitionTime"]
            break
    header = _header(path)
    zoom = float(header["pixdim"][4])
    if zoom != 0 or not stated:
        unit = int(header["xyzt_units"]) & 0b111000
        if unit not in _SECONDS:
            raise ValueError(
                f"{path}: xyzt_units found {unit} for time, expected a unit "
                f"of time (one of {list(_SECONDS)})"
            )
        stated[f"{path}: header pixdim[4]"] = zoom * _SECONDS[unit]
    return stated


def _sidecars(path: Path) -> list[Path]:
    """The JSON files whose fields hold for an image, the nearest first.

    As BIDS has it (the inheritance principle): files with the image's suffix
    and no entity that the image lacks, in its folder and in those above it up
    to that of ``dataset_description.json``. A field of a nearer file, or of
    one with more entities, takes the place of the others'. Outside of a data
    set only the file with the image's own name counts.
    """
    path = path.absolute()
    stem = re.sub(r"\.nii(\.gz)?$", "", path.name)
    folders = []
    for folder in path.parents:
        folders.append(folder)
        if (folder / "dataset_description.json").is_file():
            break
    else:
        own = path.with_name(f"{stem}.json")
        return [own] if own.is_file() else []
    *entities, suffix = stem.split("_")
    sidecars = []
    for folder in folders:
        fitting = []
        for file in folder.glob(f"*{suffix}.json"):
            *others, kind = file.stem.split("_")
            if kind == suffix and set(others) <= set(entities):
                fitting.append((-len(others), file))
        sidecars += [file for _, file in sorted(fitting)]
    return sidecars


def check(
    t1: str | Path,
    bold: str | Path | None = None,
    tr: float | None = None,
    low: float = 0.01,
    high: float = 0.1,
    orientation: str | None = None,
    dummy_scans: int = 0,
) -> float | None:
    """Check a pair of files by names, headers and sidecars, without reading
    the images.

    Parameters
    ----------
    t1, bold : NIfTI files; ``bold`` may be None.
    tr : repetition time, s; None reads the sidecar, then the header.
    low, high : band of the fALFF, Hz.
    orientation : of files that state none, see `read_t1`.
    dummy_scans : first volumes of the series that will be left out.

    Returns
    -------
    float or None
        The repetition time in s; None without a BOLD series.

    Raises
    ------
    ValueError
        For a file that cannot be read, or with a header as `read_t1` refuses
        it; a T1 and a BOLD whose names carry different ``sub-`` labels, a
        repetition time as in `repetition_time`, too few volumes for the band.
    """
    _check_header(Path(t1), _header(Path(t1)), 3, orientation)
    if bold is None:
        if tr is not None:
            raise ValueError(
                f"tr: found {tr!r} without a BOLD series, expected None"
            )
        return None
    header = _header(Path(bold))
    shape = _check_header(Path(bold), header, 4, orientation)[0]
    volumes = _volumes_left(Path(bold), shape[3], dummy_scans)
    labels = [_label(Path(t1)), _label(Path(bold))]
    if None not in labels and labels[0] != labels[1]:
        raise ValueError(
            f"{t1} and {bold}: found sub-{labels[0]} and sub-{labels[1]}, "
            "expected images of one person"
        )
    seconds = repetition_time(bold, tr)
    try:
        frequencies_in_band(volumes, seconds, low, high)
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


def _volumes_left(path: Path, volumes: int, dummy_scans: int) -> int:
    """Volumes of a series without its dummy scans."""
    whole = isinstance(dummy_scans, int) and not isinstance(dummy_scans, bool)
    if not whole or not 0 <= dummy_scans <= volumes - 2:
        raise ValueError(
            f"{path}: dummy_scans found {dummy_scans!r} of {volumes} volumes, "
            "expected a whole number that leaves at least 2"
        )
    return volumes - dummy_scans


def _json(path: Path) -> dict:
    """The fields of a sidecar."""
    try:
        fields = json.loads(limits.read_text(path))
    except (ValueError, RecursionError, OSError) as error:
        raise ValueError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(fields, dict):
        raise ValueError(
            f"{path}: found {type(fields).__name__}, expected an object of "
            "fields and values"
        )
    return fields


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever a reader raises becomes a ValueError that names the file."""
    if not path.is_file():
        raise ValueError(
            f"{path}: not found, expected a NIfTI file (.nii or .nii.gz)"
        )
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"{path}: not a readable NIfTI file, it is truncated, damaged or "
            f"of another kind ({type(error).__name__}: {error}); expected a "
            "whole .nii or .nii.gz"
        ) from error


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _header(path: Path) -> nib.Nifti1Header:
    """The header of a file, as it stands there."""
    with _reading(path):
        opener = gzip.open if _is_gzip(path) else open
        with opener(path, "rb") as file:
            return _parsed(file.read(_HEADER_BYTES))


def _parsed(start: bytes) -> nib.Nifti1Header:
    """The header in the first bytes of a file, nothing mended."""
    import nibabel as nib

    for kind in (nib.Nifti1Header, nib.Nifti2Header):
        size = kind.template_dtype.itemsize
        for order, endianness in (("little", "<"), ("big", ">")):
            if int.from_bytes(start[:4], order) == size:
                header = kind(start[:size], endianness, check=False)
                if header["magic"].item() == kind.single_magic:
                    return header
    raise ValueError(f"{len(start)} bytes without the header of a NIfTI")


def _check_header(
    path: Path,
    header: nib.Nifti1Header,
    dims: int,
    orientation: str | None,
) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape of an image of 3 or 4 dimensions and its (4, 4) affine, voxels to
    mm, if all that the header says can be right.
    """
    shape = _shape(path, header, dims)
    _check_values(path, header)
    affine = _stated_affine(path, header, orientation)
    sides = space.spacing(affine)
    if sides.min() < _SIDES[0] or sides.max() > _SIDES[1]:
        raise ValueError(
            f"{path}: voxel sides found {np.round(sides, 6).tolist()} mm "
            f"by pixdim, affine and xyzt_units {int(header['xyzt_units'])}, "
            f"expected {_SIDES[0]} to {_SIDES[1]} mm"
        )
    try:
        space.direction(affine)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return shape, affine


def _shape(path: Path, header: nib.Nifti1Header, dims: int) -> tuple[int, ...]:
    """Shape of an image of 3 or 4 dimensions, from its header."""
    with _reading(path):
        shape = tuple(int(side) for side in header.get_data_shape())
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
    if min(shape[:3]) < 8 or min(shape) < 1:
        raise ValueError(
            f"{path}: dimensions found {shape}, "
            "expected at least 8 voxels a side"
        )
    return shape


def _check_values(path: Path, header: nib.Nifti1Header) -> None:
    """ValueError for values that are no real numbers."""
    from nibabel.nifti1 import data_type_codes

    code = int(header["datatype"])
    name = "nothing known"
    if code in data_type_codes.dtype:
        name = data_type_codes.label[code]
        if data_type_codes.dtype[code].kind in "iuf":
            name = None
    if name is not None:
        raise ValueError(
            f"{path}: datatype found {code} ({name}), expected real numbers "
            "(of a complex image its magnitude)"
        )
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    scaled = not np.isnan(slope) and slope != 0
    if scaled and not np.isfinite([slope, intercept]).all():
        raise ValueError(
            f"{path}: scl_slope and scl_inter found {slope:g} and "
            f"{intercept:g}, expected finite numbers"
        )


def _stated_affine(
    path: Path, header: nib.Nifti1Header, orientation: str | None
) -> np.ndarray:
    """(4, 4) affine that the header states, voxels to mm."""
    code = int(header["xyzt_units"]) & 0b111
    if code not in _MILLIMETRES:
        raise ValueError(
            f"{path}: xyzt_units found {code} for space, expected a unit of "
            f"length (one of {list(_MILLIMETRES)})"
        )
    unit = _MILLIMETRES[code]
    codes = int(header["sform_code"]), int(header["qform_code"])
    if not 0 <= min(codes) <= max(codes) <= _LAST_CODE:
        raise ValueError(
            f"{path}: sform_code and qform_code found {codes[0]} and "
            f"{codes[1]}, expected 0 to {_LAST_CODE}"
        )
    if header["pixdim"][0] == 0:
        header["pixdim"][0] = 1  # as the standard has it
    scale = np.diag([unit, unit, unit, 1.0])
    with _reading(path):
        sform = scale @ header.get_sform() if codes[0] > 0 else None
        qform = scale @ header.get_qform() if codes[1] > 0 else None
    for name, form in (("sform", sform), ("qform", qform)):
        if form is None:
            continue
        sides = space.spacing(form)
        volume = abs(np.linalg.det(form[:3, :3]))
        # NaN fails every comparison
        if not (volume > 1e-6 * sides.prod() and np.isfinite(form).all()):
            raise ValueError(
                f"{path}: {name} found {form[:3].tolist()}, expected an "
                "invertible one"
            )
    if sform is not None and qform is not None:
        _check_agreement(path, header, sform, qform)
    if sform is not None or qform is not None:
        return qform if sform is None else sform
    if orientation is None:
        raise ValueError(
            f"{path}: sform_code and qform_code found {codes[0]} and "
            f"{codes[1]}: left and right are unknown; expected one above 0, "
            'or the parameter orientation (where the axes point to, as "LAS")'
        )
    return _centred(path, header, orientation, unit)


def _centred(
    path: Path, header: nib.Nifti1Header, orientation: str, unit: float
) -> np.ndarray:
    """(4, 4) affine of a grid around the origin whose voxel axes point to the
    three letters.
    """
    sides = unit * np.array(header["pixdim"][1:4], dtype=np.float64)
    if not (np.isfinite(sides) & (sides > 0)).all():
        raise ValueError(
            f"{path}: pixdim found {sides.tolist()}, expected sides above 0"
        )
    letters = ["RLAPSI".find(letter) for letter in orientation.upper()]
    if sorted(letter // 2 for letter in letters) != [0, 1, 2]:
        raise ValueError(
            f"orientation: found {orientation!r}, expected three letters "
            'for where the voxel axes point to, as "RAS" or "LPI"'
        )
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, letter in enumerate(letters):
        affine[letter // 2, axis] = (-1) ** letter * sides[axis]
    middle = (np.array(header.get_data_shape()[:3]) - 1) / 2
    affine[:3, 3] = -affine[:3, :3] @ middle
    return affine


def _check_agreement(
    path: Path,
    header: nib.Nifti1Header,
    sform: np.ndarray,
    qform: np.ndarray,
) -> None:
    """ValueError if sform and qform contradict, a warning if they differ."""
    import nibabel as nib

    names = ["".join(nib.aff2axcodes(form)) for form in (sform, qform)]
    turns = [form[:3, :3] / space.spacing(form) for form in (sform, qform)]
    between = turns[0] @ turns[1].T
    if np.linalg.det(between) > 0:
        angle = np.rad2deg(Rotation.from_matrix(between).magnitude())
    else:
        angle = 180.0
    if names[0] != names[1] or angle > _CONTRADICTION:
        raise ValueError(
            f"{path}: sform found {names[0]} {sform[:3].tolist()} and qform "
            f"{names[1]} {qform[:3].tolist()}, {angle:.1f} degrees apart, "
            "expected one orientation"
        )
    last = np.array(header.get_data_shape()[:3]) - 1
    corners = np.argwhere(np.ones((2, 2, 2))) * last
    apart = space.apply(sform, corners) - space.apply(qform, corners)
    distance = np.linalg.norm(apart, axis=1).max()
    if angle > _ROUNDING[0] or distance > _ROUNDING[1]:
        warnings.warn(
            f"{path}: sform and qform lie {angle:.2f} degrees and up to "
            f"{distance:.2f} mm apart; the sform is used",
            stacklevel=5,
        )


def _read(path: Path, dims: int, orientation: str | None) -> Image:
    """The file, whole and once, so that damage anywhere in it is found."""
    import nibabel as nib

    header = _header(path)
    shape, affine = _check_header(path, header, dims, orientation)
    with _reading(path):
        offset = int(header["vox_offset"])
        dtype = header.get_data_dtype()
    values = math.prod(shape)
    expected = values * dtype.itemsize
    in_memory = max(offset + expected, values * np.float32().itemsize)
    limits.check_declared(path, in_memory, f"header, shape {shape}")
    with _reading(path):
        most = max(0, offset + expected + _PADDING)
        content = limits.read_at_most(path, most, _is_gzip(path))
    found = len(content.getbuffer()) - offset
    if offset < header.single_vox_offset:
        raise ValueError(
            f"{path}: vox_offset found {offset}, expected at least "
            f"{header.single_vox_offset}"
        )
    if not expected <= found < expected + _PADDING:
        or_more = " or more" if found > expected else ""
        raise ValueError(
            f"{path}: found {found} bytes of values{or_more}, expected "
            f"{expected} for {shape} of {dtype.name}: truncated or damaged"
        )
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if np.isnan(slope) or slope == 0:
        slope, intercept = 1.0, 0.0
    with _reading(path), np.errstate(all="ignore"):
        place = (shape, dtype, offset, slope, intercept)
        stored = nib.arrayproxy.ArrayProxy(content, place)
        data = np.asarray(stored, dtype=np.float32)
        axes = nib.io_orientation(affine)
        data = nib.apply_orientation(data, axes)
        affine = affine @ nib.orientations.inv_ornt_aff(axes, shape)
    _check_data(path, data)
    return Image(data, affine)


def _check_data(path: Path, data: np.ndarray) -> None:
    """ValueError for values that no image of a head has."""
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
    filled = float(np.count_nonzero(data > 0) / data.size)
    if filled < _FILLED:
        raise ValueError(
            f"{path}: found {filled:.2%} of the voxels above 0, expected a "
            f"head: at least {_FILLED:.0%}"
        )
