"""Notebooks: stripped, explained, parameterised, prose rather than code; they
save in one way, end in what they found, and they ran.
"""

import ast
import builtins
import contextlib
import io
import json
import re
import sys
from pathlib import Path

import nbformat
import pytest

from mmssl.ledger.sidecars import read_sidecar

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "notebooks"))

import execute  # noqa: E402
import pages  # noqa: E402

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
SMOKE = ROOT / "data" / "executed" / "smoke"
LAST_SECTION = "What this page found"
EXERCISES = "Exercises"
WIDTH = 79  # the book's column shows about 75 characters
FEWEST_WORDS = 300
BY_HAND = re.compile(
    r"atomic\.file|write_sidecar|\.(?:to_csv|savefig)\(|write_map\("
)
"""Ways of saving around `mmssl.ledger.Provenance`."""

every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def sections(notebook):
    """Return the headings of the second level, in order.

    A page may print its last section with numbers in it, so headings count in
    code cells too.
    """
    headings = []
    for cell in notebook.cells:
        headings += re.findall(r"(?:^|\")## ([\w ]+)", cell.source, re.M)
    return headings


def too_wide(source):
    """Return the lines of code that the book would cut."""
    return [line for line in source.splitlines() if len(line) > WIDTH]


def definitions(source):
    """Return the names of functions and classes that a source defines."""
    kinds = ast.FunctionDef | ast.ClassDef
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, kinds):
            names.append(node.name)
    return names


def used_before_set(sources):
    """Return the names that a cell reads before it or an earlier one sets
    them.
    """
    known = {*dir(builtins), "get_ipython", "display"}
    unknown = []
    for source in sources:
        made = set()
        read = []
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                read.append(node.id)
            elif isinstance(node, ast.Name):
                made.add(node.id)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                for alias in node.names:
                    made.add((alias.asname or alias.name).split(".")[0])
            elif isinstance(node, ast.arg):
                made.add(node.arg)
        known |= made
        unknown += [name for name in read if name not in known]
    return unknown


def exercises(cells):
    """Return the cells of a page's exercises, and those of their
    solutions.
    """
    questions, solutions = [], []
    for cell in cells:
        if re.match(r"\*\*\d+\.\*\* ", cell.source):
            questions.append(cell)
        elif "solution" in cell.metadata.get("tags", ()):
            solutions.append(cell)
    return questions, solutions


def run_alone(source):
    """Return what a cell shows when nothing ran before it."""
    lines = ast.parse(source).body
    last = lines.pop() if isinstance(lines[-1], ast.Expr) else None
    names = {}
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(compile(ast.Module(lines, []), "solution", "exec"), names)
        value = None
        if last is not None:
            code = compile(ast.Expression(last.value), "solution", "eval")
            value = eval(code, names)
    return shown.getvalue() or value


def test_all_chapters_are_there():
    names = [path.stem for path in NOTEBOOKS]
    assert names == [
        "01_cohort",
        "02_preprocessing",
        "03_pretraining",
        "04_linear_evaluation",
        "05_similarity",
        "06_saliency",
        "07_group_differences",
        "08_robustness",
        "09_natural_images",
        "10_online_clustering",
        "11_preservational_learning",
        "12_claims",
        "13_calibration_and_confounds",
        "14_sanity_checks",
        "15_dataset",
        "16_scale",
        "17_your_own_parts",
    ]


def test_the_contents_are_in_the_book_s_order_and_say_what_each_needs():
    text = (ROOT / "notebooks" / "README.md").read_text()
    listed = re.findall(
        r"^\| \[\d\d\]\((\w+)\.ipynb\).*\| ([\w ]*) ?\|$", text, re.M
    )
    toc = (ROOT / "book" / "_toc.yml").read_text()
    shown = re.findall(r"executed/demo/(\w+)", toc)
    assert [name for name, _ in listed] == shown
    standing = pages.read_pages(ROOT / "notebooks")
    for name, needs in listed:
        after = [x.replace("*", "all others") for x in standing[name].after]
        after = [x[:2] if x[0].isdigit() else x for x in after]
        assert needs.strip() == ", ".join(after), name


def test_each_says_where_it_stands():
    standing = pages.read_pages(ROOT / "notebooks")
    assert standing["12_claims"].after == ("*",)
    assert standing["14_sanity_checks"].after == ("07_group_differences",)


@every
def test_committed_stripped_and_valid(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None
    assert notebook.metadata["kernelspec"]["name"] == "python3"


@every
def test_parameters_are_literal_typed_and_explained(path):
    parameters = execute.read_parameters(path)
    assert parameters["edition"].default == "smoke"
    for parameter in parameters.values():
        assert not str(parameter.default).startswith(("/", "~")), parameter


@every
def test_it_is_a_text_with_little_code(path):
    assert definitions("\n".join(execute.code_of(path))) == []
    prose = []
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "markdown":
            prose.append(cell.source)
    assert prose[0].startswith("# ")
    assert len(" ".join(prose).split()) >= FEWEST_WORDS


@every
def test_its_code_fits_the_page(path):
    assert too_wide("\n".join(execute.code_of(path))) == []


@every
def test_it_saves_in_one_way(path):
    assert BY_HAND.findall("\n".join(execute.code_of(path))) == []


@every
def test_it_ends_in_what_it_found(path):
    found, exercises = sections(nbformat.read(path, 4))[-2:]
    assert (found, exercises) == (LAST_SECTION, EXERCISES)


@every
def test_its_exercises_have_solutions_that_run(path):
    """Each stands by itself, whatever the page computed, is folded, and
    shows something.
    """
    cells = nbformat.read(path, as_version=4).cells
    questions, solutions = exercises(cells)
    assert len(questions) == len(solutions) >= 2
    for number, cell in enumerate(solutions, start=1):
        assert cell.metadata.jupyter.source_hidden
        assert cell.source.startswith(f"# solution {number}\n")
        assert run_alone(cell.source), f"solution {number} shows nothing"


@every
def test_it_ran_on_its_defaults(path):
    page = SMOKE / path.name
    if not page.exists():
        pytest.skip("the small chain has not been run: make smoke")
    record = read_sidecar(page)
    defaults = {}
    for name, parameter in execute.read_parameters(path).items():
        defaults[name] = parameter.default
    assert record["parameters"] == defaults
    for cell in json.loads(page.read_text())["cells"]:
        if cell["cell_type"] == "code" and cell["source"]:
            assert cell["execution_count"]


@every
def test_no_cell_waits_for_the_one_below(path):
    assert used_before_set(execute.code_of(path)) == []


def test_each_of_these_checks_can_fail():
    cell = nbformat.v4.new_markdown_cell
    limits = cell("## Limits\n\nMany.")
    result = cell(f"## {LAST_SECTION}\n\nOne thing.")
    printed = nbformat.v4.new_code_cell(f'Markdown(f"## {LAST_SECTION}")')
    for last in (result, printed):
        notebook = nbformat.v4.new_notebook(cells=[limits, last])
        assert sections(notebook) == ["Limits", LAST_SECTION]
    turned = nbformat.v4.new_notebook(cells=[result, limits])
    assert sections(turned)[-1] == "Limits"
    question = cell("**1.** Why?")
    tagged = {"tags": ["solution"]}
    solution = nbformat.v4.new_code_cell("1 + 1", metadata=tagged)
    assert exercises([question, limits, solution]) == ([question], [solution])
    assert run_alone("x = 1\nprint(x)") == "1\n" and run_alone("1 + 1") == 2
    assert not run_alone("x = 1")
    with pytest.raises(NameError):
        run_alone("print(of_the_page)")
    assert too_wide("x" * 80) and not too_wide("x" * 79)
    assert definitions("def f(): ...\nclass A: ...") == ["f", "A"]
    assert BY_HAND.findall('table.to_csv("a")\nfigure.savefig(file)')
    assert not BY_HAND.findall("made.save(folder, '', tables)")
    assert used_before_set(["a = 1", "print(a)"]) == []
    assert used_before_set(["print(a)", "a = 1"]) == ["a"]
