"""Pretrain the encoders of an objective, embed cohorts with them, and the
baselines beside them.
"""

from mmssl.pretrain.baselines import (
    BASELINES,
    PCA_64,
    RANDOM,
    baseline_embeddings,
    untrained,
)
from mmssl.pretrain.encoders import embed, encode, load_encoders
from mmssl.pretrain.fit import fit
from mmssl.pretrain.rankme import rankme

__all__ = [
    "BASELINES",
    "PCA_64",
    "RANDOM",
    "embed",
    "encode",
    "fit",
    "baseline_embeddings",
    "load_encoders",
    "rankme",
    "untrained",
]
