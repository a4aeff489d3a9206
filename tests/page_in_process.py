"""Run the code of a page in this process, and read what it shows."""

import ast
import sys
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.text import Text

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "notebooks"))

import execute  # noqa: E402

LEAST = {
    "03_pretraining": {
        "epochs": 2,
        "batch_size": 4,
        "width": 2,
        "latent": 8,
        "precision": "fp32",
    },
    "04_linear_evaluation": {
        "trials": 2,
        "probe_epochs": 2,
        "resamples": 100,
        "target": "age",
    },
    "05_similarity": {"permutations": 9, "blocks": 5, "studies": 1},
    "06_saliency": {
        "mapped": 2,
        "samples": 1,
        "permutations": 50,
        "randomised_people": 1,
    },
    "07_group_differences": {
        "trials": 2,
        "samples": 1,
        "permutations": 20,
        "correction_permutations": 10,
        "null_draws": 1,
        "compared_people": 4,
        "target": "age",
    },
    "14_sanity_checks": {},
    "08_robustness": {
        "step": 50,
        "subjects": 12,
        "probe_epochs": 2,
        "resamples": 100,
    },
    "13_calibration_and_confounds": {"leading": 1, "resamples": 100},
}
"""The pages that read a cohort of people, in their order, with the least they
can be asked for.
"""


def empty_project(folder, monkeypatch):
    """Stand in an empty project; return the list of what pages will
    display.
    """
    (folder / "pyproject.toml").write_text('[project]\nname = "mmssl"\n')
    # the compendium's own tables, which pages show beside theirs
    (folder / "book").symlink_to(ROOT / "book")
    monkeypatch.chdir(folder)
    shown = []
    monkeypatch.setattr(
        "IPython.display.display", lambda *things, **_: shown.extend(things)
    )
    return shown


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
