"""Small encoders and volumes for the tests of saliency."""

import numpy as np
import torch
from torch import nn

from mmssl.models.dcgan import Encoder, Features

SHAPE = (7, 8, 9)


def dcgan(seed=0, size=16, width=3, latent=6, dims=3, channels=1):
    """An encoder whose batch norms have seen something."""
    torch.manual_seed(seed)
    encoder = Encoder(
        channels, width=width, latent=latent, size=size, dims=dims
    )
    for norm in encoder.norms:
        if isinstance(norm, nn.Identity):
            continue
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.3, 3.0)
        nn.init.uniform_(norm.weight, -1.5, 1.5)
        nn.init.normal_(norm.bias)
    return encoder.eval()


class Linear(nn.Module):
    """A linear encoder of any volume; z in Features or bare."""

    def __init__(self, shape=SHAPE, latent=5, bare=False, channels=1):
        super().__init__()
        self.layer = nn.Linear(channels * int(np.prod(shape)), latent)
        self.bare = bare

    def forward(self, x):
        z = self.layer(x.flatten(1))
        return z if self.bare else Features(z, x)


class Small(nn.Module):
    """Any other encoder: biases, odd sides, an average, a norm that counts its
    inputs.
    """

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv3d(1, 4, 3),
            nn.BatchNorm3d(4),
            nn.Tanh(),
            nn.Dropout(0.5),
            nn.Conv3d(4, 3, 3, stride=2),
            nn.AdaptiveAvgPool3d(1),
            nn.Flatten(),
        )

    def forward(self, x):
        return self.net(x)


class InPlace(nn.Module):
    """An encoder that rectifies and shifts its input in place."""

    def __init__(self):
        super().__init__()
        self.net = Small()
        self.rectifier = nn.ReLU(inplace=True)

    def forward(self, x):
        x -= 0.1
        return self.net(self.rectifier(x))


def volumes(rows=2, shape=(16, 16, 16), channels=1, seed=3):
    """Standard normal volumes, (rows, channels, *shape)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, channels, *shape, generator=generator)
