"""Where a page stands in the workflow: each notebook says it in its own
metadata.

    "page": {"after": ["03_pretraining"], "makes": "run_dir", "grid": true}

``after`` names the pages whose results the notebook reads; ``["*"]`` means
every page that does not say the same. ``makes`` names the parameters of the
folders that the notebook makes: one name, or a list. ``grid`` is true where
the notebook runs once for each point of an edition's grid. Only ``after`` is
required.

    python notebooks/pages.py

prints the order of the smoke edition for ``make``: what each executed
notebook needs, and the folders that are made anew with it. It needs Python's
standard library alone, so it runs before anything is installed.
"""

import ast
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
ENTRIES = {"after", "makes", "grid"}
EVERY_OTHER = "*"


class PageError(ValueError):
    """A notebook does not say, or says wrongly, where it stands."""


@dataclass(frozen=True)
class Page:
    """What a notebook says of itself.

    Attributes
    ----------
    name : str
        File name without suffix, e.g. ``"04_linear_evaluation"``.
    after : tuple of str
        Pages whose results it reads; ``("*",)``: all others.
    makes : tuple of str
        Parameters that name the folders it makes.
    grid : bool
        Whether it runs once for each point of the grid.
    """

    name: str
    after: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    grid: bool = False


def read_page(notebook: str | Path) -> Page:
    """Return what a notebook says of its place.

    Parameters
    ----------
    notebook : path
        An ``.ipynb`` file with ``page`` in its metadata.

    Returns
    -------
    Page

    Raises
    ------
    PageError
        When the entry is missing, holds an unknown name or a value of the
        wrong type.
    """
    notebook = Path(notebook)
    entry = _content(notebook)["metadata"].get("page")
    if not isinstance(entry, dict) or "after" not in entry:
        raise PageError(
            f"{notebook.name}: metadata.page is {entry!r}, expected "
            f'{{"after": [names of pages]}}'
        )
    unknown = sorted(set(entry) - ENTRIES)
    if unknown:
        raise PageError(
            f"{notebook.name}: metadata.page has {unknown}, expected some of "
            f"{sorted(ENTRIES)}"
        )
    makes = entry.get("makes", [])
    if isinstance(makes, str):
        makes = [makes]
    for key, names in (("after", entry["after"]), ("makes", makes)):
        if not isinstance(names, list):
            raise PageError(
                f"{notebook.name}: metadata.page.{key} is {names!r}, expected "
                f"a list of names"
            )
    grid = entry.get("grid", False)
    return Page(notebook.stem, tuple(entry["after"]), tuple(makes), grid)


def read_pages(folder: str | Path = FOLDER) -> dict[str, Page]:
    """Return all numbered notebooks of a folder by name, in order.

    Raises
    ------
    PageError
        When one of them is wrong, or waits for a page that does not exist.
    """
    notebooks = sorted(Path(folder).glob("[0-9]*.ipynb"))
    pages = {notebook.stem: read_page(notebook) for notebook in notebooks}
    for page in pages.values():
        for name in page.after:
            if name != EVERY_OTHER and name not in pages:
                raise PageError(
                    f"{page.name}.ipynb: it reads {name!r}, which is none of "
                    f"{', '.join(pages)}"
                )
    return pages


def waits_for(page: Page, pages: Iterable[Page]) -> list[str]:
    """Return the names of those among `pages` that must be there before
    `page`.
    """
    names = []
    for other in pages:
        if EVERY_OTHER in page.after:
            needed = EVERY_OTHER not in other.after
        else:
            needed = other.name in page.after
        if needed:
            names.append(other.name)
    return names


def starts_at_once(page: Page, pages: Iterable[Page]) -> bool:
    """Whether a page has data of its own: it reads no other, and no other
    reads it by name.
    """
    readers = [other for other in pages if page.name in other.after]
    return not page.after and not readers


def runs_beside_others(page: Page, pages: Iterable[Page]) -> bool:
    """Whether other jobs become ready together with this one: points of a
    grid, pages that wait for the same, pages with data of their own.
    """
    pages = list(pages)
    if page.grid or starts_at_once(page, pages):
        return True
    ready_together = [other for other in pages if other.after == page.after]
    return bool(page.after) and len(ready_together) > 1


def rules_for_make(folder: str | Path = FOLDER) -> str:
    """Return the lines that the Makefile includes.

    Parameters
    ----------
    folder : path
        Folder of the notebooks.

    Returns
    -------
    str
        For each page that reads others a rule without recipe; for each page
        that makes folders a variable ``MADE_<name>`` with their names in the
        smoke edition, which are the defaults of its parameters.
    """
    executed = "data/executed/smoke/{}.ipynb"
    pages = read_pages(folder)
    lines = []
    for page in pages.values():
        earlier = waits_for(page, pages.values())
        if earlier:
            needed = " ".join(executed.format(name) for name in earlier)
            lines.append(f"{executed.format(page.name)}: {needed}")
        if page.makes:
            defaults = _defaults(Path(folder) / f"{page.name}.ipynb")
            made = " ".join(defaults[name] for name in page.makes)
            lines.append(f"MADE_{page.name} := {made}")
    return "\n".join(lines) + "\n"


def _content(notebook: Path) -> Mapping[str, Any]:
    return json.loads(notebook.read_text(encoding="utf-8"))


def _defaults(notebook: Path) -> dict[str, Any]:
    """Return the defaults in the parameters cell of a notebook."""
    defaults = {}
    for cell in _content(notebook)["cells"]:
        if "parameters" not in cell["metadata"].get("tags", ()):
            continue
        for line in ast.parse("".join(cell["source"])).body:
            defaults[line.target.id] = ast.literal_eval(line.value)
    return defaults


if __name__ == "__main__":
    try:
        print(rules_for_make(), end="")
    except PageError as error:
        sys.exit(f"error: {error}")
