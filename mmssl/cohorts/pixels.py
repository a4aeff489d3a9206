"""What is done to the pixels of a digit: resized, turned, made noisy,
painted.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

SIZE = 32
MAX_ANGLE = 45.0  # degrees, to either side
_BLOCK = 2048
_LEAST_CONTRAST = 0.4  # between the luminances of ink and ground
_LUMINANCE = np.array([0.299, 0.587, 0.114])


def resized(images: np.ndarray) -> np.ndarray:
    """Bring images to 32x32 on uint8 (PIL, bilinear), in [0, 1], channels in
    front.

    Parameters
    ----------
    images : array of uint8, shape (n, rows, columns) or (n, rows, columns, 3)

    Returns
    -------
    array of float16, shape (n, 32, 32) or (n, 3, 32, 32)
    """
    if images.shape[1:3] != (SIZE, SIZE):
        images = np.stack([_resized(image) for image in images])
    scaled = (images / np.float32(255)).astype(np.float16)
    if scaled.ndim == 3:
        return scaled
    return np.ascontiguousarray(np.moveaxis(scaled, 3, 1))


def rotated(images: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Turn each image about its centre, bilinear, zero outside.

    Parameters
    ----------
    images : array, shape (n, rows, columns)
        Square.
    angles : array, shape (n,)
        Degrees, counter-clockwise as shown with row 0 on top.

    Returns
    -------
    array of float32, shape (n, rows, columns)
    """
    turned = np.empty(images.shape, np.float32)
    angles = np.asarray(angles, dtype=np.float32)
    radians = torch.from_numpy(np.deg2rad(angles))
    for start in range(0, len(images), _BLOCK):
        rows = slice(start, start + _BLOCK)
        block = torch.from_numpy(images[rows].astype(np.float32))[:, None]
        cos, sin = torch.cos(radians[rows]), torch.sin(radians[rows])
        zero = torch.zeros_like(cos)
        # where an output point (x right, y down) comes from: turned back by
        # the angle
        matrix = torch.stack([cos, -sin, zero, sin, cos, zero], dim=1)
        grid = F.affine_grid(
            matrix.view(-1, 2, 3), block.shape, align_corners=False
        )
        sampled = F.grid_sample(block, grid, align_corners=False)
        turned[rows] = sampled[:, 0].numpy()
    return turned


def noisy(
    images: np.ndarray, noise: np.ndarray, rescale: bool = False
) -> np.ndarray:
    """Add noise, then clamp to [0, 1] or stretch each image to it.

    Parameters
    ----------
    images, noise : array, shape (n, rows, columns)
    rescale : bool
    """
    covered = images + noise
    if not rescale:
        return np.clip(covered, 0, 1)
    low = covered.min(axis=(1, 2), keepdims=True)
    high = covered.max(axis=(1, 2), keepdims=True)
    return (covered - low) / (high - low)


def painted(
    images: np.ndarray, neighbours: np.ndarray, keys: list[tuple[int, ...]]
) -> np.ndarray:
    """Paint digits in colour between two others, as a house number shows them.

    Ink and ground are random colours at least .4 apart in luminance, either of
    them the brighter; the ground has a slope, parts of the neighbours reach
    into the image from both sides in the same ink, and there is some noise.

    Parameters
    ----------
    images : array, shape (n, 32, 32)
        In [0, 1].
    neighbours : array of int, shape (n, 2)
        Which images stand to the left and to the right of each.
    keys : sequence of tuple
        Of each image's random numbers.

    Returns
    -------
    array of float16, shape (n, 3, 32, 32)
        In [0, 1].
    """
    painted_images = np.empty((len(images), 3, SIZE, SIZE), np.float16)
    for i, key in enumerate(keys):
        rng = np.random.default_rng(key)
        left_image, right_image = images[neighbours[i]]
        strokes = _beside(images[i], left_image, right_image, rng)
        painted_images[i] = _coloured(strokes, rng)
    return painted_images


def _resized(image: np.ndarray) -> np.ndarray:
    """One image at 32x32, uint8."""
    size = (SIZE, SIZE)
    return np.asarray(
        Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    )


def _beside(
    image: np.ndarray,
    left_image: np.ndarray,
    right_image: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Strokes of an image and of what reaches into it from both sides, float32
    (32, 32).
    """
    # columns from one digit to the next
    left, right = rng.integers(18, 25, 2)
    strokes = image.astype(np.float32)
    reach = SIZE - left
    strokes[:, :reach] = np.maximum(strokes[:, :reach], left_image[:, left:])
    reach = SIZE - right
    strokes[:, right:] = np.maximum(strokes[:, right:], right_image[:, :reach])
    return strokes


def _coloured(strokes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Strokes in an ink on a sloping ground with noise, (3, 32, 32) in
    [0, 1].
    """
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    ground, ink = _colours(rng)[:, :, None, None]
    slope_x, slope_y = rng.uniform(-0.15, 0.15, (2, 3, 1, 1))
    plain = ground + slope_x * x + slope_y * y
    image = plain + strokes * (ink - plain)
    return np.clip(image + rng.normal(0, 0.05, image.shape), 0, 1)


def _colours(rng: np.random.Generator) -> np.ndarray:
    """Ground and ink, (2, 3), far enough apart."""
    while True:
        colours = rng.random((2, 3))
        ground, ink = colours @ _LUMINANCE
        if abs(ground - ink) >= _LEAST_CONTRAST:
            return colours
