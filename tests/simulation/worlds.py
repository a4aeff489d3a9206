"""Simulated worlds in which the truth is known: how they are drawn, run side
by side, and summed up.
"""

import os

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import binomtest
from tqdm.auto import tqdm

from mmssl.ledger.workers import end_with

SEED = 20240521
PATIENTS, CONTROLS = 22, 66  # the hold-out of "Taxonomy"

JOBS = 1
"""Processes that share the worlds; a world depends on its number alone,
whoever draws it.
"""


def each(world, worlds, title):
    """Return what `world(number)` finds in every world, in their order."""
    numbers = tqdm(range(worlds), desc=title, leave=False)
    pool = Parallel(JOBS, initializer=end_with, initargs=(os.getpid(),))
    return pool(delayed(world)(number) for number in numbers)


def line(simulation, setting, method, right, expected, width=np.nan, claim=""):
    """One line of the table.

    Parameters
    ----------
    simulation, setting, method : str
        What was simulated, at which sizes, and what was applied.
    right : sequence of bool
        One a world: whether the method was right in it.
    expected : float
        The nominal rate: the share of worlds in which it should be.
    width : float or sequence of float
        Of the method's intervals.
    claim : str
        "at least", "at most" or "exactly" the nominal rate; empty for a method
        without one, which is there to compare.
    """
    right = np.asarray(right)
    limits = binomtest(int(right.sum()), len(right)).proportion_ci(
        0.99, "exact"
    )
    reaches_up = limits.high >= expected
    reaches_down = limits.low <= expected
    holds = {
        "at least": reaches_up,
        "at most": reaches_down,
        "exactly": reaches_up and reaches_down,
    }
    return {
        "simulation": simulation,
        "setting": setting,
        "method": method,
        "worlds": len(right),
        "share": right.mean(),
        "low": limits.low,
        "high": limits.high,
        "claim": claim,
        "promised": expected,
        "holds": holds.get(claim),
        "width": float(np.mean(width)),
    }


def people(positives=PATIENTS, negatives=CONTROLS):
    """Labels of so many patients, then controls."""
    return (np.arange(positives + negatives) < positives).astype(int)
