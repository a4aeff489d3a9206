"""From a dataset to a cohort in one call, and in one command."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from oasis3_tree import make_images, make_tables
from small_cohort import write_small_cohort
from small_dataset import write_image

from mmssl import groupmaps
from mmssl.cohorts import __main__ as command
from mmssl.cohorts import batch, bids, cohort, derivatives

SMALL = {"preparation": {"size": 16}, "progress": False, "folds": 2}


def test_a_bids_dataset_becomes_a_cohort(dataset, quick, tmp_path):
    made = batch.from_bids(dataset, tmp_path / "cohort", **SMALL)
    assert made.kind == "study"
    assert len(made) == 6
    described = tmp_path / "cohort-derivatives/dataset_description.json"
    assert json.loads(described.read_text())["DatasetType"] == "derivative"
    with pytest.raises(ValueError, match="cohort: exists already"):
        batch.from_bids(dataset, tmp_path / "cohort", **SMALL)


def test_want_of_room_names_the_people_and_the_next_call_goes_on(
    dataset, quick, tmp_path, monkeypatch
):
    save = derivatives.nib.save

    def full(nifti, file):
        if "sub-02" in str(file):
            raise OSError(28, "No space left on device")
        save(nifti, file)

    monkeypatch.setattr(derivatives.nib, "save", full)
    with pytest.raises(OSError, match="1 of 6 people.*sub-02.*No space left"):
        batch.from_bids(dataset, tmp_path / "cohort", **SMALL)
    assert not (tmp_path / "cohort").exists()
    monkeypatch.setattr(derivatives.nib, "save", save)
    quick["T1"].clear()
    batch.from_bids(dataset, tmp_path / "cohort", **SMALL)
    assert quick["T1"] == ["sub-02_T1w.nii.gz"]


def test_a_folder_changed_by_hand_stops_nobody_else(dataset, quick, tmp_path):
    prepared = tmp_path / "prepared"
    study = bids.read(dataset)
    derivatives.prepare_person(study, "sub-02", prepared, size=16)
    record = prepared / "sub-02" / derivatives.RECORD
    record.write_text(record.read_text().replace("registered", "failed"))
    options = {"preparation": SMALL["preparation"], "progress": False}
    with pytest.raises(OSError, match="1 of 6 people.*sub-02.*was changed"):
        batch.prepare_study(study, prepared, **options)
    made = {file.parent.name for file in prepared.glob("*/prepared.json")}
    assert len(made) == 6
    shutil.rmtree(prepared / "sub-02")
    quick["T1"].clear()
    batch.prepare_study(study, prepared, **options)
    assert quick["T1"] == ["sub-02_T1w.nii.gz"]


def test_oasis3_from_the_download_to_a_cohort(quick, tmp_path):
    make_images(tmp_path / "images", "xnat")
    make_tables(tmp_path / "tables")
    for number, file in enumerate(sorted(tmp_path.rglob("*.nii.gz"))):
        series = file.name.endswith("bold.nii.gz")
        shape = (10, 11, 12, 80) if series else (10, 11, 12)
        write_image(file, shape, 2.2 if series else None, number)
    made = batch.from_oasis3(
        tmp_path / "images",
        tmp_path / "cohort",
        {"tables": tmp_path / "tables", "subset": "everybody"},
        holdout=[],
        **SMALL,
    )
    assert made.labels().tolist().count(0) > 0
    assert (tmp_path / "cohort-derivatives/sub-OAS30001/ses-d0757").is_dir()
    groups = made.participants.set_index("participant_id")["group"]
    assert groups["OAS30003"] == "other"
    flow = pd.read_csv(tmp_path / "cohort/flow.tsv", sep="\t")
    assert flow["step"].iloc[-1] == "prepared and accepted"


def test_the_command_does_the_same(dataset, quick, tmp_path, capsys):
    arguments = ["--size", "16", "--folds", "2"]
    status = command.main(
        ["bids", str(dataset), str(tmp_path / "a"), *arguments]
    )
    assert status == 0
    said = capsys.readouterr().out
    assert "closest pairs" in said
    assert "group: AD 3, HC 3; not told apart: nobody" in said
    assert "set aside: nobody" in said
    # 20 % of three people are one
    assert "held out, with every image: 0 AD, 1 HC; maps of groups" in said
    assert "compare 4 of each at least: there are too few people" in said
    quality = pd.read_csv(tmp_path / "a" / "quality.tsv", sep="\t")
    file = "sub-03/func/sub-03_task-rest_run-2_bold.nii.gz"
    assert file in set(quality["file_fALFF"])
    made = batch.from_bids(dataset, tmp_path / "b", **SMALL)
    for modality in made.modalities:
        assert (
            made.hashes[f"{modality}.npy"]
            == (cohort.load(tmp_path / "a").hashes[f"{modality}.npy"])
        )
    status = command.main(
        ["bids", str(dataset), str(tmp_path / "a"), *arguments]
    )
    assert status == 2
    assert "exists already" in capsys.readouterr().err
    status = command.main(
        ["bids", str(dataset), str(tmp_path / "c"), "--group", "diagnosis"]
    )
    assert status == 2
    assert "missing columns: diagnosis" in capsys.readouterr().err


def test_people_side_by_side_are_the_same_as_one_by_one(tmp_path, dataset):
    """Each in its own process, each with a T1 that is cut short."""
    for file in dataset.rglob("*_T1w.nii.gz"):
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
    study = bids.read(dataset)
    for jobs in (1, 2):
        batch.prepare_study(
            study,
            tmp_path / str(jobs),
            jobs,
            progress=False,
            preparation={"size": 16},
        )
    for name in study.participants["participant_id"]:
        records = [
            derivatives.read_record(tmp_path / jobs / name) for jobs in "12"
        ]
        assert records[0] == records[1]
        assert all("reason" in pair for pair in records[0]["pairs"])


def test_splits_that_cannot_be_are_refused_before_hours_of_work(
    dataset, quick, tmp_path
):
    with pytest.raises(ValueError, match="expected at least 5 of each class"):
        batch.from_bids(dataset, tmp_path / "a", holdout=0.0)
    assert quick["T1"] == []


def test_the_share_that_holds_out_enough_is_named(tmp_path):
    made = write_small_cohort(tmp_path / "a", people=24, groups=("HC", "AD"))
    people = made.participants.assign(population="main")
    made = replace(made, participants=people)
    # twelve of each: a third is four
    assert "2 HC, 2 AD" in command._held_out(made)
    assert "--holdout 0.3 would hold out enough" in command._held_out(made)
    ids = people["participant_id"].tolist()
    enough = replace(made, splits={**made.splits, "holdout": ids[:8]})
    assert "4 HC, 4 AD; of so few hardly any" in command._held_out(enough)
    # 4096 voxels twice: of 8 beside 8 1.3 are perfect by chance, of 12 .006
    few = replace(made, splits={**made.splits, "holdout": ids[:16]})
    assert "8 HC, 8 AD; of so few hardly any" in command._held_out(few)
    many = replace(made, splits={**made.splits, "holdout": ids})
    assert command._held_out(many).endswith("12 HC, 12 AD")


def test_the_chance_of_a_perfect_voxel_is_about_the_smallest_p(rng, tmp_path):
    """That of the permutation test, whose voxels are independent here."""
    made = write_small_cohort(tmp_path / "a")
    voxels = 2 * int(made.mask.sum())
    values = rng.normal(size=(24, voxels)).astype(np.float32)
    labels = np.arange(24) % 2
    labels[[1, 3, 5, 7]] = 0  # 16 and 8
    found = groupmaps.smallest_p(values, labels, 2000)
    expected = command._chance_of_perfect_voxel(made, 8, 16)
    assert found == pytest.approx(expected, abs=0.01)
