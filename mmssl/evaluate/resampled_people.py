"""Measures of slices or images of which one person has several: intervals from
resampled people, and differences to training from scratch in the same draws.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mmssl.evaluate.label_efficiency import gain_over_scratch
from mmssl.stats.bootstrap import bca_limits

_BLOCK = 250  # resamples at a time, so that weights of all rows are few


class Estimates(NamedTuple):
    """A measure of one model.

    values : (seeds,) of each training.
    draws : (resamples,) mean over trainings in each resample of people.
    jackknife : (people,) the same without each person.
    """

    values: np.ndarray
    draws: np.ndarray
    jackknife: np.ndarray


def resampled(
    of_weights: Callable[[np.ndarray], np.ndarray],
    rows: np.ndarray,
    counts: np.ndarray,
) -> Estimates:
    """A measure as it is, in each resample of people, and without each.

    Parameters
    ----------
    of_weights : callable
        Weights of rows (B, rows) -> the measure (seeds, B), or several of them
        (seeds, B, measures), which the estimates then have as a last axis.
    rows : array of int, shape (rows,)
        Whose each is.
    counts : array, shape (resamples, people)
        How often each person is drawn.
    """
    people = counts.shape[1]
    everybody = np.ones((1, people))
    all_counts = np.concatenate([everybody, 1 - np.eye(people), counts])
    parts = []
    for start in range(0, len(all_counts), _BLOCK):
        block = all_counts[start : start + _BLOCK]
        parts.append(of_weights(block[:, rows]))
    measured = np.concatenate(parts, 1)
    means = measured.mean(0)
    jackknife, draws = means[1 : 1 + people], means[1 + people :]
    return Estimates(measured[:, 0], draws, jackknife)


def comparison_columns(
    own: Estimates, scratch: Estimates, stratum: np.ndarray
) -> dict[str, float]:
    """Columns of a measure and of its difference to training from scratch.

    Parameters
    ----------
    own, scratch : Estimates
        Of the same draws of people.
    stratum : array, shape (people,)
        Within which people were drawn.

    Returns
    -------
    dict
        value (mean over seeds), low, high (BCa bootstrap over people, 95 %;
        NaN where all draws are equal), sd (over seeds; NaN for one), and
        difference with its interval and p: Student's t of other people and
        other seeds, as of
        `mmssl.evaluate.label_efficiency.gain_over_scratch`, with the variance
        over people that the difference has in the draws. NaN of the network
        from scratch itself.
    """
    value = float(own.values.mean())
    low = high = np.nan
    if np.ptp(own.draws) > 0:
        low, high = bca_limits(
            value, own.draws, own.jackknife, stratum, level=0.95
        )
    several = len(own.values) > 1
    variance = float((own.draws - scratch.draws).var(ddof=1))
    freedom = len(stratum) - len(np.unique(stratum))
    gains = own.values - scratch.values
    return {
        "value": value,
        "low": low,
        "high": high,
        "sd": float(own.values.std(ddof=1)) if several else np.nan,
        **gain_over_scratch(variance, freedom, gains),
    }
