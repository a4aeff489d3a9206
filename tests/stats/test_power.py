"""Variance and power of AUCs against simulation and their own inverses."""

import numpy as np
import pytest
from scipy.stats import norm

from mmssl.stats.power import (
    auc_variance,
    minimum_detectable_difference,
    minimum_detectable_gap,
    power_of_difference,
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


def test_the_papers_sample_has_the_precision_and_power_that_is_stated():
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


def test_minimum_detectable_gap_inverts_the_power_of_independent_samples():
    found = minimum_detectable_gap(0.85, (106, 494), (50, 150))
    error = np.sqrt(
        auc_variance(0.85, 106, 494) + auc_variance(0.85 - found, 50, 150)
    )
    assert norm.sf(1.959964 - found / error) == pytest.approx(0.8, abs=1e-4)
    assert np.isnan(minimum_detectable_gap(0.3, (4, 4), (4, 4)))


def test_a_correlation_of_one_is_refused():
    with pytest.raises(ValueError, match="correlation"):
        power_of_difference(0.8, 0.1, 20, 20, correlation=1.0)
