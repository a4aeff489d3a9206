"""The densely connected network of 002: of volumes with slices farther apart
than their voxels (section IV-E; Huang et al. 2017).

Five blocks of 1, 2, 3, 3 and 3 units; each unit reads the maps of all units
before it, so that none is learned twice and few channels suffice. The first
two blocks stay within a slice, the last three see volumes. z is read at two
scales of evidence: how much of a feature there is, and how strong it is
anywhere, which a small bleeding needs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmssl.models.dcgan import CONVOLUTION, NORM, Features
from mmssl.models.full_precision import applied
from mmssl.models.unet import POOL

UNITS = (1, 2, 3, 3, 3)
"""Of each block."""

IN_PLANE = 2
"""How many blocks, the first ones, stay within a slice."""

INITIAL, GROWTH = 16, 7
"""Channels of the first map, and those that a unit adds."""

GRID = 2
"""Places of z along each axis."""

# of the leaky rectifier below 0; 002 names none, PyTorch's own
SLOPE = 0.01
ADAPTIVE_AVERAGE = {2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
ADAPTIVE_MAXIMUM = {2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}


def _unit(dims: int, in_plane: bool, before: int, after: int) -> nn.Module:
    """Convolution of kernel 3, batch norm and leaky rectifier."""
    kernel = [3] * dims
    if in_plane and dims == 3:
        kernel[-1] = 1
    padding = [side // 2 for side in kernel]
    return nn.Sequential(
        CONVOLUTION[dims](before, after, kernel, padding=padding, bias=False),
        NORM[dims](after),
        nn.LeakyReLU(SLOPE, inplace=True),
    )


class DenseNetEncoder(nn.Module):
    """The densely connected network, without a compression of its maps.

    Maps are halved between blocks by their maximum: the first two times within
    slices, then along all axes. 002 does not say by what; with averages, as in
    Huang et al. 2017, three hundred steps on 410 simulated people did not
    teach it to tell who has a lesion, with maxima they did. Slices lie along
    the last axis, so that 002's kernels (1, 3, 3) of (z, y, x) are (3, 3, 1)
    here. In 2D everything is within the slice.

    002 says of its 1024 features that they come from adaptive pooling, "both
    max and average", not how they are laid out. Here a convolution of kernel 1
    to ``latent`` channels is pooled to 2 places an axis: 64 channels, 8 places
    and 2 poolings are 1024. Nor does it say what follows the first
    convolution: here what follows all others, a norm and a rectifier.

    Parameters
    ----------
    in_channels : int
    width : int
        Channels of the first map, 16 in 002; a unit adds 7/16 of them, and at
        least one.
    latent : int
        Channels that are pooled.
    size : int or sequence of int
        Sides of the input, at least 16, the last one of volumes at least 4;
        one number for all.
    dims : int
        2 or 3.

    Attributes
    ----------
    latent : int
        Length of z: of each channel, 16 numbers in 3D and 8 in 2D.
    local_channels : int
        Of the last map, 100 of width 16.
    input_shape : tuple of int
        (in_channels, *sides).

    Raises
    ------
    ValueError
        For other dims, or sides of which nothing would be left.
    """

    def __init__(
        self,
        in_channels: int = 1,
        width: int = INITIAL,
        latent: int = 64,
        size: int | Sequence[int] = 64,
        dims: int = 3,
    ):
        super().__init__()
        if dims not in CONVOLUTION:
            raise ValueError(f"dims is {dims!r}, expected 2 or 3")
        self.dims = dims
        halvings = len(UNITS) - 1
        within, along = 2**halvings, 2 ** (halvings - IN_PLANE)
        self.least = (within, within, along)[:dims]
        sides = (size,) * dims if isinstance(size, int) else tuple(size)
        self.input_shape = (in_channels, *sides)
        if not self._fits(self.input_shape):
            raise ValueError(
                f"size is {size!r}, expected {dims} sides of at least "
                f"{self.least}"
            )
        growth = max(1, round(GROWTH * width / INITIAL))
        self.initial = _unit(dims, True, in_channels, width)
        self.blocks = nn.ModuleList()
        channels = width
        for number, units in enumerate(UNITS):
            block = nn.ModuleList()
            for _ in range(units):
                unit = _unit(dims, number < IN_PLANE, channels, growth)
                block.append(unit)
                channels += growth
            self.blocks.append(block)
        self.local_channels = channels
        self.reduction = CONVOLUTION[dims](channels, latent, 1)
        self.latent = 2 * latent * GRID**dims

    def forward(self, x: Tensor, stream=None) -> Features:
        """Encode a batch.

        Parameters
        ----------
        x : Tensor, shape (B, in_channels, *sides)
            Of any sides that are large enough, not only those it was made for.
        stream
            As every encoder takes one; nothing here is random.

        Returns
        -------
        Features
            z (B, latent), averages of all channels and places and then their
            maxima; local, the last map, (B, local_channels, X / 16, Y / 16[, Z
            / 4]), rounded down.
        """
        if not self._fits(x.shape[1:]):
            raise ValueError(
                f"DenseNet input has shape {tuple(x.shape)}, expected (B, "
                f"{self.input_shape[0]}) and {self.dims} sides of at least "
                f"{self.least}"
            )
        x = self.initial(x)
        for number, block in enumerate(self.blocks):
            if number:
                in_plane = self.dims == 3 and number <= IN_PLANE
                halved = (2, 2, 1) if in_plane else 2
                x = POOL[self.dims](x, halved)
            for unit in block:
                x = torch.cat([x, applied(unit, x)], 1)
        reduced = self.reduction(x)
        average = ADAPTIVE_AVERAGE[self.dims](reduced, GRID)
        maximum = ADAPTIVE_MAXIMUM[self.dims](reduced, GRID)
        return Features(torch.cat([average, maximum], 1).flatten(1), x)

    def _fits(self, shape: Sequence[int]) -> bool:
        """Whether an input of (channels, *sides) can be read."""
        channels, *sides = shape
        if len(sides) != self.dims or channels != self.input_shape[0]:
            return False
        pairs = zip(sides, self.least, strict=True)
        return all(side >= least for side, least in pairs)
