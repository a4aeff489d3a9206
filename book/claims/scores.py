"""Scores of people under every model, as chapter 04 leaves them, and
differences of AUC between models on the same people.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from book.claims.evidence import (
    Finding,
    NotInEdition,
    from_limits,
    normal,
    read_table,
    select_models,
)
from mmssl.stats.auc import roc_auc
from mmssl.stats.delong import delong_covariance
from mmssl.stats.intervals import score_interval

SCORES = "linear_evaluation_scores.tsv"

_COLUMNS = (
    "fold",
    "protocol",
    "model",
    "modality",
    "draw",
    "pair",
    "label",
    "score",
)


def read_scores(
    results: str | Path,
    models: list[str],
    modalities: list[str],
    protocol: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Read the hold-out's labels and the scores of some models.

    Parameters
    ----------
    results : path
        The edition's folder of tables.
    models, modalities : list of str
    protocol : str
        Of `mmssl.evaluate.linear_evaluation`.

    Returns
    -------
    labels : array, shape (people,)
    scores : array, shape (models x modalities x folds x draws, people)

    Raises
    ------
    NotInEdition
        Where a model or a modality is not in the table.
    ValueError
        Where the models were scored on different people.
    """
    people, wide = read_table(
        results, SCORES, "04_linear_evaluation", _COLUMNS, _person_by_column
    )
    table = select_models(wide, models, SCORES, protocol=protocol)
    present = set(table["modality"])
    absent = [m for m in modalities if m not in present]
    if absent:
        raise NotInEdition(f"{SCORES}: no modality {', '.join(absent)}")
    in_modalities = table["modality"].isin(modalities)
    scores = table.loc[in_modalities, people.index].dropna(axis=1, how="all")
    if scores.isna().any(axis=None):
        raise ValueError(
            f"{SCORES}: {models} were not scored on the same people in every "
            "fold"
        )
    return people[scores.columns].to_numpy(), scores.to_numpy()


def hold_out_aucs(
    results: str | Path, model: str, modalities: list[str], protocol: str
) -> np.ndarray:
    """AUCs of one model, one for each modality and fold."""
    labels, scores = read_scores(results, [model], modalities, protocol)
    return np.array([roc_auc(labels, one_score) for one_score in scores])


def auc_difference(
    labels: np.ndarray, first: np.ndarray, second: np.ndarray
) -> Finding:
    """Mean AUC of the first scores minus that of the second, on the same
    people.

    Never of no width where the scores differ: if both sides separate the
    groups perfectly, the score intervals of both say how far they may still be
    apart.

    Parameters
    ----------
    labels : array, shape (people,)
    first : array, shape (a, people)
    second : array, shape (b, people)
        With b = 0 the mean AUC of the first is meant.
    """
    sample = count_people(labels)
    if first.shape == second.shape and np.array_equal(first, second):
        return normal(0.0, 0.0, sample, "DeLong")
    both = np.vstack([first, second])
    n_first, n_second = len(first), len(second)
    weights = np.concatenate(
        [
            np.full(n_first, 1 / n_first),
            np.full(n_second, -1 / max(1, n_second)),
        ]
    )
    aucs = np.array([roc_auc(labels, one_score) for one_score in both])
    variance = float(weights @ delong_covariance(labels, both) @ weights)
    error = max(0.0, variance) ** 0.5
    finding = normal(weights @ aucs, error, sample, "DeLong")
    if variance > 1e-12:
        return finding
    positives, negatives = int(labels.sum()), int((labels == 0).sum())

    def limits_at(level):
        one = score_interval(
            aucs[:n_first].mean(), positives, negatives, level
        )
        if n_second == 0:
            return one.low, one.high
        other = score_interval(
            aucs[n_first:].mean(), positives, negatives, level
        )
        return one.low - other.high, one.high - other.low

    return from_limits(finding.estimate, limits_at, sample, "score")


def count_people(labels: np.ndarray) -> str:
    """Patients and controls, as text."""
    return f"{int(labels.sum())} + {int((labels == 0).sum())} people"


def _person_by_column(scores: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame]:
    """Labels by person, and one line for each protocol, model, modality, fold
    and draw with a column for each person.
    """
    first_lines = scores.drop_duplicates("pair")
    people = first_lines.set_index("pair")["label"].sort_index()
    keys = ["protocol", "model", "modality", "fold", "draw"]
    wide = scores.pivot(index=keys, columns="pair", values="score")
    return people, wide.reset_index()
