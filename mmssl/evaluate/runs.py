"""Which finished runs of a folder belong to a cohort and a fold."""

from __future__ import annotations

import json
from pathlib import Path


def finished_runs(runs: str | Path, cohort, fold: int = 0) -> dict[str, Path]:
    """The finished runs of one fold of a cohort, sorted by model.

    A model is named after its run folder, without the ending
    ``-fold<k>-seed<s>`` where that stays unique. Runs of another fold, or of
    other images (by content hash), are left out.

    Parameters
    ----------
    runs : path
        Folder of run folders.
    cohort : Cohort
    fold : int

    Returns
    -------
    dict
        {model: run folder}.

    Raises
    ------
    ValueError
        If there is none, with the command that makes one.
    """
    hashes = dict(cohort.hashes)
    folders, short = [], []
    for record in sorted(Path(runs).glob("*/params.json")):
        folder = record.parent
        if folder.suffix == ".partial":
            continue
        params = json.loads(record.read_text())
        if params["fold"] == fold and params["cohort"]["hashes"] == hashes:
            ending = f"-fold{fold}-seed{params['seed']}"
            folders.append(folder)
            short.append(folder.name.removesuffix(ending))
    if not folders:
        raise ValueError(
            f"{runs}: no finished run of {cohort.name}, fold {fold}; make one "
            "with python notebooks/execute.py notebooks/03_pretraining.ipynb "
            "data/executed/smoke/03_pretraining.ipynb"
        )
    unique = len(set(short)) == len(short)
    names = short if unique else [folder.name for folder in folders]
    return dict(sorted(zip(names, folders, strict=True)))
