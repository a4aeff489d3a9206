"""Provenance: what made an artefact, whom each fit has seen, and one way to
save.
"""

from mmssl.ledger.artefacts import (
    CHECKS,
    KEYS,
    SALIENCY,
    Provenance,
    SanityReport,
    check_tables,
    read_map,
    read_table,
    read_tables,
    write_map,
)
from mmssl.ledger.code import fingerprint, imports
from mmssl.ledger.cost import Cost, measured
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
from mmssl.ledger.locks import LockedError
from mmssl.ledger.markup import escaped, styled
from mmssl.ledger.sidecars import (
    changed,
    input_paths,
    read_sidecar,
    sidecar_of,
    stale,
    versions,
    write_sidecar,
)
from mmssl.ledger.stale_files import stale_files
from mmssl.ledger.verify import faults, verify

__all__ = [
    "CHECKS",
    "Cost",
    "Exposure",
    "KEYS",
    "LeakError",
    "LockedError",
    "Provenance",
    "SALIENCY",
    "SanityReport",
    "changed",
    "check_disjoint",
    "check_tables",
    "escaped",
    "exposure",
    "faults",
    "fingerprint",
    "hash_array",
    "hash_file",
    "hash_json",
    "hash_path",
    "imports",
    "input_paths",
    "measured",
    "prove",
    "read_exposures",
    "read_map",
    "read_sidecar",
    "read_table",
    "read_tables",
    "sidecar_of",
    "stale",
    "stale_files",
    "styled",
    "verify",
    "versions",
    "write_exposures",
    "write_map",
    "write_sidecar",
]
