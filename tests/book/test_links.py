"""What leads nowhere or away from a built site is found."""

import pytest
from executed_page import build

links = build.links

GOOD = """<link rel="stylesheet" href="_static/style.css">
<link rel="next" href="http://example.org/next">
<h1 id="top">Title</h1><a href="#top">up</a><a href="b/c.html#here">c</a>
<a href="http://example.org">elsewhere</a><a href="b/">b</a>
<img src="data:image/png;base64,AAAA"><img src="_static/a%20b.png">"""


@pytest.fixture
def site(tmp_path):
    """Give a site of three pages without a fault."""
    for folder in ("_static", "b"):
        (tmp_path / folder).mkdir()
    (tmp_path / "index.html").write_text(GOOD)
    (tmp_path / "b" / "c.html").write_text('<h2 id="here">Here</h2>')
    (tmp_path / "b" / "index.html").write_text('<a href="../#top">up</a>')
    (tmp_path / "_static" / "a b.png").write_bytes(b"")
    style = "a {background: url(data:image/png;base64,AAAA)}"
    (tmp_path / "_static" / "style.css").write_text(style)
    (tmp_path / "_static" / "part.html").write_text('<a href="none">x</a>')
    return tmp_path


def test_a_good_site_has_none(site):
    assert links.faults(site) == []


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ('<a href="none.html">x</a>', "its link none.html leads to no file"),
        ('<img src="none.png">', "its link none.png leads to no file"),
        (
            '<a href="b/c.html#there">x</a>',
            "its link b/c.html#there leads to no place on that page",
        ),
        ('<a href="#no">x</a>', "its link #no leads to no place on that page"),
        (
            '<script src="https://example.org/a.js"></script>',
            "it fetches https://example.org/a.js from another site",
        ),
        (
            '<img src="//example.org/a.png">',
            "it fetches //example.org/a.png from another site",
        ),
        (
            '<link rel="preload" href="http://example.org/f.woff">',
            "it fetches http://example.org/f.woff from another site",
        ),
    ],
)
def test_a_fault_is_found(site, tag, reason):
    page = site / "b" / "d.html"
    page.write_text(tag.replace("b/c.html", "c.html"))
    reason = reason.replace("b/c.html", "c.html")
    assert links.faults(site) == [f"b/d.html: {reason}"]


@pytest.mark.parametrize("address", ["#executed/demo/09_more", "#09_more"])
def test_a_link_to_a_chapter_left_out_is_none(site, address):
    link = f'<a href="{address}">x</a>'
    (site / "b" / "d.html").write_text(link)
    assert len(links.faults(site)) == 1
    assert links.faults(site, ["09_more"]) == []


def test_a_style_sheet_that_fetches_from_elsewhere_is_found(site):
    (site / "_static" / "style.css").write_text(
        "@import url('https://example.org/a.css');"
    )
    assert links.faults(site) == [
        "_static/style.css: it fetches https://example.org/a.css from another "
        "site"
    ]


def test_a_chapter_that_was_not_built_is_found(site):
    assert links.unbuilt(site, ["index"]) == []
    assert links.unbuilt(site, ["index", "b/c", "b/e"]) == [
        "b/c: its built page has no heading",
        "b/e: it is not in the built book",
    ]


def test_a_place_of_every_linux_is_no_path_of_this_machine():
    nobody = build.identifiers.Identifiers()
    shown = build.private_text.shown
    assert shown("read from /proc/self/status", nobody) == []
    assert shown("read from /proc/12/status", nobody) != []
