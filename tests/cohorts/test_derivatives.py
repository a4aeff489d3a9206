"""People prepared one by one, and the cohort that is made of them."""

import json
import shutil
import subprocess
from pathlib import Path

import bids2table
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from small_dataset import write_image

from mmssl.cohorts import assembly, bids, derivatives, quality_control
from mmssl.cohorts.simulated import images, raw
from mmssl.preprocessing import space, template

SIZE = 16


def prepare_all(study, folder):
    return {
        name: derivatives.prepare_person(study, name, folder, size=SIZE)
        for name in study.participants["participant_id"]
    }


def content(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_damaged_image_sets_its_pair_aside_and_the_rest_goes_on(
    dataset, quick, tmp_path
):
    study = bids.read(dataset)
    records = prepare_all(study, tmp_path / "out")
    (broken,) = records["sub-06"]["pairs"]
    assert "truncated" in broken["reason"]
    assert str(tmp_path) not in broken["reason"]
    assert "sub-06/anat/sub-06_T1w.nii.gz" in broken["reason"]
    for name in list(records)[:-1]:
        for pair in records[name]["pairs"]:
            for file in pair["volumes"].values():
                assert (tmp_path / "out" / name / file).is_file()
    # two series, one registration of their T1
    assert quick["T1"].count("sub-03_T1w.nii.gz") == 1
    first, second = records["sub-03"]["pairs"]
    assert first["volumes"]["T1"] == second["volumes"]["T1"]
    assert first["volumes"]["fALFF"] != second["volumes"]["fALFF"]


def test_the_derivatives_are_a_bids_dataset(dataset, quick, tmp_path):
    """Names by the standard's schema; `.bidsignore` has what it lacks."""
    derivatives.describe(tmp_path / "out")
    prepare_all(bids.read(dataset), tmp_path / "out")
    found = bids2table.index_dataset(tmp_path / "out").to_pandas()
    assert set(found["suffix"]) == {"T1w", "boldmap", "timeseries"}
    assert set(found["space"].dropna()) == {derivatives.SPACE}
    ignored = (tmp_path / "out/.bidsignore").read_text().split()
    for path, suffix in zip(found["path"], found["suffix"], strict=True):
        named = any(Path(path).match(pattern[3:]) for pattern in ignored)
        assert named == (suffix in ("boldmap", "timeseries")), path
    for file in (tmp_path / "out").rglob("*_T1w.json"):
        assert json.loads(file.read_text())["SkullStripped"]


@pytest.mark.slow
def test_the_standards_validator_finds_no_error(dataset, quick, tmp_path):
    """`pip install bids-validator-deno`, which brings a runtime of its own;
    the derivatives, and the raw people that are simulated.
    """
    validator = shutil.which("bids-validator-deno")
    if validator is None:
        pytest.skip("bids-validator-deno is not installed")
    derivatives.describe(tmp_path / "out")
    prepare_all(bids.read(dataset), tmp_path / "out")
    raw.write_raw_people(tmp_path / "raw", 1, 0, images.Design())
    for folder in (tmp_path / "out", tmp_path / "raw"):
        done = subprocess.run(
            [validator, folder, "--format", "json", "--ignoreWarnings"],
            stdout=subprocess.PIPE,
            check=False,
        )
        found = json.loads(done.stdout)
        assert found["issues"]["issues"] == []
        assert found["summary"]["subjects"]
    # a name that the standard does not have is one that it finds
    file = next((tmp_path / "out").rglob("*_T1w.nii.gz"))
    shutil.copy(file, file.with_name("sub-01_wrong.nii.gz"))
    done = subprocess.run(
        [validator, tmp_path / "out", "--format", "json"],
        stdout=subprocess.PIPE,
        check=False,
    )
    codes = {i["code"] for i in json.loads(done.stdout)["issues"]["issues"]}
    assert "NOT_INCLUDED" in codes


def test_figures_far_from_everybodys_are_named(rng):
    figures = pd.DataFrame(rng.normal(size=(40, 3)), columns=list("abc"))
    figures.loc[3, "a"] = 9.0
    figures.loc[[5, 6], "c"] = [-20.0, np.nan]
    found = quality_control.unusual(figures)
    assert (found[3], found[5]) == ("a (high)", "c (low)")
    assert pd.isna(found[6])
    # neither unit nor origin matters, and a constant is not far from itself
    moved = figures.assign(b=7.0) * 1000 - 3
    assert quality_control.unusual(moved).equals(found)


def test_a_second_time_prepares_only_what_changed(dataset, quick, tmp_path):
    study = bids.read(dataset)
    prepare_all(study, tmp_path / "out")
    before = content(tmp_path / "out")
    quick["T1"].clear()
    prepare_all(study, tmp_path / "out")
    assert quick["T1"] == []
    write_image(
        dataset / "sub-06/anat/sub-06_T1w.nii.gz", (10, 11, 12), value=6
    )
    records = prepare_all(study, tmp_path / "out")
    assert quick["T1"] == ["sub-06_T1w.nii.gz"]
    assert "reason" not in records["sub-06"]["pairs"][0]
    after = content(tmp_path / "out")
    assert {
        file: after[file] for file in before if "sub-06" not in str(file)
    } == {
        file: kept
        for file, kept in before.items()
        if "sub-06" not in str(file)
    }


def test_a_new_person_leaves_the_others_as_they_are(dataset, quick, tmp_path):
    prepare_all(bids.read(dataset), tmp_path / "out")
    quick["T1"].clear()
    name = "sub-00"  # before all others
    image = dataset / name / "anat" / f"{name}_T1w.nii.gz"
    series = dataset / name / "func" / f"{name}_task-rest_bold.nii.gz"
    write_image(image, (10, 11, 12), value=50)
    write_image(series, (10, 11, 12, 80), 2.0, value=51)
    with (dataset / "participants.tsv").open("a", encoding="utf-8") as table:
        table.write(f"{name}\tHC\n")
    study = bids.read(dataset)
    prepare_all(study, tmp_path / "out")
    assert quick["T1"] == ["sub-00_T1w.nii.gz"]
    table = quality_control.quality_table(study, tmp_path / "out")
    assert table["pair"].tolist() == study.pairs.index.tolist()
    assert table["participant_id"].equals(study.pairs["participant_id"])
    # another series of somebody: that person alone is not what was asked for
    write_image(
        series.with_name(f"{name}_task-rest_run-9_bold.nii.gz"),
        (10, 11, 12, 80),
        2.0,
        value=52,
    )
    with pytest.raises(ValueError, match="sub-00.*pairs found 1, expected 2"):
        quality_control.quality_table(bids.read(dataset), tmp_path / "out")


def test_an_interrupted_batch_ends_as_an_unbroken_one(
    dataset, quick, tmp_path, monkeypatch
):
    study = bids.read(dataset)
    prepare_all(study, tmp_path / "whole")
    save = nib.save

    def killed(nifti, file):
        if "sub-04" in str(file):
            raise KeyboardInterrupt
        save(nifti, file)

    monkeypatch.setattr(derivatives.nib, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare_all(study, tmp_path / "broken")
    left = sorted(p.name for p in (tmp_path / "broken").iterdir())
    assert left == ["sub-01", "sub-02", "sub-03"]
    monkeypatch.setattr(derivatives.nib, "save", save)
    prepare_all(study, tmp_path / "broken")
    assert content(tmp_path / "broken") == content(tmp_path / "whole")


def test_a_full_disk_stops_the_person_and_leaves_nothing(
    dataset, quick, tmp_path, monkeypatch
):
    def full(nifti, file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(derivatives.nib, "save", full)
    with pytest.raises(OSError, match="No space left"):
        prepare_all(bids.read(dataset), tmp_path / "out")
    assert content(tmp_path / "out") == {}


def test_the_cohort_holds_each_pair_in_its_row(dataset, quick, tmp_path):
    study = bids.read(dataset)
    prepare_all(study, tmp_path / "out")
    made = assembly.assemble(
        study,
        tmp_path / "out",
        tmp_path / "cohort",
        folds=2,
        holdout=["sub-01"],
    )
    assert made.modalities == ("T1", "fALFF")
    assert made.subjects.tolist() == [
        "sub-01",
        "sub-02",
        "sub-03",
        "sub-03",
        "sub-04",
        "sub-05",
    ]
    assert made.pairs["downstream"].tolist() == [1, 1, 1, 0, 1, 1]
    runs = [1, 1, 1, 2, 1, 1]
    for row, (name, run) in enumerate(zip(made.subjects, runs, strict=True)):
        file = dataset / name / "anat" / f"{name}_T1w.nii.gz"
        series = (
            dataset / name / "func" / f"{name}_task-rest_run-{run}_bold.nii.gz"
        )
        expected = {
            "T1": nib.load(file).get_fdata().mean(),
            "fALFF": 2 * nib.load(series).get_fdata().mean(),
        }
        for modality, value in expected.items():
            volume = np.asarray(made.volumes[modality][row])
            np.testing.assert_allclose(volume, value, rtol=1e-5)
    assert made.labels().tolist() == [1, 0, 1, 1, 0, 1]
    np.testing.assert_array_equal(made.affine, template.grid(SIZE))
    aside = pd.read_csv(tmp_path / "cohort/aside.tsv", sep="\t")
    assert aside["participant_id"].tolist() == ["sub-06"]
    flow = pd.read_csv(tmp_path / "cohort/flow.tsv", sep="\t")
    assert flow["pairs"].dropna().tolist() == [7, 6]


def test_registrations_and_exclusions_are_honoured(dataset, quick, tmp_path):
    study = bids.read(dataset)
    quick["status"] = {
        "sub-01_T1w.nii.gz": "failed",
        "sub-02_T1w.nii.gz": "doubtful",
    }
    prepare_all(study, tmp_path / "out")
    options = {"folds": 2, "holdout": 0.0}
    listed = tmp_path / "excluded.tsv"
    listed.write_text(
        "file\treason\n"
        "sub-03/func/sub-03_task-rest_run-2_bold.nii.gz\tghosts\n"
        "sub-06/anat/sub-06_T1w.nii.gz\tn/a\n",
        encoding="utf-8",
    )
    excluded = assembly.read_exclusions(study, listed)
    made = assembly.assemble(
        study, tmp_path / "out", tmp_path / "a", excluded=excluded, **options
    )
    people_left = made.participants.set_index("participant_id")
    assert people_left["registration"].to_dict() == {
        "sub-02": "doubtful",
        "sub-03": "registered",
        "sub-04": "registered",
        "sub-05": "registered",
    }
    # the second series of sub-03 was left out
    assert len(made) == 4
    reasons = pd.read_csv(tmp_path / "a/aside.tsv", sep="\t")["reason"]
    assert reasons.tolist()[:2] == ["registration failed", "ghosts"]
    assert "truncated" in reasons[2]
    with pytest.raises(ValueError, match="one class only"):
        assembly.assemble(
            study, tmp_path / "out", tmp_path / "b", "registered", **options
        )
    assert not (tmp_path / "b").exists()
    for outside in ("../secret.nii", "/etc/passwd", "sub-01/other.nii"):
        listed.write_text(f"file\n{outside}\n", encoding="utf-8")
        with pytest.raises(ValueError, match="excluded.tsv: 1 of 1 files are"):
            assembly.read_exclusions(study, listed)


def test_who_is_not_prepared_is_named(dataset, quick, tmp_path):
    study = bids.read(dataset)
    prepare_all(study, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "sub-04")
    with pytest.raises(ValueError, match="sub-04.*the person is not prepared"):
        assembly.assemble(study, tmp_path / "out", tmp_path / "cohort")
    with pytest.raises(ValueError, match="'sub-07' found in no pair"):
        derivatives.prepare_person(study, "sub-07", tmp_path / "out")
    assert not (tmp_path / "cohort").exists()


def test_what_was_changed_by_hand_is_not_used(dataset, quick, tmp_path):
    study = bids.read(dataset)
    prepare_all(study, tmp_path / "out")
    (map_,) = (tmp_path / "out/sub-02").rglob("*_boldmap.nii.gz")
    kept = map_.read_bytes()
    nifti = nib.load(map_)
    nib.save(nib.Nifti1Image(nifti.get_fdata() + 1, nifti.affine), map_)
    with pytest.raises(ValueError, match="boldmap.nii.gz: was changed"):
        assembly.assemble(
            study, tmp_path / "out", tmp_path / "a", folds=2, holdout=0.0
        )
    map_.write_bytes(kept)
    record = tmp_path / "out/sub-02" / derivatives.RECORD
    record.write_text(record.read_text().replace("registered", "failed"))
    with pytest.raises(ValueError, match="prepared.json: was changed"):
        quality_control.quality_table(study, tmp_path / "out")
    assert not (tmp_path / "a").exists()


def test_repetition_times_that_contradict_are_a_reason(
    dataset, quick, tmp_path
):
    study = bids.read(dataset)
    study.pairs["fALFF_repetition_time"] = 2.5
    record = derivatives.prepare_person(study, "sub-01", tmp_path, size=SIZE)
    assert "repetition time" in record["pairs"][0]["reason"]


def test_a_lesion_on_the_left_stays_on_the_left(tmp_path):
    """Planted in a raw T1 by its true place, found in the cohort's array."""
    source = tmp_path / "source"
    raw.write_raw_people(source, 1, seed=4, design=images.Design())
    (t1,) = source.rglob("*_T1w.nii.gz")
    file = source / "derivatives/truth/sub-01/truth.json"
    truth = json.loads(file.read_text(encoding="utf-8"))
    centre = np.array([-38.0, -22.0, 12.0])  # MNI mm
    native = space.apply(np.array(truth["similarity"]), centre[None])[0]
    nifti = nib.load(t1)
    values = nifti.get_fdata(dtype=np.float32)
    voxels = np.indices(values.shape).reshape(3, -1).T
    away = np.linalg.norm(space.apply(nifti.affine, voxels) - native, axis=1)
    values[(away < 12).reshape(values.shape)] = 3 * values.max()
    target = tmp_path / "dataset/sub-x/anat/sub-x_T1w.nii.gz"
    target.parent.mkdir(parents=True)
    nib.save(nib.Nifti1Image(values, nifti.affine), target)

    study = bids.read(tmp_path / "dataset", {"T1": "T1w"})
    record = derivatives.prepare_person(study, "sub-x", tmp_path, size=32)
    (pair,) = record["pairs"]
    assert pair["registration"] != "failed"
    made = nib.load(tmp_path / "sub-x" / pair["volumes"]["T1"])
    bright = np.argwhere(made.get_fdata() > 0.7 * made.get_fdata().max())
    found = space.apply(made.affine, bright).mean(axis=0)
    assert np.linalg.norm(found - centre) < 6
