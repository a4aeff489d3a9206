"""Run the code of a page in this process, and read what it shows."""

import ast
import sys
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.text import Text

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "notebooks"))

import execute  # noqa: E402


def run_page(name, values, shown):
    """Run the code of a page in this process; what it displays is added to
    what is shown.
    """
    path = ROOT / "notebooks" / f"{name}.ipynb"
    parameters, *cells = execute.code_of(path)
    names = {"__name__": f"page_{name[:2]}"}
    exec(compile(parameters, name, "exec"), names)
    assert values.keys() <= names.keys()
    names.update(values)
    for cell in cells:
        tree = ast.parse(cell)
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            last = ast.Expression(tree.body.pop().value)
        exec(compile(tree, name, "exec"), names)
        if last is not None:
            shown.append(eval(compile(last, name, "eval"), names))


def text_of(thing):
    """Return all that a displayed thing lets somebody read."""
    if isinstance(thing, Figure):
        return " ".join(t.get_text() for t in thing.findobj(Text))
    for method in ("_repr_markdown_", "_repr_html_", "get_iframe"):
        if hasattr(thing, method):
            return getattr(thing, method)() or ""
    return str(thing)
