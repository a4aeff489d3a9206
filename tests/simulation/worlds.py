"""Worlds in which the truth is known: how they are drawn, run side by side,
and summed up.
"""

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import binomtest
from tqdm.auto import tqdm

SEED = 20240521
PATIENTS, CONTROLS = 22, 66  # the hold-out of "Taxonomy"

JOBS = 1
"""Processes that share the worlds; a world depends on its number alone,
whoever draws it.
"""


def each(world, worlds, title):
    """Return what `world(number)` finds in every world, in their order."""
    numbers = tqdm(range(worlds), desc=title, leave=False)
    return Parallel(JOBS)(delayed(world)(number) for number in numbers)


def line(simulation, setting, method, right, expected, width=np.nan, claim=""):
    """One line of the table; `right` is one bool a world, `expected` the share
    promised.
    """
    right = np.asarray(right)
    limits = binomtest(int(right.sum()), len(right)).proportion_ci(
        0.99, "exact"
    )
    above, below = limits.high >= expected, limits.low <= expected
    holds = {
        "at least": above,
        "at most": below,
        "exactly": above and below,
    }.get(claim)
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
        "holds": holds,
        "width": float(np.mean(width)),
    }


def people(positives=PATIENTS, negatives=CONTROLS):
    """Labels of so many patients, then controls."""
    return (np.arange(positives + negatives) < positives).astype(int)
