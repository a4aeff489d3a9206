"""People who lack a modality stay, from a dataset to the rows that an
evaluation reads.
"""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from page_in_process import empty_project, run_page, text_of
from small_dataset import write_dataset

from mmssl import plotting
from mmssl.cohorts import (
    __main__,
    assembly,
    bids,
    cohort,
    derivatives,
    quality_control,
)
from mmssl.cohorts.study import first_whole, nearest_pairs, table_of_images
from mmssl.ledger import leakage

SIZE = 16


@pytest.fixture
def dataset(tmp_path):
    """Of six people: sub-01 has no series, that of sub-02 is cut short, the
    T1 of sub-06 is.
    """
    root = tmp_path / "dataset"
    write_dataset(root)
    for series in (root / "sub-01" / "func").iterdir():
        series.unlink()
    (series,) = (root / "sub-02" / "func").glob("*.nii.gz")
    series.write_bytes(series.read_bytes()[:-200])
    return root


def prepare_all(study, folder):
    return {
        name: derivatives.prepare_person(study, name, folder, size=SIZE)
        for name in study.participants["participant_id"]
    }


def test_who_has_no_series_stays_where_asked_for(dataset, quick, tmp_path):
    assert "sub-01" not in set(bids.read(dataset).pairs["participant_id"])
    study = bids.read(dataset, incomplete=True)
    steps = study.flow.set_index("step")["pairs"]
    assert steps["closest pairs"] == 7
    assert steps["of these without fALFF"] == 1
    records = prepare_all(study, tmp_path / "out")
    (alone,) = records["sub-01"]["pairs"]
    assert alone["files"] == {"T1": "sub-01/anat/sub-01_T1w.nii.gz"}
    assert set(alone["volumes"]) == {"T1"} and "lacks" not in alone
    (short,) = records["sub-02"]["pairs"]
    assert set(short["volumes"]) == {"T1"}
    assert "bold.nii.gz" in short["lacks"]["fALFF"]
    assert "reason" in records["sub-06"]["pairs"][0]


def test_the_cohort_says_who_lacks_what(dataset, quick, tmp_path):
    study = bids.read(dataset, incomplete=True)
    prepare_all(study, tmp_path / "out")
    excluded = {"sub-05/func/sub-05_task-rest_run-1_bold.nii.gz": "ghosts"}
    made = assembly.assemble(
        study,
        tmp_path / "out",
        tmp_path / "cohort",
        excluded=excluded,
        folds=2,
        holdout=0.0,
    )
    people = ["sub-01", "sub-02", "sub-03", "sub-03", "sub-04", "sub-05"]
    assert made.subjects.tolist() == people
    there = [False, False, True, True, True, False]
    assert made.present("fALFF").tolist() == there
    assert made.present().tolist() == there
    assert made.present("T1").all() and "has_T1" not in made.pairs
    for row, is_there in enumerate(there):
        assert made.volumes["fALFF"][row].any() == is_there
        assert made.volumes["T1"][row].any()
    assert made.lacking() == "3 without fALFF"
    assert made.lacking([2, 4]) == ""
    assert "fALFF (3 lack it)" in repr(made)
    flow = pd.read_csv(tmp_path / "cohort/flow.tsv", sep="\t")
    assert flow["step"].iloc[-1] == "of these without fALFF"
    assert flow["pairs"].iloc[-1] == 3
    aside = pd.read_csv(tmp_path / "cohort/aside.tsv", sep="\t")
    assert sorted(aside["participant_id"]) == [
        "sub-01",
        "sub-02",
        "sub-05",
        "sub-06",
    ]
    quality = quality_control.quality_table(study, tmp_path / "out")
    reasons = quality_control.reasons(study, quality)
    assert reasons["number"].sum() == 3
    assert not reasons["reason"].str.contains("sub-0").any()


def test_who_changes_their_mind_prepares_anew_who_it_is_about(
    dataset, quick, tmp_path
):
    strict = bids.read(dataset)
    lenient = bids.read(dataset, incomplete=True)
    prepare_all(strict, tmp_path / "out")
    quick["T1"].clear()
    records = prepare_all(lenient, tmp_path / "out")
    # sub-01 is new; which image of sub-06 is damaged was not on record
    tried = {"sub-01_T1w.nii.gz", "sub-02_T1w.nii.gz", "sub-06_T1w.nii.gz"}
    assert set(quick["T1"]) == tried
    quick["T1"].clear()
    assert prepare_all(lenient, tmp_path / "out") == records
    assert quick["T1"] == []
    records = prepare_all(strict, tmp_path / "out")
    assert set(quick["T1"]) <= {"sub-02_T1w.nii.gz"}
    assert "reason" in records["sub-02"]["pairs"][0]


def test_a_command_keeps_them(dataset, quick, tmp_path, capsys):
    words = ["bids", str(dataset), str(tmp_path / "a"), "--size", str(SIZE)]
    words += ["--folds", "2", "--holdout", "0"]
    assert __main__.main([*words, "--incomplete"]) == 0
    assert "(2 lack it)" in capsys.readouterr().out
    assert len(cohort.load(tmp_path / "a")) == 6


def test_nobody_with_a_modality_is_an_error(dataset, quick, tmp_path):
    study = bids.read(dataset, incomplete=True)
    prepare_all(study, tmp_path / "out")
    excluded = dict.fromkeys(study.pairs["fALFF"].dropna(), "ghosts")
    with pytest.raises(ValueError, match="no pair left has an image of fALFF"):
        assembly.assemble(
            study, tmp_path / "out", tmp_path / "a", excluded=excluded, folds=2
        )
    assert not (tmp_path / "a").exists()


def test_a_series_too_far_away_is_one_that_is_lacked():
    images = table_of_images(
        [
            ("sub-1", "d0", 0, "T1", "a", np.nan),
            ("sub-1", "d9", 9, "fALFF", "b", 2.0),
            ("sub-2", "d0", 0, "T1", "c", np.nan),
            ("sub-2", "d5", 5, "T1", "d", np.nan),
            ("sub-2", "d6", 6, "fALFF", "e", 2.0),
            ("sub-3", "d0", 0, "fALFF", "f", 2.0),
        ]
    )
    pairs = nearest_pairs(images, ("T1", "fALFF"), 5, incomplete=True)
    assert pairs["T1"].tolist() == ["a", "c", "d"]
    assert pairs["fALFF"].isna().tolist() == [True, True, False]
    # of the second person the whole pair
    assert pairs["downstream"].tolist() == [1, 0, 1]
    whole = nearest_pairs(images, ("T1", "fALFF"), 5)
    assert whole["T1"].tolist() == ["d"]


def test_the_first_whole_pair_of_each_person():
    people = pd.Series(["a", "a", "b", "b", "c"], index=[7, 3, 5, 9, 1])
    whole = pd.Series([False, True, True, True, False], index=people.index)
    assert first_whole(people, whole).tolist() == [0, 1, 1, 0, 1]


def test_the_first_whole_pair_of_many_people_is_the_loops(rng):
    """More pairs than a sort keeps in order by chance."""
    people = pd.Series(rng.integers(0, 40, 300))
    whole = pd.Series(rng.random(300) < 0.5)
    expected = np.zeros(300, int)
    for person in range(40):
        own = np.flatnonzero(people == person)
        own_whole = own[whole[own]]
        expected[own_whole[0] if len(own_whole) else own[0]] = 1
    assert first_whole(people, whole).tolist() == expected.tolist()


@pytest.fixture
def made(dataset, quick, tmp_path):
    """A cohort in which sub-01 and sub-02 lack the series."""
    study = bids.read(dataset, incomplete=True)
    prepare_all(study, tmp_path / "out")
    return assembly.assemble(
        study, tmp_path / "out", tmp_path / "cohort", folds=2, holdout=0.0
    )


def test_an_evaluation_reads_who_has_the_images(made):
    rows = np.arange(len(made))
    assert made.subjects[made.one_each(rows)].tolist() == [
        "sub-03",
        "sub-04",
        "sub-05",
    ]
    for asked in ("T1", ("T1",), ()):
        found = made.downstream(rows, modalities=asked)
        assert len(found) == 5
    assert len(made.downstream(rows, modalities=("T1", "fALFF"))) == 3


def test_what_is_not_there_is_no_image_of_anybody(made):
    """Two empty rows are not the same image twice."""
    hashes = made.image_hashes([0, 1, 2])
    assert set(hashes) == {"T1[0]", "T1[1]", "T1[2]", "fALFF[2]"}
    leakage.check_disjoint(made, {"train": [0], "holdout": [1]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"has_fALFF": 2}, r"pairs.tsv: column has_fALFF holds \[2"),
        (
            {"has_fALFF": 0, "has_T1": 0},
            "pairs.tsv: 6 rows have no image of any modality, first in lines",
        ),
        ({"has_T1": 0}, r"T1.npy: row 2 \(sub-03\) holds an image, but has_"),
    ],
)
def test_what_the_table_says_is_what_the_arrays_hold(change, message, made):
    from small_cohort import rehash

    file = made.path / "pairs.tsv"
    table = pd.read_csv(file, sep="\t")
    for column, value in change.items():
        table[column] = value
        if value == 0 and len(change) == 1:
            table.loc[:1, column] = 1
    table.to_csv(file, sep="\t", index=False)
    rehash(made.path)
    with pytest.raises(ValueError, match=message):
        cohort.load(made.path)


def test_a_table_without_the_column_is_a_cohort_in_which_nobody_lacks(made):
    fields = json.loads((made.path / "cohort.json").read_text())
    assert fields["format"] == cohort.FORMAT
    table = made.pairs.drop(columns="has_fALFF")
    again = cohort.write(
        made.path.with_name("again"),
        name="again",
        kind="test",
        volumes={m: np.array(made.volumes[m]) for m in made.modalities},
        participants=made.participants,
        pairs=table,
    )
    assert again.present().all() and again.lacking() == ""


def page_values(**more):
    return {
        "root": "dataset",
        "prepared": "prepared",
        "options": f"--size {SIZE} --folds 2 --holdout 0 --incomplete",
        "output": "results",
        "cohort": "cohort",
        **more,
    }


def test_the_page_of_a_dataset_shows_who_lacks_a_series(
    dataset, quick, tmp_path, monkeypatch
):
    """Among those least like the template too."""
    shown = empty_project(tmp_path, monkeypatch)
    run_page("15_dataset", page_values(shown=6), shown)
    texts = " ".join(map(text_of, shown))
    assert "of these without fALFF" in texts and "sub-0" not in texts
    made = cohort.load(tmp_path / "cohort")
    assert made.lacking() == "2 without fALFF"
    reasons = pd.read_csv(tmp_path / "results/dataset_reasons.tsv", sep="\t")
    assert "no image of fALFF near it" in set(reasons["reason"])
    kept = pd.read_csv(tmp_path / "prepared/quality.tsv", sep="\t")
    assert kept["file_T1"].notna().all()
    assert kept["file_fALFF"].isna().sum() == 1


def test_a_page_with_other_options_than_the_cohorts_is_refused(
    dataset, quick, tmp_path, monkeypatch
):
    """Its rows would be other people's."""
    shown = empty_project(tmp_path, monkeypatch)
    run_page("15_dataset", page_values(), shown)
    otherwise = f"--size {SIZE} --folds 2 --holdout 0"
    message = "made of 7 pairs of images, found are 6.*--incomplete"
    with pytest.raises(ValueError, match=message):
        run_page("15_dataset", page_values(options=otherwise), shown)


def test_a_study_of_as_many_other_pairs_is_not_the_cohorts(dataset, made):
    study = bids.read(dataset, incomplete=True)
    assembly.check_study(study, made)
    swapped = study.pairs.assign(fALFF=study.pairs["fALFF"].to_numpy()[::-1])
    for pairs in (swapped, study.pairs[::-1]):
        with pytest.raises(ValueError, match="7, not the same ones"):
            assembly.check_study(replace(study, pairs=pairs), made)


def test_a_series_left_out_by_eye_keeps_its_reason(dataset, quick, tmp_path):
    study = bids.read(dataset, incomplete=True)
    prepare_all(study, tmp_path / "out")
    file = "sub-05/func/sub-05_task-rest_run-1_bold.nii.gz"
    made = assembly.assemble(
        study,
        tmp_path / "out",
        tmp_path / "cohort",
        excluded={file: "signal dropout"},
        folds=2,
        holdout=0.0,
    )
    quality = pd.read_csv(tmp_path / "cohort/quality.tsv", sep="\t")
    lacks = quality.set_index("participant_id")["lacks"]
    assert lacks["sub-05"] == "signal dropout"
    assert lacks["sub-01"] == "no image of fALFF near it"
    assert "bold.nii.gz" in lacks["sub-02"] and pd.isna(lacks["sub-04"])
    aside = pd.read_csv(tmp_path / "cohort/aside.tsv", sep="\t")
    assert "signal dropout" in set(aside["reason"])
    assembly.check_study(study, made)


def test_unusual_figures_are_marked_in_their_own_axis(rng):
    figures = pd.DataFrame(rng.normal(size=(40, 2)), columns=["dice", "snr"])
    figures.loc[3, "dice"] = -20.0
    figures.loc[[3, 7], "snr"] = 20.0  # the same person's too
    unusual = quality_control.unusual(figures)
    figure = plotting.quality_distributions(figures, unusual)
    marked = {
        axis.get_title("left"): [text.get_text() for text in axis.texts]
        for axis in figure.axes
        if axis.get_title("left")
    }
    assert marked == {"dice": ["3"], "snr": ["3", "7"]}
