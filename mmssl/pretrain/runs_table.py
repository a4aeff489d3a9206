"""All runs below a folder in one table: what each was, how far it came, and
what its encoders are worth where somebody has measured it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmssl.ledger import limits, paths
from mmssl.ledger.atomic import UNFINISHED
from mmssl.ledger.hashes import hash_json
from mmssl.ledger.manifest import check_files, read_manifest
from mmssl.ledger.sidecars import read_sidecar
from mmssl.pretrain.probed_runs import EMBEDDINGS, PROTOCOL, ProbedRuns
from mmssl.pretrain.run_folder import LAST, PARAMETERS
from mmssl.pretrain.run_settings import deviations

if TYPE_CHECKING:
    import pandas as pd

FINISHED, NOT_FINISHED, UNREADABLE = "finished", "unfinished", "unreadable"
HISTORY, CHECKPOINT = "history.csv", "checkpoint.ckpt"

COLUMNS = (
    "name",
    "state",
    "reason",
    "objective",
    "cohort",
    "data",
    "fold",
    "seed",
    "epochs",
    "deviating",
    "train_first",
    "train_last",
    "train_best",
    "train_chance",
    "valid_first",
    "valid_last",
    "valid_best",
    "valid_chance",
    "device",
    "threads",
    "precision",
    "seconds",
    "core_hours",
    "code",
)
"""Of the table, in their order; those of the modalities follow."""

# before the name of a modality
_KINDS = ("rankme", "auc", "auc_low", "auc_high")
_SHORT = 12  # digits of a hash that is shown


def read_runs(
    folder: str | Path,
    results: str | Path | None = None,
    executed: str | Path | None = None,
    protocol: str = PROTOCOL,
) -> pd.DataFrame:
    """One line for each run that lies below a folder, by name.

    Of a run, its parameters and its history are compared with their hashes
    and its other files are only looked for, so that a thousand runs take
    seconds; ``make verify`` reads every byte.

    Parameters
    ----------
    folder : path
        Run folders may lie at any depth.
    results : path, optional
        ``linear_evaluation.tsv`` with its sidecar, of the page that probed
        some of the runs.
    executed : path, optional
        Folder of executed notebooks: their sidecars say how long the page
        that made a run took; the longest, where several are of one run.
    protocol : str
        Of the lines of ``results``.

    Returns
    -------
    DataFrame
        `COLUMNS`: name (path in the folder), state ("finished", "unfinished",
        "unreadable"), reason (of the latter), objective, cohort, data (first
        digits of the hash of the cohort's hashes), fold, seed, epochs,
        deviating (settings that most have otherwise, and options that are
        not the defaults), total losses on training and validation pairs in
        the first, last and best epoch with the chance level in the last one,
        device, threads, precision, seconds and core_hours (of the page), code
        (first digits of one hash of all code). Then rankme/<modality> (last
        epoch) and, with results, auc/, auc_low/ and auc_high/<modality>: the
        mean over the folds that the table has. What is not on record is
        missing.

    Raises
    ------
    ValueError
        Where the folder or the table is not there, or the table was changed.
        A run that cannot be read is a line of the table.
    """
    import pandas as pd

    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: not found; expected a folder of runs")
    probed = ProbedRuns(results, protocol) if results is not None else None
    costs = _page_costs(executed) if executed is not None else {}
    lines, records = [], {}
    for run in sorted(_run_folders(folder)):
        name = run.relative_to(folder).as_posix().removesuffix(".partial")
        line = {"name": name, "state": UNREADABLE, "reason": ""}
        try:
            record, found = _read_run(run, probed)
        except Exception as error:  # whatever a damaged file leads to
            line["reason"] = _reason(error, run)
        else:
            line |= found | costs.get(run.resolve(), {})
            records[len(lines)] = record
        lines.append(line)
    for number, text in deviations(records).items():
        lines[number]["deviating"] = text
    return _ordered(pd.DataFrame(lines, columns=None if lines else COLUMNS))


def _run_folders(folder: Path) -> Iterator[Path]:
    """Folders that hold something of a run; nothing below a run is one."""
    for place, folders, files in os.walk(folder):
        folders[:] = [n for n in folders if not n.startswith(UNFINISHED)]
        if {PARAMETERS, CHECKPOINT, LAST} & {*files}:
            folders.clear()
            yield Path(place)


def _read_run(
    run: Path, probed: ProbedRuns | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters of a run, and its line of the table."""
    is_finished = run.suffix != ".partial"
    hashes = {}
    if is_finished:
        hashes = read_manifest(run)
        check_files(run, hashes, [PARAMETERS, HISTORY])
        for name in hashes:
            if not (run / name).is_file():
                raise ValueError(f"{run / name}: not found, but it was made")
    record = json.loads(limits.read_text(run / PARAMETERS))
    for name, kind in {"objective": str, "options": dict}.items():
        if not isinstance(record.get(name), kind):
            raise ValueError(
                f"{run / PARAMETERS}: {name} is {record.get(name)!r}, "
                f"expected {kind.__name__}"
            )
    line = {"state": FINISHED if is_finished else NOT_FINISHED}
    line |= {"deviating": ""} | _described(record)
    if is_finished:
        line |= _losses(run / HISTORY)
    if probed is not None and is_finished:
        line |= _probed(probed, hashes.get(EMBEDDINGS, ""))
    return record, line


def _described(record: Mapping) -> dict[str, Any]:
    """What a run's parameters say of it."""
    line = {}
    for name in ("objective", "fold", "seed", "epochs", "device", "threads"):
        line[name] = record.get(name)
    return line | {
        "precision": record.get("precision"),
        "cohort": record["cohort"]["name"],
        "data": hash_json(record["cohort"]["hashes"])[:_SHORT],
        "code": hash_json(record["code"])[:_SHORT],
    }


def _losses(file: Path) -> dict[str, float]:
    """Losses with their chance levels, and effective ranks."""
    import pandas as pd

    limits.check_text(file)
    history = pd.read_csv(file, encoding="utf-8")
    line = {}
    for role in ("train", "valid"):
        if f"{role}/loss" not in history:
            continue
        losses = history[f"{role}/loss"].astype(float)
        line[f"{role}_first"] = losses.iloc[0]
        line[f"{role}_last"] = losses.iloc[-1]
        line[f"{role}_best"] = losses.min()
        if f"{role}/chance" in history:
            line[f"{role}_chance"] = float(history[f"{role}/chance"].iloc[-1])
    for name in history:
        if name.startswith("rankme/"):
            line[name] = float(history[name].iloc[-1])
    return line


def _probed(probed: ProbedRuns, digest: str) -> dict[str, float]:
    """AUC with its interval, by modality."""
    line = {}
    for row in probed.of_embeddings(digest).itertuples():
        line[f"auc/{row.modality}"] = row.auc
        line[f"auc_low/{row.modality}"] = row.low
        line[f"auc_high/{row.modality}"] = row.high
    return line


def _page_costs(executed: str | Path) -> dict[Path, dict[str, float]]:
    """Seconds and core-hours of the pages that made runs, by run."""
    costs = {}
    for sidecar in sorted(Path(executed).rglob("*.ipynb.json")):
        try:
            record = read_sidecar(sidecar.with_suffix(""))
        except ValueError:  # a page without a record has no cost on record
            continue
        place = record["parameters"].get("run_dir")
        facts = record["facts"]
        if not isinstance(place, str) or "seconds" not in facts:
            continue
        run = (paths.root(sidecar.parent) / place).resolve()
        cost = {"seconds": facts["seconds"]}
        if "processor_seconds" in facts:
            cost["core_hours"] = facts["processor_seconds"] / 3600
        known = costs.get(run, cost)
        costs[run] = max(known, cost, key=lambda one: one["seconds"])
    return costs


def _reason(error: Exception, run: Path) -> str:
    """An error without the folder that it names."""
    if isinstance(error, OSError) and error.strerror:
        return f"{Path(error.filename or run).name}: {error.strerror}"
    text = str(error).replace(f"{run}/", "")
    if isinstance(error, ValueError):
        return text
    return f"{type(error).__name__}: {text}"


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    """All columns in their order, those of modalities behind."""
    further = sorted(set(table.columns) - set(COLUMNS), key=_by_kind)
    return table.reindex(columns=[*COLUMNS, *further])


def _by_kind(column: str) -> tuple[int, str, int]:
    """Ranks first, then the AUCs of each modality."""
    kind, _, modality = column.partition("/")
    place = _KINDS.index(kind)
    return min(place, 1), modality, place
