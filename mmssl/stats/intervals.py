"""Intervals in closed form: of an AUC of 0, 1 or anything between, and of a
share.

They keep their width where nothing is left to resample, as under perfect
separation. Those from the spread of people are in `mmssl.stats.delong` and
`mmssl.stats.bootstrap`.
"""

from __future__ import annotations

from scipy.optimize import brentq
from scipy.special import ndtri

from mmssl.stats.auc import Interval, checked_level
from mmssl.stats.power import auc_variance, check_design


def score_interval(
    auc: float, positives: int, negatives: int, level: float = 0.95
) -> Interval:
    """The values A that a two-sided test of the observed AUC against A would
    not reject.

    Inverts (AUC - A)^2 = z^2 var(A), the variance of
    `mmssl.stats.power.auc_variance` taken at A (Newcombe 2006): it keeps its
    width at an AUC of exactly 0 or 1, where a bootstrap has none.

    Parameters
    ----------
    auc : float
        In [0, 1].
    positives, negatives : int
        People of each class.
    level : float
        Confidence level, in (0, 1).

    Raises
    ------
    ValueError
        For an AUC outside [0, 1], a class without people, or a level outside
        (0, 1).
    """
    check_design(auc, positives, negatives)
    z = ndtri(0.5 + checked_level(level) / 2)

    def excess(candidate: float) -> float:
        """Positive where a candidate is rejected."""
        return (auc - candidate) ** 2 - z**2 * auc_variance(
            candidate, positives, negatives
        )

    # the observed value is a root of its own where it has no variance (0 and
    # 1): step off it
    low, high = 0.0, 1.0
    if auc > 1e-6:
        low = brentq(excess, 0.0, auc - 1e-9)
    if auc < 1 - 1e-6:
        high = brentq(excess, auc + 1e-9, 1.0)
    return Interval(float(auc), float(low), float(high), level, "score")


def proportion_interval(
    successes: int, total: int, level: float = 0.95
) -> Interval:
    r"""A share of independent cases, such as an accuracy, with its score
    interval (Wilson 1927).

    .. math:: \frac{\hat p + z^2 / 2 n}{1 + z^2 / n} \pm
        \frac{z}{1 + z^2 / n}
        \sqrt{\frac{\hat p (1 - \hat p)}{n} + \frac{z^2}{4 n^2}}

    Parameters
    ----------
    successes, total : int
    level : float
        Confidence level, in (0, 1).

    Raises
    ------
    ValueError
        For no cases, more successes than cases, or a level outside (0, 1).
    """
    from statsmodels.stats.proportion import proportion_confint

    if total < 1 or not 0 <= successes <= total:
        raise ValueError(f"{successes} successes of {total} is no proportion")
    alpha = 1 - checked_level(level)
    low, high = proportion_confint(successes, total, alpha, "wilson")
    return Interval(successes / total, low, high, level, "Wilson")
