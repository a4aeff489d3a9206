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


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_no_difference_is_found_as_often_as_the_level_allows(level):
    found = power_of_difference(0.8, 0.0, 20, 40, level=level)
    assert found == pytest.approx(1 - level)
    # where the test rejects more often than asked, no difference is needed
    alike = {"power": (1 - level) / 2, "level": level}
    assert minimum_detectable_difference(0.8, 20, 40, **alike) == 0
    assert minimum_detectable_gap(0.8, (20, 40), (20, 40), **alike) == 0


def test_nothing_lies_above_an_auc_of_one_or_below_none():
    assert np.isnan(minimum_detectable_difference(1.0, 20, 40))
    assert np.isnan(minimum_detectable_gap(0.0, (20, 40), (20, 40)))


def test_one_person_of_each_class_is_a_design():
    # two people: the AUC is 0 or 1
    assert auc_variance(0.8, 1, 1) == pytest.approx(0.8 * 0.2)
    for people in ((0, 5), (5, 0)):
        with pytest.raises(ValueError, match="both groups need a person"):
            auc_variance(0.8, *people)
    for auc in (-0.1, 1.1):
        with pytest.raises(ValueError, match="auc must be in"):
            auc_variance(auc, 5, 5)


@pytest.mark.parametrize("power", [0.0, 1.0, 80])
def test_a_power_that_is_no_chance_is_refused(power):
    with pytest.raises(ValueError, match="power must be in"):
        minimum_detectable_difference(0.8, 20, 40, power=power)
    with pytest.raises(ValueError, match="power must be in"):
        minimum_detectable_gap(0.8, (20, 40), (20, 40), power=power)


def test_a_correlation_of_one_is_refused():
    with pytest.raises(ValueError, match="correlation"):
        power_of_difference(0.8, 0.1, 20, 20, correlation=1.0)
