"""Distortions of a user's own, which need no change of the package.

A subclass of `OwnDistortion` in a module that Python can import is known
everywhere by its name, "module:Class": to the grid, the sweep, the gallery and
notebook 08. A class that was typed into a notebook is "__main__:Class" there.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from mmssl.models.by_name import named
from mmssl.robustness.parameter import Parameter


class Space(NamedTuple):
    """What all volumes of a call share: affine (4, 4), sides (X, Y, Z) and
    device.
    """

    affine: np.ndarray
    shape: tuple[int, ...]
    device: torch.device


class OwnDistortion:
    """A distortion of a user's own: subclass it, and hand over its name,
    "module:Class".

    It is made once for all volumes of a call and then called with each of
    them, so that ``__init__`` is the place for what they share.

    Parameters
    ----------
    space : Space
        Affine (voxel to RAS+ world in mm), sides and device of the volumes.
    **settings : float
        All of `parameters` at one point: one of them varies, the others are
        at their defaults.

    Attributes
    ----------
    parameters : {name: Parameter}
        A panel each. A name is one of Python's; values increase, and differ
        when rounded to two decimals, as the paper's are, and when written with
        six digits.
    moves_brain : bool
        Whether it moves the brain, so that its outline moves too: the outline
        is then distorted as an image of 0 and 1, with the same random numbers.
        Else what was 0 before stays 0.

    Examples
    --------
    >>> class Dim(OwnDistortion):
    ...     parameters = {"share": Parameter(0, 0.9, 9, float, 0.5)}
    ...
    ...     def __call__(self, volume, generator):
    ...         return (1 - self.settings["share"]) * volume
    """

    parameters: Mapping[str, Parameter] = MappingProxyType({})
    moves_brain: bool = False

    def __init__(self, space: Space, **settings: float) -> None:
        self.space = space
        self.settings = settings

    def __call__(self, volume: Tensor, generator: Generator) -> Tensor:
        """Distort one volume.

        Parameters
        ----------
        volume : Tensor, float32, shape (X, Y, Z)
            A z-scored copy that may be changed, on the device of the space.
        generator : torch.Generator
            Seeded for this person, panel and value, on the CPU. Whatever is
            random must be drawn from it, so that all models see the same
            image, and as many numbers whatever the volume holds.

        Returns
        -------
        Tensor, shape (X, Y, Z)
        """
        raise NotImplementedError


def own_distortion(name: str) -> type[OwnDistortion]:
    """The class of a user's own distortion.

    Parameters
    ----------
    name : str
        "module:Class".

    Raises
    ------
    ValueError
        For another spelling, a module that cannot be imported, what is no
        subclass of `OwnDistortion` with a ``__call__``, or parameters that are
        missing or cannot be run through.
    """
    found = named(name, "distortion", "my_distortions:Stripes")
    if not inspect.isclass(found) or not issubclass(found, OwnDistortion):
        raise ValueError(
            f"distortion {name!r}: {found!r} found, expected a subclass of "
            "mmssl.robustness.OwnDistortion"
        )
    parameters = found.parameters
    if not isinstance(parameters, Mapping) or not parameters:
        raise ValueError(
            f"distortion {name!r}: parameters is {parameters!r}, expected one "
            "or more, {name: Parameter}"
        )
    for key, parameter in parameters.items():
        fault = _fault(key, parameter)
        if fault:
            raise ValueError(f"distortion {name!r}: {fault}")
    if found.__call__ is OwnDistortion.__call__:
        raise ValueError(
            f"distortion {name!r}: no __call__ found, expected one of a "
            "volume and a generator"
        )
    return found


def _fault(name: str, parameter: Parameter) -> str:
    """What is wrong with a parameter, or ""."""
    if not isinstance(name, str) or not name.isidentifier():
        return f"parameter {name!r}, expected a name as Python's variables"
    about = f"parameter {name!r} is {parameter!r}, expected"
    if not isinstance(parameter, Parameter):
        return f"{about} a mmssl.robustness.Parameter"
    if parameter.kind not in (int, float):
        return f"{about} int or float as its kind"
    if not np.isfinite([parameter.left, parameter.right]).all():
        return f"{about} finite ends"
    if parameter.steps < 1 or not parameter.left < parameter.right:
        return f"{about} one step or more, from a left end to a larger right"
    if parameter.kind is float and isinstance(parameter.default, int):
        return f"{about} a default that may have a fraction, as its values"
    values = parameter.values()
    written = {f"{value:g}" for value in values}
    if len(written) < len(values):
        return (
            f"{about} values that differ when rounded to two decimals or to "
            f"its kind, and in six digits; found {values.tolist()}"
        )
    return ""
