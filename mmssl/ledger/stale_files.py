"""What lies in folders as it was made, and would be made otherwise now.

An artefact is stale when an input or a module of its sidecar has changed, a
run when its cohort or code on record has; and so is whatever was made from
what is stale or altered. By content alone, as everything here.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mmssl.ledger import limits
from mmssl.ledger.code import fingerprint, is_ours, source_of
from mmssl.ledger.hashes import hash_file, hash_path
from mmssl.ledger.manifest import MANIFEST
from mmssl.ledger.sidecars import (
    input_paths,
    made_otherwise,
    read_sidecar,
    sidecar_of,
)
from mmssl.ledger.verify import COHORT, finished_files

RUN = "params.json"

PUBLISHED = "published.json"
"""Record of a folder that was made elsewhere, of inputs that are not here: how
old it is stands in it, and nothing of it is stale.
"""


def stale_files(
    folders: Sequence[str | Path], altered: Mapping[Path, Sequence[str]]
) -> dict[Path, list[str]]:
    """Say what would be made otherwise now, and why.

    Parameters
    ----------
    folders : sequence of path
        Looked through together: a run's cohort is known by its name among
        their cohorts.
    altered : mapping
        What is not as it was made, of `mmssl.ledger.verify.faults`: that too
        makes stale what was made from it.

    Returns
    -------
    {Path: list of str}
        Of artefacts, and of folders of runs: why; sorted, only those that are.
        What has no record that can be read is left to `altered`.
    """
    hash_module = cache(lambda name: hash_file(source_of(name)))
    looks = cache(hash_path), cache(fingerprint)
    reasons: dict[Path, list[str]] = {}
    sources: dict[Path, dict[str, Path]] = {}
    cohorts = _cohorts(folders, altered)
    elsewhere = {
        file.parent
        for file in finished_files(*folders)
        if file.name == PUBLISHED
    }
    for file in finished_files(*folders):
        if elsewhere.intersection(file.parents):
            continue
        if file.name == RUN and (file.parent / MANIFEST).is_file():
            run, record = file.parent, _read(file)
            reasons[run] = [
                *_changed_code(_table(record, "code"), hash_module),
                *_changed_cohort(_table(record, "cohort"), cohorts),
            ]
        elif sidecar_of(file).is_file():
            try:
                record = read_sidecar(file)
            except ValueError:  # among the altered
                continue
            reasons[file] = made_otherwise(file, record, *looks)
            sources[file] = input_paths(file, record)
    _pass_on(reasons, sources, altered)
    return {
        place: reasons[place] for place in sorted(reasons) if reasons[place]
    }


def _cohorts(
    folders: Sequence[str | Path], altered: Mapping[Path, Sequence[str]]
) -> dict[str, list[Mapping[str, str]]]:
    """Hashes of the files of each cohort, by its name; of one that was
    altered, none.
    """
    found: dict[str, list[Mapping[str, str]]] = {}
    for file in finished_files(*folders):
        if file.name == COHORT:
            record = _read(file)
            hashes = _table(record, "hashes")
            if file.parent in altered:
                hashes = {}
            found.setdefault(str(record.get("name")), []).append(hashes)
    return found


def _read(file: Path) -> dict[str, Any]:
    """A record; an empty one of what cannot be read."""
    try:
        record = json.loads(limits.read_text(file))
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _table(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An entry of a record; an empty one where it is no table."""
    entry = record.get(name)
    return entry if isinstance(entry, dict) else {}


def _changed_code(
    code: Mapping[str, str], hash_module: Callable[[str], str]
) -> Iterator[str]:
    """Modules of a run that have changed; a user's own may be anywhere, and
    are not looked for.
    """
    for name, expected in code.items():
        if source_of(name) is not None:
            if hash_module(name) != expected:
                yield f"module {name} has changed"
        elif is_ours(name):
            yield f"module {name} no longer exists"


def _changed_cohort(
    cohort: Mapping[str, Any], cohorts: Mapping[str, Sequence]
) -> Iterator[str]:
    """That no cohort of the name is the one that a run was trained on; nothing
    where there is none of the name.
    """
    name = cohort.get("name")
    known = cohorts.get(str(name))
    if known and cohort.get("hashes") not in known:
        yield f"its cohort {name} has changed"


def _pass_on(
    reasons: dict[Path, list[str]],
    sources: Mapping[Path, Mapping[str, Path]],
    altered: Mapping[Path, Sequence[str]],
) -> None:
    """Add to the reasons of each artefact the inputs that are stale or
    altered, or lie in or around what is, until nobody learns anything new.
    """
    bad = {_real(place) for place in altered}
    bad |= {_real(place) for place, why in reasons.items() if why}
    waiting = {file for file in sources if not reasons[file]}
    news = True
    while news:
        around = {parent for place in bad for parent in place.parents}
        news = []
        for file in sorted(waiting):
            for name, path in sources[file].items():
                path = _real(path)
                if path in around or bad & {path, *path.parents}:
                    reasons[file].append(f"its input {name} is stale")
            if reasons[file]:
                news.append(file)
        waiting -= set(news)
        bad |= {_real(file) for file in news}


def _real(path: Path) -> Path:
    """Where a path leads, whatever links it takes; what cannot be one stays as
    it is.
    """
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return path
