"""What must never be published: paths of a machine, ids of people, addresses,
passwords and tokens, wherever they stand on a page or a site.

A text is searched as a reader would get it: without the escapes of JSON, HTML
and URLs, the colours of a terminal, and tags. What the packages of this
environment ship, such as the theme's scripts, and what the book brings of
others is public and known by its hash.
"""

import base64
import hashlib
import html
import importlib.metadata
import json
import re
import unicodedata
import urllib.parse
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import readable
from identifiers import Identifiers

NO_ROOT = r"[\w/.~<>)\]}+-]"
"""What stands before the slash of a fraction, a relative path, a tag, a URL
or a placeholder as in ``<dataset>/sub-XX``.
"""

ROOTS = (
    "data|etc|gpfs|home|lustre|media|mnt|nfs|opt|private|projects?|root"
    "|scratch|srv|storage|tmp|usr|Users|var|Volumes|work|workspace"
)
FOLDERS = "(?i:users|documents|data|temp|windows|program)"
SEGMENT = r"""[^\s/\\<>"'`|*?:;,={}$()\[\]&]+"""
VALUE = (
    r"[\"']?\s{0,3}[=:]\s{0,3}[\"']?(?!(?:none|true|false|null)\b)"
    r"[^\s\"'<>{}()\[\]$!&,;]{4,}"
)
ENDINGS = "css|gif|html?|ipynb|jpe?g|js|json|png|py|svg|webp"  # logo@2x.png

# each begins with a letter as it is, which is found fast; what stands before
# is looked back at
AS_WRITTEN = {
    "a path of this machine": (
        # /_static/style.css is a place of a site, /proc/self of any Linux
        rf"/(?<!{NO_ROOT}/)(?:(?![/_]|proc/self/)"
        rf"{SEGMENT}(?: {SEGMENT}){{0,2}}/{SEGMENT}"
        rf"|(?:{ROOTS})(?![\w-]|\.\w))",
        r"~(?<![\w/.\\]~)[\w.-]*/[\w.-]+",
        r":(?<=[^A-Za-z0-9][A-Za-z]:)(?:\\{1,2}|/)"
        rf"(?:\w[^\s\\/{{}}^$]*[\\/]|[\w -]+\.\w|{FOLDERS}\b)[\w.-]*",
        r"\\\\(?<=[\s\"'`=(>:,;]\\\\)(?:\\\\)?\w[\w.$-]+\\{1,2}\w[\w.$-]+",
        r":/(?:(?<=(?i:file):/)|(?<=(?i:sftp):/)|(?<=(?i:smb|afp|nfs|ssh):/))"
        r"/{0,2}[^\s\"'<>/]+",
        r"PATH=(?<![A-Za-z_]PATH=)[^\s\"'<>]+",
    ),
    "a token": (
        r"gh[pousr]_\w{16,}",
        r"github_pat_\w{16,}",
        r"glpat-[\w-]{16,}",
        r"hf_(?<!\whf_)\w{16,}",
        r"sk-(?<!\wsk-)[\w-]{16,}",
        r"xox[abprs]-[\w-]{10,}",
        r"AIza[\w-]{30,}",
        r"A(?:KI|SI)A[A-Z0-9]{12,}",
        r"eyJ(?<!\weyJ)[\w-]{10,}\.[\w-]{5,}",
        r"Bearer [\w.~+/-]{20,}",
    ),
    "a private key": (r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY",),
}
IN_LOWER_CASE = {
    "an identifier of OASIS": (
        r"oas(?<![a-z0-9]oas)[1-4](?:[ _-]?\d{3}|_\w|xxx)\w*",
    ),
    "an identifier of ADNI": (
        r"[_-]s[_-](?<=\d{3}[_-]s[_-])\d{4,5}(?!\d)",
        r"adni_?\d{3}_?s_?\d{4}",
        r"_i(?<=\d_i)\d{4,8}(?!\d)",
    ),
    "an e-mail address": (
        r"@(?<=[\w.+-]@)(?<!git@)(?:[\w-]+\.)+"
        rf"(?!(?:{ENDINGS})\b)[a-z]{{2,}}\b",
    ),
    "a password": (
        rf"passw(?:or)?d{VALUE}",
        rf"passphrase{VALUE}",
        rf"key(?:(?<=apikey)|(?<=api.key)|(?<=access.key)){VALUE}",
        rf"secret{VALUE}",
        rf"token{VALUE}",
        r"://[^\s/:@\"'<>]+:[^\s/:@\"'<>]+@",
    ),
}
"""What must never be published, whoever it is about."""

VENDORED = {
    "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af": (
        "niivue-0.69.0.mjs"
    ),
}
"""Files of other people's packages that the book brings unchanged, by their
SHA-256.
"""

SHOWN = 60  # characters of it that a reason quotes

WORD_BEFORE = re.compile(r"[\w.+-]*$")
WORD_AFTER = re.compile(r"[^\s\"'`<>(){}|,;]+")

ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})|\\(/)")
COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")

CLOSING = re.compile(r"</([A-Za-z][\w:.-]*)\s*>")
UNCLOSED = {"br", "dd", "dt", "hr", "li", "p", "td", "th", "tr", "wbr"}
"""Elements of HTML that need no closing tag."""


def in_file(file: Path, identifiers: Identifiers) -> list[str]:
    """Return a reason for each private text of a file, with its place.

    Parameters
    ----------
    file : Path
        A notebook, another text or a picture.
    identifiers : Identifiers
        Of the people whom it is about.
    """
    return _reasons(_contents(file, file.read_bytes()), identifiers)


def in_site(folder: Path, identifiers: Identifiers) -> list[str]:
    """Return a reason for each private text of a built site, after the file.

    Parameters
    ----------
    folder : Path
        All of its files are read: pages, sources, the search index, pictures.
    identifiers : Identifiers
        Of the people whom any of its pages is about.
    """
    reasons = []
    for file in sorted(folder.rglob("*")):
        if not file.is_file():
            continue
        name = file.relative_to(folder).as_posix()
        content = file.read_bytes()
        contents: list[tuple[str, str | bytes]] = [("its name", name)]
        if not _is_shipped(content):
            contents += _contents(file, content)
        for reason in _reasons(contents, identifiers):
            reasons.append(f"{name}: {reason}")
    return reasons


def shown(text: str, identifiers: Identifiers) -> list[str]:
    """Return what a text shows that is private, each kind once.

    Parameters
    ----------
    text : str
        As it stands in a file.
    identifiers : Identifiers
        Of the people whom it is about.
    """
    text = plain(text)
    readings = [text]
    elements = {*CLOSING.findall(text), *UNCLOSED}
    # but no placeholder as <dataset>
    names = "|".join(map(re.escape, sorted(elements)))
    tag = rf"</?(?:{names})(?:\s[^<>]*)?/?>|<[A-Za-z][^<>]*=[^<>]*>"
    without = re.sub(tag, "\n", text)
    if without != text:
        # a tag parts two words, or stands inside one
        readings += [without, re.sub(tag, "", text)]
    found = {}
    for reading in readings:
        for kinds, searched in (
            (AS_WRITTEN, reading),
            (IN_LOWER_CASE, reading.lower()),
        ):
            for what, patterns in kinds.items():
                place = _first(patterns, searched)
                if place is not None and what not in found:
                    found[what] = f"{what}: {_quoted(reading, place)}"
        for named in identifiers.named_in(reading):
            found.setdefault(named.split(":")[0], named)
    return list(found.values())


def _first(patterns: Iterable[str], text: str) -> int | None:
    """Where the first of some patterns that is found is found."""
    for pattern in patterns:
        match = re.search(pattern, text)
        if match:
            return match.start()
    return None


def _quoted(text: str, place: int) -> str:
    """The word at a place, as far as a reason needs it."""
    before = WORD_BEFORE.search(text[max(0, place - SHOWN) : place])[0]
    after = WORD_AFTER.match(text[place : place + SHOWN])[0]
    return (before + after)[:SHOWN]


def plain(text: str) -> str:
    """Return a text without escapes, colours and what cannot be seen."""
    for _ in range(3):  # an escape may be escaped
        before = text
        text = html.unescape(text)
        text = urllib.parse.unquote(text)
        text = ESCAPE.sub(_letter, text)
        if text == before:
            break
    text = unicodedata.normalize("NFKC", text)
    # a line break before, so that every text begins after white space
    return "\n" + INVISIBLE.sub("", COLOUR.sub("", text))


def _letter(match: re.Match) -> str:
    return match[3] or chr(int(match[1] or match[2], 16))


def _reasons(
    contents: Iterable[tuple[str, str | bytes]], identifiers: Identifiers
) -> list[str]:
    """One reason for each thing that is private, at its first place."""
    places, texts = {}, []
    for place, content in contents:
        try:
            for text in readable.texts(content):
                texts.append((place, text))
        except ValueError as error:
            places.setdefault(f"it holds what is {error}", place)
    # mostly nothing is found, and then the parts need not be searched
    if shown("\n".join(text for _, text in texts), identifiers):
        for place, text in texts:
            for what in shown(text, identifiers):
                places.setdefault(f"it shows {what}", place)
    return [f"{reason} ({place})" for reason, place in places.items()]


def _contents(file: Path, content: bytes) -> list[tuple[str, str | bytes]]:
    """What stands in a file, by place."""
    if file.suffix == ".ipynb":
        try:
            return list(readable.of_notebook(json.loads(content)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return [(f"no notebook: {error!r}", content)]
    return [("its content", content)]


def _is_shipped(content: bytes) -> bool:
    digest = hashlib.sha256(content).digest()
    if digest.hex() in VENDORED:
        return True
    return base64.urlsafe_b64encode(digest).decode().strip("=") in _shipped()


@cache
def _shipped() -> frozenset[str]:
    """Hashes of all files that the installed packages say they brought."""
    found = set()
    for package in importlib.metadata.distributions():
        record = package.read_text("RECORD") or ""
        found.update(re.findall(r"sha256=([\w-]+)", record))
    return frozenset(found)
