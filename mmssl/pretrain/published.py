"""Encoders that come with the repository: those of an edition that its authors
ran, for who has not trained any.

`book/publish.py` lays them out in `FOLDER`, a folder an edition::

    <edition>/manifest.json       hashes of all files
    <edition>/encoders/<model>/   as `mmssl.preprocessing.load_exported` reads
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmssl.ledger.manifest import MANIFEST, check_files, read_manifest
from mmssl.ledger.paths import project
from mmssl.preprocessing.exported_encoders import load_exported

if TYPE_CHECKING:
    from mmssl.preprocessing.exported_encoders import ExportedEncoder

FOLDER = "book/published"
"""Of all published editions, from the repository's root."""

ENCODERS = "encoders"


def load_published(
    name: str, folder: str | Path | None = None
) -> dict[str, ExportedEncoder]:
    """Load the encoders of a published model, with what prepares images.

    >>> encoder = pretrain.load_published("RR")["T1"]
    >>> z = encoder.embed(volumes)  # (n, latent)

    Parameters
    ----------
    name : str
        A model, ``"RR"``; ``"overnight/RR"`` where several editions have it.
    folder : path, optional
        Of the published editions, if not this repository's.

    Returns
    -------
    dict
        {modality: ExportedEncoder}, as `mmssl.preprocessing.load_exported`.

    Raises
    ------
    FileNotFoundError
        Where nothing is published, naming the command that does it.
    ValueError
        For a name that is not there or stands in several editions, listing
        what is there; for a file that was changed, naming it.
    """
    folder = project(FOLDER) if folder is None else Path(folder)
    there = published_encoders(folder)
    if not there:
        raise FileNotFoundError(
            f"{folder}: no published encoders; make publish EDITION=<edition> "
            "writes those of a finished edition"
        )
    # names are compared, never joined to a path
    found = [one for one in there if name in (one, one.split("/")[1])]
    if len(found) != 1:
        what = "no such model" if not found else "in several editions"
        raise ValueError(
            f"{folder}: {name!r} is {what}, expected one of {', '.join(there)}"
        )
    edition = folder / found[0].split("/")[0]
    encoders = there[found[0]]
    record = (encoders / MANIFEST).relative_to(edition).as_posix()
    check_files(edition, read_manifest(edition), [record])
    return load_exported(encoders)


def published_encoders(folder: str | Path) -> dict[str, Path]:
    """Return {"edition/model": its folder} of all published encoders."""
    found = {}
    for path in sorted(Path(folder).glob(f"*/{ENCODERS}/*")):
        edition = path.parents[1].name
        if path.is_dir() and not edition.startswith("."):
            found[f"{edition}/{path.name}"] = path
    return found
