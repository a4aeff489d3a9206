"""The mean of one number a person, with its interval."""

from __future__ import annotations

import numpy as np

from mmssl.stats.auc import Interval, checked_level


def mean_interval(
    values, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Mean over people with the limits of SciPy's BCa bootstrap.

    Parameters
    ----------
    values : array-like, shape (people,)
    resamples, seed : int
    level : float

    Returns
    -------
    Interval
        Without limits (NaN) where everybody has the same value.

    Raises
    ------
    ValueError
        For nobody, a value that is not finite, or a level outside (0, 1).
    """
    from scipy import stats

    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(
            f"mean: values of shape {values.shape}, expected one finite "
            "number a person"
        )
    low = high = np.nan
    if np.ptp(values) > 0:
        low, high = stats.bootstrap(
            (values,),
            np.mean,
            n_resamples=resamples,
            confidence_level=checked_level(level),
            rng=seed,
        ).confidence_interval
    return Interval(
        float(values.mean()), float(low), float(high), level, "BCa"
    )
