"""The U-Net of PCRL in 3D and 2D: an encoder whose feature maps a decoder
reads (003, section 4.3; Çiçek et al. 2016).

Two convolutions a level, each with a norm and a rectifier behind it; maps
halve between levels. The layers and their widths are those of 003's public
code, which its text leaves open.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmssl.models.dcgan import (
    CONVOLUTION,
    NORM,
    TRANSPOSED,
    Features,
    output_activation,
)
from mmssl.models.full_precision import applied

LEVELS = 4
STEP = 2 ** (LEVELS - 1)
"""Sides are multiples of it."""

POOL = {2: F.max_pool2d, 3: F.max_pool3d}


def _block(dims: int, *channels: int) -> nn.Sequential:
    """Convolutions of kernel 3, each with batch norm and rectifier."""
    layers = []
    for before, after in pairwise(channels):
        layers += [
            CONVOLUTION[dims](before, after, 3, padding=1),
            NORM[dims](after),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class UNetEncoder(nn.Module):
    """The contracting path.

    Parameters
    ----------
    in_channels : int
    width : int
        Channels of the first convolution; 32 in 003. The levels end in 2, 4, 8
        and 16 times as many.
    size : int or sequence of int
        Sides of the input, multiples of 8; one number for all.
    dims : int
        2 or 3.

    Attributes
    ----------
    latent : int
        Length of z: 16 times the width.
    input_shape : tuple of int
        (in_channels, *sides).

    Raises
    ------
    ValueError
        For other dims, or a side that is no multiple of 8.
    """

    def __init__(
        self,
        in_channels: int = 1,
        width: int = 32,
        size: int | Sequence[int] = 64,
        dims: int = 3,
    ):
        super().__init__()
        self.width = width
        self.dims = dims
        self.input_shape = (in_channels, *_sides(size, dims))
        self.latent = self.local_channels = 2**LEVELS * width
        first = _block(dims, in_channels, width, 2 * width)
        self.levels = nn.ModuleList([first])
        for level in range(1, LEVELS):
            channels = 2**level * width
            block = _block(dims, channels, channels, 2 * channels)
            self.levels.append(block)
        self.pool = POOL[dims]

    def forward(self, x: Tensor, stream=None) -> Features:
        """Encode a batch.

        Parameters
        ----------
        x : Tensor, shape (B, in_channels, *sides)
            Of any sides that are multiples of 8, not only those it was made
            for.
        stream
            As every encoder takes one; nothing here is random.

        Returns
        -------
        Features
            z (B, latent), the mean of the last map over its places; local, the
            last map, behind its rectifier, (B, latent, *sides / 8); maps,
            those of the levels before it, coarse to fine.
        """
        channels = self.input_shape[0]
        fits = x.dim() == self.dims + 2 and x.shape[1] == channels
        if not fits or any(side % STEP for side in x.shape[2:]):
            raise ValueError(
                f"U-Net input has shape {tuple(x.shape)}, expected (B, "
                f"{channels}) and {self.dims} sides that are multiples of "
                f"{STEP}"
            )
        maps = []
        for level in self.levels[:-1]:
            x = applied(level, x)
            maps.append(x)
            x = self.pool(x, 2)
        local = applied(self.levels[-1], x)
        return Features(local.flatten(2).mean(2), local, tuple(maps[::-1]))

    def decoder(
        self, out_channels: int, activation: str | None = None
    ) -> "UNetDecoder":
        """A decoder that reads the maps of this encoder, with initial
        weights.
        """
        return UNetDecoder(out_channels, self.width, self.dims, activation)


class UNetDecoder(nn.Module):
    """The expanding path, which reads the encoder's maps at every level.

    Parameters
    ----------
    out_channels, width, dims
        As of :class:`UNetEncoder`; ``out_channels`` may be classes.
    activation : {None, "sigmoid", "tanh"}
        Of the output.
    """

    def __init__(
        self,
        out_channels: int = 1,
        width: int = 32,
        dims: int = 3,
        activation: str | None = None,
    ):
        super().__init__()
        self.activation = output_activation(activation)
        self.rises, self.blocks = nn.ModuleList(), nn.ModuleList()
        below = 2**LEVELS * width
        for level in reversed(range(1, LEVELS)):
            beside = 2**level * width
            self.rises.append(TRANSPOSED[dims](below, below, 2, stride=2))
            block = _block(dims, below + beside, beside, beside)
            self.blocks.append(block)
            below = beside
        self.output = CONVOLUTION[dims](below, out_channels, 1)

    def forward(self, local: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Decode a batch.

        Parameters
        ----------
        local : Tensor, shape (B, 16 width, *sides / 8)
            The last map of an encoder, or what was made of it.
        maps : sequence of Tensor
            Those of the levels before it, coarse to fine.

        Returns
        -------
        Tensor, shape (B, out_channels, *sides)
        """
        x = local
        layers = zip(self.rises, self.blocks, maps, strict=True)
        for rise, block, beside in layers:
            x = applied(block, torch.cat([rise(x), beside], 1))
        x = self.output(x)
        return self.activation(x)


def mixed(first: Features, second: Features, share: Tensor) -> Features:
    r"""Cross-model Mixup: the features of an encoder that is none, :math:`F_h
    = \lambda F_o + (1 - \lambda) F_m` at every layer (003, equation 6).

    Parameters
    ----------
    first, second : Features
        Of the ordinary and of the momentum encoder, of one architecture.
    share : Tensor, shape (B,)
        :math:`\lambda` of each row.

    Returns
    -------
    Features
    """

    def mix(one: Tensor, other: Tensor) -> Tensor:
        """One map of the hybrid."""
        weight = share.view(-1, *(1,) * (one.dim() - 1)).to(one.dtype)
        return torch.lerp(other, one, weight)

    maps = zip(first.maps, second.maps, strict=True)
    return Features(
        mix(first.z, second.z),
        mix(first.local, second.local),
        tuple(mix(one, other) for one, other in maps),
    )


def _sides(size: int | Sequence[int], dims: int) -> tuple[int, ...]:
    """The sides of the input; ValueError where they cannot be halved."""
    if dims not in CONVOLUTION:
        raise ValueError(f"dims is {dims!r}, expected 2 or 3")
    sides = (size,) * dims if isinstance(size, int) else tuple(size)
    if len(sides) != dims or any(side % STEP or side < 1 for side in sides):
        raise ValueError(
            f"size is {size!r}, expected {dims} sides that are multiples of "
            f"{STEP}"
        )
    return sides
