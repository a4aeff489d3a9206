"""Where a page stands in the workflow: each notebook says it in its own
metadata.

    "page": {"after": ["03_pretraining"], "makes": "run_dir", "grid": true}

``after`` names the pages whose results the notebook reads; ``["*"]`` means
every page that does not say the same. ``makes`` names the parameters of the
folders that the notebook makes: one name, or a list. ``recorded`` names those
of folders that it reads and adds to, and whose files carry hashes of their
own, so that they are not hashed once more for its record: a dataset may hold
terabytes. ``continues`` names those of the folders it makes that a run which
was stopped goes on from: the notebook must refuse what another code left in
them. ``grid`` is true where the notebook runs once for each point of an
edition's grid. ``objective`` names the parameter with the one objective that
it trains: the code of terms that are not in it has no part in the page, which
must build no other. Only ``after`` is required.

    python notebooks/pages.py

prints the order of the smoke edition for ``make``: what each executed
notebook needs, and the folders that are made anew with it. It needs Python's
standard library alone, so it runs before anything is installed.
"""

import ast
import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

FOLDER = Path(__file__).resolve().parent
ENTRIES = {"after", "makes", "recorded", "continues", "grid", "objective"}
EVERY_OTHER = "*"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
SMOKE = "smoke"
"""What is safe as the name of a file, in a shell and in a Makefile."""


class PageError(ValueError):
    """A notebook does not say, or says wrongly, where it stands; or a name
    cannot be that of a file.
    """


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
    recorded : tuple of str
        Parameters that name folders with records of their own.
    continues : tuple of str
        Those of `makes` that a stopped run goes on from.
    grid : bool
        Whether it runs once for each point of the grid.
    objective : str or None
        Parameter with the one objective that it trains.
    """

    name: str
    after: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    recorded: tuple[str, ...] = ()
    continues: tuple[str, ...] = ()
    grid: bool = False
    objective: str | None = None


def check_name(name: Any, entry: str) -> None:
    """Refuse what cannot be the name of a file.

    Parameters
    ----------
    name : object
    entry : str
        Where it stands, for the message.

    Raises
    ------
    PageError
        Unless it is text of letters a to z, digits, ``-``, ``_`` and ``.``,
        the first neither ``-`` nor ``.``.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise PageError(
            f"{entry}: found {name!r}, expected a name of letters (a-z, A-Z), "
            "digits, '-', '_' and '.', the first neither '-' nor '.'"
        )


def check_folder(folder: Any, entry: str) -> None:
    """Refuse a folder to be made unless `check_name` takes each of its parts.

    Raises
    ------
    PageError
        Also where it is no text, empty, or the root of all folders.
    """
    parts = ()
    if isinstance(folder, str):
        parts = [p for p in PurePosixPath(folder).parts if p.strip("/")]
    if not parts:
        raise PageError(f"{entry}: found {folder!r}, expected a folder")
    for part in parts:
        check_name(part, f"{entry}: {folder!r}")


def check_edition(edition: Mapping[str, Any]) -> None:
    """Refuse an edition with a name that cannot be that of a file: its own,
    of a notebook, of a point of its grid or of a variant.

    Parameters
    ----------
    edition : mapping
        The content of a file of ``config/``.

    Raises
    ------
    PageError
        Naming the entry, the name and what is allowed; also where an entry is
        of another type.
    """
    if not isinstance(edition, Mapping):
        raise PageError(f"found {edition!r}, expected a mapping")
    check_name(edition.get("edition"), "edition")
    banner = edition.get("banner")
    if not isinstance(banner, str):
        raise PageError(f"banner: found {banner!r}, expected a sentence")
    for entry in ("notebooks", "grid", "variants"):
        content = edition.get(entry, {})
        if not isinstance(content, Mapping):
            raise PageError(
                f"{entry}: found {content!r}, expected a mapping of names"
            )
        for name in content:
            check_name(name, entry)
    for name, points in edition.get("grid", {}).items():
        if not isinstance(points, list):
            raise PageError(f"grid.{name}: found {points!r}, expected a list")
        for point in points:
            if not isinstance(point, int | float):
                check_name(point, f"grid.{name}")


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
        wrong type; or the notebook's own name is none (`check_name`).
    """
    notebook = Path(notebook)
    check_name(notebook.stem, str(notebook.parent))
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
    lists = {}
    for key in ("after", "makes", "recorded", "continues"):
        names = entry.get(key, [])
        # one name may stand alone, but for the pages before
        if isinstance(names, str) and key in ("makes", "continues"):
            names = [names]
        if not isinstance(names, list):
            raise PageError(
                f"{notebook.name}: metadata.page.{key} is {names!r}, expected "
                f"a list of names"
            )
        lists[key] = tuple(names)
    others = set(lists["continues"]) - set(lists["makes"])
    if others:
        raise PageError(
            f"{notebook.name}: metadata.page.continues has {sorted(others)}, "
            f"expected some of what it makes, {list(lists['makes'])}"
        )
    objective = entry.get("objective")
    if not isinstance(objective, str | None):
        raise PageError(
            f"{notebook.name}: metadata.page.objective is {objective!r}, "
            "expected the name of a parameter"
        )
    return Page(
        notebook.stem,
        **lists,
        grid=entry.get("grid", False),
        objective=objective,
    )


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
        that makes folders a variable ``MADE_<name>`` with those of them that
        are of the smoke edition, by the defaults of its parameters.

    Raises
    ------
    PageError
        As `read_pages`; also where such a folder cannot be one of the
        repository's (`check_folder`), as ``make`` removes it.
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
            made = " ".join(_made_by_default(page, Path(folder)))
            lines.append(f"MADE_{page.name} := {made}".rstrip())
    return "\n".join(lines) + "\n"


def _content(notebook: Path) -> Mapping[str, Any]:
    return json.loads(notebook.read_text(encoding="utf-8"))


def _made_by_default(page: Page, folder: Path) -> list[str]:
    """The folders of the smoke edition that a page makes with its defaults, in
    the repository; another folder is the reader's, who changed a default.
    """
    defaults = _defaults(folder / f"{page.name}.ipynb")
    made = []
    for name in page.makes:
        entry = f"{page.name}.ipynb: {name}"
        if str(defaults.get(name)).startswith("/"):
            raise PageError(
                f"{entry}: found {defaults[name]!r}, expected a folder "
                "relative to the repository"
            )
        check_folder(defaults.get(name), entry)
        parts = PurePosixPath(defaults[name]).parts
        if any(
            part == SMOKE or part.startswith(f"{SMOKE}-") for part in parts
        ):
            made.append(defaults[name])
    return made


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
