"""Which of our own code made something: hashes of the files it can reach.

Found in the syntax tree, so nothing is imported. Package code imports from
files, so its imports are followed file by file. Users import from rooms
(``from mmssl import stats``); what they name is found through the plain
re-exports of the room's ``__init__``, which holds nothing else. A room that is
handed on as a value counts whole.
"""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from mmssl.ledger.hashes import hash_file

ROOT = Path(__file__).parents[2]
PACKAGES = ("mmssl", "book.claims")
"""Whose files are followed; anything else is a library, known by its
version.
"""


def fingerprint(*modules: str) -> dict[str, str]:
    """Return the hash of every file of ours that the given modules can reach.

    Parameters
    ----------
    *modules : str
        Dotted names, e.g. ``"mmssl.pretrain.fit"``; a room counts with all its
        files.

    Returns
    -------
    dict of str to str
        ``{module: sha256 of its source}``, sorted: the modules and everything
        of ours that they import, directly or not, at the top or inside a
        function.

    Raises
    ------
    ValueError
        When a name is no module of ours.
    """
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        source = source_of(name)
        if source is None:
            raise ValueError(f"{name!r} is not a module of mmssl")
        if source.name == "__init__.py":
            waiting += _files_of(name)
        else:
            found[name] = hash_file(source)
            waiting += imports(source.read_text(encoding="utf-8"))
    return dict(sorted(found.items()))


@cache
def imports(source: str) -> frozenset[str]:
    """Return the files of ours that a piece of Python imports or reaches as
    ``mmssl.name``.

    Parameters
    ----------
    source : str
        Python source, without relative imports.

    Returns
    -------
    frozenset of str
        Dotted names of files. A room is among them only where all of it may be
        used.
    """
    tree = ast.parse(source)
    bound: dict[str, str] = {}  # local name: what it means
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                names |= _homes(alias.name)
                bound[alias.asname or first] = (
                    alias.name if alias.asname else first
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                dotted = f"{node.module}.{alias.name}"
                names |= _homes(dotted)
                bound[alias.asname or alias.name] = dotted
    for first, *rest in _chains(tree):
        if first in bound:
            names |= _homes(".".join([bound[first], *rest]), as_value=True)
    return frozenset(names)


def source_of(name: str) -> Path | None:
    """Return the source file of a dotted name; None when we have no such
    module.
    """
    if not any(
        name == package or name.startswith(f"{package}.")
        for package in PACKAGES
    ):
        return None
    path = ROOT.joinpath(*name.split("."))
    package, module = path / "__init__.py", path.with_suffix(".py")
    if package.is_file():
        return package
    return module if module.is_file() else None


def _chains(tree: ast.Module) -> Iterator[list[str]]:
    """Every ``a.b.c`` of names and attributes, as long as it is written."""
    nodes = list(ast.walk(tree))
    inner = {
        id(node.value) for node in nodes if isinstance(node, ast.Attribute)
    }
    for node in nodes:
        if (
            isinstance(node, ast.Name | ast.Attribute)
            and id(node) not in inner
        ):
            parts = []
            while isinstance(node, ast.Attribute):
                parts.append(node.attr)
                node = node.value
            if isinstance(node, ast.Name):
                yield [node.id, *reversed(parts)]


def _homes(dotted: str, as_value: bool = False) -> set[str]:
    """The files that a dotted name lives in, seen through the re-exports of a
    room.

    as_value: the name is used, not only bound: a room handed on as such counts
    whole.
    """
    parts = dotted.split(".")
    lengths = range(len(parts), 0, -1)
    known = [n for n in lengths if source_of(".".join(parts[:n])) is not None]
    if not known:
        return set()
    name, rest = ".".join(parts[: known[0]]), parts[known[0] :]
    if source_of(name).name != "__init__.py":
        return {name}
    exported = _exports(name)
    if rest and rest[0] in exported:
        return _homes(exported[rest[0]])
    if name == "mmssl":
        return set()
    return {name} if rest or as_value else set()


def _exports(room: str) -> Mapping[str, str]:
    """What the ``__init__`` of a room hands on: {name: where it comes
    from}.
    """
    tree = ast.parse(source_of(room).read_text(encoding="utf-8"))
    lines = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in lines
        for alias in node.names
    }


def _files_of(room: str) -> list[str]:
    """Dotted names of all files in a room."""
    folder = source_of(room).parent
    files = sorted(
        file for file in folder.rglob("*.py") if file.name != "__init__.py"
    )
    return [
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in files
    ]
