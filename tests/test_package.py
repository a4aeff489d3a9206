"""The package as a whole: it loads lazily, its imports point one way, it is
documented.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mmssl
from mmssl.ledger.code import fingerprint

ROOT = Path(mmssl.__file__).parents[1]
FILES = sorted((ROOT / "mmssl").rglob("*.py"))
IDS = [str(file.relative_to(ROOT)) for file in FILES]

LEAVES = ("mmssl.losses", "mmssl.models")
"""What stands on torch alone."""

FORBIDDEN = {
    "mmssl.losses": ("mmssl.models", "mmssl.objectives.language"),
    "mmssl.models": ("mmssl.losses", "mmssl.objectives.language"),
    "mmssl.objectives.language": (
        "mmssl.cohorts",
        "mmssl.pretrain.fit",
        "mmssl.evaluate.linear_evaluation",
    ),
    "mmssl.objectives.language": (
        "mmssl.cohorts",
        "mmssl.pretrain.fit",
        "mmssl.evaluate.linear_evaluation",
    ),
    "mmssl.cohorts": (
        "mmssl.pretrain.fit",
        "mmssl.evaluate.linear_evaluation",
        "mmssl.objectives.language",
    ),
    "mmssl.preprocessing": (
        "mmssl.pretrain.fit",
        "mmssl.evaluate.linear_evaluation",
        "mmssl.objectives.language",
    ),
    "mmssl.plotting": (
        "mmssl.pretrain.fit",
        "mmssl.cohorts",
        "mmssl.objectives.language",
    ),
    "mmssl.stats": (
        "mmssl.pretrain.fit",
        "mmssl.cohorts",
        "mmssl.objectives.language",
        "mmssl.models",
    ),
}


def _python(code):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )


def _name(file):
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _outside(file):
    """Return every top-level package that a file imports, and the names of
    what it calls.
    """
    tree = ast.parse(file.read_text())
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {
        node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
    }
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    return {name.split(".")[0] for name in imported}, called


def test_import_is_light_and_submodules_come_by_attribute():
    heavy = "{'torch', 'numpy', 'matplotlib', 'pandas'} & set(sys.modules)"
    assert (
        _python(f"import mmssl, sys; print({heavy})").stdout.strip() == "set()"
    )
    done = _python(
        "import mmssl; print(mmssl.losses.infonce.info_nce.__name__, mmssl.ledger.paths.__name__)"
    )
    assert done.stdout.split() == ["info_nce", "mmssl.ledger.paths"]


def test_unknown_attribute_and_listing():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mmssl.nothing  # noqa: B018
    assert {"losses", "models", "cohorts", "ledger", "__version__"} <= set(
        dir(mmssl)
    )


@pytest.mark.parametrize("module", FORBIDDEN)
def test_imports_point_one_way(module):
    reached = fingerprint(module)
    wrong = [
        n
        for n in reached
        if any(n == f or n.startswith(f + ".") for f in FORBIDDEN[module])
    ]
    assert not wrong, f"{module} reaches {wrong}"


@pytest.mark.parametrize(
    "file", [f for f in FILES if _name(f).startswith(LEAVES)], ids=_name
)
def test_losses_and_models_touch_no_disk(file):
    imported, called = _outside(file)
    assert not imported & {
        "pathlib",
        "os",
        "io",
        "json",
        "pandas",
        "nibabel",
        "matplotlib",
    }
    assert "open" not in called
    reached = fingerprint(_name(file))
    assert not {
        n for n in reached if n.startswith(("mmssl.cohorts", "mmssl.plotting"))
    }


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_public_functions_are_documented(file):
    tree = ast.parse(file.read_text())
    bare = [] if ast.get_docstring(tree) else ["the module itself"]
    owners = [
        tree,
        *(
            n
            for n in tree.body
            if isinstance(n, ast.ClassDef) and n.name[0] != "_"
        ),
    ]
    for node in [n for owner in owners for n in owner.body]:
        if isinstance(
            node, ast.FunctionDef | ast.ClassDef
        ) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                bare.append(node.name)
    assert not bare, f"{file.name} lacks docstrings: {', '.join(bare)}"


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_functions_stay_short(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef):
            first = (
                node.body[1]
                if ast.get_docstring(node) and len(node.body) > 1
                else node.body[0]
            )
            assert node.end_lineno - first.lineno < 60, (
                f"{file.name}: {node.name}"
            )


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_no_error_is_swallowed_and_no_warning_silenced(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, (
                f"{file.name}:{node.lineno} bare except"
            )
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert node.value != "ignore" or "errors" in file.read_text(), (
                f"{file.name}"
            )


def test_no_absolute_path_of_somebodys_machine_is_committed():
    done = subprocess.run(
        [
            "git",
            "grep",
            "-nIE",
            r"(^|[^A-Za-z])/(home|Users|root|work)/[A-Za-z]",
            "--",
            ".",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    found = [
        x
        for x in done.stdout.splitlines()
        if not x.startswith("tests/test_package.py")
    ]
    assert not found, found
