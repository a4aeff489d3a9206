"""What is shown of a latent dimension's gradient, and how much of it was
learned.

The gradients come from :mod:`mmssl.saliency.smoothgrad`. A map of them is
masked to the brain, smoothed and rescaled person by person (001,
"Representational insights using saliency"); the public code of that paper
takes a threshold over the whole batch, so that a person's map depends on the
neighbours. Next to every map belongs the doubt about it: the same map from an
encoder that has forgotten.
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
    neighbourhood and not by a single voxel. An image that is constant inside
    the mask becomes 0.

    Parameters
    ----------
    gradient : array or Tensor, shape (..., X, Y, Z)
    mask : array or Tensor, shape (X, Y, Z), bool or 0 and 1
    sigma : float
        Of the Gaussian, in voxels; 0 for none.
    part : {"absolute", "positive"}
        "positive" drops negative gradients, as the public code of 001 does.
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
        finite, an unknown part.
    """
    values = tensor(gradient)
    values = values if values.dtype == torch.float64 else values.float()
    inside = _mask(mask, values)
    if part not in ("absolute", "positive"):
        raise ValueError(f"part={part!r}, expected 'absolute' or 'positive'")
    if sigma < 0 or not (quantile is None or 0 <= quantile < 1):
        raise ValueError(
            f"sigma={sigma}, quantile={quantile}: expected at least 0 and in [0, 1)"
        )
    kernels = [_gaussian(n, sigma).to(values) for n in inside.shape]
    weight = _smooth(inside.to(values), kernels)[inside]
    scaled, magnitude = torch.zeros_like(values), torch.zeros_like(values)
    flat = (x.view(-1, *inside.shape) for x in (scaled, magnitude))
    for image, s, m in zip(
        values.reshape(-1, *inside.shape), *flat, strict=True
    ):
        image = (
            image.abs() if part == "absolute" else image.clamp(min=0)
        ) * inside
        if quantile is not None:
            image = image * (image >= torch.quantile(image[inside], quantile))
        found = _smooth(image, kernels)[inside] / weight
        spread = found.max() - found.min()
        m[inside] = found
        # what rounding may leave
        if spread > 16 * torch.finfo(found.dtype).eps * found.max():
            s[inside] = (found - found.min()) / spread
    both = (scaled, magnitude)
    return Saliency(
        *(both if isinstance(gradient, Tensor) else (x.numpy() for x in both))
    )


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
    total = [0.0, 0.0]
    with tqdm(total=len(volumes), disable=not progress, leave=False) as bar:
        for gradient in stream(encoder, volumes, **options):
            for part, maps in enumerate(
                postprocess(gradient.cpu().numpy(), mask, sigma)
            ):
                total[part] = total[part] + maps.sum(0, dtype=np.float64)
            bar.update(len(gradient))
    return Saliency(
        *((part / len(volumes)).astype(np.float32) for part in total)
    )


def _mask(mask, values: Tensor) -> Tensor:
    mask = tensor(mask).to(values.device)
    if not ((mask == 0) | (mask == 1)).all():
        raise ValueError(
            f"mask: values from {float(mask.min())} to {float(mask.max())}, expected "
            "bool, or 0 and 1 alone"
        )
    mask = mask == 1
    if mask.dim() != 3 or values.shape[-3:] != mask.shape or not mask.any():
        raise ValueError(
            f"mask: shape {tuple(mask.shape)} with {int(mask.sum())} voxels, expected "
            f"{tuple(values.shape[-3:])} as the gradient, and at least one voxel"
        )
    if not torch.isfinite(values).all():
        raise ValueError("gradient: holds NaN or Inf, expected finite values")
    return mask


def _gaussian(side: int, sigma: float) -> Tensor:
    """(side, side) Gaussian weights between voxels of a line, cut at 4
    sigma.
    """
    distance = torch.arange(side, dtype=torch.float64)
    distance = (distance[:, None] - distance).abs()
    if sigma == 0:
        return torch.eye(side, dtype=torch.float64)
    return torch.exp(-0.5 * (distance / sigma) ** 2) * (distance <= 4 * sigma)


def _smooth(image: Tensor, kernels: Sequence[Tensor]) -> Tensor:
    """(X, Y, Z) by one matrix an axis; the scale is arbitrary."""
    for kernel in kernels:  # the axis smoothed comes last, three times round
        image = torch.tensordot(image, kernel, dims=([0], [0]))
    return image
