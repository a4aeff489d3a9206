"""Print the book of an edition as one PDF, after it was built.

    python book/report.py config/demo.yaml

The pages are those that `build` checked, with the settings that it wrote;
``book/_build/report.pdf`` is a page of HTML printed by Chromium.
"""

import subprocess
import sys
from pathlib import Path

import yaml

BOOK = Path(__file__).resolve().parent
sys.path[:0] = [str(BOOK), str(BOOK.parent)]

import printing  # noqa: E402

from mmssl.ledger import locks  # noqa: E402

BUILD = BOOK / "_build"
PDF = BUILD / "report.pdf"


def check_built(edition: str, build: Path = BUILD) -> None:
    """ValueError unless the book that stands is that of an edition.

    Parameters
    ----------
    edition : str
    build : Path, optional
        Folder of what was built.
    """
    shown = ""
    # a book that was refused has no front page
    if (build / "html" / "index.html").is_file():
        toc = yaml.safe_load((build / "_toc.yml").read_text(encoding="utf-8"))
        for part in toc["parts"]:
            for chapter in part["chapters"]:
                place = Path(chapter["file"]).parts
                if place[0] == "executed":
                    shown = place[1]
    if shown != edition:
        raise ValueError(
            f"the book that is built is {shown or 'none'}, expected that of "
            f"the {edition} edition; run make reproduce EDITION={edition} "
            "first"
        )


def print_report(edition: str, pdf: Path = PDF) -> None:
    """Build the book as one page of HTML, and print it.

    Raises
    ------
    ValueError
        When the edition's book is not there.
    FileNotFoundError
        Without a Chromium.
    RuntimeError
        When it cannot be built or printed.
    """
    printing.browser()
    check_built(edition)
    # this environment's, whatever the PATH
    tool = Path(sys.executable).with_name("jupyter-book")
    command = [tool, "build", BOOK, "--all", "-q", "--builder", "singlehtml"]
    command += ["--config", BUILD / "_config.yml", "--toc", BUILD / "_toc.yml"]
    done = subprocess.run(command, cwd=BOOK.parent)
    if done.returncode:
        raise RuntimeError("jupyter-book failed, see above")
    printing.print_pdf(BUILD / "singlehtml" / "index.html", pdf, 120_000)


def main(arguments: list[str]) -> int:
    """Run the command line; return its exit status."""
    try:
        file = Path(arguments[0])
        edition = yaml.safe_load(file.read_text(encoding="utf-8"))
        with locks.owned(BUILD):
            print_report(edition["edition"])
    except (ValueError, OSError, RuntimeError, locks.LockedError) as error:
        print(f"report refused: {error}", file=sys.stderr)
        return 1
    print(PDF.relative_to(BOOK.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
