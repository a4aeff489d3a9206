"""Attacks by sizes: files that say they hold less than they do, or more than
any memory. Each is refused by name before there is memory for it.
"""

import gzip
import io
import json
import tracemalloc
import zipfile
import zlib
from contextlib import contextmanager

import nibabel as nib
import numpy as np
import pytest
import scipy.io
import torch

from mmssl.cohorts import download
from mmssl.cohorts.cohort import load, write
from mmssl.cohorts.digits import read_digits, read_idx
from mmssl.groupmaps.clusters import read_atlas
from mmssl.ledger import limits
from mmssl.ledger.artefacts import read_map
from mmssl.ledger.leakage import read_exposures
from mmssl.ledger.manifest import write_manifest
from mmssl.preprocessing.read import read_bold, read_t1
from mmssl.pretrain.encoders import load_encoders
from mmssl.pretrain.run_folder import check_checkpoint, check_parameters

# of zeros, in a file of some ten thousand
BOMB = 1 << 26
SPARE = BOMB // 8
LIMIT = r"expected at most 8589934592 .*limits.LARGEST"
TOO_LONG = 1 << 41


@contextmanager
def refused(message):
    """Expect a ValueError from what never holds a good part of a bomb."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message):
            yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < SPARE


def nifti(shape, data=b"", dtype=np.float32):
    """Return the bytes of a NIfTI file that says it has a shape."""
    header = nib.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
    header.set_sform(np.diag([2.0, 2.0, 2.0, 1.0]), code=1)
    header.set_xyzt_units("mm", "sec")
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    return header.binaryblock + bytes(4) + data


def sparse(path, begin, size=TOO_LONG):
    """Write a file that is far longer than the disk it takes."""
    with path.open("wb") as file:
        file.write(begin)
        file.truncate(size)
    return path


@pytest.mark.parametrize("reader", [read_t1, read_bold])
def test_a_gzipped_image_of_more_than_it_says(tmp_path, reader):
    shape = (14, 14, 10) if reader is read_t1 else (14, 14, 10, 2)
    packer = zlib.compressobj(wbits=31)
    content = packer.compress(nifti(shape)) + packer.compress(bytes(BOMB))
    file = tmp_path / "bomb.nii.gz"
    file.write_bytes(content + packer.flush())
    with refused(r"bomb.nii.gz: found \d+ bytes"):
        reader(file)


@pytest.mark.parametrize("name", ["huge.nii", "huge.nii.gz"])
@pytest.mark.parametrize(
    "shape", [(30_000,) * 3, (2_000, 2_000, 2_000)], ids=str
)
def test_an_image_of_more_than_the_limit(tmp_path, name, shape):
    file = tmp_path / name
    content = nifti(shape)
    if file.suffix == ".gz":
        file.write_bytes(gzip.compress(content))
    else:
        sparse(file, content)
    with refused(f"{name}: header, shape.*{LIMIT}"):
        read_t1(file)
    with refused(f"{name}: header, shape.*{LIMIT}"):
        read_map(file, shape, np.eye(4))
    with refused(f"{name}: header, shape.*{LIMIT}"):
        read_atlas(file, file)


def idx(*shape):
    """Return the beginning of an idx file."""
    sizes = np.array(shape, ">u4").tobytes()
    return bytes([0, 0, 8, len(shape)]) + sizes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(5, 2) + bytes(BOMB), "11 values found at least, .* says 10"),
        (idx(2**31, 2**31, 2), f"header, shape.*{LIMIT}"),
        # the product is 0 in 64 bits
        (idx(2**31, 2**31, 2**31, 2**31), f"header, shape.*{LIMIT}"),
        (idx(*[1] * 200) + b"x", "200 dimensions found"),
        (idx() + b"x", "0 dimensions found"),
        (idx(2**16, 2**15), "0 values found, its header says 2147483648"),
    ],
    ids=["longer", "huge", "overflow", "dimensions", "none", "empty"],
)
@pytest.mark.parametrize("name", ["file", "file.gz"])
def test_an_idx_file_is_not_believed(tmp_path, name, content, message):
    file = tmp_path / name
    packed = gzip.compress(content) if file.suffix == ".gz" else content
    file.write_bytes(packed)
    with refused(f"{name}: {message}"):
        read_idx(file)


def npz(path, members, method=zipfile.ZIP_DEFLATED):
    """Write a zip archive of these members."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def npy(shape, values=b""):
    """Return the bytes of an array that says it has a shape."""
    content = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(content, header)
    return content.getvalue() + values


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (npy((30_000,) * 3), "X.npy: shape .* declared, 27000000000000 bytes"),
        (npy((1 << 40,), bytes(5)), "X.npy: shape .* declared"),
        (b"no array", "X.npy: not a readable array"),
        (npy((2,), bytes(2))[:20], "X.npy: not a readable array"),
    ],
)
def test_an_archive_of_arrays_is_not_believed(tmp_path, array, message):
    file = npz(tmp_path / "mnist.npz", {"X.npy": array, "y.npy": npy((1,))})
    with refused(f"mnist.npz.*{message}"):
        read_digits("mnist", file)
    with refused(f"mnist.npz: {message}"):
        limits.read_npz(file)


def test_a_member_that_unpacks_to_more_than_it_says(tmp_path):
    file = npz(tmp_path / "a.npz", {"X.npy": npy((BOMB,), bytes(BOMB))})
    content = file.read_bytes()
    size = BOMB + len(npy((BOMB,)))
    few = (128 + 10).to_bytes(4, "little")
    file.write_bytes(content.replace(size.to_bytes(4, "little"), few))
    with refused("a.npz"):
        limits.read_npz(file)


def test_an_archive_of_more_than_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "LARGEST", 1 << 20)
    zeros = npy((1 << 19,), bytes(1 << 19))
    file = npz(tmp_path / "mnist.npz", {"X.npy": zeros, "y.npy": zeros})
    with refused("2 members: .* at most 1048576"):
        read_digits("mnist", file)


def mat(path, variables):
    """Write a MATLAB file of compressed variables, given as bytes."""
    whole = io.BytesIO()
    scipy.io.savemat(whole, {"X": np.zeros(2)}, do_compression=True)
    content = whole.getvalue()[:128]
    for variable in variables:
        packed = zlib.compress(variable)
        content += np.array([15, len(packed)], "<u4").tobytes() + packed
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("declared", "held", "message"),
    [
        (7_840, BOMB, "7841 bytes found, its header says 7840"),
        (4_000_000_000, 10, "10 bytes found, its header says 4000000000"),
    ],
)
def test_a_matlab_variable_of_more_than_it_says(
    tmp_path, declared, held, message
):
    begin = np.array([14, declared], "<u4").tobytes()
    file = mat(tmp_path / "train_32x32.mat", [begin + bytes(held)])
    mat(tmp_path / "test_32x32.mat", [])
    with (
        refused(f"{file.name}: not a .*{message}"),
        pytest.warns(UserWarning, match="md5"),
    ):
        read_digits("svhn", tmp_path)


def test_matlab_variables_of_more_than_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "LARGEST", 1 << 20)
    half = 1 << 19
    variable = np.array([14, half], "<u4").tobytes() + bytes(half)
    mat(tmp_path / "train_32x32.mat", [variable, variable])
    mat(tmp_path / "test_32x32.mat", [])
    with (
        refused("variables: .* expected at most 1048576"),
        pytest.warns(UserWarning, match="md5"),
    ):
        read_digits("svhn", tmp_path)


NETWORK = {
    "channels": {"T1": 1},
    "size": 32,
    "dims": 3,
    "width": 4,
    "latent": 8,
    "dropout": 0.0,
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 10**6}, "width 1000000 .* bytes of weights declared"),
        ({"latent": 10**9}, "latent 1000000000: .* bytes of weights"),
        ({"channels": {"T1": 10**7}}, "bytes of weights declared"),
        ({"width": 10**30}, "not a readable checkpoint"),
        ({"width": "wide"}, "not a readable checkpoint"),
        ({"size": 10**6}, "not a readable checkpoint"),
    ],
)
def test_a_checkpoint_of_a_network_that_it_does_not_hold(
    tmp_path, change, message
):
    file = tmp_path / "checkpoint.ckpt"
    content = {"objective": {}, "landmarks": {}, "network": NETWORK | change}
    torch.save(content, file)
    write_manifest(tmp_path)
    state = torch.random.get_rng_state()
    with pytest.raises(ValueError, match=f"checkpoint.ckpt.*{message}"):
        load_encoders(tmp_path)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_checkpoint_whose_weights_are_one_number(tmp_path):
    """A tensor of any shape can be a view of a single value."""
    file = tmp_path / "checkpoint.ckpt"
    view = torch.zeros(1).expand(10**6, 10**6)
    content = {
        "objective": {"encoders.T1.weight": view},
        "landmarks": {},
        "network": NETWORK | {"width": 10**6},
    }
    torch.save(content, file)
    write_manifest(tmp_path)
    with pytest.raises(ValueError, match="bytes of weights declared"):
        load_encoders(tmp_path)


@pytest.mark.parametrize("check", ["finished", "resumed"])
@pytest.mark.parametrize("kind", ["packed", "legacy", "empty"])
def test_a_checkpoint_that_is_no_archive_of_its_own_size(
    tmp_path, monkeypatch, check, kind
):
    monkeypatch.setattr(limits, "LARGEST", 1 << 20)
    file = tmp_path / "checkpoint.ckpt"
    if kind == "packed":
        npz(file, {"archive/data/0": bytes(BOMB)})
    elif kind == "legacy":
        torch.save({"a": 1}, file, _use_new_zipfile_serialization=False)
    else:
        file.write_bytes(b"")
    write_manifest(tmp_path)
    with pytest.raises(ValueError, match="checkpoint.ckpt: not a readable"):
        if check == "finished":
            load_encoders(tmp_path)
        else:
            check_checkpoint(file)


@pytest.fixture
def folder(tmp_path, rng):
    """Give the folder of a cohort of one person."""
    import pandas as pd

    table = {
        "pair": [0],
        "participant_id": ["a"],
        "session": [1],
        "day": [0],
        "downstream": [1],
    }
    write(
        tmp_path / "one",
        volumes={"T1": rng.normal(size=(1, 8, 8, 8))},
        name="one",
        kind="test",
        participants=pd.DataFrame({"participant_id": ["a"]}),
        pairs=pd.DataFrame(table),
        mask=np.ones((8, 8, 8), bool),
        affine=np.eye(4),
    )
    return tmp_path / "one"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("size", 10**6, f"size 1000000: .*{LIMIT}"),
        ("size", -8, "size is -8, expected a whole number above 0"),
        ("size", "8", "size is '8', expected a whole number"),
        ("size", True, "size is True, expected a whole number"),
        ("size", 8.0, "size is 8.0, expected a whole number"),
        ("dims", 40, "dims is 40, expected 2 or 3"),
        ("dims", 3.0, "dims is 3.0, expected 2 or 3"),
        ("channels", {"T1": 10**9}, LIMIT),
        ("channels", {"T1": 0}, "channels of T1 is 0, expected"),
        ("channels", {}, "channels is {}, expected"),
        ("channels", ["T1"], r"channels is \['T1'\], expected"),
    ],
)
def test_a_cohort_of_impossible_sizes(folder, field, value, message):
    file = folder / "cohort.json"
    fields = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(fields | {field: value}), encoding="utf-8")
    with pytest.raises(ValueError, match=f"cohort.json: .*{message}"):
        load(folder)


@pytest.mark.parametrize("name", ["T1", "mask"])
@pytest.mark.parametrize(
    "content",
    [npy((30_000,) * 3), npy((1, 2**62)), b"PK\x03\x04", b""],
    ids=["huge", "overflow", "archive", "empty"],
)
def test_an_array_of_a_cohort_is_not_believed(folder, name, content):
    (folder / f"{name}.npy").write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}.npy: not a readable array"):
        load(folder)


def test_an_archive_is_no_array_of_a_cohort(folder):
    np.savez(folder / "T1.npz", a=np.zeros(3))
    (folder / "T1.npz").replace(folder / "T1.npy")
    with pytest.raises(ValueError, match="T1.npy: not a readable array"):
        load(folder)


@pytest.mark.parametrize(
    "name", ["cohort.json", "splits.json", "participants.tsv", "pairs.tsv"]
)
def test_a_text_of_a_cohort_without_end(folder, name):
    sparse(folder / name, (folder / name).read_bytes())
    with pytest.raises(ValueError, match=rf"{name}: .*limits.LARGEST_TEXT"):
        load(folder)


def test_texts_of_a_run_without_end(tmp_path):
    sparse(tmp_path / "params.json", b"{}")
    sparse(tmp_path / "exposures.json", b"[]")
    with pytest.raises(ValueError, match="params.json: .*LARGEST_TEXT"):
        check_parameters(tmp_path, {})
    with pytest.raises(ValueError, match="exposures.json: .*LARGEST_TEXT"):
        read_exposures(tmp_path / "exposures.json")


class Endless(io.RawIOBase):
    """A mirror that never stops; what it says of its size is given."""

    def __init__(self, declared):
        self.headers = {"Content-Length": declared}
        self.sent = 0

    def read(self, count):
        """Send as many zeros."""
        self.sent += count
        return bytes(count)


@pytest.mark.parametrize("declared", [None, "1000000", "-5", "many", "9" * 14])
def test_a_mirror_without_end(tmp_path, monkeypatch, declared):
    monkeypatch.setattr(download, "_LARGEST", 1 << 21)
    mirror = Endless(declared)
    monkeypatch.setattr(
        download.urllib.request, "urlopen", lambda *_, **__: mirror
    )
    with pytest.raises(download.DownloadError, match="expected at most"):
        download.fetch("mnist", tmp_path, ["http://nobody/"], progress=False)
    assert mirror.sent <= 1 << 22
    assert list(tmp_path.iterdir()) == []
