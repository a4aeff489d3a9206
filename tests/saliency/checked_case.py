"""A toy encoder that responds to one region alone, and people who differ
there.
"""

import numpy as np
import torch
from torch import nn

from mmssl.ledger.artefacts import KEYS
from mmssl.models.dcgan import Features
from mmssl.saliency import dimensions

SHAPE, LATENT = (7, 8, 9), 40
KEY = ("trained", "T1", "positive")


class Toy(nn.Module):
    """z of two layers with a soft rectifier between: its gradient differs
    between people.
    """

    def __init__(self, seed=0):
        super().__init__()
        self.first = nn.Linear(int(np.prod(SHAPE)), 60)
        self.last = nn.Linear(60, LATENT)
        torch.manual_seed(seed)
        for layer in (self.first, self.last):
            layer.reset_parameters()

    def forward(self, x):
        hidden = nn.functional.softplus(self.first(x.flatten(1)))
        return Features(self.last(hidden), x)


def toy_of_region(region):
    """A toy whose dimension 0 alone responds to a region, and to nothing
    else.
    """
    toy = Toy(1)
    with torch.no_grad():
        inside = torch.as_tensor(region).flatten()
        toy.first.weight[:, inside] = 0.0
        toy.first.weight[0] = torch.where(inside, 4.0 / inside.sum(), 0.0)
        toy.first.bias[0] = -1.0
        toy.last.weight[0] = 0.0
        toy.last.weight[1:, 0] = 0.0
        toy.last.weight[0, 0] = 3.0
    return toy.eval()


def two_groups_of_people(rng, n, region, shift):
    """Images of n people, of whom every third is shifted in a region, and
    their labels.
    """
    labels = np.arange(n) % 3 == 0
    images = rng.normal(size=(n, 1, *SHAPE)).astype("f4")
    images[labels, 0] += shift * region
    return {"T1": images}, labels.astype(int)


def pick_and_maps(case):
    """The pick of the dimension that responds to the region, and everybody's
    maps of it (n, 1, voxels).
    """
    is_key = (case.picks[list(KEYS)] == list(KEY)).all(axis=1)
    pick = case.picks[is_key]
    values = dimensions.subject_maps(
        case.trained, case.seen, pick, case.mask, samples=1, **case.options
    )
    return pick, values
