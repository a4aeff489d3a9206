"""One look for every figure: a tidy table or an image in, a Figure out, no pyplot state.

One module a theme: :mod:`look` holds colours and the empty canvas, the others a figure a function.
"""

from mmssl.plotting.brainmaps import cascade, group_maps, interactive, overlap_with_truth
from mmssl.plotting.calibration import reliability
from mmssl.plotting.claims import claim_counts, claim_intervals
from mmssl.plotting.cohort import people, planted, roles, scans
from mmssl.plotting.confounds import covariate_floor, covariates_in_z
from mmssl.plotting.court import deletion, rivals
from mmssl.plotting.evaluation import linear_evaluation
from mmssl.plotting.look import (
    ANATOMY,
    DIVERGING,
    FLOOR,
    GROUP,
    MAGNITUDE,
    MODALITY,
    PALETTE,
    canvas,
    colour,
    style,
)
from mmssl.plotting.natural import accuracy_per_view, example_pairs
from mmssl.plotting.objective import objective_graph
from mmssl.plotting.preparation import head_motion, overlay, tissue_histogram
from mmssl.plotting.promises import promises
from mmssl.plotting.robustness import (
    distortion_gallery,
    populations,
    robustness_curves,
    robustness_verdict,
)
from mmssl.plotting.saliency import best_pair, dimension_pairs, forgetting, saliency_maps
from mmssl.plotting.similarity import sham_difference, similarity_and_auc, similarity_measures
from mmssl.plotting.speed import speed
from mmssl.plotting.subgroups import subgroup_gaps
from mmssl.plotting.training import term_history, training_history, views

__all__ = [
    "ANATOMY", "DIVERGING", "FLOOR", "GROUP", "MAGNITUDE", "MODALITY", "PALETTE",
    "accuracy_per_view", "best_pair", "canvas", "cascade", "claim_counts", "claim_intervals",
    "colour", "covariate_floor", "covariates_in_z", "deletion", "dimension_pairs",
    "distortion_gallery", "example_pairs", "forgetting", "group_maps", "head_motion",
    "interactive", "linear_evaluation", "objective_graph", "overlap_with_truth", "overlay",
    "people", "planted", "populations", "promises", "reliability", "rivals", "robustness_curves",
    "robustness_verdict", "roles", "saliency_maps", "scans", "sham_difference",
    "similarity_and_auc", "similarity_measures", "speed", "style", "subgroup_gaps",
    "term_history", "tissue_histogram", "training_history", "views",
]
