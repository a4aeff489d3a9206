"""The list of claims, `book/claims/claims.yaml`: reading it, and refusing what
does not fit.

A claim either names a test with its arguments and what it says of the result
(`holds`), or the chapter to come that will test it, or why it cannot be tested
here. All of that is checked when the list is loaded, against the signatures of
the tests, so that no typing error waits until the last chapter.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

import yaml

from book.claims import architecture, printed, tables
from book.claims.evidence import Found, Region

KINDS = ("numeric", "comparative", "qualitative", "premise")
"""The last one is ours: what a claim needs to be true or to mean something."""

EVIDENCE = {
    printed: "the paper's own numbers",
    architecture: "the method itself",
    tables: "this edition's people",
}
"""Where a test takes its answer from."""

REGIONS = ("above", "below", "between")

TESTS = {
    name: test
    for module in EVIDENCE
    for name, test in vars(module).items()
    if inspect.isfunction(test)
    and test.__module__ == module.__name__
    and name[0] != "_"
}
"""Every test by its name: the public functions of the three modules of
tests.
"""

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


class Paper(NamedTuple):
    """One of the five papers: its number, the title, and the short name that
    pages use.
    """

    number: str
    title: str
    name: str


@dataclass(frozen=True)
class Claim:
    """One assertion of a paper, in our words.

    Attributes
    ----------
    id : str
        Paper, part and number: "004-R-07".
    paper, where, kind, claim : str
        Short name of the paper, section or figure, one of `KINDS`, and the
        assertion.
    test, arguments : str, mapping
        Name of the test and what it is called with; empty where there is none.
    holds : mapping
        What the claim says of the test's result: above, below or between, and
        negligible.
    chapter, untestable : str
        The chapter that will test it, or why it is not testable here.
    real_people : bool
        Whether it speaks of the paper's own people, so that simulated ones
        cannot test it.
    note : str
        How we read the claim, or what the result means.
    """

    id: str
    paper: str
    where: str
    kind: str
    claim: str
    test: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    holds: Mapping[str, Any] = field(default_factory=dict)
    chapter: str = ""
    untestable: str = ""
    real_people: bool = False
    note: str = ""

    @property
    def region(self) -> Region:
        """Where the claim says that the test's result lies."""
        return Region.of(**self.holds)

    @property
    def evidence(self) -> str:
        """Where the answer comes from: one of `EVIDENCE`, or nothing."""
        return next(
            (e for m, e in EVIDENCE.items() if self.test in vars(m)), ""
        )

    @property
    def described(self) -> str:
        """The test with its arguments, as text."""
        given = ", ".join(
            f"{name}={_text(value)}" for name, value in self.arguments.items()
        )
        return f"{self.test}({given})" if self.test else ""

    @property
    def claimed(self) -> str:
        """What the claim says of the result, as text."""
        for word in REGIONS:
            if word in self.holds:
                value = self.holds[word]
                return (
                    f"{word} {value[0]:g} and {value[1]:g}"
                    if word == "between"
                    else (f"{word} {value:g}")
                )
        return ""

    def run(self, results: str | Path) -> Found:
        """Call the test on an edition's folder of tables."""
        test = TESTS[self.test]
        needs_tables = "results" in inspect.signature(test).parameters
        return (
            test(results, **self.arguments)
            if needs_tables
            else test(**self.arguments)
        )


def load(path: str | Path) -> list[Claim]:
    """Read and check the list of claims.

    Raises
    ------
    ValueError
        All that is wrong, a line each: file, claim, field, what was found,
        what is expected.
    """
    return read(path)[1]


def read(path: str | Path) -> tuple[dict[str, Paper], list[Claim]]:
    """As `load`, with the papers: {number: Paper}, claims."""
    path = Path(path)
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    expected = {"papers", "rows", "negligible", "claims"}
    if (
        not isinstance(document, dict)
        or not {"papers", "claims"} <= set(document) <= expected
    ):
        raise ValueError(
            f"{path}: expected a mapping with papers, claims and perhaps negligible "
            f"and rows, found {_shape(document)}"
        )
    papers = {n: Paper(n, **about) for n, about in document["papers"].items()}
    negligible, complaints, claims = document.get("negligible", {}), [], {}
    complaints += [
        f"negligible: {name!r} is no test"
        for name in set(negligible) - set(TESTS)
    ]
    for place, entry in enumerate(document["claims"]):
        name = (
            entry.get("id", f"entry {place}")
            if isinstance(entry, dict)
            else f"entry {place}"
        )
        found = _complaints(entry, papers)
        if name in claims:
            found.append("id: comes twice, expected once")
        complaints += [f"{name}: {complaint}" for complaint in found]
        if not found:
            claims[name] = _claim(entry, papers, negligible)
    if complaints:
        raise ValueError(
            "\n".join(f"{path.name}: {complaint}" for complaint in complaints)
        )
    return papers, list(claims.values())


def _claim(
    entry: Mapping, papers: Mapping[str, Paper], negligible: Mapping
) -> Claim:
    """A claim from an entry that has been checked."""
    rest = {
        key: value
        for key, value in entry.items()
        if key not in ("test", "holds")
    }
    rest["paper"] = papers[entry["id"][:3]].name
    rest = {
        key: " ".join(v.split()) if isinstance(v, str) else v
        for key, v in rest.items()
    }
    if "test" not in entry:
        return Claim(**rest)
    ((test, arguments),) = entry["test"].items()
    directed = "between" not in entry["holds"] and test in negligible
    holds = ({"negligible": negligible[test]} if directed else {}) | entry[
        "holds"
    ]
    return Claim(**rest, test=test, arguments=arguments or {}, holds=holds)


def _complaints(entry, papers: Mapping[str, Paper]) -> list[str]:
    """What is wrong with one entry: "field: found, expected"."""
    if not isinstance(entry, dict):
        return [f"found {_shape(entry)}, expected a mapping"]
    wrong = [
        f"{key}: unknown, expected of {sorted(_FIELDS)}"
        for key in set(entry) - _FIELDS
    ]
    for key in ("id", "where", "kind", "claim"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            wrong.append(f"{key}: found {entry.get(key)!r}, expected text")
    name = str(entry.get("id"))
    if not _ID.fullmatch(name) or name[:3] not in papers:
        wrong.append(
            f"id: found {name!r}, expected a paper of {sorted(papers)}, a letter and two "
            "digits, as in 004-R-07"
        )
    if entry.get("kind") not in KINDS:
        wrong.append(
            f"kind: found {entry.get('kind')!r}, expected one of {KINDS}"
        )
    ways = [key for key in ("test", "chapter", "untestable") if key in entry]
    if len(ways) != 1:
        wrong.append(
            f"test: found {ways}, expected exactly one of test, chapter and untestable"
        )
    for key in ("chapter", "untestable", "note"):
        if key in entry and not (
            isinstance(entry[key], str) and entry[key].strip()
        ):
            wrong.append(f"{key}: found {entry[key]!r}, expected text")
    if not isinstance(entry.get("real_people", False), bool):
        wrong.append(
            f"real_people: found {entry['real_people']!r}, expected true or false"
        )
    return wrong + (_test_complaints(entry) if "test" in entry else [])


def _test_complaints(entry: Mapping) -> list[str]:
    """What is wrong with a test, its arguments and what the claim says of its
    result.
    """
    test, wrong = entry["test"], _region_complaints(entry.get("holds"))
    if (
        not isinstance(test, dict)
        or len(test) != 1
        or next(iter(test)) not in TESTS
    ):
        return [
            *wrong,
            f"test: found {_shape(test)}, expected one of {sorted(TESTS)}",
        ]
    ((name, arguments),) = test.items()
    signature = inspect.signature(TESTS[name], eval_str=True)
    given = dict(arguments or {})
    if "results" in signature.parameters:
        given["results"] = Path()
    try:
        bound = signature.bind(**given).arguments
    except TypeError as error:
        return [
            *wrong,
            f"test {name}: {error}, expected {', '.join(signature.parameters)}",
        ]
    return wrong + [
        f"test {name}, {key}: found {value!r}, expected {signature.parameters[key].annotation}"
        for key, value in bound.items()
        if not _fits(value, signature.parameters[key].annotation)
    ]


def _region_complaints(holds) -> list[str]:
    """What is wrong with what a claim says of its test's result."""
    words = [
        word for word in REGIONS if isinstance(holds, dict) and word in holds
    ]
    if len(words) != 1 or set(holds) - {*words, "negligible"}:
        return [
            f"holds: found {holds!r}, expected one of {REGIONS} and perhaps negligible"
        ]
    value, wrong = holds[words[0]], []
    pair = value if words[0] == "between" else [value, value]
    if not (
        isinstance(pair, list)
        and len(pair) == 2
        and all(map(_number, pair))
        and pair[0] <= pair[1]
    ):
        wrong.append(
            f"holds, {words[0]}: found {value!r}, expected "
            f"{'two numbers in order' if words[0] == 'between' else 'a number'}"
        )
    small = holds.get("negligible", 0)
    if (
        not _number(small)
        or small < 0
        or (words[0] == "between" and "negligible" in holds)
    ):
        wrong.append(
            f"holds, negligible: found {small!r}, expected a number >= 0, and none beside "
            "between"
        )
    return wrong


def _fits(value, kind) -> bool:
    """Whether a value of the list has the type of a test's parameter."""
    inner = get_args(kind)
    if get_origin(kind) is list:
        return isinstance(value, list) and all(
            _fits(each, inner[0]) for each in value
        )
    if get_origin(kind) is dict:
        return isinstance(value, dict) and all(
            _fits(each, inner[1]) for each in value.values()
        )
    if kind is float:
        return _number(value)
    return isinstance(value, kind) and (
        kind is bool or not isinstance(value, bool)
    )


def _number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shape(value) -> str:
    """A value short enough for a message."""
    return (
        sorted(map(str, value)).__repr__()
        if isinstance(value, dict)
        else repr(value)[:60]
    )


def _text(value) -> str:
    if isinstance(value, list):
        return " + ".join(map(_text, value))
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{k}: {_text(v)}" for k, v in value.items()) + "}"
        )
    return f"{value:g}" if _number(value) else str(value)
