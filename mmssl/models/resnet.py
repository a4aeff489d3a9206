"""Residual networks (He et al. 2016), of MONAI's layers: those that 002 learns
from images with, and the encoder and decoder of 003's 2D U-Net.

ResNet-50 has 23.5 million parameters; with all its maps twice as wide, 002's
ResNet-50w2, it has 93.9 million.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmssl.models.dcgan import CONVOLUTION, Features, output_activation
from mmssl.models.full_precision import applied

LAYERS = {
    18: ("basic", (2, 2, 2, 2)),
    50: ("bottleneck", (3, 4, 6, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}
"""Of each depth: the block, and how many of them each stage has."""

STAGES = 4
STEP = 2 ** (STAGES + 1)
"""Sides are so many times those of the last map."""

LEAST = 8
"""Sides are no less: the first convolution has kernel 7, and of smaller
volumes oneDNN's in bfloat16 breaks the heap (torch 2.13).
"""


class ResNetEncoder(nn.Module):
    """A residual network without its classifier (002, section IV-B; Caron et
    al. 2020).

    Parameters
    ----------
    in_channels : int
    width : int
        Channels of the first convolution and planes of the first stage, 64 in
        ResNet-50 and 128 in ResNet-50w2; each further stage doubles them.
    size : int or sequence of int
        Sides of the input, at least 8; one number for all.
    dims : int
        2 or 3.
    depth : {18, 50, 152}

    Attributes
    ----------
    latent : int
        Length of z: of width 64, 2048, and 512 of depth 18.
    local_channels : int
        The same.
    input_shape : tuple of int
        (in_channels, *sides).

    Raises
    ------
    ValueError
        For other dims, another depth, or sides that cannot be read.
    """

    step = 1
    """Sides are multiples of it."""

    def __init__(
        self,
        in_channels: int = 1,
        width: int = 64,
        size: int | Sequence[int] = 64,
        dims: int = 2,
        depth: int = 50,
    ):
        # it takes seconds to import
        from monai.networks.nets.resnet import ResNet

        super().__init__()
        if dims not in CONVOLUTION:
            raise ValueError(f"dims is {dims!r}, expected 2 or 3")
        if depth not in LAYERS:
            raise ValueError(
                f"depth is {depth!r}, expected one of {tuple(LAYERS)}"
            )
        self.width = width
        self.dims = dims
        sides = (size,) * dims if isinstance(size, int) else tuple(size)
        self.input_shape = (in_channels, *sides)
        if not self._fits(self.input_shape):
            raise ValueError(f"size is {size!r}, expected {self._expected()}")
        block, layers = LAYERS[depth]
        network = ResNet(
            block,
            list(layers),
            [width * 2**stage for stage in range(STAGES)],
            spatial_dims=dims,
            n_input_channels=in_channels,
            conv1_t_stride=2,
            feed_forward=False,
            bias_downsample=False,
        )
        self.stem = nn.Sequential(network.conv1, network.bn1, network.act)
        self.pool = network.maxpool
        self.stages = nn.ModuleList(
            [network.layer1, network.layer2, network.layer3, network.layer4]
        )
        self.latent = self.local_channels = network.in_planes

    def forward(self, x: Tensor, stream=None) -> Features:
        """Encode a batch.

        Parameters
        ----------
        x : Tensor, shape (B, in_channels, *sides)
            Of any sides that it can read, not only those it was made for.
        stream
            As every encoder takes one; nothing here is random.

        Returns
        -------
        Features
            z (B, latent), the mean of the last map over its places; local, the
            last map, behind its rectifier, (B, latent, *sides / 32), rounded
            up.
        """
        local = self._maps(x)[-1]
        return Features(local.flatten(2).mean(2), local)

    def _maps(self, x: Tensor) -> list[Tensor]:
        """The map of the first convolution and those of the stages."""
        if not self._fits(x.shape[1:]):
            raise ValueError(
                f"ResNet input has shape {tuple(x.shape)}, expected (B, "
                f"{self.input_shape[0]}) and {self._expected()}"
            )
        maps = [self.stem(x)]
        x = self.pool(maps[0])
        for stage in self.stages:
            for block in stage:
                x = applied(block, x, block.stride)
            maps.append(x)
        return maps

    def _fits(self, shape: Sequence[int]) -> bool:
        """Whether an input of (channels, *sides) can be read."""
        channels, *sides = shape
        if len(sides) != self.dims or channels != self.input_shape[0]:
            return False
        multiples = all(side % self.step == 0 for side in sides)
        return multiples and min(sides) >= LEAST

    def _expected(self) -> str:
        """What is expected of sides, in words."""
        if self.step > 1:
            return f"{self.dims} sides that are multiples of {self.step}"
        return f"{self.dims} sides of at least {LEAST}"


class ResNetUNetEncoder(ResNetEncoder):
    """The contracting path of 003's 2D U-Net, a ResNet-18 (section 4.3).

    It reads slices of few pixels too: sides are multiples of 32.

    Parameters
    ----------
    in_channels, width, size
        As of :class:`ResNetEncoder`.
    dims : int
        2; in 3D 003 has another encoder (`mmssl.models.unet.UNetEncoder`).

    Attributes
    ----------
    latent, local_channels, input_shape
        As of :class:`ResNetEncoder`: z of width 64 has 512 numbers.

    Raises
    ------
    ValueError
        For other dims, or a side that is no multiple of 32.
    """

    step = STEP

    def __init__(
        self,
        in_channels: int = 1,
        width: int = 64,
        size: int | Sequence[int] = 64,
        dims: int = 2,
    ):
        if dims != 2:
            raise ValueError(
                f"dims is {dims!r}, expected 2; in 3D there is "
                "mmssl.models.unet:UNetEncoder"
            )
        super().__init__(in_channels, width, size, dims, depth=18)

    def forward(self, x: Tensor, stream=None) -> Features:
        """Encode a batch, as :class:`ResNetEncoder` does.

        Returns
        -------
        Features
            z and local; maps, those of the three stages before and of the
            first convolution, coarse to fine: of sides / 16, 8, 4 and 2.
        """
        *maps, local = self._maps(x)
        return Features(local.flatten(2).mean(2), local, tuple(maps[::-1]))

    def decoder(
        self, out_channels: int, activation: str | None = None
    ) -> "ResNetUNetDecoder":
        """A decoder that reads the maps of this encoder, with initial
        weights.
        """
        return ResNetUNetDecoder(out_channels, self.width, activation)


class ResNetUNetDecoder(nn.Module):
    """The expanding path of 003's 2D U-Net.

    Five times the nearest neighbour at twice the sides, the encoder's map
    beside it except at the sides of the image, and two convolutions of kernel
    3 with norm and rectifier. The channels, 256, 128, 64, 32 and 16 of width
    64, and the initial weights are those of the library of 003's public code
    (segmentation_models.pytorch, Iakubovskii 2019).

    Parameters
    ----------
    out_channels : int
        May be classes.
    width : int
        As of :class:`ResNetUNetEncoder`, at least 4.
    activation : {None, "sigmoid", "tanh"}
        Of the output.

    Raises
    ------
    ValueError
        For another activation, or a width below 4.
    """

    def __init__(
        self,
        out_channels: int = 1,
        width: int = 64,
        activation: str | None = None,
    ):
        super().__init__()
        if width < 4:
            raise ValueError(f"width is {width}, expected at least 4")
        self.activation = output_activation(activation)
        after = [4 * width, 2 * width, width, width // 2, width // 4]
        beside = [4 * width, 2 * width, width, width, 0]
        channels = pairwise([8 * width, *after])
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *_convolution(below + skip, above),
                *_convolution(above, above),
            )
            for (below, above), skip in zip(channels, beside, strict=True)
        )
        self.output = nn.Conv2d(after[-1], out_channels, 3, padding=1)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, local: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Decode a batch.

        Parameters
        ----------
        local : Tensor, shape (B, 8 width, *sides / 32)
            The last map of an encoder, or what was made of it.
        maps : sequence of Tensor
            Those before it, coarse to fine.

        Returns
        -------
        Tensor, shape (B, out_channels, *sides)
        """
        x = local
        for block, beside in zip(self.blocks, [*maps, None], strict=True):
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = block(x if beside is None else torch.cat([x, beside], 1))
        x = self.output(x)
        return self.activation(x)


def _convolution(before: int, after: int) -> list[nn.Module]:
    """A convolution of kernel 3, its norm and its rectifier."""
    layer = nn.Conv2d(before, after, 3, padding=1, bias=False)
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    return [layer, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
