"""How the rooms of the house may see one another.

Every check takes what it looks at as an argument, so that each is also shown
to fail on a fault planted in it.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from mmssl.ledger.code import imports

ROOT = Path(__file__).parents[1]

LAYERS = (
    ("ledger", "stats", "losses", "models"),
    ("preprocessing", "objectives", "similarity", "groupmaps"),
    ("cohorts", "pretrain"),
    ("evaluate",),
    ("saliency", "robustness"),
)
"""A room sees the rooms of the layers before its own, none beside it."""

ROOMS = sorted(room for layer in LAYERS for room in layer) + ["plotting"]
DRAWS = "plotting"
SEEN_BY_PLOTTING = {"ledger"}

BLOCKED = (
    "IPython",
    "SimpleITK",
    "captum",
    "joblib",
    "monai",
    "nbformat",
    "nibabel",
    "nilearn",
    "optuna",
    "pandas",
    "papermill",
    "safetensors",
    "sklearn",
    "statsmodels",
    "torchio",
)
"""Libraries that only the functions which use them import. matplotlib is not
among them, as torchmetrics, which Lightning needs, imports it.
"""

NOT_LIGHT = {"plotting", "cohorts"}
"""Rooms whose files may import some of these at the top."""


def package_files(root=ROOT):
    """Return ``{module: file}`` of the package and the claims ledger, without
    the rooms' ``__init__``.
    """
    found = [*root.glob("mmssl/**/*.py"), *root.glob("book/claims/*.py")]
    modules = {}
    for file in sorted(found):
        if file.name != "__init__.py":
            parts = file.relative_to(root).with_suffix("").parts
            modules[".".join(parts)] = file
    return modules


def import_graph():
    """Return ``{module: modules of ours that its source imports}``."""
    graph = {}
    for module, file in package_files().items():
        graph[module] = set(imports(file.read_text(encoding="utf-8")))
    return graph


def room_of(module):
    """Return the room of ``mmssl.<room>.<file>``; None outside the package."""
    first, *rest = module.split(".")
    return rest[0] if first == "mmssl" and rest else None


def visible_from(room):
    """Return the rooms whose files those of `room` may import."""
    if room == DRAWS:
        return SEEN_BY_PLOTTING | {room}
    below = {room}
    for layer in LAYERS:
        if room in layer:
            return below
        below |= set(layer)
    raise ValueError(f"{room!r} has no layer; the rooms are {ROOMS}")


def layer_faults(graph):
    """Return one line for each import that the layers forbid."""
    faults = []
    for module, imported in graph.items():
        room = room_of(module)
        if room is None:  # the book sees all
            continue
        for other in sorted(imported):
            if room_of(other) not in visible_from(room):
                faults.append(f"{module} imports {other}")
    return faults


def cycles(graph):
    """Return the sets of files that reach one another in a circle.

    Two files lie on a circle if each reaches the other; what a file reaches
    is found by following its imports.
    """
    reached = {}
    for start in graph:
        seen = set()
        waiting = list(graph[start])
        while waiting:
            module = waiting.pop()
            if module not in seen:
                seen.add(module)
                waiting += graph.get(module, ())
        reached[start] = seen
    circles = set()
    for start, seen in reached.items():
        if start in seen:
            circle = [m for m in seen if start in reached.get(m, ())]
            circles.add(tuple(sorted(circle)))
    return sorted(circles)


def room_imports(source, files):
    """Return what a file takes from a room's ``__init__`` instead of from a
    file, and every relative import.
    """
    faults = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in ("mmssl", "book"):
                    faults.append(f"import {alias.name}")
        elif isinstance(node, ast.ImportFrom):
            ours = (node.module or "").split(".")[0] in ("mmssl", "book")
            for alias in node.names:
                taken = f"from {node.module} import {alias.name}"
                if node.level:
                    faults.append(f"relative: {taken}")
                elif ours and not (
                    node.module in files
                    or f"{node.module}.{alias.name}" in files
                    or alias.name == "__version__"
                ):
                    faults.append(taken)
    return faults


def init_faults(source):
    """Return what a room's ``__init__`` holds beside a docstring, plain
    re-exports and a sorted list of them.
    """
    tree = ast.parse(source)
    faults = [] if ast.get_docstring(tree) else ["no docstring"]
    exported = []
    listed = []
    for node in tree.body[1:]:
        if isinstance(node, ast.ImportFrom):
            exported += [alias.asname or alias.name for alias in node.names]
        elif isinstance(node, ast.Assign) and (
            ast.unparse(node.targets[0]) == "__all__"
        ):
            listed = ast.literal_eval(node.value)
        else:
            faults.append(f"line {node.lineno}: {ast.unparse(node)[:60]}")
    if listed != sorted(listed):
        faults.append("__all__ is not sorted")
    differ = set(exported) ^ set(listed)
    if differ:
        faults.append(f"imported or listed alone: {', '.join(sorted(differ))}")
    return faults


def libraries(source):
    """Return the first names of all modules that a source imports."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def import_with_blocked(modules, blocked, folder=ROOT):
    """Import modules in a fresh process in which some libraries cannot be
    imported; return what is printed on failure.
    """
    code = (
        "import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({list(blocked)!r}))\n"
        f"for name in {list(modules)!r}:\n"
        "    importlib.import_module(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    return "" if done.returncode == 0 else done.stderr


def test_every_room_has_its_place():
    folders = [f for f in (ROOT / "mmssl").iterdir() if f.is_dir()]
    names = {f.name for f in folders if f.name != "__pycache__"}
    assert names == set(ROOMS) and len(ROOMS) == 14
    files = [f.name for f in (ROOT / "mmssl").glob("*.py")]
    assert files == ["__init__.py"]


def test_imports_point_one_way():
    assert layer_faults(import_graph()) == []


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("mmssl.stats.auc", "mmssl.cohorts.cohort"),  # a layer above
        ("mmssl.similarity.measures", "mmssl.groupmaps.tfce"),  # beside
        ("mmssl.evaluate.probes", "mmssl.plotting.look"),
        ("mmssl.plotting.look", "mmssl.stats.auc"),
        ("mmssl.models.heads", "book.claims.rule"),
    ],
)
def test_an_import_against_the_layers_is_found(module, imported):
    graph = import_graph()
    graph[module] = graph[module] | {imported}
    assert layer_faults(graph) == [f"{module} imports {imported}"]


def test_a_room_without_a_layer_is_found():
    with pytest.raises(ValueError, match="'kitchen' has no layer"):
        layer_faults({"mmssl.kitchen.sink": {"mmssl.stats.auc"}})


def test_no_two_files_import_each_other_in_a_circle():
    assert cycles(import_graph()) == []


def test_a_circle_is_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d"}, "e": {"a"}}
    assert cycles(graph) == [("b", "c"), ("d",)]


def test_package_code_imports_from_files():
    files = package_files()
    for module, file in files.items():
        assert room_imports(file.read_text(), files) == [], module


@pytest.mark.parametrize(
    "line",
    [
        "from mmssl.stats import roc_auc",
        "from mmssl import stats",
        "from mmssl import ledger as records",
        "import mmssl.stats.auc",
        "from . import auc",
        "from book import claims",
    ],
)
def test_an_import_from_a_room_is_found(line):
    files = package_files()
    good = (
        "from mmssl.stats.auc import roc_auc\nfrom mmssl.ledger import paths"
    )
    assert room_imports(good, files) == []
    assert len(room_imports(f"{good}\n{line}", files)) == 1


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_hands_on_what_its_files_hold_and_nothing_else(room):
    source = (ROOT / "mmssl" / room / "__init__.py").read_text()
    assert init_faults(source) == []


def repeated_names(exported):
    """Return the names that more than one room hands on.

    Parameters
    ----------
    exported : {room: names}
    """
    rooms = {}
    for room, names in exported.items():
        for name in names:
            rooms.setdefault(name, []).append(room)
    return {name: where for name, where in rooms.items() if len(where) > 1}


def test_no_name_means_two_things():
    exported = {}
    for room in ROOMS:
        source = (ROOT / "mmssl" / room / "__init__.py").read_text()
        listed = ast.parse(source).body[-1]
        exported[room] = ast.literal_eval(listed.value)
    assert repeated_names(exported) == {}
    planted = {"stats": ["gap", "auc"], "plotting": ["gap"]}
    assert repeated_names(planted) == {"gap": ["stats", "plotting"]}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("def __getattr__(name): ...", "line 4: def __getattr__"),
        ("if True:\n    pass", "line 4: if True"),
        ("from a import c", "imported or listed alone: c"),
        ("__all__ = ['b', 'a']", "__all__ is not sorted"),
    ],
)
def test_more_than_re_exports_in_a_room_is_found(line, fault):
    source = '"""A room."""\nfrom a import b\n__all__ = ["b"]\n'
    assert init_faults(source) == []
    assert init_faults(source + line)[0].startswith(fault)
    assert init_faults("x = 1")[0] == "no docstring"


def test_only_the_package_itself_is_lazy():
    for file in (ROOT / "mmssl").rglob("__init__.py"):
        lazy = "__getattr__" in file.read_text()
        assert lazy == (file.parent.name == "mmssl"), file


def test_hot_paths_import_with_torch_numpy_scipy_and_lightning_alone():
    light = []
    for module in package_files():
        room = room_of(module)
        if room and room not in NOT_LIGHT:
            light.append(module)
    rooms = [f"mmssl.{room}" for room in ROOMS if room not in NOT_LIGHT]
    assert import_with_blocked([*rooms, *light], BLOCKED) == ""


def test_a_heavy_import_at_the_top_is_found(tmp_path):
    (tmp_path / "heavy.py").write_text("import pandas\n")
    (tmp_path / "light.py").write_text("def f():\n    import pandas\n")
    assert import_with_blocked(["light"], BLOCKED, tmp_path) == ""
    text = import_with_blocked(["heavy"], BLOCKED, tmp_path)
    assert "import of pandas halted" in text


def test_only_plotting_draws():
    for module, file in package_files().items():
        if room_of(module) not in (None, DRAWS):
            assert "matplotlib" not in libraries(file.read_text()), module
    planted = "def f():\n    from matplotlib import pyplot"
    assert "matplotlib" in libraries(planted)


def test_losses_and_models_touch_no_disk():
    disk = {"pathlib", "os", "io", "json", "pandas", "nibabel"}
    for module, file in package_files().items():
        if room_of(module) in ("losses", "models"):
            source = file.read_text()
            assert not libraries(source) & disk, module
            assert "open(" not in source, module
