"""From the arrays of a cohort to the input of a network, fitted inside the
training fold.

Brain volumes are histogram-standardised to landmarks learned on the training
people alone, then z-normalised one by one (001, section 3.1); images already
in [0, 1] pass unchanged.
"""

from collections.abc import Mapping

import numpy as np

from mmssl.preprocessing import intensity

Landmarks = dict[str, list[float] | None]
# volumes converted at a time, so that a mapped cohort is never whole in
# float64
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
        modality -> landmarks; None for images that need none.
    """
    if cohort.intensity == "unit":
        return dict.fromkeys(cohort.modalities)
    rows = cohort.rows("train", fold)
    return {
        m: [
            float(v)
            for v in intensity.histogram_landmarks(
                cohort.volumes[m][rows], cohort.mask
            )
        ]
        for m in cohort.modalities
    }


def standardised(
    cohort,
    landmarks: Mapping[str, list[float] | None],
    dtype=np.float32,
    rows=None,
) -> dict[str, np.ndarray]:
    """Network input of pairs.

    Parameters
    ----------
    cohort : Cohort
    landmarks : mapping
        Of :func:`fit_landmarks`; modalities it does not name are left out.
    dtype : dtype
        Of the result.
    rows : array of int, optional
        Rows of the cohort; all by default.

    Returns
    -------
    dict of array, each (pairs, C, *sides)
    """
    inputs = {}
    for m in (m for m in cohort.modalities if m in landmarks):
        source = cohort.volumes[m]
        wanted = np.arange(len(source)) if rows is None else np.asarray(rows)
        out = np.empty((len(wanted), *source.shape[1:]), dtype)
        for start in range(0, len(wanted), _BLOCK):
            block = np.asarray(
                source[wanted[start : start + _BLOCK]], np.float32
            )
            if landmarks[m] is not None:
                block = intensity.standardise(
                    block, np.asarray(landmarks[m]), cohort.mask
                )
                block = intensity.z_normalise(block)
            out[start : start + _BLOCK] = block
        channels = cohort.channels[m]
        inputs[m] = out if channels > 1 else out[:, None]
    return inputs
