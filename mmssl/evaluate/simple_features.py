"""Features that nobody had to learn: means over the regions where a simulated
disease acts, and the covariates of a person.

They are baselines of a table of results. Region means say what a reader who
knew where to look would get from the images, covariates what the diagnosis
owes to age, sex, site and the head's size.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmssl.evaluate.confounds import COLUMNS, covariates
from mmssl.preprocessing.network_inputs import fit_landmarks, standardised

REGION_MEANS = "region means"
COVARIATES = "covariates"
SIMPLE_FEATURES = (REGION_MEANS, COVARIATES)
"""Names of the models in tables, in their order."""


def simple_features(
    cohort, fold: int = 0, predicted: str | None = None
) -> dict[str, dict[str, np.ndarray]]:
    """Region means and covariates of every pair, each column z-scored by the
    training rows.

    Parameters
    ----------
    cohort : Cohort
    fold : int
    predicted : str, optional
        Column of participants.tsv that is to be predicted: no covariate then.

    Returns
    -------
    dict
        model -> {modality: float32 (pairs, columns)}; without region means
        where the truth is not known, without covariates where there are none.
        Covariates are the same for every modality.
    """
    from mmssl.cohorts.simulated.planted_masks import planted_regions

    train = cohort.rows("train", fold)
    features = {}
    regions = planted_regions(cohort)
    if regions:
        features[REGION_MEANS] = _region_means(cohort, fold, regions)
    if _are_covariates_known(cohort):
        # "89+" among ages is a missing number here, so the training mean
        table = covariates(cohort, mixed="drop")
        if predicted in table:
            table = table.drop(columns=predicted)
        if not table.columns.empty:
            columns = _columns(table)
            features[COVARIATES] = dict.fromkeys(cohort.modalities, columns)
    for by_modality in features.values():
        for modality, values in by_modality.items():
            mean = np.nanmean(values[train], 0)
            spread = np.nanstd(values[train], 0)
            spread[spread == 0] = 1
            scaled = np.nan_to_num((values - mean) / spread)
            by_modality[modality] = scaled.astype(np.float32)
    return features


def _are_covariates_known(cohort) -> bool:
    """Whether the table has any, or the images show the head's size."""
    shows_heads = cohort.intensity == "brain" and cohort.dims == 3
    names = cohort.participants.columns.intersection([*COLUMNS, "head_size"])
    known = cohort.participants[names].notna().any(axis=None)
    return shows_heads or bool(known)


def _region_means(
    cohort, fold: int, regions: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Mean of each region in every standardised volume, by modality."""
    from mmssl.cohorts.simulated.planted_masks import PLANTED

    inputs = standardised(cohort, fit_landmarks(cohort, fold))
    means = {}
    for modality, names in PLANTED.items():
        volumes = inputs[modality][:, 0]
        columns = [volumes[:, regions[name]].mean(1) for name in names]
        there = cohort.present(modality)[:, None]
        means[modality] = np.where(there, np.stack(columns, 1), np.nan)
    return means


def _columns(table) -> np.ndarray:
    """Numbers as they are, words as indicators: (pairs, columns)."""
    import pandas as pd

    indicators = pd.get_dummies(table, drop_first=True, dtype=float)
    return indicators.to_numpy(float)
