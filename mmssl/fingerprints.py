"""Which of our own code made something: hashes of the modules it can reach.

Found in the syntax tree, so nothing is imported. A package that loads its submodules lazily (it
defines ``__getattr__``) counts with those that are used of it: ``cohorts.load`` reaches the module
that holds ``load``. Where that cannot be seen, as when the package itself is handed on, all of it
counts.
"""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from mmssl.content import hash_file

PACKAGE = Path(__file__).parent


def fingerprint(*modules: str) -> dict[str, str]:
    """Return the hash of every module of mmssl that the given ones can reach.

    Parameters
    ----------
    *modules : str
        Dotted names, e.g. ``"mmssl.pretrain"``; a lazy package counts whole.

    Returns
    -------
    dict of str to str
        ``{module: sha256 of its source}``, sorted: the modules, their packages, and everything
        of mmssl that they import, directly or not, at the top or inside a function.

    Raises
    ------
    ValueError
        When a name is no module of mmssl.
    """
    found: dict[str, str] = {}
    waiting, done = list(modules), set()
    while waiting:
        name = waiting.pop()
        if name in done:
            continue
        done.add(name)
        if source_of(name) is None:
            raise ValueError(f"{name!r} is not a module of mmssl")
        waiting += _lazy_parts(name)
        for one in (name, *_parents(name)):
            if one not in found:
                source = source_of(one)
                found[one] = hash_file(source)
                waiting += imports(source.read_text(encoding="utf-8"), one)
    return dict(sorted(found.items()))


@cache
def imports(source: str, module: str = "") -> frozenset[str]:
    """Return the modules of mmssl that a piece of Python imports or reaches as ``mmssl.name``.

    Parameters
    ----------
    source : str
        Python source.
    module : str
        Its dotted name, against which relative imports are resolved; empty for a script.

    Returns
    -------
    frozenset of str
        Dotted names. A lazy package is among them only where all of it may be used; else the
        modules are whose names are used.
    """
    tree = ast.parse(source)
    bound: dict[str, str] = {}  # local name: what it means
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names |= _meant(alias.name)
                bound[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module)
            for alias in node.names:
                names |= _meant(f"{base}.{alias.name}")
                bound[alias.asname or alias.name] = f"{base}.{alias.name}"
    for used in _chains(tree):
        first, *rest = used
        if first in bound:
            names |= _meant(".".join([bound[first], *rest]), as_value=True)
    return frozenset(names)


def source_of(name: str) -> Path | None:
    """Return the source file of a dotted name; None when mmssl has no such module."""
    first, *rest = name.split(".")
    if first != "mmssl":
        return None
    path = PACKAGE.joinpath(*rest)
    package, module = path / "__init__.py", path.with_suffix(".py")
    return package if package.is_file() else module if rest and module.is_file() else None


def _chains(tree: ast.Module) -> Iterator[list[str]]:
    """Every ``a.b.c`` of names and attributes, as long as it is written."""
    nodes = list(ast.walk(tree))
    inner = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    for node in nodes:
        if isinstance(node, ast.Name | ast.Attribute) and id(node) not in inner:
            parts = []
            while isinstance(node, ast.Attribute):
                parts.append(node.attr)
                node = node.value
            if isinstance(node, ast.Name):
                yield [node.id, *reversed(parts)]


def _meant(dotted: str, as_value: bool = False) -> set[str]:
    """The module that a dotted name lives in, seen through a lazy package.

    as_value: the name is used, not only bound: a lazy package handed on as such counts whole.
    """
    parts = dotted.split(".")
    lengths = range(len(parts), 0, -1)
    known = [n for n in lengths if source_of(".".join(parts[:n])) is not None]
    if not known:
        return set()
    name, rest = ".".join(parts[: known[0]]), parts[known[0] :]
    if not _lazy_parts(name):
        return {name}
    if rest:
        return {_homes(name).get(rest[0], name)}
    return {name} if as_value else set()


def _lazy_parts(name: str) -> list[str]:
    """Submodules of a lazy package; nothing for any other module, and for mmssl itself."""
    file = source_of(name)
    if file is None or file.name != "__init__.py" or name == "mmssl":
        return []
    body = ast.parse(file.read_text(encoding="utf-8")).body
    if not any(isinstance(n, ast.FunctionDef) and n.name == "__getattr__" for n in body):
        return []
    return [f"{name}.{part.stem}" for part in sorted(file.parent.glob("[!_]*.py"))]


def _homes(package: str) -> Mapping[str, str]:
    """Where a lazy package says its names live: its top-level tables {name: submodule}."""
    body = ast.parse(source_of(package).read_text(encoding="utf-8")).body
    tables = [n.value for n in body if isinstance(n, ast.Assign) and isinstance(n.value, ast.Dict)]
    homes = {}
    for table in tables:
        for key, value in zip(table.keys, table.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(value, ast.Constant):
                homes[key.value] = f"{package}.{value.value}"
    return {name: home for name, home in homes.items() if source_of(home) is not None}


def _parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts)))


def _absolute(node: ast.ImportFrom, module: str) -> str:
    if not node.level:
        return node.module or ""
    source = source_of(module)
    is_package = source is not None and source.name == "__init__.py"
    parts = module.split(".")
    base = parts[: len(parts) - node.level + is_package]
    return ".".join([*base, node.module] if node.module else base)
