"""Files and folders that exist only when they are complete.

What is being written lives in a hidden folder beside its final place (the same
file system, so that the rename is atomic), which is removed if writing fails.
A killed process leaves only that folder, ``.tmp-*``: no pattern that finds
files finds what is in it, and the next that writes beside it sweeps it away.
"""

import os
import re
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmssl.ledger import locks

UNFINISHED = ".tmp-"
"""What the name of a folder of unfinished files begins with."""


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
        The same name in a hidden folder beside `path`.

    Raises
    ------
    FileNotFoundError
        When the block ended without having written the file.
    """
    path = Path(path)
    with _beside(path) as temporary:
        yield temporary
        if not temporary.is_file():
            raise FileNotFoundError(
                f"{path}: nothing was written under its temporary name"
            )
        os.replace(temporary, path)


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
        An existing, empty folder in a hidden one beside `path`.

    Raises
    ------
    FileExistsError
        When `path` exists, before anything is written.
    mmssl.ledger.locks.LockedError
        When another process is filling it.
    """
    path = Path(path)
    with locks.owned(path):
        if path.exists():
            raise FileExistsError(
                f"{path}: exists already; remove it to make it anew"
            )
        with _beside(path) as temporary:
            temporary.mkdir()
            yield temporary
            if path.exists():
                raise FileExistsError(
                    f"{path}: appeared while it was being made"
                )
            os.rename(temporary, path)


@contextmanager
def scratch(path: str | Path) -> Iterator[Path]:
    """A hidden folder beside `path` for what is needed meanwhile; it goes when
    the block ends, and like any unfinished file where it was killed.

    Yields
    ------
    Path
        An existing, empty folder.
    """
    with _beside(Path(path)) as temporary:
        temporary.mkdir()
        yield temporary


def remove_unfinished(folder: str | Path) -> None:
    """Remove what killed processes left half-written in a folder.

    For its owner alone (`mmssl.ledger.locks`), as what a living process writes
    goes too.
    """
    for unfinished in Path(folder).glob(f"{UNFINISHED}*"):
        shutil.rmtree(unfinished)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    owner = f"{socket.gethostname()}-{os.getpid()}"
    name = f"{UNFINISHED}{owner}-{uuid.uuid4().hex[:8]}"
    folder = path.parent / name
    folder.mkdir()
    try:
        yield folder / path.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what dead processes of this machine left in a folder."""
    host = re.escape(socket.gethostname())
    pattern = re.compile(rf"{re.escape(UNFINISHED)}{host}-(\d+)-[0-9a-f]+")
    for unfinished in folder.glob(f"{UNFINISHED}*"):
        owner = pattern.fullmatch(unfinished.name)
        if owner and not _is_alive(int(owner[1])):
            shutil.rmtree(unfinished, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
