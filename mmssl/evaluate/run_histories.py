"""What was watched while runs trained, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmssl.pretrain.run_folder import read_history, read_parameters

if TYPE_CHECKING:
    import pandas as pd

CURVES = ("model", "modality", "epoch", "auc")


def neighbour_curves(
    folders: Mapping[str, str | Path], modalities: Sequence[str]
) -> pd.DataFrame:
    """ROC-AUC of nearest neighbours after every epoch of every run.

    Parameters
    ----------
    folders : {model: run folder}
        Of `mmssl.evaluate.runs.finished_runs`.
    modalities : sequence of str

    Returns
    -------
    DataFrame
        model, modality, epoch (from 1), auc; without runs that recorded none,
        as those of people without labels.
    """
    import pandas as pd

    lines = []
    for model, folder in folders.items():
        history = read_history(folder)
        for modality in modalities:
            if f"knn/{modality}" not in history:
                continue
            line = {"model": model, "modality": modality}
            line |= {"epoch": history["epoch"] + 1}
            line |= {"auc": history[f"knn/{modality}"]}
            lines.append(pd.DataFrame(line))
    if not lines:
        return pd.DataFrame(columns=CURVES)
    return pd.concat(lines, ignore_index=True)


def last_validation(histories: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """What validation pairs had after the last epoch of several runs, as a
    page shows it.

    Parameters
    ----------
    histories : iterable of DataFrame
        Of `mmssl.pretrain.read_history`, each with its column model.

    Returns
    -------
    DataFrame
        One line a model: model, then each term's values ("SwAV, loss") and
        "RankMe of" each modality, in the order of the histories; NaN where a
        run has none.
    """
    import pandas as pd

    last = pd.concat(histories).groupby("model", sort=False).last()
    names = {}
    for column in last:
        role, *rest = column.split("/")
        if role == "rankme":
            names[column] = f"RankMe of {rest[0]}"
        elif role == "valid" and len(rest) == 2:
            names[column] = ", ".join(rest)
    return last[list(names)].rename(columns=names).reset_index()


def learned_above_chance(folder: str | Path) -> dict[str, float]:
    r"""How far each term of a run came below features that say nothing.

    :math:`\ell_\mathrm{chance} - \ell`, both without weight and penalty, in
    the epoch whose encoders are kept: on the validation people where the run
    had any, on those of the training otherwise. Of InfoNCE and cross-entropy
    it is in nats, of InfoNCE summed over the edges of the term.

    Parameters
    ----------
    folder : path
        Of a finished run.

    Returns
    -------
    {term: float}
        Negative where the term did worse than that; without terms that have
        no chance level.
    """
    history = read_history(folder)
    role = "valid" if "valid/loss" in history else "train"
    kept = history.index[-1]
    if read_parameters(folder)["keep"] == "best":
        kept = history[f"{role}/loss"].idxmin()
    learned = {}
    for column in history:
        parts = column.split("/")
        if len(parts) == 3 and parts[0] == role and parts[2] == "chance":
            loss = history[f"{role}/{parts[1]}/loss"][kept]
            learned[parts[1]] = float(history[column][kept] - loss)
    return learned
