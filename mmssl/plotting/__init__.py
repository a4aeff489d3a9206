"""Figures, one file a page: a tidy table or an image in, a Figure out."""

from mmssl.plotting.calibration_and_confounds import (
    covariate_baseline,
    covariates_in_z,
    reliability,
)
from mmssl.plotting.claims import claim_counts, claim_intervals
from mmssl.plotting.cohort import people, planted, roles, scans
from mmssl.plotting.group_differences import (
    cascade,
    group_maps,
    interactive,
    overlap_with_truth,
)
from mmssl.plotting.linear_evaluation import linear_evaluation
from mmssl.plotting.look import (
    ANATOMY,
    DIVERGING,
    BASELINE,
    GROUP,
    MAGNITUDE,
    MODALITY,
    PALETTE,
    canvas,
    colour,
    style,
)
from mmssl.plotting.natural_images import accuracy_per_view, example_pairs
from mmssl.plotting.objective_graph import objective_graph
from mmssl.plotting.preprocessing import head_motion, overlay, tissue_histogram
from mmssl.plotting.pretraining import term_history, training_history, views
from mmssl.plotting.robustness import (
    distortion_gallery,
    populations,
    robustness_curves,
    robustness_verdict,
    subgroup_gaps,
)
from mmssl.plotting.saliency import (
    best_pair,
    dimension_pairs,
    forgetting,
    saliency_maps,
)
from mmssl.plotting.sanity_checks import deletion, rivals
from mmssl.plotting.similarity import (
    sham_difference,
    similarity_and_auc,
    similarity_measures,
)
from mmssl.plotting.simulations import promises
from mmssl.plotting.speed import speed

__all__ = [
    "ANATOMY",
    "DIVERGING",
    "BASELINE",
    "GROUP",
    "MAGNITUDE",
    "MODALITY",
    "PALETTE",
    "accuracy_per_view",
    "best_pair",
    "canvas",
    "cascade",
    "claim_counts",
    "claim_intervals",
    "colour",
    "covariate_baseline",
    "covariates_in_z",
    "deletion",
    "dimension_pairs",
    "distortion_gallery",
    "example_pairs",
    "forgetting",
    "group_maps",
    "head_motion",
    "interactive",
    "linear_evaluation",
    "objective_graph",
    "overlap_with_truth",
    "overlay",
    "people",
    "planted",
    "populations",
    "promises",
    "reliability",
    "rivals",
    "robustness_curves",
    "robustness_verdict",
    "roles",
    "saliency_maps",
    "scans",
    "sham_difference",
    "similarity_and_auc",
    "similarity_measures",
    "speed",
    "style",
    "subgroup_gaps",
    "term_history",
    "tissue_histogram",
    "training_history",
    "views",
]
