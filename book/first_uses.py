"""Terms of the glossary, linked where a page first uses them: an extension of
Sphinx, so that nobody has to mark them.
"""

import re
from collections.abc import Mapping
from typing import Any

from docutils import nodes
from sphinx.util.nodes import make_refnode

GLOSSARY = "glossary"

LEFT_OUT = ("api/", "references", GLOSSARY)
"""How the names of pages begin whose words are not linked."""

EVERYDAY = {"head", "code", "model", "claim", "premise", "session"}
"""Terms that are words of everybody too, so that a link might lead astray."""

CLOSED = (
    nodes.reference,
    nodes.literal,
    nodes.math,
    nodes.raw,
    nodes.Admonition,
    nodes.term,
)
"""What a linked word may not stand in: links, code and formulas."""


def pattern(terms: Mapping[str, Any]) -> re.Pattern[str]:
    """Return what finds a term, also with an "s", as a word of its own.

    Parameters
    ----------
    terms : mapping
        Their names are the keys. One with a capital letter is found as it is
        written, any other also at the beginning of a sentence.
    """
    words = []
    for term in sorted(terms, key=len, reverse=True):
        word = re.escape(term).replace(r"\ ", r"\s+")
        if term == term.lower() and term[0].isalpha():
            word = f"[{term[0].upper()}{term[0]}]{word[1:]}"
        words.append(word)
    return re.compile(rf"(?<![\w-])({'|'.join(words)})(s?)(?![\w-])")


def key_of(found: str, terms: Mapping[str, Any]) -> str:
    """Return which term a found word is."""
    word = " ".join(found.split())
    return word if word in terms else word[0].lower() + word[1:]


def link(app: Any, doctree: nodes.document, page: str) -> None:
    """Link the first use of each term in the paragraphs of a page."""
    terms = _terms(app.env)
    if page.startswith(LEFT_OUT) or not terms:
        return
    sought = pattern(terms)
    used: set[str] = set()
    for text in list(doctree.findall(nodes.Text)):
        if _is_open(text):
            pieces = _pieces(app, page, str(text), terms, sought, used)
            if len(pieces) > 1:
                text.parent.replace(text, pieces)


def setup(app: Any) -> dict[str, bool]:
    """Take part in the build of a book."""
    app.connect("doctree-resolved", link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _pieces(
    app: Any,
    page: str,
    text: str,
    terms: Mapping[str, tuple[str, str]],
    sought: re.Pattern[str],
    used: set[str],
) -> list[nodes.Node]:
    """A text, with the first uses in it as links."""
    pieces: list[nodes.Node] = []
    start = 0
    for match in sought.finditer(text):
        term = key_of(match[1], terms)
        if term in used:
            continue
        used.add(term)
        where, anchor = terms[term]
        word = nodes.inline(match[0], match[0], classes=["glossary-term"])
        pieces.append(nodes.Text(text[start : match.start()]))
        pieces.append(make_refnode(app.builder, page, where, anchor, word))
        start = match.end()
    return [*pieces, nodes.Text(text[start:])]


def _terms(env: Any) -> dict[str, tuple[str, str]]:
    """{term: (page, anchor)}; "HC, AD" are two, as is "correlation (RBC)"."""
    terms = {}
    for name, _, kind, page, anchor, _ in env.get_domain("std").get_objects():
        if kind == "term" and page == GLOSSARY:
            for part in re.split(r", | \(", name.rstrip(")")):
                if part not in EVERYDAY:
                    terms[part] = page, anchor
    return terms


def _is_open(text: nodes.Text) -> bool:
    """Whether words of a text may be links."""
    node = text.parent
    in_paragraph = False
    while node is not None:
        if isinstance(node, CLOSED):
            return False
        in_paragraph |= isinstance(node, nodes.paragraph)
        node = node.parent
    return in_paragraph
