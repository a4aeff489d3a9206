"""Exponents against NumPy's line, known laws, and people that are resampled
one by one.
"""

import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.metrics import roc_auc_score

from mmssl.stats.power_law import power_law, shortfall_exponent

SIZES = np.array([1000, 4000, 16000, 64000])


def test_a_law_is_found_again():
    law = power_law(SIZES, 3e-4 * SIZES**1.25)
    assert law.exponent == pytest.approx(1.25)
    assert law.factor == pytest.approx(3e-4)
    assert law.high - law.low < 1e-6 and law.points == 4


def test_limits_are_those_of_least_squares():
    values = SIZES**0.8 * np.exp([0.1, -0.2, 0.15, 0.02])
    design = sm.add_constant(np.log(SIZES))
    fit = sm.OLS(np.log(values), design).fit()
    law = power_law(SIZES, values, level=0.9)
    assert law.exponent == pytest.approx(fit.params[1])
    assert (law.low, law.high) == pytest.approx(fit.conf_int(0.1)[1])
    assert law.factor == pytest.approx(np.exp(fit.params[0]))


def test_two_points_have_no_interval():
    law = power_law([10, 1000], [1, 100])
    assert law.exponent == pytest.approx(1)
    assert np.isnan(law.low) and np.isnan(law.high)


def people(seed=0, number=400):
    """Give labels, and scores that get better with size."""
    rng = np.random.default_rng(seed)
    labels = np.arange(number) % 2
    noise = rng.standard_normal((3, number))
    return labels, labels * np.array([[0.3], [0.8], [1.4]]) + noise


def test_the_exponent_of_a_shortfall_is_that_of_its_power_law():
    labels, scores = people()
    sizes = [1000, 4000, 16000]
    short = [0.97 - roc_auc_score(labels, row) for row in scores]
    law = power_law(sizes, short)
    found = shortfall_exponent(labels, scores, sizes, 0.97)
    assert found.estimate == pytest.approx(-law.exponent)
    assert found.low < found.estimate < found.high
    # people drawn one by one, in plain NumPy
    rng, drawn = np.random.default_rng(1), []
    for _ in range(400):
        rows = np.concatenate(
            [rng.choice(np.flatnonzero(labels == k), 200) for k in (0, 1)]
        )
        aucs = [roc_auc_score(labels[rows], row[rows]) for row in scores]
        drawn.append(
            -np.polyfit(np.log(sizes), np.log(0.97 - np.array(aucs)), 1)[0]
        )
    width = np.subtract(*np.quantile(drawn, [0.975, 0.025]))
    assert found.high - found.low == pytest.approx(width, rel=0.2)


def test_the_exponent_of_two_sizes_is_a_ratio_of_logarithms():
    labels, scores = people()
    found = shortfall_exponent(labels, scores[:2], [1000, 8000], 0.97)
    less, more = (0.97 - roc_auc_score(labels, row) for row in scores[:2])
    assert found.estimate == pytest.approx(np.log(less / more) / np.log(8))
    assert found.low < found.estimate < found.high


def test_scores_that_do_not_change_have_exponent_0():
    labels, scores = people()
    same = np.stack([scores[0]] * 3)
    found = shortfall_exponent(labels, same, [1, 10, 100], 0.95)
    assert found.estimate == pytest.approx(0, abs=1e-12)


def test_aucs_that_no_resample_changes_have_no_interval():
    labels, _ = people()
    apart = labels + np.zeros((3, 1))
    found = shortfall_exponent(labels, apart, [1, 10, 100], 1.5)
    assert found.estimate == pytest.approx(0, abs=1e-12)
    assert np.isnan([found.low, found.high]).all()


def test_an_auc_at_the_ceiling_has_no_exponent():
    labels, scores = people()
    found = shortfall_exponent(labels, scores, [1, 10, 100], 0.6)
    assert np.isnan([found.estimate, found.low, found.high]).all()


@pytest.mark.parametrize(
    "sizes, values",
    [([1, 1], [1, 2]), ([1, 2], [1]), ([0, 1], [1, 2]), ([1, 2], [1, -1])],
)
def test_what_has_no_exponent_is_refused(sizes, values):
    with pytest.raises(ValueError, match="expected"):
        power_law(sizes, values)
    labels, scores = people()
    with pytest.raises(ValueError, match="expected"):
        shortfall_exponent(labels, scores, sizes, 0.95)
