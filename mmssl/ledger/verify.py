"""Every hash of a folder against the bytes, from disk and not from memory.

python -m mmssl.ledger.verify data book/executed
"""

import json
from collections.abc import Iterator
from pathlib import Path

from mmssl.ledger.hashes import hash_file, hash_json, is_unfinished
from mmssl.ledger.manifest import MANIFEST, read_manifest
from mmssl.ledger.sidecars import changed, sidecar_of

COHORT = "cohort.json"


def verify(folder: str | Path) -> list[str]:
    """Say which files of a folder are not those that were made.

    Cohorts, runs and sweeps by their manifests, tables, figures, maps and
    pages by their sidecars, wherever they lie in the folder.

    Parameters
    ----------
    folder : path

    Returns
    -------
    list of str
        One reason for each file, with its place in the folder. Empty: all are
        as they were made.
    """
    folder = Path(folder)
    reasons = []
    for file in sorted(folder.rglob("*")):
        if not file.is_file() or is_unfinished(file.relative_to(folder)):
            continue
        for reason in _faults(file):
            reasons.append(f"{file.relative_to(folder).parent}: {reason}")
    return reasons


def _faults(file: Path) -> Iterator[str]:
    """What a file's record says that does not hold."""
    if file.name == MANIFEST:
        yield from _in_manifest(file.parent, read_manifest)
    elif file.name == COHORT:
        yield from _in_manifest(file.parent, _hashes_of_cohort)
    elif sidecar_of(file).is_file():
        yield from changed(file)
    elif file.suffix == ".json" and _is_sidecar(file):
        if not file.with_suffix("").is_file():
            yield f"{file.stem} is gone, its sidecar is there"


def _in_manifest(folder: Path, read) -> Iterator[str]:
    try:
        hashes = read(folder)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        yield f"its record cannot be read ({error})"
        return
    for name, expected in hashes.items():
        file = folder / name
        if not file.is_file():
            yield f"{name} is gone"
        elif hash_file(file) != expected:
            yield f"{name} was changed after it was made"


def _hashes_of_cohort(folder: Path) -> dict[str, str]:
    text = (folder / COHORT).read_text(encoding="utf-8")
    fields = json.loads(text)
    recorded = fields.pop("content")
    if hash_json(fields) != recorded:
        raise ValueError(f"{COHORT} was changed after it was made")
    return fields["hashes"]


def _is_sidecar(file: Path) -> bool:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(record, dict) and record.get("artefact") == file.stem
