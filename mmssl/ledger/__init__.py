"""Provenance: what made an artefact, whom each fit has seen, and one way to
save.
"""

from mmssl.ledger.artefacts import (
    CHECKS,
    KEYS,
    SALIENCY,
    Provenance,
    SanityReport,
    read_map,
    read_tables,
    write_map,
)
from mmssl.ledger.code import fingerprint, imports
from mmssl.ledger.hashes import (
    hash_array,
    hash_file,
    hash_json,
    hash_path,
)
from mmssl.ledger.leakage import (
    Exposure,
    LeakError,
    check_disjoint,
    exposure,
    prove,
    read_exposures,
    write_exposures,
)
from mmssl.ledger.sidecars import (
    read_sidecar,
    sidecar_of,
    stale,
    versions,
    write_sidecar,
)

__all__ = [
    "CHECKS",
    "Exposure",
    "KEYS",
    "LeakError",
    "Provenance",
    "SALIENCY",
    "SanityReport",
    "check_disjoint",
    "exposure",
    "fingerprint",
    "hash_array",
    "hash_file",
    "hash_json",
    "hash_path",
    "imports",
    "prove",
    "read_exposures",
    "read_map",
    "read_sidecar",
    "read_tables",
    "sidecar_of",
    "stale",
    "versions",
    "write_exposures",
    "write_map",
    "write_sidecar",
]
