"""Simulated editions whose truth is known: is the claims ledger right?"""

import numpy as np
import pandas as pd
from worlds import SEED, each, line

from book.claims.rule import UNRESOLVED
from book.claims.simulated_editions import assess_editions


def claim_verdicts(worlds, sizes=(67, 1000, 4000)):
    r"""Simulated editions, of which one claim in turn is right, and one
    decided claim wrong.

    The rule bounds the false coverage rate, the mean over editions of V /
    max(R, 1), V of R decided claims wrong. A claim drawn by lot from the
    decided ones is wrong with just that probability, so that each edition is
    one independent draw; where none is decided, nothing is wrong.
    """
    lines = []
    for size in sizes:
        lines += _lines_of_size(worlds, size)
    return pd.DataFrame(lines)


def _lines_of_size(worlds, size):
    """The two lines of editions with so many patients and as many controls."""

    def one(world):
        return _one_edition(world, size)

    editions = pd.DataFrame(each(one, worlds, f"claims of {size}"))
    decided = editions["decided"].to_numpy()
    wrong = editions["wrong"].to_numpy()
    setting = f"{size} patients and {size} controls"
    right_line = line(
        "right verdict on a claim",
        setting,
        "claims ledger",
        editions["is_right"],
        0.90,
        np.nan,
        "at least" if size >= 1000 else "",
    )
    wrong_line = line(
        "wrong verdict among decided claims",
        f"{setting}, {decided.mean():.1f} decided an edition",
        "claims ledger",
        editions["drawn_is_wrong"],
        0.05,
        np.nan,
        "at most",
    )
    wrong_line["rate"] = (wrong / np.maximum(decided, 1)).mean()
    wrong_line["pooled"] = wrong.sum() / max(1, decided.sum())
    return [right_line, wrong_line]


def _one_edition(world, size):
    """What one edition says: whether its claim in turn is right and one drawn
    by lot from the decided ones wrong, and how many are wrong and decided.
    """
    rng = np.random.default_rng([SEED, 14, size, world])
    claims = assess_editions(1, size, size, int(rng.integers(2**31)))
    is_right = claims["verdict"] == claims["truth"]
    is_wrong = ~is_right[claims["verdict"] != UNRESOLVED]
    drawn_is_wrong = False
    if len(is_wrong):
        drawn_is_wrong = is_wrong.iloc[rng.integers(len(is_wrong))]
    return {
        "is_right": is_right.iloc[world % len(is_right)],
        "drawn_is_wrong": drawn_is_wrong,
        "wrong": is_wrong.sum(),
        "decided": len(is_wrong),
    }
