"""Corrections for many tests side by side: what each finds in a map, and how
much of that is true.

Thousands of voxels are tested at once. *Uncorrected*, one in twenty of those
in which nothing differs is called a finding. The *false discovery rate*
(Benjamini & Hochberg 1995) lets at most one in twenty of a map's findings be
false, on average over studies. The *largest effect*
(`mmssl.groupmaps.mann_whitney`) and *TFCE* (`mmssl.groupmaps.tfce`) keep the
chance of any false finding at one in twenty: the first voxel by voxel, the
second also by what a voxel's neighbours show, so that it finds broad weak
effects but locates them less exactly. *Adjusted* is the largest effect after
covariates are accounted for (`mmssl.groupmaps.freedman_lane`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmssl.groupmaps.freedman_lane import freedman_lane
from mmssl.groupmaps.mann_whitney import compare
from mmssl.groupmaps.tfce import tfce_test

if TYPE_CHECKING:
    import pandas as pd


def compare_corrections(
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
    """Count the voxels that each correction finds in one map a modality.

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
        correction, voxels (found); where the truth is known also true (of
        those, in it), precision (true / voxels, NaN where nothing is found)
        and recall (true / all voxels in the truth).

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
            f"values: shape {values.shape}, expected (people, "
            f"{len(modalities)}, voxels) for {', '.join(modalities)}"
        )
    difference = compare(values, labels, permutations, seed, progress=False)
    enhanced = tfce_test(values, labels, mask, permutations, seed)
    p = {
        "none": difference.p,
        "false discovery rate": difference.fdr,
        "TFCE": enhanced.corrected,
        "largest effect": difference.corrected,
    }
    if covariates is not None:
        flat = values.reshape(len(values), -1)
        adjusted = freedman_lane(flat, labels, covariates, permutations, seed)
        corrected = adjusted.corrected.reshape(values.shape[1:])
        p["largest effect, adjusted"] = corrected
    truth = truth or {}
    lines = []
    for i, modality in enumerate(modalities):
        for correction, values_of_p in p.items():
            found = values_of_p[i] < level
            line = {
                "modality": modality,
                "correction": correction,
                "voxels": int(found.sum()),
            }
            if modality in truth:
                line.update(_scores(found, truth[modality][mask]))
            lines.append(line)
    table = pd.DataFrame(lines)
    return table.astype({"true": "Int64"}) if "true" in table else table


def _scores(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """How many voxels were rightly found, and of what share."""
    true = int((found & truth).sum())
    precision = true / found.sum() if found.any() else np.nan
    return {
        "true": true,
        "precision": precision,
        "recall": true / truth.sum(),
    }
