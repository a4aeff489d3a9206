"""DCGAN encoder and decoder for 2D images and 3D volumes.

The architecture that 000, 001 and 004 share: strided convolutions of kernel 4
down to side 4, then one valid convolution to the latent vector; no pooling, no
bias. The local feature ``c`` is the *raw* output of the convolution whose side
is 8, before normalisation and activation.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmssl.models.keyed_random import Stream

LOCAL_SIDE = 8
_CONV = {2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSE = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class Features(NamedTuple):
    """What an encoder says of a batch.

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
    layers = size.bit_length() - 3
    if dims not in (2, 3) or size < 16 or size & (size - 1):
        raise ValueError(
            f"DCGAN size={size}, dims={dims}: expected a power of two >= 16 and dims 2 or 3"
        )
    return layers


def _folds(x: Tensor) -> bool:
    """Whether the first layer gains from parities; a plain fp32 forward pass
    does not.
    """
    return x.dim() == 5 and (
        x.requires_grad or torch.is_autocast_enabled(x.device.type)
    )


def _convolve_parities(x: Tensor, weight: Tensor) -> Tensor:
    """First 3D layer (kernel 4, stride 2, padding 1) as kernel 2, stride 1 on
    the parity sub-grids.

    The same sums in another order. With one input channel the direct form
    leaves matrix units idle: the eight sub-grids as channels made it 3 times
    faster in bfloat16, and its input gradient 6 times faster in fp32 (2 cores
    with AMX).
    """
    parities = [(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    padded = F.pad(x, (1,) * 6)
    grids = [padded[:, :, i::2, j::2, k::2] for i, j, k in parities]
    folded = torch.stack(grids, -1).permute(0, 1, 5, 2, 3, 4).flatten(1, 2)
    taps = [weight[:, :, i::2, j::2, k::2] for i, j, k in parities]
    return F.conv3d(folded, torch.stack(taps, 2).flatten(1, 2))


def deconvolve_parities(x: Tensor, weight: Tensor) -> Tensor:
    """Last 3D layer (transposed, kernel 4, stride 2, padding 1) as kernel 2,
    stride 1, interleaved.

    The same sums in another order: each parity of the output is a convolution
    of its own, and the eight of them are channels. With one output channel the
    direct form was 5 times slower forward and 1.5 to 2 times with its
    gradients (fp32, one core).
    """
    taps = [
        weight[:, :, 1 - i :: 2, 1 - j :: 2, 1 - k :: 2]
        for i in (0, 1)
        for j in (0, 1)
        for k in (0, 1)
    ]
    kernel = torch.stack(taps).transpose(1, 2).flip(3, 4, 5).flatten(0, 1)
    y = F.conv3d(x, kernel, padding=1)  # (B, 8 out, *sides + 1)
    for axis, side in enumerate(x.shape[2:], 2):
        even, odd = y.chunk(2, 1)
        pair = [even.narrow(axis, 0, side), odd.narrow(axis, 1, side)]
        y = torch.stack(pair, axis + 1).flatten(axis, axis + 1)
    return y


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
        self, in_channels=1, width=32, latent=64, size=64, dims=3, dropout=0.0
    ):
        super().__init__()
        layers = _strided_layers(size, dims)
        channels = [in_channels] + [width * 2**i for i in range(layers)]
        self.input_shape = (in_channels,) + (size,) * dims
        self.latent = latent
        self.local_index = (size // LOCAL_SIDE).bit_length() - 2
        self.local_channels = channels[self.local_index + 1]
        self.dropout = dropout
        conv, norm = _CONV[dims], _NORM[dims]
        self.convs = nn.ModuleList(
            conv(a, b, 4, stride=2, padding=1, bias=False)
            for a, b in zip(channels[:-1], channels[1:], strict=True)
        )
        self.norms = nn.ModuleList(
            norm(c) if i else nn.Identity() for i, c in enumerate(channels[1:])
        )
        self.to_latent = conv(channels[-1], latent, 4, bias=False)
        gain = nn.init.calculate_gain("leaky_relu", 0.2)
        for module in [*self.convs, self.to_latent]:
            nn.init.xavier_uniform_(module.weight, gain=gain)

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
                f"encoder input has shape {tuple(x.shape)}, expected (B, {self.input_shape})"
            )
        local = None
        for i, (conv, norm) in enumerate(
            zip(self.convs, self.norms, strict=True)
        ):
            raw = (
                _convolve_parities(x, conv.weight)
                if i == 0 and _folds(x)
                else conv(x)
            )
            if i == self.local_index:
                local = raw
            x = self._drop(norm(raw), i, stream)
            # in place, except where it would overwrite the raw output that is
            # a feature
            x = F.leaky_relu(x, 0.2, inplace=x is not local)
        return Features(self.to_latent(x).flatten(1), local)

    def _drop(self, x: Tensor, layer: int, stream: Stream | None) -> Tensor:
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
        out_channels=1,
        width=32,
        latent=64,
        size=64,
        dims=3,
        activation=None,
    ):
        super().__init__()
        layers = _strided_layers(size, dims)
        if activation not in (None, "sigmoid", "tanh"):
            raise ValueError(
                f"activation={activation!r}: expected None, 'sigmoid' or 'tanh'"
            )
        self.dims, self.activation = dims, activation
        channels = [width * 2**i for i in reversed(range(layers))]
        transpose, norm = _TRANSPOSE[dims], _NORM[dims]
        self.deconvs = nn.ModuleList(
            [transpose(latent, channels[0], 4, bias=False)]
        )
        for a, b in zip(channels, [*channels[1:], out_channels], strict=True):
            self.deconvs.append(
                transpose(a, b, 4, stride=2, padding=1, bias=False)
            )
        self.norms = nn.ModuleList(norm(c) for c in channels)
        gains = [nn.init.calculate_gain("relu")] * layers + [1.0]
        for module, gain in zip(self.deconvs, gains, strict=True):
            nn.init.xavier_uniform_(module.weight, gain=gain)

    def forward(self, z: Tensor) -> Tensor:
        """Decode latent vectors, shape (B, latent), to images (B,
        out_channels, *sides).
        """
        x = z.view(*z.shape, *(1,) * self.dims)
        for deconv, norm in zip(self.deconvs, self.norms, strict=False):
            x = F.leaky_relu(norm(deconv(x)), 0.01)
        last = self.deconvs[-1]
        x = deconvolve_parities(x, last.weight) if self.dims == 3 else last(x)
        return (
            x
            if self.activation is None
            else getattr(torch, self.activation)(x)
        )
