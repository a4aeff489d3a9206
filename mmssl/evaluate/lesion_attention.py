"""Where a segmentation sees lesions, as the attention that slices are read
with (002, section IV-D).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from mmssl.evaluate.finetune import (
    Schedule,
    Target,
    TaskNetwork,
    finetune,
    predict,
)
from mmssl.evaluate.finetuned_runs import labelled_people
from mmssl.ledger import leakage
from mmssl.ledger.leakage import Exposure
from mmssl.models.unet import UNetEncoder
from mmssl.preprocessing.network_inputs import fit_landmarks, standardised


def lesion_attention(
    cohort,
    masks: np.ndarray,
    modality: str,
    width: int = 4,
    fold: int = 0,
    schedule: Schedule | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, list[Exposure]]:
    """Lesions that a U-Net finds, trained from scratch on the masks of the
    fold's training people.

    Parameters
    ----------
    cohort : Cohort
        Of volumes.
    masks : array of bool, shape (pairs, X, Y, Z)
        Where the lesions are.
    modality : str
    width : int
        Channels of its first convolution.
    fold : int
    schedule : Schedule, optional
    seed : int
        Of weights, order and augmentation.

    Returns
    -------
    attention : array of uint8, shape (pairs, X, Y, Z)
        1 where it sees a lesion, of every pair.
    exposures : list of Exposure
        Whom it and its landmarks have seen.

    Raises
    ------
    ValueError
        As of `mmssl.evaluate.finetune.finetune`.
    """
    from mmssl.cohorts.lesions import CLASSES

    people = labelled_people(cohort, modality, fold)
    landmarks = fit_landmarks(replace(cohort, modalities=(modality,)), fold)
    inputs = standardised(cohort, landmarks, np.float16)[modality]
    target = Target("lesion mask", np.asarray(masks, np.uint8), CLASSES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = UNetEncoder(inputs.shape[1], width, cohort.size)
        network = TaskNetwork(encoder, target)
    finetune(network, inputs, target, people, schedule, seed=seed)
    found = predict(network, inputs, np.arange(len(cohort)))
    name = f"attention, fold {fold}"
    everybody = cohort.rows("train", fold)
    return found, [
        leakage.exposure(name, leakage.TRAIN, cohort, everybody),
        leakage.exposure(name, leakage.CHOOSE, cohort, people.valid),
    ]
