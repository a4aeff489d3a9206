"""Seconds and memory of calls that take turns, in one process or in several.

Needs nothing but Python, so that it also serves the environment of peers that
clash with ours.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

Clocked = Callable[[], float]
REST = 0.25
"""Seconds before each call that takes turns: threads of the one before wait
for more work at full speed for up to a fifth of a second."""
SHORT = 0.1
"""Seconds below which a call is made twice and the second one counts, as the
first one finds its processors asleep."""
KEEPS_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "-1"}


def clocked(call: Callable, *arguments, **options) -> Clocked:
    """The same call, which returns its seconds."""

    def seconds() -> float:
        start = time.perf_counter()
        call(*arguments, **options)
        return time.perf_counter() - start

    return seconds


def in_turns(
    calls: Mapping[str, Clocked], rounds: int, warm: int = 1
) -> dict[str, list[float]]:
    """Seconds of each call in each round; in a round they follow one another.

    Parameters
    ----------
    calls : mapping of str to callable
        Each returns how long it took, s.
    rounds : int
    warm : int
        Rounds before that, which do not count.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(warm + rounds):
        for name, call in calls.items():
            time.sleep(REST)
            taken = call()
            if taken < SHORT:
                taken = call()
            if number >= warm:
                times[name].append(taken)
    return times


def ratio(times: Mapping[str, list[float]], peer: str, ours: str) -> float:
    """How many times longer the peer takes: the median over rounds of the
    ratio within a round.
    """
    pairs = zip(times[peer], times[ours], strict=True)
    return statistics.median([slow / fast for slow, fast in pairs])


def medians(
    times: Mapping[str, list[float]], unit: str = "ms"
) -> dict[str, float]:
    """Median of each call, as figures "name, ms" or "name, s"."""
    scale = {"ms": 1e3, "s": 1.0}[unit]
    figures = {}
    for name, seconds in times.items():
        figures[f"{name}, {unit}"] = scale * statistics.median(seconds)
    return figures


def peak_mb() -> float:
    """Peak resident memory of this process, MB."""
    # not getrusage: its maximum is inherited from the parent process
    return _memory("VmHWM")


def rise_mb(call: Callable) -> float:
    """How far the resident memory rises above what it is, during a call, MB;
    only where freed blocks do not stay with the process.
    """
    forget = Path("/proc/self/clear_refs")
    forget.write_text("5", encoding="utf-8")  # the peak
    before = _memory("VmRSS")
    call()
    return peak_mb() - before


def _memory(kind: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(rf"{kind}:\s+(\d+)", status)[1]) / 1024


def mb_of(script: str, *arguments: object) -> float:
    """The last number that a script prints in a process of its own, which
    gives freed blocks back: its memory in MB.
    """
    command = [sys.executable, script, *map(str, arguments)]
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in KEEPS_MEMORY
    }
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment
    )
    return float(done.stdout.split()[-1])


class Process:
    """A process of its own that makes one call whenever it is asked to.

    Parameters
    ----------
    script : str
        One that ends in `serve`.
    *arguments
        Of the script.
    python : path, optional
        Of another environment.
    keeps_memory : bool
        Whether freed blocks stay with the process, as under `make`.
    paths : sequence of path
        Where else it finds modules.

    Attributes
    ----------
    told : dict
        What the script says before the first call.

    Raises
    ------
    RuntimeError
        If the script fails, with the end of what it says.
    """

    def __init__(
        self,
        script: str,
        *arguments: object,
        python: str | Path = sys.executable,
        keeps_memory: bool = True,
        paths: tuple = (),
    ):
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in KEEPS_MEMORY
        }
        if keeps_memory:
            environment |= KEEPS_MEMORY
        known = [*map(str, paths), *environment.get("PYTHONPATH", "").split()]
        environment["PYTHONPATH"] = os.pathsep.join(known)
        self.pipe = subprocess.Popen(
            [str(python), script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.told = json.loads(self._line())

    def _line(self) -> str:
        line = self.pipe.stdout.readline()
        if not line:
            _, errors = self.pipe.communicate()
            raise RuntimeError(errors.strip()[-600:] or "it said nothing")
        return line

    def __call__(self) -> float:
        """Seconds of one call."""
        self.pipe.stdin.write("\n")
        self.pipe.stdin.flush()
        return float(self._line())

    def end(self) -> dict:
        """End it; what it says last, with ``peak MB``."""
        output, errors = self.pipe.communicate()
        if not output:
            raise RuntimeError(errors.strip()[-600:])
        return json.loads(output)


def serve(call: Callable, told: dict | None = None) -> None:
    """Say ``told``, make a call for every line read, and last say the peak of
    the memory: the other end of `Process`.
    """
    out = sys.stdout
    sys.stdout = sys.stderr  # whatever libraries print is none of it
    print(json.dumps(told or {}), file=out, flush=True)
    seconds = clocked(call)
    for _ in sys.stdin:
        print(seconds(), file=out, flush=True)
    print(json.dumps({"peak MB": peak_mb()}), file=out, flush=True)
