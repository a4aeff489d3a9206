"""Hashes of content, whatever its name or date: SHA-256 of files, arrays,
notebooks and folders.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmssl.ledger.atomic import UNFINISHED

HASH_LENGTH = 64
# of each state of a file, see `hash_once`
_HASHES: dict[tuple[int, ...], str] = {}


def is_hash(value: Any) -> bool:
    """Whether a value is a SHA-256 as these functions give it."""
    return (
        isinstance(value, str)
        and len(value) == HASH_LENGTH
        and set(value) <= set("0123456789abcdef")
    )


def hash_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_once(path: str | Path) -> str:
    """Return `hash_file`, computed once a process for each state of a file.

    A state is the file's place on disk, its size and its times, of which that
    of the last change is nobody's to set.
    """
    known = os.stat(path)
    state = (
        known.st_dev,
        known.st_ino,
        known.st_size,
        known.st_mtime_ns,
        known.st_ctime_ns,
    )
    if state not in _HASHES:
        _HASHES[state] = hash_file(path)
    return _HASHES[state]


def hash_array(array: Any) -> str:
    """Return the SHA-256 of an array: its type, shape and values, whatever its
    memory order.

    Parameters
    ----------
    array : array-like, any shape
        NumPy array, memory map or CPU tensor.

    Returns
    -------
    str
        64 hexadecimal digits. float16 and float32 arrays of equal values
        differ.
    """
    array = np.asarray(array)
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def hash_json(value: Any) -> str:
    """Return the SHA-256 of a value as canonical JSON; the order of a mapping
    does not matter.
    """
    return hashlib.sha256(
        as_json(value, separators=(",", ":")).encode()
    ).hexdigest()


def hash_notebook(path: str | Path) -> str:
    """Return the SHA-256 of a notebook's cells; outputs and execution counts
    do not matter.

    Raises
    ------
    ValueError
        Naming the file, when it is no notebook.
    """
    try:
        notebook = json.loads(Path(path).read_text(encoding="utf-8"))
        contents = []
        for cell in notebook["cells"]:
            contents.append([cell["cell_type"], "".join(cell["source"])])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path}: not a notebook of format 4 ({error!r})"
        ) from error
    return hash_json(contents)


def hash_path(path: str | Path) -> str:
    """Return the hash of an input: a notebook's cells, a file's bytes or a
    whole folder.

    Parameters
    ----------
    path : str or Path
        A folder counts as `hash_files` says.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    FileNotFoundError
        When there is nothing of that name.
    """
    path = Path(path)
    if path.suffix == ".ipynb":
        return hash_notebook(path)
    if not path.is_dir():
        return hash_file(path)
    return hash_json(hash_files(path))


def hash_files(folder: str | Path) -> dict[str, str]:
    """Return {file in the folder: SHA-256} of all files but unfinished ones
    (``.tmp-*``, ``*.partial``) and locks (``.*.lock``).
    """
    folder = Path(folder)
    hashes = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        if file.is_file() and not is_unfinished(name):
            hashes[name.as_posix()] = hash_file(file)
    return hashes


def as_json(value: Any, **layout: Any) -> str:
    """A value as JSON with sorted keys; NumPy values, paths and sets become
    plain ones, NaN is refused.
    """
    return json.dumps(
        value, sort_keys=True, allow_nan=False, default=_plain, **layout
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(
        f"{type(value).__name__} has no place in a record: {value!r}"
    )


def is_unfinished(name: Path) -> bool:
    """Return whether a file, or a folder it lies in, is still being written,
    or says who writes it; `name` is its path in the folder that is read.
    """
    return any(
        part.startswith(UNFINISHED)
        or part.endswith(".partial")
        or (part.startswith(".") and part.endswith(".lock"))
        for part in name.parts
    )
