"""Projection heads between an encoder's features and the critic."""

import torch
from torch import Tensor, nn

from mmssl.models.dcgan import CONVOLUTION, NORM


class ConvolutionalHead(nn.Module):
    """Residual block of 1x1 convolutions on the local feature map (004,
    section III-C).

    ``BN(Conv(ReLU(BN(Conv(c)))) + Shortcut(c))`` with no bias anywhere. The
    shortcut starts as a rectangular identity, U(-.01, .01) off the diagonal,
    also where in_channels > out_channels (the public code falls back to
    torch's default there, against the papers' text).

    Parameters
    ----------
    in_channels, out_channels : int
    dims : int
        2 or 3.
    """

    def __init__(
        self, in_channels: int, out_channels: int = 64, dims: int = 3
    ):
        super().__init__()
        conv, norm = CONVOLUTION[dims], NORM[dims]
        self.path = nn.Sequential(
            conv(in_channels, out_channels, 1, bias=False),
            norm(out_channels),
            nn.ReLU(inplace=True),
            conv(out_channels, out_channels, 1, bias=False),
        )
        self.shortcut = conv(in_channels, out_channels, 1, bias=False)
        self.norm = norm(out_channels)
        gain = nn.init.calculate_gain("relu")
        for module in (self.path[0], self.path[3]):
            nn.init.xavier_uniform_(module.weight, gain=gain)
        shortcut = self.shortcut.weight
        nn.init.uniform_(shortcut, -0.01, 0.01)
        with torch.no_grad():
            shortcut.view(out_channels, in_channels).fill_diagonal_(1.0)

    def forward(self, local: Tensor) -> Tensor:
        """Project a local map (B, in_channels, *sides) to embeddings (B,
        out_channels, locations).

        Locations are flattened in row-major order of the sides.
        """
        return self.norm(self.path(local) + self.shortcut(local)).flatten(2)
