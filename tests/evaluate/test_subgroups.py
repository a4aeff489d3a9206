"""Parts of a population against scikit-learn, with gaps that were planted."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

from mmssl import plotting
from mmssl.evaluate import subgroups


@pytest.fixture
def people(rng):
    """Give 1,200 people; the fair score serves all, the unfair one fails those
    above the median.
    """
    n = 1200
    labels = rng.integers(0, 2, n)
    table = pd.DataFrame(
        {
            "age": rng.normal(70, 8, n),
            "sex": rng.choice(["F", "M"], n),
            "site": rng.choice(["A", "B", "C"], n),
        }
    )
    fair = rng.normal(size=n) + 2.5 * labels
    old = table["age"].to_numpy() > np.median(table["age"])
    scores = {
        "fair": {"T1": fair},
        "unfair": {"T1": np.where(old, fair - 2 * labels, fair)},
    }
    return labels, scores, table


def test_a_planted_gap_is_found_and_a_fair_score_is_equivalent(people):
    labels, scores, table = people
    found = subgroups.gaps(labels, scores, table, np.arange(1200), margin=0.1)
    age = (
        found.dropna(subset="gap")
        .query("covariate == 'age'")
        .set_index("model")
    )
    assert age.loc["unfair", "verdict"] == "different"
    assert age.loc["fair", "verdict"] == "equivalent"
    assert (
        age.loc["unfair", "spread_p"]
        < 0.001
        < 0.05
        < age.loc["fair", "spread_p"]
    )
    part, score = age.loc["unfair", "part"], scores["unfair"]["T1"]
    above = table["age"].to_numpy() > np.median(table["age"])
    sign = 1 if part.startswith("above") else -1
    gap = sign * (
        roc_auc_score(labels[above], score[above])
        - roc_auc_score(labels[~above], score[~above])
    )
    assert age.loc["unfair", "gap"] == pytest.approx(gap)
    assert age.loc["unfair", "gap_low"] < gap < age.loc["unfair", "gap_high"]
    sites = found.query("model == 'fair' and covariate == 'site'").set_index(
        "part"
    )
    for site, line in sites.iterrows():
        of = (table["site"] == site).to_numpy()
        assert line["auc"] == pytest.approx(
            roc_auc_score(labels[of], scores["fair"]["T1"][of])
        )
        assert line["people"] == of.sum()
    assert sites.loc[sites["gap"].isna()].index.tolist() == [
        sites["people"].idxmax()
    ]


def test_no_p_depends_on_the_level_of_the_limits(people):
    labels, scores, table = people
    usual, short = (
        subgroups.gaps(labels, scores, table, np.arange(300), level=level)
        for level in (0.95, 0.8)
    )
    for column in ("p", "equivalence_p", "spread_p"):
        pd.testing.assert_series_equal(
            usual[column], short[column], check_exact=True
        )
    gaps = usual["gap"].notna()
    assert (short["high"] - short["low"] < usual["high"] - usual["low"]).all()
    # what a test at the shorter limits' level would find is less
    assert (short["detectable"] < usual["detectable"])[gaps].all()
    lax = subgroups.gaps(labels, scores, table, np.arange(300), level=0.1)
    # .9 of such tests reject without any gap
    assert (lax["detectable"].dropna() == 0).all()


def test_equal_parts_are_far_apart_in_1_of_20_worlds_at_any_level(rng):
    part = pd.DataFrame({"site": np.repeat(list("ABCD"), 60)})
    labels = np.tile([0, 0, 1], 80)
    p = [
        subgroups.gaps(
            labels,
            {"fair": {"T1": rng.normal(size=240) + labels}},
            part,
            np.arange(240),
            level=0.8,
        )["spread_p"].iloc[0]
        for _ in range(150)
    ]
    # .05 and 4.5 standard errors; .29 by limits at .80
    assert np.mean(np.array(p) <= 0.05) < 0.13


def test_only_the_people_asked_about_count_and_small_parts_are_left_out(
    people,
):
    labels, scores, table = people
    rows = np.arange(100, 400)
    lonely = table.copy()
    lonely.loc[100:103, "site"] = "D"
    lonely.loc[200:220, "age"] = np.nan
    lonely["sex"] = "F"
    found = subgroups.gaps(labels, scores, lonely, rows)
    assert set(found["covariate"]) == {"age", "site"} and "D" not in set(
        found["part"]
    )
    per_covariate = (
        found.query("model == 'fair'").groupby("covariate")["people"].sum()
    )
    assert per_covariate["age"] == 279 and per_covariate["site"] == 296
    elsewhere = np.where(np.isin(np.arange(1200), rows), labels, 1 - labels)
    assert found.equals(subgroups.gaps(elsewhere, scores, lonely, rows))
    nothing = subgroups.gaps(labels, scores, lonely[["sex"]], rows)
    assert nothing.empty and "No covariate has two parts" in subgroups.summary(
        nothing
    )
    assert isinstance(plotting.subgroup_gaps(nothing, 0.1), Figure)


def test_the_summary_counts_verdicts_and_spreads(people):
    labels, scores, table = people
    found = subgroups.gaps(labels, scores, table, np.arange(1200))
    said = subgroups.summary(found)
    assert said.startswith("8 gaps") and "of 6** combinations" in said
    assert f"{(found['verdict'] == 'equivalent').sum()} equivalent" in said


def test_the_figure_draws_every_gap(people):
    labels, scores, table = people
    found = subgroups.gaps(labels, scores, table, np.arange(1200))
    figure = plotting.subgroup_gaps(found, 0.1)
    drawn = {
        round(float(x), 12)
        for axis in figure.axes
        for p in axis.collections
        if isinstance(p, PathCollection)
        for x in np.asarray(p.get_offsets())[:, 0]
    }
    assert {round(g, 12) for g in found["gap"].dropna()} == drawn
    assert len(figure.axes) == 4  # two halves, two sexes, three sites
