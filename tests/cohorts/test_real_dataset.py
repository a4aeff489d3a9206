"""Real people as a small BIDS dataset: one with a T1 and a series, four with a
T1 alone, sixty-eight in the table without an image.
"""

import shutil

import numpy as np
import pandas as pd
import pytest
from page_in_process import LEAST, empty_project, run_page, text_of

from mmssl.cohorts import __main__ as command
from mmssl.cohorts import cohort

SERIES = "sub-f02/func/sub-f02_task-oneback_run-1_bold.nii.gz"


@pytest.fixture
def dataset(real_data, tmp_path):
    """Both datasets in one folder; the person of studyforrest, whose id is
    taken, is sub-f02.
    """
    root = tmp_path / "dataset"
    shutil.copytree(real_data / "ds002748_T1w_brain", root)
    source = real_data / "studyforrest_sub-02"
    for file in source.glob("*/sub-02_*"):
        kind = file.parent.name
        target = (
            root / "sub-f02" / kind / file.name.replace("sub-02", "sub-f02")
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    table = root / "participants.tsv"
    people = pd.read_csv(table, sep="\t", dtype=str, keep_default_na=False)
    row = dict.fromkeys(people.columns, "n/a")
    row |= {"participant_id": "sub-f02", "group": "control"}
    people = pd.concat([people, pd.DataFrame([row])])
    people.to_csv(table, sep="\t", index=False)
    return root


@pytest.mark.slow
def test_who_has_no_series_is_reported_and_the_rest_goes_on(
    dataset, tmp_path, capsys
):
    words = ["bids", str(dataset), str(tmp_path / "a"), "--size", "32"]
    words += ["--jobs", "2", "--folds", "2", "--holdout", "0"]
    # by default the series at rest: here there is none
    assert command.main(words) == 2
    said = capsys.readouterr().err
    assert "nobody has a pair; images found 5 of T1, 0 of fALFF" in said

    words += ["--task", "oneback", "--prepared", str(tmp_path / "prepared")]
    assert command.main(words) == 2
    said = capsys.readouterr()
    assert "68 no image: expected T1w, bold" in said.out
    assert "4 no pair: found 1 of T1, 0 of fALFF" in said.out
    # before anybody is prepared
    assert "1 participants outside the hold-out, fewer than 2" in said.err

    assert command.main([*words, "--incomplete"]) == 0
    said = capsys.readouterr().out
    assert "of these without fALFF             4" in said
    made = cohort.load(tmp_path / "a")
    assert made.lacking() == "4 without fALFF" and len(made) == 5
    (pair,) = np.flatnonzero(made.present())
    assert made.subjects[pair] == "sub-f02"
    quality = pd.read_csv(tmp_path / "a/quality.tsv", sep="\t")
    assert quality["file_fALFF"].dropna().tolist() == [SERIES]
    assert set(quality["registration"]) <= {"registered", "doubtful"}
    shown = made.volumes["fALFF"][pair][made.mask]
    assert np.mean(shown > 0) > 0.8 and shown.max() < 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_pages_go_as_far_as_five_people_allow(dataset, tmp_path, monkeypatch):
    """The T1s of the dataset and an encoder of them; that nobody is left to
    be tested is told.
    """
    shown = empty_project(tmp_path, monkeypatch)
    options = "--size 32 --folds 2 --holdout 0 --modalities T1"
    run_page(
        "15_dataset",
        {
            "root": "dataset",
            "prepared": "prepared",
            "cohort": "cohort",
            "output": "results",
            "options": options,
            "jobs": 2,
        },
        shown,
    )
    common = {"cohort": "cohort", "runs": "runs", "output": "results"}
    run = {"cohort": "cohort", "run_dir": "runs/CR-AE-fold0-seed0"}
    small = {**LEAST["03_pretraining"], "batch_size": 2}
    run_page("03_pretraining", {**small, **run, "objective": "CR-AE"}, shown)
    texts = " ".join(map(text_of, shown))
    assert "no image: expected T1w" in texts and "sub-f02" not in texts
    assert "5 people with 5 pairs" in texts
    values = {**LEAST["04_linear_evaluation"], "target": ""}
    with pytest.raises(ValueError, match="hold one class only|at least two"):
        run_page("04_linear_evaluation", {**values, **common}, shown)
