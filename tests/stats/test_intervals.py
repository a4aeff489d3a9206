"""Intervals in closed form against the equation they solve and statsmodels."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from mmssl.stats.intervals import proportion_interval, score_interval
from mmssl.stats.power import auc_variance


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
