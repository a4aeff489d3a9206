"""How sure a ROC-AUC is: intervals, paired and independent differences, power.

The person is the unit everywhere: all scans of one subject count together.
Three families of interval stand beside one another and are held against
simulation: the BCa bootstrap (`auc_interval`, `auc_difference`); Student-t
limits of DeLong's components (`logit_interval`, `difference_interval`), the
ones to use with few patients; and the score interval for perfect separation.
Power follows from Hanley & McNeil's variance without any data.
"""

from mmssl.stats.auc import Interval, roc_auc
from mmssl.stats.bootstrap import auc_difference, auc_interval
from mmssl.stats.calibration import Calibration, calibration, reliability
from mmssl.stats.delong import delong_covariance
from mmssl.stats.equivalence import (
    Gap,
    auc_by_group,
    auc_gap,
    spread_by_chance,
)
from mmssl.stats.intervals import (
    difference_interval,
    logit_interval,
    proportion_interval,
    score_interval,
)
from mmssl.stats.permutation import corrected_p, labellings, p_value, strata
from mmssl.stats.power import (
    auc_variance,
    minimum_detectable_difference,
    minimum_detectable_gap,
    power_of_difference,
)
from mmssl.stats.resampling import Resampled, corrected_resampled

__all__ = [
    "Calibration",
    "Gap",
    "Interval",
    "Resampled",
    "auc_by_group",
    "auc_difference",
    "auc_gap",
    "auc_interval",
    "auc_variance",
    "calibration",
    "corrected_p",
    "corrected_resampled",
    "delong_covariance",
    "difference_interval",
    "labellings",
    "logit_interval",
    "minimum_detectable_difference",
    "minimum_detectable_gap",
    "p_value",
    "power_of_difference",
    "proportion_interval",
    "reliability",
    "roc_auc",
    "score_interval",
    "spread_by_chance",
    "strata",
]
