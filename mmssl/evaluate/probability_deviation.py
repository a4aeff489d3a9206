"""How far a predicted probability moves when an image changes as images do in
practice: other intensities, another angle, another size (002, section IV-C and
figure 7).

Every transform is drawn by the image's row and its own number alone
(`mmssl.models.keyed_random`), so that all networks see the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmssl.evaluate.finetune import TaskNetwork, predict
from mmssl.models.keyed_random import Stream
from mmssl.objectives.multicrop import GAMMA as EXPONENT
from mmssl.objectives.multicrop import gamma_transformed

KINDS = ("gamma", "affine", "both")
DEGREES = 15.0
"""Largest angle of a rotation."""
SCALE = (0.9, 1.1)
"""Smallest and largest size of an image, as a share of its own."""

_BATCH = 16  # of predictions; volumes of 64^3 have large maps
_LEAST = -87.0  # of a log-probability; float32 still holds its ratio to 1


class Transforms(NamedTuple):
    """Several transforms of one image.

    exponent : Tensor, shape (n,)
        Of the gamma transform.
    matrix : Tensor, shape (n, axes, axes)
        From a place in the moved image to the place in the image that its
        value is taken from, in voxels around the centre.
    """

    exponent: Tensor
    matrix: Tensor


def relative_deviations(
    network: TaskNetwork,
    inputs: np.ndarray,
    rows: np.ndarray,
    transforms: int = 50,
    seed: int = 0,
    kinds: Sequence[str] = KINDS,
) -> np.ndarray:
    """How far the probability of "there is one" moves under random transforms,
    as a share of what it was.

    (p' - p) / p of each image and transform. "gamma" raises each image to a
    power in [1.8, 2.6] between its smallest and its largest value; "affine"
    turns it by up to `DEGREES`, in the plane or about a random axis, and
    scales it within `SCALE`, limits that 002 does not state; "both" does the
    first, then the second, with the same numbers.

    A ratio to a small p says little: a network that is sure that there is none
    deviates by many times p without ever changing its mind. It is finite
    whatever p is, as no probability counts as less than e^-87; read it beside
    p |ratio|, the deviation in probability (`log_probabilities`).

    Parameters
    ----------
    network : TaskNetwork
        Of two classes, of which the second is "there is one"; it ends in
        evaluation mode.
    inputs : array, shape (pairs, C, *sides)
        Standardised images, 0 the background.
    rows : array of int
        Whose images.
    transforms : int
        Of each image; the first of more are those of fewer.
    seed : int
        Of the transforms.
    kinds : sequence of {"gamma", "affine", "both"}

    Returns
    -------
    array, shape (kinds, rows, transforms)
        float32, computed without TensorFloat-32.

    Raises
    ------
    ValueError
        For a network that tells voxels or other than two classes, nobody, no
        transform, or no or an unknown kind.
    """
    _check(network, rows, transforms, kinds)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        before = log_probabilities(predict(network, inputs, rows))
        after = np.empty((len(kinds), len(rows), transforms))
        for place, row in enumerate(rows):
            told = _told(network, inputs, int(row), transforms, seed, kinds)
            after[:, place] = log_probabilities(told)
    return np.expm1(after - before[:, None]).astype(np.float32)


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Logarithm of the probability of the second of two classes, at least -87.

    Parameters
    ----------
    logits : array, shape (…, 2)

    Returns
    -------
    array, shape (…)
        float64.

    Raises
    ------
    ValueError
        For another number of classes.
    """
    if logits.shape[-1] != 2:
        raise ValueError(
            f"deviation: {logits.shape[-1]} classes, expected 2, of which the "
            "second is that there is one"
        )
    apart = np.subtract(logits[..., 0], logits[..., 1], dtype=np.float64)
    return np.maximum(-np.logaddexp(0, apart), _LEAST)


def draw_transforms(stream: Stream, number: int, axes: int) -> Transforms:
    """Random transforms of one image.

    Parameters
    ----------
    stream : Stream
        Of its row alone.
    number : int
        The first of more are the same.
    axes : int
        2 or 3.
    """

    def between(purpose: str, low: float, high: float) -> Tensor:
        """Uniform numbers, one a transform."""
        return low + (high - low) * stream.uniform(purpose, number)[0]

    angle = torch.deg2rad(between("angle", -DEGREES, DEGREES))
    if axes == 2:
        rotation = _in_plane(angle)
    else:
        rotation = _about(_directions(stream, number), angle)
    # the inverse: turned back, and larger where the image becomes smaller
    scale = between("scale", *SCALE)[:, None, None]
    return Transforms(between("exponent", *EXPONENT), rotation.mT / scale)


def moved(images: Tensor, matrix: Tensor) -> Tensor:
    """Turn and scale each image around its centre, linearly interpolated; what
    lies beyond it is 0.

    Parameters
    ----------
    images : Tensor, shape (n, C, *sides)
    matrix : Tensor, shape (n, axes, axes)
        As of `Transforms`; voxels have the same length along each axis.
    """
    sides = torch.tensor(images.shape[2:], device=images.device)
    # a grid counts from -1 to 1 along each side, the last axis first
    shares = (matrix * sides / sides[:, None]).flip(1, 2)
    theta = F.pad(shares, (0, 1))
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


@torch.no_grad()
def _told(
    network: TaskNetwork,
    inputs: np.ndarray,
    row: int,
    number: int,
    seed: int,
    kinds: Sequence[str],
) -> np.ndarray:
    """Logits of all transforms of one image, (kinds, number, 2)."""
    device = next(network.parameters()).device
    image = torch.from_numpy(np.array(inputs[row], np.float32)).to(device)
    stream = Stream(torch.tensor([row], device=device), seed, 0)
    exponents, matrices = draw_transforms(stream, number, image.dim() - 1)
    parts = []
    for start in range(0, number, _BATCH):
        exponent = exponents[start : start + _BATCH]
        matrix = matrices[start : start + _BATCH]
        images = image.expand(len(exponent), *image.shape)
        told = []
        for kind in kinds:
            changed = images
            if kind != "affine":
                changed = gamma_transformed(changed, exponent)
            if kind != "gamma":
                changed = moved(changed, matrix)
            told.append(network(changed).float())
        parts.append(torch.stack(told))
    return torch.cat(parts, 1).cpu().numpy()


def _in_plane(angle: Tensor) -> Tensor:
    """Rotations from the first axis to the second, (n, 2, 2)."""
    cos, sin = angle.cos(), angle.sin()
    first, second = torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)
    return torch.stack([first, second], 1)


def _directions(stream: Stream, number: int) -> Tensor:
    """Unit vectors, uniform on the sphere, (n, 3): height and longitude."""
    u = stream.uniform("direction", number, 2)[0]
    height = 2 * u[:, 0] - 1
    longitude = 2 * torch.pi * u[:, 1]
    radius = (1 - height**2).sqrt()
    x, y = radius * longitude.cos(), radius * longitude.sin()
    return torch.stack([x, y, height], 1)


def _about(axis: Tensor, angle: Tensor) -> Tensor:
    """Rotations about axes (n, 3), (n, 3, 3): Rodrigues' formula."""
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    identity = torch.eye(3).to(axis).expand(len(axis), 3, 3)
    # the rows of a cross product's matrix are e_i x u
    cross = torch.linalg.cross(identity, axis[:, None].expand_as(identity))
    along = axis[:, :, None] * axis[:, None, :]
    return cos * identity + sin * cross + (1 - cos) * along


def _check(network, rows, transforms: int, kinds: Sequence[str]) -> None:
    if network.voxelwise:
        raise ValueError(
            "deviation: the network tells a class of each voxel, expected one "
            "of each image"
        )
    if not len(rows) or transforms < 1:
        raise ValueError(
            f"deviation: {len(rows)} images of {transforms} transforms each, "
            "expected 1 at least of both"
        )
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise ValueError(f"kinds={tuple(kinds)}, expected some of {KINDS}")
