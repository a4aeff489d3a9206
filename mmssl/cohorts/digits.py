"""Where digits come from: published files, a folder of one's own, or what
scikit-learn bundles.

MNIST is four idx files, SVHN two MATLAB files; a ``.npz`` holds the same as
arrays. The published files are fetched by :mod:`mmssl.cohorts.download`.
"""

from __future__ import annotations

import gzip
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.io
from sklearn.datasets import load_digits

from mmssl.cohorts.download import MD5, DownloadError, fetch, md5

PARTS = ("train", "test")
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
        kept = np.zeros(len(self.labels), bool)
        for part, count in enumerate((train, test)):
            rows = np.flatnonzero(self.part == part)
            count = len(rows) if count is None else count
            if not 1 <= count <= len(rows):
                raise ValueError(
                    f"{self.name}, {PARTS[part]} part: {count} images asked for, it "
                    f"holds {len(rows)}"
                )
            kept[rows[:count]] = True
        return self[kept]


def read(dataset: str, source: str | Path | None = None) -> Digits:
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
        return _assembled(BUNDLED, _last_fifth(images, bundled.target))
    source, title = Path(source), TITLES[dataset]
    if source.is_dir():
        archives = sorted(source.glob(f"{dataset}*.npz"))
        if not archives or _published(dataset, source):
            reader = _idx_part if dataset == "mnist" else _mat_part
            return _assembled(title, [reader(source, part) for part in PARTS])
        source = archives[0]
    return _assembled(title, _npz_parts(source))


def holds(dataset: str, folder: str | Path) -> bool:
    """Whether a folder holds all published files, or one ``.npz``, of a data
    set.
    """
    folder = Path(folder)
    return _published(dataset, folder) or any(folder.glob(f"{dataset}*.npz"))


def locate(
    source: str | Path | None, raw: str | Path, download: bool = False
) -> tuple[dict[str, Path | None], list[str]]:
    """Find MNIST and SVHN: a folder of one's own, the raw folder, a mirror;
    else there is none.

    Parameters
    ----------
    source : path, optional
        A folder that holds the files of MNIST and, perhaps, those of SVHN (see
        :func:`read`).
    raw : path
        Otherwise: the folder whose ``mnist/`` and ``svhn/`` hold them, or
        shall hold them.
    download : bool
        Whether to fetch into it what is missing. Without a network that is
        noted, no error.

    Returns
    -------
    found : dict
        {"mnist": folder or None, "svhn": folder or None}.
    notes : list of str
        What a page should say about each.

    Raises
    ------
    ValueError
        If `source` is given and holds no MNIST.
    """
    found, notes = {}, []
    for dataset, title in TITLES.items():
        folder = Path(source) if source else Path(raw) / dataset
        if download and not source and not holds(dataset, folder):
            try:
                fetch(dataset, folder)
            except DownloadError as error:
                notes.append(
                    f"{title} was not downloaded: {str(error).splitlines()[1].strip()}."
                )
        found[dataset] = folder if holds(dataset, folder) else None
        state = (
            f"read from {folder.name}/"
            if found[dataset]
            else f"not in {folder.name}/"
        )
        notes.append(f"{title}: {state}.")
    if source and found["mnist"] is None:
        raise ValueError(
            f"{source}: holds no MNIST; expected {', '.join(MD5['mnist'])}, the same "
            "unpacked, or mnist.npz"
        )
    return found, notes


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
    if not path.is_file():
        raise ValueError(f"{path}: not found")
    raw = path.read_bytes()
    if path.suffix == ".gz":
        try:
            raw = gzip.decompress(raw)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(
                f"{path}: gzip data damaged or cut short ({error})"
            ) from error
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08" or raw[3] == 0:
        raise ValueError(
            f"{path}: begins with {raw[:4].hex()}, expected 000008 and the number of "
            "dimensions: not an idx file of unsigned bytes"
        )
    start = 4 + 4 * raw[3]
    shape = tuple(
        np.frombuffer(
            raw[4:start], ">u4", count=min(raw[3], len(raw[4:start]) // 4)
        )
    )
    expected = int(np.prod(shape, dtype=np.int64))
    if len(shape) < raw[3] or len(raw) - start != expected:
        found = max(0, len(raw) - start)
        sides = tuple(int(side) for side in shape)
        raise ValueError(
            f"{path}: {found} values found, its header says {expected} {sides}"
        )
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def _published(dataset: str, folder: Path) -> bool:
    names = [name for part in FILES[dataset].values() for name in part]
    return all(
        (folder / n).is_file() or (folder / f"{n}.gz").is_file() for n in names
    )


def _idx_part(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one part of MNIST."""
    files = [_find("mnist", folder, name) for name in FILES["mnist"][part]]
    images, labels = (read_idx(file) for file in files)
    return _checked(files[0], images, labels)


def _mat_part(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one part of SVHN: X (rows, columns, 3, n), y (n, 1)
    with 10 for 0.
    """
    file = _find("svhn", folder, FILES["svhn"][part][0])
    try:
        content = scipy.io.loadmat(file, variable_names=("X", "y"))
    except (ValueError, OSError, NotImplementedError, zlib.error) as error:
        raise ValueError(
            f"{file}: not a readable MATLAB file ({error})"
        ) from error
    if not {"X", "y"} <= content.keys() or content["X"].ndim != 4:
        raise ValueError(f"{file}: expected X (32, 32, 3, n) and y (n, 1)")
    return _checked(
        file, np.moveaxis(content["X"], 3, 0), content["y"].ravel(), highest=10
    )


def _npz_parts(file: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Both parts: x_train, y_train, x_test, y_test, or X and y with the last
    fifth apart.
    """
    if not file.is_file():
        raise ValueError(f"{file}: neither a folder nor a file")
    try:
        with np.load(file) as archive:
            content = {name.lower(): archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{file}: not a readable npz archive ({error})"
        ) from error
    if {"x_train", "y_train", "x_test", "y_test"} <= content.keys():
        return [
            _checked(file, content[f"x_{p}"], content[f"y_{p}"], 10)
            for p in PARTS
        ]
    if {"x", "y"} <= content.keys():
        return _last_fifth(*_checked(file, content["x"], content["y"], 10))
    raise ValueError(
        f"{file}: holds {sorted(content)}, expected X and y, or x_train, y_train, "
        "x_test and y_test"
    )


def _find(dataset: str, folder: Path, name: str) -> Path:
    """The plain or gzipped file; a warning where it is not the published
    one.
    """
    for candidate in (folder / f"{name}.gz", folder / name):
        if candidate.is_file():
            expected = MD5[dataset].get(candidate.name)
            if expected and (found := md5(candidate)) != expected:
                warnings.warn(
                    f"{candidate}: md5 {found}, the published file has {expected}: "
                    f"results will not be those of {TITLES[dataset]}",
                    stacklevel=5,
                )
            return candidate
    wanted = ", ".join(n for part in FILES[dataset].values() for n in part)
    raise ValueError(
        f"{folder}: neither {name}.gz nor {name} found; expected the files of "
        f"{TITLES[dataset]}: {wanted}, or {dataset}.npz"
    )


def _checked(
    file: Path, images: np.ndarray, labels: np.ndarray, highest: int = 9
) -> tuple[np.ndarray, np.ndarray]:
    """The same, if they are as many images of bytes as labels of digits; a 10
    is a 0.
    """
    if (
        images.dtype != np.uint8
        or images.ndim not in (3, 4)
        or images.shape[3:] not in ((), (3,))
    ):
        raise ValueError(
            f"{file}: images {images.shape} {images.dtype}, expected uint8 of "
            "(n, rows, columns) or (n, rows, columns, 3)"
        )
    if labels.shape != (len(images),):
        raise ValueError(
            f"{file}: images {images.shape}, labels {labels.shape}; expected as many"
        )
    if labels.size and not 0 <= labels.min() <= labels.max() <= highest:
        raise ValueError(
            f"{file}: label {labels.max()} found, expected digits 0 to {highest}"
        )
    return images, labels.astype(np.int64) % 10


def _last_fifth(
    images: np.ndarray, labels: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test part: the last fifth of each class, rounded up, is
    tested.
    """
    test = np.zeros(len(labels), bool)
    for digit in np.unique(labels):
        rows = np.flatnonzero(labels == digit)
        test[rows[len(rows) - -(-len(rows) // 5) :]] = True
    return [
        (images[rows], labels[rows].astype(np.int64)) for rows in (~test, test)
    ]


def _assembled(
    name: str, parts: list[tuple[np.ndarray, np.ndarray]]
) -> Digits:
    images, labels = (
        np.concatenate(arrays) for arrays in zip(*parts, strict=True)
    )
    counts = [len(y) for _, y in parts]
    number = np.concatenate([np.arange(n) for n in counts])
    return Digits(name, images, labels, np.repeat([0, 1], counts), number)
