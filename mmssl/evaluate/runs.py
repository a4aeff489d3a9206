"""Which finished runs of a folder belong to a cohort and a fold."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmssl.objectives.language import parse, term_class
from mmssl.pretrain.run_folder import read_parameters
from mmssl.pretrain.run_settings import deviations


def finished_runs(runs: str | Path, cohort, fold: int = 0) -> dict[str, Path]:
    """The finished runs of one fold of a cohort, sorted by model.

    A model is named after its run folder, without the ending
    ``-fold<k>-seed<s>`` where that stays unique. Runs of another fold, or of
    other images (by content hash), are left out; so is, with a warning, a
    folder that cannot be read (`unreadable_runs`).

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
    unreadable = unreadable_runs(runs)
    if unreadable:
        reasons = [f"{name} ({why})" for name, why in unreadable.items()]
        warnings.warn(
            f"unreadable runs are left out: {'; '.join(reasons)}",
            stacklevel=2,
        )
    folders, short, others = [], [], 0
    for folder in _run_folders(runs):
        if folder.name in unreadable:
            continue
        params = read_parameters(folder)
        if params["fold"] == fold and params["cohort"]["hashes"] == hashes:
            ending = f"-fold{fold}-seed{params['seed']}"
            folders.append(folder)
            short.append(folder.name.removesuffix(ending))
        elif params["fold"] == fold:
            others += 1
    if not folders:
        left_out = f" ({len(unreadable)} unreadable)" if unreadable else ""
        if others:
            left_out += (
                f" ({others} of other images, splits or labels than "
                f"{cohort.path} has now: to be removed, if they are of an "
                "earlier version of it)"
            )
        raise ValueError(
            f"{runs}: no finished run of {cohort.name}, fold {fold}"
            f"{left_out}; make one with python notebooks/execute.py "
            f"notebooks/03_pretraining.ipynb OUTPUT.ipynb -p fold {fold} -p "
            f"cohort {cohort.path} -p run_dir {runs}/NAME"
        )
    unique = len(set(short)) == len(short)
    names = short if unique else [folder.name for folder in folders]
    return dict(sorted(zip(names, folders, strict=True)))


def runs_of_folds(
    runs: str | Path, cohort, folds: Sequence[int]
) -> dict[int, dict[str, Path]]:
    """The finished runs of several folds: {fold: {model: run folder}}.

    Where a run is unreadable its model is left out of every fold, as models
    are compared over the same folds. Parameters and errors as `finished_runs`.
    """
    found = {fold: finished_runs(runs, cohort, fold) for fold in folds}
    if not unreadable_runs(runs):
        return found
    shared = set.intersection(*(set(models) for models in found.values()))
    for fold, models in found.items():
        found[fold] = {m: models[m] for m in models if m in shared}
    return found


def unreadable_runs(runs: str | Path) -> dict[str, str]:
    """Folders of finished runs that cannot be read, and why, sorted by name.

    Parameters
    ----------
    runs : path
        Folder of run folders.

    Returns
    -------
    dict
        {name of the run folder: file and reason}.
    """
    reasons = {}
    for folder in _run_folders(runs):
        reason = _unreadable(folder)
        if reason:
            reasons[folder.name] = reason
    return reasons


def _run_folders(runs: str | Path) -> list[Path]:
    """Folders that hold the parameters of a run and are no unfinished one."""
    records = sorted(Path(runs).glob("*/params.json"))
    return [
        record.parent
        for record in records
        if record.parent.suffix != ".partial"
    ]


def _unreadable(folder: Path) -> str:
    """Which file of a run cannot be trusted and why, or nothing."""
    try:
        missing = _missing_fields(read_parameters(folder))
    except (OSError, ValueError) as error:
        return _short(error).replace(f"{folder}/", "")
    return f"params.json: missing {', '.join(missing)}" if missing else ""


def _missing_fields(params) -> list[str]:
    """Fields that a run's parameters lack."""
    if not isinstance(params, dict):
        return ["fields"]
    missing = [
        name for name in ("fold", "seed", "cohort") if name not in params
    ]
    cohort = params.get("cohort")
    if not missing and "hashes" not in (cohort or ()):
        missing = ["cohort.hashes"]
    return missing


def _short(error: Exception) -> str:
    """An error without the folders that it names."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def deviating_settings(folders: Mapping[str, Path]) -> dict[str, str]:
    """In what the training of a model differs from that of the others.

    Parameters
    ----------
    folders : mapping
        {model: run folder}.

    Returns
    -------
    dict
        {model: "epochs 4, samples 2"}, see
        :func:`mmssl.pretrain.run_settings.deviations`.
    """
    records = {}
    for model, folder in folders.items():
        records[model] = read_parameters(folder)
    return deviations(records)


def supervised_runs(folders: Mapping[str, Path]) -> set[str]:
    """Models in whose training labels had a part: as a term of the objective,
    or in how often each class was drawn.

    Parameters
    ----------
    folders : mapping
        {model: run folder}.
    """
    found = set()
    for model, folder in folders.items():
        record = read_parameters(folder)
        terms = [term_class(word) for word in parse(record["objective"])]
        if any(t.supervised for t in terms) or record["balanced"]:
            found.add(model)
    return found
