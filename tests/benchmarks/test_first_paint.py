"""First paint is what a browser says, of each page of a site."""

import time
from concurrent.futures import ThreadPoolExecutor

import chromium
import first_paint
import pytest

PAGE = """<!doctype html><html lang="en"><title>A page</title>
<script src="late.js"></script><p>Seen.</p></html>"""


@pytest.mark.skipif(not chromium.PROGRAM, reason="no Chromium")
def test_a_page_that_waits_is_painted_later(tmp_path, monkeypatch):
    site = tmp_path / "book" / "_build" / "html"
    site.mkdir(parents=True)
    plain = PAGE.replace('<script src="late.js"></script>', "")
    (site / "index.html").write_text(plain)
    (site / "late.html").write_text(PAGE)
    (site / "late.js").write_text("const end = performance.now() + 400;\n")
    with (site / "late.js").open("a") as script:
        script.write("while (performance.now() < end);\n")
    monkeypatch.setattr(first_paint.paths, "project", tmp_path.joinpath)
    started = time.perf_counter()
    # a thread of its own: a browser of other tests may be at work in this one
    with ThreadPoolExecutor(1) as thread:
        found = thread.submit(first_paint.measure, 1).result()
    whole = 1000 * (time.perf_counter() - started)
    assert found["pages"] == 2
    assert 0 < found["front page, first paint, ms"] < whole
    late = found["slowest page, first paint, ms"]
    assert 400 <= late < whole
    assert late <= found["slowest page, all loaded, ms"] + 50


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(first_paint.paths, "project", tmp_path.joinpath)
    monkeypatch.setattr(chromium, "PROGRAM", "a browser")
    assert first_paint.measure(1) == {"front page": "no book was built"}
    monkeypatch.setattr(chromium, "PROGRAM", None)
    assert first_paint.measure(1) == {"front page": "no Chromium found"}
