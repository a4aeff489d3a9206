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

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from mmssl.models.by_name import is_named
from mmssl.robustness.own_distortions import own_distortion
from mmssl.robustness.parameter import Parameter

if TYPE_CHECKING:
    import pandas as pd

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


def parameters_of(distortion: str) -> Mapping[str, Parameter]:
    """The parameters of a distortion, in the order of the figures.

    Parameters
    ----------
    distortion : str
        One of `PARAMETER_SPACES`, or the "module:Class" of your own.

    Raises
    ------
    ValueError
        For an unknown one, or as
        `mmssl.robustness.own_distortions.own_distortion`.
    """
    if is_named(distortion):
        return own_distortion(distortion).parameters
    if distortion not in _PARAMETERS:
        raise ValueError(
            f"distortion {distortion!r}, expected one of "
            f"{', '.join(_PARAMETERS)}, or the 'module:Class' of your own"
        )
    return _PARAMETERS[distortion]


def distortions_with(own: Sequence[str] = ()) -> list[str]:
    """The nine distortions, and behind them a user's own.

    Parameters
    ----------
    own : sequence of str
        "module:Class" of each.

    Raises
    ------
    ValueError
        For one that is there twice, or as
        `mmssl.robustness.own_distortions.own_distortion`.
    """
    for name in own:
        own_distortion(name)
        if list(own).count(name) > 1:
            raise ValueError(
                f"own: {name!r} stands {list(own).count(name)} times, "
                "expected each distortion once"
            )
    return [*_PARAMETERS, *own]


def grid_points(step: int = 1, own: Sequence[str] = ()) -> pd.DataFrame:
    """List the points of the 15 panels, in the order of the figures, and of a
    user's own behind them.

    Parameters
    ----------
    step : int
        Keep every step-th value of a panel, and always its last: 2 leaves 89
        of the 163 points.
    own : sequence of str
        Distortions of your own, each a "module:Class" that names a subclass
        of `mmssl.robustness.own_distortions.OwnDistortion`.

    Returns
    -------
    DataFrame
        distortion, parameter, value, unit, and flag: "truncated from 6.1"
        where a whole-number space cut a fraction off, "drawn twice" where the
        panel has had that value, else "".

    Raises
    ------
    ValueError
        For a step below 1, or an own distortion that cannot be found or used,
        or stands twice.
    """
    import pandas as pd

    if step < 1:
        raise ValueError(f"step={step}, expected at least 1")
    points = []
    for distortion in distortions_with(own):
        for name, parameter in parameters_of(distortion).items():
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
    their defaults. It may be one of a user's own, "module:Class".

    Raises
    ------
    ValueError
        For an unknown distortion or parameter, or a value outside the ends of
        its space, or a fraction where only whole numbers are.
    """
    parameters = parameters_of(distortion)
    if parameter not in parameters:
        raise ValueError(
            f"{distortion}: parameter {parameter!r}, expected one of "
            f"{', '.join(parameters)}"
        )
    space = parameters[parameter].values()
    if not space[0] <= value <= space[-1]:
        raise ValueError(
            f"{distortion} {parameter}: value {value}, expected one from "
            f"{space[0]} to {space[-1]}"
        )
    defaults = {name: one.default for name, one in parameters.items()}
    kind = type(defaults[parameter])
    if kind is int and value != int(value):
        raise ValueError(
            f"{distortion} {parameter}: value {value}, expected a whole number"
        )
    return {**defaults, parameter: kind(value)}
