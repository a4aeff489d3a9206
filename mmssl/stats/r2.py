r"""How well numbers are predicted, such as an age or a test score: the
coefficient of determination and the mean absolute error, with intervals.

.. math::
    R^2 = 1 - \frac{\sum_i (y_i - \hat y_i)^2}{\sum_i (y_i - \bar y)^2}, \quad
    \mathrm{MAE} = \frac{1}{n} \sum_i |y_i - \hat y_i| ,

both of people whom no fit has seen, so that :math:`R^2` is below 0 where a
prediction is worse than their mean. Intervals are BCa bootstraps over people;
each row is a person. Of an :math:`R^2` of .71, 95 % intervals held the truth
in .95, .94 and .89 of 600 simulated worlds of 88, 30 and 12 people, those of a
difference in .94, .94 and .93: with few people they are too narrow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mmssl.stats.auc import Interval, checked_level
from mmssl.stats.bootstrap import bca_limits, draw_counts

SMALLEST_SAMPLE = 4
"""People below whom no interval is given."""

# of how often each person is drawn, (draws, n): a value of each draw
Statistic = Callable[[np.ndarray], np.ndarray]


class Resampled(NamedTuple):
    """A statistic and its resamples.

    estimate : of everybody.
    draws : (B,), of each resample.
    left_out : (n,), without each person.
    """

    estimate: float
    draws: np.ndarray
    left_out: np.ndarray

    def interval(self, level: float = 0.95) -> Interval:
        """Its BCa interval; without width where no resample differs."""
        level = checked_level(level)
        low = high = self.estimate
        if np.ptp(self.draws) > 0:
            stratum = np.zeros(len(self.left_out))
            low, high = bca_limits(
                self.estimate, self.draws, self.left_out, stratum, level
            )
        return Interval(self.estimate, low, high, level, "BCa")


def r2_interval(
    truth,
    predictions,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """R2 with its BCa interval.

    Parameters
    ----------
    truth : array-like, shape (n,)
    predictions : array-like, shape (n,) or (k, n)
        Of k predictions of the same people, the mean of their R2.
    resamples, seed : int
        Of the bootstrap.
    level : float
        Confidence level, in (0, 1).

    Raises
    ------
    ValueError
        Fewer than 4 people, a truth that is the same in everybody, shapes
        that differ, values that are not finite, or a level outside (0, 1).
    """
    return r2_resampled(truth, predictions, resamples, seed).interval(level)


def r2_resampled(
    truth, predictions, resamples: int = 2000, seed: int = 0
) -> Resampled:
    """R2 and its resamples, for intervals of several levels.

    Parameters and errors as in `r2_interval`.
    """
    truth, predictions = _checked(truth, predictions)
    error = _squared_error(truth, predictions)

    def statistic(weights: np.ndarray) -> np.ndarray:
        """R2 of every weighting of the people."""
        return 1 - weights @ error / _spread(truth, weights)

    return _resampled(statistic, len(truth), resamples, seed)


def mae_interval(
    truth,
    predictions,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Mean absolute error with its BCa interval, in the unit of the truth.

    Parameters and errors as in `r2_interval`.
    """
    truth, predictions = _checked(truth, predictions)
    error = np.abs(truth - predictions).mean(0)

    def statistic(weights: np.ndarray) -> np.ndarray:
        """Mean absolute error of every weighting of the people."""
        return weights @ error / weights.sum(1)

    return _resampled(statistic, len(truth), resamples, seed).interval(level)


def r2_difference(
    truth,
    first,
    second,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """R2 of the first predictions minus that of the second, of the same
    people, with its BCa interval.

    Parameters and errors as in `r2_interval`, for both predictions. Equal
    predictions differ by exactly 0, and the interval is then [0, 0].
    """
    truth, first = _checked(truth, first)
    _, second = _checked(truth, second)
    gained = _squared_error(truth, second) - _squared_error(truth, first)

    def statistic(weights: np.ndarray) -> np.ndarray:
        """Difference of R2 of every weighting of the people."""
        return weights @ gained / _spread(truth, weights)

    return _resampled(statistic, len(truth), resamples, seed).interval(level)


def _checked(truth, predictions) -> tuple[np.ndarray, np.ndarray]:
    """Truth (n,) and predictions (k, n) as float64, or a ValueError."""
    truth = np.asarray(truth, dtype=np.float64)
    rows = np.atleast_2d(np.asarray(predictions, dtype=np.float64))
    if truth.ndim != 1 or rows.ndim != 2 or rows.shape[1] != len(truth):
        raise ValueError(
            "truth must be (n,) and predictions (n,) or (k, n), found "
            f"{truth.shape} and {np.shape(predictions)}"
        )
    if len(truth) < SMALLEST_SAMPLE:
        raise ValueError(
            f"{len(truth)} people, expected at least {SMALLEST_SAMPLE}"
        )
    for name, values in (("truth", truth), ("predictions", rows)):
        bad = int((~np.isfinite(values)).sum())
        if bad:
            raise ValueError(f"{name}: {bad} values are not finite")
    if np.ptp(truth) == 0:
        raise ValueError(
            f"truth is {truth[0]} in everybody: there is nothing to predict"
        )
    return truth, rows


def _squared_error(truth: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Of each person, the mean over predictions: (n,)."""
    return ((truth - predictions) ** 2).mean(0)


def _spread(truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sum of squares about the mean of those drawn, (draws,); NaN where these
    are of one value.
    """
    values = truth - truth.mean()
    sums = weights @ values
    spread = weights @ values**2 - sums**2 / weights.sum(1)
    smallest = 1e-9 * (values**2).max()
    return np.where(spread > smallest, spread, np.nan)


def _resampled(
    statistic: Statistic, people: int, resamples: int, seed: int
) -> Resampled:
    """A statistic of everybody, of resamples, and without each person; those
    in which it is defined.
    """
    if resamples < 100:
        raise ValueError(f"resamples must be at least 100, found {resamples}")
    estimate = float(statistic(np.ones((1, people)))[0])
    rng = np.random.default_rng(seed)
    draws = statistic(draw_counts(np.zeros(people), resamples, rng))
    left_out = statistic(1 - np.eye(people))
    return Resampled(
        estimate, draws[~np.isnan(draws)], left_out[~np.isnan(left_out)]
    )
