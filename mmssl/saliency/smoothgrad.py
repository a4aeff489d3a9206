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

from mmssl.models.dcgan import Encoder, deconvolve_parities
from mmssl.models.keyed_random import Stream

SLOPE = 0.2  # of the encoder's leaky rectifiers
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

    .. math:: S_k(x) = \frac{1}{N} \sum_{n=1}^{N} \nabla_x z_k (x + \epsilon_n),
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
    seeds = (
        [seed] * len(volumes)
        if isinstance(seed, int | np.integer)
        else list(seed)
    )
    if len(seeds) != len(volumes):
        raise ValueError(
            f"seed: {len(seeds)} seeds, expected one or {len(volumes)}, one per row"
        )
    if samples < 1 or not 0 <= std < float("inf"):
        raise ValueError(
            f"samples={samples}, std={std}: expected at least 1 and at least 0"
        )
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision={precision!r}, expected 'fp32' or 'bf16'")
    gradient = _dcgan_gradient if type(encoder) is Encoder else _gradient
    maps, drawn, draws = None, None, None
    kind = (device or volumes.device).type
    # whatever surrounds the call
    with _frozen(encoder), torch.autocast(kind, enabled=False):
        for i, (row, key) in enumerate(zip(volumes, seeds, strict=True)):
            row = row.to(device=device, dtype=dtype)
            # a third of the time of two dimensions, and rows may share a seed
            if key != drawn:
                drawn, draws = (
                    key,
                    gaussian_noise(
                        row.shape, samples, int(key), row.device
                    ).to(dtype),
                )
            copies = row + std * draws
            found = gradient(encoder, copies, dimensions, precision == "bf16")
            if maps is None:
                maps = found.new_empty(len(volumes), *found.shape)
            maps[i] = found
    return maps.squeeze(2) if maps.shape[2] == 1 else maps


def gaussian_noise(
    shape: Sequence[int], samples: int, seed: int, device=None
) -> Tensor:
    """Standard normal noise of a row's copies, (samples, *shape): a pure
    function of the seed.
    """
    row = torch.zeros(1, dtype=torch.int64, device=device)
    draws = [
        Stream(row, seed, n, "smoothgrad").normal("noise", *shape)
        for n in range(samples)
    ]
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
        seeds = seed if isinstance(seed, int | np.integer) else seed[rows]
        yield smoothgrad(encoder, volumes[rows], seed=seeds, **options)


@contextmanager
def _frozen(encoder) -> Iterator[None]:
    """Evaluation mode and parameters that ask for no gradient; everything is
    put back after.
    """
    modules = list(encoder.modules()) if isinstance(encoder, nn.Module) else []
    parameters = list(encoder.parameters()) if modules else []
    modes, asked = (
        [m.training for m in modules],
        [p.requires_grad for p in parameters],
    )
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
        for parameter, wanted in zip(parameters, asked, strict=True):
            parameter.requires_grad_(wanted)


def _gradient(encoder, copies: Tensor, dimensions, half: bool) -> Tensor:
    """Mean gradient over the copies by autograd, for any encoder: (n, C,
    *sides).
    """
    x = copies.requires_grad_(True)
    with (
        torch.enable_grad(),
        torch.autocast(x.device.type, torch.bfloat16, enabled=half),
    ):
        z = _representation(encoder(x), len(x))
        if not z.requires_grad:
            raise ValueError(
                "the encoder's z does not depend on its input: no gradient"
            )
        chosen = _dimensions(dimensions, z.shape[1])
        total = z.sum(0)
    maps = [
        torch.autograd.grad(total[k], x, retain_graph=True)[0].mean(0)
        for k in chosen
    ]
    return torch.stack(maps)


@torch.no_grad()
def _dcgan_gradient(
    encoder: Encoder, copies: Tensor, dimensions, half: bool
) -> Tensor:
    """The same for the DCGAN encoder, all dimensions as one batch: (n, C,
    *sides).
    """
    outputs: list[Tensor] = []
    hooks = [
        n.register_forward_hook(lambda *a: outputs.append(a[-1]))
        for n in encoder.norms
    ]
    try:
        z = _representation(encoder(copies), len(copies))
    finally:
        for hook in hooks:
            hook.remove()
    chosen = _dimensions(dimensions, z.shape[1])
    dims, dtype = copies.dim() - 2, torch.bfloat16 if half else copies.dtype
    layout = {"dtype": dtype, "memory_format": _LAYOUT[dims]}
    # a leaky rectifier keeps the sign, so that its output says as well as its
    # input what was open
    slopes = [torch.where(x > 0, 1.0, SLOPE).to(**layout) for x in outputs]
    layers = zip(encoder.convs, encoder.norms, strict=True)
    weights = [_folded(conv, norm).to(**layout) for conv, norm in layers]
    start = encoder.to_latent.weight[chosen].to(**layout)
    bytes_each = slopes[0][0].nbytes
    chunk = max(1, _CHUNK_BYTES.get(copies.device.type, 1 << 30) // bytes_each)
    maps = []
    for rows in start.split(chunk):  # (dimensions, channels, 4, 4[, 4])
        total = torch.zeros(
            (len(rows), *slopes[0].shape[1:]),
            dtype=dtype,
            device=copies.device,
        )
        total = total.contiguous(memory_format=_LAYOUT[dims])
        for n in range(len(copies)):
            g = rows
            for weight, slope in zip(
                weights[:0:-1], slopes[:0:-1], strict=True
            ):
                g = _TRANSPOSE[dims](g * slope[n], weight, stride=2, padding=1)
            total.addcmul_(g, slopes[0][n])
        voxels = (
            deconvolve_parities(total, weights[0])
            if dims == 3
            else F.conv_transpose2d(total, weights[0], stride=2, padding=1)
        )
        maps.append(voxels.to(copies.dtype) / len(copies))
    return torch.cat(maps)


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
    weight = (
        next(encoder.parameters(), None)
        if isinstance(encoder, nn.Module)
        else None
    )
    if weight is None:
        return None, torch.float32
    return weight.device, weight.dtype


def tensor(values) -> Tensor:
    """Tensor of an array; one that is mapped read-only, or strided, is
    copied.
    """
    return torch.as_tensor(
        values
        if isinstance(values, Tensor)
        else np.require(values, None, "CW")
    )


def _checked(volumes) -> Tensor:
    volumes = tensor(volumes)
    if (
        volumes.dim() < 3
        or not len(volumes)
        or not volumes.is_floating_point()
    ):
        raise ValueError(
            f"volumes: shape {tuple(volumes.shape)} of {volumes.dtype}, expected "
            "(B, C, *sides) of floats, B at least 1"
        )
    bad = ~torch.isfinite(volumes).flatten(1).all(1)
    if bad.any():
        raise ValueError(
            f"volumes: row {int(bad.int().argmax())} holds NaN or Inf, expected none"
        )
    return volumes


def _representation(found, rows: int) -> Tensor:
    z = getattr(found, "z", found)
    if not isinstance(z, Tensor) or z.dim() != 2 or len(z) != rows:
        what = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
        raise ValueError(
            f"the encoder returned {what}, expected Features or z of shape "
            f"({rows}, latent)"
        )
    if not torch.isfinite(z).all():
        raise ValueError(
            "the encoder returned NaN or Inf in z, expected finite values"
        )
    return z


def _dimensions(wanted, latent: int) -> list[int]:
    chosen = (
        list(range(latent)) if wanted is None else [int(k) for k in wanted]
    )
    unknown = [k for k in chosen if not 0 <= k < latent]
    if unknown or not chosen:
        raise ValueError(
            f"dimensions: {unknown or 'none'} asked for, z has 0 to {latent - 1}"
        )
    return chosen
