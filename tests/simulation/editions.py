"""Whole editions of known truth: is the claims ledger right?"""

import numpy as np
import pandas as pd
from worlds import SEED, each, line

from book.claims import rule, simulated_editions


def claim_verdicts(worlds, sizes=(67, 1000, 4000)):
    r"""Simulated editions, of which one claim in turn is right, and one
    decided claim wrong.

    The rule bounds the false coverage rate, the mean over editions of V /
    max(R, 1), V of R decided claims wrong. A claim drawn by lot from the
    decided ones is wrong with just that probability, so that each edition is
    one independent trial; where none is decided, nothing is wrong.
    """
    lines = []
    for size in sizes:

        def one(world, size=size):
            rng = np.random.default_rng([SEED, 14, size, world])
            claims = simulated_editions.right(
                1, size, size, int(rng.integers(2**31))
            )
            right = claims["verdict"] == claims["truth"]
            wrong = ~right[claims["verdict"] != rule.UNRESOLVED]
            drawn = len(wrong) > 0 and wrong.iloc[rng.integers(len(wrong))]
            return (
                right.iloc[world % len(right)],
                drawn,
                wrong.sum(),
                len(wrong),
            )

        setting = f"{size} patients and {size} controls"
        right, drawn, wrong, decided = map(
            np.array, zip(*each(one, worlds, f"claims of {size}"), strict=True)
        )
        lines += [
            line(
                "right verdict on a claim",
                setting,
                "claims ledger",
                right,
                0.90,
                np.nan,
                "at least" if size >= 1000 else "",
            ),
            line(
                "wrong verdict among decided claims",
                f"{setting}, {decided.mean():.1f} decided an edition",
                "claims ledger",
                drawn,
                0.05,
                np.nan,
                "at most",
            )
            | {
                "rate": (wrong / np.maximum(decided, 1)).mean(),
                "pooled": wrong.sum() / max(1, decided.sum()),
            },
        ]
    return pd.DataFrame(lines)
