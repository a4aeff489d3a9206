"""How alike two representations of the same people are, and how sure that
is.
"""

from mmssl.similarity.dimension_pairs import (
    DimensionPairs,
    correlate_dimensions,
    strongest_modalities,
)
from mmssl.similarity.groups import group_test, matched_size
from mmssl.similarity.inference import (
    chance_level,
    jackknife_intervals,
    shuffled_null,
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
from mmssl.similarity.simulations import (
    simulated_codes,
    studies_without_difference,
)
from mmssl.similarity.tables import group_table, similarity_table

__all__ = [
    "BIASED",
    "DimensionPairs",
    "MEASURES",
    "cca",
    "chance_level",
    "cka",
    "correlate_dimensions",
    "group_table",
    "group_test",
    "jackknife_intervals",
    "matched_size",
    "measures",
    "pwcca",
    "shuffled_null",
    "similarity_table",
    "simulated_codes",
    "strongest_modalities",
    "studies_without_difference",
    "svcca",
]
