"""What is wrong with an entry of the list of claims, in words."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import get_args, get_origin

from book.claims.claim import KINDS, REGIONS, TESTS, Paper

_FIELDS = {
    "id",
    "where",
    "kind",
    "claim",
    "test",
    "holds",
    "chapter",
    "untestable",
    "real_people",
    "note",
}

_ID = re.compile(r"\d{3}-[A-Z]-\d{2}")


def entry_errors(entry, papers: Mapping[str, Paper]) -> list[str]:
    """Say what is wrong with one entry.

    Parameters
    ----------
    entry : mapping
        As it stands in the file; anything else is an error too.
    papers : {number: Paper}

    Returns
    -------
    list of str
        "field: found, expected", empty where nothing is wrong.
    """
    if not isinstance(entry, dict):
        return [f"found {shorten(entry)}, expected a mapping"]
    errors = [
        f"{key}: unknown, expected of {sorted(_FIELDS)}"
        for key in set(entry) - _FIELDS
    ]
    for key in ("id", "where", "kind", "claim"):
        if not _is_text(entry.get(key)):
            errors.append(f"{key}: found {entry.get(key)!r}, expected text")
    errors += _id_errors(str(entry.get("id")), papers)
    if entry.get("kind") not in KINDS:
        errors.append(
            f"kind: found {entry.get('kind')!r}, expected one of {KINDS}"
        )
    ways = [key for key in ("test", "chapter", "untestable") if key in entry]
    if len(ways) != 1:
        errors.append(
            f"test: found {ways}, expected exactly one of test, chapter and "
            "untestable"
        )
    for key in ("chapter", "untestable", "note"):
        if key in entry and not _is_text(entry[key]):
            errors.append(f"{key}: found {entry[key]!r}, expected text")
    real_people = entry.get("real_people", False)
    if not isinstance(real_people, bool):
        errors.append(
            f"real_people: found {real_people!r}, expected true or false"
        )
    if "test" in entry:
        errors += _region_errors(entry.get("holds"))
        errors += _test_errors(entry["test"])
    return errors


def shorten(value) -> str:
    """A value short enough for a message; of a mapping, its names."""
    if isinstance(value, dict):
        return repr(sorted(str(key) for key in value))
    return repr(value)[:60]


def _id_errors(name: str, papers: Mapping[str, Paper]) -> list[str]:
    if _ID.fullmatch(name) and name[:3] in papers:
        return []
    return [
        f"id: found {name!r}, expected a paper of {sorted(papers)}, a letter "
        "and two digits, as in 004-R-07"
    ]


def _test_errors(test) -> list[str]:
    """What is wrong with a test and its arguments."""
    names = list(test) if isinstance(test, dict) else []
    if len(names) != 1 or names[0] not in TESTS:
        return [
            f"test: found {shorten(test)}, expected one of {sorted(TESTS)}"
        ]
    ((name, arguments),) = test.items()
    return _argument_errors(name, TESTS[name], arguments or {})


def _argument_errors(
    name: str, test: Callable, arguments: Mapping
) -> list[str]:
    """What is wrong with the arguments of a test, by its signature."""
    parameters = inspect.signature(test, eval_str=True).parameters
    given = dict(arguments)
    if "results" in parameters:
        given["results"] = Path()
    try:
        inspect.signature(test).bind(**given)
    except TypeError as error:
        return [f"test {name}: {error}, expected {', '.join(parameters)}"]
    errors = []
    for key, value in given.items():
        kind = parameters[key].annotation
        if not _fits(value, kind):
            errors.append(
                f"test {name}, {key}: found {value!r}, expected {kind}"
            )
    return errors


def _region_errors(holds) -> list[str]:
    """What is wrong with what a claim says of its test's result."""
    names = set(holds) if isinstance(holds, dict) else set()
    words = [word for word in REGIONS if word in names]
    if len(words) != 1 or names - {*words, "negligible"}:
        return [
            f"holds: found {holds!r}, expected one of {REGIONS} and perhaps "
            "negligible"
        ]
    word = words[0]
    value = holds[word]
    errors = []
    if word == "between" and not _is_ordered_pair(value):
        errors.append(
            f"holds, between: found {value!r}, expected two numbers in order"
        )
    if word != "between" and not _is_number(value):
        errors.append(f"holds, {word}: found {value!r}, expected a number")
    negligible = holds.get("negligible", 0)
    is_size = _is_number(negligible) and negligible >= 0
    if not is_size or (word == "between" and "negligible" in holds):
        errors.append(
            f"holds, negligible: found {negligible!r}, expected a number "
            ">= 0, and none beside between"
        )
    return errors


def _fits(value, kind) -> bool:
    """Whether a value of the list has the type of a test's parameter."""
    if get_origin(kind) is list:
        (item_kind,) = get_args(kind)
        return isinstance(value, list) and all(
            _fits(item, item_kind) for item in value
        )
    if get_origin(kind) is dict:
        _, item_kind = get_args(kind)
        return isinstance(value, dict) and all(
            _fits(item, item_kind) for item in value.values()
        )
    if kind is float:
        return _is_number(value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, kind)


def _is_text(value) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_ordered_pair(value) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    low, high = value
    return _is_number(low) and _is_number(high) and low <= high
