"""Models whose score is known: the mean over some voxels."""

from types import SimpleNamespace

import numpy as np
import torch

from mmssl.robustness.linear_models import LinearModel


class Averager(torch.nn.Module):
    """An encoder whose z is the mean over its first voxels; over few of them
    it is brittle to noise.
    """

    def __init__(self, voxels, gain=1.0):
        super().__init__()
        self.register_buffer("voxels", torch.tensor(voxels))
        self.gain, self.calls = gain, 0

    def forward(self, x):
        self.calls += 1
        first = x.flatten(1)[:, : int(self.voxels)]
        z = first.mean(1, keepdim=True) * self.gain
        return SimpleNamespace(z=torch.cat([z, torch.zeros_like(z)], 1))


def linear_model(encoder, weight=(1.0, 0.0)):
    """An encoder with a projection; by default the score is its first z."""
    return LinearModel(encoder, np.array(weight, np.float32), 0.0)
