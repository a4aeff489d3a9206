"""Tests of what the chapters of an edition found, on the tables they left.

The quantity is always a difference on the edition's hold-out, and its interval that of people
(images) drawn anew. Nothing here holds the variation of training again, which folds and seeds show.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t as student

from mmssl import stats
from mmssl.claims.evidence import LEVEL, Found, NotInEdition, lines, normal, table

SCORES = "linear_evaluation_scores.tsv"

def auc_contrast(
    results: Path, first: list[str], second: list[str], modality: list[str],
    other_modality: list[str] = (), protocol: str = "logistic regression",
) -> Found:
    r"""Mean hold-out AUC of some rows minus that of others, on the same people.

    Parameters
    ----------
    first, second : list of str
        Rows (objectives, floors); of several, the mean AUC.
    modality, other_modality : list of str
        Of the first rows, and of the second where it differs; of several, the mean.
    protocol : str
        Of `mmssl.evaluate`.

    Notes
    -----
    With S DeLong's covariance of all AUCs and w the weights of the contrast, the standard error is
    :math:`\sqrt{w^\top S w}`. Notebook 04 gives single rows a bootstrap, which agrees.
    """
    labels, a = _scores(results, first, modality, protocol)
    same, b = _scores(results, second, other_modality or modality, protocol)
    if not np.array_equal(labels, same):
        raise ValueError(f"{SCORES}: {first} and {second} were scored on other people")
    return _difference(labels, a, b, LEVEL)


def auc_level(
    results: Path, rows: list[str], modality: list[str], protocol: str = "logistic regression"
) -> Found:
    """Mean hold-out AUC of some rows, with DeLong's interval, cut at 0 and 1."""
    labels, scores = _scores(results, rows, modality, protocol)
    found = _difference(labels, scores, scores[:0], LEVEL)
    return found._replace(low=max(found.low, 0.0), high=min(found.high, 1.0))


def auc_lead(
    results: Path, row: str, rivals: list[str], modality: list[str],
    protocol: str = "logistic regression",
) -> Found:
    r"""Lead of a row over the best of its rivals, with the selection of that best accounted for.

    The lead is the smallest of the differences :math:`\delta_k` to each rival. All of them are
    above their own lower limits only if each is, so the lower limit is the smallest one at the
    unchanged level (Berger's intersection-union test); the upper limit is the smallest upper limit
    at the level divided by the number of rivals (Hsu 1984).
    """
    labels, own = _scores(results, [row], modality, protocol)
    strict, each = 1 - (1 - LEVEL) / max(1, len(rivals)), []
    for rival in rivals:
        _, theirs = _scores(results, [rival], modality, protocol)
        plain = _difference(labels, own, theirs, LEVEL)
        each.append((plain.estimate, plain.low, _difference(labels, own, theirs, strict).high))
    estimate, low, high = (float(value) for value in np.min(each, axis=0))
    return Found(estimate, low, high, f"{_people(labels)}, {len(rivals)} rivals",
                 "DeLong, best of a set")


def similarity_contrast(
    results: Path, measure: str, first: list[str], second: list[str],
    role: str = "holdout", other_role: str = "", group: str = "all", other_group: str = "",
    other_measure: str = "", above_chance: bool = True,
) -> Found:
    """Similarity of modalities of some rows minus that of others, or between roles or groups.

    Parameters
    ----------
    measure, other_measure : str
        Of `mmssl.similarity.MEASURES`, of the first and, where it differs, the second rows.
    role, other_role, group, other_group : str
        Cells of the first and, where they differ, of the second rows.
    above_chance : bool
        Whether the mean of the same codes with people shuffled is taken off first, so that a
        difference in the number of people is none.

    Notes
    -----
    Jackknife errors of several rows are averaged, as if the rows erred together, and the two sides
    are added as if they were independent: too wide rather than too narrow on the same people.
    """
    cells = ((measure, first, role, group), (
        other_measure or measure, second, other_role or role, other_group or group))
    sides = [_similarity(results, *cell, above_chance) for cell in cells]
    (a, error_a, people), (b, error_b, others) = sides
    sample = f"{people} people" if people == others else f"{people} and {others} people"
    return normal(a - b, np.hypot(error_a, error_b), sample, "delete-d jackknife")


def similarity_and_auc(
    results: Path, measure: str, rows: list[str], modality: list[str], role: str = "holdout",
    protocol: str = "logistic regression",
) -> Found:
    """Spearman's correlation of similarity and AUC over rows, with Fisher's interval.

    The interval is that of other objectives, not of other people (Bonett & Wright 2000).
    """
    if len(rows) < 5:
        raise ValueError(f"rows: {len(rows)} of them, expected at least 5")
    alike = [_similarity(results, measure, [row], role, "all", False)[0] for row in rows]
    auc = [_aucs(results, row, modality, protocol).mean() for row in rows]
    r = float(np.clip(pd.Series(alike).corr(pd.Series(auc), method="spearman"), -0.999, 0.999))
    error = np.sqrt((1 + r**2 / 2) / (len(rows) - 3))
    middle = normal(np.arctanh(r), error, f"{len(rows)} objectives", "Fisher")
    return middle._replace(estimate=r, low=float(np.tanh(middle.low)),
                           high=float(np.tanh(middle.high)))


def accuracy_contrast(
    results: Path, data: str, first: list[str], second: list[str], modality: list[str]
) -> Found:
    r"""Mean hold-out accuracy on natural images of some rows minus that of others.

    data : "Two-View" or "MNIST-SVHN"; a painted stand-in is not SVHN.

    Notes
    -----
    The limits combine those of both sides (MOVER, Newcombe 1998),
    :math:`d - \sqrt{(p_1 - l_1)^2 + (u_2 - p_2)^2}`, as if the images were others for each side:
    they are the same, so this is too wide rather than too narrow. Of several rows and views, limits
    are averaged.
    """
    columns = ("data", "row", "modality", "accuracy", "low", "high", "test")
    found = table(results, "natural_images.tsv", "09_natural_images", columns)
    mine = found["data"].str.startswith(data) | found["data"].str.endswith(data)
    if not mine.any():
        there = ", ".join(dict.fromkeys(found["data"]))
        name = data.strip("-")
        raise NotInEdition(f"natural_images.tsv: no {name} in this edition, only {there}")
    found = found[mine & found["modality"].isin(modality)]
    sides = [lines(found, rows, f"natural_images.tsv, {data}") for rows in (first, second)]
    (p1, l1, u1), (p2, l2, u2) = (s[["accuracy", "low", "high"]].mean() for s in sides)
    return Found(p1 - p2, p1 - p2 - np.hypot(p1 - l1, u2 - p2),
                 p1 - p2 + np.hypot(u1 - p1, p2 - l2), f"{sides[0]['test'].iloc[0]} images",
                 "MOVER")


def robustness_contrast(
    results: Path, first: list[str], second: list[str], modality: list[str],
    panels: list[str] = ("mean of panels",),
) -> Found:
    """Mean AUC under distortion of some rows minus that of others, over all panels or some.

    Notes
    -----
    Limits are those of notebook 08, which hold for all of its comparisons at once; of several
    pairs they are averaged. Both make them too wide rather than too narrow.
    """
    name = "robustness_verdict.tsv"
    columns = ("question", "panel", "modality", "first", "second", "difference", "low", "high")
    found = table(results, name, "08_robustness", columns)
    found = found[found["question"].isin(["better under distortion", "in single panels"])
                  & found["panel"].isin(panels) & found["modality"].isin(modality)]
    turned = found.rename(columns={"first": "second", "second": "first"})
    turned = turned.assign(difference=-found["difference"], low=-found["high"], high=-found["low"])
    both = pd.concat([found, turned]).rename(columns={"first": "row"})
    both = lines(both, first, name)
    both = lines(both.rename(columns={"row": "one", "second": "row"}), second, name)
    if len(both) != len(first) * len(second) * len(panels) * len(modality):
        raise NotInEdition(f"{name}: {len(both)} of the comparisons of {first} with {second} in "
                           f"{panels} of {modality}")
    d, low, high = both[["difference", "low", "high"]].mean()
    sample = f"{len(both)} comparison{'s' * (len(both) > 1)}"
    return Found(d, low, high, sample, "simultaneous bootstrap")


def population(
    results: Path, rows: list[str], modality: list[str], quantity: str = "gap"
) -> Found:
    """Mean AUC of some rows in the second population, or its gap to the first.

    quantity : "gap" (second minus first population) or "shift" (AUC in the second).
    """
    limits = [f"{quantity}{end}" for end in ("", "_low", "_high")]
    name = "robustness_populations.tsv"
    found = table(results, name, "08_robustness", ("row", "modality", *limits))
    found = lines(found[found["modality"].isin(modality)], rows, name)
    return Found(*found[limits].mean(), f"{len(found)} gaps" if quantity == "gap" else
                 f"{len(found)} AUCs", "bootstrap, limits averaged")


def overlap_contrast(
    results: Path, first: list[str], second: list[str], modality: list[str], score: str = "auprc"
) -> Found:
    """How well group maps find the planted regions: some sources minus others.

    The interval is that of the maps of several signs and modalities, paired where both sides have
    them (Student's t).
    """
    found = table(results, "group_overlap.tsv", "07_group_differences",
                  ("source", "modality", "sign", score)).rename(columns={"source": "row"})
    found = found[found["modality"].isin(modality)]
    sides = [lines(found, rows, "group_overlap.tsv").groupby(["modality", "sign"])[score].mean()
             for rows in (first, second)]
    gaps = (sides[0] - sides[1]).dropna()
    if len(gaps) < 2:
        raise NotInEdition(f"group_overlap.tsv: {len(gaps)} maps of both sides, expected 2 or more")
    error = gaps.std(ddof=1) / len(gaps) ** 0.5
    half = float(student.ppf(0.5 + LEVEL / 2, len(gaps) - 1) * error)
    mean = float(gaps.mean())
    return Found(mean, mean - half, mean + half, f"{len(gaps)} maps", "t")


def _scores(results, rows: list[str], modality: list[str], protocol: str):
    """Labels (people,) and scores (rows x modalities x folds, people) of one protocol."""
    columns = ("fold", "protocol", "row", "modality", "pair", "label", "score")
    people, wide = table(results, SCORES, "04_linear_evaluation", columns, _wide)
    found = lines(wide, rows, SCORES, protocol=protocol)
    if absent := [m for m in modality if m not in set(found["modality"])]:
        raise NotInEdition(f"{SCORES}: no modality {', '.join(absent)}")
    scores = found.loc[found["modality"].isin(modality), people.index].dropna(axis=1, how="all")
    if scores.isna().any(axis=None):
        raise ValueError(f"{SCORES}: {rows} were not scored on the same people in every fold")
    return people[scores.columns].to_numpy(), scores.to_numpy()


def _wide(scores: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame]:
    """Labels by person, and one line per protocol, row, modality and fold with a column each."""
    keys = ["protocol", "row", "modality", "fold"]
    people = scores.drop_duplicates("pair").set_index("pair")["label"].sort_index()
    return people, scores.pivot(index=keys, columns="pair", values="score").reset_index()


def _aucs(results, row: str, modality: list[str], protocol: str) -> np.ndarray:
    labels, scores = _scores(results, [row], modality, protocol)
    return np.array([stats.roc_auc(labels, one) for one in scores])


def _difference(labels, a: np.ndarray, b: np.ndarray, level: float) -> Found:
    """Mean AUC of the rows of a minus that of b (if any), on the same people.

    Never of no width where rows differ: if both sides separate the groups perfectly, the score
    intervals of both say how far they may still be apart.
    """
    if a.shape == b.shape and np.array_equal(a, b):
        return normal(0.0, 0.0, _people(labels), "DeLong")
    both = np.vstack([a, b])
    weights = np.r_[np.full(len(a), 1 / len(a)), np.full(len(b), -1 / max(1, len(b)))]
    aucs = np.array([stats.roc_auc(labels, row) for row in both])
    variance = float(weights @ stats.delong_covariance(labels, both) @ weights)
    found = normal(weights @ aucs, max(0.0, variance) ** 0.5, _people(labels), "DeLong", level)
    if variance > 1e-12:
        return found
    ones, zeros = int(labels.sum()), int((labels == 0).sum())
    sides = [stats.score_interval(aucs[part].mean(), ones, zeros, level)
             for part in (slice(len(a)), slice(len(a), None)) if len(aucs[part])]
    low, high = sides[0].low, sides[0].high
    if len(sides) == 2:
        low, high = low - sides[1].high, high - sides[1].low
    return found._replace(low=low, high=high, method="score")


def _people(labels: np.ndarray) -> str:
    return f"{int(labels.sum())} + {int((labels == 0).sum())} people"


def _similarity(results, measure, rows, role, group, above_chance) -> tuple[float, float, int]:
    """Mean similarity of rows in one cell, its standard error, and the people."""
    columns = ("row", "role", "group", "measure", "estimate", "low", "high", "shuffle_mean", "n")
    found = table(results, "similarity.tsv", "05_similarity", columns)
    found = lines(found, rows, "similarity.tsv", role=role, group=group, measure=measure)
    found = found.dropna(subset="estimate")
    if set(found["row"]) != set(rows):
        raise NotInEdition(f"similarity.tsv: {role}, {group}: too few people, or a collapsed code")
    value = (found["estimate"] - above_chance * found["shuffle_mean"]).mean()
    # limits are cut at 0 and 1: the longer side is whole
    half = np.maximum(found["high"] - found["estimate"], found["estimate"] - found["low"])
    return float(value), float(half.mean() / normal(0, 1, "", "").high), int(found["n"].iloc[0])
