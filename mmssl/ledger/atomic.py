"""Files and folders that exist only when they are complete.

What is being written lives under a hidden temporary name beside its final one
(the same file system, so that the rename is atomic) and is removed if writing
fails. A killed process leaves only ``.tmp-*``, which nothing reads.
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def file(path: str | Path) -> Iterator[Path]:
    """Write a file under a temporary name; rename it to `path` on success.

    Parameters
    ----------
    path : str or Path
        Final name; an existing file is replaced. Missing parent folders are
        made.

    Yields
    ------
    Path
        Temporary name with the same suffixes (``.nii.gz`` stays ``.nii.gz``),
        beside `path`.

    Raises
    ------
    FileNotFoundError
        When the block ended without having written the file.
    """
    path = Path(path)
    temporary = _beside(path)
    try:
        yield temporary
        if not temporary.is_file():
            raise FileNotFoundError(
                f"{path}: nothing was written under its temporary name"
            )
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def directory(path: str | Path) -> Iterator[Path]:
    """Fill a folder under a temporary name; rename it to `path` on success.

    Parameters
    ----------
    path : str or Path
        Final name, which must not exist. Missing parent folders are made.

    Yields
    ------
    Path
        An existing, empty folder beside `path`.

    Raises
    ------
    FileExistsError
        When `path` exists, before anything is written, or appeared meanwhile
        with content.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(
            f"{path}: exists already; remove it to make it anew"
        )
    temporary = _beside(path)
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            raise FileExistsError(f"{path}: appeared while it was being made")
        os.rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _beside(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.parent / f".tmp-{uuid.uuid4().hex[:8]}-{path.name}"
