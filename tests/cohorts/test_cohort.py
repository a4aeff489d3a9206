"""The cohort folder: what is written is read, and what disagrees is named."""

import json
import shutil

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
    ids = [f"p{i}" for i in range(people)]
    of_pair = [i for k, i in enumerate(ids) for _ in range(2 - k % 2)]
    first = ~pd.Series(of_pair).duplicated()
    participants = pd.DataFrame(
        {
            "participant_id": ids,
            "group": [["HC", "AD", "other"][k % 3] for k in range(people)],
        }
    )
    pairs = pd.DataFrame(
        {
            "pair": range(len(of_pair)),
            "participant_id": of_pair,
            "session": 1,
            "day": 0,
            "downstream": first.astype(int),
        }
    )
    volumes = {
        m: rng.random((len(pairs), *SIDE)).astype(np.float16)
        for m in ("T1", "fALFF")
    }
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
        tasks={"diagnosis": {"column": "group", "classes": ["HC", "AD"]}},
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
    assert (small.dims, small.size, small.channels) == (
        3,
        8,
        {"T1": 1, "fALFF": 1},
    )
    assert (
        len(small) == 15
        and small.seed == 7
        and small.modalities == ("T1", "fALFF")
    )
    assert small.hashes["T1.npy"] == hash_file(small.path / "T1.npy")


def test_roles_and_labels_against_a_loop(small):
    for role, fold in [
        ("train", 0),
        ("train", 1),
        ("valid", 1),
        ("holdout", 0),
        ("shift", 0),
    ]:
        side = (
            small.splits["folds"][fold]
            if role in ("train", "valid")
            else small.splits
        )
        slow = [i for i, s in enumerate(small.subjects) if s in side[role]]
        assert small.rows(role, fold).tolist() == slow
        assert small.rows(role, fold).dtype == np.int64
    assert small.rows("train", 0).tolist() != small.rows("train", 1).tolist()
    code = {"HC": 0, "AD": 1, "other": -1}
    group = dict(small.participants[["participant_id", "group"]].to_numpy())
    assert small.labels().tolist() == [code[group[s]] for s in small.subjects]
    chosen = small.downstream(np.arange(len(small)))
    assert sorted(small.subjects[chosen]) == sorted(
        p for p in group if group[p] != "other"
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
    content = parts(rng) | {
        "channels": {"image": 3},
        "intensity": "unit",
        "mask": None,
    }
    content["volumes"] = {"image": rng.random((15, 3, 8, 8))}
    cohort = write(tmp_path / "colour", **content)
    assert (cohort.dims, cohort.size) == (2, 8)
    assert cohort.volumes["image"].dtype == np.float32


def test_pairing_names_a_task_or_nothing(tmp_path, rng, small):
    assert small.pairing is None
    by_class = parts(rng) | {"parameters": {"pairing": "diagnosis"}}
    assert write(tmp_path / "by-class", **by_class).pairing == "diagnosis"
    with pytest.raises(
        ValueError, match="pairing is 'digit', expected a task of diagnosis"
    ):
        write(tmp_path / "bad", **parts(rng), parameters={"pairing": "digit"})


def test_an_existing_folder_is_left_alone(small, rng):
    before = (small.path / "cohort.json").read_bytes()
    with pytest.raises(FileExistsError, match="small"):
        write(small.path, **parts(rng))
    assert (small.path / "cohort.json").read_bytes() == before


def _edit_json(file, change):
    about = json.loads(file.read_text())
    change(about)
    file.write_text(json.dumps(about))


def _nan(folder):
    values = np.load(folder / "fALFF.npy")
    values[3, 1, 2, 3] = np.inf
    np.save(folder / "fALFF.npy", values)


BROKEN = {
    "no folder": (shutil.rmtree, r"cohort\.json: not found"),
    "no field": (
        lambda f: _edit_json(f / "cohort.json", lambda a: a.pop("affine")),
        r"cohort\.json: missing fields: affine",
    ),
    "format": (
        lambda f: _edit_json(f / "cohort.json", lambda a: a.update(format=9)),
        "format is 9, expected 1",
    ),
    "intensity": (
        lambda f: _edit_json(
            f / "cohort.json", lambda a: a.update(intensity="ct")
        ),
        "intensity is 'ct', expected one of brain, unit",
    ),
    "json": (
        lambda f: (f / "splits.json").write_text("{"),
        r"splits\.json: not valid JSON",
    ),
    "column": (
        lambda f: (f / "pairs.tsv").write_text(
            "pair\tparticipant_id\n0\tp0\n"
        ),
        r"pairs\.tsv: missing columns: session, day, downstream",
    ),
    "task column": (
        lambda f: _edit_json(
            f / "cohort.json",
            lambda a: a["tasks"]["diagnosis"].update(column="dx"),
        ),
        r"participants\.tsv: missing columns for task 'diagnosis': dx",
    ),
    "shape": (
        lambda f: np.save(f / "T1.npy", np.zeros((15, 8, 8, 7), np.float16)),
        r"T1\.npy: shape \(15, 8, 8, 7\), expected \(15, 8, 8, 8\)",
    ),
    "dtype": (
        lambda f: np.save(f / "T1.npy", np.zeros((15, 8, 8, 8))),
        r"T1\.npy: dtype float64, expected float16 or float32",
    ),
    "infinite": (_nan, r"fALFF\.npy: row 3 \(p2\) has 1 NaN or Inf values"),
    "truncated": (
        lambda f: (f / "T1.npy").write_bytes(
            (f / "T1.npy").read_bytes()[:4000]
        ),
        r"T1\.npy: not a readable array",
    ),
    "two roles": (
        lambda f: _edit_json(
            f / "splits.json", lambda s: s["folds"][1]["valid"].append("p0")
        ),
        r"splits\.json: fold 1: 'p0' is in valid and in holdout",
    ),
    "stranger": (
        lambda f: _edit_json(
            f / "splits.json", lambda s: s["shift"].append("x")
        ),
        r"splits\.json: shift names 'x'",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_disagrees_is_named(small, case):
    breaks, message = BROKEN[case]
    breaks(small.path)
    with pytest.raises(ValueError, match=message):
        load(small.path)


def test_bad_content_leaves_nothing_behind(tmp_path, rng):
    content = parts(rng)
    content["volumes"]["T1"][0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"row 0 \(p0\) has 1 NaN"):
        write(tmp_path / "bad", **content)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "table, change, message",
    [
        (
            "participants",
            lambda t: t.assign(participant_id="p0"),
            "'p0' stands twice",
        ),
        (
            "pairs",
            lambda t: t.assign(participant_id="x"),
            "'x' is not in participants.tsv",
        ),
        (
            "pairs",
            lambda t: t.assign(pair=t["pair"] + 1),
            "column pair must count the rows",
        ),
        (
            "pairs",
            lambda t: t.assign(downstream=1),
            "'p0' has 2 downstream pairs",
        ),
    ],
)
def test_tables_that_disagree_are_refused(
    tmp_path, rng, table, change, message
):
    content = parts(rng)
    content[table] = change(content[table])
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "bad", **content)
