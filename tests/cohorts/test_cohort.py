"""The cohort folder: what is written is read, and what disagrees is named."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmssl.cohorts.cohort import load, write
from mmssl.ledger.hashes import hash_file

SIDE = (8, 8, 8)


def parts(rng, people=10):
    """Tables and volumes of a small cohort in which every even person has two
    pairs.
    """
    ids = [f"p{k}" for k in range(people)]
    subjects = []
    for k, name in enumerate(ids):
        subjects += [name] * (2 - k % 2)
    groups = [("HC", "AD", "other")[k % 3] for k in range(people)]
    participants = pd.DataFrame({"participant_id": ids, "group": groups})
    first = ~pd.Series(subjects).duplicated()
    pairs = pd.DataFrame(
        {
            "pair": range(len(subjects)),
            "participant_id": subjects,
            "session": 1,
            "day": 0,
            "downstream": first.astype(int),
        }
    )
    volumes = {}
    for modality in ("T1", "fALFF"):
        values = rng.random((len(pairs), *SIDE))
        volumes[modality] = values.astype(np.float16)
    splits = {
        "seed": 0,
        "holdout": ids[:2],
        "shift": ids[2:3],
        "folds": [
            {"train": ids[3:7], "valid": ids[7:]},
            {"train": ids[6:], "valid": ids[3:6]},
        ],
    }
    return dict(
        name="small",
        kind="test",
        volumes=volumes,
        participants=participants,
        pairs=pairs,
        splits=splits,
        mask=np.ones(SIDE, bool),
        tasks={
            "diagnosis": {
                "column": "group",
                "classes": ["HC", "AD"],
                "ignored": ["other"],
            }
        },
    )


@pytest.fixture
def small(tmp_path, rng, affine):
    return write(tmp_path / "small", **parts(rng), affine=affine, seed=7)


def test_what_is_written_is_read(small, rng, affine):
    expected = parts(np.random.default_rng(0))
    for m, values in expected["volumes"].items():
        assert isinstance(small.volumes[m], np.memmap)
        np.testing.assert_array_equal(small.volumes[m], values)
    np.testing.assert_array_equal(small.affine, affine)
    assert small.dims == 3 and small.size == 8
    assert small.channels == {"T1": 1, "fALFF": 1}
    assert small.modalities == ("T1", "fALFF")
    assert len(small) == 15 and small.seed == 7
    assert small.hashes["T1.npy"] == hash_file(small.path / "T1.npy")


def test_roles_and_labels_against_a_loop(small):
    for role, fold in [
        ("train", 0),
        ("train", 1),
        ("valid", 1),
        ("holdout", 0),
        ("shift", 0),
    ]:
        side = small.splits
        if role in ("train", "valid"):
            side = small.splits["folds"][fold]
        slow = [i for i, s in enumerate(small.subjects) if s in side[role]]
        assert small.rows(role, fold).tolist() == slow
        assert small.rows(role, fold).dtype == np.int64
    assert small.rows("train", 0).tolist() != small.rows("train", 1).tolist()
    code = {"HC": 0, "AD": 1, "other": -1}
    group = dict(small.participants[["participant_id", "group"]].to_numpy())
    assert small.labels().tolist() == [code[group[s]] for s in small.subjects]
    chosen = small.downstream(np.arange(len(small)))
    labelled = [name for name in group if group[name] != "other"]
    assert sorted(small.subjects[chosen]) == sorted(labelled)


def with_group(rng, values, classes, ignored=()):
    """Parts of a small cohort whose task reads these values in turn."""
    content = parts(rng)
    people = content["participants"]
    turns = np.arange(len(people)) % len(values)
    people["group"] = np.array(values, dtype=object)[turns]
    content["tasks"] = {
        "diagnosis": {
            "column": "group",
            "classes": classes,
            "ignored": list(ignored),
        }
    }
    return content


@pytest.mark.parametrize(
    ("values", "classes", "codes"),
    [
        (["None", "NA"], ["None", "NA"], [0, 1]),
        (["nan", "NULL", "n/a"], ["nan", "NULL"], [0, 1, -1]),
        (["1", "2", "n/a"], [1, 2], [0, 1, -1]),
        ([1.0, 2.0, np.nan], [1, 2], [0, 1, -1]),
        (["01", "1"], ["01", "1"], [0, 1]),
        (["TRUE", "FALSE"], ["TRUE", "FALSE"], [0, 1]),
        (["FALSE", "TRUE", "n/a"], ["TRUE", "FALSE"], [1, 0, -1]),
        ([True, False, None], [True, False], [0, 1, -1]),
        (["1e3", "inf"], ["inf", "1e3"], [1, 0]),
    ],
)
def test_a_label_is_read_as_it_stands(tmp_path, rng, values, classes, codes):
    cohort = write(tmp_path / "c", **with_group(rng, values, classes))
    row_of = {f"p{k}": k for k in range(10)}
    expected = [codes[row_of[s] % len(codes)] for s in cohort.subjects]
    assert cohort.labels().tolist() == expected


def test_a_person_may_be_called_na(tmp_path, rng):
    content = parts(rng)
    names = {"p4": "NA", "p7": "None", "p8": "0012"}
    content["participants"] = content["participants"].replace(names)
    content["pairs"] = content["pairs"].replace(names)
    text = json.dumps(content["splits"])
    for old, new in names.items():
        text = text.replace(f'"{old}"', f'"{new}"')
    content["splits"] = json.loads(text)
    cohort = write(tmp_path / "c", **content)
    assert {"NA", "None", "0012"} < set(cohort.subjects)
    assert len(cohort.rows("train")) == 6


@pytest.mark.parametrize(
    ("values", "classes", "message"),
    [
        (
            ["HC", "AD", "MCI"],
            ["HC", "AD"],
            r"column 'group': 3 values are no class of task 'diagnosis': "
            r"\{'MCI': 3\}, first in lines \[4, 7, 10\]; expected "
            r"\['HC', 'AD'\]",
        ),
        (["HC", "AD "], ["HC", "AD"], r"\{'AD ': 5\}"),
        (["HC", ""], ["HC", "AD"], r"\{'': 5\}"),
        (["HC", "other"], ["hc", "AD"], r"\{'HC': 5, 'other': 5\}"),
        (
            ["HC", "n/a"],
            ["HC", "AD"],
            r"nobody is in the classes \['AD'\] of task 'diagnosis'; found "
            r"\{'HC': 5\}",
        ),
        (["HC", "AD"], ["HC", "HC", "AD"], "expected every name once"),
    ],
)
def test_a_value_that_is_no_class_is_named(
    tmp_path, rng, values, classes, message
):
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "c", **with_group(rng, values, classes))
    assert list(tmp_path.iterdir()) == []


def test_a_column_is_numbers_only_where_all_of_it_is(tmp_path, rng):
    content = parts(rng)
    people = content["participants"]
    people["age"] = [70.1, np.nan, *np.linspace(60, 80, 8).round(1)]
    people["site"] = ["01", "2", "NA"] + ["n/a"] * 7
    people["smokes"] = ["TRUE", "FALSE"] * 5
    people["drug"] = ["NA", None] * 5
    cohort = write(tmp_path / "c", **content)
    table = cohort.participants
    np.testing.assert_array_equal(table["age"], people["age"])
    assert table["site"][:3].tolist() == ["01", "2", "NA"]
    assert table["site"].isna().sum() == 7
    assert table["smokes"].tolist() == ["TRUE", "FALSE"] * 5
    assert table["drug"].dropna().tolist() == ["NA"] * 5
    text = (cohort.path / "participants.tsv").read_text()
    assert "\tn/a" in text and "\t\t" not in text


def test_a_cohort_is_shown_in_one_line(small):
    assert repr(small) == (
        f"Cohort('{small.path}': test, 15 pairs of 10 people, T1, fALFF, "
        "8 x 8 x 8 voxels)"
    )


def test_unknown_role_fold_and_task_are_named(small):
    with pytest.raises(
        ValueError, match="'test' is unknown; expected one of train"
    ):
        small.rows("test")
    with pytest.raises(ValueError, match="fold 2 asked for, 2 folds found"):
        small.rows("train", 2)
    with pytest.raises(ValueError, match="task 'age' is unknown"):
        small.labels("age")


def test_one_image_under_two_names_has_one_hash(tmp_path, rng):
    content = parts(rng)
    content["volumes"]["T1"][4] = content["volumes"]["T1"][9]
    cohort = write(tmp_path / "twice", **content)
    hashes = cohort.image_hashes(range(len(cohort)))
    assert hashes["T1[4]"] == hashes["T1[9]"]
    assert len(set(hashes.values())) == len(hashes) - 1 == 2 * len(cohort) - 1


def test_channels_and_single_precision(tmp_path, rng):
    content = parts(rng)
    content.update(
        channels={"image": 3},
        intensity="unit",
        mask=None,
        volumes={"image": rng.random((15, 3, 8, 8))},
    )
    cohort = write(tmp_path / "colour", **content)
    assert (cohort.dims, cohort.size) == (2, 8)
    assert cohort.volumes["image"].dtype == np.float32


def test_pairing_names_a_task_or_nothing(tmp_path, rng, small):
    assert small.pairing is None
    parameters = {"pairing": "diagnosis"}
    by_class = write(
        tmp_path / "by-class", **parts(rng), parameters=parameters
    )
    assert by_class.pairing == "diagnosis"
    with pytest.raises(
        ValueError, match="pairing is 'digit', expected a task of diagnosis"
    ):
        write(tmp_path / "bad", **parts(rng), parameters={"pairing": "digit"})


def test_an_existing_folder_is_left_alone(small, rng):
    before = (small.path / "cohort.json").read_bytes()
    with pytest.raises(FileExistsError, match="small"):
        write(small.path, **parts(rng))
    assert (small.path / "cohort.json").read_bytes() == before


def edit_json(file, **changes):
    """Replace fields of a JSON file."""
    fields = json.loads(file.read_text())
    fields.update(changes)
    file.write_text(json.dumps(fields))


def edit_splits(folder, side, fold=None):
    """Add a person to a side of the splits: p0, or a stranger."""
    splits = json.loads((folder / "splits.json").read_text())
    if fold is None:
        splits[side].append("x")
    else:
        splits["folds"][fold][side].append("p0")
    (folder / "splits.json").write_text(json.dumps(splits))


def no_folder(folder):
    shutil.rmtree(folder)


def no_field(folder):
    fields = json.loads((folder / "cohort.json").read_text())
    del fields["affine"]
    (folder / "cohort.json").write_text(json.dumps(fields))


def other_format(folder):
    edit_json(folder / "cohort.json", format=9)


def other_intensity(folder):
    edit_json(folder / "cohort.json", intensity="ct")


def broken_json(folder):
    (folder / "splits.json").write_text("{")


def no_columns(folder):
    (folder / "pairs.tsv").write_text("pair\tparticipant_id\n0\tp0\n")


def no_task_column(folder):
    tasks = {"diagnosis": {"column": "dx", "classes": ["HC", "AD"]}}
    edit_json(folder / "cohort.json", tasks=tasks)


def no_classes(folder):
    tasks = {"diagnosis": {"column": "group"}}
    edit_json(folder / "cohort.json", tasks=tasks)


def other_shape(folder):
    np.save(folder / "T1.npy", np.zeros((15, 8, 8, 7), np.float16))


def other_dtype(folder):
    np.save(folder / "T1.npy", np.zeros((15, 8, 8, 8)))


def infinite(folder):
    values = np.load(folder / "fALFF.npy")
    values[3, 1, 2, 3] = np.inf
    np.save(folder / "fALFF.npy", values)


def truncated(folder):
    file = folder / "T1.npy"
    file.write_bytes(file.read_bytes()[:4000])


def two_roles(folder):
    edit_splits(folder, "valid", fold=1)


def no_id(folder):
    file = folder / "participants.tsv"
    file.write_text(file.read_text().replace("p3\t", "n/a\t"))


def latin(folder):
    file = folder / "participants.tsv"
    file.write_bytes(
        file.read_bytes() + "p99\tM\u00fcnchen\n".encode("latin-1")
    )


def ragged(folder):
    with (folder / "pairs.tsv").open("a") as file:
        file.write("1\t2\t3\t4\t5\t6\t7\n")


def empty(folder):
    (folder / "participants.tsv").write_text("")


def yes_or_no(folder):
    file = folder / "pairs.tsv"
    file.write_text(file.read_text().replace("\t1\n", "\tyes\n"))


def stranger(folder):
    edit_splits(folder, "shift")


BROKEN = {
    no_folder: r"cohort\.json: not found",
    no_field: r"cohort\.json: missing fields: affine",
    other_format: "format is 9, expected 1",
    other_intensity: "intensity is 'ct', expected one of brain, unit",
    broken_json: r"splits\.json: not valid JSON",
    no_columns: r"pairs\.tsv: missing columns: session, day, downstream",
    no_task_column: r"participants\.tsv: missing columns for task "
    "'diagnosis': dx",
    no_classes: r"cohort\.json: missing fields of task 'diagnosis': classes",
    other_shape: r"T1\.npy: shape \(15, 8, 8, 7\), "
    r"expected \(15, 8, 8, 8\)",
    other_dtype: r"T1\.npy: dtype float64, expected float16 or float32",
    infinite: r"fALFF\.npy: row 3 \(p2\) has 1 NaN or Inf values",
    truncated: r"T1\.npy: not a readable array",
    two_roles: r"splits\.json: fold 1: 'p0' is in valid and in holdout",
    no_id: r"participants\.tsv: participant_id is missing in 1 rows, first in "
    "line 5",
    latin: r"participants\.tsv: not a table of tab-separated UTF-8 text",
    ragged: r"pairs\.tsv: not a table of tab-separated UTF-8 text",
    empty: r"participants\.tsv: not a table of tab-separated UTF-8 text",
    yes_or_no: r"pairs\.tsv: column downstream holds \['yes', '0'\], expected "
    "0 or 1",
    stranger: r"splits\.json: shift names 'x'",
}


@pytest.mark.parametrize("breaks", BROKEN, ids=lambda f: f.__name__)
def test_what_disagrees_is_named(small, breaks):
    breaks(small.path)
    with pytest.raises(ValueError, match=BROKEN[breaks]):
        load(small.path)


def test_bad_content_leaves_nothing_behind(tmp_path, rng):
    content = parts(rng)
    content["volumes"]["T1"][0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"row 0 \(p0\) has 1 NaN"):
        write(tmp_path / "bad", **content)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("table", "column", "value", "message"),
    [
        ("participants", "participant_id", "p0", "'p0' stands twice"),
        ("pairs", "participant_id", "x", "'x' is not in participants.tsv"),
        ("pairs", "pair", range(1, 16), "column pair must count the rows"),
        ("pairs", "downstream", 1, "'p0' has 2 downstream pairs"),
    ],
)
def test_tables_that_disagree_are_refused(
    tmp_path, rng, table, column, value, message
):
    content = parts(rng)
    content[table][column] = value
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "bad", **content)


def test_the_example_of_the_book_makes_a_cohort(tmp_path, rng):
    page = Path(__file__).parents[2] / "book" / "data.md"
    (example,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
    given = {
        "t1": rng.normal(size=(30, 16, 16, 16)),
        "falff": rng.normal(size=(30, 16, 16, 16)),
        "groups": ["control", "patient"] * 15,
        "affine": np.diag([12.0, 12, 12, 1]),
        "mask": np.ones((16, 16, 16), bool),
        "folder": tmp_path / "mine",
    }
    exec(example, given)
    loaded = load(tmp_path / "mine")
    assert loaded.labels().tolist() == [0, 1] * 15
    assert len(loaded.splits["folds"]) == 5
    np.testing.assert_allclose(loaded.volumes["T1"], given["t1"], rtol=1e-6)
