"""What an objective must beat: representations that learned nothing by
gradient.

Random filters already carry a good deal of an image with as strong a contrast
as a brain's (Saxe et al. 2011), and principal components carry more. A number
without them says little.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from mmssl.preprocessing.network_inputs import fit_landmarks, standardised
from mmssl.pretrain.encoders import (
    encode,
    make_encoders,
    network_shape,
    presence,
)

RANDOM = "random encoder"
PCA_64 = "PCA-64"
BASELINES = (RANDOM, PCA_64)
"""Names of the baselines in tables, in their order."""

COMPONENTS = 64
INITIALISATIONS = 10
"""Untrained encoders behind a baseline: one draw of weights says little, their
ROC-AUCs spread by .05 and more.
"""


def untrained_encoders(
    cohort,
    seed: int = 0,
    width: int = 32,
    latent: int = 64,
    backbone: str | None = None,
) -> dict[str, nn.Module]:
    """Encoders of a cohort with their initial weights, in evaluation mode.

    Parameters
    ----------
    cohort : Cohort
    seed : int
        Of the weights, which depend on nothing else; torch's global generator
        is left as it was.
    width, latent : int
        As in :class:`mmssl.models.dcgan.Encoder`.
    backbone : str, optional
        As of :func:`mmssl.pretrain.backbones.backbone_class`.

    Returns
    -------
    dict of Module
        By modality.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        shape = network_shape(cohort, width, latent, backbone=backbone)
        encoders = make_encoders(shape)
    return {m: encoder.eval() for m, encoder in encoders.items()}


def untrained_embeddings(
    cohort, seed: int = 0, fold: int = 0, width: int = 32, latent: int = 64
) -> dict[str, np.ndarray]:
    """Embed a cohort with untrained encoders: the baseline of every table.

    Parameters
    ----------
    cohort : Cohort
    seed, fold, width, latent : int
        Intensity landmarks are fitted on the training rows of the fold.

    Returns
    -------
    dict of array
        modality -> float32 (pairs, latent).
    """
    return untrained_draws(cohort, fold, [seed], width, latent)[0]


def untrained_draws(
    cohort,
    fold: int = 0,
    seeds: Sequence[int] = range(INITIALISATIONS),
    width: int = 32,
    latent: int = 64,
) -> list[dict[str, np.ndarray]]:
    """Embeddings of a cohort with several untrained encoders.

    Parameters
    ----------
    cohort : Cohort
    fold, width, latent : int
        As in `untrained_embeddings`.
    seeds : sequence of int
        One for each draw of initial weights.

    Returns
    -------
    list of dict
        For each seed, modality -> float32 (pairs, latent).
    """
    inputs = standardised(cohort, fit_landmarks(cohort, fold))
    draws = []
    for seed in seeds:
        encoders = untrained_encoders(cohort, seed, width, latent)
        draws.append(encode(encoders, inputs, present=presence(cohort)))
    return draws


def baseline_embeddings(
    cohort, fold: int = 0, seed: int = 0, width: int = 32, latent: int = 64
) -> dict[str, dict[str, np.ndarray]]:
    """Embeddings of both baselines, on the same standardised voxels.

    An untrained encoder of the given shape, and the 64 leading principal
    components of the voxels, fewer where there are not more than 64 training
    rows. Intensity landmarks and components are fitted on the training rows of
    the fold alone.

    Parameters
    ----------
    cohort : Cohort
    fold, seed, width, latent : int

    Returns
    -------
    dict
        baseline -> {modality: float32 (pairs, dimensions)}; NaN where a pair
        lacks the modality.
    """
    train = cohort.rows("train", fold)
    present = presence(cohort)
    inputs = standardised(cohort, fit_landmarks(cohort, fold))
    encoders = untrained_encoders(cohort, seed, width, latent)
    components = {}
    for modality, x in inputs.items():
        voxels = x.reshape(len(x), -1)
        there = present[modality]
        scores = component_scores(voxels, train[there[train]], COMPONENTS)
        components[modality] = np.where(there[:, None], scores, np.nan)
    return {
        RANDOM: encode(encoders, inputs, present=present),
        PCA_64: components,
    }


def component_scores(
    voxels: np.ndarray, train: np.ndarray, count: int
) -> np.ndarray:
    """Scores of all rows on the leading principal components of the training
    rows.

    (n, voxels) to (n, at most count). Through the eigenvectors of the smaller
    of the Gram and the covariance matrix; directions without spread are left
    out.
    """
    # scikit-learn's PCA takes 9 times as long on 592 rows of 32,768 voxels, by
    # ARPACK 2.3 times: neither goes through the Gram matrix
    mean = voxels[train].mean(axis=0)
    centred = voxels[train] - mean
    more_voxels_than_rows = centred.shape[1] > len(centred)
    if more_voxels_than_rows:
        matrix = centred @ centred.T  # Gram matrix
    else:
        matrix = centred.T @ centred
    spread, vectors = np.linalg.eigh(matrix)
    with_spread = np.flatnonzero(spread > 1e-6 * spread[-1])
    leading = with_spread[::-1][: min(count, len(train) - 1)]
    axes = vectors[:, leading].T  # (count, voxels), of the Gram (count, rows)
    if more_voxels_than_rows:
        axes = axes @ centred / np.sqrt(spread[leading])[:, None]
    return (voxels - mean) @ axes.T
