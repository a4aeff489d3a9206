"""Encoders as others get them: whole, without a name, and with the truth
about data and results.
"""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from small_cohort import SMALL_RUN, rehash, write_small_cohort

from mmssl import ledger
from mmssl.cohorts.cohort import load
from mmssl.ledger.hashes import hash_file, hash_json
from mmssl.ledger.manifest import check_manifest
from mmssl.ledger.verify import verify
from mmssl.preprocessing import load_exported
from mmssl.pretrain import export_encoders, fit, load_encoders

FOLD_ROW = ", fold 0"


@pytest.fixture(scope="module")
def brains(tmp_path_factory):
    """Give a cohort whose images are standardised."""
    folder = tmp_path_factory.mktemp("brains")
    return write_small_cohort(folder / "cohort", intensity="brain")


@pytest.fixture(scope="module")
def run(brains, tmp_path_factory):
    """Give a run on it."""
    folder = tmp_path_factory.mktemp("export")
    return fit(brains, "RR-AE", folder / "RR-AE-fold0-seed0", **SMALL_RUN)


@pytest.fixture(scope="module")
def exported(run, brains, tmp_path_factory):
    """Give its encoders, exported."""
    folder = tmp_path_factory.mktemp("exported") / "RR-AE"
    return export_encoders(run, folder, cohort=brains)


def save_table(run, folder, **changes):
    """Save a results table as the page of the linear evaluation does."""
    lines = []
    for modality in ("T1", "fALFF"):
        for model, baseline in (("PCA-64", True), ("RR-AE", False)):
            lines.append(
                {
                    "protocol": "logistic regression",
                    "model": model,
                    "modality": modality,
                    "baseline": baseline,
                    "folds": 1,
                    "auc": 0.75 if baseline else 0.8125,
                    "low": 0.5,
                    "high": float("nan") if baseline else 0.9375,
                }
            )
    inputs = {f"RR-AE{FOLD_ROW}": run / "embeddings.npz"} | changes
    made = ledger.Provenance(inputs, {}, 0, ("mmssl.ledger",))
    (file,) = made.save(folder, "linear_evaluation", {"": pd.DataFrame(lines)})
    return file


def test_half_precision_is_half_the_size_and_nearly_the_same(
    run, brains, exported, tmp_path
):
    half = export_encoders(
        run, tmp_path / "half", cohort=brains, dtype="float16"
    )
    whole = load_exported(exported)
    for m, one in load_exported(half).items():
        assert next(one.network.parameters()).dtype == torch.float32
        z, expected = (e.embed(brains.volumes[m]) for e in (one, whole[m]))
        assert not np.array_equal(z, expected)
        np.testing.assert_allclose(z, expected, atol=0.01)
        sizes = [
            (folder / f"{m}.safetensors").stat().st_size
            for folder in (half, exported)
        ]
        assert sizes[0] < 0.75 * sizes[1]


def test_weights_beyond_half_precision_are_refused(
    run, brains, tmp_path, monkeypatch
):
    from mmssl.pretrain import encoder_export

    encoders, landmarks = load_encoders(run)
    with torch.no_grad():
        encoders["fALFF"].to_latent.weight[0, 0, 0, 0, 0] = -7e4
    monkeypatch.setattr(
        encoder_export, "load_encoders", lambda _: (encoders, landmarks)
    )
    with pytest.raises(ValueError, match="fALFF: to_latent.weight .* 70000"):
        export_encoders(run, tmp_path / "a", cohort=brains, dtype="float16")
    assert list(tmp_path.iterdir()) == []
    export_encoders(run, tmp_path / "a", cohort=brains)


def test_the_config_says_what_was_asked_of_what(run, brains, exported):
    config = json.loads((exported / "config.json").read_text())
    params = json.loads((run / "params.json").read_text())
    for name in (
        "objective",
        "epochs",
        "optimiser",
        "augment",
        "seed",
        "fold",
    ):
        assert config["recipe"][name] == params[name], name
    assert not {"cohort", "code", "device"} & set(config["recipe"])
    assert config["input"]["voxel_mm"] == [12.0] * 3
    data = config["data"]
    assert data["hash"] == hash_json(dict(brains.hashes))
    assert data["hashes"]["T1.npy"] == hash_file(brains.path / "T1.npy")
    assert (data["people"], data["seen"]) == (24, {"train": 16, "valid": 4})
    assert config["made_by"]["code"] == hash_json(params["code"])
    numbers = config["network"]["parameters"]
    encoders, _ = load_encoders(run)
    for m, encoder in encoders.items():
        assert numbers[m] == sum(p.numel() for p in encoder.parameters())


def head_of(card):
    """Return the head of a card, and the text below it."""
    _, head, text = card.split("---\n", 2)
    return yaml.safe_load(head), text


def test_the_card_has_the_head_that_hubs_read(run, brains, exported, tmp_path):
    head, text = head_of((exported / "README.md").read_text())
    assert head["library_name"] == "mmssl" and "mri" in head["tags"]
    assert "license" not in head and "simulated-data" not in head["tags"]
    assert text.strip().startswith("# RR-AE: encoders of T1 and fALFF")
    assert "None is on record." in text
    folder = export_encoders(
        run, tmp_path / "out", cohort=brains, license="mit: not 'yaml'"
    )
    head, _ = head_of((folder / "README.md").read_text())
    assert head["license"] == "mit: not 'yaml'"
    with pytest.raises(ValueError, match="license is 'a.nb: c', expected a"):
        export_encoders(run, tmp_path / "b", cohort=brains, license="a\nb: c")


@pytest.mark.slow
def test_simulated_people_are_named_so(tiny_phantom, tmp_path):
    run = fit(tiny_phantom, "RR", tmp_path / "run", **SMALL_RUN)
    folder = export_encoders(run, tmp_path / "out", cohort=tiny_phantom)
    head, text = head_of((folder / "README.md").read_text())
    assert "simulated-data" in head["tags"]
    assert "Simulated people: nobody of them exists" in text
    config = json.loads((folder / "config.json").read_text())
    assert config["data"]["simulated"] == "people"
    assert config["data"]["kind"] == "phantom"
    with pytest.raises(ValueError, match="simulated='lesions', expected None"):
        export_encoders(
            run, tmp_path / "b", cohort=tiny_phantom, simulated="lesions"
        )


def test_what_a_cohort_does_not_say_can_be_stated(run, brains, tmp_path):
    folder = export_encoders(
        run, tmp_path / "out", cohort=brains, simulated="people"
    )
    card = (folder / "README.md").read_text()
    assert "nobody of them exists" in card
    for stated in ("patients", False):
        with pytest.raises(ValueError, match="simulated=.*, expected None"):
            export_encoders(
                run, tmp_path / "b", cohort=brains, simulated=stated
            )


def test_nobody_is_named(make_cohort, tmp_path):
    people = make_cohort(tmp_path / "c", intensity="brain")
    # files of a cohort may have names of people
    (people.path / "raw").mkdir()
    (people.path / "raw" / "person-03_T1w.json").write_text("{}")
    rehash(people.path)
    people = load(people.path)
    run = fit(people, "RR", tmp_path / "run", **SMALL_RUN)
    folder = export_encoders(run, tmp_path / "out", cohort=people)
    for file in folder.iterdir():
        content = file.read_bytes()
        assert b"person-" not in content, file
        for name in people.subjects:
            assert name.encode() not in content, file


def test_the_line_of_a_table_is_that_of_the_run(run, brains, tmp_path):
    table = save_table(run, tmp_path / "results")
    folder = export_encoders(run, tmp_path / "out", table, cohort=brains)
    config = json.loads((folder / "config.json").read_text())
    found = config["results"]
    assert found["table_hash"] == hash_file(table)
    row = found["modalities"]["T1"]["row"]
    assert (row["model"], row["auc"], row["high"]) == ("RR-AE", 0.8125, 0.9375)
    assert found["modalities"]["T1"]["row_hash"] == hash_json(row)
    (baseline,) = found["modalities"]["T1"]["baselines"]
    assert baseline["model"] == "PCA-64" and baseline["high"] is None
    card = (folder / "README.md").read_text()
    assert "| T1 | RR-AE | 0.812 (0.500 to 0.938) |" in card
    assert "| T1 | PCA-64 (baseline) | – |" in card
    assert verify(folder) == [] and load_exported(folder)


def test_a_table_of_another_run_or_changed_by_hand_is_refused(
    run, brains, tmp_path
):
    other = {f"RR-AE{FOLD_ROW}": run / "history.csv"}
    table = save_table(run, tmp_path / "results", **other)
    with pytest.raises(ValueError, match="0 lines of T1 made from .*embeddin"):
        export_encoders(run, tmp_path / "out", table, cohort=brains)
    table = save_table(run, tmp_path / "results")
    with pytest.raises(ValueError, match="protocol 'knn' asked for"):
        export_encoders(
            run, tmp_path / "out", table, cohort=brains, protocol="knn"
        )
    table.write_text(table.read_text().replace("0.8125", "0.9999"))
    with pytest.raises(ValueError, match="was changed after it was made"):
        export_encoders(run, tmp_path / "out", table, cohort=brains)
    assert not (tmp_path / "out").exists()


def test_another_cohort_or_a_folder_that_is_there_is_refused(
    run, brains, cohort, make_cohort, tmp_path
):
    others = make_cohort(tmp_path / "other", groups=("HC", "AD"))
    with pytest.raises(ValueError, match="cohort 'test' with the hash"):
        export_encoders(run, tmp_path / "out", cohort=others)
    # its files are the same
    with pytest.raises(ValueError, match="intensity is 'unit', expected that"):
        export_encoders(run, tmp_path / "out", cohort=cohort)
    with pytest.raises(ValueError, match="dtype is 'int8', expected one of"):
        export_encoders(run, tmp_path / "out", cohort=brains, dtype="int8")
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError, match="out: exists already"):
        export_encoders(run, tmp_path / "out", cohort=brains)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_export_is_whole_or_not_there(run, brains, tmp_path, monkeypatch):
    from mmssl.pretrain import encoder_export

    def fail(*_):
        raise OSError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(encoder_export, "model_card", fail)
        with pytest.raises(OSError, match="no room"):
            export_encoders(run, tmp_path / "out", cohort=brains)
    assert list(tmp_path.iterdir()) == []
    folder = export_encoders(run, tmp_path / "out", cohort=brains)
    check_manifest(folder)
    modes = {file.stat().st_mode for file in folder.iterdir()}
    assert len(modes) == 1, "whoever may read the card may read the weights"
    assert sorted(file.name for file in folder.iterdir()) == [
        "README.md",
        "T1.safetensors",
        "config.json",
        "fALFF.safetensors",
        "manifest.json",
        "mask.npy",
    ]


def test_the_same_run_gives_the_same_bytes(run, brains, exported, tmp_path):
    again = export_encoders(run, tmp_path / "out", cohort=load(brains.path))
    for file in exported.iterdir():
        assert (again / file.name).read_bytes() == file.read_bytes(), file
