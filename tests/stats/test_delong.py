"""DeLong's covariance and its intervals against loops from the papers and
SciPy's Brunner-Munzel test.
"""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import brunnermunzel
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

from mmssl.stats.auc import roc_auc
from mmssl.stats.delong import (
    components,
    delong_covariance,
    difference_interval,
    logit_interval,
)
from mmssl.stats.intervals import score_interval


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


def test_logit_interval_is_delongs_error_with_brunner_munzels_freedom(
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


def test_scores_that_are_all_the_same_have_the_score_interval(study):
    labels, _, _ = study
    found = logit_interval(labels, np.ones(88), level=0.9)
    assert found == score_interval(0.5, 22, 66, 0.9)


def test_difference_interval_is_delongs_paired_test(study):
    labels, first, second = study
    found = difference_interval(labels, first, second)
    c = delong_by_loop(labels, first, second)
    error = np.sqrt(c[0, 0] + c[1, 1] - 2 * c[0, 1])
    assert found.estimate == pytest.approx(
        roc_auc_score(labels, first) - roc_auc_score(labels, second)
    )
    # Student's t of 20 to 86
    assert 1.96 < (found.high - found.low) / (2 * error) < 2.1
    assert difference_interval(labels, first, 3 * first - 1)[:3] == (
        0.0,
        0.0,
        0.0,
    )


def test_difference_to_the_mean_of_several_is_a_contrast_of_delongs(
    study, rng
):
    """One score against the mean AUC of three others on the same people."""
    labels, first, second = study
    others = second + rng.normal(size=(3, len(labels)))
    found = difference_interval(labels, first, others)
    weights = np.array([1, -1 / 3, -1 / 3, -1 / 3])
    aucs = [roc_auc_score(labels, score) for score in (first, *others)]
    assert found.estimate == pytest.approx(weights @ aucs)
    covariance = delong_covariance(labels, [first, *others])
    error = np.sqrt(weights @ covariance @ weights)
    assert 1.96 < (found.high - found.low) / (2 * error) < 2.1


def test_a_paired_difference_is_antisymmetric_and_shorter_than_an_unpaired(
    study,
):
    labels, first, second = study
    gain = difference_interval(labels, first, second)
    loss = difference_interval(labels, second, first)
    assert (loss.low, loss.high) == pytest.approx((-gain.high, -gain.low))
    covariance = delong_covariance(labels, [first, second])
    unpaired = 2 * 1.96 * np.sqrt(covariance[0, 0] + covariance[1, 1])
    assert gain.high - gain.low < 0.8 * unpaired


def test_two_of_each_class_are_enough():
    labels = np.array([0, 1, 0, 1])
    first, second = np.array([[1.0, 2, 3, 4], [1, 4, 3, 2]])
    found = delong_covariance(labels, [first, second])
    expected = delong_by_loop(labels, first, second)
    assert expected[0, 0] > 0
    assert np.allclose(found, expected, atol=1e-14)


def test_too_few_people_are_named():
    with pytest.raises(ValueError, match="two rows of each class"):
        delong_covariance([0, 0, 1], [1, 2, 3])
    with pytest.raises(ValueError, match="class 1 has 1 subject"):
        logit_interval([0, 0, 1], [1, 2, 3])
    with pytest.raises(ValueError, match="subjects"):
        logit_interval([0, 0, 1, 1], [1, 2, 3, 4], [1, 2])
