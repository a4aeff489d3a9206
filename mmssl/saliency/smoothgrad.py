r"""SmoothGrad of all latent dimensions at once.

What one backward pass costs decides how. At :math:`32^3` and width 32, in
million multiply-adds a dimension and noisy copy: 33.5 from side 4 to side 8,
67.1 from 8 to 16, 8.4 from 16 to the voxels. A loop over dimensions also
repeats the forward pass of 109 for each. Here the forward pass runs once a
copy, all dimensions go down together as one batch that starts from the rows of
the last weight, and the copies are added up *before* the step to the voxels,
below which nothing is non-linear any more: 64 dimensions and 5 copies are
:math:`64 (5 \cdot 100.6 + 8.4)` instead of :math:`64 \cdot 5 \cdot 2 \cdot
109` million, 2.1 times fewer, and all of them in channels-last convolutions.
The loop is what the public code of 001 does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmssl.models.dcgan import SLOPE, Encoder, deconvolve_parities
from mmssl.models.keyed_random import Stream

# of one batch of dimensions, at its largest
_CHUNK_BYTES = {"cpu": 1 << 23, "cuda": 1 << 30}
_TRANSPOSE = {2: F.conv_transpose2d, 3: F.conv_transpose3d}
_LAYOUT = {2: torch.channels_last, 3: torch.channels_last_3d}


def smoothgrad(
    encoder,
    volumes,
    samples: int = 5,
    std: float = 0.05,
    seed: int | Sequence[int] = 0,
    *,
    dimensions: Sequence[int] | None = None,
    precision: str = "fp32",
) -> Tensor:
    r"""Signed mean gradient of each latent dimension over noisy copies of the
    input.

    .. math:: S_k(x) = \frac{1}{N} \sum_{n=1}^{N}
              \nabla_x z_k (x + \epsilon_n),
              \qquad \epsilon_n \sim \mathcal{N}(0, \sigma^2)

    (Smilkov et al. 2017, section 3; 001, "Representational insights using
    saliency": N = 5 and :math:`\sigma = .05`, in units of the z-scored input.)
    Rows are computed one by one, so that a row's saliency has the same bits in
    any batch.

    Parameters
    ----------
    encoder : Module or callable
        Returns :class:`~mmssl.models.dcgan.Features`, whose z is read, or the
        tensor z, (B, latent). A module is in evaluation mode meanwhile;
        afterwards each part is in its former mode, and neither buffers nor
        gradients of parameters have changed.
    volumes : array or Tensor, shape (B, C, *sides)
        Moved to the encoder's device.
    samples, std
        Number of noisy copies N, and their standard deviation; 0 gives the
        plain gradient.
    seed : int or one per row
        Of the noise, see :func:`gaussian_noise`. Rows of one seed get the same
        noise.
    dimensions : sequence of int, optional
        Indices of z; all by default.
    precision : {"fp32", "bf16"}
        Of the backward pass. For :class:`~mmssl.models.dcgan.Encoder` the
        forward pass, and with it which rectifiers are open, stays in fp32;
        another encoder runs under autocast.

    Returns
    -------
    Tensor, shape (B, n, *sides), or (B, n, C, *sides) with more than one
    channel
        On the encoder's device, in its precision.

    Raises
    ------
    ValueError
        For volumes without rows or not finite, an unknown dimension or
        precision, seeds of another number, or an encoder that returns no
        finite (B, latent), or one cut off from its input.
    """
    device, dtype = _place(encoder)
    volumes = _checked(volumes)
    seeds = _seed_per_row(seed, len(volumes))
    if samples < 1 or not 0 <= std < float("inf"):
        raise ValueError(
            f"samples={samples}, std={std}: expected at least 1 and at least 0"
        )
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision={precision!r}, expected 'fp32' or 'bf16'")
    gradient = _dcgan_gradient if type(encoder) is Encoder else _gradient
    device = device or volumes.device
    maps, noise, noise_seed = None, None, None
    # an autocast around the call must not reach in
    with _frozen(encoder), torch.autocast(device.type, enabled=False):
        for i, (row, row_seed) in enumerate(zip(volumes, seeds, strict=True)):
            row = row.to(device=device, dtype=dtype)
            # drawing takes a third of the time of two dimensions, and rows
            # may share a seed
            if row_seed != noise_seed:
                noise = gaussian_noise(row.shape, samples, row_seed, device)
                noise, noise_seed = noise.to(dtype), row_seed
            copies = row + std * noise
            row_maps = gradient(
                encoder, copies, dimensions, precision == "bf16"
            )
            if maps is None:
                maps = row_maps.new_empty(len(volumes), *row_maps.shape)
            maps[i] = row_maps
    return maps.squeeze(2) if maps.shape[2] == 1 else maps


def gaussian_noise(
    shape: Sequence[int], samples: int, seed: int, device=None
) -> Tensor:
    """Standard normal noise of a row's copies, (samples, *shape): a pure
    function of the seed.
    """
    row = torch.zeros(1, dtype=torch.int64, device=device)
    draws = []
    for n in range(samples):
        generator = Stream(row, seed, n, "smoothgrad")
        draws.append(generator.normal("noise", *shape))
    return torch.cat(draws)


def stream(
    encoder, volumes, block: int = 8, seed=0, **options
) -> Iterator[Tensor]:
    """SmoothGrad of many rows, block by block: memory does not grow with their
    number.

    Parameters
    ----------
    encoder, seed
        As in :func:`smoothgrad`.
    volumes : array-like, shape (B, C, *sides)
        Sliced block by block; a memory-mapped array stays on disk.
    block : int
        Rows a block.
    **options
        Of :func:`smoothgrad`.

    Yields
    ------
    Tensor, shape (rows, n, *sides)
    """
    if block < 1:
        raise ValueError(f"block={block}, expected at least 1")
    for start in range(0, len(volumes), block):
        rows = slice(start, start + block)
        seeds = seed
        if not isinstance(seed, int | np.integer):
            seeds = seed[rows]
        yield smoothgrad(encoder, volumes[rows], seed=seeds, **options)


def _seed_per_row(seed: int | Sequence[int], rows: int) -> list[int]:
    if isinstance(seed, int | np.integer):
        return [int(seed)] * rows
    seeds = [int(row_seed) for row_seed in seed]
    if len(seeds) != rows:
        raise ValueError(
            f"seed: {len(seeds)} seeds, expected one or {rows}, one per row"
        )
    return seeds


@contextmanager
def _frozen(encoder) -> Iterator[None]:
    """Evaluation mode and parameters that ask for no gradient; everything is
    put back after.
    """
    modules, parameters = [], []
    if isinstance(encoder, nn.Module):
        modules = list(encoder.modules())
        parameters = list(encoder.parameters())
    modes = [module.training for module in modules]
    wanted = [parameter.requires_grad for parameter in parameters]
    try:
        for module in modules:
            module.training = False
        for parameter in parameters:
            parameter.requires_grad_(False)
        with torch.inference_mode(False):
            yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
        for parameter, gradient in zip(parameters, wanted, strict=True):
            parameter.requires_grad_(gradient)


def _gradient(encoder, copies: Tensor, dimensions, half: bool) -> Tensor:
    """Mean gradient over the copies by autograd, (n, C, *sides), for any
    encoder.
    """
    x = copies.requires_grad_(True)
    with (
        torch.enable_grad(),
        torch.autocast(x.device.type, torch.bfloat16, enabled=half),
    ):
        # an encoder may begin in place, which a leaf forbids
        z = _representation(encoder(x.clone()), len(x))
        if not z.requires_grad:
            raise ValueError(
                "the encoder's z does not depend on its input: no gradient"
            )
        chosen = _dimensions(dimensions, z.shape[1])
        total = z.sum(0)
    maps = []
    for k in chosen:
        (gradient,) = torch.autograd.grad(total[k], x, retain_graph=True)
        maps.append(gradient.mean(0))
    return torch.stack(maps)


@torch.no_grad()
def _dcgan_gradient(
    encoder: Encoder, copies: Tensor, dimensions, half: bool
) -> Tensor:
    """The same for the DCGAN encoder, all dimensions as one batch: (n, C,
    *sides).
    """
    rectifier_inputs: list[Tensor] = []

    def keep(module, arguments, output):
        """Note what goes into a rectifier."""
        rectifier_inputs.append(output)

    hooks = [norm.register_forward_hook(keep) for norm in encoder.norms]
    try:
        z = _representation(encoder(copies), len(copies))
    finally:
        for hook in hooks:
            hook.remove()
    chosen = _dimensions(dimensions, z.shape[1])
    dims = copies.dim() - 2
    layout = {
        "dtype": torch.bfloat16 if half else copies.dtype,
        "memory_format": _LAYOUT[dims],
    }
    slopes = []
    for x in rectifier_inputs:
        # the rectifier may have worked in place: it keeps the sign
        slopes.append(torch.where(x > 0, 1.0, SLOPE).to(**layout))
    weights = []
    for conv, norm in zip(encoder.convs, encoder.norms, strict=True):
        weights.append(_folded(conv, norm).to(**layout))
    start = encoder.to_latent.weight[chosen].to(**layout)
    chunk_bytes = _CHUNK_BYTES.get(copies.device.type, 1 << 30)
    chunk = max(1, chunk_bytes // slopes[0][0].nbytes)
    maps = []
    for rows in start.split(chunk):  # (dimensions, channels, 4, 4[, 4])
        total = _sum_over_copies(rows, weights, slopes, layout)
        if dims == 3:
            voxels = deconvolve_parities(total, weights[0])
        else:
            voxels = _transposed(total, weights[0])
        maps.append(voxels.to(copies.dtype) / len(copies))
    return torch.cat(maps)


def _sum_over_copies(
    rows: Tensor, weights: list[Tensor], slopes: list[Tensor], layout: dict
) -> Tensor:
    """Gradient at the output of the first layer, summed over the copies.

    Parameters
    ----------
    rows : Tensor, shape (dimensions, channels, 4, 4[, 4])
        Of the last weight, one a dimension.
    weights, slopes : list of Tensor
        Of the strided layers from the first one; slopes (copies, channels,
        *sides).
    layout : dict
        dtype and memory format of the sum.
    """
    total = torch.zeros(
        (len(rows), *slopes[0].shape[1:]),
        dtype=layout["dtype"],
        device=rows.device,
    )
    total = total.contiguous(memory_format=layout["memory_format"])
    for n in range(len(slopes[0])):
        gradient = rows
        for layer in range(len(weights) - 1, 0, -1):
            gradient = gradient * slopes[layer][n]
            gradient = _transposed(gradient, weights[layer])
        total.addcmul_(gradient, slopes[0][n])
    return total


def _transposed(x: Tensor, weight: Tensor) -> Tensor:
    """From the output of a strided layer back to its input."""
    return _TRANSPOSE[x.dim() - 2](x, weight, stride=2, padding=1)


def _folded(conv: nn.Module, norm: nn.Module) -> Tensor:
    """Weight of a convolution times the slope of the norm behind it, fixed in
    evaluation mode.
    """
    if isinstance(norm, nn.Identity):
        return conv.weight
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return conv.weight * scale.view(-1, *(1,) * (conv.weight.dim() - 1))


def _place(encoder) -> tuple[torch.device | None, torch.dtype]:
    """Device and precision of an encoder's weights."""
    weight = None
    if isinstance(encoder, nn.Module):
        weight = next(encoder.parameters(), None)
    if weight is None:
        return None, torch.float32
    return weight.device, weight.dtype


def tensor(values) -> Tensor:
    """Tensor of an array; one that is mapped read-only, or strided, is
    copied.
    """
    if isinstance(values, Tensor):
        return values
    return torch.as_tensor(np.require(values, None, "CW"))


def _checked(volumes) -> Tensor:
    volumes = tensor(volumes)
    floats = volumes.is_floating_point()
    if volumes.dim() < 3 or len(volumes) == 0 or not floats:
        raise ValueError(
            f"volumes: shape {tuple(volumes.shape)} of {volumes.dtype}, "
            "expected (B, C, *sides) of floats, B at least 1"
        )
    bad = ~torch.isfinite(volumes).flatten(1).all(1)
    if bad.any():
        raise ValueError(
            f"volumes: row {int(bad.int().argmax())} holds NaN or Inf, "
            "expected none"
        )
    return volumes


def _representation(output, rows: int) -> Tensor:
    """z (B, latent) of what an encoder returned."""
    z = getattr(output, "z", output)
    is_tensor = isinstance(z, Tensor)
    if not is_tensor or z.dim() != 2 or len(z) != rows:
        returned = tuple(z.shape) if is_tensor else type(z).__name__
        raise ValueError(
            f"the encoder returned {returned}, expected Features or z of "
            f"shape ({rows}, latent)"
        )
    if not torch.isfinite(z).all():
        raise ValueError(
            "the encoder returned NaN or Inf in z, expected finite values"
        )
    return z


def _dimensions(wanted, latent: int) -> list[int]:
    chosen = list(range(latent))
    if wanted is not None:
        chosen = [int(k) for k in wanted]
    unknown = [k for k in chosen if not 0 <= k < latent]
    if unknown or not chosen:
        raise ValueError(
            f"dimensions: {unknown or 'none'} asked for, z has 0 to "
            f"{latent - 1}"
        )
    return chosen
