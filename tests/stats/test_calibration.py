"""Calibration against scikit-learn, loops, a Newton solver by hand, and
perfect forecasters.
"""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from mmssl.stats.calibration import (
    calibration,
    expected_calibration_error,
    reliability,
)


@pytest.fixture
def forecast(rng):
    """Give 22 patients and 66 controls, with probabilities twice too bold."""
    labels = (np.arange(88) < 22).astype(int)
    scores = rng.normal(size=88) + 1.3 * labels
    return labels, expit(2 * (1.3 * scores - 0.85 - np.log(3)))


def ece_by_loop(labels, probabilities, bins):
    """Sort people, cut them into bins of equal number, add up what each is off
    by.
    """
    order = np.argsort(probabilities)
    total = 0.0
    for cell in np.array_split(order, bins):
        gap = np.mean(labels[cell]) - np.mean(probabilities[cell])
        total += len(cell) / len(labels) * abs(gap)
    return total


@pytest.mark.parametrize("bins", [1, 4, 8, 11])
def test_the_expected_error_equals_the_loop(forecast, bins):
    measured = expected_calibration_error(*forecast, bins)
    assert measured == pytest.approx(ece_by_loop(*forecast, bins), abs=1e-12)


def test_equal_probabilities_give_one_expected_error_in_any_order(
    rng,
):
    labels = rng.integers(0, 2, 60)
    p = np.round(rng.random(60), 1)
    order = rng.permutation(60)
    measured = expected_calibration_error(labels[order], p[order])
    assert measured == pytest.approx(
        expected_calibration_error(labels, p), abs=1e-14
    )


def test_the_diagram_is_scikit_learns(forecast):
    labels, p = forecast
    table = reliability(labels, p, bins=8)
    observed, predicted = calibration_curve(
        labels, p, n_bins=8, strategy="quantile"
    )
    assert np.allclose(table["observed"], observed) and np.allclose(
        table["predicted"], predicted
    )
    assert table["people"].sum() == 88
    assert (
        (table["low"] <= table["observed"])
        & (table["observed"] <= table["high"])
    ).all()


def test_brier_is_scikit_learns_and_its_limits_are_those_of_a_mean(forecast):
    labels, p = forecast
    measured = calibration(labels, p, resamples=4000)
    assert measured.brier.estimate == pytest.approx(
        brier_score_loss(labels, p)
    )
    assert measured.skill == pytest.approx(
        1 - measured.brier.estimate / (0.25 * 0.75)
    )
    spread = np.std((labels - p) ** 2) / 88**0.5
    assert measured.brier.high - measured.brier.low == pytest.approx(
        2 * 1.96 * spread, rel=0.1
    )


def test_the_line_is_the_maximum_of_the_likelihood(forecast):
    labels, p = forecast
    measured = calibration(labels, p, resamples=100)

    def loss(line):
        z = line[0] + line[1] * logit(p)
        return np.sum(np.logaddexp(0, z) - labels * z)

    full = minimize(loss, (0.0, 1.0), tol=1e-10)
    large = minimize(lambda a: loss((a[0], 1.0)), (0.0,), tol=1e-10)
    assert measured.slope.estimate == pytest.approx(full.x[1], abs=1e-4)
    assert measured.intercept.estimate == pytest.approx(large.x[0], abs=1e-4)
    # Wald limits from the information matrix, written out
    q = expit(full.x[0] + full.x[1] * logit(p))
    x = np.column_stack([np.ones(88), logit(p)])
    error = np.linalg.inv(x.T @ (x * (q * (1 - q))[:, None]))[1, 1] ** 0.5
    assert measured.slope.high - measured.slope.low == pytest.approx(
        2 * 1.959964 * error, rel=1e-3
    )


def test_bold_timid_and_shifted_probabilities_are_told_apart():
    rng = np.random.default_rng(4)
    odds = rng.normal(size=20_000) - 1
    labels = (rng.random(20_000) < expit(odds)).astype(int)
    for stretch, shift in ((1.0, 0.0), (2.0, 0.0), (0.5, 0.0), (1.0, 0.7)):
        measured = calibration(
            labels, expit(stretch * odds + shift), resamples=200
        )
        assert measured.slope.estimate == pytest.approx(1 / stretch, rel=0.05)
        assert (measured.ece_p > 0.01) == (stretch == 1 and shift == 0)
        if stretch == 1:
            assert measured.intercept.estimate == pytest.approx(
                -shift, abs=0.06
            )


def test_chance_is_what_perfect_forecasters_show(forecast):
    labels, p = forecast
    measured = calibration(labels, p, bins=10, resamples=3000)
    rng = np.random.default_rng(9)
    worlds = [
        ece_by_loop((rng.random(88) < p).astype(int), p, 10)
        for _ in range(1500)
    ]
    assert measured.ece_by_chance == pytest.approx(np.mean(worlds), rel=0.05)
    # far from 0 at 88 people, though nothing is wrong
    assert measured.ece_by_chance > 0.04


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_limits_of_the_expected_error_are_those_of_resampled_people(
    forecast, level
):
    labels, p = forecast
    p = p**2  # far too low
    found = calibration(labels, p, bins=4, resamples=4000, level=level).ece
    cells = np.argsort(np.argsort(p)) // 22
    rng = np.random.default_rng(8)
    drawn = []
    for _ in range(4000):
        people = rng.integers(0, 88, 88)
        gaps = np.bincount(cells[people], (labels - p)[people])
        drawn.append(np.abs(gaps).sum() / 88)
    low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2])
    noise = np.mean(drawn) - found.estimate
    assert found.high == pytest.approx(high, abs=0.006)
    assert found.low == pytest.approx(low - noise, abs=0.006)
    assert 0 < found.low < found.estimate < found.high


def test_an_error_that_chance_explains_has_a_lower_limit_of_0(rng):
    p = rng.random(200)
    labels = (rng.random(200) < p).astype(int)
    found = calibration(labels, p, resamples=500)
    assert found.ece_p > 0.1 and found.ece.low == 0 < found.ece.estimate


def test_scans_of_one_person_count_once(forecast):
    labels, p = forecast
    rows = np.repeat(np.arange(88), 3)
    once = calibration(labels, p)
    again = calibration(labels[rows], p[rows], subjects=rows)
    for a, b in ((once.brier, again.brier), (once.slope, again.slope)):
        assert a.estimate == pytest.approx(b.estimate)
        # a sandwich and an information matrix agree up to small samples
        assert b.high - b.low == pytest.approx(a.high - a.low, rel=0.25)


def test_perfect_separation_has_no_slope(forecast):
    labels, _ = forecast
    measured = calibration(labels, 0.2 + 0.6 * labels, resamples=200)
    assert (
        np.isnan(measured.slope.estimate)
        and measured.slope.method == "separated"
    )
    assert np.isnan(calibration(labels, np.full(88, 0.25)).slope.estimate)


def test_bad_input_is_named(forecast):
    labels, p = forecast
    with pytest.raises(
        ValueError, match=r"probabilities run from -.*logistic function"
    ):
        calibration(labels, logit(p))
    with pytest.raises(ValueError, match=r"run from 0.2 to 1.5, expected"):
        calibration([0, 1, 1, 0], [0.2, 1.5, 0.7, 0.4])
    with pytest.raises(ValueError, match="one class only"):
        calibration(np.ones(88, int), p)
    with pytest.raises(ValueError, match="bins is 0"):
        expected_calibration_error(labels, p, 0)
