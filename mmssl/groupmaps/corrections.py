"""What each correction for many tests keeps of a map, and how much of that is
true.

Thousands of voxels are tested at once. *Uncorrected*, one in twenty of those
in which nothing differs is called a finding. The *false discovery rate*
(Benjamini & Hochberg 1995) lets at most one in twenty of a map's findings be
false, on average over studies. The *largest effect*
(`mmssl.groupmaps.mann_whitney`) and *TFCE* (`mmssl.groupmaps.tfce`) keep the
chance of any false one at one in twenty: the first voxel by voxel, the second
also by what a voxel's neighbours show, so that it finds broad weak effects,
and says less exactly where they are. *Adjusted* is the largest effect of what
covariates leave over (`mmssl.groupmaps.freedman_lane`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmssl.groupmaps import tfce
from mmssl.groupmaps.freedman_lane import freedman_lane
from mmssl.groupmaps.mann_whitney import compare

if TYPE_CHECKING:
    import pandas as pd


def kept(
    values,
    labels,
    mask,
    modalities: Sequence[str],
    truth: Mapping[str, np.ndarray] | None = None,
    covariates: pd.DataFrame | None = None,
    permutations: int = 1000,
    seed: int = 0,
    level: float = 0.05,
) -> pd.DataFrame:
    """Count what of one map a modality each correction keeps.

    All maps are one family, but for the false discovery rate, which is that of
    each map.

    Parameters
    ----------
    values : array, shape (n, modalities, voxels)
        A person's maps on the voxels of the mask.
    labels : array-like, shape (n,)
        Two values, at least 4 people each.
    mask : array of bool, shape (X, Y, Z)
    modalities : sequence of str
    truth : {modality: array of bool, shape (X, Y, Z)}, optional
        Where the groups differ in truth.
    covariates : DataFrame, n rows, optional
        Adds the lines that are adjusted for them.
    permutations, seed : int
        Of every permutation test.
    level : float

    Returns
    -------
    DataFrame
        A line per modality and correction, from the loosest: modality,
        correction, voxels (kept); where the truth is known also true (of
        those, in it), precision (true / voxels, NaN where nothing is kept) and
        recall (true / all voxels in the truth).

    Raises
    ------
    ValueError
        For another number of maps than modalities, and as
        `mmssl.groupmaps.tfce.tfce_test` and
        `mmssl.groupmaps.freedman_lane.freedman_lane`.
    """
    import pandas as pd

    if values.ndim != 3 or values.shape[1] != len(modalities):
        raise ValueError(
            f"values: shape {values.shape}, expected (people, {len(modalities)}, "
            f"voxels) for {', '.join(modalities)}"
        )
    found = compare(values, labels, permutations, seed, progress=False)
    enhanced = tfce.tfce_test(values, labels, mask, permutations, seed)
    p = {
        "none": found.p,
        "false discovery rate": found.fdr,
        "TFCE": enhanced.corrected,
        "largest effect": found.corrected,
    }
    if covariates is not None:
        flat = values.reshape(len(values), -1)
        left = freedman_lane(flat, labels, covariates, permutations, seed)
        p["largest effect, adjusted"] = left.corrected.reshape(
            values.shape[1:]
        )
    lines = []
    for i, modality in enumerate(modalities):
        for correction, of in p.items():
            chosen = of[i] < level
            line = {
                "modality": modality,
                "correction": correction,
                "voxels": int(chosen.sum()),
            }
            if modality in (truth or {}):
                here = truth[modality][mask]
                true = int((chosen & here).sum())
                line |= {
                    "true": true,
                    "precision": true / chosen.sum()
                    if chosen.any()
                    else np.nan,
                    "recall": true / here.sum(),
                }
            lines.append(line)
    table = pd.DataFrame(lines)
    return table.astype({"true": "Int64"}) if "true" in table else table
