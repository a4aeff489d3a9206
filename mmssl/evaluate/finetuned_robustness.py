"""How far the probabilities of fine-tuned networks move when images are
transformed, beside those of the same network trained from scratch (002,
section IV-C).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmssl.evaluate.finetuned_runs import SCRATCH, FineTuned
from mmssl.evaluate.label_efficiency import against_scratch, paired
from mmssl.evaluate.probability_deviation import KINDS, log_probabilities

if TYPE_CHECKING:
    import pandas as pd

QUANTILES = {
    "least": 0.0,
    "p05": 0.05,
    "q1": 0.25,
    "median": 0.5,
    "q3": 0.75,
    "p95": 0.95,
    "largest": 1.0,
}
"""Columns of `deviation_table` that describe the relative deviation."""


def deviation_table(
    fits: Sequence[FineTuned],
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """How far what each start says moves when images are transformed (002,
    figure 7).

    Of a ratio to a probability p that is near 0 one person's can outweigh all
    others', so it has quantiles alone; what is averaged and compared is the
    deviation in probability, |p' - p|. Neither says who is right: a network
    that tells nothing, or is sure of everything, deviates little.

    Parameters
    ----------
    fits : sequence of FineTuned
        Those without deviations take no part.
    resamples, seed : int
        Of the bootstrap over people.

    Returns
    -------
    DataFrame
        One line per target, kind of transform and start: task, kind, model,
        baseline (whether from scratch), ratio (the largest), labelled (people
        learned from), people, transforms, seeds; `QUANTILES` of (p' - p) / p,
        and of its absolute value relative (the median), relative_q1 and
        relative_q3, over people, transforms and seeds together; value (mean of
        |p' - p| over all three), low, high (BCa bootstrap over people, 95 %;
        NaN where everybody has the same), sd (over seeds; NaN for one),
        difference to training from scratch on the same people, transforms and
        seeds, below 0 for the more robust, with its interval and p as in
        `efficiency_table`, and p_corrected (Holm, over all lines with a p).
        ``attrs["proof"]`` is that of the first.

    Raises
    ------
    ValueError
        For fits none of which has deviations.
    """
    import pandas as pd

    varied = [one for one in fits if one.deviations]
    if not varied:
        raise ValueError(
            f"deviations: none of {len(fits)} fits has any, expected some "
            "fine-tuned with perturbed above 0"
        )
    lines = []
    for one in varied:
        ratio = max(one.labelled)
        starts = list(dict.fromkeys(key[0] for key in one.deviations))
        of_start = {start: _deviations(one, start) for start in starts}
        for number, kind in enumerate(KINDS):
            for start, (relative, absolute) in of_start.items():
                scratch = of_start[SCRATCH][1][:, number]
                lines.append(
                    {
                        "task": one.target.name,
                        "kind": kind,
                        "model": start,
                        "baseline": start == SCRATCH,
                        "ratio": ratio,
                        "labelled": one.labelled[ratio],
                        "people": relative.shape[2],
                        "transforms": relative.shape[3],
                        "seeds": len(relative),
                        **_quantiles(relative[:, number]),
                        **paired(
                            absolute[:, number], scratch, resamples, seed
                        ),
                    }
                )
    table = against_scratch(pd.DataFrame(lines))
    table.attrs["proof"] = varied[0].proof
    return table


def person_deviations(fits: Sequence[FineTuned]) -> pd.DataFrame:
    """How far each person's probability moves.

    Returns
    -------
    DataFrame
        One line per target, kind, start, seed and person: task, kind, model,
        seed and person (numbers), moved (mean of |p' - p| over transforms).
    """
    import pandas as pd

    lines = []
    for one in fits:
        for start in dict.fromkeys(key[0] for key in one.deviations):
            _, absolute = _deviations(one, start)
            for seed, of_kinds in enumerate(absolute):
                for kind, moved in zip(KINDS, of_kinds, strict=True):
                    line = {
                        "task": one.target.name,
                        "kind": kind,
                        "model": start,
                        "seed": seed,
                        "person": one.perturbed,
                        "moved": moved,
                    }
                    lines.append(pd.DataFrame(line))
    return pd.concat(lines, ignore_index=True)


def _deviations(one: FineTuned, start: str) -> tuple[np.ndarray, np.ndarray]:
    """Relative ones of a start, (seeds, kinds, people, transforms), and their
    size in probability, a mean over transforms, (seeds, kinds, people).
    """
    relative, absolute = [], []
    for key in sorted(key for key in one.deviations if key[0] == start):
        logits = one.outputs[key][one.perturbed]
        p = np.exp(log_probabilities(logits))
        of_seed = one.deviations[key].astype(np.float64)
        relative.append(of_seed)
        absolute.append(np.abs(of_seed).mean(2) * p)
    return np.stack(relative), np.stack(absolute)


def _quantiles(relative: np.ndarray) -> dict[str, float]:
    """Columns that describe relative deviations."""
    found = np.quantile(relative, list(QUANTILES.values()))
    size = np.quantile(np.abs(relative), [0.5, 0.25, 0.75])
    names = "relative", "relative_q1", "relative_q3"
    return dict(zip((*QUANTILES, *names), (*found, *size), strict=True))
