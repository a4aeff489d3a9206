"""Cost against the number of subjects and of permutations."""

from growth import lines
from growth_costs import PERMUTATIONS, SUBJECTS

NAME = "Subjects and permutations"
KIND = "growth"


def measure(rounds: int) -> list[dict]:
    """A line a cost."""
    return lines((*SUBJECTS, *PERMUTATIONS), min(rounds, 3))
