"""Encoders that come with the repository: those of an edition that its authors
ran, for who has not trained any.

`book/publish.py` lays them out in `FOLDER`, a folder an edition::

    <edition>/manifest.json       hashes of all files
    <edition>/encoders/<model>/   as `mmssl.preprocessing.load_exported` reads
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmssl.ledger.manifest import MANIFEST, check_files, read_manifest
from mmssl.ledger.paths import project
from mmssl.preprocessing.exported_encoders import load_exported

if TYPE_CHECKING:
    from torch import nn

    from mmssl.preprocessing.exported_encoders import ExportedEncoder

FOLDER = "book/published"
"""Of all published editions, from the repository's root."""

ENCODERS = "encoders"

TOLERANCE = 1e-3
"""Of the entries of an affine, mm."""


class PublishedForCohort(NamedTuple):
    """Published encoders in the place of those of a run.

    Attributes
    ----------
    encoders, landmarks : dict
        As `mmssl.pretrain.load_encoders` gives them.
    model : str
        The name of the model, without its edition.
    file : Path
        The record of what was loaded, for a sidecar; beside it lies, of
        simulated people, whom the encoders have seen.
    """

    encoders: dict[str, nn.Module]
    landmarks: dict[str, dict | None]
    model: str
    file: Path


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
    return load_exported(_checked(name, folder))


def published_for(
    cohort, name: str, folder: str | Path | None = None
) -> PublishedForCohort:
    """Load the encoders of a published model for the images of a cohort, in
    the place of a run's.

    Parameters
    ----------
    cohort : Cohort
    name, folder
        As of `load_published`.

    Returns
    -------
    PublishedForCohort
        Of the modalities that the cohort has.

    Raises
    ------
    FileNotFoundError, ValueError
        As of `load_published`; for a cohort without any of the encoders'
        modalities, or whose images have another size, intensity or place than
        theirs, naming both.
    """
    found = _checked(name, folder)
    loaded = load_exported(found)
    shared = [m for m in loaded if m in cohort.modalities]
    if not shared:
        raise ValueError(
            f"{cohort.path}: modalities {', '.join(cohort.modalities)} found, "
            f"expected one of {name}'s, {', '.join(loaded)}"
        )
    encoders, landmarks = {}, {}
    for m in shared:
        _check_images(cohort, loaded[m], name)
        encoders[m] = loaded[m].network
        landmarks[m] = loaded[m].landmarks
    file = found / MANIFEST
    return PublishedForCohort(encoders, landmarks, found.name, file)


def _check_images(cohort, encoder: ExportedEncoder, name: str) -> None:
    """ValueError where a cohort's images are not such as an encoder takes."""
    m = encoder.modality
    sides = cohort.volumes[m].shape[-(len(encoder.shape) - 1) :]
    shape = (cohort.channels[m], *sides)
    intensity = "unit" if encoder.landmarks is None else "brain"
    facts = {
        "shape (channels, *sides)": (shape, encoder.shape),
        "intensity": (cohort.intensity, intensity),
    }
    for what, (found, expected) in facts.items():
        if found != expected:
            raise ValueError(
                f"{cohort.path}: {m} has {what} {found}, expected {expected} "
                f"as of the published encoder {name}"
            )
    if encoder.affine is None or cohort.affine is None:
        return
    if not np.allclose(cohort.affine, encoder.affine, rtol=0, atol=TOLERANCE):
        raise ValueError(
            f"{cohort.path}: affine {cohort.affine.tolist()} found, expected "
            f"{encoder.affine.tolist()} as of the published encoder {name}"
        )


def _checked(name: str, folder: str | Path | None) -> Path:
    """The folder of a published model, whose record is that which its
    edition's manifest names.
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
    return encoders


def published_encoders(folder: str | Path) -> dict[str, Path]:
    """Return {"edition/model": its folder} of all published encoders."""
    found = {}
    for path in sorted(Path(folder).glob(f"*/{ENCODERS}/*")):
        edition = path.parents[1].name
        if path.is_dir() and not edition.startswith("."):
            found[f"{edition}/{path.name}"] = path
    return found
