"""Cost of training against the batch and the number of modalities."""

from growth import lines
from growth_costs import BATCHES, MODALITIES

NAME = "Batch and modalities"
KIND = "growth"


def measure(rounds: int) -> list[dict]:
    """A line a cost."""
    return lines((*BATCHES, *MODALITIES), min(rounds, 3))
