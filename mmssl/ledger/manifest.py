"""The manifest of a folder: the hashes of its files, checked whenever they are
read.

A run and a sweep carry ``manifest.json``; a cohort has its hashes in
``cohort.json``, an artefact in its sidecar.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmssl.ledger import atomic
from mmssl.ledger.hashes import as_json, hash_files, hash_once

MANIFEST = "manifest.json"


def write_manifest(folder: str | Path) -> Path:
    """Write down the hashes of all finished files of a folder."""
    folder = Path(folder)
    hashes = hash_files(folder)
    hashes.pop(MANIFEST, None)
    return _write(folder, hashes)


def add_to_manifest(folder: str | Path, name: str) -> Path:
    """Write down the hash of one more file of a folder, by its owner alone."""
    folder = Path(folder)
    hashes = {}
    if (folder / MANIFEST).exists():
        hashes = read_manifest(folder)
    return _write(folder, {**hashes, name: hash_once(folder / name)})


def read_manifest(folder: str | Path) -> dict[str, str]:
    """Return {file in the folder: sha256}.

    Raises
    ------
    ValueError
        Where there is none, or what is there is no manifest.
    """
    file = Path(folder) / MANIFEST
    if not file.is_file():
        raise ValueError(
            f"{file}: not found, so nobody knows whether the files beside it "
            "are those that were made; remove the folder and make it anew"
        )
    try:
        hashes = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: not valid JSON ({error})") from error
    if not isinstance(hashes, dict):
        raise ValueError(
            f"{file}: found {type(hashes).__name__}, expected the hash of "
            "each file by its name"
        )
    return hashes


def check_manifest(folder: str | Path) -> None:
    """ValueError unless every file of a manifest is the one that was made."""
    hashes = read_manifest(folder)
    check_files(folder, hashes, hashes)


def check_files(
    folder: str | Path, hashes: Mapping[str, str], names: Iterable[str]
) -> None:
    """Refuse files that are not those that were made.

    Parameters
    ----------
    folder : path
    hashes : {file in the folder: sha256}
        On record.
    names : iterable of str
        Files to check.

    Raises
    ------
    ValueError
        Naming the file, its hash found and expected.
    """
    folder = Path(folder)
    for name in names:
        fault = _fault(folder / name, hashes.get(name))
        if fault:
            raise ValueError(
                f"{folder / name}: {fault}; remove {folder.name} and make it "
                "anew"
            )


def _fault(file: Path, expected: str | None) -> str:
    """Why a file is not the one on record, or nothing."""
    if not file.is_file():
        return "not found, but it was made"
    if expected is None:
        return "is not among the files on record"
    found = hash_once(file)
    if found == expected:
        return ""
    return (
        f"was changed after it was made (sha256 found {found[:12]}, expected "
        f"{expected[:12]})"
    )


def _write(folder: Path, hashes: Mapping[str, str]) -> Path:
    file = folder / MANIFEST
    with atomic.file(file) as temporary:
        temporary.write_text(
            as_json(hashes, indent=1) + "\n", encoding="utf-8"
        )
    return file
