"""Fingerprints of classes that are not ours, such as a user's own term.

They may be typed into a notebook, so what is hashed is what they do, not a
file: the compiled code of every method, with constants, defaults and plain
attributes, and whatever it calls that is a user's too. Comments and the place
of a file do not count.
"""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

from mmssl.ledger.code import fingerprint, source_of

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...))
_NEVER_A_USERS = sys.stdlib_module_names | {"torch"}
_LIBRARIES = tuple(
    sysconfig.get_path(name)
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
)


def user_fingerprint(*classes: type) -> dict[str, str]:
    """Hash users' classes and all that they use of ours and of users.

    Parameters
    ----------
    *classes : type
        Of ours only the module counts; those of Python and of torch are passed
        over. Of what they use, other libraries are too.

    Returns
    -------
    dict of str to str
        {"module.name" of a user's class or function: sha256 of what it does,
        "mmssl.…": as `mmssl.ledger.code.fingerprint`}, sorted.
    """
    packages = {one.__module__.split(".")[0] for one in classes}
    users = packages - _NEVER_A_USERS | {"__main__"}
    hashes: dict[str, str] = {}
    ours: set[str] = set()
    waiting: list[type | FunctionType] = list(classes)
    while waiting:
        thing = waiting.pop()
        module = thing.__module__ or ""
        name = f"{module}.{thing.__qualname__}"
        if source_of(module) is not None:
            ours.add(module)
        elif name not in hashes and not _of_a_library(module, users):
            digest = hashlib.sha256()
            for text, used in _contents(thing):
                digest.update(f"{text}\n".encode())
                waiting += used
            hashes[name] = digest.hexdigest()
    return dict(sorted({**fingerprint(*sorted(ours)), **hashes}.items()))


def _of_a_library(name: str, users: Iterable[str]) -> bool:
    """Whether a module is Python's own or was installed, and is not among the
    packages of users.
    """
    package = name.split(".")[0]
    if package in users:
        return False
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    return package in _NEVER_A_USERS or file.startswith(_LIBRARIES)


def _contents(thing: type | FunctionType) -> Iterator[tuple[str, list]]:
    """What a class or function does, in lines, each with the classes and
    functions that it uses.
    """
    if isinstance(thing, type):
        yield thing.__qualname__, list(thing.__bases__)
        for name, member in sorted(vars(thing).items()):
            functions = _functions_of(member)
            if not name.startswith("__") and not functions:
                yield _use(name, member)
            for function in functions:
                yield name, []
                yield from _contents(function)
        return
    if hasattr(thing, "__wrapped__"):
        yield "wrapped", [thing.__wrapped__]
    yield _use("defaults", thing.__defaults__)
    yield _use("keywords", thing.__kwdefaults__)
    known = {**thing.__globals__, **_enclosed(thing)}
    yield from _code(thing.__code__, known)


def _enclosed(function: FunctionType) -> dict[str, Any]:
    """What the names stand for that a function takes from around it."""
    values = {}
    cells = function.__closure__ or ()
    for name, cell in zip(function.__code__.co_freevars, cells, strict=True):
        if cell != CellType():  # a cell may still be empty
            values[name] = cell.cell_contents
    return values


def _functions_of(member) -> list[FunctionType]:
    """Functions behind an attribute of a class: a method, or a property's."""
    if isinstance(member, property):
        parts = [member.fget, member.fset, member.fdel]
    else:
        parts = [getattr(member, "__func__", member)]
    return [part for part in parts if isinstance(part, FunctionType)]


def _code(code: CodeType, known: Mapping) -> Iterator[tuple[str, list]]:
    """Instructions, constants and names of compiled code, and what each name
    stands for.
    """
    yield f"{code.co_code.hex()} {code.co_varnames} {code.co_names}", []
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code(constant, known)
        else:
            yield _use("constant", constant)
    names = (*code.co_names, *code.co_freevars)
    modules = []
    for name in names:
        yield _use(name, known.get(name))
        modules.append(known.get(name))
    # of module.part.function all three names are in the code
    for module in modules:
        if not isinstance(module, ModuleType):
            continue
        for name in names:
            value = vars(module).get(name)
            yield _use(name, value)
            if not any(value is one for one in modules):
                modules.append(value)


def _use(name: str, value) -> tuple[str, list]:
    """A line for what a name stands for: its value, where that is plain, or
    itself, where it is defined in Python.
    """
    if isinstance(value, type | FunctionType):
        return name, [value]
    return f"{name} = {_plain(value)}", []


def _plain(value: Any) -> str:
    """A value as text, without what differs from one process to the next."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_plain, value))})"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(map(_plain, value)))}}}"
    if isinstance(value, dict):
        return _plain(list(value.items()))
    if is_dataclass(value) and not isinstance(value, type):
        return _plain([getattr(value, one.name) for one in fields(value)])
    return type(value).__qualname__
