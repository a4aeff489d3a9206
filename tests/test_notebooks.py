"""Notebooks: stripped, explained, parameterised, prose rather than code, and
they ran.
"""

import ast
import json
import sys
from pathlib import Path

import nbformat
import pytest

from mmssl.ledger.sidecars import read_sidecar

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "notebooks"))

import execute  # noqa: E402

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
SMOKE = ROOT / "data" / "executed" / "smoke"
MOST_LINES = 120

every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_the_first_chapters_are_there():
    names = [
        "01_cohort",
        "02_preprocessing",
        "03_pretraining",
        "04_linear_evaluation",
    ]
    assert [path.stem for path in NOTEBOOKS][:4] == names


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
    source = "\n".join(execute.code_of(path))
    tree = ast.parse(source)
    found = [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.FunctionDef | ast.ClassDef)
    ]
    assert not found, "functions live in the package"
    lines = [
        x
        for x in source.splitlines()
        if x.strip() and not x.strip().startswith("#")
    ]
    assert len(lines) <= MOST_LINES
    prose = [
        c.source
        for c in nbformat.read(path, 4).cells
        if c.cell_type == "markdown"
    ]
    assert prose[0].startswith("# ") and len(" ".join(prose).split()) >= 300


@every
def test_it_ran_on_its_defaults(path):
    page = SMOKE / path.name
    if not page.exists():
        pytest.skip("the small chain has not been run: make smoke")
    record = read_sidecar(page)
    defaults = {
        name: p.default for name, p in execute.read_parameters(path).items()
    }
    assert record["parameters"] == defaults
    cells = json.loads(page.read_text())["cells"]
    assert all(
        c["execution_count"]
        for c in cells
        if c["cell_type"] == "code" and c["source"]
    )


@every
def test_no_cell_waits_for_the_one_below(path):
    """Every code cell parses alone and none reads a name that only a later
    cell sets.
    """
    known = set(dir(__builtins__)) | set(__builtins__)
    known |= {"get_ipython", "display"}
    for source in execute.code_of(path):
        tree = ast.parse(source)
        names = [n for n in ast.walk(tree) if isinstance(n, ast.Name)]
        made = {n.id for n in names if not isinstance(n.ctx, ast.Load)}
        imports = [
            n
            for n in ast.walk(tree)
            if isinstance(n, ast.Import | ast.ImportFrom)
        ]
        made |= {
            (a.asname or a.name).split(".")[0]
            for n in imports
            for a in n.names
        }
        made |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
        unknown = {n.id for n in names} - made - known
        assert not unknown, f"{unknown} used before they are set"
        known |= made
