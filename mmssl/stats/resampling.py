"""Repeated cross-validation: a standard error that knows that training sets
overlap.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from mmssl.stats.auc import checked_level


class Resampled(NamedTuple):
    """A mean over splits: estimate, its corrected standard error, limits, and
    p against 0.
    """

    estimate: float
    error: float
    low: float
    high: float
    p: float


def corrected_resampled(
    values, train: int, test: int, level: float = 0.95
) -> Resampled:
    r"""Mean over repeated splits of one data set, with the corrected resampled
    t-test.

    .. math::
        \mathrm{SE}^2 = \Bigl(\frac{1}{J} + \frac{n_\mathrm{test}}{n_\mathrm{train}}\Bigr) s^2,
        \quad t = \bar d / \mathrm{SE}, \quad J - 1 \text{ degrees of freedom}

    (Nadeau & Bengio 2003). The splits share training people, so that their
    values are correlated and :math:`s^2 / J` is far too small: more repeats
    seem to add people.

    Parameters
    ----------
    values : array-like, shape (J,)
        One a split, e.g. differences of two AUCs on the same test people; J is
        folds times repeats.
    train, test : int
        People in the training and the test part of a split.
    level : float

    Returns
    -------
    Resampled
        Splits that all agree have no error, and p is 0, or 1 where they agree
        on 0.

    Raises
    ------
    ValueError
        For fewer than two splits, values not finite, or an empty part.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(
            f"values: shape {values.shape}, expected (splits,), two or more, finite"
        )
    if train < 1 or test < 1:
        raise ValueError(
            f"train is {train} and test {test}, expected people in both"
        )
    splits, mean = len(values), float(values.mean())
    error = float(np.sqrt((1 / splits + test / train) * values.var(ddof=1)))
    reach = error * student.ppf(0.5 + checked_level(level) / 2, splits - 1)
    p = (
        2 * student.sf(abs(mean) / error, splits - 1)
        if error > 0
        else float(mean == 0)
    )
    return Resampled(
        mean, error, float(mean - reach), float(mean + reach), float(p)
    )
