"""AUC, its intervals and its power, against loops, SciPy, scikit-learn and
closed forms.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import ndtri
from scipy.stats import bootstrap, brunnermunzel, norm, ttest_1samp
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from mmssl.stats.auc import roc_auc
from mmssl.stats.bootstrap import auc_difference, auc_interval
from mmssl.stats.delong import components, delong_covariance
from mmssl.stats.equivalence import auc_by_group, auc_gap, spread_by_chance
from mmssl.stats.intervals import (
    difference_interval,
    logit_interval,
    proportion_interval,
    score_interval,
)
from mmssl.stats.power import (
    auc_variance,
    minimum_detectable_difference,
    minimum_detectable_gap,
    power_of_difference,
)
from mmssl.stats.resampling import corrected_resampled


def auc_by_loop(labels, scores):
    """Count won pairs one by one."""
    won = total = 0.0
    for a, score in zip(labels, scores, strict=True):
        for b, other in zip(labels, scores, strict=True):
            if a == 1 and b == 0:
                won += 1.0 if score > other else 0.5 if score == other else 0.0
                total += 1
    return won / total


def delong_by_loop(labels, first, second):
    """Covariance of two AUCs from the structural components, written from
    DeLong et al. 1988.
    """
    positives, negatives = (
        np.flatnonzero(labels == 1),
        np.flatnonzero(labels == 0),
    )

    def kernel(x, y):
        return 1.0 if x > y else 0.5 if x == y else 0.0

    parts = []
    for s in (first, second):
        v10 = [
            np.mean([kernel(s[i], s[j]) for j in negatives]) for i in positives
        ]
        v01 = [
            np.mean([kernel(s[i], s[j]) for i in positives]) for j in negatives
        ]
        parts.append((v10, v01))
    covariance = np.empty((2, 2))
    for a in range(2):
        for b in range(2):
            s10 = np.cov(parts[a][0], parts[b][0])[0, 1]
            s01 = np.cov(parts[a][1], parts[b][1])[0, 1]
            covariance[a, b] = s10 / len(positives) + s01 / len(negatives)
    return covariance


@pytest.fixture
def study(rng):
    """Give 22 patients, 66 controls and two correlated scores with ties."""
    labels = (np.arange(88) < 22).astype(int)
    shared = rng.normal(size=88) + 1.3 * labels
    first = np.round(shared + 0.5 * rng.normal(size=88), 1)
    return labels, first, np.round(shared + 0.8 * rng.normal(size=88), 1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(-4, 4)),
        min_size=2,
        max_size=25,
    )
)
def test_auc_equals_the_loop_and_scikit_learn_with_ties(rows):
    labels, scores = np.array(rows).T
    if len(set(labels)) < 2:
        with pytest.raises(ValueError, match="one class only"):
            roc_auc(labels, scores)
        return
    assert roc_auc(labels, scores) == pytest.approx(
        auc_by_loop(labels, scores), abs=1e-12
    )
    assert roc_auc(labels, scores) == pytest.approx(
        roc_auc_score(labels, scores), abs=1e-12
    )
    assert roc_auc(labels, -scores) == pytest.approx(
        1 - auc_by_loop(labels, scores)
    )


def scipys_bca(labels, scores):
    def auc(positive, negative, axis=-1):
        return (
            np.sign(positive[..., :, None] - negative[..., None, :]).mean(
                (-1, -2)
            )
            + 1
        ) / 2

    samples = (scores[labels == 1], scores[labels == 0])
    return bootstrap(
        samples, auc, method="BCa", n_resamples=20_000, batch=2000, rng=1
    ).confidence_interval


def test_bca_interval_equals_scipy_on_two_samples(study):
    labels, scores, _ = study
    reference = scipys_bca(labels, scores)
    found = auc_interval(labels, scores, resamples=20_000)
    # each limit carries the Monte Carlo error of a 2.5 % quantile: about .002
    # here
    assert found.method == "BCa"
    assert found.low == pytest.approx(reference.low, abs=0.006)
    assert found.high == pytest.approx(reference.high, abs=0.006)


@pytest.mark.parametrize("seed", [0, 4])
def test_bca_interval_equals_scipy_on_few_skewed_people(seed):
    # an AUC of 10 against 16 people moves in steps of 1/160; these two have
    # the largest bias
    rng = np.random.default_rng(seed)
    labels = (np.arange(26) < 10).astype(int)
    scores = rng.exponential(size=26) ** 2 * (1 + 6 * labels)
    reference = scipys_bca(labels, scores)
    found = auc_interval(labels, scores, resamples=20_000)
    assert found.low == pytest.approx(reference.low, abs=0.0075)
    assert found.high == pytest.approx(reference.high, abs=0.0075)


def test_a_subject_scanned_many_times_counts_once(study):
    labels, scores, _ = study
    once = auc_interval(labels, scores)
    rows = np.repeat(np.arange(88), 4)
    clustered = auc_interval(labels[rows], scores[rows], subjects=rows)
    naive = auc_interval(labels[rows], scores[rows])
    assert clustered == once
    assert naive.high - naive.low < 0.6 * (once.high - once.low)


def test_subject_names_and_row_order_do_not_matter(study, rng):
    labels, scores, _ = study
    rows = np.repeat(np.arange(88), rng.integers(1, 4, 88))
    names = np.array([f"sub-{i:03d}" for i in rows])
    order = rng.permutation(len(rows))
    first = auc_interval(labels[rows], scores[rows], names)
    shuffled = auc_interval(
        labels[rows][order], scores[rows][order], names[order]
    )
    assert np.allclose(first[:3], shuffled[:3])


def test_a_subject_who_converts_is_its_own_stratum():
    labels = np.array([0, 1, 0, 0, 1, 1, 0, 1])
    subjects = np.array(list("aabcdefg"))
    found = auc_interval(
        labels, np.array([1, 4, 2, 3, 5, 3, 1, 6]), subjects, resamples=500
    )
    assert 0 <= found.low <= found.estimate <= found.high <= 1


def test_the_interval_covers_the_truth():
    # 300 worlds of 22 and 66 people, true AUC known: the share covered is
    # binomial
    truth, covered = 0.802, 0  # Phi(1.2 / sqrt 2)
    rng = np.random.default_rng(11)
    labels = (np.arange(88) < 22).astype(int)
    for world in range(300):
        scores = rng.normal(size=88) + 1.2 * labels
        interval = auc_interval(labels, scores, resamples=500, seed=world)
        covered += interval.low <= truth <= interval.high
    assert 0.90 <= covered / 300 <= 0.985


def test_difference_of_identical_scores_is_exactly_zero(study):
    labels, scores, _ = study
    found = auc_difference(labels, scores, 3 * scores - 1)
    assert found[:3] == (0.0, 0.0, 0.0)


def test_difference_is_paired_and_antisymmetric(study):
    labels, first, second = study
    gain = auc_difference(labels, first, second, resamples=4000)
    loss = auc_difference(labels, second, first, resamples=4000)
    assert gain.estimate == pytest.approx(
        auc_by_loop(labels, first) - auc_by_loop(labels, second)
    )
    assert (loss.low, loss.high) == pytest.approx(
        (-gain.high, -gain.low), abs=1e-3
    )
    covariance = delong_covariance(labels, [first, second])
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert gain.high - gain.low == pytest.approx(2 * 1.96 * error, rel=0.15)
    unpaired = 2 * 1.96 * np.sqrt(covariance[0, 0] + covariance[1, 1])
    assert gain.high - gain.low < 0.8 * unpaired


def test_delong_equals_the_loop(study):
    labels, first, second = study
    found = delong_covariance(labels, [first, second])
    assert np.allclose(
        found, delong_by_loop(labels, first, second), atol=1e-14
    )
    single = delong_covariance(labels, first)
    assert single.shape == (1, 1) and single[0, 0] == pytest.approx(
        found[0, 0]
    )


def test_hanley_mcneil_variance_is_that_of_simulated_exponential_scores():
    # their closed form holds exactly where both classes are exponential
    rng, auc = np.random.default_rng(5), 0.8
    rate = auc / (1 - auc)
    patients, controls = (
        rate * rng.exponential(size=(3000, 22)),
        rng.exponential(size=(3000, 66)),
    )
    worlds = (patients[:, :, None] > controls[:, None]).mean((1, 2))
    assert np.mean(worlds) == pytest.approx(auc, abs=0.005)
    assert auc_variance(auc, 22, 66) == pytest.approx(np.var(worlds), rel=0.08)


def test_the_papers_sample_has_the_precision_and_power_the_statistics_page_states():
    half = 1.96 * np.sqrt(auc_variance(0.846, 22, 66))
    assert half == pytest.approx(0.11, abs=0.005)
    assert power_of_difference(0.846, 0.034, 22, 66, 0.72) == pytest.approx(
        0.14, abs=0.005
    )


def test_power_equals_simulation_of_the_test():
    rng = np.random.default_rng(3)
    auc, gap, correlation = 0.8, 0.08, 0.5
    variances = np.array([auc_variance(a, 40, 60) for a in (auc, auc + gap)])
    cross = correlation * np.sqrt(variances.prod())
    error = np.sqrt(variances.sum() - 2 * cross)
    draws = rng.multivariate_normal(
        [auc, auc + gap],
        [[variances[0], cross], [cross, variances[1]]],
        20_000,
    )
    found = np.mean(np.abs(np.diff(draws, axis=1)[:, 0]) > 1.959964 * error)
    expected = power_of_difference(auc, gap, 40, 60, correlation)
    assert expected == pytest.approx(found, abs=0.01)


def test_minimum_detectable_difference_inverts_power_and_shrinks_with_people():
    small = minimum_detectable_difference(0.75, 22, 66, 0.5)
    large = minimum_detectable_difference(0.75, 220, 660, 0.5)
    assert power_of_difference(0.75, small, 22, 66, 0.5) == pytest.approx(0.8)
    assert large < small / 2
    assert np.isnan(minimum_detectable_difference(0.97, 4, 4, 0.0))


def test_perfect_separation_keeps_a_width():
    labels = (np.arange(30) < 10).astype(int)
    found = auc_interval(labels, labels * 1.0)
    assert (
        found.method == "score"
        and found.high == 1.0
        and 0.6 < found.low < 0.95
    )
    # Newcombe's equation holds at the limit
    variance = auc_variance(found.low, 10, 20)
    assert 1 - found.low == pytest.approx(
        1.959964 * np.sqrt(variance), abs=1e-5
    )


def test_score_interval_solves_its_equation_at_both_ends():
    found = score_interval(0.7, 12, 31)
    for limit in (found.low, found.high):
        expected = 1.959964 * np.sqrt(auc_variance(limit, 12, 31))
        assert abs(0.7 - limit) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("right", "total"), [(0, 9), (7, 9), (9, 9), (9060, 10_000)]
)
def test_proportion_interval_equals_statsmodels(right, total):
    found = proportion_interval(right, total)
    expected = proportion_confint(right, total, method="wilson")
    assert (found.low, found.high) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([1, 1, 1], [1, 2, 3], "one class only"),
        ([0, 1, 2], [1, 2, 3], "must be 0 or 1"),
        ([0, 1, 1], [1, np.nan, 3], "1 values that are not finite"),
        ([0, 1, 1], [1, 2], r"found \(3,\) and \(2,\)"),
        ([[0, 1]], [[1, 2]], r"must both be \(n,\)"),
        ([0, 0, 1], [1, 2, 3], "class 1 has 1 subject"),
    ],
)
def test_bad_input_is_named(labels, scores, message):
    with pytest.raises(ValueError, match=message):
        auc_interval(labels, scores)


def test_bad_options_are_named():
    labels, scores = [0, 0, 1, 1], [1, 2, 3, 4]
    with pytest.raises(ValueError, match="level"):
        auc_interval(labels, scores, level=95)
    with pytest.raises(ValueError, match="resamples"):
        auc_interval(labels, [1, 3, 2, 4], resamples=10)
    with pytest.raises(ValueError, match="subjects"):
        auc_interval(labels, scores, subjects=[1, 2])
    with pytest.raises(ValueError, match="correlation"):
        power_of_difference(0.8, 0.1, 20, 20, correlation=1.0)
    with pytest.raises(ValueError, match="two rows of each class"):
        delong_covariance([0, 0, 1], [1, 2, 3])


def test_several_scores_are_the_mean_of_their_aucs_on_the_same_people(rng):
    labels = np.arange(60) % 3 == 0
    scores = rng.normal(size=(3, 60)) + labels
    one = auc_interval(labels, scores[0], seed=2)
    assert auc_interval(labels, scores[[0] * 4], seed=2)[:3] == pytest.approx(
        one[:3]
    )
    found = auc_interval(labels, scores, seed=2)
    assert found.estimate == pytest.approx(
        np.mean([roc_auc_score(labels, s) for s in scores])
    )
    # three noisy views of one signal: their mean is known better than any one
    # of them
    assert found.high - found.low < one.high - one.low


def clustered_by_loop(labels, scores, subjects):
    """Obuchowski's variance of an AUC (1997), written from her equations."""
    positives, negatives = (
        np.flatnonzero(labels == 1),
        np.flatnonzero(labels == 0),
    )
    won = (
        np.sign(scores[positives][:, None] - scores[negatives][None]) + 1
    ) / 2
    auc = won.mean()
    v10 = dict(zip(positives, won.mean(1), strict=True))
    v01 = dict(zip(negatives, won.mean(0), strict=True))
    names = np.unique(subjects)
    t10 = [sum(v10[i] - auc for i in v10 if subjects[i] == s) for s in names]
    t01 = [sum(v01[i] - auc for i in v01 if subjects[i] == s) for s in names]
    m10, m01 = len(set(subjects[positives])), len(set(subjects[negatives]))
    n1, n0, m = len(positives), len(negatives), len(names)
    s10 = m10 / ((m10 - 1) * n1) * np.sum(np.square(t10))
    s01 = m01 / ((m01 - 1) * n0) * np.sum(np.square(t01))
    s11 = m / (m - 1) * np.sum(np.multiply(t10, t01))
    return auc, s10 / n1 + s01 / n0 + 2 * s11 / (n1 * n0)


def test_logit_interval_is_delongs_error_with_brunner_munzels_degrees_of_freedom(
    study,
):
    labels, scores, _ = study
    found = logit_interval(labels, scores)
    test = brunnermunzel(scores[labels == 0], scores[labels == 1])
    auc, variance = (
        roc_auc(labels, scores),
        delong_covariance(labels, scores)[0, 0],
    )
    # SciPy's statistic is (AUC - 1/2) over the same error; its p gives away
    # the degrees of freedom
    assert test.statistic == pytest.approx((auc - 0.5) / np.sqrt(variance))
    freedom = brentq(
        lambda nu: 2 * student.sf(test.statistic, nu) - test.pvalue, 2, 500
    )
    reach = student.ppf(0.975, freedom) * np.sqrt(variance) / (auc * (1 - auc))
    odds = np.log(auc / (1 - auc)) + reach * np.array([-1, 1])
    assert (found.low, found.high) == pytest.approx(
        tuple(1 / (1 + np.exp(-odds))), abs=1e-6
    )
    assert found.estimate == pytest.approx(auc) and found.method == "logit t"


def test_logit_interval_counts_people_not_scans(study, rng):
    labels, scores, _ = study
    rows = np.repeat(np.arange(88), 4)
    once, again = (
        logit_interval(labels, scores),
        logit_interval(labels[rows], scores[rows], rows),
    )
    assert again[:3] == pytest.approx(once[:3])
    # people of one to three scans, some of whom convert
    subjects = rng.integers(0, 40, 88)
    auc, variance = clustered_by_loop(labels, scores, subjects)
    parts = components(labels, scores[None], subjects)
    assert (parts.estimate, parts.variance) == pytest.approx((auc, variance))


def test_logit_interval_of_separated_classes_and_of_several_folds(study):
    labels, first, second = study
    found = logit_interval(labels, labels * 1.0)
    assert found == score_interval(1.0, 22, 66)
    several = logit_interval(labels, [first, second])
    covariance = delong_covariance(labels, [first, second])
    mean = (roc_auc(labels, first) + roc_auc(labels, second)) / 2
    assert several.estimate == pytest.approx(mean)
    parts = components(labels, np.stack([first, second]), None)
    assert parts.variance == pytest.approx(covariance.mean())


def test_difference_interval_is_delongs_paired_test(study):
    labels, first, second = study
    found = difference_interval(labels, first, second)
    c = delong_by_loop(labels, first, second)
    error = np.sqrt(c[0, 0] + c[1, 1] - 2 * c[0, 1])
    assert found.estimate == pytest.approx(
        auc_by_loop(labels, first) - auc_by_loop(labels, second)
    )
    # Student's t of 20 to 86
    assert 1.96 < (found.high - found.low) / (2 * error) < 2.1
    assert difference_interval(labels, first, 3 * first - 1)[:3] == (
        0.0,
        0.0,
        0.0,
    )


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


def test_the_verdict_says_what_was_shown(rng):
    labels, scores, second = two_populations(
        rng, ((400, 800), (400, 800)), (0.85, 0.85)
    )
    found = auc_gap(labels, scores, second)
    assert (
        found.verdict == "equivalent" and found.equivalence_p < 0.01 < found.p
    )
    few = np.flatnonzero(np.arange(len(labels)) % 40 == 0)
    assert (
        auc_gap(labels[few], scores[few], second[few]).verdict == "undecided"
    )
    labels, scores, second = two_populations(
        rng, ((400, 800), (400, 800)), (0.85, 0.6)
    )
    worse = auc_gap(labels, scores, second)
    assert worse.verdict == "different" and worse.equivalence_p >= 0.5
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
        and table.loc[1, "verdict"] == found.verdict
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


def test_corrected_resampled_is_the_t_test_where_nothing_is_shared(rng):
    values = rng.normal(0.3, 1, 12)
    found = corrected_resampled(values, train=10**9, test=1)
    reference = ttest_1samp(values, 0)
    assert found.p == pytest.approx(reference.pvalue, rel=1e-6)
    limits = reference.confidence_interval()
    assert (found.low, found.high) == pytest.approx(
        (limits.low, limits.high), rel=1e-6
    )
    tenfold = corrected_resampled(values, train=90, test=10)
    assert tenfold.error == pytest.approx(
        np.std(values, ddof=1) * np.sqrt(1 / 12 + 1 / 9)
    )
    assert corrected_resampled([0.0, 0.0], 9, 1).p == 1.0
    with pytest.raises(ValueError, match=r"values: shape \(1,\)"):
        corrected_resampled([0.1], 9, 1)


def test_minimum_detectable_gap_inverts_the_power_of_independent_samples():
    found = minimum_detectable_gap(0.85, (106, 494), (50, 150))
    error = np.sqrt(
        auc_variance(0.85, 106, 494) + auc_variance(0.85 - found, 50, 150)
    )
    assert norm.sf(1.959964 - found / error) == pytest.approx(0.8, abs=1e-4)
    assert np.isnan(minimum_detectable_gap(0.3, (4, 4), (4, 4)))
