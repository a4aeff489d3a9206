"""The rule of verdicts: its words, its correction, what it does without a
table.
"""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from book.claims import evidence, rule, tables
from book.claims.claim import EVIDENCE
from book.claims.rule import (
    CONTRADICTED,
    NOT_COMPUTED,
    SUPPORTED,
    UNRESOLVED,
    UNTESTABLE,
)
from book.claims.scores import SCORES

LIMITS = st.tuples(st.floats(-3, 3), st.floats(-3, 3)).map(sorted)
ENDS = st.floats(-2, 2)
NEGLIGIBLE = st.sampled_from([0.0, 0.1, 0.5])
REGIONS = st.one_of(
    st.builds(lambda a, n: {"above": a, "negligible": n}, ENDS, NEGLIGIBLE),
    st.builds(lambda a, n: {"below": a, "negligible": n}, ENDS, NEGLIGIBLE),
    st.builds(lambda ends: {"between": sorted(ends)}, st.tuples(ENDS, ENDS)),
)


def _expected_of_band(low, high, band):
    """The verdict on "between a and b", in the words of the rule."""
    a, b = band
    if high < a or low > b:
        return CONTRADICTED
    return SUPPORTED if a <= low and high <= b else UNRESOLVED


def _expected_of_direction(low, high, holds):
    """The verdict on "above a" or "below a", in the words of the rule."""
    sign = 1 if "above" in holds else -1
    low, high = sorted((sign * low, sign * high))
    end = sign * holds.get("above", holds.get("below"))
    negligible = holds["negligible"]
    if high < end + negligible or (negligible == 0 and high <= end):
        return CONTRADICTED
    return SUPPORTED if low > end else UNRESOLVED


@settings(max_examples=300, deadline=None)
@given(LIMITS, REGIONS)
def test_verdict_equals_its_words(limits, holds):
    low, high = limits
    if "between" in holds:
        expected = _expected_of_band(low, high, holds["between"])
    else:
        expected = _expected_of_direction(low, high, holds)
    region = evidence.Region.from_words(**holds)
    assert rule.verdict(low, high, region) == expected


@settings(max_examples=200, deadline=None)
@given(st.floats(-2, 2), st.floats(0, 1), st.floats(0, 1), REGIONS)
def test_more_people_never_turn_a_verdict_into_its_opposite(
    estimate, half, more, holds
):
    region = evidence.Region.from_words(**holds)
    narrow = rule.verdict(estimate - half, estimate + half, region)
    wide = rule.verdict(estimate - half - more, estimate + half + more, region)
    # else a sure advantage may be a negligible one
    if holds.get("negligible", 0) == 0:
        assert wide in (narrow, UNRESOLVED)


def test_the_verdict_of_a_band():
    above = evidence.Region.from_words(above=0, negligible=0.02)
    for low, high, expected in (
        (0.001, 0.09, SUPPORTED),
        (-0.001, 0.09, UNRESOLVED),
        (-0.09, 0.019, CONTRADICTED),
        (0.001, 0.019, CONTRADICTED),
        (-0.2, -0.1, CONTRADICTED),
    ):
        assert rule.verdict(low, high, above) == expected
    exactly = evidence.Region.from_words(above=0)
    assert rule.verdict(0, 0, exactly) == CONTRADICTED
    assert rule.verdict(1, 1, exactly) == SUPPORTED
    with pytest.raises(ValueError, match="expected low <= high"):
        rule.verdict(1, 0, exactly)
    with pytest.raises(ValueError, match="expected low <= high"):
        rule.verdict(np.nan, 0, exactly)


def test_correction_decides_as_many_as_benjamini_and_hochberg():
    above = evidence.Region.from_words(above=0)
    for seed in range(30):
        z = np.random.default_rng(seed).normal(np.repeat((0.0, 2.5), 10))
        findings = [evidence.normal(value, 1.0, "", "") for value in z]
        level = rule.corrected_level([(f, above) for f in findings])
        verdicts = [
            rule.verdict(*rule.corrected_limits(f, level), above)
            for f in findings
        ]
        decided = [verdict != UNRESOLVED for verdict in verdicts]
        p = 2 * stats.norm.sf(np.abs(z))
        rejected = multipletests(p, 0.05, "fdr_bh")[0]
        assert decided == rejected.tolist()


def test_families_are_corrected_apart_and_exact_findings_are_in_none(
    claims, assessed
):
    with_level = assessed.dropna(subset="level")
    families = with_level.groupby("evidence")["level"].unique()
    assert families.map(len).eq(1).all() and len(families) == 2
    on_people = [c.id for c in claims if c.evidence == EVIDENCE[tables]]
    family = with_level[with_level["id"].isin(on_people)]
    m = len(family)
    decided = (family["verdict"] != UNRESOLVED).sum()
    assert family["level"].iloc[0] == pytest.approx(
        1 - 0.05 * decided / m, abs=0.05 / m
    )
    alone = assessed[assessed["method"].isin(["exact", "simulation"])]
    assert len(alone) > 80 and alone["level"].isna().all()
    assert (alone["low"] == alone["low_95"]).all()


def test_exact_findings_need_no_correction_and_widening_is_the_normals():
    exact = evidence.exact(1.0, "")
    assert rule.corrected_limits(exact, 0.999) == (1.0, 1.0)
    assert np.isnan(rule.detectable(exact))
    finding = evidence.normal(0.3, 0.2, "", "")
    expected = stats.norm.interval(0.99, 0.3, 0.2)
    assert rule.corrected_limits(finding, 0.99) == pytest.approx(expected)
    # a two-sided test at .05 of an effect of that size has power .8 (its other
    # tail is empty)
    power = stats.norm.sf(1.959964 - rule.detectable(finding) / 0.2)
    assert power == pytest.approx(0.8, abs=1e-4)


def test_at_least_25_are_computed_without_any_table_and_all_tests_with_tables(
    claims, edition, assessed
):
    on_people = [c for c in claims if c.evidence == EVIDENCE[tables]]
    ids = [claim.id for claim in on_people]
    others = assessed[~assessed["id"].isin(ids)]
    assert others["estimate"].notna().sum() >= 25
    without = rule.assess(on_people, edition.parent / "empty")
    assert set(without["verdict"]) <= {NOT_COMPUTED, UNTESTABLE}
    full = rule.assess(on_people, edition, simulated=False)
    assert full["estimate"].notna().all()
    assert set(full["verdict"]) <= {SUPPORTED, CONTRADICTED, UNRESOLVED}


def test_a_missing_table_and_a_missing_model_say_what_makes_them(
    claims, edition, tmp_path
):
    claim = next(c for c in claims if c.id == "001-R-17")
    answer = rule.assess([claim], tmp_path / "demo").iloc[0]
    assert answer["verdict"] == NOT_COMPUTED
    assert "make reproduce EDITION=demo" in answer["why"]
    assert "notebook 04" in answer["why"]
    answer = rule.assess([claim], tmp_path / "smoke").iloc[0]
    assert "make smoke" in answer["why"]
    scores = pd.read_csv(edition / SCORES, sep="\t")
    folder = tmp_path / "without one model"
    folder.mkdir()
    scores = scores[scores["model"] != "CR-XX"]
    scores.to_csv(folder / SCORES, sep="\t", index=False)
    answer = rule.assess([claim], folder).iloc[0]
    assert answer["verdict"] == NOT_COMPUTED
    assert "CR-XX is not among its models" in answer["why"]


def test_levels_of_real_people_are_not_tested_on_simulated_ones(
    claims, edition
):
    of_real_people = [claim for claim in claims if claim.real_people]
    assert len(of_real_people) >= 5
    on_simulated = rule.assess(of_real_people, edition, simulated=True)
    assert set(on_simulated["verdict"]) == {UNTESTABLE}
    on_real = rule.assess(of_real_people, edition, simulated=False)
    assert on_real["estimate"].notna().all()


def test_limits_that_a_table_does_not_know_decide_nothing(
    claims, edition, tmp_path
):
    table = pd.read_csv(edition / "similarity.tsv", sep="\t")
    table[["low", "high"]] = np.nan
    table.to_csv(tmp_path / "similarity.tsv", sep="\t", index=False)
    claim = next(c for c in claims if c.id == "001-R-21")
    answer = rule.assess([claim], tmp_path).iloc[0]
    assert answer["verdict"] == NOT_COMPUTED and "no limits" in answer["why"]


def test_counts_add_up(assessed):
    counts = rule.count_verdicts(assessed)
    assert counts.loc["all"].sum() == len(assessed)
    assert tuple(counts.columns) == rule.VERDICTS
