"""Robustness to distortions and to another population (000, "Tasting the
cake").
"""

from mmssl.robustness.comparison import Bootstrap, areas, bootstrap, curves
from mmssl.robustness.distortions import anisotropic, distort, gallery
from mmssl.robustness.shift import populations
from mmssl.robustness.spaces import DEFAULTS, PARAMETER_SPACES, UNITS, points
from mmssl.robustness.sweep import (
    Models,
    Reader,
    Sweep,
    chosen_runs,
    linear_models,
    project,
    seeds,
    sweep,
)

__all__ = [
    "Bootstrap",
    "DEFAULTS",
    "Models",
    "PARAMETER_SPACES",
    "Reader",
    "Sweep",
    "UNITS",
    "anisotropic",
    "areas",
    "bootstrap",
    "chosen_runs",
    "curves",
    "distort",
    "gallery",
    "linear_models",
    "points",
    "populations",
    "project",
    "seeds",
    "sweep",
]
