"""Files of digits: each format, what is wrong with one, and fetching from a
mirror or from none.
"""

import functools
import gzip
import hashlib
import http.server
import struct
import threading

import numpy as np
import pytest
import scipy.io
from sklearn.datasets import load_digits

from mmssl.cohorts import download
from mmssl.cohorts.digits import (
    BUNDLED,
    PARTS,
    locate_digits,
    read_digits,
    read_idx,
)


def write_idx(path, array):
    """Write uint8 as idx: the format's definition, byte by byte."""
    raw = bytes([0, 0, 8, array.ndim]) + b"".join(
        struct.pack(">I", n) for n in array.shape
    )
    raw += array.tobytes()
    path.write_bytes(
        gzip.compress(raw, mtime=0) if path.suffix == ".gz" else raw
    )


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_is_read_back(tmp_path, rng, suffix):
    array = rng.integers(0, 256, (7, 8, 9), dtype=np.uint8)
    write_idx(tmp_path / f"a{suffix}", array)
    assert np.array_equal(read_idx(tmp_path / f"a{suffix}"), array)


def test_damaged_idx_files_are_named(tmp_path, rng):
    array = rng.integers(0, 256, (7, 8, 9), dtype=np.uint8)
    file = tmp_path / "a.gz"
    with pytest.raises(ValueError, match="a.gz: not found"):
        read_idx(file)
    write_idx(file, array)
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    with pytest.raises(
        ValueError, match="a.gz: gzip data damaged or cut short"
    ):
        read_idx(file)
    file.write_bytes(b"not gzip at all")
    with pytest.raises(ValueError, match="damaged or cut"):
        read_idx(file)
    plain = tmp_path / "b"
    raw = gzip.decompress(whole)
    for content, message in (
        (raw[:-1], r"b: 503 values found, its header says 504 \(7, 8, 9\)"),
        (raw + b"x", "505 values found"),
        (raw[:9], "0 values found"),
        (b"\x00\x00\x0d\x01" + raw[4:], "begins with 00000d01"),
        (b"", "begins with ,"),
    ):
        plain.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_idx(plain)


def write_mat(folder, rng, counts=(40, 20)):
    """Write the two files of SVHN as published: X (32, 32, 3, n), y (n, 1)
    with 10 for 0.
    """
    written = []
    for part, count in zip(("train", "test"), counts, strict=True):
        images = rng.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        labels = (np.arange(count) % 10 + 1).astype(np.uint8)[:, None]
        scipy.io.savemat(
            folder / f"{part}_32x32.mat", {"X": images, "y": labels}
        )
        written.append((images, labels))
    return written


def test_mat_files_are_read_image_by_image(tmp_path, rng):
    written = write_mat(tmp_path, rng)
    with pytest.warns(UserWarning, match="will not be those of SVHN"):
        digits = read_digits("svhn", tmp_path)
    assert (digits.name, digits.images.shape) == ("SVHN", (60, 32, 32, 3))
    assert digits.part.tolist() == [0] * 40 + [1] * 20
    for row in range(60):
        images, labels = written[digits.part[row]]
        number = digits.number[row]
        assert np.array_equal(digits.images[row], images[..., number])
        assert digits.labels[row] == (
            0 if labels[number, 0] == 10 else labels[number, 0]
        )


def test_npz_with_and_without_a_test_part(tmp_path, rng):
    images = rng.integers(0, 256, (37, 9, 8), dtype=np.uint8)
    labels = rng.integers(0, 10, 37)
    np.savez(tmp_path / "mnist.npz", X=images, y=labels)
    digits = read_digits("mnist", tmp_path)
    for digit in range(10):  # the last fifth of each class, rounded up
        rows = np.flatnonzero(labels == digit)
        cut = len(rows) - int(np.ceil(len(rows) / 5))
        for part, kept in ((0, rows[:cut]), (1, rows[cut:])):
            found = digits[(digits.part == part) & (digits.labels == digit)]
            assert np.array_equal(found.images, images[kept])
    named = {
        "x_train": images[:30],
        "y_train": labels[:30],
        "x_test": images[30:],
        "y_test": labels[30:],
    }
    np.savez(tmp_path / "named.npz", **named)
    digits = read_digits("mnist", tmp_path / "named.npz")
    assert np.array_equal(digits.images, images) and digits.part.sum() == 7


def test_bundled_digits_are_scikit_learns():
    digits = read_digits("mnist")
    theirs = load_digits()
    assert digits.name == BUNDLED and len(digits.labels) == 1797
    assert (np.bincount(digits.labels) == np.bincount(theirs.target)).all()
    order = np.lexsort(theirs.images.reshape(1797, -1).T)
    ours = np.round(digits.images.reshape(1797, -1) * (16 / 255))
    assert np.array_equal(
        ours[np.lexsort(ours.T)], theirs.images.reshape(1797, -1)[order]
    )


@pytest.mark.parametrize(
    "content, message",
    [
        ({"X": np.zeros((3, 8, 8))}, "holds .'x'., expected X and y"),
        (
            {"X": np.zeros((3, 8, 8)), "y": np.zeros(3)},
            "float64, expected uint8",
        ),
        (
            {"X": np.zeros((3, 8, 8), np.uint8), "y": np.zeros(4, int)},
            r"labels \(4,\); expected",
        ),
        (
            {"X": np.zeros((3, 8, 8), np.uint8), "y": np.full(3, 11)},
            "label 11 found",
        ),
        (
            {"X": np.zeros((3, 8, 8, 2), np.uint8), "y": np.zeros(3, int)},
            r"\(3, 8, 8, 2\) uint8",
        ),
    ],
)
def test_unfit_archives_are_named(tmp_path, content, message):
    np.savez(tmp_path / "svhn.npz", **content)
    with pytest.raises(ValueError, match=message):
        read_digits("svhn", tmp_path)


def test_damaged_and_missing_files_are_named(tmp_path):
    (tmp_path / "svhn.npz").write_bytes(b"PK no archive")
    with pytest.raises(ValueError, match="svhn.npz: not a readable npz"):
        read_digits("svhn", tmp_path)
    with pytest.raises(
        ValueError, match="train_32x32.mat found; expected the files of SVHN"
    ):
        read_digits("svhn", tmp_path.parent)
    with pytest.raises(
        ValueError, match="nowhere.npz: neither a folder nor a file"
    ):
        read_digits("svhn", tmp_path / "nowhere.npz")
    (tmp_path / "svhn.npz").unlink()
    for part in PARTS:
        (tmp_path / f"{part}_32x32.mat").write_bytes(b"not MATLAB" * 20)
    with (
        pytest.warns(UserWarning),
        pytest.raises(ValueError, match="not a readable MATLAB file"),
    ):
        read_digits("svhn", tmp_path)
    with pytest.raises(ValueError, match="dataset is 'cifar'"):
        read_digits("cifar")


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Give a folder served over HTTP with two small files whose checksums
    count as published.
    """
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name in download.MD5["svhn"]:
        (folder / name).write_bytes(name.encode() * 100_000)
    sums = {
        f.name: hashlib.md5(f.read_bytes()).hexdigest()
        for f in folder.iterdir()
    }
    monkeypatch.setitem(download.MD5, "svhn", sums)
    handler = functools.partial(_Silent, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""


NOBODY = "http://127.0.0.1:9/"


def test_files_come_from_the_first_mirror_that_has_them(tmp_path, mirror):
    folder, address = mirror
    for mirrors in ([address], [NOBODY, address], [f"file://{folder}"]):
        target = tmp_path / f"to-{len(mirrors)}-{mirrors[0][:4]}"
        assert (
            download.fetch("svhn", target, mirrors, progress=False) == target
        )
        assert sorted(f.name for f in target.iterdir()) == sorted(
            download.MD5["svhn"]
        )
        for file in target.iterdir():
            assert file.read_bytes() == (folder / file.name).read_bytes()
    made = [f.stat().st_mtime_ns for f in target.iterdir()]
    # all there: nobody is asked
    download.fetch("svhn", target, [NOBODY], progress=False)
    assert made == [f.stat().st_mtime_ns for f in target.iterdir()]


def test_a_wrong_checksum_leaves_no_file_and_the_next_mirror_is_tried(
    tmp_path, mirror
):
    folder, address = mirror
    bad = tmp_path / "bad"
    bad.mkdir()
    for name in download.MD5["svhn"]:
        (bad / name).write_bytes(b"<html>sign in first</html>")
    target = tmp_path / "target"
    with pytest.raises(
        download.DownloadError, match="md5 .*, the published file has"
    ):
        download.fetch("svhn", target, [f"file://{bad}"], progress=False)
    assert list(target.iterdir()) == []
    download.fetch("svhn", target, [f"file://{bad}", address], progress=False)
    assert len(list(target.iterdir())) == 2
    # a damaged file is fetched again
    (target / "test_32x32.mat").write_bytes(b"cut")
    download.fetch("svhn", target, [address], progress=False)
    assert (target / "test_32x32.mat").read_bytes() == (
        folder / "test_32x32.mat"
    ).read_bytes()


def test_offline_says_what_to_put_where(tmp_path):
    with pytest.raises(download.DownloadError) as caught:
        download.fetch("mnist", tmp_path / "raw", [NOBODY], progress=False)
    message = str(caught.value)
    assert "127.0.0.1:9" in message and "refused" in message
    for name, checksum in download.MD5["mnist"].items():
        assert name in message and checksum in message
    assert str(tmp_path / "raw") in message and not list(
        (tmp_path).glob("raw/*")
    )


def test_locating_prefers_ones_own_folder_and_says_what_it_found(
    tmp_path, rng, monkeypatch
):
    raw, own = tmp_path / "raw", tmp_path / "own"
    for folder in (own, raw / "svhn"):
        folder.mkdir(parents=True)
    found, notes = locate_digits("", raw)
    assert found == {"mnist": None, "svhn": None} and len(notes) == 2
    write_mat(raw / "svhn", rng)
    found, notes = locate_digits("", raw)
    assert found == {"mnist": None, "svhn": raw / "svhn"}
    assert (
        "MNIST: not in mnist/." in notes and "SVHN: read from svhn/." in notes
    )
    with pytest.raises(
        ValueError, match="own: holds no MNIST; expected train-images"
    ):
        locate_digits(own, raw)
    np.savez(
        own / "mnist.npz", X=np.zeros((9, 28, 28), np.uint8), y=np.arange(9)
    )
    assert locate_digits(own, raw)[0] == {"mnist": own, "svhn": None}


def test_what_the_raw_folder_lacks_is_read_elsewhere(tmp_path, rng):
    raw, own, other = tmp_path / "raw", tmp_path / "own", tmp_path / "other"
    digits = {"X": np.zeros((9, 28, 28), np.uint8), "y": np.arange(9)}
    for folder in (own, raw / "mnist", other / "mnist", other / "svhn"):
        folder.mkdir(parents=True)
    np.savez(other / "mnist" / "mnist.npz", **digits)
    found, notes = locate_digits("", raw, elsewhere=other)
    assert found == {"mnist": other / "mnist", "svhn": None}
    assert notes == ["MNIST: read from mnist/.", "SVHN: not in svhn/."]
    np.savez(raw / "mnist" / "mnist.npz", **digits)
    np.savez(own / "mnist.npz", **digits)
    assert locate_digits("", raw, elsewhere=other)[0]["mnist"].parent == raw
    found, _ = locate_digits(own, raw, elsewhere=other)
    assert found == {"mnist": own, "svhn": None}
    # a folder that is not there is like none
    absent = locate_digits("", tmp_path, elsewhere=tmp_path / "absent")
    assert absent[0] == {"mnist": None, "svhn": None}


def test_locating_downloads_when_told_and_goes_on_without(
    tmp_path, mirror, monkeypatch
):
    monkeypatch.setitem(download.MIRRORS, "mnist", (NOBODY,))
    monkeypatch.setitem(download.MIRRORS, "svhn", (mirror[1],))
    found, notes = locate_digits(None, tmp_path / "raw")
    assert not (tmp_path / "raw").exists() and found == {
        "mnist": None,
        "svhn": None,
    }
    found, notes = locate_digits(None, tmp_path / "raw", download=True)
    assert found == {"mnist": None, "svhn": tmp_path / "raw" / "svhn"}
    assert notes[0].startswith(
        "MNIST was not downloaded: http://127.0.0.1:9/: <urlopen error"
    )
    assert notes[1:] == ["MNIST: not in mnist/.", "SVHN: read from svhn/."]


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.7, 0.97, 0.999])
def test_a_file_cut_short_is_named(share, tmp_path, rng):
    images = rng.integers(0, 256, (30, 28, 28), np.uint8)
    labels = rng.integers(0, 10, 30)
    npz = tmp_path / "mnist.npz"
    np.savez(npz, X=images, y=labels)
    npz.write_bytes(npz.read_bytes()[: int(share * npz.stat().st_size)])
    with pytest.raises(ValueError, match="mnist.npz: not a readable npz"):
        read_digits("mnist", npz)
    folder = tmp_path / "svhn"
    folder.mkdir()
    write_mat(folder, rng)
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with (
        pytest.warns(UserWarning),
        pytest.raises(
            ValueError, match="32x32.mat: (not a readable|expected)"
        ),
    ):
        read_digits("svhn", folder)
