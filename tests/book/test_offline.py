"""What every build of the book leaves out, mends and brings."""

from types import SimpleNamespace

import pytest
import yaml
from executed_page import ROOT, make_page
from sphinx.errors import ExtensionError

from book import brain_maps, offline
from mmssl.ledger.artefacts import write_map
from mmssl.plotting.viewer import BrainViewer, ViewerMap


def test_the_book_takes_part():
    settings = yaml.safe_load((ROOT / "book" / "_config.yml").read_text())
    assert "book.offline" in settings["sphinx"]["extra_extensions"]
    connected = {}
    app = SimpleNamespace(
        connect=lambda event, function, **_: connected.update(
            {event: function}
        )
    )
    offline.setup(app)
    assert set(connected) == {"html-page-context", "build-finished"}


def test_scripts_of_kernels_are_left_out_and_references_mended():
    theirs = SimpleNamespace(attributes={"body": 'const THEBE_JS_URL = "x"'})
    own = SimpleNamespace(attributes={"body": "const a = 1"})
    context = {
        "script_files": ["_static/sphinx-thebe.js", theirs, own, "a.js"],
        "body": '<div role="list" class="citation-list"><p>A</p></div>',
    }
    offline._mend(None, "page", "page.html", context, None)
    assert context["script_files"] == [own, "a.js"]
    assert context["body"] == '<div class="citation-list"><p>A</p></div>'


@pytest.fixture
def app(tmp_path, rng, affine, monkeypatch):
    """Give a build of a book of one text and one page, which shows a map."""
    page = make_page(tmp_path)
    folder = tmp_path / "results" / "maps"
    shown = ViewerMap("a.nii.gz", (0.0, 0.0, 0.0), 1.0, "")
    viewer = BrainViewer({"a": {"T1": shown}}, "RBC", symmetric=True)
    write_map(folder / "a.nii.gz", rng.random((7, 8, 9)), affine)
    cell = {"outputs": [{"data": {"text/html": viewer._repr_html_()}}]}
    found = brain_maps.shown([cell], folder.parent)
    assert found == ([folder / "a.nii.gz"], [])
    monkeypatch.setattr(
        offline.brain_maps,
        "of_page",
        lambda file: found if file == page else None,
    )
    site = tmp_path / "site"
    site.mkdir()
    return SimpleNamespace(
        srcdir=tmp_path,
        outdir=site,
        builder=SimpleNamespace(format="html"),
        env=SimpleNamespace(found_docs={"index", "executed/demo/01_cohort"}),
    )


def test_the_maps_of_pages_come_to_the_site(app):
    offline._publish(app, None)
    assert (app.outdir / "maps" / "a.nii.gz").is_file()


def test_nothing_is_brought_to_a_failed_build_or_to_print(app):
    offline._publish(app, ValueError("no"))
    app.builder.format = "latex"
    offline._publish(app, None)
    assert list(app.outdir.iterdir()) == []


def test_maps_that_cannot_be_brought_fail_the_build(app, monkeypatch):
    reasons = ["a: two pages show it, with other values"]
    monkeypatch.setattr(offline.brain_maps, "publish", lambda *_: reasons)
    with pytest.raises(ExtensionError, match="a: two pages show it"):
        offline._publish(app, None)
