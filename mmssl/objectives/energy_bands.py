r"""Energy bands of an image, and its normalisation to other energies
(Philipsen et al. 2015; 002, section III-C).

With :math:`G_\sigma` a Gaussian filter and :math:`\sigma_1 < … <
\sigma_{n}`, an image is the sum of its bands

.. math::
    I = (I - G_{\sigma_1} I) + \sum_{i=2}^{n} (G_{\sigma_{i-1}} I -
    G_{\sigma_i} I) + G_{\sigma_n} I ,

and band :math:`I^{(i)}` has the energy :math:`e_i`, its standard deviation
over the image. The image of other energies is (002, equation 8)

.. math::
    \hat I = \sum_i \frac{e_i^{ref}}{e_i} I^{(i)} .

002 leaves number and widths of the bands open; 1, 2, 4, 8 and 16 voxels are
those of a public implementation of Philipsen's method.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmssl.models.keyed_random import Stream
from mmssl.objectives.along_axis import NEGLIGIBLE, along_axis

SIGMAS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Of the filters, in voxels."""
REFERENCES = 1000
"""Images whose energies are learned at most (002: R)."""
_CHUNK = 64  # images at a time


def energy_bands(images: Tensor, sigmas: Sequence[float] = SIGMAS) -> Tensor:
    """The bands of images, fine to coarse, the rest last.

    At the border a filter counts the voxels inside alone.

    Parameters
    ----------
    images : Tensor, shape (B, C, *sides)
    sigmas : sequence of float
        Of the filters, in voxels, ascending.

    Returns
    -------
    Tensor, shape (len(sigmas) + 1, B, C, *sides)
        Float32; the bands sum to the images.

    Raises
    ------
    ValueError
        For sigmas that are not above 0 and ascending.
    """
    steps = zip((0.0, *sigmas), sigmas, strict=False)
    if not sigmas or not all(low < high for low, high in steps):
        raise ValueError(
            f"energy bands: sigmas {tuple(sigmas)}, expected ascending ones "
            "above 0"
        )
    images = images.float()
    # SciPy's Gaussian filters are a volume and a thread at a time, on the CPU
    bands = []
    before = images
    for sigma in sigmas:
        smooth = images
        for axis in range(2, images.dim()):
            weights = _filter(images.shape[axis], sigma).to(images.device)
            smooth = along_axis(smooth, weights, axis)
        bands.append(before - smooth)
        before = smooth
    return torch.stack([*bands, before])


@lru_cache(maxsize=64)
def _filter(side: int, sigma: float) -> Tensor:
    """Weights of each place for each other on a line, (side, side); rows sum
    to 1.
    """
    places = torch.arange(side, dtype=torch.float64)
    apart = (places - places[:, None]) / sigma
    weights = torch.exp(-(apart**2) / 2)
    weights = (weights / weights.sum(1, keepdim=True)).float()
    return F.threshold(weights, NEGLIGIBLE, 0.0)


def energies(bands: Tensor) -> Tensor:
    """Standard deviation of each band over each image, (bands, B)."""
    values = bands.flatten(2)
    # four times faster than `std` on a CPU
    away = values - values.mean(2, keepdim=True)
    return away.square_().mean(2).sqrt()


class ReferenceEnergies(nn.Module):
    """The energies that images are given, learned from images of a fold.

    Parameters
    ----------
    modalities : sequence of str
    sigmas : sequence of float
        As of `energy_bands`.
    """

    def __init__(
        self, modalities: Sequence[str], sigmas: Sequence[float] = SIGMAS
    ):
        super().__init__()
        self.sigmas = tuple(sigmas)
        for m in modalities:
            # of nothing until they are learned
            nothing = torch.full((len(self.sigmas) + 1,), math.nan)
            self.register_buffer(f"mean_{m}", nothing)
            self.register_buffer(f"std_{m}", nothing.clone())

    @torch.no_grad()
    def learn(self, m: str, images: Tensor) -> None:
        """Mean and standard deviation of the energies of images, (pairs, C,
        *sides): of the first `REFERENCES`.
        """
        found = []
        for part in images[:REFERENCES].split(_CHUNK):
            found.append(energies(energy_bands(part, self.sigmas)))
        of_all = torch.cat(found, 1)
        self.get_buffer(f"mean_{m}").copy_(of_all.mean(1))
        self.get_buffer(f"std_{m}").copy_(of_all.std(1, correction=0))

    def normalised(self, m: str, images: Tensor, stream: Stream) -> Tensor:
        """Images of energies that are drawn anew for each row and band, within
        one standard deviation of the references' mean, all alike.

        Parameters
        ----------
        m : str
            Their modality.
        images : Tensor, shape (B, C, *sides)
        stream : Stream

        Returns
        -------
        Tensor, shape (B, C, *sides)
            Float32; a band without any energy stays so.

        Raises
        ------
        ValueError
            If no energies have been learned.
        """
        mean, std = self.get_buffer(f"mean_{m}"), self.get_buffer(f"std_{m}")
        if mean.isnan().any():
            raise ValueError(
                f"reference energies of {m}: none are learned, expected "
                "`learn` on training images before"
            )
        bands = energy_bands(images, self.sigmas)
        own = energies(bands)
        away = 2 * stream.uniform("energies", len(mean)).T - 1
        wanted = (mean[:, None] + away * std[:, None]).clamp(min=0)
        share = torch.where(own > 0, wanted / own, 0.0)
        share = share.view(*share.shape, *(1,) * (images.dim() - 1))
        return (share * bands).sum(0)
