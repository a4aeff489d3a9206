"""Pretrain the encoders of an objective, embed cohorts with them, and the
baselines they must beat.
"""

from mmssl.pretrain.baselines import (
    BASELINES,
    INITIALISATIONS,
    PCA_64,
    RANDOM,
    baseline_embeddings,
    untrained_draws,
    untrained_embeddings,
    untrained_encoders,
)
from mmssl.pretrain.embedding_export import export_embeddings
from mmssl.pretrain.encoder_export import export_encoders
from mmssl.pretrain.encoders import (
    Weights,
    embed,
    encode,
    load_encoders,
    load_weights,
    write_embeddings,
)
from mmssl.pretrain.fit import fit, load_objective
from mmssl.pretrain.processes import leave_the_rest_to_the_first
from mmssl.pretrain.published import (
    PublishedForCohort,
    load_published,
    published_for,
)
from mmssl.pretrain.rankme import rankme
from mmssl.pretrain.reconstructions import reconstructed
from mmssl.pretrain.run_folder import read_history, read_parameters
from mmssl.pretrain.runs_table import read_runs

__all__ = [
    "BASELINES",
    "INITIALISATIONS",
    "PCA_64",
    "PublishedForCohort",
    "RANDOM",
    "Weights",
    "baseline_embeddings",
    "embed",
    "encode",
    "export_embeddings",
    "export_encoders",
    "fit",
    "leave_the_rest_to_the_first",
    "load_encoders",
    "load_objective",
    "load_published",
    "load_weights",
    "published_for",
    "rankme",
    "read_history",
    "read_parameters",
    "read_runs",
    "reconstructed",
    "untrained_draws",
    "untrained_embeddings",
    "untrained_encoders",
    "write_embeddings",
]
