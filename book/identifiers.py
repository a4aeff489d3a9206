"""Who is in the cohorts that pages read, and whether a text names one of them.

Simulated people and images of digits are nobody. Of everybody else the ids of
people and of their sessions are known, and each is looked for however it is
spelt: in upper or lower case, with or without ``sub-``, in a longer word.
"""

import json
import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from mmssl.cohorts.preprocessed import NAME

SIMULATED = "phantom"
"""The kind of a cohort of simulated people."""

ENTITY = re.compile(r"(?<![A-Za-z0-9])(sub|ses)-([A-Za-z0-9]+)")
"""A person or a session in the name of a file, as BIDS has it."""

SEPARATORS = re.compile(r"[\W_]+")

BLOB = re.compile(r"[a-z0-9+/]{200,}")
"""base64, which is no text: any short id is found in it."""

HASH = re.compile(r"[0-9a-f]+$")

STEM = 6
"""Letters of an id that may stand in a longer word."""

NUMBER = re.compile(r"(?<![^\W_])(?<!\d\.)0*(\d+)(?![^\W_])(?!\.\d)")
"""A whole number that is part of no other one and of no word."""


@dataclass(frozen=True)
class Identifiers:
    """Ids of people and of their sessions, as their tables spell them."""

    people: frozenset[str] = frozenset()
    sessions: frozenset[str] = frozenset()

    def __or__(self, other: "Identifiers") -> "Identifiers":
        return Identifiers(
            self.people | other.people, self.sessions | other.sessions
        )

    def named_in(self, text: str) -> list[str]:
        """Return the first id of a person and the first of a session that a
        text shows, each after what it is.
        """
        found = []
        for what, searched in self._searched.items():
            names = searched.in_text(text)
            if names:
                found.append(f"{what}: {min(names)}")
        return found

    @cached_property
    def _searched(self) -> dict[str, "_Search"]:
        searched = {
            "the id of a participant": _Search(self.people, "sub"),
            "the id of a session": _Search(self.sessions, "ses"),
        }
        return {what: s for what, s in searched.items() if s.names}


def of_parameters(parameters: Mapping[str, Any], root: Path) -> Identifiers:
    """Return the ids in the cohort folders that parameters name, and those in
    the names of files.

    Parameters
    ----------
    parameters : mapping
        Of a page.
    root : Path
        Where relative paths start.

    Raises
    ------
    ValueError
        For a cohort whose people cannot be read, naming the file.
    """
    found = Identifiers()
    for value in parameters.values():
        if not isinstance(value, str) or not value:
            continue
        path = root / value
        cohort = _cohort_of(path)
        if cohort is None or has_people(cohort):
            labels = ENTITY.findall(value)
            found |= Identifiers(
                frozenset(name for label, name in labels if label == "sub"),
                frozenset(name for label, name in labels if label == "ses"),
            )
        if cohort == path and has_people(cohort):
            found |= _of_cohort(cohort)
    return found


def _cohort_of(path: Path) -> Path | None:
    """The cohort folder that a path is or lies in."""
    for folder in (path, *path.parents):
        # a long text is no path, and the system says so with an error
        if os.path.isfile(folder / "cohort.json"):
            return folder
    return None


def has_people(cohort: Path) -> bool:
    """Whether a cohort is of people who exist."""
    file = cohort / "cohort.json"
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        return fields["kind"] != SIMULATED and fields["intensity"] != "unit"
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{file}: no kind or intensity of a cohort ({error!r}), so nobody "
            "knows whose ids must not be shown"
        ) from error


def _of_cohort(folder: Path) -> Identifiers:
    people = _column(folder / "participants.tsv", "participant_id")
    people |= _column(folder / "pairs.tsv", "participant_id")
    sessions = _column(folder / "pairs.tsv", "session")
    return Identifiers(people - {NAME}, sessions)


def _column(file: Path, name: str) -> frozenset[str]:
    try:
        table = pd.read_csv(file, sep="\t", dtype=str, keep_default_na=False)
        return frozenset(table[name])
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{file}: no column {name} ({error!r}), so nobody knows whose ids "
            "must not be shown"
        ) from error


class _Search:
    """How ids are looked for: a number or a short word after its label, what
    could be nothing else also by itself, and what is long and rare also in a
    longer word.
    """

    def __init__(self, names: frozenset[str], label: str) -> None:
        self.names = names
        self.label = re.compile(rf"(?<![^\W_]){label}[-_ ]?0*([^\W_]+)")
        self.labelled: dict[str, str] = {}
        self.numbers: dict[str, str] = {}
        self.phrases: list[tuple[list[str], str, str]] = []
        self.stems: dict[str, list[tuple[str, str]]] = {}
        for name in names:
            key = _key(name).removeprefix(f"{label}-")
            letters = key.replace("-", "")
            if letters:
                self._add(name, key, letters, label)

    def _add(self, name: str, key: str, letters: str, label: str) -> None:
        if letters.isdigit():
            number = letters.lstrip("0") or "0"
            self.labelled[number] = name
            if _is_own_number(letters):
                self.numbers[number] = name
                self._add_phrase(key, name)
            return
        self.labelled[letters] = name
        self._add_phrase(f"{label}-{key}", name)
        if _is_own_word(letters, label):
            self._add_phrase(key, name)
            if _is_rare(letters):
                stem = letters[:STEM]
                self.stems.setdefault(stem, []).append((letters, name))

    def _add_phrase(self, key: str, name: str) -> None:
        self.phrases.append((key.split("-"), f"-{key}-", name))

    def in_text(self, text: str) -> set[str]:
        """The names that a text holds."""
        text = BLOB.sub(" ", text.casefold())
        line = f"-{SEPARATORS.sub('-', text)}-"
        words = set(line.split("-"))
        found = set()
        for group, known in (
            (self.label.findall(text), self.labelled),
            (NUMBER.findall(text), self.numbers),
        ):
            found |= {known[word] for word in known.keys() & set(group)}
        for parts, phrase, name in self.phrases:
            if words.issuperset(parts) and phrase in line:
                found.add(name)
        return found | self._in_longer_words(words)

    def _in_longer_words(self, words: set[str]) -> set[str]:
        found = set()
        for word in words if self.stems else ():
            for start in range(len(word) - STEM + 1):
                stem = word[start : start + STEM]
                for letters, name in self.stems.get(stem, ()):
                    if letters in word:
                        found.add(name)
        return found


def _key(text: str) -> str:
    """A text in lower case, what is between its words as a hyphen."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return SEPARATORS.sub("-", text).strip("-")


def _is_own_number(digits: str) -> bool:
    """Whether a number is rather an id than a count or a year."""
    if len(digits) < 5:
        return len(digits) == 4 and digits[0] == "0"
    return not digits.endswith("000")


def _is_own_word(letters: str, label: str) -> bool:
    """Whether a word is rather an id than another word; people are named
    like anything, sessions also "baseline" and "M12".
    """
    if label == "ses":
        return len(letters) > 3 and any(c.isdigit() for c in letters)
    return len(letters) > 2


def _is_rare(letters: str) -> bool:
    """Whether an id is in no longer word, and in no hash, by chance."""
    has_digit = any(c.isdigit() for c in letters)
    return len(letters) >= STEM and has_digit and not HASH.match(letters)
