"""Names are shown and never run: whatever a cohort, class or model is called,
a page holds it as text.
"""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml
from markdown_it import MarkdownIt
from matplotlib import mathtext
from matplotlib.figure import Figure
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from nbconvert import HTMLExporter
from nbconvert.filters.markdown import markdown2html
from small_cohort import rehash

from mmssl import ledger, plotting
from mmssl.cohorts import cohort

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / room) for room in ("book", "notebooks", "tests")]

import build  # noqa: E402
import execute  # noqa: E402
from page_in_process import (  # noqa: E402
    LEAST,
    empty_project,
    run_page,
    text_of,
)
from test_modalities import (  # noqa: E402
    MODALITIES,
    parameters_of,
    write_cohort,
)

NAMES = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "&lt;script&gt;",
    "[x](javascript:alert(1))",
    "![x](x)",
    "<javascript:alert(1)>",
    r"$\frac$",
    r"$\href{javascript:alert(1)}{x}$",
    r"\(x\)",
    r"\[x\]",
    "$$x$$",
    "`x` ``y``",
    "a | b",
    "*a* _b_ **c** ~~d~~",
    "a\n\n# b\n\n- c",
    "a\r\n<hr>",
    "# a",
    "- a",
    "+ a",
    "1. a",
    "> a",
    ":::{raw} html",
    "```{raw} html",
    "{raw}`x`",
    "---",
    "    a",
    "x\\",
    "x <!-- y",
    "<![CDATA[x]]>",
]
PLACES = ["{}", "cohort *{}* (a)", "x **{}**: y", "- {}: y", "a, {}, b"]


class Reader(HTMLParser):
    """The tags and the text of HTML."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, tuple(attributes)))

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        self.tags.append(("comment", ()))

    def unknown_decl(self, data):
        self.tags.append(("declaration", ()))


def _myst(text):
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    for plugin in (
        dollarmath_plugin,
        amsmath_plugin,
        colon_fence_plugin,
        deflist_plugin,
    ):
        reader.use(plugin)
    return reader.render(text)


def _words(text):
    return " ".join(text.split())


@pytest.mark.parametrize("reader", [_myst, markdown2html])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", NAMES)
def test_markdown_shows_a_name_as_it_stands(name, place, reader):
    shown = Reader(reader(place.format(ledger.escaped(name))))
    usual = Reader(reader(place.format("name")))
    tags = [tag for tag in shown.tags if tag != ("span", ())]
    assert tags == usual.tags
    assert _words(shown.text) == _words(usual.text).replace(
        "name", _words(name)
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_table_shows_a_name_as_it_stands(name):
    table = pd.DataFrame(
        {name: [1.5], "b": [name], "c": pd.Categorical([name])},
        index=pd.MultiIndex.from_tuples([(name, "x")], names=[name, "y"]),
    )
    table.columns.name = name
    usual = table.map(lambda value: "z" if value == name else value)
    usual = usual.rename(index={name: "z"}, columns={name: "z"})
    usual = usual.rename_axis(index=["z", "y"], columns="z")
    pages = []
    for styler in (ledger.styled(table), usual.style):
        styler.set_uuid("t").format(precision=2, na_rep="-")
        pages.append(Reader(styler.to_html()))
    shown, expected = pages
    assert [t for t in shown.tags if t != ("span", ())] == expected.tags
    assert shown.text.count(name.replace("\r", " ").split("\n")[0]) >= 6


def test_an_ordinary_table_is_what_pandas_makes_of_it():
    table = pd.DataFrame(
        {
            "model": ["CR-XX-CC", "PCA-64", "small-CNN"],
            "AUC": ["0.71 [0.60, 0.82]", "–", None],
            "n": pd.array([1, None, 3], dtype="Int64"),
            "p": [0.01, float("nan"), 1.0],
            "good": [True, False, True],
            "group": pd.Categorical(["a", "b", "a"]),
        }
    )
    pages = []
    for styler in (ledger.styled(table), table.style):
        styler.set_uuid("t").hide(axis="index")
        pages.append(styler.format(precision=2, na_rep="–").to_html())
    assert pages[0] == pages[1]
    for name in ("fALFF", "T1", "CR-XX-CC", "random encoder, fold 1", "a (b)"):
        assert ledger.escaped(name) == name


@pytest.mark.parametrize("name", ["\u202eabc", "a\x00b", "a\x1bb", "a\ud800b"])
def test_a_hidden_character_is_made_visible(name):
    # a column of text takes no half of a pair of code units
    table = pd.DataFrame([name], dtype=object)
    for shown in (ledger.escaped(name), ledger.styled(table)):
        if not isinstance(shown, str):
            shown = shown.to_html()
        shown.encode()
        assert "\ufffd" in shown and not {*name} & {*"\u202e\x00\x1b"} & {
            *shown
        }


@pytest.fixture
def no_formula(monkeypatch):
    """Fail where matplotlib takes a text for a formula."""

    def parse(_, text, *rest, **options):
        raise AssertionError(f"a formula: {text}")

    monkeypatch.setattr(mathtext.MathTextParser, "parse", parse)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_shows_a_name_as_it_stands(name, no_formula, tmp_path):
    figure, ((axis, other, right),) = plotting.canvas(1, 3)
    axis.set(title=name, xlabel=name, ylabel=name)
    axis.plot([0, 1], [0, 1], label=name)
    axis.text(0, 0, name)
    axis.legend()
    figure.legend(loc="outside upper right")
    figure.suptitle(name)
    plotting.look.name_lines(other, [name, "b"])
    other.set_xticks([0, 1], [name, "b"])
    right.bar([name, "b"], [1, 2])
    figure.savefig(tmp_path / "figure.png")
    figure.savefig(tmp_path / "tight.png", bbox_inches="tight")


def test_a_formula_of_the_house_is_still_one(no_formula, tmp_path):
    figure, ((axis,),) = plotting.canvas()
    axis.text(0, 0, "$x$", gid=plotting.look.FORMULA)
    with pytest.raises(AssertionError, match="a formula"):
        figure.savefig(tmp_path / "figure.png")
    figure, ((axis,),) = plotting.canvas()
    axis.semilogy([1, 2], [1e-3, 1e3])
    with pytest.raises(AssertionError, match="a formula"):
        figure.savefig(tmp_path / "figure.png")


@pytest.mark.parametrize("name", [*NAMES, "http://example.org/x.html"])
def test_the_banner_of_the_book_is_text(name, tmp_path, monkeypatch):
    for file in ("_config.yml", "_toc.yml"):
        (tmp_path / file).write_text((ROOT / "book" / file).read_text())
    monkeypatch.setattr(build, "BOOK", tmp_path)
    edition = {"edition": "tiny", "banner": name, "notebooks": {}}
    config, _ = build._settings(edition, tmp_path)
    sphinx = yaml.safe_load(config.read_text())["sphinx"]["config"]
    banner = sphinx["html_theme_options"]["announcement"]
    # the theme fetches what begins with http, and shows it unread
    assert not banner.startswith("http")
    shown = Reader(banner)
    assert set(shown.tags) == {("span", ())}
    assert _words(shown.text) == _words(name)


@pytest.mark.parametrize(
    "name",
    [
        "../T1",
        "a/b",
        "/etc/x",
        "..",
        ".",
        "",
        ".x",
        "-x",
        "a\\b",
        "a\nb",
        "\0",
    ],
)
def test_a_modality_that_is_no_file_name_is_refused(name, tmp_path):
    folder = tmp_path / "cohort"
    with pytest.raises(ValueError, match="modality .* found, expected a name"):
        cohort.write(folder, volumes={name: []}, name="x", kind="x")
    assert list(tmp_path.iterdir()) == []
    write_cohort(folder, 1)
    fields = json.loads((folder / "cohort.json").read_text())
    fields["channels"] = {name: 1}
    (folder / "cohort.json").write_text(json.dumps(fields))
    with pytest.raises(ValueError, match=r"cohort\.json: modality .* found"):
        cohort.load(folder)


MALICE = "<img src=x onerror=alert(1)> $\\frac$ `a` *b* | & <script>"
MODALITY = "<img src=x onerror=alert(1)> $a_$ *b*"


def _hostile_cohort(folder):
    """Write a cohort in which all that may be any text is hostile."""
    write_cohort(folder, 2)
    file = folder / "cohort.json"
    fields = json.loads(file.read_text())
    fields |= {"name": f"cohort {MALICE}", "kind": f"kind {MALICE}"}
    task = fields["tasks"]["diagnosis"]
    task["classes"] = [f"{name} {MALICE}" for name in task["classes"]]
    for key in ("channels", "hashes"):
        renamed = {}
        for name, value in fields[key].items():
            for modality in MODALITIES:
                name = name.replace(modality, f"{modality} {MODALITY}")
            renamed[name] = value
        fields[key] = renamed
    file.write_text(json.dumps(fields))
    for modality in MODALITIES[:2]:
        old = folder / f"{modality}.npy"
        old.rename(folder / f"{modality} {MODALITY}.npy")
    table = folder / "participants.tsv"
    people = pd.read_csv(table, sep="\t", dtype=str)
    for column in ("group", "site", "sex"):
        people[column] += f" {MALICE}"
    people.to_csv(table, sep="\t", index=False)
    rehash(folder)


def _raw_markup(text):
    """Return the tags of a page that only a name can have brought."""
    brought = []
    for tag, attributes in Reader(text).tags:
        is_image = tag == "img" and ("src", "x") in attributes
        handled = [name for name, _ in attributes if name.startswith("on")]
        if is_image or "onerror" in handled:
            brought.append((tag, attributes))
    return brought


def test_raw_markup_is_found():
    assert _raw_markup(f"<p>{MALICE}</p>") and not _raw_markup("<p>x</p>")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_page_on_people_shows_hostile_names(tmp_path, monkeypatch):
    shown = empty_project(tmp_path, monkeypatch)
    _hostile_cohort(tmp_path / "cohort")
    for name in LEAST:
        values = parameters_of(name, 2)
        if name == "03_pretraining":
            values["run_dir"] = f"runs/{MALICE}-fold0-seed0"
        if name == "06_saliency":
            values["objective"] = MALICE
        if name == "07_group_differences":
            values["objectives"] = MALICE
        run_page(name, {**values, "edition": "smoke"}, shown)
    assert len(shown) > 40
    seen = 0
    for thing in shown:
        if isinstance(thing, Figure):
            # drawn, so that no name in it was read as a formula
            thing.savefig(tmp_path / "figure.png")
            continue
        text = text_of(thing)
        if hasattr(thing, "_repr_markdown_"):
            text = _myst(text)
        elif not hasattr(thing, "_repr_html_"):
            continue
        assert _raw_markup(text) == [], text
        seen += "onerror" in text
    assert seen > 15


@pytest.mark.slow
def test_an_executed_page_with_hostile_names_has_no_tag_of_theirs(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mmssl"\n')
    _hostile_cohort(tmp_path / "cohort")
    source = ROOT / "notebooks" / "03_pretraining.ipynb"
    (tmp_path / "03.ipynb").write_bytes(source.read_bytes())
    values = parameters_of("03_pretraining", 2)
    values["run_dir"] = f"runs/{MALICE}-fold0-seed0"
    command = [sys.executable, ROOT / "notebooks" / "execute.py"]
    command += [tmp_path / "03.ipynb", tmp_path / "o.ipynb"]
    for name, value in values.items():
        kind = "-r" if isinstance(value, str) else "-p"
        command += [kind, name, str(value)]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    notebook = nbformat.read(tmp_path / "o.ipynb", as_version=4)
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert _raw_markup(page) == []
    assert "&#60;img src=x" in page or "&lt;img src=x" in page


PAGES = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_shows_no_table_unescaped(page):
    code = "\n".join(execute.code_of(page))
    # the claims ledger's own table escapes what it holds
    found = re.findall(r"\.style\b|to_html|\bHTML\((?!page\.)", code)
    assert found == []
