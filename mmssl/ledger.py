"""Who was seen by what: content hashes, provenance beside every artefact, and the leak check.

An artefact (table, figure, map, executed notebook) has a sidecar ``<artefact>.json`` with the
hashes of its inputs and of the modules that made it, its parameters, seed, threads and versions.
Whether it is stale is decided by content alone: never by a date or a commit.
"""

import ast
import hashlib
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from mmssl import __version__, atomic, paths

PACKAGE = Path(__file__).parent
HASH_LENGTH = 64
_RECORDED = ("torch", "lightning", "numpy", "scipy", "pandas", "scikit-learn", "nilearn",
             "nibabel", "SimpleITK", "optuna", "papermill")  # fmt: skip


class LeakError(ValueError):
    """A subject or an image is in two roles that must not share any."""


# ---- content hashes ---------------------------------------------------------------------------


def hash_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_array(array: Any) -> str:
    """Return the SHA-256 of an array: its type, shape and values, whatever its memory order.

    Parameters
    ----------
    array : array-like, any shape
        NumPy array, memory map or CPU tensor.

    Returns
    -------
    str
        64 hexadecimal digits. float16 and float32 arrays of equal values differ.
    """
    array = np.asarray(array)
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def hash_json(value: Any) -> str:
    """Return the SHA-256 of a value as canonical JSON; the order of a mapping does not matter."""
    return hashlib.sha256(_json(value, separators=(",", ":")).encode()).hexdigest()


def hash_notebook(path: str | Path) -> str:
    """Return the SHA-256 of a notebook's cells; outputs and execution counts do not matter."""
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    return hash_json([[cell["cell_type"], "".join(cell["source"])] for cell in cells])


def hash_path(path: str | Path) -> str:
    """Return the hash of an input: a notebook's cells, a file's bytes or a whole folder.

    Parameters
    ----------
    path : str or Path
        A folder counts with the names and bytes of all its files, except unfinished ones
        (``.tmp-*``, ``*.partial``).

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    FileNotFoundError
        When there is nothing of that name.
    """
    path = Path(path)
    if path.is_dir():
        files = (file for file in path.rglob("*") if file.is_file())
        names = {file.relative_to(path).as_posix(): file for file in files}
        return hash_json({n: hash_file(f) for n, f in names.items() if not _unfinished(n)})
    return hash_notebook(path) if path.suffix == ".ipynb" else hash_file(path)


# ---- the code that made it --------------------------------------------------------------------


def fingerprint(*modules: str) -> dict[str, str]:
    """Return the hash of every module of mmssl that the given ones can reach.

    Parameters
    ----------
    *modules : str
        Dotted names, e.g. ``"mmssl.pretrain"``.

    Returns
    -------
    dict of str to str
        ``{module: sha256 of its source}``, sorted: the modules, their packages, and everything
        of mmssl that they import, directly or not, at the top or inside a function. Found in
        the syntax tree, so nothing is imported.

    Raises
    ------
    ValueError
        When a name is no module of mmssl.
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
        found[name] = hash_file(source)
        waiting += [parent for parent in _parents(name) if parent not in found]
        waiting += imports(source.read_text(encoding="utf-8"), name)
    return dict(sorted(found.items()))


def imports(source: str, module: str = "") -> set[str]:
    """Return the modules of mmssl that a piece of Python imports or reaches as ``mmssl.name``.

    Parameters
    ----------
    source : str
        Python source.
    module : str
        Its dotted name, against which relative imports are resolved; empty for a script.

    Returns
    -------
    set of str
        Dotted names. A package that loads its submodules lazily (``__getattr__``) counts with
        all of them, except mmssl itself.
    """
    tree = ast.parse(source)
    names: set[str] = set()
    for node in ast.walk(tree):
        names.update(_mentions(node, module))
    file = source_of(module) if module else None
    if file is not None and file.name == "__init__.py" and module != "mmssl" and _is_lazy(tree):
        names.update(f"{module}.{part.stem}" for part in file.parent.glob("[!_]*.py"))
    return {name for name in names if source_of(name) is not None}


def source_of(name: str) -> Path | None:
    """Return the source file of a dotted name; None when mmssl has no such module."""
    first, *rest = name.split(".")
    if first != "mmssl":
        return None
    path = PACKAGE.joinpath(*rest)
    package, module = path / "__init__.py", path.with_suffix(".py")
    return package if package.is_file() else module if rest and module.is_file() else None


def versions() -> dict[str, str]:
    """Return the versions that a result may depend on: Python, mmssl and what it computes with."""
    return {"python": platform.python_version(), "mmssl": __version__, **_installed()}


# ---- sidecars ---------------------------------------------------------------------------------


def write_sidecar(
    artefact: str | Path,
    inputs: Mapping[str, str | Path],
    parameters: Mapping[str, Any],
    seed: int | None,
    modules: tuple[str, ...],
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``<artefact>.json`` beside a finished artefact.

    Parameters
    ----------
    artefact : path
        A complete file.
    inputs : mapping
        Name to path (hashed now, checked by `stale`) or to a 64-digit hash (only recorded).
    parameters : mapping
        All that the artefact depends on, precision included.
    seed : int or None
        None where nothing was drawn.
    modules : tuple of str
        The modules that made it; what they import is found (`fingerprint`).
    facts : mapping, optional
        What should be known but does not make the artefact stale, e.g. its duration.

    Returns
    -------
    Path
        The sidecar.

    Raises
    ------
    FileNotFoundError
        When the artefact or an input does not exist.
    """
    artefact = Path(artefact)
    record = {
        "artefact": artefact.name,
        "content": hash_file(artefact),
        "inputs": {name: _input(value, artefact) for name, value in inputs.items()},
        "parameters": dict(parameters),
        "seed": seed,
        "modules": list(modules),
        "code": fingerprint(*modules),
        "versions": versions(),
        "threads": _threads(),
        "facts": dict(facts or {}),
    }
    sidecar = sidecar_of(artefact)
    with atomic.file(sidecar) as temporary:
        temporary.write_text(_json(record, indent=1) + "\n", encoding="utf-8")
    return sidecar


def sidecar_of(artefact: str | Path) -> Path:
    """Return where the sidecar of an artefact is."""
    artefact = Path(artefact)
    return artefact.with_name(artefact.name + ".json")


def read_sidecar(artefact: str | Path) -> dict[str, Any]:
    """Return the sidecar of an artefact as `write_sidecar` recorded it."""
    return json.loads(sidecar_of(artefact).read_text(encoding="utf-8"))


def stale(artefact: str | Path) -> list[str]:
    """Say why an artefact can no longer be trusted.

    Parameters
    ----------
    artefact : path
        What `write_sidecar` was called with.

    Returns
    -------
    list of str
        One reason for each: artefact or sidecar missing, artefact edited, an input missing or
        changed, a module changed. Empty: fresh.
    """
    artefact = Path(artefact)
    if not artefact.is_file():
        return [f"{artefact.name} does not exist"]
    if not sidecar_of(artefact).is_file():
        return [f"{artefact.name} has no sidecar, so nobody knows what made it"]
    record = read_sidecar(artefact)
    reasons = []
    if hash_file(artefact) != record["content"]:
        reasons.append(f"{artefact.name} was changed after it was made")
    reasons += _changed_inputs(record["inputs"], artefact)
    return reasons + _changed_code(record["modules"], record["code"])


# ---- leaks ------------------------------------------------------------------------------------


def check_disjoint(roles: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse data in which a subject or an image has two roles.

    Parameters
    ----------
    roles : mapping
        ``{"train": {"subjects": ids, "images": {name: hash}}, "holdout": ...}``; either entry
        may be absent. Image hashes catch the same scan under two participant names.

    Raises
    ------
    LeakError
        Naming the two roles and the subject, or the two images, that they share.
    """
    for first, second in combinations(roles, 2):
        shared = set(roles[first].get("subjects", ())) & set(roles[second].get("subjects", ()))
        if shared:
            raise LeakError(
                f"subject {min(shared, key=str)!r} is in both {first!r} and {second!r} "
                f"({len(shared)} in common): a person has one role. Remake splits.json."
            )
        _check_images(first, second, roles)


def _check_images(first: str, second: str, roles: Mapping[str, Mapping[str, Any]]) -> None:
    name_of = {digest: name for name, digest in roles[first].get("images", {}).items()}
    for name, digest in roles[second].get("images", {}).items():
        if digest in name_of:
            raise LeakError(
                f"image {name_of[digest]!r} of {first!r} and image {name!r} of {second!r} are the "
                f"same (sha256 {digest[:12]}): one scan under two names. Remove one of them."
            )


# ---- how ---------------------------------------------------------------------------------------


def _json(value: Any, **layout: Any) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False, default=_plain, **layout)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no place in a record: {value!r}")


def _unfinished(name: str) -> bool:
    return any(p.startswith(".tmp-") or p.endswith(".partial") for p in name.split("/"))


def _parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts)))


def _mentions(node: ast.AST, module: str) -> Iterator[str]:
    """Yield every dotted name that one node of the syntax tree could mean."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _absolute(node, module)
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        if node.value.id == "mmssl":
            yield f"mmssl.{node.attr}"


def _absolute(node: ast.ImportFrom, module: str) -> str:
    if not node.level:
        return node.module or ""
    source = source_of(module)
    is_package = source is not None and source.name == "__init__.py"
    parts = module.split(".")
    base = parts[: len(parts) - node.level + is_package]
    return ".".join([*base, node.module] if node.module else base)


def _is_lazy(tree: ast.Module) -> bool:
    return any(isinstance(n, ast.FunctionDef) and n.name == "__getattr__" for n in tree.body)


@cache
def _installed() -> dict[str, str]:
    present = {d.metadata["Name"].lower() for d in importlib.metadata.distributions()}
    return {n: importlib.metadata.version(n) for n in _RECORDED if n.lower() in present}


def _threads() -> dict[str, int | str | None]:
    # torch is asked only if somebody uses it: importing it here would cost two seconds
    torch = sys.modules.get("torch")
    return {
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "torch": torch.get_num_threads() if torch else None,
    }


def _input(value: str | Path, artefact: Path) -> dict[str, str]:
    text = str(value)
    if len(text) == HASH_LENGTH and set(text) <= set("0123456789abcdef"):
        return {"hash": text}
    path, root = Path(value).resolve(), paths.root(artefact.parent)
    inside = path.is_relative_to(root)
    name = path.relative_to(root).as_posix() if inside else path.as_posix()
    return {"path": name, "hash": hash_path(path)}


def _changed_inputs(inputs: Mapping[str, Mapping[str, str]], artefact: Path) -> Iterator[str]:
    root = paths.root(artefact.parent)
    for name, entry in inputs.items():
        if "path" not in entry:
            continue
        path = root / entry["path"]
        if not path.exists():
            yield f"its input {name} ({entry['path']}) is gone"
        elif hash_path(path) != entry["hash"]:
            yield f"its input {name} ({entry['path']}) has changed"


def _changed_code(modules: list[str], code: Mapping[str, str]) -> list[str]:
    gone = [name for name in modules if source_of(name) is None]
    if gone:
        return [f"module {name} no longer exists" for name in gone]
    now = fingerprint(*modules)
    different = sorted(name for name in now.keys() | code.keys() if now.get(name) != code.get(name))
    return [f"module {name} has changed" for name in different]
