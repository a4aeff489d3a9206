"""A browser, and the sites that it reads."""

import html
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import chromium
import pytest
import yaml
from filelock import FileLock

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "book" / "_static"
SMOKE = ROOT / "data" / "executed" / "smoke"
BANNER = "Smoke edition: tiny runs, no number on these pages is a result."
FILLED = """<!doctype html><html lang="en"><meta charset="utf-8">
<title>A figure</title>
<link rel="stylesheet" href="mmssl.css">
<script src="{kind}s.js"></script><script src="drawing.js"></script>
<main><h1>A figure</h1><div class="{kind}-viewer" data-viewer="{content}">
</div></main></html>"""


class Site(NamedTuple):
    """A built book, and the address where it is served."""

    folder: Path
    address: str


@pytest.fixture(scope="session")
def browser():
    """Give Chromium, or skip."""
    if chromium.PROGRAM is None:
        pytest.skip("no chromium is installed, as Debian has it")
    with chromium.started() as started:
        yield started


@pytest.fixture
def filled(browser, tmp_path):
    """Give a function that shows what a script draws of a content, from a
    disk; nothing may be said meanwhile.
    """
    opened = []

    def show(kind, content, **options):
        for name in (f"{kind}s.js", "drawing.js", "mmssl.css"):
            shutil.copy(STATIC / name, tmp_path)
        text = html.escape(json.dumps(content))
        file = tmp_path / "page.html"
        file.write_text(FILLED.format(kind=kind, content=text))
        page = browser.new_page(**{"viewport": chromium.WIDE, **options})
        said, _ = chromium.listen(page, "file://")
        page.goto(file.as_uri())
        opened.append((page, said))
        return page

    yield show
    for page, said in opened:
        assert said == []
        page.close()


def _build(folder):
    """Build the book of the smoke pages in a folder, as that of an edition."""
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
    names = []
    for part in toc["parts"]:
        for chapter in part["chapters"]:
            if chapter["file"].startswith("executed/"):
                names.append(Path(chapter["file"]).name)
    shown = ROOT / "book" / "executed" / "smoke"
    shutil.rmtree(shown, ignore_errors=True)
    shown.mkdir(parents=True)
    for page in SMOKE.glob("*.ipynb*"):
        shutil.copy2(page, shown)
    edition = {
        "edition": "smoke",
        "banner": BANNER,
        "notebooks": {name: {} for name in names},
    }
    folder.mkdir(exist_ok=True)
    file = folder / "smoke.yaml"
    file.write_text(yaml.safe_dump(edition, sort_keys=False))
    command = [sys.executable, ROOT / "book" / "build.py", file, folder]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


@pytest.fixture(scope="session")
def smoke_book(tmp_path_factory):
    """Give the folder of the book of the smoke pages, built once for all
    processes of the tests.
    """
    if not any(SMOKE.glob("*.ipynb")):
        pytest.skip("no smoke page was executed; run make smoke")
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "smoke_book"
    html = folder / "_build" / "html"
    with FileLock(shared / "smoke_book.lock"):
        if not (html / "index.html").is_file():
            _build(folder)
    return html


@pytest.fixture(scope="session")
def demo_book():
    """Give the folder of the demo's book, or skip."""
    folder = ROOT / "book" / "_build" / "html"
    if not (folder / "executed" / "demo").is_dir():
        pytest.skip("no book of the demo was built; run make reproduce")
    return folder


@pytest.fixture(
    scope="session",
    params=["smoke", pytest.param("demo", marks=pytest.mark.slow)],
)
def site(request):
    """Give the site of a book, served."""
    folder = request.getfixturevalue(f"{request.param}_book")
    with chromium.served(folder) as address:
        yield Site(folder, address)
