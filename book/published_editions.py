"""Editions that the authors of the book ran and published with it, read with
whose they are: never the reader's own.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mmssl import __version__, ledger
from mmssl.ledger.code import source_of
from mmssl.ledger.hashes import hash_file
from mmssl.ledger.manifest import check_manifest
from mmssl.ledger.stale_files import PUBLISHED as RECORD

FORMAT = 1
"""Of the record; another one is not read."""

VERSION = re.compile(r"[0-9A-Za-z.+-]+")
"""What a version may be, which is shown as it is."""

_FIELDS = {
    "format": int,
    "edition": str,
    "version": str,
    "code": dict,
    "core_hours": float,
    "simulated": bool,
    "pages": dict,
}


@dataclass(frozen=True)
class Published:
    """One published edition.

    Attributes
    ----------
    folder : Path
    record : mapping
        Its ``published.json``.
    """

    folder: Path
    record: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Of the edition."""
        return self.record["edition"]

    @property
    def tables(self) -> Path:
        """Folder of its tables."""
        return self.folder / "tables"

    @property
    def label(self) -> str:
        """Its name with the version that made it, in Markdown."""
        name = ledger.escaped(self.name)
        version = self.record["version"]
        return f"{name}, published (mmssl {version})"

    def told(self) -> str:
        """Say in Markdown who made it with what, and whether the code is the
        same today.
        """
        name = ledger.escaped(self.name.capitalize())
        version = self.record["version"]
        code = ledger.hash_json(self.record["code"])[:12]
        text = (
            f"**{name} edition**: made by the authors of this book with mmssl "
            f"{version}, code `{code}`, and published with it. Its pages took "
            f"{self.record['core_hours']:.1f} core-hours, those that were "
            "stopped in their last piece. **It was not made on your "
            "machine.** "
        )
        if self.record["simulated"]:
            text += "Its people are simulated. "
        return text + self._age()

    def table(self, name: str) -> pd.DataFrame | None:
        """Return one of its tables by its name; None where it has none.

        Raises
        ------
        ValueError
            For one that was changed after it was saved.
        """
        file = self.tables / f"{name}.tsv"
        return ledger.read_table(file) if file.is_file() else None

    def _age(self) -> str:
        changes = []
        for module, known in self.record["code"].items():
            source = source_of(module)
            if source is None or hash_file(source) != known:
                changes.append(module)
        total = len(self.record["code"])
        since = f"{len(changes)} of {total} files of its code have changed"
        if self.record["version"] != __version__:
            return (
                f"**An older or other version than this book's "
                f"({__version__})**: {since}, so its numbers may not be those "
                "that this code would give."
            )
        if changes:
            return f"Since it was made, {since}."
        return "Its code is that of this book."


def read(folder: Path) -> list[Published]:
    """Return the published editions in a folder, by name.

    Parameters
    ----------
    folder : Path
        ``book/published``; it need not exist.

    Raises
    ------
    ValueError
        Naming the file, where one was changed after it was made, or the
        record lacks a field or has one of another type.
    """
    found = []
    for file in sorted(folder.glob(f"*/{RECORD}")):
        if file.parent.name.startswith("."):
            continue
        check_manifest(file.parent)
        record = json.loads(file.read_text(encoding="utf-8"))
        for name, kind in _FIELDS.items():
            if not isinstance(record.get(name), kind):
                raise ValueError(
                    f"{file}: {name} is {record.get(name)!r}, expected "
                    f"{kind.__name__}"
                )
        if record["format"] != FORMAT:
            raise ValueError(
                f"{file}: format is {record['format']}, expected {FORMAT}"
            )
        if not VERSION.fullmatch(record["version"]):
            raise ValueError(
                f"{file}: version is {record['version']!r}, expected letters, "
                "digits, '.', '+' and '-'"
            )
        if record["edition"] != file.parent.name:
            raise ValueError(
                f"{file}: edition is {record['edition']!r}, expected that of "
                f"its folder, {file.parent.name!r}"
            )
        found.append(Published(file.parent, record))
    return found
