"""One claim of a paper, and the tests that claims may name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from book.claims import architecture, printed, tables
from book.claims.evidence import Finding, Region

KINDS = ("numeric", "comparative", "qualitative", "premise")
"""The last one is ours: what a claim needs to be true or to mean something."""

EVIDENCE = {
    printed: "the paper's own numbers",
    architecture: "the method itself",
    tables: "this edition's people",
}
"""Where a test takes its answer from."""

REGIONS = ("above", "below", "between")
"""What a claim may say of its test's result."""


def _public_functions(module: ModuleType) -> dict[str, Callable]:
    """The functions that a module itself defines for others, by name."""
    return {
        name: value
        for name, value in inspect.getmembers(module, inspect.isfunction)
        if value.__module__ == module.__name__ and not name.startswith("_")
    }


TESTS: dict[str, Callable[..., Finding]] = {
    **_public_functions(printed),
    **_public_functions(architecture),
    **_public_functions(tables),
}
"""Every test by its name: the public functions of the three modules of
tests.
"""


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
        return Region.from_words(**self.holds)

    @property
    def evidence(self) -> str:
        """Where the answer comes from: one of `EVIDENCE`, or nothing."""
        if not self.test:
            return ""
        return EVIDENCE[inspect.getmodule(TESTS[self.test])]

    @property
    def test_text(self) -> str:
        """The test with its arguments, as text."""
        if not self.test:
            return ""
        arguments = [
            f"{name}={_text(value)}" for name, value in self.arguments.items()
        ]
        return f"{self.test}({', '.join(arguments)})"

    @property
    def region_text(self) -> str:
        """What the claim says of the result, as text."""
        if "between" in self.holds:
            low, high = self.holds["between"]
            return f"between {low:g} and {high:g}"
        for word in ("above", "below"):
            if word in self.holds:
                return f"{word} {self.holds[word]:g}"
        return ""

    def run(self, results: str | Path) -> Finding:
        """Call the test on an edition's folder of tables."""
        test = TESTS[self.test]
        if "results" in inspect.signature(test).parameters:
            return test(results, **self.arguments)
        return test(**self.arguments)


def _text(value) -> str:
    """An argument of a test, as text."""
    if isinstance(value, list):
        return " + ".join(_text(item) for item in value)
    if isinstance(value, dict):
        items = [f"{key}: {_text(item)}" for key, item in value.items()]
        return "{" + ", ".join(items) + "}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:g}"
