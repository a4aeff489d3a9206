"""What is shown of a latent dimension's gradient: masked, smoothed, rescaled.

The gradients come from `mmssl.saliency.smoothgrad`. A map of them is masked to
the brain, smoothed and rescaled person by person (001, "Representational
insights using saliency"); the public code of that paper takes a threshold over
the whole batch, so that a person's map depends on the others in it. How much
of a map was learned is asked by `mmssl.saliency.parameter_randomisation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from mmssl.saliency.smoothgrad import stream, tensor


class Saliency(NamedTuple):
    """What is shown and tested of a gradient.

    scaled : (..., X, Y, Z), each image stretched over [0, 1] inside the mask,
        0 outside.
    magnitude : (..., X, Y, Z), the same before stretching, in units of z per
        unit of input.
    """

    scaled: np.ndarray | Tensor
    magnitude: np.ndarray | Tensor


def postprocess(
    gradient,
    mask,
    sigma: float = 1.5,
    *,
    part: str = "absolute",
    rescale: str = "last",
    quantile: float | None = None,
) -> Saliency:
    r"""Brain-mask, smooth and rescale gradients, each image by itself (001,
    section 4).

    The amount of the gradient is taken first, or opposite signs would cancel
    in the Gaussian. The Gaussian G is normalised inside the mask M, so that
    the rim of the brain is not dimmed,

    .. math:: m = \frac{G * (M |g|)}{G * M}, \qquad
              s = \frac{m - \min_M m}{\max_M m - \min_M m} .

    001 rescales before it smooths; here the unit interval is fixed last, by a
    neighbourhood and not by a single voxel, unless asked otherwise. An image
    that is constant inside the mask becomes 0.

    Parameters
    ----------
    gradient : array or Tensor, shape (..., X, Y, Z)
    mask : array or Tensor, shape (X, Y, Z), bool or 0 and 1
    sigma : float
        Of the Gaussian, in voxels; 0 for none.
    part : {"absolute", "positive"}
        "positive" drops negative gradients, as the public code of 001 does.
    rescale : {"last", "first"}
        Whether ``scaled`` is stretched after or, as in 001, before it is
        smoothed; its largest value is then below 1.
    quantile : float, optional
        Zero what is below this quantile of the image inside the mask, before
        smoothing; the public code has .95, but over the whole batch.

    Returns
    -------
    Saliency
        NumPy or torch, as `gradient` came, at least float32.

    Raises
    ------
    ValueError
        For an empty mask, one of another shape or other values, a gradient not
        finite, an unknown part or order.
    """
    values = tensor(gradient)
    if values.dtype != torch.float64:
        values = values.float()
    inside = _mask(mask, values)
    if part not in ("absolute", "positive"):
        raise ValueError(f"part={part!r}, expected 'absolute' or 'positive'")
    if rescale not in ("last", "first"):
        raise ValueError(f"rescale={rescale!r}, expected 'last' or 'first'")
    if sigma < 0:
        raise ValueError(f"sigma={sigma}: expected at least 0")
    if quantile is not None and not 0 <= quantile < 1:
        raise ValueError(f"quantile={quantile}: expected in [0, 1)")
    kernels = [_gaussian(n, sigma).to(values) for n in inside.shape]
    weight = _smooth(inside.to(values), kernels)[inside]
    sides = (-1, *inside.shape)
    images = values.reshape(sides)
    scaled, magnitude = torch.zeros_like(values), torch.zeros_like(values)
    flat_scaled, flat_magnitude = scaled.view(sides), magnitude.view(sides)
    for i, image in enumerate(images):
        amount = image.abs() if part == "absolute" else image.clamp(min=0)
        amount = amount * inside
        if quantile is not None:
            limit = torch.quantile(amount[inside], quantile)
            amount = amount * (amount >= limit)
        smooth = _smooth(amount, kernels)[inside] / weight
        flat_magnitude[i, inside] = smooth
        if rescale == "last":
            flat_scaled[i, inside] = _stretch(smooth)
        else:
            stretched = torch.zeros_like(amount)
            stretched[inside] = _stretch(amount[inside])
            smooth = _smooth(stretched, kernels)[inside] / weight
            flat_scaled[i, inside] = smooth
    if isinstance(gradient, Tensor):
        return Saliency(scaled, magnitude)
    return Saliency(scaled.numpy(), magnitude.numpy())


def _stretch(values: Tensor) -> Tensor:
    """Values over [0, 1], (voxels,); 0 where all are the same."""
    spread = values.max() - values.min()
    # a constant image has no more spread than rounding leaves
    rounding = 16 * torch.finfo(values.dtype).eps * values.max()
    if spread <= rounding:
        return torch.zeros_like(values)
    return (values - values.min()) / spread


def average(
    encoder,
    volumes,
    mask,
    sigma: float = 1.5,
    *,
    progress: bool = False,
    **options,
) -> Saliency:
    """Mean maps of many people, streamed: memory does not grow with their
    number.

    Parameters
    ----------
    encoder, volumes
        As in :func:`smoothgrad`.
    mask, sigma
        As in :func:`postprocess`, which sees every person's maps before they
        are added.
    progress : bool
        Whether to show a progress bar.
    **options
        Of :func:`stream`: dimensions, samples, std, seed, precision, block.

    Returns
    -------
    Saliency
        Arrays (n, X, Y, Z): mean of the scaled maps, and mean magnitude.
    """
    scaled, magnitude = 0.0, 0.0
    with tqdm(total=len(volumes), disable=not progress, leave=False) as bar:
        for gradient in stream(encoder, volumes, **options):
            maps = postprocess(gradient.cpu().numpy(), mask, sigma)
            scaled = scaled + maps.scaled.sum(0, dtype=np.float64)
            magnitude = magnitude + maps.magnitude.sum(0, dtype=np.float64)
            bar.update(len(gradient))
    people = len(volumes)
    return Saliency(
        (scaled / people).astype(np.float32),
        (magnitude / people).astype(np.float32),
    )


def _mask(mask, values: Tensor) -> Tensor:
    """The mask as bool, (X, Y, Z), checked against the images."""
    mask = tensor(mask).to(values.device)
    if not ((mask == 0) | (mask == 1)).all():
        raise ValueError(
            f"mask: values from {float(mask.min())} to {float(mask.max())}, "
            "expected bool, or 0 and 1 alone"
        )
    mask = mask == 1
    if mask.dim() != 3 or values.shape[-3:] != mask.shape or not mask.any():
        raise ValueError(
            f"mask: shape {tuple(mask.shape)} with {int(mask.sum())} voxels, "
            f"expected {tuple(values.shape[-3:])} as the gradient, and at "
            "least one voxel"
        )
    if not torch.isfinite(values).all():
        raise ValueError("gradient: holds NaN or Inf, expected finite values")
    return mask


def _gaussian(side: int, sigma: float) -> Tensor:
    """(side, side) Gaussian weights between voxels of a line, cut at 4
    sigma.
    """
    if sigma == 0:
        return torch.eye(side, dtype=torch.float64)
    place = torch.arange(side, dtype=torch.float64)
    distance = (place[:, None] - place).abs()
    return torch.exp(-0.5 * (distance / sigma) ** 2) * (distance <= 4 * sigma)


def _smooth(image: Tensor, kernels: Sequence[Tensor]) -> Tensor:
    """(X, Y, Z) by one matrix an axis; the scale is arbitrary."""
    # SciPy's filter would take the maps off their device
    # the axis that was smoothed becomes the last one
    for kernel in kernels:
        image = torch.tensordot(image, kernel, dims=([0], [0]))
    return image
