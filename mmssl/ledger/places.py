"""Places of this machine, and notebooks without them.

Warnings, tracebacks and metadata name files by where they lie here: in the
repository, in its environment, in somebody's home. None of that belongs onto
a page. Only texts are rewritten, never an image, and a place only where it
stands as whole components of a path: ``/data/ann`` is no part of
``/data/anna``.
"""

import html
import json
import os
import re
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

TEXTS = re.compile(
    r"text/.+|application/(json|javascript|xml|xhtml\+xml)|.+\+(json|xml)"
)
"""Kinds of outputs that are texts; all others are left as they are."""

_BEFORE = (
    r"(?:(?<![\w\u0300-\u036f+@%~./])"
    # though a colour, a line break, a scheme or an option may end so
    r"|(?<=\x1b\[m)|(?<=\x1b\[\dm)|(?<=\x1b\[\d\dm)|(?<=[\d;]\dm)"
    r"|(?<=\\[nrt])|(?<=file://)|(?<=[\s'\"]-[A-Z]))"
)
_AFTER = r"(?![\w\u0300-\u036f+@%~-]|\.\w)"
_IMAGE_IN_TEXT = r";base64,[A-Za-z0-9+/=]*"


def places_of(root: str | Path) -> dict[str, str]:
    """Return what stands for each place of this machine.

    Parameters
    ----------
    root : path
        The repository; paths in it become relative.

    Returns
    -------
    dict
        {place: instead}, in each spelling that a text may have it: as it is,
        resolved, as a literal of Python or JSON, in HTML and in a URL. A place
        that is no folder below the top one (a home of ``/`` or without a name)
        has nothing to hide and is left out.
    """
    instead = {}
    named = (
        (str(root), "."),
        (sys.prefix, ".venv"),
        (os.path.expanduser("~"), "~"),
    )
    for place, word in named:
        for folder in (place, os.path.realpath(place)):
            folder = folder.rstrip("/")
            if os.path.isabs(folder) and len(Path(folder).parts) > 1:
                for spelling in _spellings(folder):
                    instead.setdefault(spelling, word)
    return instead


def without_places(text: str, instead: Mapping[str, str]) -> str:
    """Return a text with each of the places replaced, the longest first.

    Parameters
    ----------
    text : str
    instead : mapping
        Of `places_of`; where a place is replaced by ``.``, what lies below it
        becomes relative.
    """
    if not instead:
        return text
    longest_first = sorted(instead, key=len, reverse=True)
    places = "|".join(re.escape(place) for place in longest_first)
    pattern = rf"{_IMAGE_IN_TEXT}|{_BEFORE}({places}){_AFTER}(/?)"

    def replacement(match: re.Match) -> str:
        """What stands for a place that was found, or the image as it was."""
        place, slash = match.groups()
        if place is None:
            return match[0]
        word = instead[place]
        return "" if (word, slash) == (".", "/") else word + slash

    return re.sub(pattern, replacement, text)


def clean_notebook(
    notebook: dict[str, Any], root: str | Path, names: Mapping[str, str]
) -> None:
    """Take the places of this machine out of a notebook, in place.

    Parameters
    ----------
    notebook : dict
        Parsed, as nbformat 4. Sources, metadata, streams, tracebacks and
        outputs of text are rewritten; the kinds of outputs, images and what
        else is no text are not.
    root : path
        The repository.
    names : mapping
        {word: instead} of further words, each unlike any other text.
    """
    instead = places_of(root)
    words = {}
    for word, other in names.items():
        words |= zip(_spellings(word), _spellings(other), strict=True)

    def clean(value: Any) -> Any:
        """A value, and all that it holds, without places and names."""
        if isinstance(value, str):
            for word, other in words.items():
                value = value.replace(word, other)
            return without_places(value, instead)
        if isinstance(value, list):
            return [clean(one) for one in value]
        if not isinstance(value, dict):
            return value
        keys = [clean(key) for key in value]
        if len(set(keys)) < len(keys):  # two would become one
            keys = list(value)
        return dict(zip(keys, map(clean, value.values()), strict=True))

    notebook["metadata"] = clean(notebook["metadata"])
    for cell in notebook["cells"]:
        cell["metadata"] = clean(cell["metadata"])
        cell["source"] = clean(cell["source"])
        for bundle in cell.get("attachments", {}).values():
            _clean_bundle(bundle, clean)
        for output in cell.get("outputs", ()):
            for field in ("text", "ename", "evalue", "traceback", "metadata"):
                if field in output:
                    output[field] = clean(output[field])
            _clean_bundle(output.get("data", {}), clean)


def _clean_bundle(bundle: dict[str, Any], clean) -> None:
    """Rewrite those of several representations of an output that are text."""
    for kind in bundle:
        if TEXTS.fullmatch(kind):
            bundle[kind] = clean(bundle[kind])


def _spellings(folder: str) -> list[str]:
    """Ways in which a folder is written."""
    spellings = []
    for form in (folder, *_normal_forms(folder)):
        literals = (repr(form), ascii(form), json.dumps(form))
        spellings += [form, *(literal[1:-1] for literal in literals)]
        spellings += [html.escape(form), quote(os.fsencode(form))]
    return spellings


def _normal_forms(folder: str) -> list[str]:
    return [unicodedata.normalize(form, folder) for form in ("NFC", "NFD")]
