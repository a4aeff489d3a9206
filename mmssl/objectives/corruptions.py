"""Turns, crops and corruptions of a batch of images, on its own device.

What 003 does to an image before it is reconstructed, whole batches at a time:
in-painting and out-painting (Zhou et al. 2019, Models Genesis), local
shuffling of pixels, Gaussian blur, and the turns that a target undergoes,
flips and rotations by quarters in the plane of the first two axes. Every
choice is keyed by the row (`mmssl.models.keyed_random`), so that a row gets
the same whatever batch it is in. Images are (B, C, *sides).
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmssl.models.keyed_random import Stream
from mmssl.objectives.along_axis import NEGLIGIBLE, along_axis

QUARTERS = 4
ORDERS = 64  # of the places of a box of each shape, drawn anew every step
FEWEST = 8  # of them, where a row has few boxes of each shape


class Turn(NamedTuple):
    """Flips, then a rotation by quarters, of each row.

    Attributes
    ----------
    flips : Tensor of bool, shape (B, axes)
    quarters : Tensor of int64, shape (B,)
        Rotations by 90 degrees from the first axis to the second, 0 to 3.
    """

    flips: Tensor
    quarters: Tensor

    def indicator(self) -> Tensor:
        """The vector of 003, figure 3: one bit a flip, and exactly one of four
        for the rotation; (B, axes + 4) float32.
        """
        rotation = F.one_hot(self.quarters, QUARTERS)
        return torch.cat([self.flips, rotation], 1).float()


def draw_turns(stream: Stream, axes: int, rotate: bool = True) -> Turn:
    """Flips with p = .5 each, and one of four rotations.

    Parameters
    ----------
    stream : Stream
    axes : int
        2 or 3.
    rotate : bool
        False leaves all rotations at 0, as the paper's ablation "Flip".
    """
    flips = stream.uniform("flips", axes) < 0.5
    quarters = stream.integers("quarters", QUARTERS)
    return Turn(flips, quarters if rotate else torch.zeros_like(quarters))


def turned(images: Tensor, turn: Turn) -> Tensor:
    """Flip, then rotate each row.

    Parameters
    ----------
    images : Tensor, shape (B, C, *sides)
    turn : Turn

    Raises
    ------
    ValueError
        For a rotation of a plane whose sides are unequal.
    """
    result = images
    for axis in range(images.dim() - 2):
        flip = turn.flips[:, axis].view(-1, *(1,) * (images.dim() - 1))
        result = torch.where(flip, result.flip(2 + axis), result)
    if images.shape[2] != images.shape[3] and turn.quarters.any():
        raise ValueError(
            f"rotation by quarters of sides {tuple(images.shape[2:])}, "
            "expected the first two to be equal"
        )
    return _rotated(result, turn.quarters)


def turned_back(images: Tensor, turn: Turn) -> Tensor:
    """What `turned` made of these images, undone."""
    result = _rotated(images, -turn.quarters % QUARTERS)
    return turned(result, turn._replace(quarters=0 * turn.quarters))


def _rotated(images: Tensor, quarters: Tensor) -> Tensor:
    """Each row rotated by its quarters."""
    result = images.clone()
    for quarter in range(1, QUARTERS):
        rows = (quarters == quarter).nonzero().flatten()
        if len(rows):
            result[rows] = torch.rot90(images[rows], quarter, (2, 3))
    return result


class Boxes(NamedTuple):
    """A box of each row: start and length along each axis, in voxels, (B,
    axes) float32.
    """

    start: Tensor
    length: Tensor


def crop_pairs(
    stream: Stream,
    sides: Sequence[int],
    shares: Sequence[float],
    least_overlap: float = 0.25,
    tries: int = 64,
) -> tuple[Boxes, Boxes]:
    """Two boxes of each row that overlap, each of one of several sizes.

    Of so many pairs drawn at random, the first whose intersection over union
    is above the least.

    Parameters
    ----------
    stream : Stream
    sides : sequence of int
        Of the images.
    shares : sequence of float
        Sizes of a box, as shares of the sides, in (0, 1].
    least_overlap : float
        .25 in 003's code.
    tries : int

    Raises
    ------
    ValueError
        For a share outside (0, 1], or a row none of whose pairs overlaps
        enough.
    """
    if not shares or not all(0 < share <= 1 for share in shares):
        raise ValueError(
            f"crops of the shares {tuple(shares)}, expected some in (0, 1]: a "
            "crop cannot be larger than the volume"
        )
    axes = len(sides)
    whole = torch.tensor(sides, dtype=torch.float32, device=stream.rows.device)
    sizes = torch.tensor(shares, dtype=torch.float32, device=whole.device)
    chosen = stream.integers("sizes", len(shares), tries, 2)
    # (B, tries, 2, axes), whole voxels
    length = (sizes[chosen][..., None] * whole).round().clamp(min=1)
    free = whole - length
    place = stream.uniform("places", tries, 2, axes)
    start = (place * (free + 1)).floor().minimum(free)
    low = start.amax(2)
    high = (start + length).amin(2)
    shared = (high - low).clamp(min=0).prod(-1)
    both = length.prod(-1).sum(2) - shared
    enough = shared / both > least_overlap
    if not enough.any(1).all():
        row = int((~enough.any(1)).nonzero()[0])
        raise ValueError(
            f"crops of the shares {tuple(shares)}: none of {tries} pairs of "
            f"row {row} overlaps by more than {least_overlap} (intersection "
            "over union); expected larger crops or a smaller overlap"
        )
    first = enough.int().argmax(1)
    rows = torch.arange(len(first), device=first.device)
    start, length = start[rows, first], length[rows, first]
    return (
        Boxes(start[:, 0], length[:, 0]),
        Boxes(start[:, 1], length[:, 1]),
    )


def resized(
    images: Tensor,
    boxes: Boxes,
    sides: Sequence[int],
    beyond: str = "border",
) -> Tensor:
    """The boxes of images at the sides of a network, linearly interpolated.

    Parameters
    ----------
    images : Tensor, shape (B, C, *old sides)
    boxes : Boxes
    sides : sequence of int
    beyond : {"border", "zeros"}
        What lies beyond the image.

    Returns
    -------
    Tensor, shape (B, C, *sides)
        Voxel centres to voxel centres; a box at its own size is copied.
    """
    result = images.float()
    for axis, read in enumerate(sides):
        side = images.shape[2 + axis]
        start, length = boxes.start[:, axis, None], boxes.length[:, axis, None]
        centres = torch.arange(read, device=images.device) + 0.5
        places = start + centres * length / read - 0.5
        if beyond == "border":
            places = places.clamp(0, side - 1)
        apart = places[:, :, None] - torch.arange(side, device=images.device)
        weights = (1 - apart.abs()).clamp(min=0)
        result = along_axis(result, weights, 2 + axis)
    return result


def painted(images: Tensor, stream: Stream) -> Tensor:
    """In-painting or out-painting of nine rows in ten (003's code, after
    Models Genesis): one in five of these in-painted, the others out-painted.

    In-painting replaces up to five boxes, sides of a sixth to a third, by
    noise; out-painting all but up to five boxes, sides of three to four
    sevenths. Noise is uniform over the row's own range, a number a voxel.
    Another box follows with p = .95.
    """
    happens = stream.uniform("paint") < 0.9
    inside = stream.uniform("inside") < 0.2
    # in-painting hides what a box holds, out-painting what none does
    held = _held(stream, images.shape[2:], inside, inside * 2.0 - 1)
    shown = torch.where(happens, (~inside).float(), -torch.inf)
    hidden = held.add_(_per_row(shown, held)).clamp_(0, 1)
    flat = images.flatten(1)
    low = flat.amin(1, keepdim=True).float()
    high = flat.amax(1, keepdim=True).float()
    noise = stream.noise("noise", *images.shape[1:], low=low, high=high)
    # exact with weights of 0 and 1, and faster than a choice
    weight = hidden[:, None].to(images.dtype)
    return torch.lerp(images, noise.to(images.dtype), weight)


def _held(
    stream: Stream, sides: Sequence[int], small: Tensor, sign: Tensor
) -> Tensor:
    """How many of up to five boxes hold each voxel, times a sign of the row,
    (B, *sides) float32; small boxes for in-painting, large ones for
    out-painting.
    """
    number = 5
    device = stream.rows.device
    whole = torch.tensor(sides, dtype=torch.float32, device=device)
    axes = len(sides)
    least = torch.where(small, 1 / 6, 3 / 7).view(-1, 1, 1)
    most = torch.where(small, 1 / 3, 4 / 7).view(-1, 1, 1)
    share = stream.uniform("box sizes", number, axes)
    length = (least + (most - least) * share) * whole
    place = stream.uniform("box places", number, axes)
    start = place * (whole - length)
    goes_on = stream.uniform("box numbers", number) < 0.95
    goes_on[:, 0] = True
    there = goes_on.int().cumprod(1).bool()
    factors = [there * sign[:, None]]
    for axis, side in enumerate(sides):
        places = torch.arange(side, device=device)
        low = start[:, :, axis, None].round()
        high = (start + length)[:, :, axis, None].round()
        along = (places >= low) & (places < high)
        factors.append(along.float())
    letters = "xyz"[:axes]
    along_axes = ",".join(f"bn{letter}" for letter in letters)
    return torch.einsum(f"bn,{along_axes}->b{letters}", *factors)


def blurred(
    images: Tensor,
    stream: Stream,
    sigma: tuple[float, float] | None = None,
    probability: float = 0.5,
) -> Tensor:
    """Gaussian blur of some rows, by a standard deviation of their own.

    Parameters
    ----------
    images : Tensor, shape (B, C, *sides)
    stream : Stream
    sigma : tuple of float, optional
        Smallest and largest, in voxels; by default .1 and a 32nd of the first
        side: the code's 2 at 64, and as much of a brain at any resolution.
    probability : float
        Of each row to be blurred.
    """
    # SciPy's has one width a call and leaves the device
    happens = stream.uniform("blur") < probability
    low, high = sigma or (0.1, images.shape[2] / 32)
    width = low + (high - low) * stream.uniform("width")
    rows = happens.nonzero().flatten()
    x = images[rows].float()
    for axis in range(2, images.dim()):
        weights = _gaussian(width[rows], x.shape[axis], math.ceil(3 * high))
        x = along_axis(x, weights, axis)
    result = images.float().clone()
    result[rows] = x
    return result


def _gaussian(width: Tensor, side: int, reach: int) -> Tensor:
    """Weights of each place for each other on a line, (B, side, side): a
    Gaussian of the row's width that ends at the reach, 0 beyond the image.
    """
    places = torch.arange(side, device=width.device)
    apart = places - places[:, None]
    taps = torch.arange(-reach, reach + 1, device=width.device)
    twice = 2 * width.view(-1, 1, 1) ** 2
    total = torch.exp(-(taps**2) / twice).sum(2, keepdim=True)
    weights = torch.exp(-(apart**2) / twice) / total
    weights = F.threshold(weights, NEGLIGIBLE, 0.0)
    return weights.masked_fill(apart.abs() > reach, 0.0)


def shuffled(
    images: Tensor,
    stream: Stream,
    largest: Sequence[int] | None = None,
    boxes: int = 10_000,
    probability: float = 0.5,
) -> Tensor:
    """Local shuffling of pixels: in many small boxes of some rows, the values
    change places (003's code).

    Boxes read the image as it was; where two overlap the later one counts.
    Each takes one of 8 to 64 random orders of its shape, which are drawn anew
    every step: as many as a row has boxes of a shape.

    Parameters
    ----------
    images : Tensor, shape (B, C, *sides)
    stream : Stream
    largest : sequence of int, optional
        Sides that a box may have at most; by default three 32nds of the
        image's: 6, 6 and 3 of 64, 64 and 32, as in the code.
    boxes : int
        How many.
    probability : float
        Of each row to be shuffled.
    """
    happens = stream.uniform("shuffle") < probability
    rows = happens.nonzero().flatten()
    result = images.clone()
    sides = images.shape[2:]
    if largest is None:
        largest = [max(1, round(3 * side / 32)) for side in sides]
    source = _shuffled_places(stream[rows], sides, largest, boxes)
    flat = images[rows].flatten(2)
    moved = flat.gather(2, source[:, None].expand_as(flat))
    result[rows] = moved.view(-1, *images.shape[1:])
    return result


def _shuffled_places(
    stream: Stream, sides: Sequence[int], largest: Sequence[int], number: int
) -> Tensor:
    """Where each voxel of each row gets its value from: flat indices into the
    row's image, (B, voxels).

    Boxes of one shape are done together, those of all rows.
    """
    device = stream.rows.device
    rows, axes, total = len(stream.rows), len(sides), math.prod(sides)
    most = [min(a, b) for a, b in zip(largest, sides, strict=True)]
    whole = torch.tensor(sides, device=device)
    # lengths less one; all boxes of a row, then those of the next
    length = stream.uniform("lengths", number, axes)
    length = (length * torch.tensor(most, device=device)).long()
    start = stream.uniform("starts", number, axes)
    start = (start * (whole - length)).long().flatten(0, 1)
    corner = _flat(start, sides)
    row = torch.arange(rows, device=device).repeat_interleave(number)
    target = corner + row * total
    # the number of the box is told by the first bits of a voxel's source, so
    # that the largest is of the latest box
    bits = total.bit_length()
    later = torch.arange(1, number + 1, device=device).repeat(rows)
    origin = corner + (later << bits)
    source = torch.arange(total, device=device).repeat(rows)
    steps = _box_steps(tuple(most), tuple(sides))
    # of many shapes, those that boxes take: all would outweigh the image
    orders = min(max(math.ceil(number / len(steps)), FEWEST), ORDERS)
    order = stream.integers("orders", orders, number).flatten()
    shapes = _flat(length.flatten(0, 1), most)
    boxes = shapes.argsort()
    counts = shapes.bincount(minlength=len(steps)).tolist()
    # the boxes of each shape lie together, and are not looked up one by one
    target, origin, order = (
        each.index_select(0, boxes).split(counts)
        for each in (target, origin, order)
    )
    reordered = _reordered(stream, steps, orders)
    for shape, (inside, sources) in enumerate(
        zip(steps, reordered, strict=True)
    ):
        targets = target[shape][:, None] + inside.to(device)
        origins = sources.index_select(0, order[shape])
        origins += origin[shape][:, None]
        source.scatter_reduce_(0, targets.flatten(), origins.flatten(), "amax")
    return (source & ((1 << bits) - 1)).view(rows, total)


def _reordered(
    stream: Stream, boxes: Sequence[Tensor], orders: int
) -> list[Tensor]:
    """The places of each box in random orders, (orders, places).

    They are the same for all rows of a step: an order of its own for each of
    the many boxes would take most of the time. The last bits of random numbers
    are replaced by the place; sorted, these bits are a permutation.
    """
    device = stream.rows.device
    which = torch.arange(orders, device=device)
    shared = Stream(which, stream.seed, stream.step, stream.purpose)
    places = torch.cat(boxes).to(device)
    last = (1 << int(places.max()).bit_length()) - 1
    keys = shared.bits("reordered", len(places)) & ~last | places
    of_box = keys.split([len(box) for box in boxes], 1)
    return [_sorted_rows(keys) & last for keys in of_box]


@lru_cache(maxsize=8)
def _box_steps(
    most: tuple[int, ...], sides: tuple[int, ...]
) -> tuple[Tensor, ...]:
    """Of a box of each shape, how far its places lie from its corner, in flat
    indices of the image.
    """
    steps = []
    for lengths in product(*(range(1, side + 1) for side in most)):
        places = product(*(range(length) for length in lengths))
        steps.append(_flat(torch.tensor(list(places)), sides))
    return tuple(steps)


def _flat(indices: Tensor, sides: Sequence[int]) -> Tensor:
    """Flat index of indices (n, axes) into an array of such sides."""
    flat = indices[:, 0]
    for axis in range(1, len(sides)):
        flat = flat * sides[axis] + indices[:, axis]
    return flat


def _sorted_rows(keys: Tensor) -> Tensor:
    """Keys (m, n) sorted within each row; on a CPU by NumPy, whose sort of
    short rows takes a tenth of the time.
    """
    if keys.device.type != "cpu":
        return keys.sort(1).values
    return torch.from_numpy(np.sort(keys.numpy(), 1))


def _per_row(values: Tensor, like: Tensor) -> Tensor:
    """Values of rows, (B,), that broadcast against (B, …)."""
    return values.view(-1, *(1,) * (like.dim() - 1))
