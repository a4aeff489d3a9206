"""Works that a text names by author and year, cited by their key.

A notebook is read in JupyterLab too, where a citation by key would stand as it
is written. So it names works as people do, "Smilkov et al. 2017", and the book
makes citations of them.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from string import ascii_lowercase
from typing import Any, NamedTuple

BIBLIOGRAPHY = Path(__file__).resolve().parent / "references.bib"

SHORT_NAMES = {
    "Application to Alzheimer's disease": "fedorov2021application",
    "On self-supervised multimodal representation learning": (
        "fedorov2021application"
    ),
    "Taxonomy": "fedorov2021taxonomy",
    "Tasting the cake": "fedorov2021cake",
}
"""{how a title begins: key} of the works that author and year do not tell
apart.
"""

NEAR = 90
"""Characters after a year among which such a title stands."""

_NAME = r"[A-Z][\w-]*[a-zéíöü]"
MENTION = re.compile(
    rf"\b(?P<first>{_NAME})"
    rf"(?P<others>\s+et\s+al\.|(?:,\s{_NAME})*\s+&\s+{_NAME})?"
    r"\s+(?P<years>[12]\d{3}(?:,\s+[12]\d{3})*)\b"
)


class Work(NamedTuple):
    """What a text says of a work, and the keys that it may mean."""

    mention: str
    keys: list[str]


def linked(text: str) -> str:
    """Return a text of MyST with its mentions made citations; those of no
    work of the bibliography stay.
    """
    return MENTION.sub(lambda match: _citation(text, match), text)


def mentions(text: str) -> Iterator[Work]:
    """Give each mention of a work of several authors, or of an author whom the
    bibliography has.
    """
    for match in MENTION.finditer(text):
        first = match["first"]
        if match["others"] or first in {name for name, _ in _works()}:
            mention = " ".join(match[0].split())
            for year in re.split(r",\s+", match["years"]):
                yield Work(mention, _keys(text, match, year))


def add_letters(entries: Mapping[str, Any]) -> None:
    """Add a, b, … to the years of works that author and year do not tell
    apart.

    Parameters
    ----------
    entries : mapping of str to pybtex.database.Entry
        Those of a bibliography, which are changed.
    """
    alike: dict[tuple, list[str]] = {}
    for key, entry in entries.items():
        names = _names(entry)
        label = names if len(names) < 3 else [names[0], "et al."]
        year = entry.fields["year"]
        alike.setdefault((*label, year), []).append(key)
    for keys in alike.values():
        if len(keys) > 1:
            for letter, key in zip(ascii_lowercase, keys, strict=False):
                entries[key].fields["year"] += letter


def _citation(text: str, match: re.Match[str]) -> str:
    cited = []
    for year in re.split(r",\s+", match["years"]):
        keys = _keys(text, match, year)
        if len(keys) != 1:
            return match[0]
        cited.append(f"{{cite:t}}`{keys[0]}`")
    return ", ".join(cited)


def _keys(text: str, match: re.Match[str], year: str) -> list[str]:
    keys = _works().get((match["first"], year), [])
    # "Zou & Donner" is not "Zou et al."
    others = " ".join((match["others"] or "").split())
    if "&" in others:
        last = others.rsplit(" ", 1)[-1]
        keys = [key for key in keys if last in _authors()[key]]
    elif others:
        keys = [key for key in keys if len(_authors()[key]) > 2]
    if len(keys) < 2:
        return keys
    after = " ".join(text[match.end() :].split())[:NEAR]
    named = []
    for title, key in SHORT_NAMES.items():
        if title in after and key in keys:
            named.append((after.index(title), key))
    return [min(named)[1]] if named else keys


@cache
def _works() -> dict[tuple[str, str], list[str]]:
    """{(first author, year): keys}."""
    works: dict[tuple[str, str], list[str]] = {}
    for key, names in _authors().items():
        year = _entries()[key].fields["year"]
        works.setdefault((names[0], year), []).append(key)
    return works


@cache
def _authors() -> dict[str, list[str]]:
    """{key: the last names of its authors}."""
    return {key: _names(entry) for key, entry in _entries().items()}


def _names(entry: Any) -> list[str]:
    """The last names of the authors of an entry."""
    names = []
    for person in entry.persons["author"]:
        names.append(" ".join(map(str, person.rich_last_names)))
    return names


@cache
def _entries() -> dict:
    from pybtex.database import parse_file

    return dict(parse_file(str(BIBLIOGRAPHY)).entries)
