"""Numbers that are predicted: against scikit-learn, SciPy's bootstrap and
simulated samples.
"""

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import mean_absolute_error, r2_score

from mmssl.stats import mae_interval, r2_difference, r2_interval
from mmssl.stats.bootstrap import draw_counts
from mmssl.stats.r2 import r2_resampled

AGE = np.random.default_rng(3).normal(72, 8, 41)
NOISE = np.random.default_rng(4).normal(0, 6, (3, 41))


def test_estimates_are_those_of_scikit_learn_averaged_over_predictions():
    predictions = AGE + NOISE
    r2 = np.mean([r2_score(AGE, p) for p in predictions])
    mae = np.mean([mean_absolute_error(AGE, p) for p in predictions])
    assert r2_interval(AGE, predictions).estimate == pytest.approx(r2)
    assert mae_interval(AGE, predictions).estimate == pytest.approx(mae)
    assert r2_interval(AGE, predictions[0]).estimate == pytest.approx(
        r2_score(AGE, predictions[0])
    )


@pytest.mark.parametrize(
    ("interval", "score"),
    [(r2_interval, r2_score), (mae_interval, mean_absolute_error)],
)
def test_limits_are_those_of_scipys_bootstrap(interval, score):
    prediction = AGE + NOISE[0]
    found = interval(AGE, prediction, resamples=20_000)
    expected = scipy.stats.bootstrap(
        (AGE, prediction),
        score,
        paired=True,
        vectorized=False,
        method="BCa",
        n_resamples=4000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    width = expected.high - expected.low
    assert found.low == pytest.approx(expected.low, abs=0.06 * width)
    assert found.high == pytest.approx(expected.high, abs=0.06 * width)


def test_a_resample_is_scored_about_its_own_mean():
    prediction = AGE + NOISE[0]
    found = r2_resampled(AGE, prediction, resamples=100, seed=3)
    rng = np.random.default_rng(3)
    counts = draw_counts(np.zeros(len(AGE)), 100, rng)
    expected = [r2_score(AGE, prediction, sample_weight=w) for w in counts]
    assert np.allclose(found.draws, expected)
    without = [np.delete(np.arange(len(AGE)), i) for i in range(len(AGE))]
    left_out = [r2_score(AGE[i], prediction[i]) for i in without]
    assert np.allclose(found.left_out, left_out)


def test_a_difference_is_that_of_the_two_and_paired():
    first, second = AGE + NOISE[0], AGE + NOISE[0] + NOISE[1]
    gap = r2_difference(AGE, first, second)
    alone = [r2_interval(AGE, p) for p in (first, second)]
    assert gap.estimate == pytest.approx(alone[0].estimate - alone[1].estimate)
    mirrored = r2_difference(AGE, second, first)
    assert mirrored.estimate == pytest.approx(-gap.estimate)
    unpaired = sum((a.high - a.low) ** 2 for a in alone) ** 0.5
    assert gap.high - gap.low < unpaired
    same = r2_difference(AGE, first, first)
    assert (same.estimate, same.low, same.high) == (0, 0, 0)


def test_a_unit_changes_the_error_and_not_the_share():
    prediction = AGE + NOISE[0]
    months = 12 * AGE, 12 * prediction
    years = r2_interval(AGE, prediction)
    assert r2_interval(*months)[:3] == pytest.approx(years[:3])
    error = np.array(mae_interval(AGE, prediction)[:3])
    assert mae_interval(*months)[:3] == pytest.approx(12 * error)


def test_draws_without_spread_are_left_out():
    truth = np.array([0, 0, 0, 0, 0, 0, 1.0])
    found = r2_interval(truth, np.full(7, 0.2))
    assert np.isfinite(found[:3]).all()
    assert found.low <= found.estimate <= found.high


def test_intervals_hold_the_truth_as_often_as_they_say():
    """R2 of a prediction with noise, 60 people: .95 within the error of 400
    worlds.
    """
    rng = np.random.default_rng(11)
    held = 0
    for world in range(400):
        truth = rng.normal(0, 8, 60)
        predicted = 0.8 * truth + rng.normal(0, 4, 60)
        # residual .2 y + noise: (.04 * 64 + 16) / 64
        found = r2_interval(truth, predicted, 500, seed=world)
        held += found.low <= 1 - 18.56 / 64 <= found.high
    assert 0.91 <= held / 400 <= 0.98


@pytest.mark.parametrize(
    ("truth", "predictions", "message"),
    [
        (AGE[:3], AGE[:3], "3 people, expected at least 4"),
        (np.full(9, 70.0), np.zeros(9), "truth is 70.0 in everybody"),
        (AGE, AGE[:40], r"found \(41,\) and \(40,\)"),
        (
            AGE,
            np.where(AGE > 80, np.nan, AGE),
            "predictions: . values are not",
        ),
        (np.where(AGE > 80, np.inf, AGE), AGE, "truth: . values are not"),
    ],
)
def test_what_cannot_be_scored_is_refused(truth, predictions, message):
    for interval in (r2_interval, mae_interval):
        with pytest.raises(ValueError, match=message):
            interval(truth, predictions)


def test_a_level_and_resamples_are_checked():
    for level in (95, 1, 0):
        with pytest.raises(ValueError, match="level must be in"):
            r2_interval(AGE, AGE + 1, level=level)
    with pytest.raises(ValueError, match="at least 100, found 99"):
        r2_interval(AGE, AGE + 1, resamples=99)
