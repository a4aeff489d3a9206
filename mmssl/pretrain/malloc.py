"""Memory of large tensors on a CPU, reused from step to step.

glibc gives a freed block of 32 MB or more back to the system, and the next
step asks for it again, page by page, each of them zeroed: at 64^3 that was a
fifth of a training step.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

# names of mallopt(3)
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER_GIVE_BACK = {_TRIM_THRESHOLD: -1, _MMAP_MAX: 0}
_DEFAULTS = {_TRIM_THRESHOLD: 1 << 17, _MMAP_MAX: 1 << 16}


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Let this process keep what it frees, until the end of the block.

    Changes no number. Does nothing where the C library is not glibc.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield
        return
    for option, value in _NEVER_GIVE_BACK.items():
        library.mallopt(option, value)
    try:
        yield
    finally:
        for option, value in _DEFAULTS.items():
            library.mallopt(option, value)
        library.malloc_trim(0)
