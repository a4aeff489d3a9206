"""Whole editions of known truth: is the claims ledger right?"""

import numpy as np
import pandas as pd
from worlds import SEED, each, line

from mmssl.claims import verdicts
from mmssl.claims import worlds as simulated


def claim_verdicts(worlds, sizes=(67, 1000, 4000)):
    """Simulated editions: one claim of each in turn, so that all trials are independent."""
    lines = []
    for size in sizes:
        def one(world, size=size):
            seed = int(np.random.default_rng([SEED, 14, size, world]).integers(2**31))
            claims = simulated.right(1, size, size, seed)
            claim = claims.iloc[world % len(claims)]
            decided = claim["verdict"] != verdicts.UNRESOLVED
            right = claim["verdict"] == claim["truth"]
            return right, decided and not right

        setting = f"{size} patients and {size} controls"
        right, wrong = zip(*each(one, worlds, f"claims of {size}"), strict=True)
        lines += [line("right verdict on a claim", setting, "claims ledger", right, 0.90, np.nan,
                       "at least" if size >= 1000 else ""),
                  line("wrong verdict on a claim", setting, "claims ledger", wrong, 0.05, np.nan,
                       "at most")]
    return pd.DataFrame(lines)
