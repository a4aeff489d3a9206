"""Arrays that a long computation keeps, one file a step, so that it continues
where it was stopped.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from mmssl.ledger import atomic, limits
from mmssl.ledger.manifest import (
    MANIFEST,
    add_to_manifest,
    check_files,
    read_manifest,
)


def kept(
    folder: str | Path, name: str, make: Callable[[], Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Read arrays from a folder, or make and keep them.

    Parameters
    ----------
    folder : path
        Of one owner at a time (`mmssl.ledger.locks.owned`).
    name : str
        Of the file, without its ending ``.npz``.
    make : callable
        Called where the file is not there; returns the arrays by name.

    Raises
    ------
    ValueError
        For a file that is not the one that was made.
    """
    folder, file = Path(folder), f"{name}.npz"
    if not is_kept(folder, name):
        arrays = make()
        with (
            atomic.file(folder / file) as temporary,
            temporary.open("wb") as out,
        ):
            np.savez_compressed(out, **arrays)
        add_to_manifest(folder, file)
    return limits.read_npz(folder / file)


def is_kept(folder: str | Path, name: str) -> bool:
    """Whether arrays are in a folder; parameters and errors as `kept`."""
    folder, file = Path(folder), f"{name}.npz"
    if not (folder / MANIFEST).exists():
        return False
    hashes = read_manifest(folder)
    # killed between the two, a file is there without its hash
    if not (folder / file).exists() or file not in hashes:
        return False
    check_files(folder, hashes, [file])
    return True
