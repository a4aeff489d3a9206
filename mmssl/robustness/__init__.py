"""Robustness to distortions and to another population (Fedorov et al. 2021, "Tasting the cake").

:mod:`spaces` says which values, :mod:`distortions` and :mod:`warps` make the images, :mod:`engine`
runs every model through them, :mod:`comparison` and :mod:`shift` say what it shows.
"""

from mmssl.robustness.comparison import Bootstrap, areas, bootstrap, curves, verdict
from mmssl.robustness.distortions import anisotropic, distort, gallery
from mmssl.robustness.engine import (
    Models,
    Reader,
    Sweep,
    chosen_runs,
    linear_models,
    project,
    seeds,
    sweep,
)
from mmssl.robustness.shift import populations
from mmssl.robustness.spaces import DEFAULTS, PARAMETER_SPACES, UNITS, points

__all__ = [
    "DEFAULTS", "PARAMETER_SPACES", "UNITS", "Bootstrap", "Models", "Reader", "Sweep",
    "anisotropic", "areas", "bootstrap", "chosen_runs", "curves", "distort", "gallery",
    "linear_models", "points", "populations", "project", "seeds", "sweep", "verdict",
]  # fmt: skip
