"""Build the book of an edition, from pages that can be trusted.

    python book/build.py config/demo.yaml

A page that failed, ran only in part, belongs to another edition, or no longer
follows from its notebook, parameters, code and inputs is refused with the
reason; so is one that shows a path of this machine or an identifier of a
person, and one with a map of a group difference that lacks its correction or
the verdict of the saliency court. The build is strict: any warning of Sphinx
fails it. No page may weigh 2 MB or more.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from mmssl import ledger
from mmssl.ledger import artefacts, paths

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent
sys.path.insert(0, str(BOOK))

import simulations_page  # noqa: E402
import speed_page  # noqa: E402

LIMIT = 2_000_000  # bytes of HTML

PRIVATE = {
    "a path of this machine": re.compile(
        r"(?<![\w/.:])/(?:home|Users|root|mnt|scratch)/[\w.-]+"
    ),
    "an identifier of OASIS": re.compile(r"OAS[123]_?\d{4}"),
    "an e-mail address": re.compile(
        r"\b[\w.+-]+@[\w-]+\.(?:[\w-]+\.)*[a-z]{2,}\b"
    ),
}
"""What must never be published, however it came onto a page."""

MAPS = re.compile(r"\b(?:group_maps|interactive_map)\(")
"""How a page draws group differences: with functions that refuse a map without
its defence.
"""

BYPASS = re.compile(
    r"\b(?:plot_(?:stat_map|glass_brain|img|epi|prob_atlas|surf\w*)|view_(?:img\w*|surf))\b"
)
"""How it could draw them around those."""


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
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    reasons = _incomplete(cells) + _private(cells) + _bypassed(cells)
    if not ledger.sidecar_of(page).is_file():
        return [*reasons, "it has no sidecar, so nobody knows what made it"]
    record = ledger.read_sidecar(page)
    if record["facts"].get("edition") != edition:
        reasons.append(
            f"it is of the {record['facts'].get('edition')} edition, not {edition}"
        )
    ran = record["parameters"]
    for name, value in (parameters or {}).items():
        if name not in ran or ran[name] != value:
            reasons.append(
                f"it ran with {name} = {ran.get(name)!r}, the edition says {value!r}"
            )
    return (
        reasons
        + _unpublishable(cells, page, ran.get("output"))
        + ledger.stale(page)
    )


def check_html(folder: Path, limit: int = LIMIT) -> list[str]:
    """Return one complaint for every HTML page of at least `limit` bytes."""
    sizes = {
        page: page.stat().st_size for page in sorted(folder.rglob("*.html"))
    }
    return [
        f"{page.relative_to(folder)}: {size / 1e6:.1f} MB, expected less than {limit / 1e6:.1f} MB"
        for page, size in sizes.items()
        if size >= limit
    ]


def build(edition_file: Path) -> list[str]:
    """Check the pages, build the book into ``book/_build/html`` and check its
    weight.

    Returns
    -------
    list of str
        What is wrong; empty when the book stands.
    """
    edition = yaml.safe_load(edition_file.read_text(encoding="utf-8"))
    complaints = [
        f"{name}: {reason}"
        for name, parameters in edition["notebooks"].items()
        for reason in check_page(
            page_of(name, edition["edition"]), edition["edition"], parameters
        )
    ]
    if complaints:
        return complaints
    simulations_page.write()
    speed_page.write()
    config, toc = _settings(edition)
    # this environment's, whatever the PATH
    tool = Path(sys.executable).with_name("jupyter-book")
    command = [
        tool,
        "build",
        BOOK,
        "-n",
        "-W",
        "--keep-going",
        "--config",
        config,
        "--toc",
        toc,
    ]
    html = BOOK / "_build" / "html"
    # else pages of another edition would stay in it
    shutil.rmtree(html, ignore_errors=True)
    done = subprocess.run(command, cwd=ROOT)
    complaints = (
        ["jupyter-book failed, see above"]
        if done.returncode
        else check_html(html)
    )
    if complaints:
        # a book with complaints is not a book
        (html / "index.html").unlink(missing_ok=True)
    return complaints


def main(arguments: list[str]) -> int:
    """Run the command line; return its exit status."""
    complaints = build(Path(arguments[0]).resolve())
    for complaint in complaints:
        print(f"book refused: {complaint}", file=sys.stderr)
    return 1 if complaints else 0


def _incomplete(cells: list[dict[str, Any]]) -> list[str]:
    code = [
        cell
        for cell in cells
        if cell["cell_type"] == "code" and "".join(cell["source"])
    ]
    outputs = [output for cell in code for output in cell["outputs"]]
    errors = [output for output in outputs if output["output_type"] == "error"]
    reasons = [
        f"a cell failed with {error['ename']}: {error['evalue']}"
        for error in errors
    ]
    missing = sum(cell["execution_count"] is None for cell in code)
    if missing:
        reasons.append(f"{missing} of {len(code)} code cells did not run")
    return reasons


def _private(cells: list[dict[str, Any]]) -> list[str]:
    """Return one reason for each kind of private text in sources and text
    outputs.
    """
    texts = ["".join(cell["source"]) for cell in cells]
    for output in (
        output for cell in cells for output in cell.get("outputs", ())
    ):
        texts.append("".join(output.get("text", "")))
        rich = output.get("data", {})
        texts += [
            "".join(text)
            for kind, text in rich.items()
            if kind.startswith("text/")
        ]
    found = {
        what: pattern.search("\n".join(texts))
        for what, pattern in PRIVATE.items()
    }
    return [
        f"it shows {what}: {match[0]}"
        for what, match in found.items()
        if match
    ]


def _bypassed(cells: list[dict[str, Any]]) -> list[str]:
    found = BYPASS.search(_code(cells))
    return (
        [
            f"it draws a brain map by {found[0]}; mmssl.plotting draws none without its "
            "correction and its verdict"
        ]
        if found
        else []
    )


def _unpublishable(
    cells: list[dict[str, Any]], page: Path, output: str | None
) -> list[str]:
    """What is wrong with the maps that a page of group differences has
    left.
    """
    if not MAPS.search(_code(cells)):
        return []
    if not output:
        return [
            "it draws maps of groups and leaves none, so that nobody can check them"
        ]
    return artefacts.unpublishable_maps(paths.root(page.parent) / output / "maps")


def _code(cells: list[dict[str, Any]]) -> str:
    return "\n".join(
        "".join(c["source"]) for c in cells if c["cell_type"] == "code"
    )


def page_of(notebook: str, edition: str) -> Path:
    """Return where the executed copy of a notebook lies."""
    return BOOK / "executed" / edition / f"{notebook}.ipynb"


def _settings(edition: dict[str, Any]) -> tuple[Path, Path]:
    """Write the book's settings with the edition's pages and banner filled
    in.
    """
    folder = BOOK / "_build"
    folder.mkdir(exist_ok=True)
    config = yaml.safe_load((BOOK / "_config.yml").read_text(encoding="utf-8"))
    config["sphinx"]["config"]["html_theme_options"]["announcement"] = edition[
        "banner"
    ]
    toc = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))
    for part in toc["parts"]:
        shown = [c for c in part["chapters"] if _has(edition, Path(c["file"]))]
        # what links to a chapter left out stays as text
        if len(shown) < len(part["chapters"]):
            config["sphinx"]["config"]["suppress_warnings"] = [
                "myst.xref_missing"
            ]
        part["chapters"] = shown
        for chapter in part["chapters"]:
            chapter["file"] = chapter["file"].replace(
                "/demo/", f"/{edition['edition']}/"
            )
    written = folder / "_config.yml", folder / "_toc.yml"
    written[0].write_text(
        yaml.safe_dump(config, sort_keys=False), encoding="utf-8"
    )
    written[1].write_text(
        yaml.safe_dump(toc, sort_keys=False), encoding="utf-8"
    )
    return written


def _has(edition: dict[str, Any], chapter: Path) -> bool:
    """Whether an edition shows a chapter; texts are in all of them."""
    return (
        chapter.parts[0] != "executed" or chapter.name in edition["notebooks"]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
