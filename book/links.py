"""Where the pages of a built site lead, and what they fetch.

A reader may open the site from a disk, behind a firewall or in a year's time:
every link inside it must find its file and its place on that page, and nothing
that a page needs may lie on another site.
"""

import re
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

FETCHED = {
    ("script", "src"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
    ("video", "src"),
    ("embed", "src"),
    ("object", "data"),
}
"""Tags whose file a browser asks for at once, with the attribute that names
it; a ``link`` is, too, unless it only says where a page stands.
"""

SAID = {"author", "canonical", "license", "next", "prev", "search"}
"""What a ``link`` may say without a browser fetching it."""

IN_STYLE = re.compile(r"url\(\s*[\"']?((?:https?:)?//[^\"')\s]+)")
"""What a style sheet fetches from another site."""


class Link(NamedTuple):
    """What a tag of a page names: an address, and whether it is fetched."""

    address: str
    fetched: bool


class _Reader(HTMLParser):
    """Collects the places and the links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: list[Link] = []

    def handle_starttag(
        self, tag: str, attributes: list[tuple[str, str | None]]
    ) -> None:
        values = {name: value or "" for name, value in attributes}
        self.places.update(
            values[name] for name in ("id", "name") if values.get(name)
        )
        for name in ("href", "src", "data"):
            if name in values:
                fetched = (tag, name) in FETCHED
                if tag == "link":
                    fetched = not SAID & set(values.get("rel", "").split())
                self.links.append(Link(values[name], fetched))


def faults(site: Path, left_out: Iterable[str] = ()) -> list[str]:
    """Say which links of a built site lead nowhere, and what it would fetch
    from elsewhere.

    Parameters
    ----------
    site : Path
        Folder of the site; the pages in its ``_static`` are parts of the
        theme and are not read.
    left_out : iterable of str
        Names of chapters that the edition lacks: a link to one of them stays
        without a place.

    Returns
    -------
    list of str
        One reason for each, with the page and the address.
    """
    pages = {}
    for file in sorted(site.rglob("*.html")):
        if "_static" not in file.relative_to(site).parts:
            pages[file.resolve()] = _read(file)
    reasons = []
    missing = set(left_out)
    for file, page in pages.items():
        name = file.relative_to(site.resolve()).as_posix()
        for link in page.links:
            # one by its name alone became a place of its own page
            named = unquote(link.address).rpartition("/")[2].removeprefix("#")
            if named in missing:
                continue
            reason = _fault(link, file, pages)
            if reason:
                reasons.append(f"{name}: {reason}")
    for sheet in sorted(site.rglob("*.css")):
        name = sheet.relative_to(site).as_posix()
        for address in IN_STYLE.findall(sheet.read_text(encoding="utf-8")):
            reasons.append(f"{name}: it fetches {address} from another site")
    return list(dict.fromkeys(reasons))


def unbuilt(site: Path, chapters: list[str]) -> list[str]:
    """Return one reason for each chapter that a built site lacks.

    Parameters
    ----------
    site : Path
        Folder of the site.
    chapters : list of str
        Names of its sources, without their endings.
    """
    reasons = []
    for chapter in chapters:
        page = site / f"{PurePosixPath(chapter)}.html"
        if not page.is_file():
            reasons.append(f"{chapter}: it is not in the built book")
        elif "<h1" not in page.read_text(encoding="utf-8"):
            reasons.append(f"{chapter}: its built page has no heading")
    return reasons


def _read(file: Path) -> _Reader:
    reader = _Reader()
    reader.feed(file.read_text(encoding="utf-8"))
    reader.close()
    return reader


def _fault(link: Link, file: Path, pages: dict[Path, _Reader]) -> str | None:
    """What is wrong with a link of a page, if anything."""
    parts = urlsplit(link.address)
    if parts.scheme in ("data", "blob", "javascript", "mailto"):
        return None
    if parts.scheme or parts.netloc:
        if link.fetched:
            return f"it fetches {link.address} from another site"
        return None
    target = file
    if parts.path:
        target = (file.parent / unquote(parts.path)).resolve()
        if target.is_dir():
            target = target / "index.html"
    if not target.is_file():
        return f"its link {link.address} leads to no file"
    place = unquote(parts.fragment)
    page = pages.get(target)
    if place and page is not None and place not in page.places:
        return f"its link {link.address} leads to no place on that page"
    return None
