"""What a comparison of AUCs can find, before any data: variance, power,
detectable differences.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from mmssl.stats.auc import checked_level


def auc_variance(auc: float, positives: int, negatives: int) -> float:
    r"""Variance of an AUC expected at given group sizes (Hanley & McNeil
    1982).

    .. math::
        \frac{A (1 - A) + (n_1 - 1)(Q_1 - A^2) + (n_0 - 1)(Q_2 - A^2)}
        {n_1 n_0}, \quad
        Q_1 = \frac{A}{2 - A}, \; Q_2 = \frac{2 A^2}{1 + A}

    Parameters
    ----------
    auc : float
        In [0, 1].
    positives, negatives : int
        People of each class.

    Raises
    ------
    ValueError
        For an AUC outside [0, 1] or a class without people.
    """
    check_design(auc, positives, negatives)
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    return (auc * (1 - auc) + spread) / (positives * negatives)


def power_of_difference(
    auc: float,
    difference: float,
    positives: int,
    negatives: int,
    correlation: float = 0.5,
    level: float = 0.95,
) -> float:
    r"""Chance that a two-sided paired test finds `auc + difference` to differ
    from `auc`.

    The standard error of a difference of two AUCs on the same people is
    :math:`\sqrt{V_1 + V_2 - 2 r \sqrt{V_1 V_2}}` (Hanley & McNeil 1983), V
    from `auc_variance`.

    Parameters
    ----------
    auc, difference : float
        Of the first model, and what the second adds to it.
    positives, negatives : int
        People of each class.
    correlation : float
        r of the two AUC estimates, in [-1, 1);
        `mmssl.stats.delong.delong_covariance` gives it from scores. 22
        patients and 66 controls, AUC .846 and a difference of .034 have power
        .14 at r = .72, and .10 at r = .5.
    level : float
        1 minus the level of the test, in (0, 1).

    Raises
    ------
    ValueError
        For a correlation outside [-1, 1), and as `auc_variance`.
    """
    if not -1 <= correlation < 1:
        raise ValueError(
            f"correlation must be in [-1, 1), found {correlation}"
        )
    first = auc_variance(auc, positives, negatives)
    second = auc_variance(auc + difference, positives, negatives)
    error = np.sqrt(first + second - 2 * correlation * np.sqrt(first * second))
    z = ndtri(0.5 + checked_level(level) / 2)
    if error == 0:
        return float(difference != 0)
    return float(ndtr(difference / error - z) + ndtr(-difference / error - z))


def minimum_detectable_difference(
    auc: float,
    positives: int,
    negatives: int,
    correlation: float = 0.5,
    power: float = 0.8,
    level: float = 0.95,
) -> float:
    """The smallest gain over `auc` that a paired test would find with the
    given power.

    Parameters
    ----------
    auc, positives, negatives, correlation, level
        As in `power_of_difference`.
    power : float
        In (0, 1).

    Returns
    -------
    float
        NaN where even an AUC of 1 would not be found.

    Raises
    ------
    ValueError
        For a power outside (0, 1), and as `power_of_difference`.
    """
    if not 0 < power < 1:
        raise ValueError(f"power must be in (0, 1), found {power}")

    def shortfall(difference: float) -> float:
        """Power at a difference less the power that is asked for."""
        reached = power_of_difference(
            auc, difference, positives, negatives, correlation, level
        )
        return reached - power

    room = 1.0 - auc
    if room <= 0 or shortfall(room) < 0:
        return float("nan")
    # at a level above `power` the test rejects often enough without any gain
    if shortfall(0.0) >= 0:
        return 0.0
    return float(brentq(shortfall, 0.0, room))


def minimum_detectable_gap(
    auc: float,
    first: tuple[int, int],
    second: tuple[int, int],
    power: float = 0.8,
    level: float = 0.95,
) -> float:
    """The smallest fall from `auc` that a test of two independent samples
    would find.

    Parameters
    ----------
    auc : float
        Of the first sample.
    first, second : (positives, negatives)
        People of each sample, e.g. of two populations.
    power, level : float
        Of the test, as in `minimum_detectable_difference`.

    Returns
    -------
    float
        NaN where even a fall to an AUC of 0 would not be found.

    Raises
    ------
    ValueError
        For a power or level outside (0, 1), and as `auc_variance`.
    """
    if not 0 < power < 1:
        raise ValueError(f"power must be in (0, 1), found {power}")
    z = ndtri(0.5 + checked_level(level) / 2)
    variance = auc_variance(auc, *first)

    def shortfall(gap: float) -> float:
        """Power at a gap less the power that is asked for."""
        error = np.sqrt(variance + auc_variance(auc - gap, *second))
        if error == 0:
            return 1 - power
        return ndtr(gap / error - z) + ndtr(-gap / error - z) - power

    if auc <= 0 or shortfall(auc) < 0:
        return float("nan")
    if shortfall(0.0) >= 0:
        return 0.0
    return float(brentq(shortfall, 0.0, auc))


def check_design(auc: float, positives: int, negatives: int) -> None:
    """Refuse an AUC outside [0, 1] and an empty group."""
    if not 0 <= auc <= 1:
        raise ValueError(f"auc must be in [0, 1], found {auc}")
    if positives < 1 or negatives < 1:
        raise ValueError(
            f"both groups need a person, found {positives} and {negatives}"
        )
