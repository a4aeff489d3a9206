"""Cascading randomisation of parameters (Adebayo et al. 2018): what is left of
a map without them.

A map that stays the same while layer after layer is drawn anew, from the
output down, never showed what was learned.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.stats import rankdata
from torch import nn

from mmssl.models.dcgan import Encoder
from mmssl.saliency.dimensions import group_differences
from mmssl.saliency.maps import postprocess
from mmssl.saliency.smoothgrad import SLOPE, smoothgrad

if TYPE_CHECKING:
    import pandas as pd


@torch.no_grad()
def randomised(
    encoder: nn.Module, layers: int | None = None, seed: int = 0
) -> nn.Module:
    """Copy of an encoder whose last layers have forgotten what they learned.

    Cascading randomisation (Adebayo et al. 2018, section 3): a map that stays
    the same when layer after layer is initialised anew, from the output down,
    never showed what was learned. A layer is a convolution or linear map with
    the norm behind it.

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
    found = depth(encoder)
    layers = found if layers is None else layers
    if not 0 <= layers <= found:
        raise ValueError(
            f"layers={layers}, expected 0 to {found}, the layers of the encoder"
        )
    gain = nn.init.calculate_gain("leaky_relu", SLOPE)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for group in _layers(encoder)[:layers]:
            for module in group:
                module.reset_parameters()
                if isinstance(encoder, Encoder) and hasattr(
                    module, "kernel_size"
                ):
                    # as it was made
                    nn.init.xavier_uniform_(module.weight, gain=gain)
    return encoder


def depth(encoder: nn.Module) -> int:
    """How many layers :func:`randomised` can randomise."""
    return len(_layers(encoder))


def cascade(
    encoder: nn.Module,
    volumes,
    mask,
    sigma: float = 1.5,
    seed: int = 0,
    **options,
) -> np.ndarray:
    """Rank correlation of maps with those of the same encoder as it forgets,
    layer by layer.

    Spearman's over the voxels of the mask, of the magnitude that
    :func:`postprocess` gives, each person and dimension by itself (Adebayo et
    al. 2018, section 3.1). What is left when all layers are random is what
    anatomy and smoothing alone make alike.

    Parameters
    ----------
    encoder : Module
        Trained.
    volumes : array or Tensor, shape (B, C, X, Y, Z)
    mask, sigma
        As in :func:`postprocess`.
    seed : int
        Of the weights and of the noise.
    **options
        Of :func:`smoothgrad`: dimensions, samples, std, precision.

    Returns
    -------
    array, shape (layers + 1, B, n)
        Row l after l layers; row 0 is 1. NaN where a map is constant.
    """
    inside, ranks = np.asarray(mask) == 1, []
    for layers in range(depth(encoder) + 1):
        forgetful = randomised(encoder, layers, seed) if layers else encoder
        gradient = (
            smoothgrad(forgetful, volumes, seed=seed, **options)
            .float()
            .cpu()
            .numpy()
        )
        magnitude = postprocess(gradient, mask, sigma).magnitude[..., inside]
        place = rankdata(magnitude, axis=-1)
        place -= place.mean(-1, keepdims=True)
        length = np.linalg.norm(place, axis=-1, keepdims=True)
        ranks.append(
            np.divide(
                place,
                length,
                where=length > 0,
                out=np.full_like(place, np.nan),
            )
        )
    return np.array([(ranks[0] * other).sum(-1) for other in ranks])


def _layers(encoder: nn.Module) -> list[list[nn.Module]]:
    """Modules with parameters to reset, a layer a list, the last layer
    first.
    """
    if isinstance(encoder, Encoder):
        pairs = zip(encoder.convs, encoder.norms, strict=True)
        found = [
            [c, n] if isinstance(n, nn.modules.batchnorm._BatchNorm) else [c]
            for c, n in pairs
        ]
        return [[encoder.to_latent], *reversed(found)]
    found = []
    for module in (
        m for m in encoder.modules() if hasattr(m, "reset_parameters")
    ):
        is_norm = isinstance(
            module,
            nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm,
        )
        if is_norm and found:
            found[-1].append(module)
        else:
            found.append([module])
    return found[::-1]


def map_cascade(
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
    """Correlation of maps of two groups with those of encoders that forget
    layer after layer.

    Cascading randomisation (Adebayo et al. 2018) from the last layer down: a
    map that shows what was learned must change.

    Parameters
    ----------
    encoders : {modality: Module}, trained.
    rbc : array, shape (picks, voxels)
        Of the trained encoders.
    labels : array-like, shape (n,)
    volumes, picks, mask, seed, **options
        As in `subject_maps`.

    Returns
    -------
    DataFrame
        The picks, for every number of ``layers`` drawn anew from 0, with
        ``correlation`` over voxels (Pearson); NaN where a map is constant.
    """
    import pandas as pd

    depth, tables = min(depth(e) for e in encoders.values()), []
    for layers in range(depth + 1):
        again = np.asarray(rbc)
        if layers:
            forgetful = {
                m: randomised(e, layers, seed) for m, e in encoders.items()
            }
            again = group_differences(
                forgetful, volumes, labels, picks, mask, seed=seed, **options
            )
        found = [
            map_correlation(a, b)
            for a, b in zip(np.asarray(rbc), again, strict=True)
        ]
        tables.append(picks.assign(layers=layers, correlation=found))
    return pd.concat(tables, ignore_index=True)


def map_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation of two maps, (voxels,); NaN where one of them is
    constant.
    """
    a, b = a - a.mean(), b - b.mean()
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size > 0 else float("nan")
