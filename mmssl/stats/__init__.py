"""How sure a ROC-AUC is: intervals, differences, permutation, power; the
calibration of probabilities; and how well numbers are predicted.

The person is the unit everywhere: all scans of one subject count together.
Three families of interval are compared by simulation: the BCa bootstrap
(`auc_interval`); Student-t limits from DeLong's components (`logit_interval`,
`difference_interval`), the ones to use with few patients; and the score
interval for perfect separation (`score_interval`). Power follows from Hanley &
McNeil's variance without any data.
"""

from mmssl.stats.auc import Interval, roc_auc
from mmssl.stats.bootstrap import auc_gain_interval, auc_interval
from mmssl.stats.calibration import Calibration, calibration, reliability
from mmssl.stats.delong import (
    delong_covariance,
    difference_interval,
    logit_interval,
)
from mmssl.stats.dice import dice_coefficient
from mmssl.stats.equivalence import (
    Gap,
    auc_by_group,
    auc_gap,
    r2_gap,
    spread_by_chance,
)
from mmssl.stats.intervals import proportion_interval, score_interval
from mmssl.stats.means import mean_interval
from mmssl.stats.permutation import labellings, permutation_p, strata
from mmssl.stats.power import (
    auc_variance,
    minimum_detectable_difference,
    minimum_detectable_gap,
    power_of_difference,
)
from mmssl.stats.power_law import PowerLaw, power_law, shortfall_exponent
from mmssl.stats.r2 import mae_interval, r2_difference, r2_interval

__all__ = [
    "Calibration",
    "Gap",
    "Interval",
    "PowerLaw",
    "auc_by_group",
    "auc_gain_interval",
    "auc_gap",
    "auc_interval",
    "auc_variance",
    "calibration",
    "delong_covariance",
    "dice_coefficient",
    "difference_interval",
    "labellings",
    "logit_interval",
    "mae_interval",
    "mean_interval",
    "minimum_detectable_difference",
    "minimum_detectable_gap",
    "permutation_p",
    "power_law",
    "power_of_difference",
    "proportion_interval",
    "r2_difference",
    "r2_gap",
    "r2_interval",
    "reliability",
    "roc_auc",
    "score_interval",
    "shortfall_exponent",
    "spread_by_chance",
    "strata",
]
