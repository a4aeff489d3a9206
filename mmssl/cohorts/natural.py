"""Two-View MNIST: each digit seen twice, once turned and once noisy.

The first data set of the taxonomy (Fedorov et al. 2021, "Taxonomy", section III-A), after Wang et
al. 2015. One image stands for one participant; the published test images are the hold-out.
"""

from __future__ import annotations

import gzip
import hashlib
import warnings
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from mmssl.cohorts import cohort as folder
from mmssl.cohorts import splits

SIZE = 32
DIGITS = tuple("0123456789")
MAX_ANGLE = 45.0  # degrees, to either side

_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_MD5 = {  # of the .gz files, as published
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
_CHUNK = 2048


def two_view_mnist(
    path: str | Path,
    source: str | Path,
    train: int | None = None,
    test: int | None = None,
    seed: int = 0,
    folds: int = 5,
    second: str = "same-image",
    rescale: bool = False,
) -> folder.Cohort:
    """Make the Two-View MNIST cohort from the four idx files.

    Digits are resized from 28 to 32 on uint8 (PIL, bilinear) and scaled to [0, 1]. view1 is turned
    by an angle from U(-45, 45) degrees, zero outside; view2 has U(0, 1) noise added and is clamped
    to [0, 1]. Angle and noise belong to an image's number in its file, so a smaller cohort holds
    the same images as a larger one.

    Parameters
    ----------
    path : path
        Folder to make.
    source : path
        Folder with ``train-images-idx3-ubyte[.gz]`` and the other three.
    train, test : int, optional
        How many of the first training and test images; by default all 60,000 and 10,000.
    seed : int
    folds : int
        Over the training images, stratified by digit; 1: all of them train and nobody validates, as
        the published train/test split has it.
    second : {"same-image", "same-class"}
        What view2 shows: the digit of view1, as the public code has it, or another image of its
        class, as Wang et al. 2015; partners are drawn inside one fold's part, so no image crosses.
    rescale : bool
        Stretch view2 back to [0, 1] ("Taxonomy", section III-A) instead of clamping.

    Returns
    -------
    Cohort
        Kind "two-view-mnist", 2D, size 32, modalities view1 and view2 (pairs, 32, 32) float16 in
        [0, 1], task "digit"; training images first.

    Raises
    ------
    ValueError
        Before anything is written: a file missing, damaged or of another kind, images and labels
        that do not count the same, more images asked for than there are, an unknown `second`.
    """
    if second not in ("same-image", "same-class"):
        raise ValueError(f"second is {second!r}, expected 'same-image' or 'same-class'")
    digits, labels, tables = [], [], []
    for part, count in (("train", train), ("test", test)):
        images, targets = _digits(Path(source), part, count)
        digits.append(images)
        labels.append(targets)
        ids = [f"{part}-{i:05d}" for i in range(len(images))]
        tables.append(pd.DataFrame({"participant_id": ids, "group": targets.astype(str)}))
    participants = pd.concat(tables, ignore_index=True)
    ids = participants["participant_id"]
    held = tables[1]["participant_id"].tolist()
    if folds == 1:
        everybody = [{"train": tables[0]["participant_id"].tolist(), "valid": []}]
        split = {"seed": seed, "holdout": held, "shift": [], "folds": everybody}
    else:
        split = splits.make(participants, folds, held, seed, classes=DIGITS)
    images = np.concatenate([_resized(part) for part in digits])
    shown = np.arange(len(images))
    if second == "same-class":
        shown = _partners(np.concatenate(labels), _part(ids, split), seed)
    numbers = [(part, i) for part in (0, 1) for i in range(len(digits[part]))]
    angles, noise = _draws(numbers, seed)
    pairs = pd.DataFrame({"pair": range(len(ids)), "participant_id": ids, "session": 1, "day": 0,
                          "downstream": 1})  # fmt: skip
    views = {"view1": rotated(images, angles).astype(np.float16),
             "view2": _noisy(images[shown], noise, rescale).astype(np.float16)}  # fmt: skip
    return folder.write(
        path, name=Path(path).name, kind="two-view-mnist", volumes=views, participants=participants,
        pairs=pairs, splits=split, intensity="unit",
        tasks={"digit": {"column": "group", "classes": list(DIGITS)}},
        parameters={"train": len(digits[0]), "test": len(digits[1]), "folds": folds,
                    "second": second, "rescale": rescale}, seed=seed,
    )  # fmt: skip


def read_idx(path: str | Path) -> np.ndarray:
    """Read an idx file of unsigned bytes, gzipped or not.

    Layout: two zero bytes, the type 0x08, the number of dimensions, each dimension as a big-endian
    32-bit integer, then the values.

    Returns
    -------
    array of uint8
        In the file's shape: (n, rows, columns) for images, (n,) for labels.

    Raises
    ------
    ValueError
        Naming the file: not there, gzip damaged or cut, not an idx file of bytes, or not as many
        values as its header says.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: not found")
    raw = path.read_bytes()
    if path.suffix == ".gz":
        try:
            raw = gzip.decompress(raw)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: gzip data damaged or cut short ({error})") from error
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08" or raw[3] == 0:
        raise ValueError(f"{path}: begins with {raw[:4].hex()}, expected 000008 and the number of "
                         "dimensions: not an idx file of unsigned bytes")
    start = 4 + 4 * raw[3]
    shape = tuple(np.frombuffer(raw[4:start], ">u4", count=min(raw[3], len(raw[4:start]) // 4)))
    expected = int(np.prod(shape, dtype=np.int64))
    if len(shape) < raw[3] or len(raw) - start != expected:
        found = max(0, len(raw) - start)
        sides = tuple(int(side) for side in shape)
        raise ValueError(f"{path}: {found} values found, its header says {expected} {sides}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


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
    radians = torch.from_numpy(np.deg2rad(np.asarray(angles, dtype=np.float32)))
    for i in range(0, len(images), _CHUNK):
        x = torch.from_numpy(images[i : i + _CHUNK].astype(np.float32))[:, None]
        cos, sin = torch.cos(radians[i : i + _CHUNK]), torch.sin(radians[i : i + _CHUNK])
        zero = torch.zeros_like(cos)
        # where an output point (x right, y down) comes from: turned back by the angle
        theta = torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).view(-1, 2, 3)
        grid = torch.nn.functional.affine_grid(theta, x.shape, align_corners=False)
        sampled = torch.nn.functional.grid_sample(x, grid, align_corners=False)
        turned[i : i + _CHUNK] = sampled[:, 0].numpy()
    return turned


def _digits(source: Path, part: str, count: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` images (n, 28, 28) and labels (n,) of one part, checked."""
    files = [_find(source, name) for name in _FILES[part]]
    images, labels = (read_idx(file) for file in files)
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise ValueError(f"{files[0]}: images {images.shape}, {files[1].name}: labels "
                         f"{labels.shape}; expected (n, rows, columns) and (n,)")
    if labels.size and labels.max() > 9:
        raise ValueError(f"{files[1]}: label {labels.max()} found, expected digits 0 to 9")
    count = len(images) if count is None else count
    if not 1 <= count <= len(images):
        raise ValueError(f"{files[0]}: {count} images asked for, it holds {len(images)}")
    return images[:count], labels[:count].astype(np.int64)


def _find(source: Path, name: str) -> Path:
    """The plain or gzipped file; a warning where it is not the published one."""
    for candidate in (source / f"{name}.gz", source / name):
        if candidate.is_file():
            expected = _MD5.get(candidate.name)
            found = hashlib.md5(candidate.read_bytes(), usedforsecurity=False).hexdigest()
            if expected and found != expected:
                warnings.warn(f"{candidate}: md5 {found}, the published file has {expected}: "
                              "results will not be those of MNIST", stacklevel=4)
            return candidate
    raise ValueError(f"{source}: neither {name}.gz nor {name} found; expected the four idx files "
                     "of MNIST")


def _resized(digits: np.ndarray) -> np.ndarray:
    """(n, 28, 28) uint8 to (n, 32, 32) float32 in [0, 1]."""
    resized = np.empty((len(digits), SIZE, SIZE), np.uint8)
    for i, digit in enumerate(digits):
        resized[i] = Image.fromarray(digit).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return resized.astype(np.float32) / 255


def _draws(numbers: list[tuple[int, int]], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Angles (n,) in degrees and noise (n, 32, 32), one generator per image."""
    angles = np.empty(len(numbers), np.float32)
    noise = np.empty((len(numbers), SIZE, SIZE), np.float32)
    for i, (part, number) in enumerate(numbers):
        rng = np.random.default_rng([seed, part, number])
        angles[i] = rng.uniform(-MAX_ANGLE, MAX_ANGLE)
        noise[i] = rng.random((SIZE, SIZE), dtype=np.float32)
    return angles, noise


def _noisy(images: np.ndarray, noise: np.ndarray, rescale: bool) -> np.ndarray:
    noisy = images + noise
    if not rescale:
        return np.clip(noisy, 0, 1)
    low = noisy.min(axis=(1, 2), keepdims=True)
    return (noisy - low) / (noisy.max(axis=(1, 2), keepdims=True) - low)


def _part(ids: pd.Series, split: dict) -> np.ndarray:
    """Which fold validates an image, one more where none does, -1 for the hold-out: (n,)."""
    of_id = {i: k for k, fold in enumerate(split["folds"]) for i in fold["valid"]}
    of_id |= dict.fromkeys(split["holdout"], -1)
    return np.array([of_id.get(i, len(split["folds"])) for i in ids])


def _partners(labels: np.ndarray, parts: np.ndarray, seed: int) -> np.ndarray:
    """Another image of the same digit and part for each, by one turn of a random circle."""
    rng = np.random.default_rng([seed, 2])
    partner = np.arange(len(labels))
    for part in np.unique(parts):
        for digit in range(10):
            circle = rng.permutation(np.flatnonzero((parts == part) & (labels == digit)))
            partner[circle] = np.roll(circle, 1)
    return partner
