"""Covariates in a representation: are they found where there are none?"""

import numpy as np
import pandas as pd
from worlds import SEED, each, line

from mmssl.evaluate import confounds


def covariate_in_noise(worlds, shuffles=99):
    """How often does a representation of noise seem to predict age or sex?"""

    def one(world):
        rng = np.random.default_rng([SEED, 7, world])
        table = pd.DataFrame(
            {"age": rng.normal(70, 8, 120), "sex": rng.choice(["F", "M"], 120)}
        )
        lines = confounds.decode_covariates(
            rng.normal(size=(120, 8)),
            table,
            np.arange(80),
            np.arange(80, 120),
            100,
            shuffles,
            world,
        )
        return lines.set_index("covariate")["p"]

    p = pd.DataFrame(each(one, worlds, "covariates"))
    return pd.DataFrame(
        [
            line(
                "covariate predicted from noise",
                "80 to learn from, 40 tested",
                name,
                p[name] <= 0.05,
                0.05,
                claim="at most",
            )
            for name in ("age", "sex")
        ]
    )
