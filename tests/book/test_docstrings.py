"""The package's docstrings become pages of the book."""

import importlib

from book import docstrings


def test_each_room_has_a_page_and_no_other_stays(tmp_path):
    package = tmp_path / "mmssl"
    for room in ("stats", "losses"):
        (package / room).mkdir(parents=True)
        (package / room / "__init__.py").touch()
    folder = tmp_path / "api"
    folder.mkdir()
    (folder / "gone.md").touch()
    files = docstrings.write_pages(folder, package)
    assert [file.name for file in files] == ["losses.md", "stats.md"]
    assert sorted(folder.glob("*")) == sorted(files)
    assert ".. automodule:: mmssl.stats" in files[1].read_text()


def test_each_room_says_what_it_offers():
    for file in docstrings.PACKAGE.glob("*/__init__.py"):
        room = importlib.import_module(f"mmssl.{file.parent.name}")
        assert room.__doc__ and room.__all__


def test_a_star_is_a_star_but_in_code():
    lines = ["(B, *spatial), `*a`, ``**b|`` and |c|"]
    assert docstrings.as_restructured("function", lines) == [
        r"(B, \*spatial), `*a`, ``**b|`` and \|c\|"
    ]


def test_an_equation_keeps_its_stars_and_bars():
    lines = [
        "A |c| of :math:`a^* |b",
        "c|` is",
        "",
        "    .. math:: |d|^*",
        "",
        "        = |e|",
        "    with |f|",
    ]
    found = docstrings.as_restructured("function", lines)
    assert found[0] == r"A \|c\| of :math:`a^* |b"
    assert found[1:6] == lines[1:6]
    assert found[6] == r"    with \|f\|"


def test_fields_without_a_heading_are_fields():
    lines = ["A gap.", "", "first, second : AUC of", "    each.", "p : of 0."]
    assert docstrings.as_restructured("class", lines) == [
        "A gap.",
        "",
        ":ivar first/second: AUC of",
        "    each.",
        ":ivar p: of 0.",
    ]
    assert docstrings.as_restructured("function", lines) == lines
    headed = ["A class.", "Attributes", "----------", "p : float"]
    assert docstrings.as_restructured("class", headed) == headed
