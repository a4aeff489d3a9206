"""How soon a reader sees something of the book that was built last: first
contentful paint of its pages in a headless Chromium, from a server on this
machine, each time with an empty cache, and until a page has all it asks for.

There is no peer. Of each page the median over rounds; pages that list code
are left out.
"""

import statistics
import sys
from pathlib import Path

from mmssl.ledger import paths

sys.path.insert(0, str(Path(__file__).parents[1]))

import chromium  # noqa: E402

NAME = "Pages of the book"
PAINTED = """() => new Promise((tell) => {
  const watch = new PerformanceObserver((list) => {
    const [paint] = list.getEntriesByName("first-contentful-paint");
    if (paint) tell(paint.startTime);
  });
  watch.observe({type: "paint", buffered: true});
})"""
LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd"


def measure(rounds: int) -> dict:
    """Milliseconds of the front page, of the median and of the slowest page;
    what is missing where there is no book or no browser.
    """
    site = paths.project("book/_build/html")
    if chromium.PROGRAM is None:
        return {"front page": "no Chromium found"}
    if not (site / "index.html").exists():
        return {"front page": "no book was built"}
    names = []
    for file in sorted(site.rglob("*.html")):
        name = file.relative_to(site).as_posix()
        if not name.startswith(("_static", "_modules")):
            names.append(name)
    painted, loaded = times_of(site, names, rounds)
    return {
        "front page, first paint, ms": painted["index.html"],
        "median of pages, first paint, ms": statistics.median(
            painted.values()
        ),
        "slowest page, first paint, ms": max(painted.values()),
        "median of pages, all loaded, ms": statistics.median(loaded.values()),
        "slowest page, all loaded, ms": max(loaded.values()),
        "pages": float(len(names)),
    }


def times_of(
    site: Path, names: list[str], rounds: int
) -> tuple[dict[str, float], dict[str, float]]:
    """First paint of each page and the end of its loading, ms: {page: median
    over rounds}.
    """
    painted: dict[str, list[float]] = {name: [] for name in names}
    loaded: dict[str, list[float]] = {name: [] for name in names}
    with chromium.served(site) as address, chromium.started() as browser:
        for _ in range(rounds):
            for name in names:
                # each page of a context of its own: an empty cache
                page = browser.new_page(viewport=chromium.WIDE)
                page.goto(address + name, wait_until="load")
                painted[name].append(page.evaluate(PAINTED))
                loaded[name].append(page.evaluate(LOADED))
                page.close()
    return (
        {name: statistics.median(x) for name, x in painted.items()},
        {name: statistics.median(x) for name, x in loaded.items()},
    )
