"""DCGAN encoder and decoder for 2D images and 3D volumes.

The architecture that 000, 001 and 004 share: strided convolutions of kernel 4
down to side 4, then one valid convolution to the latent vector; no pooling, no
bias. The local feature ``c`` is the *raw* output of the convolution whose side
is 8, before normalisation and activation.
"""

from itertools import pairwise, product
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmssl.models.keyed_random import Stream

LOCAL_SIDE = 8
# of the encoder's leaky rectifiers below 0
SLOPE = 0.2
# where a voxel lies in its block of two along each axis
PARITIES = tuple(product((0, 1), repeat=3))
# by the number of spatial axes
CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class Features(NamedTuple):
    """The output of an encoder for a batch.

    Attributes
    ----------
    z : Tensor, shape (B, latent)
        Global representation, the one every downstream task reads.
    local : Tensor, shape (B, channels, 8, 8[, 8])
        Raw convolution output of side 8, before norm and activation.
    maps : tuple of Tensor
        Skip features, coarse to fine; empty for the DCGAN encoder.
    """

    z: Tensor
    local: Tensor
    maps: tuple[Tensor, ...] = ()


def _strided_layers(size: int, dims: int) -> int:
    """Number of strided layers between a side of ``size`` and one of 4."""
    is_power_of_two = size & (size - 1) == 0
    if dims not in (2, 3) or size < 16 or not is_power_of_two:
        raise ValueError(
            f"DCGAN size={size}, dims={dims}: "
            "expected a power of two >= 16 and dims 2 or 3"
        )
    return size.bit_length() - 3


def _folds(x: Tensor) -> bool:
    """Whether the first layer gains from parities; a plain fp32 forward pass
    does not.
    """
    if x.dim() != 5:
        return False
    return x.requires_grad or torch.is_autocast_enabled(x.device.type)


def _convolve_parities(x: Tensor, weight: Tensor) -> Tensor:
    """First 3D layer (kernel 4, stride 2, padding 1) as kernel 2, stride 1 on
    the parity sub-grids.

    The same sums in another order. With one input channel the direct form
    leaves matrix units idle: the eight sub-grids as channels made it 3 times
    faster in bfloat16, and its input gradient 6 times faster in fp32 (2 cores
    with AMX).
    """
    device = x.device.type
    if torch.is_autocast_enabled(device):
        # half as many bytes to move, and the convolution rounds them anyway
        x = x.to(torch.get_autocast_dtype(device))
    padded = F.pad(x, (1,) * 6)
    grids, taps = [], []
    for i, j, k in PARITIES:
        grids.append(padded[:, :, i::2, j::2, k::2])
        taps.append(weight[:, :, i::2, j::2, k::2])
    folded = torch.stack(grids, -1).permute(0, 1, 5, 2, 3, 4).flatten(1, 2)
    return F.conv3d(folded, torch.stack(taps, 2).flatten(1, 2))


def deconvolve_parities(x: Tensor, weight: Tensor) -> Tensor:
    """Last 3D layer (transposed, kernel 4, stride 2, padding 1) as kernel 2,
    stride 1, interleaved.

    The same sums in another order: each parity of the output is a convolution
    of its own, and the eight of them are channels. With one output channel the
    direct form was 5 times slower forward and 1.5 to 2 times with its
    gradients (fp32, one core).
    """
    taps = []
    for i, j, k in PARITIES:
        taps.append(weight[:, :, 1 - i :: 2, 1 - j :: 2, 1 - k :: 2])
    kernel = torch.stack(taps).transpose(1, 2).flip(3, 4, 5).flatten(0, 1)
    y = F.conv3d(x, kernel, padding=1)  # (B, 8 out, *sides + 1)
    for axis, side in enumerate(x.shape[2:], 2):
        even, odd = y.chunk(2, 1)
        even = even.narrow(axis, 0, side)
        odd = odd.narrow(axis, 1, side)
        y = torch.stack([even, odd], axis + 1).flatten(axis, axis + 1)
    return y


def output_activation(name: str | None) -> nn.Module:
    """What a decoder's output passes: nothing, "sigmoid" or "tanh"; ValueError
    for another name.
    """
    known = {None: nn.Identity, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
    if name not in known:
        raise ValueError(
            f"activation={name!r}: expected None, 'sigmoid' or 'tanh'"
        )
    return known[name]()


def initialise(layer: nn.Module) -> None:
    """Draw the weights of an encoder's layer as they are before training.

    Xavier-uniform (Glorot & Bengio 2010) with the gain of the leaky rectifier.
    """
    gain = nn.init.calculate_gain("leaky_relu", SLOPE)
    nn.init.xavier_uniform_(layer.weight, gain=gain)


class Encoder(nn.Module):
    """DCGAN encoder (004, section III-C; 001, section 3.2).

    Parameters
    ----------
    in_channels : int
        Channels of the input.
    width : int
        Channels of the first layer; each further strided layer doubles them.
    latent : int
        Length of z.
    size : int
        Side of the input, a power of two >= 16. 64: 1→32→64→128 (side
        8)→256→latent; 32: C→32→64 (side 8)→128→latent.
    dims : int
        2 or 3.
    dropout : float
        Channel dropout after the norm of every hidden layer (after the
        convolution of the first), never on z (000, section 3.1.1).

    Raises
    ------
    ValueError
        For a size that is no power of two, or an input of another shape.
    """

    def __init__(
        self,
        in_channels: int = 1,
        width: int = 32,
        latent: int = 64,
        size: int = 64,
        dims: int = 3,
        dropout: float = 0.0,
    ):
        super().__init__()
        layers = _strided_layers(size, dims)
        hidden = [width * 2**i for i in range(layers)]
        channels = [in_channels, *hidden]
        self.input_shape = (in_channels,) + (size,) * dims
        self.latent = latent
        self.local_index = (size // LOCAL_SIDE).bit_length() - 2
        self.local_channels = channels[self.local_index + 1]
        self.dropout = dropout
        conv, norm = CONVOLUTION[dims], NORM[dims]
        self.convs = nn.ModuleList(
            conv(a, b, 4, stride=2, padding=1, bias=False)
            for a, b in pairwise(channels)
        )
        # no norm after the first layer
        self.norms = nn.ModuleList(
            [nn.Identity(), *(norm(c) for c in hidden[1:])]
        )
        self.to_latent = conv(channels[-1], latent, 4, bias=False)
        for layer in [*self.convs, self.to_latent]:
            initialise(layer)

    def forward(self, x: Tensor, stream: Stream | None = None) -> Features:
        """Encode a batch.

        Parameters
        ----------
        x : Tensor, shape (B, in_channels, *sides)
        stream : Stream, optional
            Keyed random numbers for the dropout masks, one row a sample;
            torch's global generator when absent.

        Returns
        -------
        Features
        """
        if tuple(x.shape[1:]) != self.input_shape:
            raise ValueError(
                f"encoder input has shape {tuple(x.shape)}, "
                f"expected (B, {self.input_shape})"
            )
        local = None
        layers = zip(self.convs, self.norms, strict=True)
        for i, (conv, norm) in enumerate(layers):
            if i == 0 and _folds(x):
                raw = _convolve_parities(x, conv.weight)
            else:
                raw = conv(x)
            if i == self.local_index:
                local = raw
            x = self._drop(norm(raw), i, stream)
            # in place, except where it would overwrite the raw output that is
            # a feature
            x = F.leaky_relu(x, SLOPE, inplace=x is not local)
        return Features(self.to_latent(x).flatten(1), local)

    def _drop(self, x: Tensor, layer: int, stream: Stream | None) -> Tensor:
        """Channel dropout, in training only."""
        if not (self.training and self.dropout):
            return x
        shape = x.shape[:2] + (1,) * (x.dim() - 2)
        if stream is None:
            draw = torch.rand(x.shape[:2], device=x.device)
        else:
            draw = stream.uniform(f"layer {layer}", x.shape[1])
        keep = (draw >= self.dropout).to(x.dtype) / (1 - self.dropout)
        return x * keep.view(shape)


class Decoder(nn.Module):
    """DCGAN decoder, the mirror of :class:`Encoder` (004, section III-C).

    Parameters
    ----------
    out_channels, width, latent, size, dims
        As in :class:`Encoder`.
    activation : {None, "sigmoid", "tanh"}
        Output activation: None for z-scored volumes, "sigmoid" for images in
        [0, 1].
    """

    def __init__(
        self,
        out_channels: int = 1,
        width: int = 32,
        latent: int = 64,
        size: int = 64,
        dims: int = 3,
        activation: str | None = None,
    ):
        super().__init__()
        layers = _strided_layers(size, dims)
        self.dims = dims
        self.activation = output_activation(activation)
        hidden = [width * 2**i for i in reversed(range(layers))]
        transpose, norm = TRANSPOSED[dims], NORM[dims]
        first = transpose(latent, hidden[0], 4, bias=False)
        self.deconvs = nn.ModuleList([first])
        for a, b in pairwise([*hidden, out_channels]):
            layer = transpose(a, b, 4, stride=2, padding=1, bias=False)
            self.deconvs.append(layer)
        self.norms = nn.ModuleList(norm(c) for c in hidden)
        gains = [nn.init.calculate_gain("relu")] * layers + [1.0]
        for module, gain in zip(self.deconvs, gains, strict=True):
            nn.init.xavier_uniform_(module.weight, gain=gain)

    def forward(self, z: Tensor) -> Tensor:
        """Decode latent vectors, shape (B, latent), to images (B,
        out_channels, *sides).
        """
        *hidden, last = self.deconvs
        x = z.view(*z.shape, *(1,) * self.dims)
        for deconv, norm in zip(hidden, self.norms, strict=True):
            x = F.leaky_relu(norm(deconv(x)), 0.01)
        x = deconvolve_parities(x, last.weight) if self.dims == 3 else last(x)
        return self.activation(x)
