"""The Dice coefficient against scikit-learn's F1, which is the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from mmssl.stats import dice_coefficient


@given(st.integers(2, 4), st.integers(0, 20))
def test_it_is_the_mean_f1_over_the_classes_that_are_there(classes, seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=(3, 2, 3, 2))
    truth[1] = 0
    found = rng.integers(classes, size=truth.shape)
    dice = dice_coefficient(found, truth, classes)
    assert np.isnan(dice[1])
    for row in (0, 2):
        shown = [k for k in range(1, classes) if (truth[row] == k).any()]
        if not shown:
            assert np.isnan(dice[row])
            continue
        f1 = f1_score(
            truth[row].ravel(), found[row].ravel(), labels=shown, average=None
        )
        assert dice[row] == pytest.approx(f1.mean())


def test_masks_of_two_classes_may_be_bool():
    truth = np.array([[True, True, False], [False, False, False]])
    found = np.array([[True, False, True], [True, False, False]])
    dice = dice_coefficient(found, truth)
    assert dice[0] == 0.5 and np.isnan(dice[1])


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"predicted \(2, 3\) and truth"):
        dice_coefficient(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="truth holds 0 to 2, expected"):
        dice_coefficient(np.zeros((1, 2)), np.array([[0, 2]]))
