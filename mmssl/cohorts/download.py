"""Fetch MNIST and SVHN from their public mirrors, or say what to put where.

A file appears under its name only when it is whole and has the published
checksum.
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from tqdm.auto import tqdm

from mmssl.ledger import atomic

# Debian packages neither of the two
MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "svhn": ("http://ufldl.stanford.edu/housenumbers/",),
}

MD5 = {  # as published with torchvision's data sets
    "mnist": {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
    "svhn": {
        "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
        "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
    },
}

_TIMEOUT = 20  # seconds a mirror may stay silent
_CHUNK = 1 << 18
_LARGEST = 1 << 28  # bytes of a file, 256 MiB; SVHN's largest has 182 MB


class DownloadError(OSError):
    """No mirror gave a file with the published checksum."""


def fetch(
    dataset: str,
    folder: str | Path,
    mirrors: Sequence[str] | None = None,
    progress: bool = True,
) -> Path:
    """Fetch the published files of a data set; those already there are kept.

    Parameters
    ----------
    dataset : {"mnist", "svhn"}
        12 MB or 246 MB.
    folder : path
    mirrors : sequence of str, optional
        Addresses to try in turn; the public ones by default.
    progress : bool

    Returns
    -------
    Path
        ``folder``.

    Raises
    ------
    DownloadError
        If no mirror gave a file: what each said, and what to put where by
        hand.
    """
    folder = Path(folder)
    mirrors = mirrors or MIRRORS[dataset]
    for name, published in MD5[dataset].items():
        file = folder / name
        if file.is_file() and md5(file) == published:
            continue
        failures = _fetch_file(file, published, mirrors, progress)
        if failures:
            raise DownloadError(_by_hand(dataset, file, mirrors[0], failures))
    return folder


def md5(file: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    digest = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as content:
        while block := content.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


def _fetch_file(
    file: Path, published: str, mirrors: Sequence[str], progress: bool
) -> list[str]:
    """A file from the first mirror that has it; what each said if none has."""
    failures = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{file.name}"
        try:
            _get(url, file, published, progress)
        except (OSError, http.client.HTTPException) as error:
            failures.append(f"{mirror}: {error}")
        else:
            return []
    return failures


def _by_hand(
    dataset: str, file: Path, mirror: str, failures: Sequence[str]
) -> str:
    """What a download said, and what to put where instead."""
    lines = [f"{file.name} of {dataset.upper()} could not be downloaded:"]
    lines += [f"  {failure}" for failure in failures]
    lines.append(
        f"To work offline, fetch these files elsewhere, from {mirror}, and "
        f"put them into {file.parent}:"
    )
    for name, published in MD5[dataset].items():
        lines.append(f"  {name}  md5 {published}")
    return "\n".join(lines)


def _get(url: str, file: Path, published: str, progress: bool) -> None:
    """One file from one mirror, or an OSError."""
    digest = hashlib.md5(usedforsecurity=False)
    with (
        urllib.request.urlopen(url, timeout=_TIMEOUT) as answer,
        atomic.file(file) as temporary,
        temporary.open("wb") as out,
    ):
        declared = answer.headers.get("Content-Length") or ""
        size = int(declared) if declared.isdecimal() else 0
        most = size or _LARGEST
        if size > _LARGEST:
            raise DownloadError(
                f"{size} bytes declared, expected at most {_LARGEST}"
            )
        progress_bar = tqdm(
            total=size or None,
            unit="B",
            unit_scale=True,
            desc=file.name,
            disable=not progress,
        )
        with progress_bar:
            while block := answer.read(_CHUNK):
                out.write(block)
                if out.tell() > most:
                    raise DownloadError(
                        f"{out.tell()} bytes or more, expected at most {most}"
                    )
                digest.update(block)
                progress_bar.update(len(block))
        if digest.hexdigest() != published:
            raise DownloadError(
                f"md5 {digest.hexdigest()}, the published file has {published}"
            )
