"""The bootstrap of an AUC against SciPy's, and how people are resampled."""

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import roc_auc_score

from mmssl.stats.auc import weighted_auc
from mmssl.stats.bootstrap import (
    Clusters,
    auc_gain_interval,
    auc_interval,
    bias_corrected,
    draw_counts,
)
from mmssl.stats.delong import logit_interval
from mmssl.stats.power import auc_variance


def auc_of(positive, negative, axis=-1):
    wins = np.sign(positive[..., :, None] - negative[..., None, :])
    return (wins.mean((-1, -2)) + 1) / 2


def scipys_bca(labels, scores):
    samples = (scores[labels == 1], scores[labels == 0])
    return bootstrap(
        samples, auc_of, method="BCa", n_resamples=20_000, batch=2000, rng=1
    ).confidence_interval


def scipys_limits(samples, statistic, draws, level):
    """SciPy's BCa limits of draws that are given to it."""
    drawn = bootstrap(samples, statistic, n_resamples=2, rng=0)
    drawn.bootstrap_distribution = draws
    return bootstrap(
        samples,
        statistic,
        method="BCa",
        n_resamples=0,
        bootstrap_result=drawn,
        confidence_level=level,
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


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_of_the_same_draws_the_bca_limits_are_scipys(study, level):
    labels, scores, _ = study
    weights = Clusters(labels, None).draws(500, seed=7)
    draws = weighted_auc(labels, scores, weights)
    samples = (scores[labels == 1], scores[labels == 0])
    expected = scipys_limits(samples, auc_of, draws, level)
    found = auc_interval(labels, scores, None, 500, 7, level)
    assert found[1:3] == pytest.approx(tuple(expected), abs=1e-9)
    assert found.level == level


@pytest.mark.parametrize("shift", [-0.1, 0.0, 0.2])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_bias_correction_is_scipys_without_acceleration(rng, shift, level):
    half = rng.normal(size=20)
    # a mean of people who lie symmetrically is not accelerated
    people = np.concatenate([half, -half])
    draws = rng.normal(shift, 0.2, size=999)
    expected = scipys_limits((people,), np.mean, draws, level)
    found = bias_corrected(people.mean(), draws, level)
    assert found == pytest.approx(tuple(expected), abs=1e-9)


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


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_a_gain_is_resampled_in_pairs(study, rng, level):
    labels, scores, _ = study
    baseline = 0.5 * scores + rng.normal(size=len(scores))
    found = auc_gain_interval(
        labels, scores, baseline, resamples=500, seed=7, level=level
    )
    # SciPy draws people whose two scores are one complex number
    both = scores + 1j * baseline

    def gain(positive, negative, axis=-1):
        first = auc_of(positive.real, negative.real)
        return first - auc_of(positive.imag, negative.imag)

    samples = both[labels == 1], both[labels == 0]
    weights = Clusters(labels, None).draws(500, seed=7)
    draws = weighted_auc(labels, scores, weights)
    draws = draws - weighted_auc(labels, baseline, weights)
    low, high = scipys_limits(samples, gain, draws, level)
    assert found.estimate == pytest.approx(gain(*samples))
    assert found.low == pytest.approx(low)
    assert found.high == pytest.approx(high)
    back = auc_gain_interval(labels, baseline, scores, resamples=500, seed=7)
    assert back.estimate == pytest.approx(-found.estimate)


def test_a_gain_that_no_resample_changes_has_no_limits(study):
    labels, scores, _ = study
    found = auc_gain_interval(labels, scores, 3 * scores, resamples=100)
    assert found.estimate == 0
    assert np.isnan([found.low, found.high]).all()
    with pytest.raises(ValueError, match="at least 100, found 99"):
        auc_gain_interval(labels, scores, scores, resamples=99)


def test_a_gain_of_several_scores_is_of_their_mean_aucs(study, rng):
    labels, scores, subjects = study
    scores = np.stack([scores, scores + rng.normal(size=len(scores))])
    baseline = rng.normal(size=(3, len(labels)))
    found = auc_gain_interval(labels, scores, baseline, subjects, 200)
    parts = [
        auc_interval(labels, one, subjects, 200).estimate
        for one in (scores, baseline)
    ]
    assert found.estimate == pytest.approx(parts[0] - parts[1])


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


def test_two_subjects_of_a_class_are_enough():
    found = auc_interval([0, 0, 1, 1], [1, 3, 2, 4])
    assert found.estimate == 0.75 and found.low < 0.75 < found.high


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


@pytest.mark.parametrize("positives", [10, 20])
def test_perfect_separation_keeps_a_width(positives):
    labels = (np.arange(30) < positives).astype(int)
    found = auc_interval(labels, labels * 1.0)
    assert found.method == "score"
    assert found.high == 1.0
    assert 0.6 < found.low < 0.95
    # Newcombe's equation holds at the limit
    variance = auc_variance(found.low, positives, 30 - positives)
    assert 1 - found.low == pytest.approx(
        1.959964 * np.sqrt(variance), abs=1e-5
    )


def test_draws_keep_the_size_of_every_stratum(rng):
    strata = np.array(["a", "b", "a", "c", "b", "a"])
    counts = draw_counts(strata, 4000, rng)
    for stratum in "abc":
        members = strata == stratum
        assert (counts[:, members].sum(axis=1) == members.sum()).all()
        assert np.allclose(counts[:, members].mean(axis=0), 1, atol=0.06)


def test_bias_correction_leaves_unbiased_draws_and_moves_others(rng):
    draws = rng.normal(size=4001)
    plain = np.quantile(draws, [0.025, 0.975])
    assert bias_corrected(np.median(draws), draws, 0.95) == pytest.approx(
        tuple(plain)
    )
    # draws that lie too high by one standard error: limits move down by two
    low, high = bias_corrected(np.median(draws) - 1, draws, 0.95)
    assert low < -3 and high == pytest.approx(0, abs=0.15)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([1, 1, 1], [1, 2, 3], "one class only"),
        ([0, 2, 2], [1, 2, 3], "must be 0 or 1"),
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
    for level in (0.0, 1.0, 95):
        with pytest.raises(ValueError, match="level"):
            auc_interval(labels, scores, level=level)
    with pytest.raises(ValueError, match="resamples"):
        auc_interval(labels, [1, 3, 2, 4], resamples=10)
    with pytest.raises(ValueError, match="subjects"):
        auc_interval(labels, scores, subjects=[1, 2])


def test_who_has_no_name_is_not_one_person(study):
    labels, scores, _ = study
    subjects = np.arange(88.0)
    subjects[10:40] = np.nan
    for interval in (auc_interval, logit_interval):
        with pytest.raises(
            ValueError, match="subjects: 30 of 88 rows have no value"
        ):
            interval(labels, scores, subjects)
    with pytest.raises(ValueError, match="strata: 30 of 88 rows"):
        draw_counts(subjects, 10, np.random.default_rng(0))
