"""Losses of the five papers, one equation a file."""

from mmssl.losses.cca import canonical_correlation
from mmssl.losses.dice import dice_loss
from mmssl.losses.elbo import importance_weighted_bound, laplace_log_density
from mmssl.losses.infonce import info_nce, info_nce_all_locations
from mmssl.losses.preservation import queue_contrast
from mmssl.losses.swapped import sinkhorn, swapped_prediction

__all__ = [
    "canonical_correlation",
    "dice_loss",
    "importance_weighted_bound",
    "info_nce",
    "info_nce_all_locations",
    "laplace_log_density",
    "queue_contrast",
    "sinkhorn",
    "swapped_prediction",
]
