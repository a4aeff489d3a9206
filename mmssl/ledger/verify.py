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
    for place, found in faults(folder).items():
        # of a cohort it is the folder itself
        lies_in = place if place.is_dir() else place.parent
        for reason in found:
            reasons.append(f"{lies_in.relative_to(folder)}: {reason}")
    return reasons


def faults(*folders: str | Path) -> dict[Path, list[str]]:
    """Say of each file of some folders that is not the one that was made why;
    of a cohort, whose files belong together, of its folder.
    """
    found: dict[Path, list[str]] = {}
    for file in finished_files(*folders):
        for place, reason in _faults(file):
            found.setdefault(place, []).append(reason)
    return found


def finished_files(*folders: str | Path) -> Iterator[Path]:
    """The files of some folders, sorted, without those that are still being
    written.
    """
    for folder in map(Path, folders):
        for file in sorted(folder.rglob("*")):
            if file.is_file() and not is_unfinished(file.relative_to(folder)):
                yield file


def _faults(file: Path) -> Iterator[tuple[Path, str]]:
    """What a file's record says that does not hold, and of which place."""
    folder = file.parent
    if file.name == MANIFEST:
        for name, reason in _in_manifest(folder, read_manifest):
            yield folder / name, reason
    elif file.name == COHORT:
        for _, reason in _in_manifest(folder, _hashes_of_cohort):
            yield folder, reason
    elif sidecar_of(file).is_file():
        for reason in changed(file):
            yield file, reason
    elif file.suffix == ".json" and _is_sidecar(file):
        if not file.with_suffix("").is_file():
            yield file, f"{file.stem} is gone, its sidecar is there"


def _in_manifest(folder: Path, read) -> Iterator[tuple[str, str]]:
    """The files that a record names and that are not as it says, and why."""
    try:
        hashes = read(folder)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        yield MANIFEST, f"its record cannot be read ({error})"
        return
    for name, expected in hashes.items():
        file = folder / name
        if not file.is_file():
            yield name, f"{name} is gone"
        elif hash_file(file) != expected:
            yield name, f"{name} was changed after it was made"


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
