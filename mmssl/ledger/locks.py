"""One owner at a time for what is being made: a run, a sweep, a cohort, the
book.

The lock is a file ``.<name>.lock`` beside what is made, held by the operating
system for as long as its owner lives: that of a process that died is free. On
a file system that several machines share, it is held for all of them, and that
of a machine that died is free when the file system has given it up (NFS 4:
after 90 seconds, where nothing else is set).
"""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

SECONDS = 0.5
"""For how long a lock that is being released is waited for."""

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""What a file system without locks answers."""


class LockedError(RuntimeError):
    """Somebody else is making this, or nobody could say whether."""


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
        the path; also where the file system has no locks.
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    file = lock_of(path)
    lock = _acquired(file, SECONDS)
    if lock is None:
        raise LockedError(
            f"{path}: is being made by {_written(file)}; wait for it or stop "
            "it"
        )
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


def owner(path: str | Path) -> str | None:
    """Return who is making a path, as text; None where nobody is.

    Raises
    ------
    LockedError
        Where the file system has no locks.
    """
    file = lock_of(Path(path).absolute())
    if not file.is_file():
        return None
    lock = _acquired(file, 0)
    if lock is None:
        return _written(file)
    lock.release()
    return None


def _acquired(file: Path, seconds: float) -> FileLock | None:
    """The lock of a file, held; None where somebody else holds it.

    Never the library's second choice, a file that merely exists: that of a
    process that was killed would be there for ever.
    """
    lock = FileLock(file, fallback_to_soft=False)
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        return None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise LockedError(
            f"{file}: its file system has no locks ({error.strerror}), so two "
            "processes could make one thing; mount it with them (Lustre: "
            "option flock), or keep this folder elsewhere"
        ) from error
    return lock


def _written(file: Path) -> str:
    """What the owner of a lock wrote into it."""
    if not file.is_file():
        return "another process"
    return file.read_text(encoding="utf-8") or "another process"
