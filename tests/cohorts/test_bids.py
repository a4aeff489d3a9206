"""BIDS datasets on generated folders."""

import pytest

from mmssl.cohorts import bids
from mmssl.cohorts.study import group_counts

PEOPLE = (
    ("participant_id", "age", "sex", "diagnosis"),
    ("sub-01", "30", "F", "control"),
    ("sub-02", "41", "M", "patient"),
    ("sub-03", "n/a", "M", "patient"),
    ("sub-04", "50", "F", "NA"),
    ("sub-05", "55", "F", "control"),
)
FILES = (
    "sub-01/anat/sub-01_T1w.nii.gz",
    "sub-01/func/sub-01_task-rest_run-1_bold.nii.gz",
    "sub-01/func/sub-01_task-rest_run-2_bold.nii.gz",
    "sub-01/func/sub-01_task-nback_bold.nii.gz",
    "sub-02/ses-a/anat/sub-02_ses-a_T1w.nii.gz",
    "sub-02/ses-b/anat/sub-02_ses-b_T1w.nii.gz",
    "sub-02/ses-b/func/sub-02_ses-b_task-rest_bold.nii.gz",
    "sub-03/anat/sub-03_T1w.nii.gz",
    "sub-04/anat/sub-04_T1w.nii",
    "sub-04/func/sub-04_task-rest_echo-1_part-mag_bold.nii",
    "sub-04/func/sub-04_task-rest_echo-2_part-mag_bold.nii",
    "sub-04/func/sub-04_task-rest_echo-1_part-phase_bold.nii",
    "sub-06/anat/sub-06_T1w.nii.gz",
    "sub-06/func/sub-06_task-rest_bold.nii.gz",
)
COLUMNS = {"group": "diagnosis", "age": "age", "sex": "sex"}


def write_table(file, rows):
    lines = ["\t".join(row) for row in rows]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def make(folder, people=PEOPLE, files=FILES):
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    write_table(folder / "participants.tsv", people)
    return folder


def test_people_pairs_and_what_is_set_aside(tmp_path):
    study = bids.read(make(tmp_path / "ds"), columns=COLUMNS)
    people = study.participants.set_index("participant_id")
    # a label that looks like a missing value is one of the labels
    assert people["group"].to_dict() == {
        "sub-01": "control",
        "sub-02": "patient",
        "sub-04": "NA",
    }
    files = study.pairs.groupby("participant_id")["fALFF"].count()
    assert files.to_dict() == {"sub-01": 2, "sub-02": 1, "sub-04": 1}
    pair = study.pairs[study.pairs["participant_id"] == "sub-02"].iloc[0]
    assert pair["session"] == "b"
    reasons = study.aside.set_index("participant_id")["reason"]
    assert reasons["sub-03"] == "no pair: found 1 of T1, 0 of fALFF"
    assert reasons["sub-05"].startswith("no image")
    assert reasons["sub-06"] == "not in participants.tsv"
    assert sorted(reasons["sub-04"]) == [
        "echo-2, expected the first echo",
        "part-phase, expected the magnitude",
    ]
    assert study.flow["participants"].tolist() == [5, 4, 3]


def test_classes_are_chosen_and_others_ignored(tmp_path):
    folder = make(tmp_path / "ds")
    study = bids.read(folder, columns=COLUMNS, classes=["control", "patient"])
    assert study.tasks == {
        "group": {
            "column": "group",
            "classes": ["control", "patient"],
            "ignored": ["NA"],
        }
    }
    with pytest.raises(ValueError, match="nobody with a pair is 'HC'; found"):
        bids.read(folder, columns=COLUMNS, classes=["HC", "patient"])


def test_any_number_of_modalities(tmp_path):
    folder = make(tmp_path / "ds")
    alone = bids.read(folder, {"T1": "T1w"}, columns=COLUMNS)
    assert alone.modalities == ("T1",)
    # two sessions of sub-02, and sub-03, who has no series
    assert len(alone.pairs) == 5
    for person in ("01", "02", "04"):
        session = "ses-b" if person == "02" else "."
        stem = f"sub-{person}" + ("_ses-b" if person == "02" else "")
        file = folder / f"sub-{person}" / session / "perf" / f"{stem}_asl.nii"
        file.parent.mkdir(parents=True)
        file.touch()
    three = {"T1": "T1w", "fALFF": "bold", "ASL": "asl"}
    study = bids.read(folder, three, columns=COLUMNS)
    assert study.modalities == ("T1", "fALFF", "ASL")
    assert study.pairs["ASL"].str.contains("_asl").all()
    assert len(study.pairs) == 4


def test_days_come_from_the_table_of_sessions(tmp_path):
    folder = make(tmp_path / "ds")
    file = folder / "sub-02/ses-a/func/sub-02_ses-a_task-rest_bold.nii.gz"
    file.parent.mkdir()
    rows = [("session_id", "acq_time")]
    rows += [
        ("ses-a", "1900-01-01T09:00:00"),
        ("ses-b", "1900-02-10T01:00:00"),
    ]
    write_table(folder / "sub-02/sub-02_sessions.tsv", rows)
    pairs = bids.read(folder, columns=COLUMNS).pairs
    own = pairs[pairs["participant_id"] == "sub-02"]
    # both T1s go with the only series, 40 days apart and on one day
    assert own["T1_day"].tolist() == [0, 40]
    assert own["fALFF_day"].tolist() == [40, 40]
    near = bids.read(folder, columns=COLUMNS, most_days=7).pairs
    assert (near["participant_id"] == "sub-02").sum() == 1


@pytest.mark.parametrize("name", ["ds 1", "ds.v1", "ds[1]", "été", "sub-9"])
def test_folders_of_any_name(tmp_path, name):
    study = bids.read(make(tmp_path / name), columns=COLUMNS)
    assert len(study.pairs) == 4
    assert study.root == tmp_path / name
    assert (study.root / study.pairs["T1"][0]).is_file()


def test_a_folder_that_changed_is_read_anew(tmp_path):
    folder = make(tmp_path / "ds")
    before = bids.read(folder, columns=COLUMNS)
    (folder / "sub-03/func").mkdir()
    (folder / "sub-03/func/sub-03_task-rest_bold.nii.gz").touch()
    after = bids.read(folder, columns=COLUMNS)
    assert len(after.pairs) == len(before.pairs) + 1


def test_bad_datasets_are_refused(tmp_path):
    with pytest.raises(ValueError, match="found no folder sub-"):
        bids.read(tmp_path)
    folder = make(tmp_path / "ds")
    with pytest.raises(ValueError, match="no image with a suffix of T2w"):
        bids.read(folder, {"T2": "T2w"}, columns=COLUMNS)
    message = r"participants.tsv: missing columns: group; found .*diagnosis"
    with pytest.raises(ValueError, match=message):
        bids.read(folder, columns={"group": "group"})
    make(folder, people=[*PEOPLE, PEOPLE[1]])
    with pytest.raises(ValueError, match="1 of 6 rows name somebody a second"):
        bids.read(folder, columns=COLUMNS)


def test_without_a_table_of_participants_nobody_has_a_group(tmp_path):
    folder = make(tmp_path / "ds")
    (folder / "participants.tsv").unlink()
    study = bids.read(folder)
    assert study.tasks == {}
    assert study.participants["group"].isna().all()
    assert len(study.participants) == 4


def test_ten_thousand_rows_of_participants(tmp_path):
    rows = [(f"sub-{i:05d}", "50", "F", "control") for i in range(10_000)]
    people = [PEOPLE[0], *PEOPLE[1:], *rows]
    study = bids.read(make(tmp_path / "ds", people), columns=COLUMNS)
    assert len(study.participants) == 3
    reasons = study.aside["reason"].value_counts()
    assert reasons["no image: expected T1w, bold"] == 10_001


def test_series_of_another_task_are_set_aside_with_it(tmp_path):
    study = bids.read(make(tmp_path / "ds"), columns=COLUMNS)
    reasons = study.aside.dropna(subset="file").set_index("file")["reason"]
    assert reasons[FILES[3]] == "task-nback, expected task-rest"
    every = bids.read(tmp_path / "ds", columns=COLUMNS, task=None)
    assert FILES[3] in set(every.pairs["fALFF"])


def test_nobody_with_both_is_an_error_that_says_what_there_is(tmp_path):
    make(tmp_path / "ds", files=[FILES[0], FILES[3], FILES[7]])
    with pytest.raises(ValueError, match="2 of T1, 0 of fALFF.*task 'rest'"):
        bids.read(tmp_path / "ds")
    only = make(tmp_path / "series", files=[FILES[3]])
    with pytest.raises(ValueError, match=r"\(task-nback\), expected files"):
        bids.read(only, {"fALFF": "bold"})


def test_nobody_loses_a_label_to_a_typing_mistake(tmp_path):
    people = [*PEOPLE]
    people[2] = ("sub-02", "41", "M", "Control ")
    root = make(tmp_path / "ds", people)
    with pytest.raises(
        ValueError, match="diagnosis: .*'Control ': 1.*one spe"
    ):
        bids.read(root, columns=COLUMNS)


def test_an_empty_cell_is_no_group(tmp_path):
    people = [*PEOPLE]
    people[1] = ("sub-01", "30", "F", "")
    study = bids.read(make(tmp_path / "ds", people), columns=COLUMNS)
    assert study.participants["group"].isna().tolist() == [True, False, False]
    assert study.tasks["group"]["classes"] == ["NA", "patient"]
    text = "group: NA 1, patient 1; not told apart: without a label 1"
    assert group_counts(study) == text
