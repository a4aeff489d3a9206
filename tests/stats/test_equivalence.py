"""Gaps of two groups and tests of equivalence, against a bootstrap and their
own limits.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import bootstrap

from mmssl.stats.equivalence import (
    auc_by_group,
    auc_gap,
    r2_gap,
    spread_by_chance,
)
from mmssl.stats.r2 import r2_interval


def two_populations(rng, sizes, aucs):
    """Draw binormal scores of two populations of (positives, negatives)
    people.
    """
    labels = np.concatenate(
        [np.r_[np.ones(a, int), np.zeros(b, int)] for a, b in sizes]
    )
    second = np.repeat([False, True], [sum(s) for s in sizes])
    shift = np.where(second, ndtri(aucs[1]), ndtri(aucs[0])) * 2**0.5
    return labels, rng.normal(size=len(labels)) + shift * labels, second


def test_the_gap_agrees_with_a_stratified_bootstrap(rng):
    labels, scores, second = two_populations(
        rng, ((60, 180), (40, 80)), (0.85, 0.72)
    )
    found = auc_gap(labels, scores, second)

    def gap(a, b, c, d, axis=-1):
        def auc(p, n):
            return (
                np.sign(p[..., :, None] - n[..., None, :]).mean((-1, -2)) + 1
            ) / 2

        return auc(a, b) - auc(c, d)

    samples = [
        scores[(labels == c) & (second == s)]
        for s in (False, True)
        for c in (1, 0)
    ]
    reference = bootstrap(
        samples, gap, method="percentile", n_resamples=2000, batch=500, rng=1
    ).confidence_interval
    assert found.gap.estimate == pytest.approx(gap(*samples))
    assert found.gap.low == pytest.approx(reference.low, abs=0.012)
    assert found.gap.high == pytest.approx(reference.high, abs=0.012)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_the_gaps_p_agree_with_its_limits(seed):
    labels, scores, second = two_populations(
        np.random.default_rng(seed), ((20, 30), (15, 25)), (0.8, 0.75)
    )
    found = auc_gap(labels, scores, second, margin=0.2)
    if 1e-5 < found.p < 0.99:
        at = auc_gap(labels, scores, second, level=1 - found.p).gap
        assert min(abs(at.low), abs(at.high)) < 1e-6
    if 1e-5 < found.equivalence_p < 0.49:
        at = auc_gap(
            labels, scores, second, level=1 - 2 * found.equivalence_p
        ).gap
        assert max(at.high, -at.low) == pytest.approx(0.2, abs=1e-6)
    assert (found.p < 0.05) == (found.gap.low > 0 or found.gap.high < 0)
    swapped = auc_gap(labels, scores, ~second, margin=0.2)
    assert swapped.gap.low == pytest.approx(-found.gap.high)
    assert (swapped.p, swapped.equivalence_p) == pytest.approx(
        (found.p, found.equivalence_p)
    )


def test_the_conclusion_says_what_was_shown(rng):
    labels, scores, second = two_populations(
        rng, ((400, 800), (400, 800)), (0.85, 0.85)
    )
    found = auc_gap(labels, scores, second)
    assert (
        found.conclusion == "equivalent"
        and found.equivalence_p < 0.01 < found.p
    )
    few = np.flatnonzero(np.arange(len(labels)) % 40 == 0)
    assert (
        auc_gap(labels[few], scores[few], second[few]).conclusion
        == "undecided"
    )
    labels, scores, second = two_populations(
        rng, ((400, 800), (400, 800)), (0.85, 0.6)
    )
    worse = auc_gap(labels, scores, second)
    assert worse.conclusion == "different" and worse.equivalence_p >= 0.5
    assert 0 < worse.detectable < 0.1


def test_a_person_in_both_groups_is_refused(rng):
    labels, scores, second = two_populations(rng, ((9, 9), (9, 9)), (0.8, 0.8))
    subjects = np.arange(36)
    subjects[30] = 2
    with pytest.raises(ValueError, match="1 subjects are in both groups"):
        auc_gap(labels, scores, second, subjects)
    with pytest.raises(ValueError, match="margin is 0"):
        auc_gap(labels, scores, second, margin=0)


def test_groups_side_by_side(rng):
    labels, scores, second = two_populations(
        rng, ((60, 180), (40, 80)), (0.9, 0.7)
    )
    groups = np.where(second, "D", "A")
    table = auc_by_group(labels, scores, groups)
    assert list(table["group"]) == ["A", "D"] and list(table["people"]) == [
        240,
        120,
    ]
    found = auc_gap(labels, scores, second)
    assert table.loc[1, ["gap_low", "gap_high"]].tolist() == pytest.approx(
        [found.gap.low, found.gap.high]
    )
    assert (
        np.isnan(table.loc[0, "gap"])
        and table.loc[1, "conclusion"] == found.conclusion
    )
    with pytest.raises(ValueError, match="reference is 'E', expected one of"):
        auc_by_group(labels, scores, groups, reference="E")


def test_the_largest_gap_of_equal_groups_is_no_surprise(rng):
    labels, scores = np.tile([0, 0, 1], 200), rng.normal(size=600)
    table = auc_by_group(labels, scores + labels, np.arange(600) // 3 % 5)
    found = spread_by_chance(table)
    errors = (table["high"] - table["low"]) / 3.92
    # the range of five standard normals averages 2.326
    assert found["expected"] == pytest.approx(2.326 * errors.mean(), rel=0.05)
    assert found["p"] > 0.05 and found["observed"] < found["upper"]


def test_who_has_no_group_is_named(study):
    labels, scores, _ = study
    groups = np.tile(["A", "B"], 44).astype(object)
    groups[5] = np.nan
    with pytest.raises(
        ValueError,
        match=r"groups: 1 of 88 rows have no value, the first is "
        "row 5",
    ):
        auc_by_group(labels, scores, groups)


def test_a_gap_of_r2_is_that_of_two_groups_of_people():
    """Zou and Donner's limits of two bootstraps, and what they conclude."""
    rng = np.random.default_rng(12)
    truth = rng.normal(70, 8, 160)
    second = np.arange(160) >= 80
    noise = np.where(second, 6.0, 2.0)
    predicted = truth + noise * rng.normal(size=160)
    gap = r2_gap(truth, predicted, second, margin=0.2)
    alone = [r2_interval(truth[m], predicted[m]) for m in (~second, second)]
    assert gap.first == alone[0]
    assert gap.second == alone[1]
    assert gap.gap.estimate == alone[0].estimate - alone[1].estimate
    below = np.hypot(
        alone[0].estimate - alone[0].low, alone[1].high - alone[1].estimate
    )
    assert gap.gap.low == pytest.approx(gap.gap.estimate - below)
    assert gap.conclusion == "different"
    assert gap.p < 0.05
    same = r2_gap(truth, truth + 2 * rng.normal(size=160), second, 0.2)
    assert same.conclusion == "equivalent"
    assert 0 < same.detectable < 0.2
    with pytest.raises(ValueError, match="margin is 0"):
        r2_gap(truth, predicted, second, margin=0)
    with pytest.raises(ValueError, match="second: shape"):
        r2_gap(truth, predicted, second[1:])


def test_a_gap_of_macro_averages_holds_none_as_often_as_it_says():
    rng = np.random.default_rng(13)
    labels = np.tile(np.repeat([0, 1, 2], (10, 12, 18)), 2)
    second = np.arange(80) >= 40
    held = 0
    for _ in range(200):
        scores = rng.normal(size=(3, 80))
        scores[labels, np.arange(80)] += 1
        gap = auc_gap(labels, scores, second)
        held += gap.gap.low <= 0 <= gap.gap.high
    assert 0.9 <= held / 200 <= 0.995
    perfect = np.zeros((3, 80))
    perfect[labels, np.arange(80)] = 1
    gap = auc_gap(labels, perfect, second)
    assert gap.gap.estimate == 0
    assert gap.first.method == "score"
