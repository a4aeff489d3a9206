"""Whether a trained encoder's group maps find a planted disease better than
those of untrained encoders.

The AUPRC of one map against one untrained encoder says little: encoders that
learned nothing differ among themselves, and so do samples of people. Here
several untrained encoders go the whole way of the trained one (probe,
dimensions, maps), and the interval holds both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student

from mmssl.groupmaps.mann_whitney import resampled_rank_biserial
from mmssl.saliency.dimensions import lacks_coefficient, subject_maps
from mmssl.stats.bootstrap import Clusters
from mmssl.stats.permutation import two_groups

if TYPE_CHECKING:
    import pandas as pd


def overlap_gains(
    encoders: Mapping[str, Mapping],
    untrained: Sequence[str],
    volumes: Mapping,
    labels,
    picks: pd.DataFrame,
    truth: Mapping[str, np.ndarray],
    mask,
    *,
    resamples: int = 200,
    level: float = 0.95,
    seed: int = 0,
    **options,
) -> pd.DataFrame:
    """AUPRC of each trained encoder's maps minus the mean of untrained ones.

    The AUPRC of an encoder is the mean of its maps that a coefficient chose.
    The squared standard error of the difference is its variance over resamples
    of people, drawn within their group and the same for all encoders, plus
    that of the mean over untrained encoders; limits are Student's t with the
    degrees of freedom of Welch and Satterthwaite. Training anew is not in it.

    Parameters
    ----------
    encoders : {source: {modality: Module}}
        Trained and untrained.
    untrained : sequence of str
        Which sources are untrained; two at least.
    volumes, mask, seed, **options
        As in `mmssl.saliency.dimensions.subject_maps`.
    labels : array-like, shape (n,)
    picks : DataFrame
        Of `mmssl.saliency.dimensions.extreme_dimensions`; those of other
        sources are left out.
    truth : {modality: array of bool (X, Y, Z)}
    resamples : int

    Returns
    -------
    DataFrame
        source, modality, auprc, untrained (mean AUPRC), untrained_sd, chance,
        difference, low, high, p (two-sided). NaN where no coefficient chose a
        map of the source, or maps of fewer than two untrained ones.

    Raises
    ------
    ValueError
        For fewer than two untrained sources.
    """
    import pandas as pd

    if len(untrained) < 2:
        raise ValueError(
            f"untrained: {list(untrained)}, expected two sources at least: "
            "one draw of weights has no spread"
        )
    inside = np.asarray(mask, bool)
    planted = {m: np.asarray(truth[m])[inside] for m in truth}
    group = two_groups(labels, len(np.asarray(labels)))
    # the people as they are, then the resamples
    counts = Clusters(group.astype(int), None).draws(resamples, seed)
    weights = np.concatenate([np.ones((1, len(group))), counts])
    usable = ~lacks_coefficient(picks) & picks["modality"].isin(list(truth))
    usable &= picks["source"].isin(list(encoders))
    scores = {}
    keys = ["source", "modality"]
    for key, rows in picks[usable].groupby(keys, sort=False):
        source, modality = key
        values = subject_maps(
            encoders[source], volumes, rows, mask, seed=seed, **options
        )
        scores[key] = _mean_auprc(values, group, weights, planted[modality])
    trained = [source for source in encoders if source not in untrained]
    lines = []
    for source, modality in product(trained, truth):
        line = {"source": source, "modality": modality}
        line["chance"] = planted[modality].mean()
        own = scores.get((source, modality))
        drawn = [
            scores[u, modality] for u in untrained if (u, modality) in scores
        ]
        if own is not None and len(drawn) > 1:
            line |= _difference(own, np.stack(drawn), len(group), level)
        lines.append(line)
    columns = ["source", "modality", "auprc", "untrained", "untrained_sd"]
    columns += ["chance", "difference", "low", "high", "p"]
    return pd.DataFrame(lines, columns=columns)


def _mean_auprc(
    values: np.ndarray,
    group: np.ndarray,
    weights: np.ndarray,
    planted: np.ndarray,
) -> np.ndarray:
    """Mean AUPRC of an encoder's maps, of the people as they are and of each
    resample, (1 + resamples,).

    values : (people, maps, voxels).
    """
    from sklearn.metrics import average_precision_score

    pair = weights[:, group], weights[:, ~group]
    scores = []
    for people in values.swapaxes(0, 1):
        maps = resampled_rank_biserial(people[group], people[~group], pair)
        scores.append(
            [average_precision_score(planted, np.abs(rbc)) for rbc in maps]
        )
    return np.mean(scores, axis=0)


def _difference(
    own: np.ndarray, untrained: np.ndarray, people: int, level: float
) -> dict[str, float]:
    """Difference to the mean of the untrained, with its interval and p.

    own : (1 + resamples,); untrained : (encoders, 1 + resamples).
    """
    drawn, mean = untrained[:, 0], untrained.mean(axis=0)
    difference = own[0] - mean[0]
    of_people = (own[1:] - mean[1:]).var(ddof=1)
    of_encoders = drawn.var(ddof=1) / len(drawn)
    error = np.sqrt(of_people + of_encoders)
    # Welch and Satterthwaite
    freedom = error**4 / (
        of_people**2 / (people - 2) + of_encoders**2 / (len(drawn) - 1)
    )
    reach = student.ppf(0.5 + level / 2, freedom) * error
    return {
        "auprc": own[0],
        "untrained": mean[0],
        "untrained_sd": drawn.std(ddof=1),
        "difference": difference,
        "low": difference - reach,
        "high": difference + reach,
        "p": 2 * student.sf(abs(difference) / error, freedom),
    }
