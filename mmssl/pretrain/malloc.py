"""Memory of large tensors on a CPU, kept from step to step.

glibc gives a freed block of 32 MB or more back to the system, and the next
step asks for it again, page by page, each of them zeroed: at 64^3 that was a
fifth of a training step.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # names of mallopt(3)
_NEVER, _USUAL = (
    {_TRIM_THRESHOLD: -1, _MMAP_MAX: 0},
    {_TRIM_THRESHOLD: 1 << 17, _MMAP_MAX: 1 << 16},
)


@contextmanager
def kept() -> Iterator[None]:
    """Let this process keep what it frees, until the end of the block.

    Changes no number. Does nothing where the C library is not glibc.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield
        return
    for option, value in _NEVER.items():
        library.mallopt(option, value)
    try:
        yield
    finally:
        for option, value in _USUAL.items():
            library.mallopt(option, value)
        library.malloc_trim(0)
