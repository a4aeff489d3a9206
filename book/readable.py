"""What can be read on a page or in a file of a site, and where.

`of_notebook` gives every text of a notebook, also what its metadata, outputs
and attachments hold; `texts` gives what bytes say: a text itself, or what a
picture says of itself.
"""

import base64
import binascii
import gzip
import io
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from PIL import Image, UnidentifiedImageError

TEXT = re.compile(r"text/|.*[/+](json|xml|javascript)\b")
"""Kinds of content that are text in a notebook; all others are base64."""

EMBEDDED = re.compile(
    r"data:[\w.+/;=-]*;base64,\s*([A-Za-z0-9+/]+(?:\r?\n[A-Za-z0-9+/]+)*)"
)
"""A file inside a text."""

INVENTORY = b"# Sphinx inventory version 2"
"""How the packed list of a site's titles begins."""

PACKED = b"\x1f\x8b"
"""How what gzip packed begins."""

HEADER = 348
"""Bytes of the header of a NIfTI."""

PICTURE = re.compile(r"(?:iVBORw0KGgo|/9j/|R0lGOD|UklGR)[A-Za-z0-9+/]{40,}=*")
"""How the base64 of PNG, JPEG, GIF and WebP begins."""


def of_notebook(
    notebook: Mapping[str, Any],
) -> Iterator[tuple[str, str | bytes]]:
    """Give each place of a notebook, and what stands there.

    Parameters
    ----------
    notebook : mapping
        Of format 4, as JSON has it.

    Yields
    ------
    place, content : str, and str or bytes
        Cells count from 1, as do the outputs of a cell.
    """
    for number, cell in enumerate(notebook["cells"], start=1):
        here = f"cell {number}"
        yield f"{here}, source", _joined(cell["source"])
        for name, content in cell.get("attachments", {}).items():
            yield f"{here}, attachment", name
            yield from _bundle(f"{here}, attachment {name}", content)
        for order, output in enumerate(cell.get("outputs", ()), start=1):
            yield from _output(f"{here}, output {order}", output)
        known = ("source", "attachments", "outputs")
        rest = {name: cell[name] for name in cell if name not in known}
        yield f"{here}, metadata", "\n".join(strings(rest))
    rest = {name: notebook[name] for name in notebook if name != "cells"}
    yield "metadata of the notebook", "\n".join(strings(rest))


def texts(content: str | bytes) -> Iterator[str]:
    """Give what can be read in a text or in the bytes of a file.

    Parameters
    ----------
    content : str or bytes
        Bytes of a text in UTF-8, of a picture, or of a packed NIfTI. Files
        that a text holds in base64 are read as well.

    Yields
    ------
    str
        Of a picture its text chunks, comments and EXIF; of a NIfTI all that
        stands before its voxels, and the name that it was packed under.

    Raises
    ------
    ValueError
        For bytes that are neither.
    """
    if isinstance(content, bytes):
        if content.startswith(PACKED):
            yield from _volume(content)
            return
        if content.startswith(INVENTORY):
            content = zlib.decompress(content.split(b"\n", 4)[-1])
        try:
            if b"\0" in content:
                raise UnicodeError("a text holds no null")
            content = content.decode("utf-8-sig")
        except UnicodeError:
            yield from _picture(content)
            return
    yield content
    for embedded in EMBEDDED.findall(content):
        yield from texts(_decoded(embedded))
    for picture in PICTURE.findall(EMBEDDED.sub("", content)):
        yield from texts(_decoded(picture))


def strings(value: Any, name: str = "") -> Iterator[str]:
    """Give all text of a JSON value: each scalar after its name, so that
    ``{"password": "x"}`` reads ``password: x``.
    """
    if isinstance(value, Mapping):
        yield name
        for key, inner in value.items():
            yield from strings(inner, key)
    elif isinstance(value, list):
        lines = [item for item in value if isinstance(item, str)]
        if lines:
            # both a text cut into pieces and a list of texts
            yield "".join(lines)
            yield f"{name}: " + "\n".join(lines)
        if len(lines) < len(value):
            rest = [item for item in value if not isinstance(item, str)]
            scalars = [i for i in rest if not isinstance(i, list | Mapping)]
            yield f"{name}: {', '.join(map(str, scalars))}"
            for inner in rest:
                if isinstance(inner, list | Mapping):
                    yield from strings(inner, name)
    else:
        yield f"{name}: {value}"


def _output(
    place: str, output: Mapping[str, Any]
) -> Iterator[tuple[str, str | bytes]]:
    yield from _bundle(place, output.get("data", {}))
    yield place, _joined(output.get("text", ""))
    rest = {k: output[k] for k in output if k not in ("data", "text")}
    yield place, "\n".join(strings(rest))


def _bundle(
    place: str, contents: Mapping[str, Any]
) -> Iterator[tuple[str, str | bytes]]:
    """What stands in a bundle ``{kind: content}``."""
    for kind, content in contents.items():
        here = f"{place}, {kind}"
        if not isinstance(content, str) and not _is_lines(content):
            yield here, "\n".join(strings(content, kind))
            continue
        text = _joined(content)
        if TEXT.match(kind):
            yield here, text
            continue
        try:
            yield here, base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            yield here, text


@cache
def _picture(content: bytes) -> tuple[str, ...]:
    """What a picture says of itself."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            # PNG may carry texts after its pixels
            image.load()
            told = {**image.info, **getattr(image, "text", {})}
            told.update(image.getexif())
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        OSError,
        SyntaxError,
    ) as error:
        raise ValueError(
            "neither text in UTF-8 nor a picture, so nobody can look through "
            "it"
        ) from error
    lines = []
    for name, value in told.items():
        if isinstance(value, bytes):
            value = value.decode("utf-8", errors="replace")
        lines.append(f"{name}: {value}")
    return tuple(lines)


def _volume(content: bytes) -> Iterator[str]:
    """What a packed NIfTI says of itself."""
    try:
        volume = gzip.decompress(content)
        (size,) = struct.unpack_from("<i", volume)
        (first_voxel,) = struct.unpack_from("<f", volume, 108)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise ValueError("packed, and damaged") from error
    if size != HEADER or volume[344:348] != b"n+1\0":
        raise ValueError("packed, and no NIfTI")
    # ten bytes, then what was packed is named, if at all
    if content[3]:
        yield content[10:1000].decode("latin-1")
    # extensions lie between the header and the voxels
    before = volume[: int(first_voxel)]
    yield from filter(None, before.decode("latin-1").split("\0"))


def _decoded(text: str) -> bytes:
    """The bytes behind base64, as far as it is."""
    letters = "".join(text.split()).rstrip("=")
    if len(letters) % 4 == 1:
        letters = letters[:-1]
    return base64.b64decode(letters + "=" * (-len(letters) % 4))


def _is_lines(content: Any) -> bool:
    return isinstance(content, list) and all(
        isinstance(line, str) for line in content
    )


def _joined(content: str | list[str]) -> str:
    return content if isinstance(content, str) else "".join(content)
