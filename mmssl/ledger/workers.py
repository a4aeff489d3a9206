"""Worker processes that end with the process that started them.

A process that is killed cannot tell its workers; they would go on computing
for nobody.
"""

import os
import threading
import time


def end_with(parent: int, every: float = 0.5) -> None:
    """Watch the parent of this process from now on, and end without it.

    To be called in each worker of a pool, as its initializer.

    Parameters
    ----------
    parent : int
        Process id of who made the pool, its ``os.getpid()``.
    every : float
        Seconds between two looks.
    """

    def watch() -> None:
        """Look for the parent, and end without it."""
        while os.getppid() == parent:
            time.sleep(every)
        # nobody waits for results or for files to be closed
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
