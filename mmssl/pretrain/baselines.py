"""What an objective must beat: representations that learned nothing by
gradient.

Random filters already carry a good deal of an image with as strong a contrast
as a brain's (Saxe et al. 2011), and principal components carry more. A number
without them says little.
"""

from __future__ import annotations

import numpy as np
import torch

from mmssl.preprocessing.network_inputs import fit_landmarks, standardised
from mmssl.pretrain.encoders import encode, make_encoders, network


def untrained(
    cohort, seed: int = 0, fold: int = 0, width: int = 32, latent: int = 64
) -> dict:
    """Embed a cohort with encoders that learned nothing: the untrained baseline of
    every table.

    Parameters
    ----------
    cohort : Cohort
    seed, fold, width, latent : int

    Returns
    -------
    dict of array
        modality -> float32 (pairs, latent).
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoders = make_encoders(
            network(cohort, {"width": width, "latent": latent, "dropout": 0.0})
        )
    return encode(encoders, standardised(cohort, fit_landmarks(cohort, fold)))


RANDOM, PCA_64 = "random encoder", "PCA-64"
BASELINES = (RANDOM, PCA_64)


def baseline_embeddings(
    cohort, fold: int = 0, seed: int = 0, width: int = 32, latent: int = 64
) -> dict[str, dict[str, np.ndarray]]:
    """What an objective must beat: {baseline: {modality: (pairs, dimensions)}}.

    An untrained encoder of the same shape, and the 64 leading principal
    components of the same standardised voxels, fewer where there are not more
    than 64 training rows. Intensity landmarks and components are fitted on the
    training rows of the fold alone.
    """
    train = cohort.rows("train", fold)
    random = untrained(
        cohort, seed=seed, fold=fold, width=width, latent=latent
    )
    components = {}
    for modality, x in standardised(
        cohort, fit_landmarks(cohort, fold)
    ).items():
        components[modality] = _components(x.reshape(len(x), -1), train, 64)
    return {RANDOM: random, PCA_64: components}


def _components(
    voxels: np.ndarray, train: np.ndarray, count: int
) -> np.ndarray:
    """Scores of all rows on the leading principal components of the training
    rows.

    (n, voxels) to (n, at most count). Through the eigenvectors of the smaller
    of the Gram and the covariance matrix; directions without spread are left
    out.
    """
    mean = voxels[train].mean(axis=0)
    centred = voxels[train] - mean
    wide = centred.shape[1] > len(centred)
    spread, vectors = np.linalg.eigh(
        centred @ centred.T if wide else centred.T @ centred
    )
    kept = np.flatnonzero(spread > 1e-6 * spread[-1])[::-1][
        : min(count, len(train) - 1)
    ]
    # (count, voxels), or of the Gram matrix (count, rows)
    axes = vectors[:, kept].T
    if wide:
        axes = axes @ centred / np.sqrt(spread[kept])[:, None]
    return (voxels - mean) @ axes.T
