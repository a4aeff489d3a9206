"""Parts of a population against scikit-learn, with gaps that were planted."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

from mmssl import plotting
from mmssl.evaluate.subgroups import compare_subgroups, subgroup_summary
from mmssl.stats.mixed import numbers_or_words


@pytest.fixture
def people(rng):
    """Give 1,200 people; the fair score serves all, the unfair one fails those
    above the median.
    """
    n = 1200
    labels = rng.integers(0, 2, n)
    covariates = pd.DataFrame(
        {
            "age": rng.normal(70, 8, n),
            "sex": rng.choice(["F", "M"], n),
            "site": rng.choice(["A", "B", "C"], n),
        }
    )
    fair = rng.normal(size=n) + 2.5 * labels
    old = covariates["age"].to_numpy() > np.median(covariates["age"])
    unfair = np.where(old, fair - 2 * labels, fair)
    scores = {"fair": {"T1": fair}, "unfair": {"T1": unfair}}
    return labels, scores, covariates


def test_a_planted_gap_is_found_and_a_fair_score_is_equivalent(people):
    labels, scores, covariates = people
    table = compare_subgroups(
        labels, scores, covariates, np.arange(1200), margin=0.1
    )
    gaps = table.dropna(subset="gap").query("covariate == 'age'")
    gaps = gaps.set_index("model")
    fair, unfair = gaps.loc["fair"], gaps.loc["unfair"]
    assert unfair["conclusion"] == "different"
    assert fair["conclusion"] == "equivalent"
    assert unfair["spread_p"] < 0.001
    assert fair["spread_p"] > 0.05
    score = scores["unfair"]["T1"]
    above = covariates["age"].to_numpy() > np.median(covariates["age"])
    part = above if unfair["part"].startswith("above") else ~above
    expected = roc_auc_score(labels[part], score[part]) - roc_auc_score(
        labels[~part], score[~part]
    )
    assert unfair["gap"] == pytest.approx(expected)
    assert unfair["gap_low"] < expected < unfair["gap_high"]


def test_each_part_has_its_own_auc_and_the_largest_is_the_reference(people):
    labels, scores, covariates = people
    table = compare_subgroups(
        labels, scores, covariates, np.arange(1200), margin=0.1
    )
    sites = table.query("model == 'fair' and covariate == 'site'")
    sites = sites.set_index("part")
    score = scores["fair"]["T1"]
    for site, line in sites.iterrows():
        members = (covariates["site"] == site).to_numpy()
        auc = roc_auc_score(labels[members], score[members])
        assert line["auc"] == pytest.approx(auc)
        assert line["people"] == members.sum()
    without_gap = sites.index[sites["gap"].isna()].tolist()
    assert without_gap == [sites["people"].idxmax()]


def test_no_p_depends_on_the_level_of_the_limits(people):
    labels, scores, covariates = people
    rows = np.arange(300)
    usual = compare_subgroups(labels, scores, covariates, rows, level=0.95)
    short = compare_subgroups(labels, scores, covariates, rows, level=0.8)
    for column in ("p", "equivalence_p", "spread_p"):
        pd.testing.assert_series_equal(
            usual[column], short[column], check_exact=True
        )
    gaps = usual["gap"].notna()
    assert (short["high"] - short["low"] < usual["high"] - usual["low"]).all()
    # what a test at the shorter limits' level would find is less
    assert (short["detectable"] < usual["detectable"])[gaps].all()
    lax = compare_subgroups(labels, scores, covariates, rows, level=0.1)
    # .9 of such tests reject without any gap
    assert (lax["detectable"].dropna() == 0).all()


def test_equal_parts_are_far_apart_in_1_of_20_worlds_at_any_level(rng):
    part = pd.DataFrame({"site": np.repeat(list("ABCD"), 60)})
    labels = np.tile([0, 0, 1], 80)
    p = []
    for _ in range(150):
        scores = {"fair": {"T1": rng.normal(size=240) + labels}}
        table = compare_subgroups(
            labels, scores, part, np.arange(240), level=0.8
        )
        p.append(table["spread_p"].iloc[0])
    # .05 and 4.5 standard errors; .29 by limits at .80
    assert np.mean(np.array(p) <= 0.05) < 0.13


def test_only_the_people_asked_about_count_and_small_parts_are_left_out(
    people,
):
    labels, scores, covariates = people
    rows = np.arange(100, 400)
    covariates = covariates.copy()
    covariates.loc[100:103, "site"] = "D"
    covariates.loc[200:220, "age"] = np.nan
    covariates["sex"] = "F"
    table = compare_subgroups(labels, scores, covariates, rows)
    assert set(table["covariate"]) == {"age", "site"}
    assert "D" not in set(table["part"])
    fair = table.query("model == 'fair'")
    counted = fair.groupby("covariate")["people"].sum()
    assert counted["age"] == 279
    assert counted["site"] == 296
    asked = np.isin(np.arange(1200), rows)
    elsewhere = np.where(asked, labels, 1 - labels)
    assert table.equals(compare_subgroups(elsewhere, scores, covariates, rows))


def test_without_two_parts_there_is_an_empty_table_and_figure(people):
    labels, scores, covariates = people
    one_part = covariates[["sex"]].assign(sex="F")
    table = compare_subgroups(labels, scores, one_part, np.arange(100, 400))
    assert table.empty
    assert "No covariate has two parts" in subgroup_summary(table)
    assert isinstance(plotting.subgroup_gaps(table, 0.1), Figure)


def test_the_summary_counts_conclusions_and_spreads(people):
    labels, scores, covariates = people
    table = compare_subgroups(labels, scores, covariates, np.arange(1200))
    summary = subgroup_summary(table)
    assert summary.startswith("8 gaps") and "of 6** combinations" in summary
    equivalent = (table["conclusion"] == "equivalent").sum()
    assert f"{equivalent} equivalent" in summary


def test_the_figure_draws_every_gap(people):
    labels, scores, covariates = people
    table = compare_subgroups(labels, scores, covariates, np.arange(1200))
    figure = plotting.subgroup_gaps(table, 0.1)
    drawn = set()
    for axis in figure.axes:
        for dots in axis.collections:
            if isinstance(dots, PathCollection):
                gaps = np.asarray(dots.get_offsets())[:, 0]
                drawn |= set(np.round(gaps.astype(float), 12))
    assert set(np.round(table["gap"].dropna(), 12)) == drawn
    assert len(figure.axes) == 4  # two halves, two sexes, three sites


def test_one_capped_age_makes_no_part_of_every_age(people):
    labels, scores, covariates = people
    ages = covariates["age"].round().astype(str)
    ages[17] = "89+"
    mixed = covariates.assign(age=ages)
    with pytest.raises(ValueError, match=r"column 'age' holds .*'89\+': 1"):
        compare_subgroups(labels, scores, mixed, np.arange(1200))
    table = compare_subgroups(
        labels, scores, numbers_or_words(mixed, "cap"), np.arange(1200)
    )
    assert table.loc[table["covariate"] == "age", "part"].nunique() == 2
