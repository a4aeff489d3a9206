"""Splits: by person, stratified, folds that differ, and errors that name the
counts.
"""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmssl.cohorts import splits


def people(hc, ad, other, second=0):
    groups = ["HC"] * hc + ["AD"] * ad + ["other"] * other + ["HC"] * second
    table = pd.DataFrame({"group": groups, "population": "main"})
    table.loc[len(groups) - second :, "population"] = "second"
    table = table.sample(frac=1, random_state=3).reset_index(drop=True)
    table.insert(0, "participant_id", [f"p{i:03d}" for i in range(len(table))])
    return table


@settings(max_examples=40, deadline=None)
@given(
    hc=st.integers(12, 60),
    ad=st.integers(9, 30),
    other=st.integers(0, 20),
    second=st.integers(0, 9),
    folds=st.integers(2, 5),
    seed=st.integers(0, 99),
)
def test_every_person_has_one_place_and_every_fold_the_groups(
    hc, ad, other, second, folds, seed
):
    table = people(hc, ad, other, second)
    made = splits.make(table, folds=folds, holdout=0.2, seed=seed)
    group = dict(zip(table["participant_id"], table["group"], strict=True))
    valid = [fold["valid"] for fold in made["folds"]]
    everyone = made["holdout"] + made["shift"] + sum(valid, [])
    # each exactly once
    assert sorted(everyone) == sorted(table["participant_id"])
    for fold in made["folds"]:
        assert sorted(fold["train"] + fold["valid"]) == sorted(sum(valid, []))
    for name in set(group.values()):
        counts = [Counter(group[i] for i in side)[name] for side in valid]
        assert max(counts) - min(counts) <= 1
    sizes = [len(side) for side in valid]
    assert max(sizes) - min(sizes) <= 1
    held = Counter(group[i] for i in made["holdout"])
    assert held["AD"] == round(0.2 * ad) and held["HC"] == round(0.2 * hc)


def test_the_draw_follows_its_seed_and_the_holdout_does_not_follow_the_folds():
    table = people(40, 20, 10)
    assert splits.make(table, seed=1) == splits.make(table, seed=1)
    assert (
        splits.make(table, seed=1)["holdout"]
        != splits.make(table, seed=2)["holdout"]
    )
    assert (
        splits.make(table, folds=5)["holdout"]
        == splits.make(table, folds=3)["holdout"]
    )


def test_holdout_by_group_and_by_name():
    table = people(40, 20, 10)
    made = splits.make(table, holdout={"AD": 0.5})
    group = dict(zip(table["participant_id"], table["group"], strict=True))
    assert Counter(group[i] for i in made["holdout"]) == {"AD": 10}
    named = table["participant_id"].tolist()[3:7]
    assert splits.make(table, holdout=named)["holdout"] == named
    with pytest.raises(ValueError, match="'nobody'"):
        splits.make(table, holdout=["nobody"])


def test_errors_name_what_was_found():
    with pytest.raises(
        ValueError,
        match=r"fold 3, valid: one class only: \{'HC': \d+, 'AD': 0\}",
    ):
        splits.make(people(30, 3, 0), folds=5, holdout=0.0)
    with pytest.raises(
        ValueError, match="4 participants outside the hold-out, fewer than 5"
    ):
        splits.make(people(2, 2, 0), folds=5, holdout=0.0)
    with pytest.raises(ValueError, match="folds is 1"):
        splits.make(people(9, 9, 0), folds=1)
    with pytest.raises(ValueError, match=r"'AD' is 1\.5"):
        splits.make(people(9, 9, 0), holdout={"AD": 1.5})


def test_every_group_is_shuffled_before_it_is_dealt():
    made = splits.make(people(60, 30, 10), seed=0)
    order = np.concatenate(
        [[int(i[1:]) for i in fold["valid"]] for fold in made["folds"]]
    )
    assert not np.array_equal(order % 5, np.sort(order % 5))


def test_a_missing_population_is_no_other_population():
    table = people(9, 9, 0).assign(population=splits.MAIN)
    table.loc[[3, 7], "population"] = None
    with pytest.raises(
        ValueError, match=r"2 of 18 rows have no population, the first is 'p"
    ):
        splits.make(table)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_who_has_no_group_is_dealt_out_too(missing):
    table = people(20, 20, 0)
    table["group"] = table["group"].astype(object)
    table.loc[[1, 7, 30, 31, 38], "group"] = missing
    made = splits.make(table, folds=5, holdout={"HC": 0.25, "AD": 0.25})
    valid = [i for fold in made["folds"] for i in fold["valid"]]
    everybody = sorted(valid + made["holdout"])
    assert everybody == sorted(table["participant_id"])
    nobody = set(table["participant_id"].iloc[[1, 7, 30, 31, 38]])
    for fold in made["folds"]:
        assert len(nobody & set(fold["valid"])) == 1
