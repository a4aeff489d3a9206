"""Crops of several sizes from images of other scales and intensities (002,
section III-C; multi-crop: Caron et al. 2020).

Whole batches at a time on the images' own device; every choice is keyed by the
row (`mmssl.models.keyed_random`). Images are (B, C, *sides).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mmssl.models.keyed_random import Stream
from mmssl.objectives.corruptions import Boxes, resized
from mmssl.objectives.energy_bands import ReferenceEnergies
from mmssl.objectives.views import Volumes

GAMMA = (1.8, 2.6)
SLOPE = (0.9, 1.1)
OFFSET = 0.2
"""Largest, as a share of an image's range."""


def gamma_transformed(images: Tensor, exponent: Tensor) -> Tensor:
    """Each row raised to its power, between its smallest and its largest
    value.

    Parameters
    ----------
    images : Tensor, shape (B, C, *sides)
        0 is the background: it stays 0 and is no value.
    exponent : Tensor, shape (B,)
    """
    low, extent = _range(images)
    share = ((images - low) / extent).clamp(0, 1)
    raised = low + extent * share ** _per_row(exponent, images)
    return torch.where(images != 0, raised, images)


def linearly_transformed(
    images: Tensor, slope: Tensor, offset: Tensor
) -> Tensor:
    """a I + b of each row, b in shares of its range.

    Parameters
    ----------
    images : Tensor, shape (B, C, *sides)
        0 is the background: it stays 0 and is no value.
    slope, offset : Tensor, shape (B,)
    """
    _, extent = _range(images)
    moved = images * _per_row(slope, images)
    moved = moved + _per_row(offset, images) * extent
    return torch.where(images != 0, moved, images)


def _range(images: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest value of each row, and how far its largest lies above; 1 where
    it does not.
    """
    flat = images.flatten(1)
    shown = flat != 0
    low = flat.where(shown, torch.inf).amin(1)
    high = flat.where(shown, -torch.inf).amax(1)
    extent = high - low
    varies = shown.any(1) & (extent > 0)
    low = low.where(varies, 0.0)
    extent = extent.where(varies, 1.0)
    return _per_row(low, images), _per_row(extent, images)


@dataclass(frozen=True)
class RescaledCrop:
    """A crop from a random place of an image of a random scale, whose
    intensities have changed.

    Each modality has crops and intensities of its own. Energies, the power and
    the straight line each happen to some rows; 002 does not say to how many.
    The power makes all images darker, so that a network that never saw one
    without it would not know those of a study.

    Parameters
    ----------
    side : float
        Of the crop, as a share of the image's sides; what a network reads.
    rescaled : tuple of float
        Smallest and largest side of the rescaled image, as a share of its own.
        What a crop shows beyond it is 0.
    references : ReferenceEnergies
    probability : float
        Of each change of intensities.

    Raises
    ------
    ValueError
        For a side or a scale that is not above 0, a largest scale below the
        smallest, or a probability outside [0, 1].
    """

    side: float
    rescaled: tuple[float, float]
    references: ReferenceEnergies
    probability: float = 0.2

    def __post_init__(self):
        """Refuse what is no side, no scale and no probability."""
        low, high = self.rescaled
        if not self.side > 0 or not 0 < low <= high:
            raise ValueError(
                f"crop of side {self.side} from images of scale "
                f"{self.rescaled}, expected above 0, the smallest scale first"
            )
        if not 0 <= self.probability <= 1:
            raise ValueError(
                f"crop: probability={self.probability}, expected from 0 to 1"
            )

    def __call__(self, volumes: Volumes, stream: Stream) -> Volumes:
        """Crops of all modalities, (B, C, *sides) float32 each."""
        crops = {}
        for m, images in volumes.items():
            own = stream.child(m)
            changed = self.with_other_intensities(m, images.float(), own)
            crops[m] = self.crop(changed, own)
        return crops

    def with_other_intensities(
        self, m: str, images: Tensor, stream: Stream
    ) -> Tensor:
        """Energies, then the power, then the straight line of those rows that
        they fall on; the background stays 0.
        """
        happens = stream.uniform("happens", 3) < self.probability
        result = images.clone()
        for number, change in enumerate(
            (self._other_energies, self._power, self._line)
        ):
            rows = happens[:, number].nonzero().flatten()
            if len(rows):
                before = result[rows]
                after = change(m, before, stream[rows])
                result[rows] = after * (before != 0)
        return result

    def _other_energies(self, m: str, images: Tensor, rows: Stream) -> Tensor:
        return self.references.normalised(m, images, rows)

    def _power(self, m: str, images: Tensor, rows: Stream) -> Tensor:
        return gamma_transformed(images, _between(rows, "gamma", GAMMA))

    def _line(self, m: str, images: Tensor, rows: Stream) -> Tensor:
        slope = _between(rows, "slope", SLOPE)
        offset = _between(rows, "offset", (-OFFSET, OFFSET))
        return linearly_transformed(images, slope, offset)

    def crop(self, images: Tensor, stream: Stream) -> Tensor:
        """Rescale and crop in one interpolation, linear and without smoothing
        before.
        """
        sides = torch.tensor(images.shape[2:], device=images.device)
        scale = _between(stream, "scale", self.rescaled)
        read = [max(1, round(self.side * side)) for side in sides.tolist()]
        shown = torch.tensor(read, device=images.device) / scale[:, None]
        # below 0 where the crop shows more than the image
        start = stream.uniform("place", len(sides)) * (sides - shown)
        boxes = Boxes(start, shown)
        return resized(images, boxes, read, beyond="zeros")


def _between(
    stream: Stream, purpose: str, limits: tuple[float, float]
) -> Tensor:
    """Uniform numbers, one a row."""
    low, high = limits
    return low + (high - low) * stream.uniform(purpose)


def _per_row(values: Tensor, like: Tensor) -> Tensor:
    """Numbers (B,) that broadcast against (B, …)."""
    return values.view(-1, *(1,) * (like.dim() - 1))
