"""How an executed page is shown as a chapter, as an extension of Sphinx.

The pages themselves stay as they ran; what a reader first sees is decided
here, for all of them at once:

- what the page found, computed in the last cell before its exercises, stands
  below its title too;
- code is folded, but for the cells tagged `teaches`, and so are solutions of
  exercises with what they show;
- a table of more than `LONG` rows is folded;
- a figure of `NARROW` pixels or less is as wide as a telephone, a wider one
  scrolls there;
- every figure has a number, and the caption and the alternative text that its
  cell's metadata hold (``"figures": [{"caption": …, "alt": …}]``), in which
  ``{label}`` is the label of the figure;
- a link to a notebook by the number in its name says that of its chapter;
- progress bars are left out;
- a work that a text names by author and year is cited by its key.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from book import citations

LONG = 15
"""Rows of a table that are shown without being asked for."""

NARROW = 550
"""Pixels of the widest figure that a telephone shows whole: of
`mmssl.plotting.look.PHONE` inches, with the margin that a notebook adds.
"""

TEACHES = "teaches"
"""The tag of a cell whose code is shown: what it calls is the chapter's
method.
"""

SOLUTION = "solution"
"""The tag of a cell that solves an exercise."""

EXERCISES = "## Exercises"

FOUND = "found"
"""The tag of the cells that say in short what a page found."""

WIDGET = "application/vnd.jupyter.widget-view+json"

PARAMETERS = {
    "parameters": "parameters",
    "injected-parameters": "parameters of this edition",
}
"""Tags of cells that set parameters, and what such a cell is called: the
notebook's own, and what an edition sets otherwise.
"""

LINK = re.compile(r"\[\d\d\]\((?P<name>\d\d_\w+)\)")
"""A link to a notebook by the number in its name."""

Cell = dict[str, Any]


class ChapterError(ValueError):
    """A page cannot be shown as a chapter."""


def chapter(
    page: dict[str, Any], edition: str, numbers: Mapping[str, int]
) -> dict[str, Any]:
    """Return an executed page as the book shows it.

    Parameters
    ----------
    page : dict
        Notebook of format 4, as JSON has it; it stays as it is.
    edition : str
        The edition that the summary names.
    numbers : mapping
        {notebook: number of its chapter}: a link to a notebook by the number
        in its name, as JupyterLab shows it, is one to this chapter.

    Returns
    -------
    dict
        Notebook of format 4.

    Raises
    ------
    ChapterError
        Where a figure has no caption or no alternative text.
    """
    cells: list[Cell] = []
    for cell in page["cells"]:
        if cell["cell_type"] == "code":
            cells += _parts(_without_progress(cell))
        else:
            text = citations.linked(_numbered(_source(cell), numbers))
            cells.append({**cell, "source": text})
    answer = _before_exercises(cells)
    found = _found(cells[answer], edition)
    if found is not None:
        cells[answer] = {**found, "source": cells[answer]["source"]}
        cells[answer]["metadata"] = {
            "tags": ["hide-input", FOUND],
            "mystnb": _prompts("code"),
        }
        cells[:1] = [*_opening(cells[0], found)]
    # those of one cell have its id
    cells = [{**c, "id": f"cell-{n}"} for n, c in enumerate(cells)]
    about = {k: v for k, v in page["metadata"].items() if k != "widgets"}
    return {**page, "cells": cells, "metadata": about}


def folded(html: str, limit: int = LONG) -> str:
    """Return a table as it is, or closed where it has more rows than `limit`.

    Parameters
    ----------
    html : str
        What a cell shows. The ledger of claims scrolls in a box of its own and
        stays open.
    limit : int, optional
    """
    rows = len(re.findall(r"<tr[ >]", html.partition("<tbody")[2]))
    if rows <= limit or 'class="ledger' in html:
        return html
    return (
        f'<details class="long-table"><summary>Table of {rows} rows'
        f"</summary>\n{html}\n</details>"
    )


def _parts(cell: Cell) -> list[Cell]:
    """A cell of code, and its figures in cells of their own."""
    about = cell["metadata"]
    tags = [*about.get("tags", ())]
    what = next((PARAMETERS[tag] for tag in tags if tag in PARAMETERS), "code")
    if SOLUTION in tags:
        # also what it shows
        tags.append("hide-cell")
        what = "solution"
    elif TEACHES not in tags:
        tags.append("hide-input")
    described = iter(about.get("figures", ()))
    text = None
    parts: list[Cell] = []
    texts: list[dict[str, Any]] = []
    first = {**cell, "metadata": {"tags": tags, "mystnb": _prompts(what)}}
    for output in cell["outputs"]:
        if "image/png" not in output.get("data", {}):
            texts.append(_folded(output))
            continue
        # several figures of one kind share what is said of the last
        text = next(described, text)
        if texts or not parts:
            parts.append({**first, "outputs": texts})
        parts.append(_figure(output, text, cell))
        texts, first = [], _silent(cell)
    if texts or not parts:
        parts.append({**first, "outputs": texts})
    return parts


def _figure(output: dict[str, Any], text: Any, cell: Cell) -> Cell:
    if not text or not (text.get("caption") and text.get("alt")):
        raise ChapterError(
            f"the figure of the cell {_source(cell)[-60:]!r}: found {text!r} "
            "in the cell's metadata (figures), expected a caption and an alt"
        )
    told = output.get("metadata", {})
    caption = text["caption"].replace("{label}", told.get("label", ""))
    options = {
        "image": {"alt": text["alt"]},
        "figure": {"caption": citations.linked(caption)},
    }
    # of a narrower page its height follows
    size = told.get("image/png", {})
    if size.get("width", math.inf) <= NARROW:
        options["figure"]["classes"] = "narrow"
    about = {"image/png": {k: v for k, v in size.items() if k == "width"}}
    shown = {**output, "metadata": about}
    return {**_silent(cell, options), "outputs": [shown]}


def _silent(cell: Cell, options: dict[str, Any] | None = None) -> Cell:
    about = {"tags": ["remove-input"], "mystnb": options or {}}
    return {**cell, "metadata": about}


def _numbered(text: str, numbers: Mapping[str, int]) -> str:
    """A text whose links to notebooks say the number of the chapter."""

    def link(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in numbers:
            return match[0]
        before = text[: match.start()].rstrip()
        is_first = not before or before.endswith((".", "?", ":**", "\n"))
        word = "Chapter" if is_first else "chapter"
        return f"[{word} {numbers[name]}]({name})"

    return LINK.sub(link, text)


def _prompts(what: str) -> dict[str, str]:
    return {
        "code_prompt_show": f"Show the {what}",
        "code_prompt_hide": f"Hide the {what}",
    }


def _folded(output: dict[str, Any]) -> dict[str, Any]:
    html = output.get("data", {}).get("text/html")
    if html is None:
        return output
    data = {**output["data"], "text/html": folded("".join(html))}
    return {**output, "data": data}


def _without_progress(cell: Cell) -> Cell:
    outputs = [o for o in cell["outputs"] if WIDGET not in o.get("data", {})]
    return {**cell, "outputs": outputs}


def _before_exercises(cells: list[Cell]) -> int:
    """Where the cell of what a page found stands."""
    for place, cell in enumerate(cells):
        if _source(cell).startswith(EXERCISES):
            return place - 1
    return len(cells) - 1


def _found(last: Cell, edition: str) -> Cell | None:
    """What a page found, as a cell that shows nothing else; None where its
    last cell says nothing.
    """
    for output in last.get("outputs", ()):
        text = "".join(output.get("data", {}).get("text/markdown", ""))
        if text:
            text = f"**In short** ({edition} edition). {text}"
            data = {"text/markdown": text}
            shown = {**output, "data": data}
            tags = {"tags": ["remove-input", FOUND]}
            return {**last, "metadata": tags, "outputs": [shown]}
    return None


def _opening(first: Cell, found: Cell) -> Iterable[Cell]:
    """The title and the question of a page, what it found, and the rest."""
    blocks = _source(first).split("\n\n")
    until = 2 if len(blocks) > 1 and blocks[1].startswith("*") else 1
    yield {**first, "source": "\n\n".join(blocks[:until])}
    yield found
    rest = "\n\n".join(blocks[until:])
    if rest:
        yield {**first, "source": rest}


def _source(cell: Cell) -> str:
    return "".join(cell["source"])


def _files(toc: Path) -> list[PurePosixPath]:
    """The chapters of a table of contents."""
    content = yaml.safe_load(toc.read_text(encoding="utf-8"))
    files = []
    for part in content["parts"]:
        for entry in part["chapters"]:
            files.append(PurePosixPath(entry["file"]))
    return files


def _numbers(files: list[PurePosixPath]) -> dict[str, int]:
    """The number of each chapter that is a notebook."""
    numbers = {}
    for number, file in enumerate(files, start=1):
        if file.parts[0] == "executed":
            numbers[file.name] = number
    return numbers


def _read(app: Any, docname: str, content: list[str]) -> None:
    """Show an executed page as a chapter while Sphinx reads it."""
    place = PurePosixPath(docname)
    files = _files(Path(app.config.external_toc_path))
    if place.parts[0] == "executed":
        numbers = _numbers(files)
        shown = chapter(json.loads(content[0]), place.parts[1], numbers)
        content[0] = json.dumps(shown)
        return
    for file in files:
        # texts link to pages of the demo edition, which stands for any
        if file.parts[0] == "executed":
            of_demo = f"(executed/demo/{file.name})"
            content[0] = content[0].replace(of_demo, f"({file.as_posix()})")


def tell_works_apart(app: Any) -> None:
    """Give works of one author and year letters, before any is cited."""
    bibliography = app.env.get_domain("cite").bibdata.data
    citations.add_letters(bibliography.entries)


def setup(app: Any) -> dict[str, bool]:
    """Take part in the build of a book."""
    # after the bibliography has been read
    app.connect("builder-inited", tell_works_apart, priority=900)
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
