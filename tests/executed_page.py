"""A page of the book that is fit to publish, for tests that spoil it."""

import importlib.util
import json
from pathlib import Path

import nbformat

from mmssl.ledger.sidecars import sidecar_of, write_sidecar

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location(
    "book_build", ROOT / "book" / "build.py"
)
build = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(build)

HOME = "/" + "home"  # no path of anybody's machine stands in this repository

MODULES = ("mmssl.ledger.paths",)

DEFAULTS = """\
edition: str = "smoke"  # which edition this page belongs to
cohort: str = "cohort"  # folder of the cohort
output: str = "nothing"  # folder the tables go to
t1w: str = None  # T1, NIfTI
subjects: int = 60  # people
seed: int = 0  # of what is drawn
"""


def make_page(folder):
    """Make a project in an empty folder; return its executed page."""
    (folder / "pyproject.toml").write_text('[project]\nname = "mmssl"\n')
    (folder / "cohort").mkdir()
    (folder / "cohort" / "T1.npy").write_text("volumes")
    (folder / "notebooks").mkdir()
    cells = [
        nbformat.v4.new_markdown_cell("# Title"),
        nbformat.v4.new_code_cell(DEFAULTS, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("from mmssl.ledger import paths\n1 + 1"),
    ]
    notebook = nbformat.v4.new_notebook(
        cells=cells, metadata={"page": {"after": []}}
    )
    nbformat.write(notebook, folder / "notebooks" / "01_cohort.ipynb")
    page = folder / "executed" / "demo" / "01_cohort.ipynb"
    page.parent.mkdir(parents=True)
    execute(page, subjects=400, output="results")
    return page


def source_of(page):
    """Return the notebook that a page is made from."""
    return page.parents[2] / "notebooks" / page.name


def execute(page, **values):
    """Write a page as papermill does, and its record."""
    notebook = nbformat.read(source_of(page), as_version=4)
    values = {"edition": "demo", **values}
    lines = [f"{name} = {value!r}" for name, value in values.items()]
    injected = nbformat.v4.new_code_cell(
        "\n".join(["# Parameters", *lines]),
        metadata={"tags": ["injected-parameters"]},
    )
    notebook.cells.insert(2, injected)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, start=1):
        cell.execution_count = count
    nbformat.write(notebook, page)
    record(page, **values)


def record(page, **values):
    """Write the sidecar of a page."""
    root = page.parents[2]
    parameters = {
        "edition": "demo",
        "cohort": "cohort",
        "output": "results",
        "t1w": None,
        "subjects": 400,
        "seed": 0,
        **values,
    }
    inputs = {"notebook": source_of(page), "cohort": root / "cohort"}
    facts = {"edition": parameters["edition"]}
    write_sidecar(page, inputs, parameters, 0, MODULES, facts)


def edit(page, change, place=-1):
    """Change a cell of a page and of its notebook and record it anew, so that
    only the change itself can be a reason.
    """
    executed = nbformat.read(page, as_version=4)
    cell = executed.cells[place]
    change(cell)
    nbformat.write(executed, page)
    notebook = nbformat.read(source_of(page), as_version=4)
    notebook.cells[place].source = cell.source
    nbformat.write(notebook, source_of(page))
    record(page)


def forge(file, **entries):
    """Change entries of a sidecar; None takes one away."""
    content = json.loads(sidecar_of(file).read_text())
    for name, value in entries.items():
        content[name] = value
        if value is None:
            del content[name]
    sidecar_of(file).write_text(json.dumps(content))
