"""Exported encoders from somebody who means harm: whatever is in the folder,
nothing of it is executed, and what is wrong is named.

A manifest protects against accidents; who writes the files can write it too,
so each attack is tried with a manifest that agrees.
"""

import json
import pickle
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_cohort import SMALL_RUN, write_small_cohort

from mmssl.ledger.manifest import MANIFEST, write_manifest
from mmssl.ledger.verify import verify
from mmssl.preprocessing import load_exported
from mmssl.pretrain.encoder_export import export_encoders
from mmssl.pretrain.encoders import load_encoders
from mmssl.pretrain.fit import fit
from mmssl.pretrain.run_folder import check_checkpoint

FIRST = "T1.safetensors"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Give exported encoders."""
    folder = tmp_path_factory.mktemp("exported")
    people = write_small_cohort(folder / "cohort", intensity="brain")
    run = fit(people, "RR", folder / "run", **SMALL_RUN)
    return export_encoders(run, folder / "out", cohort=people)


@pytest.fixture
def folder(original, tmp_path):
    """Give a copy of them, to be changed."""
    return shutil.copytree(original, tmp_path / "out")


class Payload:
    """What makes a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        """Return the call that unpickling makes."""
        return Path.touch, (self.file,)


def flip_byte(file, place=-1):
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    "name",
    [FIRST, "fALFF.safetensors", "config.json", "README.md", "mask.npy"],
)
@pytest.mark.parametrize("place", [0, 0.5, -1])
def test_an_altered_byte(folder, name, place):
    file = folder / name
    if place == 0.5:
        place = file.stat().st_size // 2
    flip_byte(file, place)
    with pytest.raises(ValueError, match=rf"out/{name}: |not JSON|not found"):
        load_exported(folder)
    assert len(verify(folder)) == 1


@pytest.mark.parametrize("name", [FIRST, "README.md", "mask.npy", MANIFEST])
def test_a_file_that_is_gone(folder, name):
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"{name}: not found"):
        load_exported(folder)


def test_no_folder_at_all(tmp_path):
    with pytest.raises(ValueError, match=r"config.json: not found; expected"):
        load_exported(tmp_path / "nowhere")


def header_of(file):
    content = file.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def write_header(file, header, values):
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + values)


def cut(file):
    file.write_bytes(file.read_bytes()[:-100])


def empty(file):
    file.write_bytes(b"")


def few_bytes(file):
    file.write_bytes(b"abc")


def no_header(file):
    file.write_bytes(struct.pack("<Q", 0) + bytes(100))


def huge_header(file):
    file.write_bytes(struct.pack("<Q", 1 << 62) + file.read_bytes()[8:])


def long_header(file):
    header, values = header_of(file)
    header["__metadata__"] = {"text": "x" * (1 << 20)}
    write_header(file, header, values)


def broken_header(file):
    content = bytearray(file.read_bytes())
    content[8:20] = b"{" * 12
    file.write_bytes(content)


def overlapping(file):
    header, values = header_of(file)
    tensors = [one for name, one in header.items() if name[0] != "_"]
    for one in tensors:
        one["data_offsets"] = tensors[0]["data_offsets"]
    write_header(file, header, values)


def outside(file):
    header, values = header_of(file)
    header["to_latent.weight"]["data_offsets"][1] += 1 << 40
    write_header(file, header, values)


def more_values(file):
    file.write_bytes(file.read_bytes() + bytes(64))


def no_tensors(file):
    write_header(file, {}, b"")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut, "not a whole file of safetensors"),
        (empty, "a header of 0 bytes declared by a file of 0"),
        (few_bytes, "a header of 6513249 bytes declared by a file of 3"),
        (no_header, "a header of 0 bytes declared"),
        (huge_header, f"a header of {1 << 62} bytes declared"),
        (long_header, "a header of 10.* expected .* of at most 1048576"),
        (broken_header, "not a whole file of safetensors"),
        (overlapping, "not a whole file of safetensors"),
        (outside, "not a whole file of safetensors"),
        (more_values, "not a whole file of safetensors"),
        (no_tensors, "no tensor 'convs.0.weight' found"),
    ],
)
def test_a_file_that_is_no_safetensors(folder, change, message):
    change(folder / FIRST)
    with pytest.raises(ValueError, match=f"{FIRST}: was changed"):
        load_exported(folder)
    write_manifest(folder)
    with pytest.raises(ValueError, match=f"{FIRST}: {message}"):
        load_exported(folder)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_that_calls_itself_safetensors(folder, tmp_path, protocol):
    made = tmp_path / "executed"
    content = pickle.dumps(Payload(made), protocol)
    pickle.loads(content)
    assert made.exists()
    made.unlink()
    (folder / FIRST).write_bytes(content)
    write_manifest(folder)
    with pytest.raises(ValueError, match=f"{FIRST}: a header of"):
        load_exported(folder)
    torch.save(Payload(made), folder / FIRST)
    write_manifest(folder)
    with pytest.raises(ValueError, match=f"{FIRST}: a header of"):
        load_exported(folder)
    assert not made.exists()


def test_a_mask_that_is_a_pickle(folder, tmp_path):
    made = tmp_path / "executed"
    objects = np.array([Payload(made)], dtype=object)
    np.save(folder / "mask.npy", objects, allow_pickle=True)
    write_manifest(folder)
    with pytest.raises(ValueError, match="mask.npy: not a readable array"):
        load_exported(folder)
    np.savez(tmp_path / "mask.npz", objects)
    (tmp_path / "mask.npz").replace(folder / "mask.npy")
    write_manifest(folder)
    with pytest.raises(ValueError, match="mask.npy: not a readable array"):
        load_exported(folder)
    for other in (np.ones((16, 16, 15), bool), np.ones((16,) * 3, "u1")):
        np.save(folder / "mask.npy", other)
        write_manifest(folder)
        with pytest.raises(ValueError, match="mask.npy: .* expected bool of"):
            load_exported(folder)
    assert not made.exists()


def without_one(tensors):
    del tensors["convs.1.weight"]


def with_another(tensors):
    tensors["evil"] = torch.zeros(3)


def of_another_shape(tensors):
    tensors["to_latent.weight"] = tensors["to_latent.weight"][:3].clone()


def of_another_type(tensors):
    tensors["convs.0.weight"] = tensors["convs.0.weight"].double()


def in_half_precision(tensors):
    tensors["convs.0.weight"] = tensors["convs.0.weight"].half()


def of_a_float_for_a_count(tensors):
    tensors["norms.1.num_batches_tracked"] = torch.tensor(1.0)


def not_finite(tensors):
    tensors["norms.1.weight"][0] = float("nan")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_one, "no tensor 'convs.1.weight' found .1 missing., expec"),
        (with_another, "tensor 'evil' found .1 further., expected the 8"),
        (of_another_shape, r"shape .3, 4, 4, 4, 4. found, expected .4, 4, 4"),
        (of_another_type, "torch.float64 found, expected torch.float32"),
        (in_half_precision, "torch.float16 found, expected torch.float32"),
        (of_a_float_for_a_count, "torch.float32 found, expected torch.int64"),
        (not_finite, "'norms.1.weight': values that are not finite found"),
    ],
)
def test_weights_of_another_network(folder, change, message):
    tensors = load_file(folder / FIRST)
    change(tensors)
    save_file(tensors, folder / FIRST)
    write_manifest(folder)
    with pytest.raises(ValueError, match=f"{FIRST}: .*{message}"):
        load_exported(folder)


def test_swapped_files_are_not_the_files_on_record(folder):
    second = folder / "fALFF.safetensors"
    (folder / FIRST).rename(folder / "kept")
    second.rename(folder / FIRST)
    (folder / "kept").rename(second)
    with pytest.raises(ValueError, match=f"{FIRST}: was changed"):
        load_exported(folder)


MISSING = object()


def set_field(folder, name, value):
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    *parents, last = name.split("/")
    entries = config
    for parent in parents:
        entries = entries[parent]
    if value is MISSING:
        del entries[last]
    else:
        entries[last] = value
    file.write_text(json.dumps(config), encoding="utf-8")
    write_manifest(folder)


OWN = "network/arguments/T1"
MODULE = "class is '{}', expected one of Encoder, DenseNetEncoder"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("format", 2, "format is 2, expected 1"),
        ("format", True, "format is True, expected int"),
        ("format", MISSING, "format: not found"),
        ("modalities", [], r"modalities is \[\], expected one or more"),
        ("modalities", ["T1", "T1"], "expected one or more, each once"),
        ("modalities", ["../T1"], "expected names of files, without a fold"),
        ("modalities", ["/etc/passwd"], "expected names of files, without"),
        ("modalities", ["..\\T1"], "expected names of files, without a fold"),
        ("modalities", [".."], "expected names of files, without a folder"),
        ("modalities", ["T1\0"], "expected names of files, without a folder"),
        ("modalities", [3], "expected names of files, without a folder"),
        ("modalities", {"T1": 1}, "modalities is .*, expected list"),
        ("network", MISSING, "network.arguments.T1: not found"),
        ("network", ["Encoder"], "network.arguments.T1: not found"),
        ("network/class", "os:system", MODULE.format("os:system")),
        ("network/class", "own_backbone:Pooled", MODULE.format("own_back.*")),
        ("network/class", "torch.nn:Linear", MODULE.format("torch.nn.*")),
        ("network/class", "Decoder", MODULE.format("Decoder")),
        ("network/class", 3, "network.class is 3, expected str"),
        ("network/shared", "yes", "network.shared is 'yes', expected bool"),
        ("network/shared", True, "network.shared is True, expected false, as"),
        ("network/arguments", MISSING, "network.arguments.T1: not found"),
        (OWN, [], r"network.arguments.T1 is \[\], expected dict"),
        (f"{OWN}/width", 10**6, "width is 1000000, expected a whole number"),
        (f"{OWN}/width", 10**30, "width is 10+, expected a whole number"),
        (f"{OWN}/width", -2, "width is -2, expected a whole number"),
        (f"{OWN}/width", True, "width is True, expected a whole number"),
        (f"{OWN}/width", "2", "width is '2', expected a whole number"),
        (f"{OWN}/latent", 2**16, r"shape .4, 4, .*expected .65536, 4, 4"),
        (f"{OWN}/size", 48, "arguments is .*size=48, dims=3: expected"),
        (f"{OWN}/size", 32, "no tensor 'convs.2.weight' found"),
        (f"{OWN}/dims", 4, "arguments is .*dims=4: expected"),
        (f"{OWN}/dropout", 1.5, "dropout is 1.5, expected a share from 0"),
        (f"{OWN}/dropout", float("nan"), "dropout is nan, expected a share"),
        (f"{OWN}/device", "cuda", "device is 'cuda', expected only in_chan"),
        (f"{OWN}/in_channels", 2, r"shape .2, 1, 4, .*expected .2, 2, 4"),
        ("weights/dtype", "int8", "weights.dtype is 'int8', expected one of"),
        ("weights/dtype", "float16", "torch.float32 found, expected torch.f"),
        ("input", MISSING, "input.mask: not found"),
        ("input/mask", "../../secret", "input.mask is '../../secret', expec"),
        ("input/mask", False, r"files .*'mask.npy'.* found, expected"),
        ("input/size", 0, "input.size is 0, expected a whole number above 0"),
        ("input/size", 10**6, "input.size 1000000: .* bytes declared"),
        ("input/size", 8, "expected bool of shape .8, 8, 8"),
        ("input/dims", 4, "input.dims is 4, expected 2 or 3"),
        ("input/channels", {}, "input.channels.T1: not found"),
        ("input/channels/T1", 2, r"those of a network for .2, 16, 16, 16"),
        ("input/affine", [[1, 2], [3]], "input.affine is .*, expected null"),
        ("input/affine", [["a"] * 4] * 4, "input.affine is .*, expected null"),
        ("input/landmarks", MISSING, "input.landmarks: not found"),
        ("input/landmarks/T1", MISSING, "input.landmarks.T1: not found"),
        ("input/landmarks/T1", 5, "input.landmarks.T1 is 5, expected dict"),
        (
            "input/landmarks/T1/positions",
            [0, 1],
            "positions is .*, expected 13 finite, rising numbers",
        ),
        (
            "input/landmarks/T1/positions",
            [*range(12), float("inf")],
            "positions is .*, expected 13 finite, rising numbers",
        ),
        (
            "input/landmarks/T1/positions",
            [*range(12), 3],
            "positions is .*, expected 13 finite, rising numbers",
        ),
        (
            "input/landmarks/T1/region",
            "all",
            r"region is 'all', expected one of .'brain', 'image'",
        ),
    ],
)
def test_a_field_of_the_config(folder, name, value, message):
    load_exported(folder)
    set_field(folder, name, value)
    with pytest.raises(ValueError, match=message) as error:
        load_exported(folder)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON in UTF-8"),
        ("[" * 200_000, "not JSON in UTF-8"),
        ('{"format": 1', "not JSON in UTF-8"),
        ("3", "int found, expected fields"),
        ("[1]", "list found, expected fields"),
        (f'{{"format": {"9" * 5000}}}', "not JSON in UTF-8"),
    ],
)
@pytest.mark.parametrize("name", ["config.json", MANIFEST])
def test_a_text_that_is_no_record(folder, name, text, message):
    (folder / name).write_text(text, encoding="utf-8")
    if name == MANIFEST:
        message = "not valid JSON|found (int|list), expect|files .* found"
    else:
        write_manifest(folder)
    with pytest.raises(ValueError, match=f"{name}: ({message})"):
        load_exported(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda hashes: hashes | {"../../secret": "0" * 64},
        lambda hashes: {k: v for k, v in hashes.items() if k != FIRST},
        lambda hashes: hashes | {FIRST: 3},
        lambda hashes: hashes | {FIRST: ["0" * 64]},
    ],
)
def test_a_manifest_of_other_files(folder, change):
    file = folder / MANIFEST
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(ValueError, match=f"{MANIFEST}: .*expected"):
        load_exported(folder)


@pytest.mark.parametrize("name", ["config.json", MANIFEST])
def test_a_text_without_end(folder, name):
    with (folder / name).open("ab") as file:
        file.truncate(1 << 41)
    with pytest.raises(ValueError, match=f"{name}: .*LARGEST_TEXT"):
        load_exported(folder)


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
def test_a_checkpoint_that_would_execute(tmp_path, name):
    """A run is never resumed from it."""
    people = write_small_cohort(tmp_path / "cohort")
    finished = fit(people, "RR", tmp_path / "other", **SMALL_RUN)
    partial = tmp_path / "run.partial"
    partial.mkdir()
    shutil.copy(finished / "params.json", partial)
    made = tmp_path / "executed"
    torch.save({"state_dict": Payload(made), "epoch": 1}, partial / name)
    with pytest.raises(ValueError, match=f"{name}: not a readable checkpoint"):
        check_checkpoint(partial / name)
    if name == "last.ckpt":
        with pytest.raises(ValueError, match=f"{name}: not a readable check"):
            fit(people, "RR", tmp_path / "run", **SMALL_RUN)
    assert not made.exists()
    torch.load(partial / name, weights_only=False)
    assert made.exists(), "the payload would have been executed"


def test_a_finished_run_that_would_execute(tmp_path):
    people = write_small_cohort(tmp_path / "cohort")
    made = tmp_path / "executed"
    run = fit(people, "RR", tmp_path / "run", **SMALL_RUN)
    content = torch.load(run / "checkpoint.ckpt", weights_only=True)
    for field in (*content, "further"):
        torch.save({**content, field: Payload(made)}, run / "checkpoint.ckpt")
        write_manifest(run)
        with pytest.raises(ValueError, match="ckpt: not a readable checkpoi"):
            load_encoders(run)
        with pytest.raises(ValueError, match="ckpt: not a readable checkpoi"):
            export_encoders(run, tmp_path / "out", cohort=people)
    torch.load(run / "checkpoint.ckpt", weights_only=False)
    assert made.exists(), "the payload would have been executed"
    assert not (tmp_path / "out").exists()
