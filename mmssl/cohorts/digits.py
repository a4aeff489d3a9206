"""Where digits come from: published files, a folder of one's own, or what
scikit-learn bundles.

MNIST is four idx files, SVHN two MATLAB files; a ``.npz`` holds the same as
arrays. The published files are fetched by :mod:`mmssl.cohorts.download`.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.io
from sklearn.datasets import load_digits

from mmssl.cohorts.download import MD5, DownloadError, fetch, md5
from mmssl.ledger import limits

# images in colour have four: number, rows, columns, channels
_MOST_DIMENSIONS = 4
# of a MATLAB file: bytes before its variables, and what a compressed one is
_MAT_HEADER, _COMPRESSED = 128, 15

PARTS = ("train", "test")
# images and labels of one part
Part = tuple[np.ndarray, np.ndarray]
BUNDLED = "scikit-learn digits"
TITLES = {"mnist": "MNIST", "svhn": "SVHN"}

FILES = {
    "mnist": {
        "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
    },
    "svhn": {"train": ("train_32x32.mat",), "test": ("test_32x32.mat",)},
}


@dataclass(frozen=True, eq=False)
class Digits:
    """Images of digits, training part first.

    Attributes
    ----------
    name : what the pages call them.
    images : (n, rows, columns) or (n, rows, columns, 3), uint8.
    labels : (n,) int64, 0 to 9.
    part : (n,) int64, 0 in the training part, 1 in the test part.
    number : (n,) int64, place in its part of the file.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    part: np.ndarray
    number: np.ndarray

    def __getitem__(self, rows) -> Digits:
        """Return these rows."""
        return Digits(
            self.name,
            self.images[rows],
            self.labels[rows],
            self.part[rows],
            self.number[rows],
        )

    def first(
        self, train: int | None = None, test: int | None = None
    ) -> Digits:
        """Return the first so many of each part; None: all of it.

        Raises
        ------
        ValueError
            Where there are not so many.
        """
        chosen = np.zeros(len(self.labels), bool)
        for part, count in enumerate((train, test)):
            rows = self.rows(part)
            if count is None:
                count = len(rows)
            if not 1 <= count <= len(rows):
                raise ValueError(
                    f"{self.name}, {PARTS[part]} part: {count} images asked "
                    f"for, it holds {len(rows)}"
                )
            chosen[rows[:count]] = True
        return self[chosen]

    def rows(self, part: int, digit: int | None = None) -> np.ndarray:
        """Return the rows of a part, or those of one digit in it."""
        chosen = self.part == part
        if digit is not None:
            chosen = chosen & (self.labels == digit)
        return np.flatnonzero(chosen)


def read_digits(dataset: str, source: str | Path | None = None) -> Digits:
    """Read the digits of a data set.

    Parameters
    ----------
    dataset : {"mnist", "svhn"}
    source : path, optional
        A folder with the published files (idx, plain or gzipped, of MNIST;
        ``train_32x32.mat`` and ``test_32x32.mat`` of SVHN) or with one
        ``<dataset>*.npz``; or such a file. None: the digits that scikit-learn
        bundles, whatever the data set.

    Returns
    -------
    Digits
        Where nothing separates a test part (an npz of ``X`` and ``y``, the
        bundled digits), it is the last fifth of each class, rounded up.

    Raises
    ------
    ValueError
        Naming the file: missing, damaged, or not what the data set's files
        are.
    """
    if dataset not in FILES:
        raise ValueError(
            f"dataset is {dataset!r}, expected one of {', '.join(FILES)}"
        )
    if source is None:
        bundled = load_digits()
        images = np.round(bundled.images * (255 / 16)).astype(np.uint8)
        return _joined(BUNDLED, _last_fifth(images, bundled.target))
    source, title = Path(source), TITLES[dataset]
    if source.is_dir():
        archives = sorted(source.glob(f"{dataset}*.npz"))
        if not archives or _has_published_files(dataset, source):
            read_part = _read_mnist if dataset == "mnist" else _read_svhn
            return _joined(title, [read_part(source, part) for part in PARTS])
        source = archives[0]
    return _joined(title, _read_npz(source))


def has_digits(dataset: str, folder: str | Path) -> bool:
    """Whether a folder holds all published files, or one ``.npz``, of a data
    set.
    """
    folder = Path(folder)
    if _has_published_files(dataset, folder):
        return True
    return any(folder.glob(f"{dataset}*.npz"))


def locate_digits(
    source: str | Path | None,
    raw: str | Path,
    download: bool = False,
    elsewhere: str | Path | None = None,
) -> tuple[dict[str, Path | None], list[str]]:
    """Find MNIST and SVHN: a folder of one's own, the raw folder, another one
    like it, a mirror; else there is none.

    Parameters
    ----------
    source : path, optional
        A folder that holds the files of MNIST and, perhaps, those of SVHN (see
        :func:`read_digits`).
    raw : path
        Otherwise: the folder whose ``mnist/`` and ``svhn/`` hold them, or
        shall hold them.
    download : bool
        Whether to fetch into it what is missing. Without a network that is
        noted, no error.
    elsewhere : path, optional
        Another folder with ``mnist/`` or ``svhn/``, for what `raw` lacks.

    Returns
    -------
    folders : dict
        {"mnist": folder or None, "svhn": folder or None}.
    notes : list of str
        What a page should say about each.

    Raises
    ------
    ValueError
        If `source` is given and holds no MNIST.
    """
    folders, notes = {}, []
    for dataset, title in TITLES.items():
        folder = Path(source) if source else Path(raw) / dataset
        is_missing = not source and not has_digits(dataset, folder)
        if is_missing and elsewhere:
            other = Path(elsewhere) / dataset
            folder = other if has_digits(dataset, other) else folder
        if download and not source and not has_digits(dataset, folder):
            try:
                fetch(dataset, folder)
            except DownloadError as error:
                reason = str(error).splitlines()[1].strip()
                notes.append(f"{title} was not downloaded: {reason}.")
        if has_digits(dataset, folder):
            folders[dataset] = folder
            notes.append(f"{title}: read from {folder.name}/.")
        else:
            folders[dataset] = None
            notes.append(f"{title}: not in {folder.name}/.")
    if source and folders["mnist"] is None:
        raise ValueError(
            f"{source}: holds no MNIST; expected {', '.join(MD5['mnist'])}, "
            "the same unpacked, or mnist.npz"
        )
    return folders, notes


def read_idx(path: str | Path) -> np.ndarray:
    """Read an idx file of unsigned bytes, gzipped or not.

    Layout: two zero bytes, the type 0x08, the number of dimensions, each
    dimension as a big-endian 32-bit integer, then the values.

    Returns
    -------
    array of uint8
        In the file's shape: (n, rows, columns) for images, (n,) for labels.

    Raises
    ------
    ValueError
        Naming the file: not there, gzip damaged or cut, not an idx file of
        bytes, or not as many values as its header says.
    """
    path = Path(path)
    begin = _idx_content(path, 4)
    if begin[:3] != b"\x00\x00\x08" or len(begin) < 4:
        raise ValueError(
            f"{path}: begins with {begin.hex()}, expected 000008 and the "
            "number of dimensions: not an idx file of unsigned bytes"
        )
    dimensions = begin[3]
    if not 1 <= dimensions <= _MOST_DIMENSIONS:
        raise ValueError(
            f"{path}: {dimensions} dimensions found, expected 1 (labels) to "
            f"{_MOST_DIMENSIONS}"
        )
    start = 4 + 4 * dimensions
    header = _idx_content(path, start)[4:]
    shape = np.frombuffer(header, ">u4", count=len(header) // 4).tolist()
    expected = math.prod(shape)
    limits.check_declared(path, expected, f"header, shape {tuple(shape)}")
    # one more, to see whether there is more
    content = _idx_content(path, start + expected + 1)
    values = max(0, len(content) - start)
    if len(shape) < dimensions or values != expected:
        at_least = " at least" if values > expected else ""
        raise ValueError(
            f"{path}: {values} values found{at_least}, its header says "
            f"{expected} {tuple(shape)}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _idx_content(path: Path, most: int) -> bytes:
    """The first bytes of a file, unpacked where it is gzipped."""
    if not path.is_file():
        raise ValueError(f"{path}: not found")
    packed = path.suffix == ".gz"
    try:
        return limits.read_at_most(path, most, packed).getvalue()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path}: gzip data damaged or cut short ({error})"
        ) from error


def _has_published_files(dataset: str, folder: Path) -> bool:
    """Whether every published file is there, plain or gzipped."""
    for names in FILES[dataset].values():
        for name in names:
            plain, gzipped = folder / name, folder / f"{name}.gz"
            if not plain.is_file() and not gzipped.is_file():
                return False
    return True


def _read_mnist(folder: Path, part: str) -> Part:
    """Images and labels of one part of MNIST."""
    images_name, labels_name = FILES["mnist"][part]
    images_file = _find("mnist", folder, images_name)
    labels_file = _find("mnist", folder, labels_name)
    images, labels = read_idx(images_file), read_idx(labels_file)
    return _checked_part(images_file, images, labels)


def _read_svhn(folder: Path, part: str) -> Part:
    """Images and labels of one part of SVHN: X (rows, columns, 3, n), y (n, 1)
    with 10 for 0.
    """
    file = _find("svhn", folder, FILES["svhn"][part][0])
    try:
        unpacked = _unpacked_mat(file)
        content = scipy.io.loadmat(unpacked, variable_names=("X", "y"))
    except Exception as error:  # what a cut or damaged file makes it raise
        raise ValueError(
            f"{file}: not a readable MATLAB file "
            f"({type(error).__name__}: {error})"
        ) from error
    if not {"X", "y"} <= content.keys() or content["X"].ndim != 4:
        raise ValueError(f"{file}: expected X (32, 32, 3, n) and y (n, 1)")
    images = np.moveaxis(content["X"], 3, 0)
    return _checked_part(file, images, content["y"].ravel(), highest=10)


def _unpacked_mat(file: Path) -> io.BytesIO:
    """A MATLAB file whose variables are not compressed, none of them longer
    than the file says.

    Of version 5: a header, then variables; one that is compressed begins with
    15 and the number of its bytes, and what it unpacks to with 14 and the
    number of its own.
    """
    limits.check_declared(file, file.stat().st_size, "size")
    content = memoryview(file.read_bytes())
    mark = bytes(content[126:128])
    if mark not in (b"IM", b"MI"):
        return io.BytesIO(content)
    order = "<" if mark == b"IM" else ">"
    unpacked = io.BytesIO()
    unpacked.write(content[:_MAT_HEADER])
    place = _MAT_HEADER
    while place + 8 <= len(content):
        kind, size = struct.unpack(f"{order}2I", content[place : place + 8])
        end = place + 8 + size
        variable = content[place:end]
        if kind == _COMPRESSED:
            packer = zlib.decompressobj()
            tag = packer.decompress(variable[8:], 8)
            _, declared = struct.unpack(f"{order}2I", tag)
            total = unpacked.tell() + declared
            limits.check_declared(file, total, "variables")
            # one more, to see whether there is more
            rest = packer.decompress(packer.unconsumed_tail, declared + 1)
            if len(rest) != declared:
                raise ValueError(
                    f"a variable of {len(rest)} bytes found, its header says "
                    f"{declared}"
                )
            variable = tag + rest
        unpacked.write(variable)
        place = end
    unpacked.seek(0)
    return unpacked


def _read_npz(file: Path) -> list[Part]:
    """Both parts: x_train, y_train, x_test, y_test, or X and y with the last
    fifth apart.
    """
    if not file.is_file():
        raise ValueError(f"{file}: neither a folder nor a file")
    try:
        arrays = limits.read_npz(file)
    except Exception as error:  # what a cut or damaged file makes it raise
        raise ValueError(
            f"{file}: not a readable npz archive "
            f"({type(error).__name__}: {error})"
        ) from error
    content = {name.lower(): array for name, array in arrays.items()}
    if {"x_train", "y_train", "x_test", "y_test"} <= content.keys():
        parts = []
        for part in PARTS:
            images, labels = content[f"x_{part}"], content[f"y_{part}"]
            parts.append(_checked_part(file, images, labels, highest=10))
        return parts
    if {"x", "y"} <= content.keys():
        whole = _checked_part(file, content["x"], content["y"], highest=10)
        return _last_fifth(*whole)
    raise ValueError(
        f"{file}: holds {sorted(content)}, expected X and y, or x_train, "
        "y_train, x_test and y_test"
    )


def _find(dataset: str, folder: Path, name: str) -> Path:
    """The plain or gzipped file; a warning where it is not the published
    one.
    """
    for file in (folder / f"{name}.gz", folder / name):
        if not file.is_file():
            continue
        published = MD5[dataset].get(file.name)
        if published and md5(file) != published:
            warnings.warn(
                f"{file}: md5 {md5(file)}, the published file has "
                f"{published}: results will not be those of "
                f"{TITLES[dataset]}",
                stacklevel=5,
            )
        return file
    names = ", ".join(n for part in FILES[dataset].values() for n in part)
    raise ValueError(
        f"{folder}: neither {name}.gz nor {name} found; expected the files of "
        f"{TITLES[dataset]}: {names}, or {dataset}.npz"
    )


def _checked_part(
    file: Path, images: np.ndarray, labels: np.ndarray, highest: int = 9
) -> Part:
    """The same, if they are as many images of bytes as labels of digits; a 10
    is a 0.
    """
    grey = images.ndim == 3
    colour = images.ndim == 4 and images.shape[3] == 3
    if images.dtype != np.uint8 or not (grey or colour):
        raise ValueError(
            f"{file}: images {images.shape} {images.dtype}, expected uint8 of "
            "(n, rows, columns) or (n, rows, columns, 3)"
        )
    if labels.shape != (len(images),):
        raise ValueError(
            f"{file}: images {images.shape}, labels {labels.shape}; expected "
            "as many"
        )
    if labels.size and not 0 <= labels.min() <= labels.max() <= highest:
        raise ValueError(
            f"{file}: label {labels.max()} found, expected digits 0 to "
            f"{highest}"
        )
    return images, labels.astype(np.int64) % 10


def _last_fifth(images: np.ndarray, labels: np.ndarray) -> list[Part]:
    """Training and test part: the last fifth of each class, rounded up, is
    tested.
    """
    test = np.zeros(len(labels), bool)
    for digit in np.unique(labels):
        rows = np.flatnonzero(labels == digit)
        fifth = -(-len(rows) // 5)  # rounded up
        test[rows[len(rows) - fifth :]] = True
    labels = labels.astype(np.int64)
    return [(images[~test], labels[~test]), (images[test], labels[test])]


def _joined(name: str, parts: list[Part]) -> Digits:
    """Both parts as one, the training part first."""
    (train_images, train_labels), (test_images, test_labels) = parts
    counts = [len(train_labels), len(test_labels)]
    return Digits(
        name,
        images=np.concatenate([train_images, test_images]),
        labels=np.concatenate([train_labels, test_labels]),
        part=np.repeat([0, 1], counts),
        number=np.concatenate([np.arange(count) for count in counts]),
    )
