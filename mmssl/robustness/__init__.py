"""Robustness to distortions and to another population (000, "Tasting the
cake").
"""

from mmssl.robustness.comparison import (
    NOT_RESOLVED,
    Bootstrap,
    areas,
    bootstrap,
    curves,
    pairwise_comparisons,
    resolved_pairs,
)
from mmssl.robustness.distortions import (
    anisotropic,
    distort,
    distort_inputs,
    gallery,
)
from mmssl.robustness.linear_models import (
    FittedModels,
    LinearModel,
    fit_linear_models,
    fit_projections,
    prove_samples_unseen,
    select_runs,
)
from mmssl.robustness.own_distortions import OwnDistortion, Space
from mmssl.robustness.parameter import Parameter
from mmssl.robustness.shift import compare_populations
from mmssl.robustness.spaces import DEFAULTS, PARAMETER_SPACES, grid_points
from mmssl.robustness.sweep import (
    Sweep,
    distortion_seeds,
    own_code,
    sweep,
)

__all__ = [
    "Bootstrap",
    "DEFAULTS",
    "FittedModels",
    "LinearModel",
    "NOT_RESOLVED",
    "OwnDistortion",
    "PARAMETER_SPACES",
    "Parameter",
    "Space",
    "Sweep",
    "anisotropic",
    "areas",
    "bootstrap",
    "compare_populations",
    "curves",
    "distort",
    "distort_inputs",
    "distortion_seeds",
    "fit_linear_models",
    "fit_projections",
    "gallery",
    "grid_points",
    "own_code",
    "pairwise_comparisons",
    "prove_samples_unseen",
    "resolved_pairs",
    "select_runs",
    "sweep",
]
