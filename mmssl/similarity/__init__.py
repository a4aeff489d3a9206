"""How alike two representations of the same people are, and how sure that
is.
"""

from mmssl.similarity.dimension_pairs import Pairing, pair
from mmssl.similarity.inference import (
    chance,
    group_table,
    group_test,
    intervals,
    matched,
    no_difference,
    shuffled,
)
from mmssl.similarity.measures import (
    BIASED,
    MEASURES,
    cca,
    cka,
    measures,
    pwcca,
    svcca,
)

__all__ = [
    "BIASED",
    "MEASURES",
    "Pairing",
    "cca",
    "chance",
    "cka",
    "group_table",
    "group_test",
    "intervals",
    "matched",
    "measures",
    "no_difference",
    "pair",
    "pwcca",
    "shuffled",
    "svcca",
]
