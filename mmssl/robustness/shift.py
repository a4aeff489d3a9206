"""The natural shift: is the second population served as well as the one the models come from?

Beside each population's AUC stands the gap between them. Not finding a gap is not showing that
there is none: the two one-sided tests (Schuirmann 1987) ask whether it is inside a stated margin.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mmssl import stats
from mmssl.robustness.comparison import aucs, resample


def populations(
    labels: np.ndarray,
    scores: Mapping[str, Mapping[str, np.ndarray]],
    source: np.ndarray,
    shift: np.ndarray,
    margin: float = 0.1,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """AUC of each model in two populations, the gap between them and its equivalence test.

    Parameters
    ----------
    labels : array, shape (pairs,)
    scores : {row: {modality: (pairs,)}}
        Of the undistorted cohort.
    source, shift : array of int
        Rows of the hold-out of the population the models were trained on, and of the other; one
        row a person.
    margin : float
        The largest gap that would still count as none.
    level : float
        Of the intervals; each one-sided test is at 1 - level.

    Returns
    -------
    DataFrame
        row, modality; source, source_low, source_high, shift, shift_low, shift_high (AUC, BCa);
        gap (shift minus source), gap_low, gap_high (percentiles; the populations are resampled
        independently); p_equivalence, the larger of the two one-sided p; and verdict: "equivalent",
        "differs", both or "not resolved".

    Raises
    ------
    ValueError
        If a population holds one class only or people of no class; a margin that is not positive.
    """
    if not margin > 0:
        raise ValueError(f"margin={margin}, expected a positive difference of AUC")
    people = {"source": np.asarray(source), "shift": np.asarray(shift)}
    for name, rows in people.items():
        found = np.unique(labels[rows]).tolist()
        if found != [0, 1]:
            raise ValueError(f"{name}: {len(rows)} people of the classes {found}, expected 0 and 1")
    counts = {name: resample(labels[rows], resamples, seed + k)
              for k, (name, rows) in enumerate(people.items())}  # fmt: skip
    lines = []
    for row, by_modality in scores.items():
        for modality, score in by_modality.items():
            line, draws = {"row": row, "modality": modality}, {}
            for name, rows in people.items():
                y, s = labels[rows], np.asarray(score, np.float64)[rows]
                auc = stats.auc_interval(y, s, resamples=resamples, seed=seed, level=level)
                line |= {name: auc.estimate, f"{name}_low": auc.low, f"{name}_high": auc.high}
                draws[name] = aucs(y, s[None], counts[name])[0]
            gaps = draws["shift"] - draws["source"]
            lines.append({**line, "gap": line["shift"] - line["source"],
                          **equivalence(gaps, margin, level)})
    return pd.DataFrame(lines)


def equivalence(draws: np.ndarray, margin: float, level: float = 0.95) -> dict:
    """Judge a bootstrapped difference: gap_low, gap_high, p_equivalence and a verdict in words.

    Parameters
    ----------
    draws : array, shape (resamples,)
    margin : float
    level : float
        The difference is shown where the `level` interval leaves 0 out; equivalence where the
        2 level - 1 interval lies within ± margin, which is the two one-sided tests at 1 - level.
    """
    draws = np.asarray(draws)
    low, high = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2])
    p = (1 + max((draws <= -margin).sum(), (draws >= margin).sum())) / (1 + len(draws))
    said = [word for word, holds in (("equivalent", p <= 1 - level),
                                     ("differs", low > 0 or high < 0)) if holds]  # fmt: skip
    return {"gap_low": float(low), "gap_high": float(high), "p_equivalence": float(p),
            "verdict": ", ".join(said) or "not resolved"}
