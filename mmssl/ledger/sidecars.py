"""Sidecars: what made an artefact, written beside it, and whether that still
holds.

An artefact (table, figure, map, executed notebook) has a sidecar
``<artefact>.json`` with the hashes of its inputs and of the modules that made
it, its parameters, seed, threads and versions. Whether it is stale is decided
by content alone: never by a date or a commit. Hashes are those of
`mmssl.ledger.hashes`, the code's those of `mmssl.ledger.code`. A page writes
its artefacts and their sidecars through `mmssl.ledger.artefacts`.
"""

import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from mmssl import __version__
from mmssl.ledger import atomic, limits, paths
from mmssl.ledger.code import fingerprint, source_of
from mmssl.ledger.hashes import (
    as_json,
    hash_file,
    hash_path,
    is_hash,
)

_RECORDED = (
    "torch",
    "lightning",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "nilearn",
    "nibabel",
    "SimpleITK",
    "optuna",
    "papermill",
)

_FIELDS: Mapping[str, tuple[type, ...]] = {
    "artefact": (str,),
    "content": (str,),
    "inputs": (dict,),
    "parameters": (dict,),
    "seed": (int, type(None)),
    "modules": (list,),
    "code": (dict,),
    "versions": (dict,),
    "threads": (dict,),
    "facts": (dict,),
}


def versions() -> dict[str, str]:
    """Return the versions that a result may depend on: Python, mmssl and what
    it computes with.
    """
    return {
        "python": platform.python_version(),
        "mmssl": __version__,
        **_installed(),
    }


def write_sidecar(
    artefact: str | Path,
    inputs: Mapping[str, str | Path],
    parameters: Mapping[str, Any],
    seed: int | None,
    modules: tuple[str, ...],
    facts: Mapping[str, Any] | None = None,
    without: Collection[tuple[str, str]] = (),
) -> Path:
    """Write ``<artefact>.json`` beside a finished artefact.

    Parameters
    ----------
    artefact : path
        A complete file.
    inputs : mapping
        Name to path (hashed now, checked by `stale`) or to a 64-digit hash
        (only recorded).
    parameters : mapping
        All that the artefact depends on, precision included.
    seed : int or None
        None where nothing was drawn.
    modules : tuple of str
        The modules that made it; what they import is found (`fingerprint`).
    facts : mapping, optional
        What should be known but does not make the artefact stale, e.g. its
        duration.
    without : collection of (module, module that it imports)
        Imports that had no part in it, see `fingerprint`.

    Returns
    -------
    Path
        The sidecar.

    Raises
    ------
    FileNotFoundError
        When the artefact or an input does not exist.
    """
    artefact = Path(artefact)
    recorded_inputs = {
        name: _input(value, artefact) for name, value in inputs.items()
    }
    record = {
        "artefact": artefact.name,
        "content": hash_file(artefact),
        "inputs": recorded_inputs,
        "parameters": dict(parameters),
        "seed": seed,
        "modules": list(modules),
        "code": fingerprint(*modules, without=without),
        "versions": versions(),
        "threads": _threads(),
        "facts": dict(facts or {}),
    }
    if without:
        record["without"] = sorted(map(list, without))
    sidecar = sidecar_of(artefact)
    with atomic.file(sidecar) as temporary:
        temporary.write_text(
            as_json(record, indent=1) + "\n", encoding="utf-8"
        )
    return sidecar


def sidecar_of(artefact: str | Path) -> Path:
    """Return where the sidecar of an artefact is."""
    artefact = Path(artefact)
    return artefact.with_name(artefact.name + ".json")


def read_sidecar(artefact: str | Path) -> dict[str, Any]:
    """Return the sidecar of an artefact as `write_sidecar` recorded it.

    Raises
    ------
    FileNotFoundError
        When there is none.
    ValueError
        When it is no JSON, or lacks an entry or holds one that `write_sidecar`
        would not have written; naming the file, the entry, the value found and
        what was expected.
    """
    sidecar = sidecar_of(artefact)
    try:
        record = json.loads(
            limits.read_text(sidecar), parse_constant=_no_number
        )
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{sidecar}: not JSON in UTF-8 ({error})") from error
    if not isinstance(record, dict):
        raise ValueError(
            f"{sidecar}: found {type(record).__name__}, expected the entries "
            f"{', '.join(_FIELDS)}"
        )
    for fault in _record_faults(record):
        raise ValueError(f"{sidecar}: {fault}")
    return record


def changed(artefact: str | Path) -> list[str]:
    """Say why an artefact is not the one that was made: it or its sidecar is
    missing, the sidecar is not as it was written, or the bytes are others.
    Empty: it is.
    """
    artefact = Path(artefact)
    if not artefact.is_file():
        return [f"{artefact.name} does not exist"]
    if not sidecar_of(artefact).is_file():
        return [
            f"{artefact.name} has no sidecar, so nobody knows what made it"
        ]
    try:
        record = read_sidecar(artefact)
    except ValueError as error:
        return [str(error)]
    if hash_file(artefact) != record["content"]:
        return [f"{artefact.name} was changed after it was made"]
    return []


def stale(artefact: str | Path, once: bool = False) -> list[str]:
    """Say why an artefact can no longer be trusted.

    Parameters
    ----------
    artefact : path
        What `write_sidecar` was called with.
    once : bool
        Whether an input or a module is looked at once for all artefacts that
        this process asks for, as it was then: for many of the same inputs.

    Returns
    -------
    list of str
        One reason for each: artefact or sidecar missing, sidecar not as
        `write_sidecar` writes it, artefact edited, an input missing, changed
        or unreadable, a module changed. Empty: fresh.
    """
    artefact = Path(artefact)
    reasons = changed(artefact)
    if not artefact.is_file():
        return reasons
    try:
        record = read_sidecar(artefact)
    except (FileNotFoundError, ValueError):  # among the reasons
        return reasons
    looks = (_hash_once, _fingerprint_once) if once else ()
    return reasons + made_otherwise(artefact, record, *looks)


def made_otherwise(
    artefact: Path,
    record: Mapping[str, Any],
    hash_of: Callable[[Path], str] | None = None,
    fingerprint_of: Callable[..., dict[str, str]] | None = None,
) -> list[str]:
    """Say why an artefact would be made otherwise now: of its inputs and
    modules alone.

    Parameters
    ----------
    artefact : Path
    record : mapping
        Of `read_sidecar`.
    hash_of, fingerprint_of : callable, optional
        `hash_path` and `fingerprint`, or what keeps their answers.
    """
    hash_of = hash_of or hash_path
    fingerprint_of = fingerprint_of or fingerprint
    reasons = list(_changed_inputs(record, artefact, hash_of))
    modules, code = record["modules"], record["code"]
    missing = [name for name in modules if source_of(name) is None]
    if missing:
        gone = [f"module {name} no longer exists" for name in missing]
        return reasons + gone
    without = frozenset(map(tuple, record.get("without", ())))
    now = fingerprint_of(*modules, without=without)
    for name in sorted(now.keys() | code.keys()):
        if now.get(name) != code.get(name):
            reasons.append(f"module {name} has changed")
    return reasons


def input_paths(artefact: Path, record: Mapping[str, Any]) -> dict[str, Path]:
    """Return where the inputs of an artefact lie, by their names; of those
    that were only recorded by their hash, none.
    """
    root = paths.root(artefact.parent)
    found = {}
    for name, entry in record["inputs"].items():
        if "path" in entry:
            found[name] = root / entry["path"]
    return found


_hash_once = cache(hash_path)
_fingerprint_once = cache(fingerprint)


@cache
def _installed() -> dict[str, str]:
    found = {}
    for name in _RECORDED:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _threads() -> dict[str, int | str | None]:
    # torch is asked only where it is in use: importing it here would cost two
    # seconds
    torch = sys.modules.get("torch")
    return {
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "torch": torch.get_num_threads() if torch else None,
    }


def _input(value: str | Path, artefact: Path) -> dict[str, str]:
    if is_hash(str(value)):
        return {"hash": str(value)}
    path, root = Path(value).resolve(), paths.root(artefact.parent)
    name = path.relative_to(root) if path.is_relative_to(root) else path
    return {"path": name.as_posix(), "hash": hash_path(path)}


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _record_faults(record: Mapping[str, Any]) -> Iterator[str]:
    """What `write_sidecar` would not have written."""
    for name, types in _FIELDS.items():
        if name not in record:
            yield f"no entry {name!r}"
            return
        if not isinstance(record[name], types):
            expected = " or ".join(one.__name__ for one in types)
            yield f"{name} is {record[name]!r}, expected {expected}"
            return
    if not is_hash(record["content"]):
        yield f"content is {record['content']!r}, expected a SHA-256"
    for name, entry in record["inputs"].items():
        if not _is_input(entry):
            yield (
                f"inputs.{name} is {entry!r}, expected a SHA-256 as hash, and "
                "a path"
            )
    for name in record["modules"]:
        if not isinstance(name, str):
            yield f"modules holds {name!r}, expected names of modules"
    for name, value in record["code"].items():
        if not is_hash(value):
            yield f"code.{name} is {value!r}, expected a SHA-256"
    without = record.get("without", [])
    if not isinstance(without, list) or not all(map(_is_import, without)):
        yield f"without is {without!r}, expected pairs of names of modules"


def _is_import(entry: Any) -> bool:
    if not isinstance(entry, list) or len(entry) != 2:
        return False
    return all(isinstance(name, str) for name in entry)


def _is_input(entry: Any) -> bool:
    if not isinstance(entry, dict) or not is_hash(entry.get("hash")):
        return False
    return isinstance(entry.get("path", ""), str)


def _changed_inputs(
    record: Mapping[str, Any],
    artefact: Path,
    hash_of: Callable[[Path], str],
) -> Iterator[str]:
    """The inputs that are not as they were, by `hash_path` or what keeps its
    answers.
    """
    for name, path in input_paths(artefact, record).items():
        entry = record["inputs"][name]
        shown = f"its input {name} ({entry['path']})"
        if not os.path.exists(path):
            yield f"{shown} is gone"
            continue
        try:
            has_changed = hash_of(path) != entry["hash"]
        except (OSError, ValueError) as error:
            yield f"{shown} cannot be read: {error}"
            continue
        if has_changed:
            yield f"{shown} has changed"
