"""Arrays whose room on the disk is taken before anything is written to them.

A file that is mapped into memory is sparse: where the disk turns out to be
full, the process that writes to the map is killed by a signal (SIGBUS), and no
error says why.
"""

import errno
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mmssl.ledger.atomic import UNFINISHED

# Bytes written at once where a file system cannot allocate.
_BLOCK = 1 << 24
# What a system or a file system that cannot allocate answers.
_CANNOT = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ENODEV)


def new_array(
    path: str | Path,
    shape: Sequence[int],
    dtype: Any,
    fortran_order: bool = False,
) -> np.memmap:
    """Make a ``.npy`` file of zeros, mapped into memory to be filled.

    Parameters
    ----------
    path : path
        Of the file; an existing one is replaced.
    shape, dtype
        Of the array.
    fortran_order : bool
        Whether the first axis is the one that lies side by side.

    Returns
    -------
    memmap
        Of the shape; what is assigned to it is in the file.

    Raises
    ------
    OSError
        If there is no room for it, naming the folder, the bytes needed and
        the bytes free; no file is left.
    """
    path = Path(path)
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
        "fortran_order": fortran_order,
        "shape": tuple(int(side) for side in shape),
    }
    values = math.prod(header["shape"]) * np.dtype(dtype).itemsize
    free = shutil.disk_usage(path.parent).free
    try:
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.flush()
            _allocate(file, file.tell() + values)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OSError(
            error.errno,
            f"{_final_folder(path)}: no room for {path.name}: {values} bytes "
            f"needed, {free} bytes free ({error.strerror})",
        ) from error
    return np.lib.format.open_memmap(path, mode="r+")


def _allocate(file: BinaryIO, size: int) -> None:
    """Let a file have so many bytes, zeros from where it stands, none of them
    sparse.
    """
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
            return
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
    # what is written has its room
    missing = size - file.tell()
    while missing > 0:
        missing -= file.write(bytes(min(missing, _BLOCK)))
    file.flush()
    os.fsync(file.fileno())


def _final_folder(path: Path) -> Path:
    """The folder that somebody asked for, of a file that is still hidden."""
    for folder in path.parents:
        hidden = any(part.startswith(UNFINISHED) for part in folder.parts)
        if not hidden:
            return folder
    return path.parent
