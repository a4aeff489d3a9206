"""AUC against a loop over pairs and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mmssl.stats import auc
from mmssl.stats.auc import left_out_auc, roc_auc, weighted_auc


def auc_by_loop(labels, scores):
    """Count won pairs one by one."""
    won = total = 0.0
    for a, score in zip(labels, scores, strict=True):
        for b, other in zip(labels, scores, strict=True):
            if a == 1 and b == 0:
                won += 1.0 if score > other else 0.5 if score == other else 0.0
                total += 1
    return won / total


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


def test_weighted_auc_is_the_auc_of_rows_drawn_so_often(rng):
    labels = np.arange(20) % 2
    scores = np.round(rng.normal(size=20), 1)
    weights = rng.integers(0, 3, size=(5, 20))
    aucs = weighted_auc(labels, scores, weights)
    for found, counts in zip(aucs, weights, strict=True):
        rows = np.repeat(np.arange(20), counts)
        expected = auc_by_loop(labels[rows], scores[rows])
        assert found == pytest.approx(expected, abs=1e-12)


def test_blocks_of_weights_change_nothing(rng, monkeypatch):
    labels, scores = np.arange(20) % 2, rng.normal(size=20)
    weights = rng.integers(0, 3, size=(5, 20))
    whole = weighted_auc(labels, scores, weights)
    monkeypatch.setattr(auc, "_ELEMENTS", 45)
    assert np.array_equal(weighted_auc(labels, scores, weights), whole)


@pytest.mark.parametrize("scans", [1, 3])
def test_without_each_subject_it_is_the_auc_of_the_others(rng, scans):
    """Also of who has rows of both classes, and with ties."""
    labels = np.arange(30) % 2
    scores = np.round(rng.normal(size=30), 1)
    subjects = np.arange(30) // scans
    found = left_out_auc(labels, scores, subjects)
    assert found.shape == (30 // scans,)
    for subject, value in enumerate(found):
        rest = subjects != subject
        expected = auc_by_loop(labels[rest], scores[rest])
        assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([1, 1, 1], [1, 2, 3], "one class only"),
        ([0, 2, 2], [1, 2, 3], "must be 0 or 1"),
        ([0, 1, 1], [1, np.nan, 3], "1 values that are not finite"),
        ([0, 1, 1], [1, 2], r"found \(3,\) and \(2,\)"),
        ([[0, 1]], [[1, 2]], r"must both be \(n,\)"),
    ],
)
def test_bad_input_is_named(labels, scores, message):
    with pytest.raises(ValueError, match=message):
        roc_auc(labels, scores)
