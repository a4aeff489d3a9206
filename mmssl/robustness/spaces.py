"""The parameter spaces of the distortions: which values each panel of figures
2 and 3 runs through.

Fedorov et al. 2021 ("Tasting the cake", appendix A.1) define a space by its
ends, a number of steps and a type: ``np.round(np.arange(left, right + eps,
step), 2).astype(type)``. Kept as it is, with what follows from it:
whole-number spaces lose the fraction towards zero, so that their steps are
uneven, and the orders 1 and 1.875 of the bias field are both 1, a point drawn
twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

# as in the paper's code: keeps the right end of a space
_EPS = 10e-8

# left end, right end, number of steps, type of the values
_ENDS = {
    "affine": {
        "scales": (0.5, 2.5, 10, float),
        "degrees": (-90, 90, 10, int),
        "translation": (-45, 45, 10, int),
    },
    "elastic": {
        "num_control_points": (5, 16, 10, int),
        "max_displacement": (1, 32, 10, float),
    },
    "motion": {"degrees": (-90, 90, 10, int), "translation": (-9, 9, 10, int)},
    "ghost": {"intensity": (0.1, 0.9, 10, float)},
    "spike": {"intensity": (0, 2, 10, float)},
    "blur": {"std": (1, 10, 10, float)},
    "bias": {"coefficients": (0.1, 2, 10, float), "order": (1, 8, 8, int)},
    "noise": {"mean": (-2.0, 2.0, 10, float), "std": (0, 2.0, 10, float)},
    "gamma": {"log_gamma": (-0.9, 0.9, 10, float)},
}

DEFAULTS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "affine": MappingProxyType(
            {"scales": 1.0, "degrees": 0.0, "translation": 0.0}
        ),
        "elastic": MappingProxyType(
            {"num_control_points": 7, "max_displacement": 7.5}
        ),
        "motion": MappingProxyType({"degrees": 0.0, "translation": 0.0}),
        "ghost": MappingProxyType({"intensity": 0.5}),
        "spike": MappingProxyType({"intensity": 0.5}),
        "blur": MappingProxyType({"std": 0.25}),
        "bias": MappingProxyType({"coefficients": 0.5, "order": 3}),
        "noise": MappingProxyType({"mean": 0.0, "std": 0.25}),
        "gamma": MappingProxyType({"log_gamma": 0.0}),
        "anisotropy": MappingProxyType({"downsampling": 2.0}),
    }
)
"""What the parameters that a panel does not vary are held at (appendix A.1;
for the elastic deformation the defaults of TorchIO). One ghost, one spike and
one movement in all panels. Anisotropy has a default and no space: it is in
figure 4 alone.
"""

UNITS: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("affine", "degrees"): "°",
        ("affine", "translation"): "mm",
        ("elastic", "max_displacement"): "mm",
        ("motion", "degrees"): "°",
        ("motion", "translation"): "mm",
        ("blur", "std"): "mm",
        ("noise", "mean"): "SD",
        ("noise", "std"): "SD",
    }
)
"""Unit of a parameter, where it has one; SD: of the z-scored volume."""


def _space(
    left: float, right: float, steps: int, kind: type
) -> tuple[np.ndarray, np.ndarray]:
    """Values of a space, and the same before they were made whole numbers."""
    exact = np.round(np.arange(left, right + _EPS, (right - left) / steps), 2)
    values = exact.astype(kind)
    values.setflags(write=False)
    return values, exact


PARAMETER_SPACES: Mapping[str, Mapping[str, np.ndarray]] = MappingProxyType(
    {
        distortion: MappingProxyType(
            {name: _space(*ends)[0] for name, ends in spaces.items()}
        )
        for distortion, spaces in _ENDS.items()
    }
)
"""{distortion: {parameter: values}}: 9 distortions, 15 panels, 163 points."""


def grid_points(step: int = 1) -> pd.DataFrame:
    """List the points of the 15 panels, in the order of the figures.

    Parameters
    ----------
    step : int
        Keep every step-th value of a panel, and always its last: 2 leaves 89
        of the 163 points.

    Returns
    -------
    DataFrame
        distortion, parameter, value, unit, and flag: "truncated from 6.1"
        where a whole-number space cut a fraction off, "drawn twice" where the
        panel has had that value, else "".

    Raises
    ------
    ValueError
        For a step below 1.
    """
    import pandas as pd

    if step < 1:
        raise ValueError(f"step={step}, expected at least 1")
    points = []
    for distortion, spaces in _ENDS.items():
        for parameter, ends in spaces.items():
            values, exact = _space(*ends)
            last = len(values) - 1
            for index in sorted({*range(0, last, step), last}):
                point = {
                    "distortion": distortion,
                    "parameter": parameter,
                    "value": float(values[index]),
                    "unit": UNITS.get((distortion, parameter), ""),
                    "flag": _flag(values, exact, index),
                }
                points.append(point)
    return pd.DataFrame(points)


def _flag(values: np.ndarray, exact: np.ndarray, index: int) -> str:
    """What rounding to whole numbers did to a value, or ""."""
    flags = []
    if values[index] != exact[index]:
        flags.append(f"truncated from {exact[index]:g}")
    if values[index] in values[:index]:
        flags.append("drawn twice")
    return ", ".join(flags)


def settings(
    distortion: str, parameter: str, value: float
) -> dict[str, float]:
    """All parameters of a distortion at one point of a panel: the others at
    their defaults.

    Raises
    ------
    ValueError
        For an unknown distortion or parameter, or a value outside the ends of
        its space, or a fraction where only whole numbers are.
    """
    if distortion not in PARAMETER_SPACES:
        raise ValueError(
            f"distortion {distortion!r}, expected one of "
            f"{', '.join(PARAMETER_SPACES)}"
        )
    spaces = PARAMETER_SPACES[distortion]
    if parameter not in spaces:
        raise ValueError(
            f"{distortion}: parameter {parameter!r}, expected one of "
            f"{', '.join(spaces)}"
        )
    space = spaces[parameter]
    if not space[0] <= value <= space[-1]:
        raise ValueError(
            f"{distortion} {parameter}: value {value}, expected one from "
            f"{space[0]} to {space[-1]}"
        )
    kind = type(DEFAULTS[distortion][parameter])
    if kind is int and value != int(value):
        raise ValueError(
            f"{distortion} {parameter}: value {value}, expected a whole number"
        )
    return {**DEFAULTS[distortion], parameter: kind(value)}
