"""What an autoencoder gives back of one person's images."""

from pathlib import Path

import numpy as np
import torch

from mmssl.preprocessing.network_inputs import standardised
from mmssl.pretrain.encoders import load_encoders
from mmssl.pretrain.fit import load_objective

TERM = "AE"


def reconstructed(
    run_dir: str | Path, cohort, row: int
) -> dict[str, np.ndarray]:
    """Decode the representation of one pair of images.

    Parameters
    ----------
    run_dir : path
        Of a finished run.
    cohort : Cohort
        Of the run's size and modalities.
    row : int
        Of a pair that has every image.

    Returns
    -------
    {modality: float32 array (X, Y, Z)}
        In the z-scores of the encoder's input; empty where the objective has
        no term AE, and so no decoder that was trained to give an image back
        from z.

    Raises
    ------
    ValueError
        As `mmssl.pretrain.fit.load_objective`.
    """
    objective = load_objective(run_dir, cohort)
    if TERM not in objective.terms:
        return {}
    _, landmarks = load_encoders(run_dir)
    inputs = standardised(cohort, landmarks, np.float32, [row])
    images = {}
    for modality, volumes in inputs.items():
        with torch.inference_mode():
            z = objective.encoders[modality](torch.from_numpy(volumes)).z
            image = objective.decoders[modality](z)
        images[modality] = image[0, 0].numpy()
    return images
