r"""How the cost of something grows: its exponent in what it is made larger by.

Time and memory are taken to be :math:`c x^k`; k is the slope of a straight
line through the logarithms. The largest two points tell what it comes to, as
fixed costs hide the growth of small ones. Each point is measured in a process
of its own, so that its memory is its own; a process is a copy of one that has
imported the package already.
"""

import multiprocessing
import os
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
from timing import KEEPS_MEMORY, clocked, rise_mb

HERE = str(Path(__file__).parent)
SLACK = 0.25
"""By how much a slope may be above what is expected: sizes differ by ten or
less, and caches are outgrown on the way.
"""
PRELOADED = ("torch", "numpy", "scipy.stats", "growth", "growth_costs")


@dataclass(frozen=True)
class Growth:
    """A cost, and what it may come to.

    Attributes
    ----------
    name, against : str
        What is done, and what grows.
    sizes : sequence of int
    make : callable
        Size -> what is timed; data are made before.
    expected : float
        Exponent of the time that the method cannot do without.
    why : str
        Of an exponent above 1.
    """

    name: str
    against: str
    sizes: Sequence[int]
    make: Callable[[int], Callable]
    expected: float = 1.0
    why: str = ""


def exponent(sizes, costs) -> float:
    """Slope of the logarithm of costs over that of sizes, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def line(growth: Growth, rounds: int) -> dict:
    """Time and memory of every size, and their exponents."""
    points = [_point(growth, size, rounds) for size in growth.sizes]
    return fitted(
        {
            "name": growth.name,
            "against": growth.against,
            "expected": growth.expected,
            "why": growth.why,
            "points": points,
        }
    )


def fitted(cost: dict) -> dict:
    """A cost with its exponents: of all points, of the largest two, and of
    memory; and whether it grows faster than it should.

    Memory that is lost in what a process has anyway (below 1 MB) has no
    exponent.
    """
    sizes, seconds, megabytes = np.array(cost["points"], dtype=float).T
    last = exponent(sizes[-2:], seconds[-2:])
    memory = None
    if megabytes[-2:].min() >= 1:
        memory = exponent(sizes[-2:], megabytes[-2:])
    return {
        **cost,
        "exponent": exponent(sizes, seconds),
        "last exponent": last,
        "memory exponent": memory,
        "superlinear": last > cost["expected"] + SLACK,
    }


def lines(growths: Iterable[Growth], rounds: int) -> list[dict]:
    """A line for each."""
    return [line(growth, rounds) for growth in growths]


def _point(growth: Growth, size: int, rounds: int) -> list[float]:
    """Size, seconds and MB of one size, in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    # the process that is copied starts with the first of them
    with patch.dict(os.environ, _environment(), clear=True):
        with context.Pool(1) as pool:
            arguments = (growth.make, growth.sizes[0], size, rounds)
            measured = pool.apply(_measured, arguments)
    return [size, *measured]


def _environment() -> dict[str, str]:
    """Of a process that finds the modules beside this one, and gives freed
    blocks back, so that its memory can be read.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in KEEPS_MEMORY
    }
    known = [HERE, environment.get("PYTHONPATH", "")]
    return environment | {"PYTHONPATH": os.pathsep.join(known)}


def _measured(
    make: Callable, smallest: int, size: int, rounds: int
) -> tuple[float, float]:
    """Median seconds, and MB that a call needs beyond its data, after one of
    the smallest size for which libraries take their own.
    """
    make(smallest)()
    call = clocked(make(size))
    risen = rise_mb(call)
    taken = [call() for _ in range(rounds)]
    return statistics.median(taken), risen
