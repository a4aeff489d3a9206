"""Fingerprints of our own code: which files made something, and their hashes.

Found in the syntax tree, so nothing is imported. Package code imports from
files, so its imports are followed file by file. Users import from rooms
(``from mmssl import stats``); what they name is found through the plain
re-exports of the room's ``__init__``, which holds nothing else. A room that is
passed on as a value counts with all its files.
"""

import ast
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path

from mmssl.ledger.hashes import hash_file

ROOT = Path(__file__).parents[2]
PACKAGES = ("mmssl", "book.claims")
"""Whose files are followed; anything else is a library, known by its
version.
"""


def fingerprint(
    *modules: str, without: Collection[tuple[str, str]] = ()
) -> dict[str, str]:
    """Return the hash of every file of ours that the given modules can reach.

    Parameters
    ----------
    *modules : str
        Dotted names, e.g. ``"mmssl.pretrain.fit"``; a room counts with all its
        files.
    without : collection of (module, module that it imports)
        Imports that are not followed, for what nobody used of them. A module
        that is reached in another way counts all the same.

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
    hashes: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in hashes:
            continue
        source = source_of(name)
        if source is None:
            raise ValueError(f"{name!r} is not a module of mmssl")
        if source.name == "__init__.py":
            waiting += _files_of_room(name)
        else:
            hashes[name] = hash_file(source)
            imported = imports(source.read_text(encoding="utf-8"))
            waiting += [one for one in imported if (name, one) not in without]
    return dict(sorted(hashes.items()))


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
    meanings: dict[str, str] = {}  # local name: dotted name
    files: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                meanings[alias.asname or first] = (
                    alias.name if alias.asname else first
                )
                files |= _files_behind(alias.name, used=False)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                dotted = f"{node.module}.{alias.name}"
                meanings[alias.asname or alias.name] = dotted
                files |= _files_behind(dotted, used=False)
    for first, *attributes in _attribute_chains(tree):
        if first in meanings:
            dotted = ".".join([meanings[first], *attributes])
            files |= _files_behind(dotted, used=True)
    return frozenset(files)


def is_ours(name: str) -> bool:
    """Whether a dotted name lies in our packages, there or not."""
    return any(name == p or name.startswith(f"{p}.") for p in PACKAGES)


def source_of(name: str) -> Path | None:
    """Return the source file of a dotted name; None when we have no such
    module.
    """
    if not is_ours(name):
        return None
    path = ROOT.joinpath(*name.split("."))
    for source in (path / "__init__.py", path.with_suffix(".py")):
        if source.is_file():
            return source
    return None


def _attribute_chains(tree: ast.Module) -> Iterator[list[str]]:
    """Every ``a.b.c`` of names and attributes, as long as it is written."""
    nodes = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute)
    ]
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    inner = {id(node.value) for node in attributes}
    for node in nodes:
        if id(node) in inner:
            continue
        parts = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name):
            yield [node.id, *reversed(parts)]


def _files_behind(dotted: str, used: bool) -> set[str]:
    """The files that a dotted name comes from, seen through the re-exports of
    a room.

    used: the name is used, not only imported; a room used as it is, or for
    something that it does not re-export, counts whole.
    """
    parts = dotted.split(".")
    module, attributes = "", []
    for length in range(len(parts), 0, -1):
        if source_of(".".join(parts[:length])) is not None:
            module, attributes = ".".join(parts[:length]), parts[length:]
            break
    if not module:
        return set()
    if source_of(module).name != "__init__.py":
        return {module}
    exported = _exports(module)
    if attributes and attributes[0] in exported:
        return _files_behind(exported[attributes[0]], used=False)
    whole = used or attributes
    return {module} if whole and module != "mmssl" else set()


def _exports(room: str) -> Mapping[str, str]:
    """What the ``__init__`` of a room re-exports: {name: where it comes
    from}.
    """
    tree = ast.parse(source_of(room).read_text(encoding="utf-8"))
    exported = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = alias.asname or alias.name
                exported[name] = f"{node.module}.{alias.name}"
    return exported


def _files_of_room(room: str) -> list[str]:
    """Dotted names of all files in a room."""
    folder = source_of(room).parent
    names = []
    for file in sorted(folder.rglob("*.py")):
        if file.name != "__init__.py":
            parts = file.relative_to(ROOT).with_suffix("").parts
            names.append(".".join(parts))
    return names
