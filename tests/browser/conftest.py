"""A browser, and the sites that it reads."""

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
SMOKE = ROOT / "data" / "executed" / "smoke"
BANNER = "Smoke edition: tiny runs, no number on these pages is a result."


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
