"""Random access to pairs of 64³ in the formats that a cohort could have.

128 pairs of simulated scans, T1 and fALFF, in float16 and in float32. Every
format holds the same ones, and they are read one by one in the same random
order. *Warm*: the files are in the system's memory. *Cold*: they were dropped
from it before each round (`posix_fadvise`), so that the disk answers. *Times
faster* is the time of zarr, a chunk a volume and uncompressed, through that of
a cohort's mapped `.npy`. Formats of zarr 3, which the environment does not
have, are measured where it is installed.
"""

import io
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from mmssl.cohorts.simulated import factors, images
from mmssl.cohorts.simulated.anatomy import anatomy
from mmssl.cohorts.simulated.phantom import persons_of
from mmssl.ledger.allocation import new_array

try:
    import zarr
except ImportError:
    zarr = None

NAME = "Formats of a cohort"
MODALITIES = ("T1", "fALFF")
SIZE, PEOPLE, PAIRS = 64, 8, 128
"""Voxels a side, people who are simulated, and pairs made of their scans."""

OWN, PEER = ".npy, mapped", "zarr, plain"

SHARD = 32
"""Pairs in a shard, of zarr as of tar."""

Reader = Callable[[int], list[np.ndarray]]


def scans(dtype) -> dict[str, np.ndarray]:
    """{modality: (pairs, X, Y, Z)}: scans of a few people, each with noise of
    its own, so that no two volumes are alike.
    """
    shared, design = anatomy(SIZE), images.Design()
    persons = persons_of(factors.draw(PEOPLE, 101), 101).values()
    rng = np.random.default_rng(101)
    volumes = {m: [] for m in MODALITIES}
    for person in persons:
        made = (
            images.t1_scan(shared, person, 1, design),
            images.falff_scan(shared, person, 1, design),
        )
        for m, volume in zip(MODALITIES, made, strict=True):
            for _ in range(PAIRS // PEOPLE):
                noise = rng.standard_normal(volume.shape, dtype=np.float32)
                # none outside the brain, as in a prepared image
                noisy = volume + 0.02 * noise * (volume != 0)
                volumes[m].append(noisy.astype(dtype))
    return {m: np.stack(made) for m, made in volumes.items()}


def write_npy(folder: Path, volumes: dict[str, np.ndarray]) -> None:
    """The cohort's own: an array a modality, filled row by row."""
    for m, values in volumes.items():
        file = new_array(folder / f"{m}.npy", values.shape, values.dtype)
        for row, value in enumerate(values):
            file[row] = value
        file.flush()


def read_mapped(folder: Path, *_) -> Reader:
    """Rows of a memory map, copied."""
    maps = [np.load(folder / f"{m}.npy", mmap_mode="r") for m in MODALITIES]
    # a view of the map: a row of the map itself is slow to make
    plain = [np.asarray(values) for values in maps]
    return lambda row: [values[row].copy() for values in plain]


def read_at_offset(folder: Path, shape, dtype) -> Reader:
    """Rows by `os.preadv`, without a map."""
    opened = []
    for m in MODALITIES:
        opened.append(os.open(folder / f"{m}.npy", os.O_RDONLY))
    row_bytes = int(np.prod(shape[1:])) * np.dtype(dtype).itemsize
    header = os.fstat(opened[0]).st_size - shape[0] * row_bytes

    def read(row: int) -> list[np.ndarray]:
        """Both volumes of a row."""
        pair = []
        for file in opened:
            volume = np.empty(shape[1:], dtype)
            os.preadv(file, [volume], header + row * row_bytes)
            pair.append(volume)
        return pair

    return read


def zarr_writer(compressor, shard: int | None) -> Callable:
    """A writer of zarr 3, a chunk a volume, in shards or not."""

    def write(folder: Path, volumes: dict[str, np.ndarray]) -> None:
        """An array a modality, written a shard at a time."""
        for m, values in volumes.items():
            whole = values.shape[1:]
            array = zarr.create_array(
                folder / f"{m}.zarr",
                shape=values.shape,
                dtype=values.dtype,
                chunks=(1, *whole),
                shards=(shard, *whole) if shard else None,
                compressors=compressor,
                filters=None,
            )
            step = shard or 1
            for start in range(0, len(values), step):
                array[start : start + step] = values[start : start + step]

    return write


def read_zarr(folder: Path, *_) -> Reader:
    """Rows of zarr arrays."""
    arrays = [zarr.open_array(folder / f"{m}.zarr") for m in MODALITIES]
    return lambda row: [array[row] for array in arrays]


def write_npz(folder: Path, volumes: dict[str, np.ndarray]) -> None:
    """A compressed archive a pair."""
    for row in range(PAIRS):
        pair = {m: values[row] for m, values in volumes.items()}
        np.savez_compressed(folder / f"{row}.npz", **pair)


def read_npz(folder: Path, *_) -> Reader:
    """Pairs of archives of their own."""

    def read(row: int) -> list[np.ndarray]:
        """Both volumes of a row."""
        with np.load(folder / f"{row}.npz") as pair:
            return [pair[m] for m in MODALITIES]

    return read


def write_tar(folder: Path, volumes: dict[str, np.ndarray]) -> None:
    """Tar files of some pairs each, as WebDataset reads them in sequence."""
    for start in range(0, PAIRS, SHARD):
        with tarfile.open(folder / f"{start // SHARD}.tar", "w") as shard:
            for row in range(start, start + SHARD):
                for m, values in volumes.items():
                    content = io.BytesIO()
                    np.save(content, values[row])
                    entry = tarfile.TarInfo(f"{row}.{m}.npy")
                    entry.size = content.tell()
                    content.seek(0)
                    shard.addfile(entry, content)


def read_tar(folder: Path, *_) -> Reader:
    """Members of tar files, whose places were looked up once."""
    places = {}
    for file in folder.glob("*.tar"):
        with tarfile.open(file) as shard:
            for entry in shard:
                places[entry.name] = file, entry.offset_data, entry.size

    def read(row: int) -> list[np.ndarray]:
        """Both volumes of a row."""
        pair = []
        for m in MODALITIES:
            file, start, size = places[f"{row}.{m}.npy"]
            with file.open("rb") as shard:
                shard.seek(start)
                pair.append(np.load(io.BytesIO(shard.read(size))))
        return pair

    return read


def formats() -> dict[str, tuple[Callable, Callable]]:
    """{name: (writer, reader)}, the cohort's own first."""
    found = {
        OWN: (write_npy, read_mapped),
        ".npy, by offset": (write_npy, read_at_offset),
    }
    if zarr is not None:
        blosc = zarr.codecs.BloscCodec(cname="zstd", clevel=3)
        for name, compressor, shard in (
            (PEER, None, None),
            ("zarr, blosc", blosc, None),
            ("zarr, zstd", zarr.codecs.ZstdCodec(level=3), None),
            (f"zarr, plain, shards of {SHARD}", None, SHARD),
            (f"zarr, blosc, shards of {SHARD}", blosc, SHARD),
        ):
            found[name] = zarr_writer(compressor, shard), read_zarr
    found[".npz a pair"] = write_npz, read_npz
    found[f"tar of {SHARD} pairs"] = write_tar, read_tar
    return found


def files_of(folder: Path) -> list[Path]:
    """All files below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def forget(folder: Path) -> None:
    """Let the system drop the files of a folder from its memory."""
    for path in files_of(folder):
        file = os.open(path, os.O_RDONLY)
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def milliseconds(read: Reader, rows: np.ndarray) -> float:
    """Of reading one pair, the median over the rows."""
    times = []
    for row in rows.tolist():
        start = time.perf_counter()
        read(row)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def measure(rounds: int) -> dict:
    """Milliseconds a pair, warm and cold, bytes on the disk and seconds of
    writing, of each format.
    """
    report = {}
    for dtype in (np.float16, np.float32):
        with tempfile.TemporaryDirectory() as folder:
            figures = _of_type(Path(folder), scans(dtype), rounds)
        for name, figure in figures.items():
            report[f"{np.dtype(dtype).name}, {name}"] = figure
    return report


def _of_type(
    place: Path, volumes: dict[str, np.ndarray], rounds: int
) -> dict[str, float]:
    """Write the volumes in every format, and read them."""
    written, times, first = {}, {}, volumes[MODALITIES[0]]
    for number, (name, (write, reader)) in enumerate(formats().items()):
        folder = place / str(number)
        folder.mkdir()
        start = time.perf_counter()
        write(folder, volumes)
        times[f"{name}, write, s"] = time.perf_counter() - start
        opened = partial(reader, folder, first.shape, first.dtype)
        _check(opened(), volumes)
        written[name] = folder, opened
    figures = {}
    for name, (folder, _) in written.items():
        taken = sum(path.stat().st_size for path in files_of(folder))
        figures[f"{name}, MB on disk"] = taken / 1e6
        figures[f"{name}, files"] = len(files_of(folder))
    return figures | times | _times(written, rounds)


def _check(read: Reader, volumes: dict[str, np.ndarray]) -> None:
    """AssertionError unless a format gives back what was written."""
    for row in (0, PAIRS // 2, PAIRS - 1):
        for m, volume in zip(MODALITIES, read(row), strict=True):
            np.testing.assert_array_equal(volume, volumes[m][row])


def _times(readers: dict, rounds: int) -> dict[str, float]:
    """Median milliseconds a pair of each format; formats take turns."""
    rng = np.random.default_rng(0)
    warm = {name: [] for name in readers}
    cold = {name: [] for name in readers}
    for _ in range(rounds):
        rows = rng.permutation(PAIRS)
        for name, (folder, opened) in readers.items():
            forget(folder)
            cold[name].append(milliseconds(opened(), rows))
            warm[name].append(milliseconds(opened(), rows))
    times = {}
    if PEER in readers:
        pairs = zip(warm[PEER], warm[OWN], strict=True)
        ratios = [peer / package for peer, package in pairs]
        times["warm, times faster than zarr"] = statistics.median(ratios)
    for name in readers:
        times[f"{name}, warm, ms"] = statistics.median(warm[name])
        times[f"{name}, cold, ms"] = statistics.median(cold[name])
    return times
