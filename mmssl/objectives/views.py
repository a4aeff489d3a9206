"""Views of a batch, made on the device it lives on.

A *recipe* turns the clean volumes of all modalities into one view; its random
choices come from a keyed stream and do not depend on the batch. Each modality
has crops of its own: a crop shared by two modalities is a shortcut, since it
tells which two images belong together. Terms say as data which views they need
(`ViewSpec`); they never augment.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from mmssl.models.keyed_random import Stream

Volumes = dict[str, Tensor]
# of one modality, on a CPU: what passes through its caches in one go
_BLOCK_BYTES = 1 << 23
_LARGE = 1 << 17  # voxels of an image that a copy of its own pays for
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
        name -> {modality: (clean or turned target (B, C, *sides), indicator of
        what was done to it (B, bits))}, for terms that reconstruct something
        else than the view itself.
    """

    volumes: Volumes
    kind: str
    targets: "Targets" = field(default_factory=dict)


Targets = dict[str, dict[str, tuple[Tensor, Tensor]]]


class Made(NamedTuple):
    """What a recipe makes that has targets beside the view."""

    volumes: Volumes
    targets: Targets


def shift_and_flip(volumes: Tensor, offset: Tensor, flip: Tensor) -> Tensor:
    """Pad with 0, crop, then flip.

    Parameters
    ----------
    volumes : Tensor, shape (B, C, *sides)
        0 is the background.
    offset : Tensor of int64, shape (B, axes)
        Crop position minus the padding, in voxels.
    flip : Tensor of bool, shape (B, axes)

    Returns
    -------
    Tensor, shape of ``volumes``
    """
    # half floats travel as integers, which torch moves several times faster on
    # a CPU
    carrier = torch.int16 if volumes.element_size() == 2 else volumes.dtype
    is_large = volumes[:1].numel() >= _LARGE
    move = (
        _row_by_row if volumes.device.type == "cpu" and is_large else _gather
    )
    moved = move(volumes.contiguous().view(carrier), offset, flip)
    return moved.view(volumes.dtype)


def _row_by_row(volumes: Tensor, offset: Tensor, flip: Tensor) -> Tensor:
    """Blocks of memory are copied: several times faster than single voxels."""
    moved = torch.zeros_like(volumes)
    shifts_and_flips = zip(offset.tolist(), flip.tolist(), strict=True)
    for row, (shifts, flips) in enumerate(shifts_and_flips):
        source, target, flipped = volumes[row], moved[row], []
        for axis, side in enumerate(volumes.shape[2:], start=1):
            shift = shifts[axis - 1]
            low, high = max(0, shift), min(side, side + shift)
            length = max(0, high - low)
            first = low - shift
            if flips[axis - 1]:
                flipped.append(axis)
                first = side - first - length
            source = source.narrow(axis, min(low, side), length)
            target = target.narrow(axis, max(0, min(first, side)), length)
        target.copy_(source.flip(flipped) if flipped else source)
    return moved


def _gather(volumes: Tensor, offset: Tensor, flip: Tensor) -> Tensor:
    """All rows in one gather."""
    batch, channels, *sides = volumes.shape
    index, inside = [], []
    for axis, side in enumerate(sides):
        source = _source_index(side, offset[:, axis], flip[:, axis])
        index.append(source.clamp(0, side - 1))
        inside.append((source >= 0) & (source < side))
    # the outer axes select whole contiguous lines; only the last axis is
    # gathered element-wise
    line = torch.arange(batch * channels, device=volumes.device)
    line = line.view(batch, channels)
    for axis, side in enumerate(sides[:-1]):
        along = index[axis].view(batch, *(1,) * line[0].dim(), side)
        line = line[..., None] * side + along
    lines = volumes.view(-1, sides[-1]).index_select(0, line.flatten())
    lines = lines.view(batch, -1, sides[-1])
    moved = lines.gather(2, index[-1][:, None].expand_as(lines))
    moved = moved.view(batch, channels, *sides)
    for axis, kept in enumerate(inside):
        along = [1] * len(sides)
        along[axis] = sides[axis]
        moved.mul_(kept.view(batch, 1, *along).to(moved.dtype))
    return moved


def _source_index(side: int, offset: Tensor, flip: Tensor) -> Tensor:
    """Source index of each output voxel along one axis, shape (B, side);
    outside [0, side) for padding.
    """
    index = torch.arange(side, device=offset.device)
    index = index.expand(len(offset), side)
    flipped = torch.where(flip[:, None], side - 1 - index, index)
    return flipped + offset[:, None]


@dataclass(frozen=True)
class Clean:
    """The volumes as they are."""

    def __call__(self, volumes: Volumes, stream: Stream) -> Volumes:
        """Return ``volumes``."""
        return volumes


@dataclass(frozen=True)
class PadCropFlip:
    """Pad with 0, crop to the old size, flip each axis with p = .5.

    Parameters
    ----------
    pad : int, optional
        Padding on each side in voxels, so the largest shift; by default a 32nd
        of the side (1 at 32, 2 at 64). A larger one moves a brain further than
        two brains differ.
    flips : bool
        Whether to flip.
    shared : bool
        Whether the modalities of a pair get the same crop and flips, as in the
        public code of 004. A contrast between modalities can then be met by
        the crop alone.
    """

    pad: int | None = None
    flips: bool = False
    shared: bool = False

    def __call__(self, volumes: Volumes, stream: Stream) -> Volumes:
        """Apply a crop and a set of flips a row, each modality its own or the
        same to all.
        """
        moved = {}
        for m, x in volumes.items():
            moved[m] = shift_and_flip(x, *self.draw(m, x.shape[2:], stream))
        return moved

    def draw(
        self, m: str, sides: Sequence[int], stream: Stream
    ) -> tuple[Tensor, Tensor]:
        """Shift in voxels (int64) and flips (bool) of one modality, each (B,
        axes).
        """
        pad = max(1, sides[0] // 32) if self.pad is None else self.pad
        whose = "" if self.shared else f"/{m}"
        offset = stream.integers(f"crop{whose}", 2 * pad + 1, len(sides))
        flip = stream.uniform(f"flip{whose}", len(sides)) < 0.5
        return offset - pad, flip & self.flips


def paper_recipe(side: int, shared: bool = True) -> PadCropFlip:
    """The augmentation of 004, section III-A: crops of an eighth of the side,
    flips on all axes.

    Parameters
    ----------
    side : int
        Of the volumes, in voxels.
    shared : bool
        As in `PadCropFlip`; the papers do not say, the public code shares.
    """
    return PadCropFlip(side // 8, flips=True, shared=shared)


@dataclass(frozen=True)
class Noisy:
    """Another recipe, then Gaussian noise on some of the pairs ("Tasting the
    cake", 3.1.1).

    As TorchIO's RandomNoise on a subject: one coin a pair, then every modality
    draws a standard deviation, uniform from 0 to ``largest_std``, and noise of
    its own. The background stays 0.

    Parameters
    ----------
    recipe : Recipe
        What happens before.
    largest_std : float
        The largest standard deviation, in those of the z-scored volume; 1.0 in
        the paper.
    probability : float
        Share of the pairs that get noise; .33 in the paper.
    """

    recipe: "Recipe" = field(default_factory=PadCropFlip)
    largest_std: float = 1.0
    probability: float = 0.33

    def __post_init__(self):
        """Refuse what is no standard deviation and no probability."""
        if not self.largest_std >= 0 or not 0 <= self.probability <= 1:
            raise ValueError(
                f"Noisy: largest_std={self.largest_std}, "
                f"probability={self.probability}; "
                "expected at least 0, and one from 0 to 1"
            )

    def __call__(self, volumes: Volumes, stream: Stream) -> Volumes:
        """Apply the recipe, then add noise to the pairs it falls on."""
        volumes = self.recipe(volumes, stream)
        is_noisy = stream.uniform("noisy") < self.probability
        chosen = is_noisy.nonzero().flatten()
        rows = stream[chosen]
        noisy = {}
        for m, x in volumes.items():
            std = rows.uniform(f"std/{m}") * self.largest_std
            std = std.view(-1, *(1,) * (x.dim() - 1))
            noise = rows.normal(f"noise/{m}", *x.shape[1:]) * std
            noise = noise * (x[chosen] != 0)
            noisy[m] = x.float().index_add(0, chosen, noise)
        return noisy


Recipe = Callable[[Volumes, Stream], Volumes | Made]
# by the name of a view; None is the run's own augmentation
ViewSpec = Mapping[str, Recipe | None]


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
                    f"view {name!r}: one term wants {merged[name]}, "
                    f"another {recipe}"
                )
    return merged


def make_views(
    inputs: Volumes,
    rows: dict[str, Tensor],
    spec: ViewSpec,
    own: Recipe,
    stream: Stream,
    present: Mapping[str, Tensor] | None = None,
) -> dict[str, View]:
    """Make every view of a specification, as a network reads it: float32,
    channels last.

    On a CPU a few rows at a time are selected, changed and converted while
    they are in its caches.

    Parameters
    ----------
    inputs : dict of Tensor, each (pairs, C, *sides)
        Clean volumes of the whole cohort, or what gives a Tensor for a Tensor
        of rows.
    rows : dict of Tensor of int64, each (B,)
        Which of them the batch holds.
    spec : mapping of str to Recipe or None
    own : Recipe
        The run's own augmentation, used where the specification says None.
    stream : Stream
        Keyed random numbers, one row a sample.
    present : dict of Tensor of bool, each (B,), optional
        Of the modalities that some samples lack: which have it. The view of
        such a modality holds these alone, in their order.
    """
    views = {}
    for name, recipe in spec.items():
        own_stream = stream.child(f"view/{name}")
        made_by = recipe or own
        # images are not rounded, whatever the networks compute in
        with torch.autocast(stream.rows.device.type, enabled=False):
            if present:
                made = _augment_present(
                    inputs, rows, made_by, own_stream, present
                )
            else:
                made = _augment(inputs, rows, made_by, own_stream)
        views[name] = View(made.volumes, name, made.targets)
    return views


def _augment_present(
    inputs: Volumes,
    rows: dict[str, Tensor],
    recipe: Recipe,
    stream: Stream,
    present: Mapping[str, Tensor],
) -> Made:
    """One view of the images that are there: samples with the same modalities
    are changed together, as recipes take all of a sample's.
    """
    names = list(inputs)
    everybody = torch.ones_like(stream.rows, dtype=torch.bool)
    there = torch.stack([present.get(m, everybody) for m in names], 1)
    place = there.cumsum(0) - 1  # of a sample among those of a modality
    parts = _Parts()
    for pattern in there.unique(dim=0):
        members = (there == pattern).all(1).nonzero().flatten()
        chosen = {m: k for k, m in enumerate(names) if pattern[k]}
        of_these = {m: inputs[m] for m in chosen}
        own_rows = {m: rows[m][members] for m in chosen}
        made = _augment(of_these, own_rows, recipe, stream[members])
        numbers = {m: int(there[:, k].sum()) for m, k in chosen.items()}
        places = {m: place[members, k] for m, k in chosen.items()}
        parts.add(made, numbers, places)
    for m in names:
        if m in parts.volumes:
            continue
        # nobody of this step has it
        nothing = inputs[m][:0].float()
        parts.volumes[m] = nothing
        for by_modality in parts.targets.values():
            _, indicator = next(iter(by_modality.values()))
            by_modality[m] = nothing, indicator[:0]
    return Made(parts.volumes, parts.targets)


class _Parts:
    """A view that is put together from parts of the batch."""

    def __init__(self) -> None:
        self.volumes: Volumes = {}
        self.targets: Targets = {}

    def add(
        self, made: Volumes | Made, numbers: Mapping, places: Mapping
    ) -> None:
        """Put a part in its places, {modality: indices or a slice}, of so many
        rows of each modality.
        """
        if not isinstance(made, Made):
            made = Made(made, {})
        for m, x in made.volumes.items():
            if m not in self.volumes:
                self.volumes[m] = _empty(x, numbers[m])
            self.volumes[m][places[m]] = x
        for name, by_modality in made.targets.items():
            known = self.targets.setdefault(name, {})
            for m, pair in by_modality.items():
                if m not in known:
                    known[m] = tuple(_empty(x, numbers[m]) for x in pair)
                for whole, part in zip(known[m], pair, strict=True):
                    whole[places[m]] = part


def _empty(like: Tensor, number: int) -> Tensor:
    """Float32 for so many rows like these, images with channels last."""
    options = {}
    if like.dim() in _LAYOUTS:
        options["memory_format"] = _LAYOUTS[like.dim()]
    return torch.empty(
        (number, *like.shape[1:]), device=like.device, **options
    )


def _augment(
    inputs: Volumes, rows: dict[str, Tensor], recipe: Recipe, stream: Stream
) -> Made:
    """One view of the batch, made block by block."""
    batch = len(stream.rows)
    size = _block_size(inputs, stream)
    parts = _Parts()
    for start in range(0, batch, size):
        block = slice(start, start + size)
        clean = {m: _selected(x, rows[m][block]) for m, x in inputs.items()}
        made = recipe(clean, stream[block])
        numbers = dict.fromkeys(inputs, batch)
        parts.add(made, numbers, dict.fromkeys(inputs, block))
    return Made(parts.volumes, parts.targets)


def _selected(inputs, rows: Tensor) -> Tensor:
    """Some rows of a cohort's images."""
    if isinstance(inputs, Tensor):
        # ten times as fast as an index on a CPU
        return inputs.index_select(0, rows.to(inputs.device))
    return inputs[rows]


def _block_size(inputs: Volumes, stream: Stream) -> int:
    """Rows at a time: what fits the caches of a CPU, the whole batch else."""
    if stream.rows.device.type != "cpu":
        return len(stream.rows)
    largest = max(x[:1].nbytes for x in inputs.values())
    return max(1, _BLOCK_BYTES // largest)
