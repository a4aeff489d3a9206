"""Whether an executed page is what its record says: made from its notebook,
with these parameters, modules and inputs.

A record (the sidecar that `notebooks/execute.py` writes) is not believed: what
it must say is found anew in the notebook and in the page, and compared.
"""

import ast
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat

from mmssl import ledger
from mmssl.ledger import paths, places

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "notebooks"))

import execute  # noqa: E402
import pages  # noqa: E402

INJECTED = "injected-parameters"
"""How papermill tags the cell that it adds."""

RESULTS = "output"
"""The parameter of the folder that pages share for what they leave."""


def read_notebook(file: Path) -> nbformat.NotebookNode:
    """Return a notebook of format 4.

    Raises
    ------
    ValueError
        When it is none, naming the file.
    """
    try:
        notebook = nbformat.read(file, as_version=4)
        nbformat.validate(notebook)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        nbformat.ValidationError,
    ) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{file.name}: not a notebook of format 4 ({reason})"
        ) from error
    return notebook


def faults(page: Path, record: Mapping[str, Any]) -> list[str]:
    """Say in what a page, its notebook and its record differ.

    Parameters
    ----------
    page : Path
        Executed notebook ``<name>.ipynb``; ``notebooks/<name>.ipynb`` is what
        it must have been made from.
    record : mapping
        Its sidecar, from `mmssl.ledger.read_sidecar`.

    Returns
    -------
    list of str
        One reason for each difference.
    """
    root = paths.root(page.parent)
    notebook = root / "notebooks" / page.name
    if record["artefact"] != page.name:
        return [f"its record is that of {record['artefact']}"]
    if not notebook.is_file():
        return [f"there is no notebooks/{page.name} that it was made from"]
    try:
        source, executed = read_notebook(notebook), read_notebook(page)
        return [
            *_other_cells(source, executed),
            *_other_parameters(notebook, executed, record, root),
            *_other_modules(notebook, record),
            *_other_inputs(notebook, record, root),
        ]
    except (ValueError, SyntaxError) as error:
        return [f"its record cannot be compared: {error}"]


def _other_cells(
    source: nbformat.NotebookNode, executed: nbformat.NotebookNode
) -> Iterator[str]:
    contents = []
    for notebook in (source, executed):
        cells = [cell for cell in notebook.cells if not _is_injected(cell)]
        contents.append([(cell.cell_type, cell.source) for cell in cells])
    expected, found = contents
    if len(found) != len(expected):
        yield (
            f"it has {len(found)} cells, expected the {len(expected)} of its "
            "notebook"
        )
    for number, (one, other) in enumerate(
        zip(expected, found, strict=False), start=1
    ):
        if one != other:
            yield f"its cell {number} is not that of its notebook"
            return


def _other_parameters(
    notebook: Path,
    executed: nbformat.NotebookNode,
    record: Mapping[str, Any],
    root: Path,
) -> Iterator[str]:
    ran = execute.resolve(notebook, _injected(executed))
    recorded = record["parameters"]
    instead = places.places_of(root)
    for name in sorted(ran.keys() | recorded.keys()):
        says, shows = recorded.get(name), ran.get(name)
        if isinstance(says, str):
            says = places.without_places(says, instead)
        # 1, 1.0 and True are equal in Python only
        if ledger.hash_json([name in recorded, says]) != ledger.hash_json(
            [name in ran, shows]
        ):
            yield f"its record has {name} = {says!r}, the page ran {shows!r}"
    if record["seed"] != recorded.get("seed"):
        yield (
            f"its record has the seed {record['seed']!r}, expected "
            f"{recorded.get('seed')!r}"
        )


def _other_modules(notebook: Path, record: Mapping[str, Any]) -> Iterator[str]:
    imported = set(execute.modules_of(notebook))
    recorded = set(record["modules"])
    for name in sorted(imported - recorded):
        yield f"its record lacks the module {name}, which it imports"
    for name in sorted(recorded - imported):
        yield f"its record has the module {name}, which it does not import"
    objective = execute.objective_of(notebook, record["parameters"])
    unused = execute.unused_imports(objective)
    if unused != frozenset(map(tuple, record.get("without", ()))):
        yield (
            f"its record leaves out {record.get('without', [])}, expected "
            f"{sorted(map(list, unused))}, what {objective} does not use"
        )


def _other_inputs(
    notebook: Path, record: Mapping[str, Any], root: Path
) -> Iterator[str]:
    named = execute.named_paths(record["parameters"], root)
    page = pages.read_page(notebook)
    made = {*page.makes, *page.recorded, RESULTS}
    inputs = record["inputs"]
    required = {name: path for name, path in named.items() if name not in made}
    required["notebook"] = notebook
    for name in sorted(required.keys() - inputs.keys()):
        yield f"its record lacks the input {name}"
    reads = {**record["parameters"], "notebook": f"notebooks/{notebook.name}"}
    for name, entry in inputs.items():
        found, expected = entry.get("path"), reads.get(name)
        if not isinstance(expected, str):
            yield f"its record has the input {name}, which it does not read"
        elif found is None or not _is_same(root / found, root / expected):
            yield (
                f"its record has the input {name} at {found!r}, expected "
                f"{expected!r}"
            )


def _injected(executed: nbformat.NotebookNode) -> dict[str, Any]:
    """The parameters that a page was run with, beside the defaults.

    ValueError unless one code cell after the defaults holds them, or none.
    """
    values = {}
    for number, cell in enumerate(executed.cells):
        if not _is_injected(cell):
            continue
        before = executed.cells[number - 1] if number else {}
        tags = before.get("metadata", {}).get("tags", ())
        if cell.cell_type != "code" or "parameters" not in tags:
            raise ValueError(
                f"cell {number + 1} holds injected parameters, expected "
                "code right after the cell of parameters"
            )
        values = _assigned(cell.source)
    return values


def _is_injected(cell: nbformat.NotebookNode) -> bool:
    return INJECTED in cell.metadata.get("tags", ())


def _is_same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _assigned(source: str) -> dict[str, Any]:
    """The values of a cell of lines ``name = literal``.

    ValueError for anything else.
    """
    try:
        lines = ast.parse(source).body
    except SyntaxError as error:
        raise ValueError(f"its parameters are no Python: {error}") from error
    values = {}
    for line in lines:
        text = ast.unparse(line)
        if not isinstance(line, ast.Assign) or len(line.targets) != 1:
            raise ValueError(
                f"its injected parameters hold {text!r}, expected lines "
                "`name = value`"
            )
        name = ast.unparse(line.targets[0])
        if name in values:
            raise ValueError(f"its injected parameters set {name} twice")
        try:
            values[name] = ast.literal_eval(line.value)
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"its injected parameters hold {text!r}, expected a literal"
            ) from error
    return values
