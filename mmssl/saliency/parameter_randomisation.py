"""Parameter randomisation: how much of a map is left when the weights are
drawn anew (Adebayo et al. 2018, section 3).

The weights are initialised layer by layer from the output down, which the
literature calls cascading randomisation. A map that stays the same never
showed what was learned. Maps of people are compared by rank correlation
(`person_map_correlations`), maps of group differences by Pearson's
(`group_map_correlations`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.stats import rankdata
from torch import nn

from mmssl.models.dcgan import Encoder, initialise
from mmssl.saliency.dimensions import group_differences
from mmssl.saliency.maps import postprocess
from mmssl.saliency.smoothgrad import smoothgrad

if TYPE_CHECKING:
    import pandas as pd


@torch.no_grad()
def randomised(
    encoder: nn.Module, layers: int | None = None, seed: int = 0
) -> nn.Module:
    """Copy of an encoder whose last layers are initialised anew.

    A layer is a convolution or linear map with the norm behind it.

    Parameters
    ----------
    encoder : Module
        Left as it is.
    layers : int, optional
        How many of the last layers; all by default. Those of fewer layers are
        among those of more, with the same new weights.
    seed : int

    Raises
    ------
    ValueError
        For more layers than there are.
    """
    encoder = copy.deepcopy(encoder)
    available = layer_count(encoder)
    layers = available if layers is None else layers
    if not 0 <= layers <= available:
        raise ValueError(
            f"layers={layers}, expected 0 to {available}, the layers of the "
            "encoder"
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for modules in _layers(encoder)[:layers]:
            for module in modules:
                module.reset_parameters()
                is_convolution = hasattr(module, "kernel_size")
                if isinstance(encoder, Encoder) and is_convolution:
                    initialise(module)
    return encoder


def layer_count(encoder: nn.Module) -> int:
    """How many layers `randomised` can initialise anew."""
    return len(_layers(encoder))


def _layers(encoder: nn.Module) -> list[list[nn.Module]]:
    """Modules with parameters to reset, a layer a list, the last layer
    first.
    """
    layers = []
    if isinstance(encoder, Encoder):
        for conv, norm in zip(encoder.convs, encoder.norms, strict=True):
            is_identity = isinstance(norm, nn.Identity)
            layers.append([conv] if is_identity else [conv, norm])
        layers.append([encoder.to_latent])
        return layers[::-1]
    norms = nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm
    for module in encoder.modules():
        if not hasattr(module, "reset_parameters"):
            continue
        if isinstance(module, norms) and layers:
            layers[-1].append(module)
        else:
            layers.append([module])
    return layers[::-1]


def person_map_correlations(
    encoder: nn.Module,
    volumes,
    mask,
    sigma: float = 1.5,
    seed: int = 0,
    **options,
) -> np.ndarray:
    """Rank correlation of people's maps with those of the same encoder as its
    layers are initialised anew.

    Spearman's over the voxels of the mask, of the magnitude that
    `mmssl.saliency.maps.postprocess` gives, each person and dimension by
    itself (Adebayo et al. 2018, section 3.1). What is left when all layers are
    random is what anatomy and smoothing alone make alike.

    Parameters
    ----------
    encoder : Module
        Trained.
    volumes : array or Tensor, shape (B, C, X, Y, Z)
    mask, sigma
        As in `mmssl.saliency.maps.postprocess`.
    seed : int
        Of the weights and of the noise.
    **options
        Of `mmssl.saliency.smoothgrad.smoothgrad`: dimensions, samples, std,
        precision.

    Returns
    -------
    array, shape (layers + 1, B, n)
        Row l after l layers; row 0 is 1. NaN where a map is constant.
    """
    inside = np.asarray(mask) == 1
    ranks = []
    for layers in range(layer_count(encoder) + 1):
        network = randomised(encoder, layers, seed) if layers else encoder
        gradient = smoothgrad(network, volumes, seed=seed, **options)
        gradient = gradient.float().cpu().numpy()
        magnitude = postprocess(gradient, mask, sigma).magnitude
        ranks.append(_unit_ranks(magnitude[..., inside]))
    return np.array([(ranks[0] * other).sum(-1) for other in ranks])


def _unit_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks over voxels, (..., voxels), centred and of length 1; NaN where all
    values are equal.
    """
    ranks = rankdata(values, axis=-1)
    ranks -= ranks.mean(-1, keepdims=True)
    length = np.linalg.norm(ranks, axis=-1, keepdims=True)
    nothing = np.full_like(ranks, np.nan)
    return np.divide(ranks, length, where=length > 0, out=nothing)


def group_map_correlations(
    encoders: Mapping,
    rbc,
    volumes: Mapping,
    labels,
    picks: pd.DataFrame,
    mask,
    *,
    seed: int = 0,
    **options,
) -> pd.DataFrame:
    """Correlation of maps of two groups with those of the same encoders as
    their layers are initialised anew.

    Parameters
    ----------
    encoders : {modality: Module}
        Trained.
    rbc : array, shape (picks, voxels)
        Of the trained encoders.
    labels : array-like, shape (n,)
    volumes, picks, mask, seed, **options
        As in `mmssl.saliency.dimensions.subject_maps`.

    Returns
    -------
    DataFrame
        The picks, for every number of ``layers`` drawn anew from 0, with
        ``correlation`` over voxels (Pearson); NaN where a map is constant.
    """
    import pandas as pd

    trained = np.asarray(rbc)
    depth = min(layer_count(encoder) for encoder in encoders.values())
    tables = []
    for layers in range(depth + 1):
        maps = trained
        if layers:
            networks = {}
            for modality, encoder in encoders.items():
                networks[modality] = randomised(encoder, layers, seed)
            maps = group_differences(
                networks, volumes, labels, picks, mask, seed=seed, **options
            )
        pairs = zip(trained, maps, strict=True)
        correlation = [map_correlation(a, b) for a, b in pairs]
        tables.append(picks.assign(layers=layers, correlation=correlation))
    return pd.concat(tables, ignore_index=True)


def map_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation of two maps, (voxels,); NaN where one of them is
    constant.
    """
    a, b = a - a.mean(), b - b.mean()
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size > 0 else float("nan")
