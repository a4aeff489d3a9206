"""Build the book of an edition, from pages that can be trusted.

    python book/build.py config/demo.yaml [FOLDER]

The site lies in ``_build/html``, of the folder if one is given and else of
this one.

A page that failed, ran only in part, belongs to another edition, or no longer
follows from its notebook, parameters, code and inputs, or reads a run that no
longer follows from its code, is refused with the reason (`records`,
`mmssl.ledger.stale`, `mmssl.ledger.stale_files`); so is one that shows a path
of this machine, an identifier of a person or a password (`private_text`), and
one with a map of a group difference that lacks its correction or the report of
its sanity checks. What was built is searched again, file by file. The build is
strict: any warning of Sphinx fails it. Every chapter must be there, no page
may weigh 2 MB or more, every link inside the site must lead somewhere, and
nothing may be fetched from another site (`links`).
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from mmssl import ledger
from mmssl.ledger import artefacts, locks, paths

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent
sys.path[:0] = [str(BOOK), str(ROOT / "notebooks"), str(ROOT)]

import brain_maps  # noqa: E402
import front_page  # noqa: E402
import identifiers  # noqa: E402
import links  # noqa: E402
import methods_page  # noqa: E402
import pages  # noqa: E402
import private_text  # noqa: E402
import published_page  # noqa: E402
import records  # noqa: E402
import simulations_page  # noqa: E402
import speed_page  # noqa: E402

LIMIT = 2_000_000  # bytes of HTML

SOURCES = (".md", ".bib", ".json", ".tsv", ".yml")
"""Endings of what the book is built from, beside its pages."""

MAPS = re.compile(r"\b(?:group_maps|interactive_(?:maps|saliency))\(")
"""How a page draws maps that it leaves: with functions that refuse one of a
group difference without its correction and the report of its sanity checks.
"""

OTHER_MAPS = re.compile(
    r"\b(?:plot_(?:stat_map|glass_brain|img|epi|prob_atlas|surf\w*)"
    r"|view_(?:img\w*|surf))\b"
)
"""Functions that would draw any map."""


def check_page(
    page: Path, edition: str, parameters: dict[str, Any] | None = None
) -> list[str]:
    """Say why an executed notebook must not be published.

    Parameters
    ----------
    page : Path
        Executed notebook, with its sidecar beside it.
    edition : str
        The edition that the book shows.
    parameters : dict, optional
        Values that the edition's file gives; the page must have been run with
        them.

    Returns
    -------
    list of str
        One reason for each, empty when the page is fit.
    """
    failed = page.with_suffix(".failed.ipynb")
    if failed.exists():
        return [f"its last run failed; read {failed.name}"]
    if not page.is_file():
        return ["it has not been run"]
    try:
        cells = records.read_notebook(page)["cells"]
    except ValueError as error:
        return [str(error)]
    reasons = [*_incomplete(cells), *_other_maps(cells)]
    people, record = identifiers.Identifiers(), None
    if ledger.sidecar_of(page).is_file():
        try:
            record = ledger.read_sidecar(page)
            people = _people_of(page, record)
        except ValueError as error:
            reasons.append(str(error))
    else:
        reasons.append("it has no sidecar, so nobody knows what made it")
    reasons += private_text.in_file(page, people)
    if record is None:
        return reasons
    for reason in private_text.in_file(ledger.sidecar_of(page), people):
        reasons.append(f"in its sidecar {reason}")
    reasons += _other_run(record, edition, parameters or {})
    reasons += _group_maps(cells, page, record["parameters"].get("output"))
    reasons += brain_maps.of_page(page)[1]
    reasons += _changed_results(page, record["parameters"])
    reasons += records.faults(page, record)
    return [*reasons, *ledger.stale(page), *_stale_inputs(page, record)]


def check_html(folder: Path, limit: int = LIMIT) -> list[str]:
    """Return one reason for every HTML page of at least `limit` bytes."""
    reasons = []
    for page in sorted(folder.rglob("*.html")):
        size = page.stat().st_size
        if size >= limit:
            reasons.append(
                f"{page.relative_to(folder)}: {size / 1e6:.1f} MB, "
                f"expected less than {limit / 1e6:.1f} MB"
            )
    return reasons


def build(edition_file: Path, folder: Path | None = None) -> list[str]:
    """Check the pages, build the book and check the site.

    Parameters
    ----------
    edition_file : Path
        Which pages the book shows, a file of ``config``.
    folder : Path, optional
        The site is built in ``_build/html`` of it; that of the book if not
        given.

    Returns
    -------
    list of str
        What is wrong; empty when the book stands.
    """
    edition = _read_yaml(edition_file)
    try:
        pages.check_edition(edition)
    except pages.PageError as error:
        return [f"{edition_file}: {error}"]
    name = edition["edition"]
    reasons, shown = [], []
    for notebook, parameters in edition["notebooks"].items():
        page = page_of(notebook, name)
        shown.append(page)
        for reason in check_page(page, name, parameters):
            reasons.append(f"{notebook}: {reason}")
    if reasons:
        return reasons
    people = identifiers.Identifiers()
    for page in shown:
        people |= _people_of(page, ledger.read_sidecar(page))
    reasons = _private_sources(people)
    if reasons:
        return reasons
    front_page.write(name)
    methods_page.write()
    published_page.write(name)
    simulations_page.write()
    speed_page.write()
    built = (folder or BOOK) / "_build"
    html = built / "html"
    # else pages of another edition would stay in it
    shutil.rmtree(html, ignore_errors=True)
    settings, toc = _settings(edition, built)
    reasons = _run_jupyter_book(settings, toc, built.parent)
    reasons = reasons or [
        *links.unbuilt(html, contents(_read_yaml(toc))),
        *check_html(html),
        *links.faults(html, _left_out(edition)),
    ]
    reasons += private_text.in_site(html, people)
    if reasons:
        # what was refused must not look finished
        (html / "index.html").unlink(missing_ok=True)
    return reasons


def main(arguments: list[str]) -> int:
    """Run the command line; return its exit status."""
    edition_file, *folder = [Path(name).resolve() for name in arguments]
    try:
        with locks.owned(BOOK / "_build"):
            reasons = build(edition_file, *folder)
    except locks.LockedError as error:
        reasons = [str(error)]
    for reason in reasons:
        print(f"book refused: {reason}", file=sys.stderr)
    return 1 if reasons else 0


def _run_jupyter_book(config: Path, toc: Path, folder: Path) -> list[str]:
    # this environment's, whatever the PATH
    tool = Path(sys.executable).with_name("jupyter-book")
    # all pages: what is shown of one depends on others, too
    command = [tool, "build", BOOK, "--all", "-n", "-W", "--keep-going"]
    command += ["--config", config, "--toc", toc, "--path-output", folder]
    done = subprocess.run(command, cwd=ROOT)
    if done.returncode:
        return ["jupyter-book failed, see above"]
    return []


def _incomplete(cells: list[dict[str, Any]]) -> list[str]:
    """Return one reason for each error, and one for cells that did not run."""
    code = [cell for cell in cells if _is_code(cell) and _source(cell)]
    reasons = []
    missing = 0
    for cell in code:
        missing += cell["execution_count"] is None
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                reasons.append(
                    f"a cell failed with {output['ename']}: {output['evalue']}"
                )
    if missing:
        reasons.append(f"{missing} of {len(code)} code cells did not run")
    return reasons


def _stale_inputs(page: Path, record: dict[str, Any]) -> list[str]:
    """Return one reason for each stale run or artefact in the folders that a
    page reads.
    """
    reasons = []
    for name, path in ledger.input_paths(page, record).items():
        if not os.path.isdir(path):  # False also where it cannot be read
            continue
        for place, found in ledger.stale_files([path], {}).items():
            shown = place.relative_to(path)
            reasons.append(f"its input {name} has stale {shown}: {found[0]}")
    return reasons


def _people_of(page: Path, record: dict[str, Any]) -> identifiers.Identifiers:
    """Whom a page is about; ValueError where nobody can know."""
    root = paths.root(page.parent)
    return identifiers.of_parameters(record["parameters"], root)


def _other_run(
    record: dict[str, Any], edition: str, parameters: dict[str, Any]
) -> list[str]:
    """Return what a page ran with that its edition does not say."""
    reasons = []
    ran = record["parameters"]
    for found in (record["facts"].get("edition"), ran.get("edition")):
        if found != edition:
            reasons.append(f"it is of the {found} edition, not {edition}")
            break
    for name, value in parameters.items():
        if name not in ran or ran[name] != value:
            reasons.append(
                f"it ran with {name} = {ran.get(name)!r}, "
                f"the edition says {value!r}"
            )
    return reasons


def _changed_results(page: Path, parameters: dict[str, Any]) -> list[str]:
    """Return one reason for each table among a page's results that is not the
    one that was saved.
    """
    output = parameters.get(records.RESULTS)
    if not isinstance(output, str) or not output:
        return []
    folder = paths.root(page.parent) / output
    # the tables of a cohort are checked by whoever loads it
    if (folder / "cohort.json").is_file():
        return []
    reasons = []
    for table in sorted(folder.glob("*.tsv")):
        reasons += [f"in {output}, {one}" for one in ledger.changed(table)]
    return reasons


def _private_sources(people: identifiers.Identifiers) -> list[str]:
    """Return one reason for each private text in what the book is built from
    beside its pages.
    """
    reasons = []
    files = [*BOOK.iterdir(), *BOOK.glob("published/**/*")]
    for file in sorted(files):
        if file.suffix in SOURCES:
            for reason in private_text.in_file(file, people):
                reasons.append(f"{file.name}: {reason}")
    return reasons


def _other_maps(cells: list[dict[str, Any]]) -> list[str]:
    """Return a reason if a page draws maps by functions that check none."""
    match = OTHER_MAPS.search(_code(cells))
    if not match:
        return []
    return [
        f"it draws a brain map by {match[0]}; mmssl.plotting draws none "
        "without its correction and its report"
    ]


def _group_maps(
    cells: list[dict[str, Any]], page: Path, output: str | None
) -> list[str]:
    """Return what is wrong with the maps that a page of group differences
    has left.
    """
    if not MAPS.search(_code(cells)):
        return []
    if not output or not isinstance(output, str):
        return [
            "it draws maps of groups and leaves none, so that nobody can "
            "check them"
        ]
    folder = paths.root(page.parent) / output / "maps"
    return artefacts.unpublishable_maps(folder)


def _is_code(cell: dict[str, Any]) -> bool:
    return cell["cell_type"] == "code"


def _source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def _code(cells: list[dict[str, Any]]) -> str:
    return "\n".join(_source(cell) for cell in cells if _is_code(cell))


def page_of(notebook: str, edition: str) -> Path:
    """Return where the executed copy of a notebook lies."""
    return BOOK / "executed" / edition / f"{notebook}.ipynb"


def _left_out(edition: dict[str, Any]) -> list[str]:
    """Names of the chapters that an edition does not show."""
    files = map(Path, contents(_read_yaml(BOOK / "_toc.yml")))
    return [file.name for file in files if not _has(edition, file)]


def contents(toc: dict[str, Any]) -> list[str]:
    """Return the sources of a table of contents, in order, without endings."""
    files = [toc["root"]]
    for part in toc["parts"]:
        files += [chapter["file"] for chapter in part["chapters"]]
    return files


def _settings(edition: dict[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write the book's settings, with the edition's pages and banner filled
    in, into a folder.
    """
    config = _read_yaml(BOOK / "_config.yml")
    sphinx = config["sphinx"]["config"]
    # the pages are there
    config["sphinx"]["extra_extensions"].remove("book.direct_build")
    # in a tag, as the theme fetches what begins with http
    banner = f"<span>{ledger.escaped(edition['banner'])}</span>"
    sphinx["html_theme_options"]["announcement"] = banner
    toc = _read_yaml(BOOK / "_toc.yml")
    for part in toc["parts"]:
        shown = [c for c in part["chapters"] if _has(edition, Path(c["file"]))]
        left_out = [c["file"] for c in part["chapters"] if c not in shown]
        # what links to a page left out stays as text
        if any(name.startswith("executed") for name in left_out):
            sphinx["suppress_warnings"] = ["myst.xref_missing"]
        for chapter in shown:
            chapter["file"] = chapter["file"].replace(
                "/demo/", f"/{edition['edition']}/"
            )
        part["chapters"] = shown
    folder.mkdir(parents=True, exist_ok=True)
    return (
        _write_yaml(folder / "_config.yml", config),
        _write_yaml(folder / "_toc.yml", toc),
    )


def _read_yaml(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def _write_yaml(file: Path, content: dict[str, Any]) -> Path:
    text = yaml.safe_dump(content, sort_keys=False)
    file.write_text(text, encoding="utf-8")
    return file


def _has(edition: dict[str, Any], chapter: Path) -> bool:
    """Whether an edition shows a chapter; texts are in all of them, that of
    published editions where there are some.
    """
    if chapter.name == "published":
        return any((BOOK / "published").glob("*/published.json"))
    return (
        chapter.parts[0] != "executed" or chapter.name in edition["notebooks"]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
