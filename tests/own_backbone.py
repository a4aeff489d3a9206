"""A user's encoder, in a module of its own."""

from torch import nn

from mmssl.models import Features


class Pooled(nn.Module):
    """One convolution and the mean over eight places; takes no width."""

    def __init__(self, in_channels, dropout=0.0):
        super().__init__()
        self.latent = self.local_channels = 5
        self.convolution = nn.Conv3d(in_channels, 5, 8, 8)

    def forward(self, x, stream=None):
        """Encode a batch."""
        local = self.convolution(x).tanh()
        return Features(local.flatten(2).mean(2), local)


def pooled(in_channels) -> nn.Module:
    """Make one."""
    return Pooled(in_channels)


def unsaid(in_channels):
    """Make one, and say so nowhere."""
    return Pooled(in_channels)
