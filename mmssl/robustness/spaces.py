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
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

# as in the paper's code: keeps the right end of a space
_EPS = 10e-8


class Parameter(NamedTuple):
    """One parameter of a distortion and its space, a panel of the figures.

    left, right : ends of the space.
    steps : from one end to the other.
    kind : int or float, what the values of the space are made.
    default : what it is held at where another parameter varies (appendix A.1;
        of the elastic deformation TorchIO's); an int where nothing else is
        possible.
    unit : "" where it has none; SD: of the z-scored volume.
    """

    left: float
    right: float
    steps: int
    kind: type
    default: float
    unit: str = ""

    def exact_values(self) -> np.ndarray:
        """Values of the space before they are made whole numbers."""
        step = (self.right - self.left) / self.steps
        return np.round(np.arange(self.left, self.right + _EPS, step), 2)

    def values(self) -> np.ndarray:
        """Values of the space; they cannot be changed."""
        values = self.exact_values().astype(self.kind)
        values.setflags(write=False)
        return values


# one ghost, one spike and one movement in all panels; what each distortion
# does stands in `mmssl.robustness.distortions`
_PARAMETERS = {
    "affine": {
        "scales": Parameter(0.5, 2.5, 10, float, 1.0),
        "degrees": Parameter(-90, 90, 10, int, 0.0, "°"),
        "translation": Parameter(-45, 45, 10, int, 0.0, "mm"),
    },
    "elastic": {
        "num_control_points": Parameter(5, 16, 10, int, 7),
        "max_displacement": Parameter(1, 32, 10, float, 7.5, "mm"),
    },
    "motion": {
        "degrees": Parameter(-90, 90, 10, int, 0.0, "°"),
        "translation": Parameter(-9, 9, 10, int, 0.0, "mm"),
    },
    "ghost": {"intensity": Parameter(0.1, 0.9, 10, float, 0.5)},
    "spike": {"intensity": Parameter(0, 2, 10, float, 0.5)},
    "blur": {"std": Parameter(1, 10, 10, float, 0.25, "mm")},
    "bias": {
        "coefficients": Parameter(0.1, 2, 10, float, 0.5),
        "order": Parameter(1, 8, 8, int, 3),
    },
    "noise": {
        "mean": Parameter(-2.0, 2.0, 10, float, 0.0, "SD"),
        "std": Parameter(0, 2.0, 10, float, 0.25, "SD"),
    },
    "gamma": {"log_gamma": Parameter(-0.9, 0.9, 10, float, 0.0)},
}

ANISOTROPY = 2.0
"""Downsampling of the one distortion that has a default and no space: it is in
figure 4 alone.
"""


def _read_only(tables: Mapping[str, Mapping]) -> Mapping[str, Mapping]:
    """The same, so that nobody changes it by accident."""
    proxies = {name: MappingProxyType(table) for name, table in tables.items()}
    return MappingProxyType(proxies)


_spaces, _defaults = {}, {}
for _name, _parameters in _PARAMETERS.items():
    _spaces[_name] = {n: p.values() for n, p in _parameters.items()}
    _defaults[_name] = {n: p.default for n, p in _parameters.items()}

PARAMETER_SPACES: Mapping[str, Mapping[str, np.ndarray]] = _read_only(_spaces)
"""{distortion: {parameter: values}}: 9 distortions, 15 panels, 163 points."""

DEFAULTS: Mapping[str, Mapping[str, float]] = _read_only(_defaults)
"""What the parameters that a panel does not vary are held at."""


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
    for distortion, parameters in _PARAMETERS.items():
        for name, parameter in parameters.items():
            values = parameter.values()
            last = len(values) - 1
            for index in sorted({*range(0, last, step), last}):
                point = {
                    "distortion": distortion,
                    "parameter": name,
                    "value": float(values[index]),
                    "unit": parameter.unit,
                    "flag": _flag(values, parameter.exact_values(), index),
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
