"""Views of a batch, made on the device it lives on.

A *recipe* turns the clean volumes of all modalities into one view; its random
choices come from a keyed stream, so crops and flips are shared by the
modalities and do not depend on the batch. Terms say as data which views they
need (`ViewSpec`); they never augment.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mmssl.models.keyed_random import Stream

Volumes = dict[str, Tensor]
# of one modality, on a CPU: what passes through its caches in one go
_BLOCK_BYTES = 1 << 23
# the fastest for convolutions
_LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}


@dataclass
class View:
    """One version of a batch.

    Attributes
    ----------
    volumes : dict of Tensor, each (B, C, *sides)
    kind : str
        The view's name in its specification.
    targets : dict
        name -> ({modality: clean or transformed target}, transform vector) for
        terms that reconstruct something else than the view itself.
    """

    volumes: Volumes
    kind: str
    targets: dict[str, tuple[Volumes, Tensor]] = field(default_factory=dict)


def _source_index(side: int, offset: Tensor, flip: Tensor) -> Tensor:
    """Source index of each output voxel along one axis, shape (B, side)."""
    at = torch.arange(side, device=offset.device).expand(len(offset), side)
    at = torch.where(flip[:, None], side - 1 - at, at) + offset[:, None]
    return at.clamp(0, side - 1)


def shift_and_flip(volumes: Tensor, offset: Tensor, flip: Tensor) -> Tensor:
    """Shift, repeating the border, then flip: pad, crop and flip in one
    gather.

    The border of a masked volume is its background, whatever value
    normalisation gave it, so repeating it is zero padding of the masked image;
    reflection would bring brain back in.

    Parameters
    ----------
    volumes : Tensor, shape (B, C, *sides)
    offset : Tensor of int64, shape (B, axes)
        Crop position minus the padding, in voxels, below each side.
    flip : Tensor of bool, shape (B, axes)

    Returns
    -------
    Tensor, shape of ``volumes``
    """
    batch, channels, *sides = volumes.shape
    index = [
        _source_index(side, offset[:, axis], flip[:, axis])
        for axis, side in enumerate(sides)
    ]
    # the outer axes select whole contiguous lines; only the last axis is
    # gathered element-wise
    line = torch.arange(batch * channels, device=volumes.device).view(
        batch, channels
    )
    for axis, side in enumerate(sides[:-1]):
        at = index[axis].view(batch, *(1,) * line[0].dim(), side)
        line = line[..., None] * side + at
    # half floats travel as integers: torch gathers those 2.5 times faster on a
    # CPU
    carrier = torch.int16 if volumes.element_size() == 2 else volumes.dtype
    lines = (
        volumes.reshape(-1, sides[-1])
        .view(carrier)
        .index_select(0, line.flatten())
    )
    lines = lines.view(batch, -1, sides[-1])
    moved = lines.gather(2, index[-1][:, None].expand_as(lines))
    return moved.view(volumes.dtype).view(volumes.shape)


@dataclass(frozen=True)
class Clean:
    """The volumes as they are."""

    def __call__(self, volumes: Volumes, stream: Stream) -> Volumes:
        """Return ``volumes``."""
        return volumes


@dataclass(frozen=True)
class PadCropFlip:
    """Pad, crop to the old size, flip each axis with p = .5 (004, section
    III-A).

    Parameters
    ----------
    pad : int, optional
        Padding on each side in voxels; an eighth of the side by default (8 at
        64).
    flips : bool
        Whether to flip.
    """

    pad: int | None = None
    flips: bool = True

    def __call__(self, volumes: Volumes, stream: Stream) -> Volumes:
        """Apply one crop and one set of flips a row to every modality."""
        sides = next(iter(volumes.values())).shape[2:]
        pad = sides[0] // 8 if self.pad is None else self.pad
        offset = stream.integers("crop", 2 * pad + 1, len(sides)) - pad
        flip = stream.uniform("flip", len(sides)) < 0.5
        return {
            m: shift_and_flip(x, offset, flip & self.flips)
            for m, x in volumes.items()
        }


@dataclass(frozen=True)
class Noisy:
    """Another recipe, then Gaussian noise on some of the pairs ("Tasting the
    cake", 3.1.1).

    As TorchIO's RandomNoise on a subject: one coin a pair, then every modality
    draws a standard deviation, uniform from 0 to `most`, and noise of its own.

    Parameters
    ----------
    recipe : Recipe
        What happens before.
    most : float
        The largest standard deviation, in those of the z-scored volume; 1.0 in
        the paper.
    probability : float
        Share of the pairs that get noise; .33 in the paper.
    """

    recipe: "Recipe" = field(default_factory=PadCropFlip)
    most: float = 1.0
    probability: float = 0.33

    def __post_init__(self):
        """Refuse what is no standard deviation and no probability."""
        if not self.most >= 0 or not 0 <= self.probability <= 1:
            raise ValueError(
                f"Noisy: most={self.most}, probability={self.probability}; expected "
                "at least 0, and one from 0 to 1"
            )

    def __call__(self, volumes: Volumes, stream: Stream) -> Volumes:
        """Apply the recipe, then add noise to the pairs it falls on."""
        volumes = self.recipe(volumes, stream)
        chosen = (
            (stream.uniform("noisy") < self.probability).nonzero().flatten()
        )
        rows = stream[chosen]
        noisy = {}
        for m, x in volumes.items():
            std = (
                rows.uniform(f"std/{m}").view(-1, *(1,) * (x.dim() - 1))
                * self.most
            )
            noise = rows.normal(f"noise/{m}", *x.shape[1:]) * std
            noisy[m] = x.float().index_add(0, chosen, noise)
        return noisy


Recipe = Callable[[Volumes, Stream], Volumes]
ViewSpec = Mapping[str, Recipe | None]  # None: the run's own augmentation


def merge(specs: list[ViewSpec]) -> dict[str, Recipe | None]:
    """The views that several terms need together.

    Raises
    ------
    ValueError
        Where two terms want different things under one name.
    """
    merged: dict[str, Recipe | None] = {}
    for spec in specs:
        for name, recipe in spec.items():
            if merged.setdefault(name, recipe) != recipe:
                raise ValueError(
                    f"view {name!r}: one term wants {merged[name]}, another {recipe}"
                )
    return merged


def make_views(
    inputs: Volumes,
    rows: dict[str, Tensor],
    spec: ViewSpec,
    own: Recipe,
    stream: Stream,
) -> dict[str, View]:
    """Make every view of a specification, as a network reads it: float32,
    channels last.

    On a CPU a few rows at a time are selected, changed and converted while
    they are in its caches.

    Parameters
    ----------
    inputs : dict of Tensor, each (pairs, C, *sides)
        Clean volumes of the whole cohort.
    rows : dict of Tensor of int64, each (B,)
        Which of them the batch holds.
    spec : mapping of str to Recipe or None
    own : Recipe
        The run's own augmentation, used where the specification says None.
    stream : Stream
        Keyed random numbers, one row a sample.
    """
    return {
        name: View(
            _view(inputs, rows, recipe or own, stream.child(f"view/{name}")),
            name,
        )
        for name, recipe in spec.items()
    }


def _view(
    inputs: Volumes, rows: dict[str, Tensor], recipe: Recipe, stream: Stream
) -> Volumes:
    """One view of the batch, block by block."""
    batch, out = len(stream.rows), {}
    block = batch
    if stream.rows.device.type == "cpu":
        block = max(
            1, _BLOCK_BYTES // max(x[0].nbytes for x in inputs.values())
        )
    for start in range(0, batch, block):
        some = slice(start, start + block)
        made = recipe(
            {m: x[rows[m][some]] for m, x in inputs.items()}, stream[some]
        )
        for m, x in made.items():
            if m not in out:
                shape, layout = (batch, *x.shape[1:]), _LAYOUTS[x.dim()]
                out[m] = torch.empty(
                    shape, device=x.device, memory_format=layout
                )
            out[m][some] = x
    return out
