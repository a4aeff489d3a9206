"""The package's docstrings as pages of the book: an extension of Sphinx.

They are read as NumPy's by `sphinx.ext.napoleon`. Two habits of this package
that reStructuredText reads otherwise are put right before: a star is a star
and a bar a bar (``(B, *spatial)``, ``|p' - p|``), and a class whose docstring
lists its fields without a heading has fields.
"""

import re
from pathlib import Path
from typing import Any

from mmssl.ledger import atomic

BOOK = Path(__file__).resolve().parent
PAGES = BOOK / "api"
PACKAGE = BOOK.parent / "mmssl"

PAGE = """\
# {room}

```{{eval-rst}}
.. automodule:: mmssl.{room}
   :members:
```
"""

FIELD = re.compile(r"(?P<names>\w+(?:, \w+)*) : (?P<text>.*)")
"""A line that begins what is said of a field, or of several."""

STAR_OR_BAR = re.compile(
    r"""(?P<kept>
        ``.*?``
        | `[^`]*`
        # the directive's line, and what is indented more
        | ^(?P<indent>[ ]*)\.\.[ ]math::[^\n]*
          (?:\n(?:(?P=indent)[ ]+[^\n]*|(?=\n)))*
    )
    | [*|]""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
"""A star or a bar, or else code or an equation, which keep theirs."""


def write_pages(folder: Path = PAGES, package: Path = PACKAGE) -> list[Path]:
    """Write a page for each room of the package, and remove those of rooms
    that are gone; return the files.
    """
    folder.mkdir(exist_ok=True)
    rooms = sorted(file.parent.name for file in package.glob("*/__init__.py"))
    files = [folder / f"{room}.md" for room in rooms]
    for file in set(folder.glob("*.md")) - set(files):
        file.unlink()
    for room, file in zip(rooms, files, strict=True):
        with atomic.file(file) as temporary:
            temporary.write_text(PAGE.format(room=room), encoding="utf-8")
    return files


def as_restructured(what: str, lines: list[str]) -> list[str]:
    """Return a docstring as reStructuredText that napoleon can go on with.

    Parameters
    ----------
    what : str
        Of what it is: "class", "function", …
    lines : list of str
        Without their common indent.
    """
    has_headings = any(re.fullmatch(r"\s*-{3,}\s*", line) for line in lines)
    fields = what == "class" and not has_headings
    result = []
    text = STAR_OR_BAR.sub(_escaped, "\n".join(lines))
    for line in text.split("\n"):
        field = FIELD.fullmatch(line)
        if fields and field:
            # what stands before a space would be a type
            names = field["names"].replace(", ", "/")
            line = f":ivar {names}: {field['text']}"
        result.append(line)
    return result


def _escaped(found: re.Match) -> str:
    return found["kept"] or f"\\{found[0]}"


def _write(app: Any, config: Any) -> None:
    """Write the pages before the table of contents is read."""
    write_pages()


def _process(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Put the lines of a docstring right in place, before napoleon."""
    lines[:] = as_restructured(what, lines)


def _skip(
    app: Any, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out the fields of a named tuple, which its docstring explains."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def setup(app: Any) -> dict[str, bool]:
    """Take part in the build of a book."""
    app.connect("config-inited", _write, priority=1)
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-docstring", _process, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
