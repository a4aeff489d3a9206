"""What a block of code takes: seconds, and the memory of this process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# seconds between two looks at the memory
_PERIOD = 0.02


@dataclass
class Cost:
    """What a block of code took, once it has ended.

    Attributes
    ----------
    seconds : float
        On the clock.
    peak : float
        Bytes of memory that the process held at most, without the files that
        it has mapped, which the system can drop at any time; looked at fifty
        times a second. NaN where the system does not say.
    """

    seconds: float = float("nan")
    peak: float = float("nan")


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure the block of a ``with``.

    Yields
    ------
    Cost
        Filled in when the block ends, also by an error.
    """
    cost = Cost()
    ended = threading.Event()
    seen = [held_memory()]

    def look() -> None:
        """Keep the largest memory seen."""
        while not ended.wait(_PERIOD):
            seen[0] = max(seen[0], held_memory())

    watch = threading.Thread(target=look, daemon=True)
    start = time.perf_counter()
    watch.start()
    try:
        yield cost
    finally:
        cost.seconds = time.perf_counter() - start
        ended.set()
        watch.join()
        cost.peak = max(seen[0], held_memory())


def held_memory() -> float:
    """Bytes of memory of this process that are no file's; NaN where the system
    does not say.
    """
    import psutil

    memory = psutil.Process().memory_info()
    # with the pages that are mapped from files, known on Linux alone
    shared = getattr(memory, "shared", float("nan"))
    return float(memory.rss - shared)
