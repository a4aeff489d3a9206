"""One owner at a time for what is being made: a run, a sweep, a cohort, the
book.

The lock is a file ``.<name>.lock`` beside what is made, held by the operating
system for as long as its owner lives: that of a process that died is free.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

SECONDS = 0.5
"""For how long a lock that is being released is waited for."""


class LockedError(RuntimeError):
    """Somebody else is making this."""


def lock_of(path: str | Path) -> Path:
    """Return the file that locks a path."""
    path = Path(path)
    return path.with_name(f".{path.name}.lock")


@contextmanager
def owned(path: str | Path) -> Iterator[None]:
    """Own a file or folder while it is made, or say who does.

    Parameters
    ----------
    path : path
        It need not exist; missing parent folders are made.

    Raises
    ------
    LockedError
        At once, naming the process, its machine and since when it has owned
        the path.
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    file = lock_of(path)
    lock = FileLock(file)
    try:
        lock.acquire(timeout=SECONDS)
    except Timeout:
        raise LockedError(
            f"{path}: is being made by {_owner(file)}; wait for it or stop it"
        ) from None
    try:
        since = datetime.now().isoformat(" ", "seconds")
        file.write_text(
            f"process {os.getpid()} on {socket.gethostname()} since {since}",
            encoding="utf-8",
        )
        yield
    finally:
        # while it is held: whoever waits for it sees that it is gone
        file.unlink(missing_ok=True)
        lock.release()


def _owner(file: Path) -> str:
    """What the owner of a lock wrote into it."""
    if not file.is_file():
        return "another process"
    return file.read_text(encoding="utf-8") or "another process"
