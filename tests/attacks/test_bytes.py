"""Files that were changed after they were made are believed by no reader."""

import importlib
import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from executed_page import build, make_page
from small_cohort import write_small_cohort

from mmssl import ledger
from mmssl.cohorts.cohort import load
from mmssl.evaluate.runs import finished_runs
from mmssl.ledger.__main__ import main
from mmssl.ledger.manifest import MANIFEST
from mmssl.ledger.verify import verify
from mmssl.pretrain.encoders import embed, load_encoders
from mmssl.pretrain.fit import fit
from mmssl.pretrain.run_folder import read_history, read_parameters

sweeps = importlib.import_module("mmssl.robustness.sweep")

SMALL = {"epochs": 2, "batch_size": 8, "width": 4, "latent": 8}


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Give a folder with a cohort and a run."""
    folder = tmp_path_factory.mktemp("bytes")
    people = write_small_cohort(folder / "cohort")
    fit(people, "RR", folder / "runs" / "RR", progress=False, **SMALL)
    return folder


@pytest.fixture
def copy(originals, tmp_path):
    """Give a copy of it, to be changed."""
    shutil.copytree(originals, tmp_path / "copy")
    return tmp_path / "copy"


def replace_scan(file):
    volumes = np.load(file)
    volumes[3] = volumes[4]
    np.save(file, volumes)


def replace_text(old, new):
    def change(file):
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")

    return change


def swap_roles(file):
    splits = json.loads(file.read_text())
    fold = splits["folds"][0]
    fold["train"][0], splits["holdout"][0] = (
        splits["holdout"][0],
        fold["train"][0],
    )
    file.write_text(json.dumps(splits))


def shrink_mask(file):
    mask = np.load(file)
    mask[0] = False
    np.save(file, mask)


def field(name, value):
    def change(file):
        fields = json.loads(file.read_text())
        assert fields[name] != value
        file.write_text(json.dumps(fields | {name: value}))

    return change


def remove(file):
    file.unlink()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("T1.npy", replace_scan),
        ("fALFF.npy", replace_scan),
        ("mask.npy", shrink_mask),
        ("mask.npy", remove),
        ("participants.tsv", replace_text("person-00\tHC", "person-00\tAD")),
        ("pairs.tsv", replace_text("person-03\t1\t0", "person-03\t1\t7")),
        ("splits.json", swap_roles),
        ("cohort.json", field("affine", np.diag([9.0, 9, 9, 1]).tolist())),
        ("cohort.json", field("kind", "patients")),
        ("cohort.json", field("hashes", {})),
        ("cohort.json", field("parameters", {"oracle_auc": 0.99})),
    ],
)
def test_a_changed_cohort(copy, name, change):
    load(copy / "cohort")
    change(copy / "cohort" / name)
    with pytest.raises(ValueError, match="was changed|not found|not among"):
        load(copy / "cohort")


def test_a_further_file_of_a_cohort(tmp_path):
    def truth(folder):
        (folder / "truth").mkdir()
        (folder / "truth" / "factors.tsv").write_text("severity\n1.0\n")

    people = write_small_cohort(tmp_path / "cohort")
    assert people.hashes.keys() >= {"mask.npy", "splits.json"}
    with pytest.raises(ValueError, match="factors.tsv: not found"):
        people.file("truth/factors.tsv")
    truth(people.path)
    with pytest.raises(ValueError, match="not among the files on record"):
        people.file("truth/factors.tsv")


def flip_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 64
    file.write_bytes(content)


def other_numbers(file):
    with np.load(file) as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez(file, **{**arrays, "T1": arrays["T1"] + 1})


def other_shape(file):
    with np.load(file) as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez(file, **{**arrays, "T1": arrays["T1"][:3]})


RUN_CHANGES = [
    ("checkpoint.ckpt", flip_bit),
    ("checkpoint.ckpt", remove),
    ("embeddings.npz", other_numbers),
    ("embeddings.npz", other_shape),
    ("params.json", replace_text('"seed": 0', '"seed": 1')),
    ("params.json", replace_text('"threads"', '"Threads"')),
    ("history.csv", replace_text("epoch", "Epoch")),
    ("exposures.json", replace_text('"train"', '"choose"')),
    (MANIFEST, remove),
    (MANIFEST, replace_text("params.json", "other.json")),
    (MANIFEST, flip_bit),
]


@pytest.mark.parametrize(("name", "change"), RUN_CHANGES)
def test_a_changed_run(copy, name, change):
    people, run = load(copy / "cohort"), copy / "runs" / "RR"
    expected = embed(run, people)
    assert embed(run, people)["T1"].shape == expected["T1"].shape
    change(run / name)
    readers = (
        lambda: load_encoders(run),
        lambda: embed(run, people),
        lambda: read_parameters(run),
        lambda: read_history(run),
        lambda: fit(people, "RR", run, progress=False, **SMALL),
        lambda: finished_runs(copy / "runs", people),
    )
    for reader in readers[:-1]:
        with pytest.raises(ValueError):
            reader()
    with (
        pytest.warns(UserWarning, match="unreadable runs are left out"),
        pytest.raises(ValueError, match="no finished run"),
    ):
        readers[-1]()


@pytest.fixture
def swept(tmp_path, monkeypatch, affine):
    """Give the function that sweeps two points, of scores that count."""
    made = []

    def score(inputs, models, point, *_):
        made.append(point)
        shape = (len(models), len(inputs), 2)
        scores = np.full(shape, len(made), np.float32)
        ones = np.ones(shape[1:])
        return {"scores": scores, "finite": ones > 0, "voxels": ones}

    monkeypatch.setattr(sweeps, "_score_point", score)
    monkeypatch.setattr(sweeps, "_check", lambda *_: None)
    monkeypatch.setattr(sweeps, "_key", lambda *_: "k" * 32)
    lines = {"distortion": "noise", "parameter": "std", "value": [1.0, 2.0]}
    inputs = {"T1": np.zeros((2, 1, 4, 4, 4), np.float32)}

    def run():
        return sweeps.sweep(
            inputs,
            ["a", "b"],
            {"model": {}},
            pd.DataFrame(lines),
            affine,
            tmp_path,
            progress=False,
        ).scores

    run.folder, run.made = tmp_path / ("k" * 16), made
    return run


def other_scores(file):
    with np.load(file) as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez(file, **{**arrays, "scores": arrays["scores"] + 1})


@pytest.mark.parametrize("change", [other_scores, flip_bit])
def test_a_changed_point_of_a_sweep(swept, change):
    first = swept()
    np.testing.assert_array_equal(swept(), first)
    assert len(swept.made) == 3
    change(swept.folder / "noise-std-2.npz")
    with pytest.raises(ValueError, match="noise-std-2.npz: was changed"):
        swept()


def test_a_point_without_its_hash_is_made_anew(swept):
    """As a process leaves it that was killed between the two."""
    swept()
    file = swept.folder / MANIFEST
    hashes = json.loads(file.read_text())
    del hashes["noise-std-1.npz"]
    file.write_text(json.dumps(hashes))
    swept()
    assert swept.made[3:] == [("noise", "std", 1.0)]


@pytest.fixture
def table(tmp_path):
    """Give a table that a page saved."""
    made = ledger.Provenance({}, {}, None, ("mmssl.ledger",))
    lines = pd.DataFrame({"auc": [0.5]})
    (file,) = made.save(tmp_path / "results", "", {"linear": lines})
    return file


@pytest.mark.parametrize(
    "change",
    [
        replace_text("0.5", "0.9"),
        lambda file: ledger.sidecar_of(file).unlink(),
        remove,
    ],
)
def test_a_changed_table(table, change):
    assert ledger.read_table(table)["auc"].tolist() == [0.5]
    assert verify(table.parent) == []
    change(table)
    with pytest.raises(ValueError, match="linear.tsv"):
        ledger.read_table(table)
    if table.exists():
        with pytest.raises(ValueError, match="linear.tsv"):
            ledger.check_tables(table.parent)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("cohort/T1.npy", replace_scan),
        ("cohort/participants.tsv", remove),
        ("runs/RR/checkpoint.ckpt", flip_bit),
        ("runs/RR/manifest.json", flip_bit),
        ("cohort/cohort.json", flip_bit),
    ],
)
def test_verification_reads_every_byte(copy, name, change, capsys):
    assert main([str(copy)]) == 0
    change(copy / name)
    assert main([str(copy)]) == 1
    assert name.split("/")[-2] in capsys.readouterr().err


def test_a_change_within_one_clock_tick_is_seen(copy, monkeypatch):
    """Same size, same time of modification: the inode's own time tells."""
    file = copy / "cohort" / "T1.npy"
    load(copy / "cohort")
    before = file.stat()
    replace_scan(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert file.stat().st_size == before.st_size
    with pytest.raises(ValueError, match="T1.npy: was changed"):
        load(copy / "cohort")


def test_a_page_whose_table_was_changed_is_not_published(tmp_path):
    page = make_page(tmp_path)
    assert build.check_page(page, "demo") == []
    made = ledger.Provenance({}, {}, None, ("mmssl.ledger.paths",))
    lines = pd.DataFrame({"auc": [0.5]})
    (table,) = made.save(tmp_path / "results", "", {"linear": lines})
    assert build.check_page(page, "demo") == []
    replace_text("0.5", "0.9")(table)
    (reason,) = build.check_page(page, "demo")
    assert reason.startswith("in results, ")
    assert "linear.tsv was changed after it was made" in reason
