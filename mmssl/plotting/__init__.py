"""Figures, one file a page: a tidy table or an image in, a Figure out."""

from mmssl.plotting.calibration_and_confounds import (
    calibration_of_probes,
    covariate_baseline,
    covariates_in_z,
)
from mmssl.plotting.claims import claim_counts, claim_intervals
from mmssl.plotting.cohort import people, planted_regions, roles, scans
from mmssl.plotting.embedding_scatter import embedding_scatter
from mmssl.plotting.flow import Box, Flow, flow_diagram
from mmssl.plotting.group_differences import (
    group_maps,
    interactive_maps,
    overlap_beyond_untrained,
    overlap_with_truth,
    voxel_by_voxel,
)
from mmssl.plotting.interactive_curves import InteractiveCurves
from mmssl.plotting.interactive_graphs import InteractiveGraphs
from mmssl.plotting.interactive_planes import InteractivePlanes
from mmssl.plotting.learning_curves import learning_curves
from mmssl.plotting.linear_evaluation import (
    crops_and_shortcuts,
    linear_evaluation,
)
from mmssl.plotting.look import (
    ANATOMY,
    BASELINE,
    DIVERGING,
    GROUP,
    MAGNITUDE,
    MODALITY,
    MODEL,
    ROLE,
    SITE,
    VERDICT,
    WAY,
    canvas,
    colour,
    style,
)
from mmssl.plotting.methods import (
    contrast_scores,
    encoder_layers,
    fold_roles,
    relabelled_maps,
)
from mmssl.plotting.natural_images import accuracy_per_view, example_pairs
from mmssl.plotting.objective_graph import (
    objective_gallery,
    objective_graph,
    term_graphs,
)
from mmssl.plotting.online_clustering import (
    froc_curves,
    slice_gallery,
    slice_scores,
)
from mmssl.plotting.person_panels import person_panels
from mmssl.plotting.preprocessing import (
    head_motion,
    overlay,
    quality_distributions,
    tissue_histogram,
)
from mmssl.plotting.preservational_learning import (
    contrast_levels,
    label_efficiency,
    lesion_gallery,
    pretext_accuracy,
    segmentation_gallery,
)
from mmssl.plotting.pretraining import (
    pair_views,
    term_history,
    training_history,
)
from mmssl.plotting.probability_deviation import deviation_boxes
from mmssl.plotting.prototypes import prototype_shares, validation_curves
from mmssl.plotting.robustness import (
    distortion_gallery,
    population_gaps,
    robustness_comparisons,
    robustness_curves,
    subgroup_gaps,
)
from mmssl.plotting.saliency import (
    best_pair,
    dimension_pairs,
    interactive_saliency,
    person_randomisation,
    saliency_maps,
)
from mmssl.plotting.saliency_menus import SaliencyMenus, saliency_cuts
from mmssl.plotting.sanity_checks import (
    deletion_curves,
    group_randomisation,
    null_maps,
)
from mmssl.plotting.scale import (
    cost_curves,
    extrapolated_costs,
    scaling_curve,
)
from mmssl.plotting.similarity import (
    similarity_and_auc,
    similarity_measures,
    spurious_differences,
)
from mmssl.plotting.simulations import simulation_rates
from mmssl.plotting.speed import cost_growth, machine_limits, speed

__all__ = [
    "ANATOMY",
    "BASELINE",
    "Box",
    "DIVERGING",
    "Flow",
    "GROUP",
    "InteractiveCurves",
    "InteractiveGraphs",
    "InteractivePlanes",
    "MAGNITUDE",
    "MODALITY",
    "MODEL",
    "ROLE",
    "SITE",
    "SaliencyMenus",
    "VERDICT",
    "WAY",
    "accuracy_per_view",
    "best_pair",
    "calibration_of_probes",
    "canvas",
    "claim_counts",
    "claim_intervals",
    "colour",
    "contrast_levels",
    "contrast_scores",
    "cost_curves",
    "cost_growth",
    "covariate_baseline",
    "covariates_in_z",
    "crops_and_shortcuts",
    "deletion_curves",
    "deviation_boxes",
    "dimension_pairs",
    "distortion_gallery",
    "embedding_scatter",
    "encoder_layers",
    "example_pairs",
    "extrapolated_costs",
    "flow_diagram",
    "fold_roles",
    "froc_curves",
    "group_maps",
    "group_randomisation",
    "head_motion",
    "interactive_maps",
    "interactive_saliency",
    "label_efficiency",
    "learning_curves",
    "lesion_gallery",
    "linear_evaluation",
    "machine_limits",
    "null_maps",
    "objective_gallery",
    "objective_graph",
    "overlap_beyond_untrained",
    "overlap_with_truth",
    "overlay",
    "pair_views",
    "people",
    "person_panels",
    "person_randomisation",
    "planted_regions",
    "population_gaps",
    "pretext_accuracy",
    "prototype_shares",
    "quality_distributions",
    "relabelled_maps",
    "robustness_comparisons",
    "robustness_curves",
    "roles",
    "saliency_cuts",
    "saliency_maps",
    "scaling_curve",
    "scans",
    "segmentation_gallery",
    "similarity_and_auc",
    "similarity_measures",
    "simulation_rates",
    "slice_gallery",
    "slice_scores",
    "speed",
    "spurious_differences",
    "style",
    "subgroup_gaps",
    "term_graphs",
    "term_history",
    "tissue_histogram",
    "training_history",
    "validation_curves",
    "voxel_by_voxel",
]
