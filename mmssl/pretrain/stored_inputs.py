"""Network inputs of a cohort that is larger than memory: standardised once,
into files, of which a step reads the rows that it sees.

The files are read, not mapped: what has been read belongs to the system's
cache, and the process holds the rows of a step alone.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

PLACES = ("auto", "memory", "disk")
# of what is free; the rest is for networks, gradients and the step
_SHARE = 0.5


class StoredInputs:
    """Rows of a ``.npy`` file, in place of a Tensor of which rows are
    selected.

    Parameters
    ----------
    file : path
        Array (pairs, C, *sides) of `numpy.save`, of row-major order.

    Attributes
    ----------
    shape : tuple of int
    device : torch.device
        Where rows go, the CPU until `to` says another.
    """

    def __init__(self, file: str | Path):
        known = np.load(file, mmap_mode="r")
        self.shape = known.shape
        self.device = torch.device("cpu")
        self._dtype = known.dtype
        self._start = known.offset
        self._row_bytes = known.dtype.itemsize * math.prod(known.shape[1:])
        self._file = open(file, "rb", buffering=0)

    def __len__(self) -> int:
        """Rows of the file."""
        return self.shape[0]

    def dim(self) -> int:
        """Axes, as of a Tensor."""
        return len(self.shape)

    def to(self, device: torch.device) -> StoredInputs:
        """The same rows, which from now on go to a device."""
        self.device = torch.device(device)
        return self

    def __getitem__(
        self, rows: Tensor | np.ndarray | Sequence[int] | slice
    ) -> Tensor:
        """Some rows, (n, C, *sides).

        Raises
        ------
        IndexError
            For a row that the file does not have.
        OSError
            Where the file has become shorter than it was.
        """
        if isinstance(rows, slice):
            rows = range(*rows.indices(len(self)))
        places = torch.as_tensor(rows, dtype=torch.int64).cpu()
        values = np.empty((len(places), *self.shape[1:]), self._dtype)
        for place, row in zip(values, places.tolist(), strict=True):
            self._read(row, place)
        return torch.from_numpy(values).to(self.device)

    def _read(self, row: int, into: np.ndarray) -> None:
        """Fill an array with a row of the file."""
        if not 0 <= row < len(self):
            raise IndexError(
                f"{self._file.name}: row {row}, expected one of {len(self)}"
            )
        start = self._start + row * self._row_bytes
        buffer = memoryview(into).cast("B")
        done = 0
        # a system reads 2 GiB at most in one go
        while done < self._row_bytes:
            rest = buffer[done:]
            read = os.preadv(self._file.fileno(), [rest], start + done)
            if not read:
                raise OSError(
                    f"{self._file.name}: ends within row {row}, expected "
                    f"{len(self)} rows of {self._row_bytes} bytes"
                )
            done += read


def chosen_place(place: str, cohort, dtype=np.float16) -> str:
    """Where the network inputs of a cohort are kept while it is trained on.

    Parameters
    ----------
    place : {"auto", "memory", "disk"}
        "auto": in memory where they take half of what is free at most.
    cohort : Cohort
    dtype : dtype
        Of the inputs.

    Returns
    -------
    {"memory", "disk"}
    """
    if place != "auto":
        return place
    needed = 0
    for m in cohort.modalities:
        shape = cohort.volumes[m].shape
        needed += math.prod(shape) * np.dtype(dtype).itemsize
    return "memory" if needed <= _SHARE * free_memory() else "disk"


def free_memory() -> int:
    """Bytes that a training may still take: of the GPU, if there is one, else
    of this machine, or what Slurm grants on it.
    """
    import psutil

    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0]
    free = psutil.virtual_memory().available
    granted = int(os.environ.get("SLURM_MEM_PER_NODE", 0)) << 20
    return min(free, granted) if granted else free
