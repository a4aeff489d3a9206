"""How an executed page is shown as a chapter of the book."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from book import chapters

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "data" / "executed" / "smoke").glob("[0-9]*.ipynb"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
MOST_CODE = 40  # lines that one chapter shows unasked

PNG = "iVBORw0KGgo="
TITLE = "# Title\n\n*Question?*\n\nText."
FIGURE = {"caption": "What is seen.", "alt": "A line that rises."}


def _output(**data):
    kinds = {name.replace("_", "/"): text for name, text in data.items()}
    return nbformat.v4.new_output("display_data", data=kinds)


def _page(*outputs, tags=(), figures=None, last="It was found."):
    """A page of a title, a cell with outputs, and what it found."""
    about = {"tags": [*tags]}
    if figures is not None:
        about["figures"] = figures
    found = _output(text_markdown=last) if last else _output(text_plain="1")
    cells = [
        nbformat.v4.new_markdown_cell(TITLE),
        nbformat.v4.new_code_cell("f()", metadata=about, outputs=[*outputs]),
        nbformat.v4.new_code_cell("Markdown(found)", outputs=[found]),
    ]
    return nbformat.v4.new_notebook(cells=cells)


def _shown(*outputs, numbers=(), **page):
    shown = chapters.chapter(_page(*outputs, **page), "demo", dict(numbers))
    nbformat.validate(nbformat.from_dict(shown))
    return shown["cells"]


def _tags(cell):
    return cell["metadata"].get("tags", [])


def _table(rows):
    body = "<tr><td>1</td></tr>" * rows
    head = "<thead><tr><th>a</th></tr></thead>"
    return f'<table class="dataframe">{head}<tbody>{body}</tbody></table>'


def test_what_was_found_stands_at_both_ends_and_names_the_edition():
    title, opening, rest, code, closing = _shown()
    assert title["source"] == "# Title\n\n*Question?*"
    assert rest["source"] == "Text."
    for cell in (opening, closing):
        assert chapters.FOUND in _tags(cell)
        (output,) = cell["outputs"]
        assert output["data"] == {
            "text/markdown": "**In short** (demo edition). It was found."
        }
    assert "remove-input" in _tags(opening)
    for cell in (code, closing):
        assert "hide-input" in _tags(cell)
        prompt = cell["metadata"]["mystnb"]["code_prompt_show"]
        assert prompt == "Show the code"


def test_exercises_stand_behind_it_and_their_solutions_are_folded():
    page = _page()
    solution = nbformat.v4.new_code_cell("1", metadata={"tags": ["solution"]})
    shown = nbformat.v4.new_output(
        "display_data", data={"text/markdown": "A solution."}
    )
    solution.outputs = [shown]
    page["cells"] += [
        nbformat.v4.new_markdown_cell("## Exercises\n\nTry."),
        nbformat.v4.new_markdown_cell("**1.** Why?"),
        solution,
    ]
    cells = chapters.chapter(page, "demo", {})["cells"]
    found = [chapters.FOUND in _tags(cell) for cell in cells]
    assert found == [False, True, False, False, True, False, False, False]
    text = cells[4]["outputs"][0]["data"]["text/markdown"]
    assert text.endswith("It was found.")
    assert _tags(cells[-1]) == ["solution", "hide-cell"]
    prompts = cells[-1]["metadata"]["mystnb"]
    assert prompts["code_prompt_show"] == "Show the solution"


def test_a_page_that_ends_in_no_text_has_no_summary():
    title, _, last = _shown(last=None)
    assert title["source"] == TITLE
    assert chapters.FOUND not in _tags(last)


def test_code_that_teaches_is_shown_and_all_other_folded():
    assert "hide-input" in _tags(_shown()[3])
    assert "hide-input" not in _tags(_shown(tags=["teaches"])[3])
    shown = []
    for tag in ("parameters", "injected-parameters"):
        prompts = _shown(tags=[tag])[3]["metadata"]["mystnb"]
        shown.append(prompts["code_prompt_show"])
    assert shown == [
        "Show the parameters",
        "Show the parameters of this edition",
    ]


def test_a_figure_has_its_caption_and_its_alternative_text():
    image = _output(image_png=PNG)
    text = _output(text_plain="before")
    other = {"caption": "Another.", "alt": "A dot."}
    cells = _shown(text, image, image, image, figures=[FIGURE, other])[3:-1]
    assert [len(cell["outputs"]) for cell in cells] == [1, 1, 1, 1]
    assert _tags(cells[0]) == ["hide-input"]
    options = [cell["metadata"]["mystnb"] for cell in cells[1:]]
    assert options[0] == {
        "image": {"alt": FIGURE["alt"]},
        "figure": {"caption": FIGURE["caption"]},
    }
    # the last is said of all that follow
    assert options[1] == options[2]
    assert options[1]["image"]["alt"] == other["alt"]


def test_a_caption_says_the_label_of_its_figure():
    images = []
    for label in ("group", "site"):
        images.append(_output(image_png=PNG))
        images[-1].metadata["label"] = label
    text = {"caption": "Coloured by {label}.", "alt": "A dot."}
    cells = _shown(*images, figures=[text])[4:-1]
    captions = []
    for cell in cells:
        captions.append(cell["metadata"]["mystnb"]["figure"]["caption"])
    assert captions == ["Coloured by group.", "Coloured by site."]


@pytest.mark.parametrize("figures", [None, [], [{"caption": "A."}]])
def test_a_figure_without_them_is_an_error(figures):
    with pytest.raises(chapters.ChapterError, match="a caption and an alt"):
        _shown(_output(image_png=PNG), figures=figures)


def test_a_long_table_is_folded_and_a_short_one_is_not():
    assert chapters.folded(_table(15)) == _table(15)
    folded = chapters.folded(_table(16))
    assert folded.startswith("<details") and "Table of 16 rows" in folded
    assert _table(16) in folded
    cell = _shown(_output(text_html=[_table(16)]))[3]
    assert "<details" in cell["outputs"][0]["data"]["text/html"]
    ledger = _table(16).replace("dataframe", "ledger")
    assert chapters.folded(ledger) == ledger


def test_progress_bars_are_left_out():
    bar = nbformat.v4.new_output("display_data", data={chapters.WIDGET: {}})
    assert _shown(bar)[3]["outputs"] == []


def test_a_link_says_the_number_of_its_chapter():
    numbers = {"05_similarity": 7}
    linked = chapters._numbered
    text = "the cohort of [05](05_similarity). [05](05_similarity) asks"
    assert linked(text, numbers) == (
        "the cohort of [chapter 7](05_similarity). "
        "[Chapter 7](05_similarity) asks"
    )
    assert linked("**Next:** [05](05_similarity)", numbers) == (
        "**Next:** [Chapter 7](05_similarity)"
    )
    assert linked("see [06](06_saliency)", numbers) == "see [06](06_saliency)"


def test_chapters_are_numbered_as_in_the_sidebar(tmp_path):
    toc = tmp_path / "_toc.yml"
    toc.write_text(
        "parts:\n- chapters:\n  - file: executed/demo/02_b\n"
        "  - file: about\n- chapters:\n  - file: executed/demo/01_a\n"
    )
    assert chapters._numbers(chapters._files(toc)) == {"02_b": 1, "01_a": 3}


@pytest.mark.parametrize(
    "page", [p.stem for p in sorted((ROOT / "notebooks").glob("*.ipynb"))]
)
def test_a_chapter_names_the_section_with_its_equations(page):
    file = ROOT / "notebooks" / f"{page}.ipynb"
    first = nbformat.read(file, 4).cells[0].source
    named = re.findall(r"\[(.*?)\]\(#(methods-[\w-]+)\)", first)
    methods = (ROOT / "book" / "methods.md").read_text(encoding="utf-8")
    assert named
    for heading, label in named:
        assert f"\n({label})=\n## {heading}\n" in methods


def test_the_front_page_links_every_chapter_in_order():
    text = (ROOT / "book" / "index.md").read_text(encoding="utf-8")
    linked = re.findall(r"^\d+\. \[.*?\]\((executed/demo/\w+)\)", text, re.M)
    files = chapters._files(ROOT / "book" / "_toc.yml")
    shown = [str(file) for file in files if file.parts[0] == "executed"]
    assert linked == shown


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_the_code_that_teaches_and_no_more(path):
    lines = 0
    for cell in nbformat.read(path, 4).cells:
        if chapters.TEACHES in _tags(cell):
            lines += len(cell.source.splitlines())
    assert 0 < lines <= MOST_CODE


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_figures_are_described_in_words(path):
    for cell in nbformat.read(path, 4).cells:
        for figure in cell.metadata.get("figures", ()):
            assert set(figure) == {"caption", "alt"}
            assert len(figure["alt"].split()) >= 8
            assert figure["caption"].endswith((".", "?"))
            # numbers are computed, or come from the figure itself
            assert not re.search(r"\d\.\d", figure["caption"])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_page_can_be_shown(path):
    page = json.loads(path.read_text(encoding="utf-8"))
    cells = chapters.chapter(page, "smoke", {})["cells"]
    assert sum(chapters.FOUND in _tags(cell) for cell in cells) == 2
