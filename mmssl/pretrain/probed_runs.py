"""Which lines of a results table are those of a run.

The page of the linear evaluation records beside its table the hash of the
embeddings that it probed; a run's manifest has the hash of those it made. So
a line belongs to a run by content, whatever either is called.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmssl.ledger.artefacts import read_table
from mmssl.ledger.hashes import hash_file
from mmssl.ledger.sidecars import read_sidecar

if TYPE_CHECKING:
    import pandas as pd

EMBEDDINGS = "embeddings.npz"
PROTOCOL = "logistic regression"
"""Of the lines that are looked at where no other is asked for."""

_COLUMNS = ("protocol", "model", "modality", "baseline", "auc", "low", "high")
_OF_A_RUN = re.compile(r"(?P<model>.+), fold (?P<fold>\d+)", re.DOTALL)


class ProbedRuns:
    """A results table, ``linear_evaluation.tsv``, and whose runs it is of.

    Parameters
    ----------
    file : path
        With its sidecar.
    protocol : str
        Of the lines to look at.

    Raises
    ------
    ValueError
        For a table that is missing, was changed, lacks a column, or has no
        line of the protocol.
    """

    def __init__(self, file: str | Path, protocol: str = PROTOCOL):
        self.file = Path(file)
        table = read_table(self.file)
        missing = [name for name in _COLUMNS if name not in table]
        if missing:
            raise ValueError(
                f"{self.file}: missing columns: {', '.join(missing)}"
            )
        self.lines = table[table["protocol"] == protocol]
        if self.lines.empty:
            raise ValueError(
                f"{self.file}: protocol {protocol!r} asked for, "
                f"{sorted(set(table['protocol']))} found"
            )
        self.of_models = dict(iter(self.lines.groupby("model")))
        self.models = {}
        for name, entry in read_sidecar(self.file)["inputs"].items():
            found = _OF_A_RUN.fullmatch(name)
            if found:
                self.models[entry["hash"]] = found["model"]

    @property
    def hash(self) -> str:
        """SHA-256 of the table."""
        return hash_file(self.file)

    def of_embeddings(self, digest: str) -> pd.DataFrame:
        """Return the lines of the run whose embeddings have a hash; none
        where it was not probed.
        """
        model = self.models.get(digest)
        return self.of_models.get(model, self.lines.iloc[:0])

    def baselines(self, modality: str) -> pd.DataFrame:
        """Return the lines of the baselines of a modality."""
        is_own = self.lines["modality"] == modality
        is_baseline = self.lines["baseline"].astype(bool)
        return self.lines[is_own & is_baseline]


def as_record(line: pd.Series) -> dict[str, Any]:
    """A line of a table as plain values for a record; None for what is
    missing.
    """
    import pandas as pd

    record = {}
    for name, value in line.items():
        plain = value.item() if hasattr(value, "item") else value
        record[name] = None if pd.isna(plain) else plain
    return record
