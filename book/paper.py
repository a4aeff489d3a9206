"""Fill the paper with an edition's numbers, and print it.

    python book/paper.py config/demo.yaml

``book/paper.md`` is the text, in which every number is a placeholder
(`filled_text`). From the claims ledger and the tables of the edition come
``paper.md`` at the root, where NeuroLibre looks for it, and
``book/_build/paper.pdf``. A table that is stale is refused.
"""

import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent
sys.path[:0] = [str(BOOK), str(ROOT)]

import filled_text  # noqa: E402
import printing  # noqa: E402

from book.claims import rule  # noqa: E402
from mmssl import cohorts, ledger  # noqa: E402
from mmssl.ledger import atomic  # noqa: E402

TEMPLATE = BOOK / "paper.md"
PAPER = ROOT / "paper.md"
PDF = BOOK / "_build" / "paper.pdf"
REFERENCES = ROOT / "paper.bib"

SETTINGS = """\
from book import chapters

extensions = ["myst_parser", "sphinxcontrib.bibtex"]
bibtex_bibfiles = ["paper.bib"]
bibtex_reference_style = "author_year"
html_theme = "basic"
html_copy_source = False
html_show_sphinx = False
html_sidebars = {"**": []}
html_static_path = ["_static"]
html_css_files = ["paper.css"]


def setup(app):
    # works of one author and year get letters, as in the book
    app.connect("builder-inited", chapters.tell_works_apart, priority=900)
"""

STYLE = """\
body {font: 11pt/1.4 serif; max-width: 40em; margin: auto}
h1 {font-size: 1.3em} .headerlink, .related {display: none}
@page {size: A4; margin: 22mm}
"""


def tables_of(edition: dict[str, Any], root: Path) -> dict[str, pd.DataFrame]:
    """Read what placeholders may name.

    Parameters
    ----------
    edition : dict
        Content of the edition's file.
    root : Path
        The checkout.

    Returns
    -------
    {name: DataFrame}
        Every table of the edition's results by the name of its file;
        ``simulations``; and ``edition``, ``cohort`` and ``release`` of one
        row.

    Raises
    ------
    ValueError
        When there are no results, or a table is stale, with the reason.
    """
    name = edition["edition"]
    folder = root / "data" / "results" / name
    tables = {}
    for file in sorted(folder.glob("*.tsv")):
        reasons = ledger.stale(file)
        if reasons:
            raise ValueError(
                f"{file.name}: {'; '.join(reasons)}. "
                f"Run make reproduce EDITION={name} first"
            )
        tables[file.stem] = ledger.read_table(file)
    for needed in ("claims", "linear_evaluation"):
        if needed not in tables:
            raise ValueError(
                f"data/results/{name}: no {needed}.tsv. "
                f"Run make reproduce EDITION={name} first"
            )
    # also those that no claim got can be asked for
    kinds = pd.CategoricalDtype(rule.VERDICTS)
    tables["claims"]["verdict"] = tables["claims"]["verdict"].astype(kinds)
    tables["simulations"] = pd.read_csv(
        root / "book" / "simulations.tsv", sep="\t"
    )
    text = (root / "CITATION.cff").read_text(encoding="utf-8")
    citation = yaml.safe_load(text)
    facts = {
        "edition": {"name": name, "banner": edition["banner"].strip()},
        "cohort": _cohort(edition, root),
        "release": {
            "version": citation["version"],
            "date": citation["date-released"],
        },
    }
    for key, row in facts.items():
        tables[key] = pd.DataFrame([row])
    return tables


def write(edition: dict[str, Any], root: Path = ROOT) -> str:
    """Write ``paper.md``; return its text.

    Raises
    ------
    ValueError
        Where a number is typed, a placeholder names nothing, or there are no
        fresh results.
    """
    text = TEMPLATE.read_text(encoding="utf-8")
    typed = filled_text.typed_digits(text)
    if typed:
        raise ValueError(
            f"{TEMPLATE.name}: typed {', '.join(typed)}, expected placeholders"
        )
    filled = wrapped(filled_text.fill(text, tables_of(edition, root)))
    with atomic.file(root / PAPER.name) as temporary:
        temporary.write_text(filled, encoding="utf-8")
    return filled


def wrapped(text: str) -> str:
    """Break the lines of the paragraphs anew, as numbers differ in length
    from their placeholders; the head stays.
    """
    start, head, body = text.split("---\n", 2)
    paragraphs = []
    for paragraph in body.strip().split("\n\n"):
        paragraphs.append(
            textwrap.fill(
                paragraph, break_on_hyphens=False, break_long_words=False
            )
        )
    body = "\n\n".join(paragraphs)
    return f"{start}---\n{head}---\n\n{body}\n"


def print_paper(text: str, pdf: Path = PDF) -> None:
    """Print the filled paper, its references resolved.

    Raises
    ------
    FileNotFoundError
        Without a Chromium.
    RuntimeError
        When it cannot be built or printed, with the reason.
    """
    printing.browser()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = {
            "conf.py": SETTINGS,
            "index.md": as_myst(text),
            "paper.bib": REFERENCES.read_text(encoding="utf-8"),
            "_static/paper.css": STYLE,
        }
        (folder / "_static").mkdir()
        for name, content in files.items():
            (folder / name).write_text(content, encoding="utf-8")
        html = folder / "html"
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b"]
        command += ["singlehtml", str(folder), str(html)]
        # from the root, where the book is a package
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT
        )
        if done.returncode:
            raise RuntimeError(f"paper.md: {done.stderr.strip()}")
        printing.print_pdf(html / "index.html", pdf)


def as_myst(text: str) -> str:
    """Turn the paper (Pandoc's Markdown, with a head) into the book's."""
    _, head, body = text.split("---\n", 2)
    title = yaml.safe_load(head)["title"]
    body = re.sub(r"^# ", "## ", body, flags=re.MULTILINE)
    body = re.sub(r"\[@([^\]]+)\]", _cited, body)
    return f"# {title}\n{body}\n```{{bibliography}}\n```\n"


def main(arguments: list[str]) -> int:
    """Run the command line; return its exit status."""
    try:
        file = Path(arguments[0])
        edition = yaml.safe_load(file.read_text(encoding="utf-8"))
        text = write(edition)
        print_paper(text)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"paper refused: {error}", file=sys.stderr)
        return 1
    print(PAPER.name, PDF.relative_to(ROOT), sep="\n")
    return 0


def _cohort(edition: dict[str, Any], root: Path) -> dict[str, Any]:
    """How many people, and the best AUC that is possible, where known."""
    settings = edition["notebooks"]["04_linear_evaluation"] or {}
    people = cohorts.load(root / settings.get("cohort", "data/derived/smoke"))
    row = {"people": len(people.participants), "kind": people.kind}
    if "oracle_auc" in people.parameters:
        row["oracle_auc"] = people.parameters["oracle_auc"]
    return row


def _cited(match: re.Match) -> str:
    keys = ",".join(re.findall(r"@([\w-]+)", f"@{match[1]}"))
    return f"{{cite:p}}`{keys}`"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
