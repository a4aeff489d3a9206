"""Files are not believed: what one says that it holds is checked, against the
file and against a limit, before there is memory for it.

A few bytes of a compressed file can stand for gigabytes of zeros, and a few
bytes of a header for any number of values.
"""

from __future__ import annotations

import gzip
import io
import math
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import nibabel as nib

LARGEST = 1 << 33
"""Bytes of the largest image, array or archive that is read: 8 GiB."""

LARGEST_TEXT = 1 << 30
"""Bytes of the largest text that is read: 1 GiB."""

# What a damaged, encrypted or unknown archive raises.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
)
# Bytes unpacked at once.
_BLOCK = 1 << 20


def check_declared(path: str | Path, declared: int, what: str) -> None:
    """Refuse what is too large to be read.

    Parameters
    ----------
    path : path
        Of the file, for the message.
    declared : int
        Bytes that it says it needs.
    what : str
        Which says so: "header", "width 1000000".

    Raises
    ------
    ValueError
        Above `LARGEST`, naming file, bytes and limit.
    """
    if declared > LARGEST:
        raise ValueError(
            f"{path}: {what}: {declared} bytes declared, expected at most "
            f"{LARGEST} (mmssl.ledger.limits.LARGEST)"
        )


def read_text(path: str | Path) -> str:
    """Read a file of UTF-8 text.

    Raises
    ------
    ValueError
        As `check_text`, or for other bytes than UTF-8.
    """
    check_text(path)
    return Path(path).read_text(encoding="utf-8")


def check_text(path: str | Path) -> None:
    """ValueError for a file of more than `LARGEST_TEXT` bytes."""
    size = Path(path).stat().st_size
    if size > LARGEST_TEXT:
        raise ValueError(
            f"{path}: {size} bytes found, expected at most {LARGEST_TEXT} of "
            "text (mmssl.ledger.limits.LARGEST_TEXT)"
        )


def read_at_most(
    path: str | Path, most: int, packed: bool = False
) -> io.BytesIO:
    """Read a file up to a number of bytes, which what is unpacked never
    exceeds.

    Parameters
    ----------
    path : path
    most : int
        Bytes; ask for one more than there may be, and count.
    packed : bool
        Whether the file is gzipped.

    Returns
    -------
    BytesIO
        At its beginning.
    """
    content = io.BytesIO()
    with (gzip.open if packed else open)(path, "rb") as stream:
        while content.tell() < most:
            block = stream.read(min(_BLOCK, most - content.tell()))
            if not block:
                break
            content.write(block)
    content.seek(0)
    return content


def check_archive(path: str | Path) -> None:
    """Refuse a zip archive whose members are too large, or hold another
    number of values than they say.

    Parameters
    ----------
    path : path
        Of an ``.npz`` file or a checkpoint.

    Raises
    ------
    ValueError
        Naming the file and the member; also where it is no zip archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            sizes = [member.file_size for member in members]
            check_declared(path, sum(sizes), f"{len(members)} members")
            for member in members:
                if member.filename.endswith(".npy"):
                    with archive.open(member) as stream:
                        _check_member(path, member, stream)
    except _DAMAGED as error:
        raise ValueError(f"{path}: no whole archive ({error})") from error


def read_npz(
    path: str | Path, names: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
    """Read arrays of an ``.npz`` file by name, all by default.

    Raises
    ------
    ValueError
        As `check_archive`, naming the file.
    """
    check_archive(path)
    with np.load(path) as archive:
        chosen = archive.files if names is None else names
        return {name: archive[name] for name in chosen}


def load_image(path: str | Path) -> nib.spatialimages.SpatialImage:
    """Open an image of nibabel's whose values fit into the limit.

    Raises
    ------
    ValueError
        As `check_declared`.
    """
    import nibabel as nib

    image = nib.load(path)
    values = math.prod(int(side) for side in image.shape)
    itemsize = max(4, image.get_data_dtype().itemsize)
    check_declared(path, values * itemsize, f"header, shape {image.shape}")
    return image


def _check_member(
    path: str | Path, member: zipfile.ZipInfo, stream: io.BufferedIOBase
) -> None:
    """ValueError for an array of more bytes than its member."""
    read_header = np.lib.format.read_array_header_2_0
    try:
        if np.lib.format.read_magic(stream) == (1, 0):
            read_header = np.lib.format.read_array_header_1_0
        shape, _, dtype = read_header(stream)
    except ValueError as error:
        raise ValueError(
            f"{path}: {member.filename}: not a readable array ({error})"
        ) from error
    declared = math.prod(shape) * dtype.itemsize
    if declared > member.file_size:
        raise ValueError(
            f"{path}: {member.filename}: shape {shape} of {dtype} declared, "
            f"{declared} bytes, but it holds {member.file_size}"
        )
