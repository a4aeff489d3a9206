"""What is done to the pixels of a digit: resized, turned, made noisy,
painted.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

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
        turn = [
            Image.fromarray(image).resize(
                (SIZE, SIZE), Image.Resampling.BILINEAR
            )
            for image in images
        ]
        images = np.stack(turn)
    scaled = (images / np.float32(255)).astype(np.float16)
    return (
        scaled
        if scaled.ndim == 3
        else np.ascontiguousarray(np.moveaxis(scaled, 3, 1))
    )


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
    radians = torch.from_numpy(
        np.deg2rad(np.asarray(angles, dtype=np.float32))
    )
    for i in range(0, len(images), _BLOCK):
        x = torch.from_numpy(images[i : i + _BLOCK].astype(np.float32))[
            :, None
        ]
        cos, sin = (
            torch.cos(radians[i : i + _BLOCK]),
            torch.sin(radians[i : i + _BLOCK]),
        )
        zero = torch.zeros_like(cos)
        # where an output point (x right, y down) comes from: turned back by
        # the angle
        theta = torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).view(
            -1, 2, 3
        )
        grid = torch.nn.functional.affine_grid(
            theta, x.shape, align_corners=False
        )
        sampled = torch.nn.functional.grid_sample(x, grid, align_corners=False)
        turned[i : i + _BLOCK] = sampled[:, 0].numpy()
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
    together = images + noise
    if not rescale:
        return np.clip(together, 0, 1)
    low = together.min(axis=(1, 2), keepdims=True)
    return (together - low) / (together.max(axis=(1, 2), keepdims=True) - low)


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
    out = np.empty((len(images), 3, SIZE, SIZE), np.float16)
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    for i, key in enumerate(keys):
        rng = np.random.default_rng(key)
        # columns from one digit to the next
        left, right = rng.integers(18, 25, 2)
        strokes = images[i].astype(np.float32)
        shown = [images[j] for j in neighbours[i]]
        strokes[:, : SIZE - left] = np.maximum(
            strokes[:, : SIZE - left], shown[0][:, left:]
        )
        strokes[:, right:] = np.maximum(
            strokes[:, right:], shown[1][:, : SIZE - right]
        )
        ground, ink = _colours(rng)
        slope = rng.uniform(-0.15, 0.15, (2, 3, 1, 1))
        plain = ground[:, None, None] + slope[0] * x + slope[1] * y
        image = plain + strokes * (ink[:, None, None] - plain)
        out[i] = np.clip(image + rng.normal(0, 0.05, image.shape), 0, 1)
    return out


def _colours(rng: np.random.Generator) -> np.ndarray:
    """Ground and ink, (2, 3), far enough apart."""
    while True:
        colours = rng.random((2, 3))
        if abs(np.subtract(*(colours @ _LUMINANCE))) >= _LEAST_CONTRAST:
            return colours
