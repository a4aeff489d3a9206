"""More than two classes: the macro average of one against the rest, against
scikit-learn, a slow jackknife and simulated samples.
"""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from mmssl.stats import auc_interval, difference_interval, roc_auc
from mmssl.stats.delong import components

SIZES = (9, 14, 26)
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(3), SIZES))


def sample(rng, labels=LABELS, separation=1.2):
    """Scores (3, n): that of the own class is larger by the separation."""
    scores = rng.normal(size=(3, len(labels)))
    scores[labels, np.arange(len(labels))] += separation
    return scores


def jackknife_variance(labels, scores):
    """Variance of the macro average, a person left out of each class in
    turn.
    """
    total = 0.0
    for c in np.unique(labels):
        left_out = []
        for person in np.flatnonzero(labels == c):
            rest = np.delete(np.arange(len(labels)), person)
            left_out.append(roc_auc(labels[rest], scores[:, rest]))
        number = len(left_out)
        total += (number - 1) * np.var(left_out)
    return total


def test_the_estimate_is_scikit_learns_macro_average():
    scores = softmax(sample(np.random.default_rng(1)), axis=0)
    expected = roc_auc_score(
        LABELS, scores.T, multi_class="ovr", average="macro"
    )
    assert roc_auc(LABELS, scores) == pytest.approx(expected)
    found = auc_interval(LABELS, scores)
    assert found.estimate == pytest.approx(expected)
    assert found.low < expected < found.high


def test_several_scores_are_averaged():
    rng = np.random.default_rng(2)
    first, second = sample(rng), sample(rng)
    both = np.stack([first, second])
    alone = [roc_auc(LABELS, s) for s in (first, second)]
    assert auc_interval(LABELS, both).estimate == pytest.approx(np.mean(alone))
    gap = difference_interval(LABELS, first, second)
    assert gap.estimate == pytest.approx(alone[0] - alone[1])
    assert difference_interval(LABELS, both, both)[:3] == (0, 0, 0)


def test_the_variance_is_that_of_a_jackknife_within_classes():
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(3), (80, 120, 200))
    scores = sample(rng, labels)
    parts = components(labels, scores[None], None)
    expected = jackknife_variance(labels, scores)
    assert parts.variance == pytest.approx(expected, rel=0.02)


def test_scans_of_one_person_are_added_up():
    scores = sample(np.random.default_rng(4))
    once = components(LABELS, scores[None], None)
    twice = np.repeat(LABELS, 2), np.repeat(scores, 2, axis=1)
    people = np.repeat(np.arange(len(LABELS)), 2)
    doubled = components(twice[0], twice[1][None], people)
    assert doubled.estimate == pytest.approx(once.estimate)
    assert doubled.variance == pytest.approx(once.variance)


def test_classes_may_be_renamed():
    scores = sample(np.random.default_rng(5))
    swap = np.array([2, 0, 1])
    renamed = np.empty_like(scores)
    renamed[swap] = scores
    first = auc_interval(LABELS, scores, resamples=4000)
    second = auc_interval(swap[LABELS], renamed, resamples=4000)
    assert second.estimate == pytest.approx(first.estimate)
    assert second[1:3] == pytest.approx(first[1:3], abs=0.01)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Two equally good scores differ by 0, and one score has a known AUC."""
    rng = np.random.default_rng(6)
    expected = roc_auc(*large_sample(rng))
    gaps, aucs = 0, 0
    for world in range(300):
        first, second = sample(rng), sample(rng)
        gap = difference_interval(LABELS, first, second)
        auc = auc_interval(LABELS, first, resamples=400, seed=world)
        gaps += gap.low <= 0 <= gap.high
        aucs += auc.low <= expected <= auc.high
    assert 0.92 <= gaps / 300 <= 0.985
    assert 0.90 <= aucs / 300 <= 0.985


def large_sample(rng):
    labels = np.repeat(np.arange(3), (40_000,) * 3)
    return labels, sample(rng, labels)


def test_perfect_separation_keeps_a_width():
    scores = np.zeros((3, len(LABELS)))
    scores[LABELS, np.arange(len(LABELS))] = 1
    found = auc_interval(LABELS, scores)
    assert found.method == "score"
    assert found.estimate == 1
    assert 0.6 < found.low < 1


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        (LABELS, np.zeros(49), r"scores: shape \(49,\), expected \(3, 49\)"),
        (LABELS, np.zeros((2, 49)), r"\(2, 49\), expected \(3, 49\)"),
        (LABELS + 1, np.zeros((3, 49)), r"found \[1, 2, 3\]"),
        (LABELS * 2, np.zeros((3, 49)), r"found \[0, 2, 4\]"),
        (LABELS, np.full((3, 49), np.nan), "values that are not finite"),
    ],
)
def test_what_has_no_macro_average_is_refused(labels, scores, message):
    for measure in (roc_auc, auc_interval):
        with pytest.raises(ValueError, match=message):
            measure(labels, scores)


def test_a_class_of_one_person_has_no_interval():
    labels = np.r_[LABELS, 3]
    scores = np.random.default_rng(7).normal(size=(4, len(labels)))
    with pytest.raises(ValueError, match="class 3 has 1 subject"):
        auc_interval(labels, scores)
    with pytest.raises(ValueError, match="class 3 has 1 subject"):
        difference_interval(labels, scores, scores)
