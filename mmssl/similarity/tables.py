"""The results of chapter 5: similarity in every run, role and group, and the
difference between groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from mmssl.similarity.groups import group_test, rows_of_groups
from mmssl.similarity.inference import (
    FEWEST,
    chance_level,
    jackknife_intervals,
    shuffled_null,
)
from mmssl.similarity.measures import MEASURES
from mmssl.stats.permutation import permutation_p

if TYPE_CHECKING:
    import pandas as pd


def similarity_table(
    cohort,
    embeddings: Mapping[str, Mapping[str, np.ndarray]],
    fold: int = 0,
    permutations: int = 200,
    blocks: int = 20,
    seed: int = 0,
    threshold: float = 0.99,
) -> pd.DataFrame:
    """Similarity of every two modalities, for every model, role, group and
    measure.

    Parameters
    ----------
    cohort : Cohort
    embeddings : {model: {modality: (pairs, latent)}}
        In cohort order, as `mmssl.pretrain.encoders.embed` returns them.
    fold : int
    permutations, blocks, seed, threshold
        Of `mmssl.similarity.inference.shuffled_null`,
        `mmssl.similarity.inference.jackknife_intervals` and
        `mmssl.similarity.measures.svcca`.

    Returns
    -------
    DataFrame
        model, pair (of modalities), role ("train", "holdout"), group ("all"
        and the classes of the first task), measure, estimate, low, high,
        chance, shuffle_mean, shuffle_95, p, n, d (the smaller side). NaN where
        a group has fewer than 5 people or a code has collapsed to one point,
        but for one person's.
    """
    import pandas as pd

    cells = list(_cells(cohort, embeddings, fold))
    lines = []
    for cell, rows in tqdm(cells, desc="similarity", unit="cell"):
        codes = embeddings[cell["model"]]
        first, second = cell["modalities"]
        x, y = np.asarray(codes[first])[rows], np.asarray(codes[second])[rows]
        scores = {name: {} for name in MEASURES}
        if len(rows) >= FEWEST and not _collapsed(x) and not _collapsed(y):
            scores = _scores(x, y, permutations, blocks, seed, threshold)
        for name in MEASURES:
            line = {
                "model": cell["model"],
                "pair": f"{first}–{second}",
                "role": cell["role"],
                "group": cell["group"],
                "measure": name,
                "n": len(rows),
                "d": min(x.shape[1], y.shape[1]),
            }
            line.update(scores[name])
            lines.append(line)
    columns = [
        "model",
        "pair",
        "role",
        "group",
        "measure",
        "estimate",
        "low",
        "high",
        "chance",
        "shuffle_mean",
        "shuffle_95",
        "p",
        "n",
        "d",
    ]
    return pd.DataFrame(lines, columns=columns)


def group_table(
    cohort,
    embeddings: Mapping[str, Mapping[str, np.ndarray]],
    role: str = "holdout",
    fold: int = 0,
    permutations: int = 200,
    seed: int = 0,
    threshold: float = 0.99,
) -> pd.DataFrame:
    """`mmssl.similarity.groups.group_test` of the cohort's two classes, for
    every model and two modalities, in one role.

    Parameters
    ----------
    cohort, embeddings, fold
        As in `similarity_table`.
    role : {"train", "holdout"}
    permutations, seed, threshold
        As in `mmssl.similarity.groups.group_test`.

    Returns
    -------
    DataFrame
        model, pair, role, n_first, n_second (people) and the columns of
        `mmssl.similarity.groups.group_test`; a model whose codes have
        collapsed to one point has no line.

    Raises
    ------
    ValueError
        For a task of other than two classes, or fewer than 5 people in one.
    """
    import pandas as pd

    tables = []
    for model, codes in tqdm(embeddings.items(), desc="groups", unit="run"):
        for first, second in _modality_pairs(cohort, codes):
            both = (first, second)
            rows = cohort.rows(role, fold)
            rows = cohort.downstream(rows, modalities=both)
            labels = cohort.labels()[rows]
            n_first, n_second = map(len, rows_of_groups(labels, len(rows)))
            x = np.asarray(codes[first])[rows]
            y = np.asarray(codes[second])[rows]
            if _collapsed(x) or _collapsed(y):
                continue
            table = group_test(x, y, labels, permutations, seed, threshold)
            table.insert(0, "model", model)
            table.insert(1, "pair", f"{first}–{second}")
            table.insert(2, "role", role)
            table.insert(3, "n_first", n_first)
            table.insert(4, "n_second", n_second)
            tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _cells(
    cohort, embeddings: Mapping, fold: int
) -> Iterator[tuple[dict, np.ndarray]]:
    """What one line a measure speaks of, and the rows of its people."""
    for model, codes in embeddings.items():
        for modalities in _modality_pairs(cohort, codes):
            for role in ("train", "holdout"):
                groups = _groups(cohort, role, fold, modalities)
                for group, rows in groups.items():
                    cell = {
                        "model": model,
                        "modalities": modalities,
                        "role": role,
                        "group": group,
                    }
                    yield cell, rows


def _scores(
    x: np.ndarray,
    y: np.ndarray,
    permutations: int,
    blocks: int,
    seed: int,
    threshold: float,
) -> dict[str, dict[str, float]]:
    """Every measure with its interval, chance level, null and p."""
    intervals = jackknife_intervals(
        x, y, blocks, seed=seed, threshold=threshold
    )
    null = shuffled_null(x, y, permutations, seed, threshold)
    chance = chance_level(
        len(x), x.shape[1], y.shape[1], seed=seed, threshold=threshold
    )
    scores = {}
    for name in MEASURES:
        interval = intervals[name]
        scores[name] = {
            "estimate": interval.estimate,
            "low": interval.low,
            "high": interval.high,
            "chance": chance[name],
            "shuffle_mean": null[name].mean(),
            "shuffle_95": np.quantile(null[name], 0.95),
            "p": permutation_p(interval.estimate, null[name]),
        }
    return scores


def _modality_pairs(cohort, codes: Mapping) -> list[tuple[str, str]]:
    names = [name for name in cohort.modalities if name in codes]
    return list(combinations(names, 2))


def _groups(
    cohort, role: str, fold: int, modalities: tuple[str, str]
) -> dict[str, np.ndarray]:
    """Rows of one role, one pair of each labelled person who has both images:
    all, and each class.
    """
    rows = cohort.rows(role, fold)
    rows = cohort.downstream(rows, modalities=modalities)
    labels = cohort.labels()[rows]
    classes = next(iter(cohort.tasks.values()))["classes"]
    groups = {"all": rows}
    for k, name in enumerate(classes):
        groups[str(name)] = rows[labels == k]
    return groups


def _collapsed(z: np.ndarray) -> bool:
    """Whether all people, or all but one, have the same code."""
    _, counts = np.unique(z, axis=0, return_counts=True)
    return len(z) - counts.max() < 2
