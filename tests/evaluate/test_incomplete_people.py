"""Probes of people who lack a modality: of each modality those who have it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from small_cohort import lack, write_small_cohort

from mmssl.evaluate import (
    accuracy_table,
    probe,
    probe_target,
    results_table,
    rows_with_images,
)
from mmssl.evaluate.confounds import covariates, head_size
from mmssl.evaluate.linear_evaluation import (
    LOGISTIC,
    PROJECTION,
    training_and_holdout,
)
from mmssl.evaluate.results import PREFIX, load_probes
from mmssl.evaluate.simple_features import COVARIATES
from mmssl.ledger.artefacts import Provenance
from mmssl.similarity.tables import similarity_table

ABSENT = [1, 4, 8, 10, 17, 33, 38, 41]
PEOPLE = 48


def write(folder):
    """Two classes, 30 people to learn from and 14 to test."""
    made = write_small_cohort(folder, people=PEOPLE, groups=("HC", "AD"))
    people = made.participants
    rng = np.random.default_rng(4)
    people["age"] = rng.normal(70, 5, PEOPLE).round(1)
    people["sex"] = rng.choice(["F", "M"], PEOPLE)
    ids = people["participant_id"].tolist()
    splits = {
        "seed": 0,
        "holdout": ids[34:],
        "shift": [],
        "folds": [{"train": ids[:30], "valid": ids[30:34]}],
    }
    return replace(made, splits=splits, participants=people)


@pytest.fixture
def whole(tmp_path):
    return write(tmp_path / "whole")


@pytest.fixture
def incomplete(tmp_path):
    made = write(tmp_path / "incomplete")
    lacking = lack(tmp_path / "incomplete", "fALFF", ABSENT)
    return replace(lacking, splits=made.splits, participants=made.participants)


@pytest.fixture
def z():
    rng = np.random.default_rng(3)
    y = np.arange(PEOPLE) % 2
    codes = {}
    for m in ("T1", "fALFF"):
        x = rng.normal(size=(PEOPLE, 6)) + 0.8 * y[:, None]
        codes[m] = x.astype(np.float32)
    return codes


def without(z):
    """The same codes of who has the image."""
    falff = z["fALFF"].copy()
    falff[ABSENT] = np.nan
    return {"CR": {**z, "fALFF": falff}}


def test_each_modality_has_its_own_people(incomplete):
    train, test = training_and_holdout(incomplete)
    rows = rows_with_images(incomplete, train, test)
    assert [len(side) for side in rows["T1"]] == [30, 14]
    assert [len(side) for side in rows["fALFF"]] == [25, 12]
    assert not {*np.concatenate(rows["fALFF"])} & {*ABSENT}


def test_probes_are_those_of_a_cohort_of_who_is_there(whole, incomplete, z):
    """T1 as if nobody lacked anything; fALFF as if who lacks it were in no
    role.
    """
    options = {"trials": 2, "epochs": 3, "width": 2, "initialisations": 1}
    found = probe(incomplete, without(z), **options)
    expected = probe(whole, {"CR": z}, **options)
    gone = set(whole.subjects[ABSENT])
    fold = whole.splits["folds"][0]
    splits = {
        **whole.splits,
        "holdout": [p for p in whole.splits["holdout"] if p not in gone],
        "folds": [
            {
                "train": [p for p in fold["train"] if p not in gone],
                "valid": fold["valid"],
            }
        ],
    }
    smaller = probe(replace(whole, splits=splits), {"CR": z}, **options)
    for modality, wanted in (("T1", expected), ("fALFF", smaller)):
        for protocol in (LOGISTIC, PROJECTION):
            chosen = (
                "model in ('CR', 'random encoder', 'PCA-64')"
                f" and modality == '{modality}' and protocol == '{protocol}'"
            )
            first = found.scores.query(chosen)
            second = wanted.scores.query(chosen)
            assert first["pair"].tolist() == second["pair"].tolist()
            np.testing.assert_allclose(
                first["score"], second["score"], rtol=1e-4, atol=1e-4
            )
    fits = found.fits.query("model == 'CR'").set_index("modality")["train"]
    assert set(fits["T1"]) == {30} and set(fits["fALFF"]) == {25}
    table = results_table([found], resamples=100)
    counts = table.groupby("modality")[["positives", "negatives"]].first()
    assert counts.loc["T1"].sum() == 14 and counts.loc["fALFF"].sum() == 12


def test_saved_scores_of_people_who_lack_a_modality_are_read_back(
    incomplete, z, tmp_path
):
    probed = probe(
        incomplete,
        without(z),
        protocols=(LOGISTIC,),
        trials=1,
        width=2,
        initialisations=1,
    )
    table = results_table([probed], resamples=100)
    saved = Provenance(
        {"cohort": incomplete.path / "cohort.json"},
        {"width": 2},
        0,
        ("mmssl.evaluate.results",),
        {"edition": "toy"},
    )
    tables = {
        "": table,
        "_fits": probed.fits,
        "_scores": probed.scores.drop(columns="subject"),
    }
    saved.save(tmp_path / "toy", PREFIX, tables)
    loaded = load_probes(tmp_path / "toy", "toy", incomplete, without(z))
    columns = list(probed.scores.columns)
    pd.testing.assert_frame_equal(loaded.scores[columns], probed.scores)


def test_accuracy_and_regression_count_who_is_there(incomplete, z):
    table = accuracy_table(incomplete, without(z), epochs=2)
    sizes = table.set_index("modality")[["train", "test"]]
    assert sizes.loc["T1"].tolist() == [30, 14]
    assert sizes.loc["fALFF"].tolist() == [25, 12]
    found = probe_target(
        incomplete, without(z), "age", width=2, initialisations=1
    )
    people = found.scores.groupby(["model", "modality"])["pair"].nunique()
    assert people["CR", "T1"] == 14 and people["CR", "fALFF"] == 12
    assert people[COVARIATES, "fALFF"] == 12
    assert np.isfinite(found.scores["score"]).all()


def test_a_number_that_is_the_only_covariate_is_predicted_without(whole, z):
    alone = replace(whole, participants=whole.participants.drop(columns="sex"))
    found = probe_target(alone, {"CR": z}, "age", width=2, initialisations=1)
    assert COVARIATES not in set(found.scores["model"])


def test_similarity_is_of_who_has_both(incomplete, z):
    table = similarity_table(incomplete, without(z), permutations=9, blocks=5)
    everybody = table.query("group == 'all'").set_index("role")["n"]
    assert set(everybody["train"]) == {25}
    assert set(everybody["holdout"]) == {12}
    assert np.isfinite(table.query("group == 'all'")["estimate"]).all()


def test_a_measure_of_an_image_is_missing_where_there_is_none(incomplete):
    sizes = head_size(incomplete, "fALFF")
    assert np.flatnonzero(np.isnan(sizes)).tolist() == ABSENT
    assert np.isfinite(head_size(incomplete)).all()
    assert covariates(incomplete)["age"].notna().all()


def test_one_class_of_a_modality_is_refused(tmp_path, z):
    made = write(tmp_path / "cohort")
    ill = np.flatnonzero(made.labels() == 1)
    lacking = lack(tmp_path / "cohort", "fALFF", ill[ill >= 34])
    lacking = replace(
        lacking, splits=made.splits, participants=made.participants
    )
    with pytest.raises(ValueError, match="hold-out rows of fold 0 with fALFF"):
        probe(lacking, {"CR": z}, trials=1, epochs=1, width=2)
