"""Cost against the number of voxels: cubes of 32, 64 and 128 a side."""

from growth import lines
from growth_costs import VOXELS

NAME = "Voxels"
KIND = "growth"


def measure(rounds: int) -> list[dict]:
    """A line a cost."""
    return lines(VOXELS, min(rounds, 3))
