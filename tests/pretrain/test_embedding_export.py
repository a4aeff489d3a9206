"""Embeddings without names: the right row with the right label, in an order
that tells nothing.
"""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from small_cohort import SMALL_RUN, lack, rehash, write_small_cohort

from mmssl.cohorts.cohort import load
from mmssl.ledger.manifest import check_manifest
from mmssl.ledger.verify import verify
from mmssl.pretrain import embed, export_embeddings, fit

SECRET = "sub-Müller1950"
VISIT = "visit-Easter"
COLUMNS = {
    "age": [60 + number % 7 for number in range(24)],
    "mmse": [20 + number / 24 for number in range(24)],
    "site": ["north", "south"] * 12,
    "number": [5000 + 3 * number for number in range(24)],
    "code": [f"{number}-{number}" for number in range(24)],
    "few": [f"c{number}" for number in range(11)] + ["rest"] * 13,
}


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Give a cohort whose people and sessions have names, with traits."""
    folder = tmp_path_factory.mktemp("named") / "cohort"
    write_small_cohort(folder)
    for file in ("participants.tsv", "pairs.tsv", "splits.json"):
        text = (folder / file).read_text(encoding="utf-8")
        text = text.replace("person-", SECRET)
        (folder / file).write_text(text, encoding="utf-8")
    pairs = pd.read_csv(folder / "pairs.tsv", sep="\t", dtype=str)
    pairs["session"] = [f"{VISIT}{number}" for number in range(24)]
    pairs.loc[3, "downstream"] = "0"
    pairs.to_csv(folder / "pairs.tsv", sep="\t", index=False)
    table = pd.read_csv(folder / "participants.tsv", sep="\t", dtype=str)
    table = table.assign(**COLUMNS)
    table["twin"] = table["participant_id"].iloc[::-1].to_numpy()
    table["twin"] = table["twin"].where(table.index < 2, "none")
    table.to_csv(folder / "participants.tsv", sep="\t", index=False)
    rehash(folder)
    return load(folder)


@pytest.fixture(scope="module")
def run(people, tmp_path_factory):
    """Give a run on it."""
    folder = tmp_path_factory.mktemp("run")
    return fit(people, "RR", folder / "run", **SMALL_RUN)


@pytest.fixture(scope="module")
def exported(run, people, tmp_path_factory):
    """Give its embeddings, exported with labels."""
    folder = tmp_path_factory.mktemp("exported") / "out"
    labels = ("diagnosis", "age", "site", "mmse")
    return export_embeddings(run, people, folder, labels, seed=5)


def rows_of(folder):
    return pd.read_csv(folder / "rows.tsv", sep="\t")


def found_rows(folder, run, people):
    """Return the row of the cohort of each exported line, by its features."""
    expected = embed(run, people)["T1"]
    rows = []
    for z in np.load(folder / "T1.npy"):
        (row,) = np.flatnonzero((expected == z).all(axis=1))
        rows.append(row)
    return np.array(rows)


def test_a_row_has_its_own_features_role_and_labels(exported, run, people):
    rows, table = found_rows(exported, run, people), rows_of(exported)
    assert sorted(rows) == list(range(24))
    z = np.load(exported / "fALFF.npy")
    assert z.dtype == np.float32
    np.testing.assert_array_equal(z, embed(run, people)["fALFF"][rows])
    assert table.columns.tolist() == [
        "row",
        "role",
        "downstream",
        "diagnosis",
        "age",
        "site",
        "mmse",
    ]
    assert table["row"].tolist() == list(range(24))
    for role in ("train", "valid", "holdout"):
        assert set(rows[table["role"] == role]) == set(people.rows(role))
    groups = people.participants["group"].where(lambda g: g != "other")
    groups = groups.iloc[rows].reset_index(drop=True)
    assert table["diagnosis"].isna().sum() == 8
    pd.testing.assert_series_equal(
        table["diagnosis"], groups, check_names=False, check_dtype=False
    )
    for name in ("age", "site"):
        expected = [COLUMNS[name][row] for row in rows]
        assert table[name].tolist() == expected
    mmse = [COLUMNS["mmse"][row] for row in rows]
    np.testing.assert_allclose(table["mmse"], mmse)
    assert rows[table["downstream"] == 0].tolist() == [3]


def test_nobody_is_named_and_no_order_is_kept(exported, run, people):
    for file in exported.iterdir():
        content = file.read_bytes()
        for name in (SECRET, VISIT, "participant_id", "session"):
            assert name.encode() not in content, file
    about = json.loads((exported / "about.json").read_text())
    assert set(about) == {"modalities", "data", "recipe", "made_by"}
    assert about["recipe"]["seed"] == SMALL_RUN.get("seed", 0)
    rows = found_rows(exported, run, people)
    correlation = np.corrcoef(rows, np.arange(24))[0, 1]
    assert abs(correlation) < 0.6 and (rows != np.arange(24)).any()


def test_the_order_is_that_of_seed_and_images(
    exported, run, people, make_cohort, tmp_path
):
    again = export_embeddings(run, people, tmp_path / "a", seed=5)
    other = export_embeddings(run, people, tmp_path / "b", seed=6)
    first = np.load(exported / "T1.npy")
    np.testing.assert_array_equal(np.load(again / "T1.npy"), first)
    assert not np.array_equal(np.load(other / "T1.npy"), first)
    # other images of as many people are in another order
    images = np.random.default_rng(2).normal(size=(24, 16, 16, 16))
    stranger = make_cohort(tmp_path / "c", T1=images.astype("f2"))
    there = export_embeddings(run, stranger, tmp_path / "d", seed=5)
    order = found_rows(there, run, stranger)
    assert not np.array_equal(order, found_rows(exported, run, people))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("participant_id", "expected none of row, role, downstream, particip"),
        ("session", "expected none of row"),
        ("pair", "expected none of row"),
        ("role", "expected none of row"),
        ("number", "label 'number' names people"),
        ("code", "label 'code' names people"),
        ("twin", "label 'twin' names people"),
        ("weight", "label 'weight' asked for, expected one of diagnosis, gro"),
    ],
)
def test_a_label_that_names_people_is_refused(
    run, people, tmp_path, name, message
):
    with pytest.raises(ValueError, match=f"participants.tsv: .*{message}"):
        export_embeddings(run, people, tmp_path / "out", [name])
    assert list(tmp_path.iterdir()) == []


def test_what_some_share_is_no_name(run, people, tmp_path):
    folder = export_embeddings(run, people, tmp_path / "out", ["few", "group"])
    table = rows_of(folder)
    assert (table["few"] == "rest").sum() == 13
    assert table["group"].value_counts().to_dict() == {
        "HC": 8,
        "AD": 8,
        "other": 8,
    }


def test_a_probe_reads_it_as_documented(exported):
    rows = rows_of(exported)
    features = np.load(exported / "T1.npy")
    used = rows["downstream"].eq(1) & rows["diagnosis"].notna()
    train = used & rows["role"].eq("train")
    test = used & rows["role"].eq("holdout")
    probe = LogisticRegression().fit(features[train], rows["diagnosis"][train])
    score = probe.score(features[test], rows["diagnosis"][test])
    assert train.sum() == 10 and test.sum() == 2 and 0 <= score <= 1


def test_who_lacks_an_image_has_no_features(run, tmp_path):
    write_small_cohort(tmp_path / "c")
    some = lack(tmp_path / "c", "fALFF", [2, 9])
    folder = export_embeddings(run, some, tmp_path / "out")
    missing = np.isnan(np.load(folder / "fALFF.npy")).all(axis=1)
    assert missing.sum() == 2
    rows = found_rows(folder, run, some)
    assert sorted(rows[missing]) == [2, 9]


def test_a_cohort_without_the_fold_has_the_other_roles(
    run, people, tmp_path, make_cohort
):
    folder = tmp_path / "c"
    make_cohort(folder, groups=("HC", "AD"))
    splits = json.loads((folder / "splits.json").read_text())
    splits["folds"] = []
    (folder / "splits.json").write_text(json.dumps(splits))
    rehash(folder)
    out = export_embeddings(run, load(folder), tmp_path / "out")
    roles = rows_of(out)["role"]
    assert roles.value_counts(dropna=False).to_dict() == {
        "holdout": 4,
        np.nan: 20,
    }


def test_it_is_whole_and_guarded(exported, run, people):
    check_manifest(exported)
    assert verify(exported) == []
    with pytest.raises(FileExistsError, match="out: exists already"):
        export_embeddings(run, people, exported)
    names = sorted(file.name for file in exported.iterdir())
    assert names == [
        "T1.npy",
        "about.json",
        "fALFF.npy",
        "manifest.json",
        "rows.tsv",
    ]
