"""Finished runs of a folder: those of the cohort and the fold, readable."""

import json

import pytest

from mmssl.evaluate import runs
from mmssl.ledger.manifest import MANIFEST, write_manifest
from mmssl.pretrain.run_settings import SETTINGS


@pytest.fixture
def write_run(cohort, tmp_path):
    """Give the function that writes a run folder with what is read of it."""

    def write(name, **changes):
        folder = tmp_path / name
        folder.mkdir()
        params = {
            "fold": 0,
            "seed": 3,
            "cohort": {"hashes": dict(cohort.hashes)},
        }
        (folder / "params.json").write_text(json.dumps(params | changes))
        for name in ("exposures.json", "checkpoint.ckpt", "embeddings.npz"):
            (folder / name).write_bytes(bytes(range(256)) * 4)
        write_manifest(folder)
        return folder

    return write


def test_finished_runs_are_those_of_the_cohort_and_fold(
    cohort, tmp_path, write_run
):
    others = {
        "RR-fold0-seed3": {},
        "CR-fold0-seed3": {},
        "RR-fold1-seed3": {"fold": 1},
        "CC-fold0-seed3.partial": {},
        "XX-fold0-seed3": {"cohort": {"hashes": {}}},
    }
    for name, changes in others.items():
        write_run(name, **changes)
    expected = {
        "CR": tmp_path / "CR-fold0-seed3",
        "RR": tmp_path / "RR-fold0-seed3",
    }
    assert runs.finished_runs(tmp_path, cohort) == expected
    assert list(runs.finished_runs(tmp_path, cohort, fold=1)) == ["RR"]
    write_run("RR-fold0-seed4", seed=4)
    assert "RR-fold0-seed4" in runs.finished_runs(tmp_path, cohort)
    with pytest.raises(
        ValueError, match="fold 2; make one with.*03_pretraining"
    ):
        runs.finished_runs(tmp_path, cohort, fold=2)
    write_run("CC-fold3-seed3", fold=3, cohort={"hashes": {}})
    with pytest.raises(ValueError, match="fold 3 .1 of other images, splits"):
        runs.finished_runs(tmp_path, cohort, fold=3)


def cut(file):
    file.write_bytes(file.read_bytes()[:300])


def flip(file):
    content = bytearray(file.read_bytes())
    content[100] ^= 8
    file.write_bytes(content)


def no_fold(file):
    file.write_text('{"seed": 3}')
    write_manifest(file.parent)


def no_json(file):
    file.write_bytes("{M\u00fcller}".encode("latin-1"))
    write_manifest(file.parent)


@pytest.mark.parametrize(
    ("name", "damage", "reason"),
    [
        ("checkpoint.ckpt", cut, "checkpoint.ckpt: was changed"),
        ("checkpoint.ckpt", flip, "checkpoint.ckpt: was changed"),
        ("embeddings.npz", flip, "embeddings.npz: was changed"),
        (
            "embeddings.npz",
            lambda file: file.unlink(),
            "embeddings.npz: not found",
        ),
        ("exposures.json", cut, "exposures.json: was changed"),
        ("params.json", no_json, "params.json: not valid JSON"),
        ("params.json", no_fold, "params.json: missing fold, cohort"),
        (MANIFEST, cut, "manifest.json: not valid JSON"),
        (MANIFEST, lambda file: file.unlink(), "manifest.json: not found"),
    ],
)
def test_an_unreadable_run_is_named_and_left_out(
    cohort, tmp_path, write_run, name, damage, reason
):
    good = write_run("RR-fold0-seed3")
    bad = write_run("CR-fold0-seed3")
    damage(bad / name)
    (found,) = runs.unreadable_runs(tmp_path).items()
    assert found[0] == bad.name and found[1].startswith(reason)
    assert str(tmp_path) not in found[1]
    with pytest.warns(UserWarning, match="left out: CR-fold0-seed3"):
        assert runs.finished_runs(tmp_path, cohort) == {"RR": good}


def test_a_model_unreadable_in_one_fold_is_compared_in_none(
    cohort, tmp_path, write_run
):
    for name in ("CR", "RR"):
        for fold in (0, 1):
            write_run(f"{name}-fold{fold}-seed3", fold=fold)
    both = runs.runs_of_folds(tmp_path, cohort, [0, 1])
    assert {k: list(models) for k, models in both.items()} == {
        0: ["CR", "RR"],
        1: ["CR", "RR"],
    }
    cut(tmp_path / "CR-fold1-seed3" / "checkpoint.ckpt")
    with pytest.warns(UserWarning, match="left out: CR-fold1-seed3"):
        rest = runs.runs_of_folds(tmp_path, cohort, [0, 1])
    assert {k: list(models) for k, models in rest.items()} == {
        0: ["RR"],
        1: ["RR"],
    }


def test_what_was_trained_otherwise_is_told(write_run):
    usual = dict.fromkeys(SETTINGS) | {"epochs": 8, "augment": "crops"}
    trained = {
        "RR": {"objective": "RR", "options": {"penalty": 0.04}},
        "AE": {"objective": "AE", "options": {}},
        "noisy": {
            "objective": "XX-CC",
            "options": {"penalty": 0.04},
            "augment": "noise",
        },
        "MMVAE": {
            "objective": "MMVAE",
            "options": {"samples": 2},
            "epochs": 4,
        },
        "DCCAE": {"objective": "CCA-AE", "options": {"memory": 256}},
        "LARC": {"objective": "RR", "options": {}, "optimiser": "larc"},
    }
    folders = {}
    for model, record in trained.items():
        folders[model] = write_run(f"{model}-fold0-seed3", **usual | record)
    assert runs.deviating_settings(folders) == {
        "noisy": "augment noise",
        "MMVAE": "epochs 4, samples 2",
        "DCCAE": "memory 256",
        "LARC": "optimiser larc",
    }


def test_labels_have_a_part_by_a_term_or_by_the_draws(write_run):
    trained = {
        "RR": {"objective": "RR", "balanced": False},
        "drawn": {"objective": "RR", "balanced": True},
        "Supervised": {"objective": "Supervised", "balanced": False},
        "hybrid": {"objective": "SwAV-CE", "balanced": False},
    }
    folders = {}
    for model, record in trained.items():
        folders[model] = write_run(f"{model}-fold0-seed3", **record)
    found = runs.supervised_runs(folders)
    assert found == {"drawn", "Supervised", "hybrid"}


def test_a_run_made_before_a_setting_was_on_record_is_told(write_run):
    now = dict.fromkeys(SETTINGS, "set") | {"options": {}}
    before = {k: v for k, v in now.items() if k != "optimiser"}
    records = {"RR": now, "CR": now, "XX": before}
    folders = {}
    for model, record in records.items():
        folders[model] = write_run(model, objective=model, **record)
    assert runs.deviating_settings(folders) == {"XX": "optimiser None"}
