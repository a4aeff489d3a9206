"""The list of claims, ``book/claims/claims.yaml``, read and checked.

A claim either names a test with its arguments and what it says of the result
(`holds`), or the chapter to come that will test it, or why it cannot be tested
here. All of that is checked when the list is read, against the signatures of
the tests, so that no typing error waits until the last chapter.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from book.claims.claim import TESTS, Claim, Paper
from book.claims.entry_checks import entry_errors, shorten


def read(path: str | Path) -> tuple[dict[str, Paper], list[Claim]]:
    """Read and check the list of claims.

    Parameters
    ----------
    path : path
        A YAML file with the entries ``papers`` and ``claims``; ``negligible``
        (the smallest difference that matters, by test) and ``models`` (lists
        that claims refer to) may be there too.

    Returns
    -------
    papers : {number: Paper}
    claims : list of Claim

    Raises
    ------
    ValueError
        All that is wrong, a line each: file, claim, field, what was found,
        what is expected.
    """
    path = Path(path)
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    _check_document(path, document)
    papers = {
        number: Paper(number, **about)
        for number, about in document["papers"].items()
    }
    negligible = document.get("negligible", {})
    unknown = set(negligible) - set(TESTS)
    errors = [f"negligible: {name!r} is no test" for name in unknown]
    claims: dict[str, Claim] = {}
    for place, entry in enumerate(document["claims"]):
        name = f"entry {place}"
        if isinstance(entry, dict):
            name = entry.get("id", name)
        wrong = entry_errors(entry, papers)
        if name in claims:
            wrong.append("id: comes twice, expected once")
        if not wrong:
            claims[name] = _claim(entry, papers, negligible)
        errors += [f"{name}: {error}" for error in wrong]
    if errors:
        lines = [f"{path.name}: {error}" for error in errors]
        raise ValueError("\n".join(lines))
    return papers, list(claims.values())


def _check_document(path: Path, document) -> None:
    """ValueError unless the file holds the entries that it should."""
    needed = {"papers", "claims"}
    allowed = needed | {"models", "negligible"}
    names = set(document) if isinstance(document, dict) else set()
    if not needed <= names <= allowed:
        raise ValueError(
            f"{path}: expected a mapping with papers, claims and perhaps "
            f"negligible and models, found {shorten(document)}"
        )


def _claim(
    entry: Mapping, papers: Mapping[str, Paper], negligible: Mapping
) -> Claim:
    """A claim from an entry that has been checked."""
    fields = {"paper": papers[entry["id"][:3]].name}
    for key, value in entry.items():
        if isinstance(value, str):
            fields[key] = " ".join(value.split())
        elif key not in ("test", "holds"):
            fields[key] = value
    if "test" not in entry:
        return Claim(**fields)
    ((test, arguments),) = entry["test"].items()
    holds = dict(entry["holds"])
    if "between" not in holds and test in negligible:
        holds.setdefault("negligible", negligible[test])
    fields["test"] = test
    fields["arguments"] = arguments or {}
    fields["holds"] = holds
    return Claim(**fields)
