"""A term of the loss, an encoder, a distortion and a cohort that are not in
the package: the examples of notebook 17.

Each is taken by its name, like "book.own_parts:VICReg", wherever the package
takes the name of one of its own. Copy this file to any folder that is on
Python's path, and change it.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from mmssl import cohorts, models, objectives, robustness
from mmssl.cohorts import splits


class VICReg(objectives.Term):
    r"""Variance, invariance and covariance of two modalities' z (Bardes et al.
    2022, equations 1 to 6).

    .. math:: \lambda\, s(Z, Z') + \mu\, [v(Z) + v(Z')] + \nu\, [c(Z) + c(Z')]

    with :math:`s` the squared distance of a person's two vectors, a mean over
    people and dimensions; :math:`v(Z) = \frac1d \sum_j \max(0, 1 - \sqrt{
    \operatorname{Var}(z_j) + \epsilon})`; and :math:`c(Z) = \frac1d
    \sum_{j \ne k} C(Z)_{jk}^2` of the covariance matrix.

    Parameters
    ----------
    invariance, variance, covariance : float
        :math:`\lambda, \mu, \nu`; 25, 25 and 1 in the paper.
    """

    pairwise = True

    def __init__(
        self,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
    ):
        super().__init__()
        self.invariance = invariance
        self.variance = variance
        self.covariance = covariance

    def graph(self, modalities):
        """z_j with z_i."""
        return objectives.cross_edges(modalities, "z", "z")

    def forward(self, ctx):
        """Mean over the edges, which are ordered pairs of modalities."""
        losses, chances = [], []
        edges = ctx.possible(self.graph(ctx.modalities))
        for source, target in edges:
            both = source.modality, target.modality
            z, other = (ctx.among(ctx.latent(m), *both) for m in both)
            losses.append(self.of_pair(z.float(), other.float()))
            chances.append(torch.tensor(self.chance(*z.shape)))
        number = max(1, len(losses))
        return {
            "loss": ctx.total(losses) / number,
            "chance": ctx.total(chances) / number,
        }

    def of_pair(self, z: Tensor, other: Tensor) -> Tensor:
        """The loss of two modalities, each (B, d)."""
        loss = self.invariance * (z - other).square().mean()
        for own in (z, other):
            centred = own - own.mean(0)
            people, length = own.shape
            matrix = centred.T @ centred / (people - 1)
            variances = matrix.diagonal()
            spread = (variances + 1e-4).sqrt()
            loss = loss + self.variance * (1 - spread).relu().mean()
            rest = matrix.square().sum() - variances.square().sum()
            loss = loss + self.covariance * rest / length
        return loss

    def chance(self, people: int, length: int) -> float:
        """The least loss to expect of vectors (people, length) that say
        nothing of each other: Gaussian, with independent dimensions.
        """
        weights = self.invariance, self.variance, self.covariance
        return _chance(*weights, people, length)


@cache
def _chance(
    invariance: float,
    variance: float,
    covariance: float,
    people: int,
    length: int,
) -> float:
    r"""With a standard deviation of s it is :math:`2 \lambda s^2 + 2 \mu
    \operatorname{E} \max(0, 1 - S) + 2 \nu s^4 (d - 1) / (n - 1)`: S is the
    sample's, and dimensions of n people correlate by accident.
    """
    freedom = people - 1
    mean = stats.chi(freedom, scale=freedom**-0.5).mean()

    def expected(s):
        limit = freedom / s**2
        below = stats.chi2.cdf(limit, freedom)
        hinge = below - s * mean * stats.chi2.cdf(limit, freedom + 1)
        accident = s**4 * (length - 1) / freedom
        return 2 * (
            invariance * s**2 + variance * hinge + covariance * accident
        )

    return float(minimize_scalar(expected, bounds=(1e-3, 2)).fun)


class PooledMaps(nn.Module):
    """Maps of a network, their mean over places, and a linear layer to z, all
    in fp32.

    Parameters
    ----------
    maps : Module
        Images (B, C, *sides) to maps (B, channels, *sides of a map).
    channels, latent : int
    """

    def __init__(self, maps: nn.Module, channels: int, latent: int):
        super().__init__()
        self.maps = maps
        self.linear = nn.Linear(channels, latent)
        self.latent = latent
        self.local_channels = channels

    def forward(self, x: Tensor, stream=None) -> models.Features:
        """z (B, latent) and the local map; no random numbers are needed."""
        # in bfloat16 a CPU leaves parts of maps of side 2 unset (torch 2.13)
        with torch.autocast(x.device.type, enabled=False):
            local = self.maps(x.float())
            z = self.linear(local.flatten(2).mean(2))
        return models.Features(z, local)


def resnet(
    in_channels: int, width: int = 8, latent: int = 64, dims: int = 3
) -> nn.Module:
    """MONAI's residual network of four blocks, without its classifier (He et
    al. 2016); widths of its stages double.
    """
    from monai.networks.nets import ResNet

    network = ResNet(
        "basic",
        [1, 1, 1, 1],
        [width * 2**k for k in range(4)],
        spatial_dims=dims,
        n_input_channels=in_channels,
        conv1_t_stride=2,
    )
    stages = [network.conv1, network.bn1, network.act]
    for k in range(1, 5):
        stages.append(getattr(network, f"layer{k}"))
    return PooledMaps(nn.Sequential(*stages), 8 * width, latent)


class Stripes(robustness.OwnDistortion):
    """Takes contrast out of every second slab across the first axis, from a
    place that is drawn: z-scores shrink towards the mean of the brain.
    """

    parameters = {
        "width": robustness.Parameter(4.0, 40.0, 6, float, 12.0, "mm"),
        "share": robustness.Parameter(0.1, 0.9, 8, float, 0.5),
    }

    def __init__(self, space: robustness.Space, **settings: float):
        super().__init__(space, **settings)
        voxel = np.linalg.norm(space.affine[:3, 0])
        self.places = torch.arange(space.shape[0], device=space.device) * voxel

    def __call__(self, volume: Tensor, generator: torch.Generator) -> Tensor:
        """Shrink the slabs of a volume (X, Y, Z)."""
        width, share = self.settings["width"], self.settings["share"]
        start = 2 * width * torch.rand(1, generator=generator).item()
        is_shrunk = ((self.places + start) / width).floor() % 2 == 1
        return torch.where(is_shrunk[:, None, None], 1 - share, 1.0) * volume


def edges_of_digits(
    folder: str | Path, images: int = 600, seed: int = 0
) -> cohorts.Cohort:
    """A cohort of the digits that come with scikit-learn: each image, and how
    steep it is from place to place.

    Parameters
    ----------
    folder : path
        To make.
    images : int
        The first of 1,797; a fifth of them is held out.
    seed : int
        Of the folds.

    Returns
    -------
    Cohort
        2D, size 32, modalities image and edges in [0, 1], task "digit".
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    small = digits.images[:images] / 16
    image = np.kron(small, np.ones((4, 4)))
    along_x, along_y = np.gradient(image, axis=(1, 2))
    edges = np.hypot(along_x, along_y)
    names = [f"digit-{k:04d}" for k in range(len(image))]
    people = pd.DataFrame(
        {
            "participant_id": names,
            "group": digits.target[: len(image)].astype(str),
        }
    )
    pairs = pd.DataFrame(
        {
            "pair": range(len(people)),
            "participant_id": names,
            "session": 1,
            "day": 0,
            "downstream": 1,
        }
    )
    classes = [str(k) for k in range(10)]
    return cohorts.write(
        folder,
        name="edges of digits",
        kind="digits",
        volumes={"image": image, "edges": edges / edges.max()},
        participants=people,
        pairs=pairs,
        splits=splits.make(people, 5, 0.2, seed, classes),
        intensity="unit",
        tasks={"digit": {"column": "group", "classes": classes}},
        seed=seed,
    )
