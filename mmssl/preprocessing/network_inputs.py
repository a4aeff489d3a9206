"""From the volumes of a cohort to the input of a network.

Brain volumes are standardised to histogram landmarks learned on the training
people of the fold alone, then z-normalised one by one (001, section 3.1).
Images already in [0, 1] pass unchanged.
"""

from collections.abc import Mapping

import numpy as np

from mmssl.preprocessing import intensity

Landmarks = dict[str, list[float] | None]

# Volumes converted at a time, so that a memory-mapped cohort is never whole in
# float64.
_BLOCK = 64


def fit_landmarks(cohort, fold: int) -> Landmarks:
    """Histogram landmarks of each modality over the training rows of a fold.

    Parameters
    ----------
    cohort : Cohort
    fold : int

    Returns
    -------
    dict
        {modality: 13 landmarks}, see `intensity.histogram_landmarks`; None in
        their place for images that need none.
    """
    if cohort.intensity == "unit":
        return dict.fromkeys(cohort.modalities)
    rows = cohort.rows("train", fold)
    landmarks = {}
    for modality in cohort.modalities:
        volumes = cohort.volumes[modality][rows]
        learned = intensity.histogram_landmarks(volumes, cohort.mask)
        landmarks[modality] = learned.tolist()
    return landmarks


def standardised(
    cohort,
    landmarks: Mapping[str, list[float] | None],
    dtype=np.float32,
    rows=None,
) -> dict[str, np.ndarray]:
    """Input of a network for the pairs of a cohort.

    Parameters
    ----------
    cohort : Cohort
    landmarks : mapping
        Of `fit_landmarks`; modalities it does not name are left out.
    dtype : dtype
        Of the result.
    rows : array of int, optional
        Rows of the cohort; all by default.

    Returns
    -------
    dict
        {modality: array (pairs, C, X, Y, Z) or (pairs, C, H, W)}.
    """
    if rows is None:
        rows = np.arange(len(cohort))
    rows = np.asarray(rows)
    inputs = {}
    for modality in cohort.modalities:
        if modality not in landmarks:
            continue
        volumes = cohort.volumes[modality]
        result = np.empty((len(rows), *volumes.shape[1:]), dtype)
        for start in range(0, len(rows), _BLOCK):
            block = slice(start, start + _BLOCK)
            result[block] = _network_input(
                volumes[rows[block]], landmarks[modality], cohort.mask
            )
        if cohort.channels[modality] == 1:
            result = result[:, None]
        inputs[modality] = result
    return inputs


def _network_input(
    volumes: np.ndarray, landmarks: list[float] | None, mask: np.ndarray | None
) -> np.ndarray:
    """Volumes (n, X, Y, Z), standardised and z-normalised if they have
    landmarks.
    """
    volumes = np.asarray(volumes, np.float32)
    if landmarks is None:
        return volumes
    volumes = intensity.standardise(volumes, np.asarray(landmarks), mask)
    return intensity.z_normalise(volumes)
