"""Chromium, as a reader's browser without a network.

It sees what one local server gives and nothing else, and notes what a page
says, asks for and shows.
"""

import functools
import http.server
import os
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import axe_playwright_python
from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")

PROGRAM = next(filter(None, map(shutil.which, NAMES)), None)
"""Of this machine; playwright would download one of its own."""

OPTIONS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # no name but that of the local server is found
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    # WebGL without a graphics card
    "--disable-gpu",
    "--enable-unsafe-swiftshader",
)

WIDE = {"width": 1440, "height": 900}
NARROW = {"width": 390, "height": 844}

PICTURES = os.environ.get("MMSSL_PICTURES")
"""A folder for a picture of every page in every way, for who wants to look."""

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")

# code and equations are coloured alike on all pages, and so are the lines of
# a long table, what documents a function, and entries of the index
SAMPLE = """{exclude: ["mjx-container", ".cell + .cell ~ .cell .highlight",
    "tbody tr:nth-child(n + 8)", "dl.py ~ dl.py ~ dl.py",
    ".genindextable li ~ li ~ li"]}"""


class Visit(NamedTuple):
    """What a page did while a browser showed it.

    Attributes
    ----------
    said : list of str
        Errors and warnings of the console, and what no script caught.
    failed : list of str
        What it asked for in vain, or of another site.
    overflows : list of str
        Where its content is wider than the window.
    barriers : list of str
        Serious and critical faults of accessibility, by axe-core, light and
        dark.
    """

    said: list[str]
    failed: list[str]
    overflows: list[str]
    barriers: list[str]


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_) -> None:
        """Say nothing of each request."""


@contextmanager
def served(folder):
    """Serve a folder as a static host does; give its address."""
    handler = functools.partial(_Silent, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


@contextmanager
def started():
    """Start Chromium; give the browser."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=PROGRAM, args=list(OPTIONS)
        )
        yield browser
        browser.close()


def listen(page, address):
    """Note what a page says and asks for in vain; give the two lists, which
    grow.
    """
    said, failed = [], []
    page.on("pageerror", lambda error: said.append(f"uncaught: {error}"))

    def hear(message):
        # of how fast WebGL is without a graphics card
        of_driver = "GL Driver Message (OpenGL, Performance" in message.text
        if message.type in ("error", "warning") and not of_driver:
            said.append(f"{message.type}: {message.text}")

    def see(request):
        if not request.url.startswith((address, "data:", "blob:")):
            failed.append(f"of another site: {request.url}")

    def check(response):
        if response.status >= 400:
            failed.append(f"{response.status}: {response.url}")

    page.on("console", hear)
    page.on("request", see)
    page.on("requestfailed", lambda asked: failed.append(asked.url))
    page.on("response", check)
    return said, failed


def visit(browser, site, name, pictures=PICTURES):
    """Show a page wide and narrow, light and dark.

    Parameters
    ----------
    browser : playwright.sync_api.Browser
    site : str
        Address of the site, with a slash at its end.
    name : str
        Of the page, below it.
    pictures : str or Path, optional
        Folder that gets a picture of the whole page in each of the four ways.

    Returns
    -------
    Visit
    """
    page = browser.new_page(viewport=WIDE, color_scheme="light")
    said, failed = listen(page, site)
    page.goto(site + name, wait_until="load")
    page.evaluate("document.fonts.ready")
    # a colour on its way from light to dark is neither
    page.add_style_tag(content="* {transition: none !important}")
    page.add_script_tag(path=AXE)
    all_rules = "{preload: false, resultTypes: ['violations']}"
    contrast = "{preload: false, runOnly: ['color-contrast']}"
    barriers, overflows = [], []
    for theme, rules in (("light", all_rules), ("dark", contrast)):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        page.set_viewport_size(WIDE)
        barriers += [f"{theme}: {b}" for b in _barriers(page, rules)]
        for size in (WIDE, NARROW):
            page.set_viewport_size(size)
            width = page.evaluate("document.documentElement.scrollWidth")
            way = f"{size['width']}-{theme}"
            if width > size["width"]:
                overflows.append(f"{way}: {width} pixels")
            if pictures:
                _picture(page, Path(pictures), name, way)
    page.close()
    return Visit(said, failed, overflows, barriers)


def _picture(page, folder, name, way):
    folder.mkdir(parents=True, exist_ok=True)
    file = name.replace("/", "_").removesuffix(".html")
    page.screenshot(path=folder / f"{file}-{way}.png", full_page=True)


def _barriers(page, options):
    found = page.evaluate(f"axe.run({SAMPLE}, {options})")
    barriers = []
    for fault in found["violations"]:
        if fault["impact"] in ("serious", "critical"):
            places = [" ".join(map(str, n["target"])) for n in fault["nodes"]]
            barriers.append(
                f"{fault['id']}, {len(places)} times, first at {places[0]}"
            )
    return barriers
