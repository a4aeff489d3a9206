"""Average precision of weighted rows, against scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from mmssl.stats.average_precision import weighted_average_precision


def test_every_weighting_is_scikit_learns(rng):
    """With ties, and rows that are not drawn at all."""
    labels = rng.integers(0, 2, 40)
    scores = rng.integers(0, 12, 40) / 12
    weights = rng.integers(0, 4, (25, 40)).astype(float)
    found = weighted_average_precision(labels, scores, weights)
    for value, weight in zip(found, weights, strict=True):
        expected = average_precision_score(
            labels, scores, sample_weight=weight
        )
        assert value == pytest.approx(expected, abs=1e-12)


def test_weights_are_how_often_a_row_is_drawn(rng):
    labels = rng.integers(0, 2, 30)
    scores = rng.normal(size=30)
    counts = rng.integers(0, 3, 30)
    (found,) = weighted_average_precision(labels, scores, counts[None] * 1.0)
    drawn = np.repeat(np.arange(30), counts)
    expected = average_precision_score(labels[drawn], scores[drawn])
    assert found == pytest.approx(expected, abs=1e-12)


def test_without_a_positive_there_is_none():
    labels = np.array([0, 1, 0])
    weights = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    found = weighted_average_precision(labels, np.arange(3.0), weights)
    assert np.isnan(found[0])
    assert found[1] == 0.5
