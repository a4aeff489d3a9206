"""A parameter of a distortion and the values it runs through: a panel of the
figures.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

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
