"""A mean over people: SciPy's interval, and none where there is no spread."""

import numpy as np
import pytest
from scipy import stats

from mmssl.stats import mean_interval


def test_it_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        found = mean_interval(rng.exponential(size=40), resamples=400)
        covered += found.low < 1 < found.high
    assert 0.9 < covered / 300 < 0.98


def test_limits_are_scipys_and_widen_with_the_level():
    values = np.random.default_rng(2).gamma(2, size=25)
    found = mean_interval(values, 500, seed=3)
    expected = stats.bootstrap((values,), np.mean, n_resamples=500, rng=3)
    assert (found.low, found.high) == tuple(expected.confidence_interval)
    assert found.estimate == pytest.approx(values.mean())
    wider = mean_interval(values, 500, seed=3, level=0.99)
    assert wider.low < found.low < found.high < wider.high


def test_no_spread_has_no_limits_and_bad_input_is_refused():
    same = mean_interval([2.0, 2.0, 2.0])
    assert same.estimate == 2 and np.isnan([same.low, same.high]).all()
    for values in ([], [1.0, np.nan], [[1.0, 2.0]]):
        with pytest.raises(ValueError, match="one finite number a person"):
            mean_interval(values)
    with pytest.raises(ValueError, match="level"):
        mean_interval([1.0, 2.0], level=2)
