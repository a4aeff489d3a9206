"""Intervals in closed form against the equations they solve."""

import numpy as np
import pytest

from mmssl.stats.intervals import proportion_interval, score_interval
from mmssl.stats.power import auc_variance

NORMAL = {0.9: 1.644854, 0.95: 1.959964}


@pytest.mark.parametrize("level", NORMAL)
def test_score_interval_solves_its_equation_at_both_ends(level):
    found = score_interval(0.7, 12, 31, level)
    assert found.low < 0.7 < found.high
    for limit in (found.low, found.high):
        expected = NORMAL[level] * np.sqrt(auc_variance(limit, 12, 31))
        assert abs(0.7 - limit) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("level", NORMAL)
@pytest.mark.parametrize(
    ("right", "total"), [(0, 9), (7, 9), (9, 9), (9060, 10_000)]
)
def test_wilsons_limits_are_those_that_a_test_just_does_not_reject(
    right, total, level
):
    found = proportion_interval(right, total, level)
    assert found.estimate == right / total and found.level == level
    for limit in (found.low, found.high):
        error = np.sqrt(limit * (1 - limit) / total)
        distance = abs(found.estimate - limit)
        assert distance == pytest.approx(NORMAL[level] * error, abs=1e-6)
    assert (found.low == 0) == (right == 0)
    assert (found.high == 1) == (right == total)


@pytest.mark.parametrize(("right", "total"), [(0, 0), (-1, 5), (6, 5)])
def test_no_proportion_is_refused(right, total):
    with pytest.raises(ValueError, match=f"{right} successes of {total}"):
        proportion_interval(right, total)
    with pytest.raises(ValueError, match="level"):
        proportion_interval(1, 2, 95)
