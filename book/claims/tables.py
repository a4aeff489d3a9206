"""Tests of what the chapters of an edition found, on the tables they left.

The quantity is always a difference on the edition's hold-out, and its interval
that of people (images) drawn anew. Nothing here holds the variation of
training again, which folds and seeds show.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from book.claims.evidence import (
    LEVEL,
    Found,
    NotInEdition,
    fisher,
    limited,
    lines,
    normal,
    table,
)
from mmssl.similarity.measures import BIASED
from mmssl.stats.auc import roc_auc
from mmssl.stats.delong import delong_covariance
from mmssl.stats.intervals import score_interval

SCORES = "linear_evaluation_scores.tsv"
BLOCKS = 20
"""Of the jackknife of chapter 05 (`mmssl.similarity.inference.intervals`); n
where there are fewer people.
"""


def auc_contrast(
    results: Path,
    first: list[str],
    second: list[str],
    modality: list[str],
    other_modality: list[str] = (),
    protocol: str = "logistic regression",
) -> Found:
    r"""Mean hold-out AUC of some rows minus that of others, on the same
    people.

    Parameters
    ----------
    first, second : list of str
        Rows (objectives, baselines); of several, the mean AUC.
    modality, other_modality : list of str
        Of the first rows, and of the second where it differs; of several, the
        mean.
    protocol : str
        Of `mmssl.evaluate.linear_evaluation`.

    Notes
    -----
    With S DeLong's covariance of all AUCs and w the weights of the contrast,
    the standard error is :math:`\sqrt{w^\top S w}`. Notebook 04 gives single
    rows a bootstrap, which agrees.
    """
    labels, a = _scores(results, first, modality, protocol)
    same, b = _scores(results, second, other_modality or modality, protocol)
    if not np.array_equal(labels, same):
        raise ValueError(
            f"{SCORES}: {first} and {second} were scored on other people"
        )
    return _difference(labels, a, b)


def auc_level(
    results: Path,
    rows: list[str],
    modality: list[str],
    protocol: str = "logistic regression",
) -> Found:
    """Mean hold-out AUC of some rows, with DeLong's interval, cut at 0 and
    1.
    """
    labels, scores = _scores(results, rows, modality, protocol)
    found = _difference(labels, scores, scores[:0])
    return limited(
        found.estimate,
        lambda level: tuple(np.clip(found.limits(level), 0, 1)),
        found.sample,
        found.method,
    )


def auc_lead(
    results: Path,
    row: str,
    rivals: list[str],
    modality: list[str],
    protocol: str = "logistic regression",
) -> Found:
    r"""Lead of a row over the best of its rivals, with the selection of that
    best accounted for.

    The lead is the smallest of the differences :math:`\delta_k` to each rival.
    All of them are above their own lower limits only if each is, so the lower
    limit is the smallest one at the unchanged level (Berger's
    intersection-union test); the upper limit is the smallest upper limit at
    the level divided by the number of rivals (Hsu 1984).
    """
    labels, own = _scores(results, [row], modality, protocol)
    each = [
        _difference(
            labels, own, _scores(results, [rival], modality, protocol)[1]
        )
        for rival in rivals
    ]

    def at(level):
        strict = 1 - (1 - level) / len(each)
        return min(e.limits(level)[0] for e in each), min(
            e.limits(strict)[1] for e in each
        )

    return limited(
        min(e.estimate for e in each),
        at,
        f"{_people(labels)}, {len(rivals)} rivals",
        "DeLong, best of a set",
    )


def similarity_contrast(
    results: Path,
    measure: str,
    first: list[str],
    second: list[str],
    role: str = "holdout",
    other_role: str = "",
    group: str = "all",
    other_group: str = "",
    other_measure: str = "",
    above_chance: bool = True,
) -> Found:
    """Similarity of modalities of some rows minus that of others, or between
    roles or groups.

    Parameters
    ----------
    measure, other_measure : str
        Of `mmssl.similarity.measures.MEASURES`, of the first and, where it
        differs, the second rows.
    role, other_role, group, other_group : str
        Cells of the first and, where they differ, of the second rows.
    above_chance : bool
        Whether the mean of the same codes with people shuffled is taken off
        first.

    Raises
    ------
    ValueError
        Where the level under shuffling would be taken off a biased measure at
        two numbers of people: the bias shrinks as codes share more, so what
        codes that share nothing show is too much, and more so for the smaller
        group. `group_contrast` knows the sizes, debiased CKA needs no level.

    Notes
    -----
    Without it the difference of a biased measure at two sizes is that of what
    a figure shows, sizes included. Jackknife errors of several rows are
    averaged, as if the rows erred together, and the two sides are added as if
    they were independent: too wide rather than too narrow on the same people.
    Student's t has the degrees of freedom of one side, one less than its
    blocks.
    """
    cells = (
        (measure, first, role, group),
        (
            other_measure or measure,
            second,
            other_role or role,
            other_group or group,
        ),
    )
    sides = [_similarity(results, *cell, above_chance) for cell in cells]
    (a, half_a, people), (b, half_b, others) = sides
    sample = (
        f"{people} people"
        if people == others
        else f"{people} and {others} people"
    )
    if (
        above_chance
        and people != others
        and {cells[0][0], cells[1][0]} & set(BIASED)
    ):
        raise ValueError(
            f"{measure}, {sample}: its bias depends on their number and on what is "
            "shared, the level under shuffling on their number alone; expected "
            "debiased CKA, group_contrast or above_chance=False"
        )
    df = min(BLOCKS, people, others) - 1
    error = np.hypot(half_a, half_b) / stdtrit(df, 0.5 + LEVEL / 2)
    return normal(a - b, error, sample, "delete-d jackknife", df)


def group_contrast(
    results: Path, measure: str, rows: list[str], role: str = "holdout"
) -> Found:
    r"""Similarity of modalities in patients minus that in controls, beyond
    what the sizes explain.

    Parameters
    ----------
    measure : str
        Of `mmssl.similarity.measures.MEASURES`.
    rows : list of str
        Of several, the mean.
    role : str
        Of the people compared.

    Notes
    -----
    :math:`\Delta - \bar\Delta_\pi \pm z\,\mathrm{SD}(\Delta_\pi)`, with
    :math:`\Delta` the difference as it was tested and :math:`\Delta_\pi` those
    under permuted labels (`mmssl.similarity.inference.group_test`). Sizes and
    what codes share are kept in all of them, so the bias is the same. Standard
    deviations of several rows are averaged, as if the rows erred together.
    """
    name = "similarity_groups.tsv"
    columns = (
        "model",
        "role",
        "measure",
        "difference",
        "null_difference",
        "null_sd",
        "n_first",
        "n_second",
    )
    found = lines(
        table(results, name, "05_similarity", columns),
        rows,
        name,
        role=role,
        measure=measure,
    )
    error = found["null_sd"].mean()
    if error < 1e-9:
        raise NotInEdition(f"{name}: {measure} cannot move with so few people")
    return normal(
        (found["difference"] - found["null_difference"]).mean(),
        error,
        f"{found['n_second'].iloc[0]} and {found['n_first'].iloc[0]} people",
        "permuted labels",
    )


def similarity_and_auc(
    results: Path,
    measure: str,
    rows: list[str],
    modality: list[str],
    role: str = "holdout",
    protocol: str = "logistic regression",
) -> Found:
    """Spearman's correlation of similarity and AUC over rows, with Fisher's
    interval.

    The interval is that of other objectives, not of other people (Bonett &
    Wright 2000).
    """
    if len(rows) < 5:
        raise ValueError(f"rows: {len(rows)} of them, expected at least 5")
    alike = [
        _similarity(results, measure, [row], role, "all", False)[0]
        for row in rows
    ]
    auc = [_aucs(results, row, modality, protocol).mean() for row in rows]
    r = float(
        np.clip(
            pd.Series(alike).corr(pd.Series(auc), method="spearman"),
            -0.999,
            0.999,
        )
    )
    error = np.sqrt((1 + r**2 / 2) / (len(rows) - 3))
    return fisher(r, error, f"{len(rows)} objectives")


def accuracy_contrast(
    results: Path,
    data: str,
    first: list[str],
    second: list[str],
    modality: list[str],
) -> Found:
    r"""Mean hold-out accuracy on natural images of some rows minus that of
    others.

    data : "Two-View" or "MNIST-SVHN"; a painted stand-in is not SVHN.

    Notes
    -----
    The limits combine those of both sides (MOVER, Newcombe 1998), :math:`d -
    \sqrt{(p_1 - l_1)^2 + (u_2 - p_2)^2}`, as if the images were others for
    each side: they are the same, so this is too wide rather than too narrow.
    Of several rows and views, limits are averaged.
    """
    columns = ("data", "model", "modality", "accuracy", "low", "high", "test")
    found = table(results, "natural_images.tsv", "09_natural_images", columns)
    mine = found["data"].str.startswith(data) | found["data"].str.endswith(
        data
    )
    if not mine.any():
        there = ", ".join(dict.fromkeys(found["data"]))
        name = data.strip("-")
        raise NotInEdition(
            f"natural_images.tsv: no {name} in this edition, only {there}"
        )
    found = found[mine & found["modality"].isin(modality)]
    sides = [
        lines(found, rows, f"natural_images.tsv, {data}")
        for rows in (first, second)
    ]
    (p1, l1, u1), (p2, l2, u2) = (
        s[["accuracy", "low", "high"]].mean() for s in sides
    )
    return Found(
        p1 - p2,
        p1 - p2 - np.hypot(p1 - l1, u2 - p2),
        p1 - p2 + np.hypot(u1 - p1, p2 - l2),
        f"{sides[0]['test'].iloc[0]} images",
        "MOVER",
    )


def robustness_contrast(
    results: Path,
    first: list[str],
    second: list[str],
    modality: list[str],
    panels: list[str] = ("mean of panels",),
) -> Found:
    """Mean AUC under distortion of some rows minus that of others, over all
    panels or some.

    Notes
    -----
    Limits are those of notebook 08, which hold for all of its comparisons at
    once; of several pairs they are averaged. Both make them too wide rather
    than too narrow.
    """
    name = "robustness_verdict.tsv"
    columns = (
        "question",
        "panel",
        "modality",
        "first",
        "second",
        "difference",
        "low",
        "high",
    )
    found = table(results, name, "08_robustness", columns)
    found = found[
        found["question"].isin(["better under distortion", "in single panels"])
        & found["panel"].isin(panels)
        & found["modality"].isin(modality)
    ]
    turned = found.rename(columns={"first": "second", "second": "first"})
    turned = turned.assign(
        difference=-found["difference"], low=-found["high"], high=-found["low"]
    )
    both = pd.concat([found, turned]).rename(columns={"first": "model"})
    both = lines(both, first, name)
    both = lines(
        both.rename(columns={"model": "one", "second": "model"}), second, name
    )
    if len(both) != len(first) * len(second) * len(panels) * len(modality):
        raise NotInEdition(
            f"{name}: {len(both)} of the comparisons of {first} with {second} in "
            f"{panels} of {modality}"
        )
    d, low, high = both[["difference", "low", "high"]].mean()
    sample = f"{len(both)} comparison{'s' * (len(both) > 1)}"
    return Found(d, low, high, sample, "simultaneous bootstrap")


def population(
    results: Path, rows: list[str], modality: list[str], quantity: str = "gap"
) -> Found:
    """Mean AUC of some rows in the second population, or its gap to the first.

    quantity : "gap" (second minus first population) or "shift" (AUC in the
        second).

    Notes
    -----
    Limits are those of notebook 08 (`mmssl.stats.equivalence.auc_gap`):
    logit-t of each AUC, combined by square and add for a gap. Of several they
    are averaged, which is too wide rather than too narrow.
    """
    limits = [f"{quantity}{end}" for end in ("", "_low", "_high")]
    name = "robustness_populations.tsv"
    found = table(
        results, name, "08_robustness", ("model", "modality", *limits)
    )
    found = lines(found[found["modality"].isin(modality)], rows, name)
    sample, method = {
        "gap": ("gaps", "logit t, square and add"),
        "shift": ("AUCs", "logit t"),
    }[quantity]
    return Found(
        *found[limits].mean(),
        f"{len(found)} {sample}",
        method + ", limits averaged" * (len(found) > 1),
    )


def overlap_contrast(
    results: Path,
    first: list[str],
    second: list[str],
    modality: list[str],
    score: str = "auprc",
) -> Found:
    """How well group maps find the planted regions: some sources minus others.

    The interval is Student's t over modalities, paired where both sides have
    them, each with the mean of its two signs, which come from one fit.
    Modalities come from the same people: other people are not in the interval,
    and two modalities leave one degree of freedom.
    """
    found = table(
        results,
        "group_overlap.tsv",
        "07_group_differences",
        ("source", "modality", "sign", score),
    ).rename(columns={"source": "model"})
    found = found[found["modality"].isin(modality)]
    sides = [
        lines(found, rows, "group_overlap.tsv")
        .groupby(["modality", "sign"])[score]
        .mean()
        for rows in (first, second)
    ]
    gaps = (sides[0] - sides[1]).dropna().groupby("modality").mean()
    if len(gaps) < 2:
        raise NotInEdition(
            f"group_overlap.tsv: {len(gaps)} modality of both sides, expected 2"
        )
    return normal(
        gaps.mean(),
        gaps.sem(),
        f"{len(gaps)} modalities of the same people",
        "t over modalities",
        len(gaps) - 1,
    )


def _scores(results, rows: list[str], modality: list[str], protocol: str):
    """Labels (people,) and scores (rows x modalities x folds, people) of one
    protocol.
    """
    columns = (
        "fold",
        "protocol",
        "model",
        "modality",
        "pair",
        "label",
        "score",
    )
    people, wide = table(
        results, SCORES, "04_linear_evaluation", columns, _wide
    )
    found = lines(wide, rows, SCORES, protocol=protocol)
    if absent := [m for m in modality if m not in set(found["modality"])]:
        raise NotInEdition(f"{SCORES}: no modality {', '.join(absent)}")
    scores = found.loc[found["modality"].isin(modality), people.index].dropna(
        axis=1, how="all"
    )
    if scores.isna().any(axis=None):
        raise ValueError(
            f"{SCORES}: {rows} were not scored on the same people in every fold"
        )
    return people[scores.columns].to_numpy(), scores.to_numpy()


def _wide(scores: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame]:
    """Labels by person, and one line per protocol, row, modality and fold with
    a column each.
    """
    keys = ["protocol", "model", "modality", "fold"]
    people = (
        scores.drop_duplicates("pair").set_index("pair")["label"].sort_index()
    )
    return people, scores.pivot(
        index=keys, columns="pair", values="score"
    ).reset_index()


def _aucs(results, row: str, modality: list[str], protocol: str) -> np.ndarray:
    labels, scores = _scores(results, [row], modality, protocol)
    return np.array([roc_auc(labels, one) for one in scores])


def _difference(labels, a: np.ndarray, b: np.ndarray) -> Found:
    """Mean AUC of the rows of a minus that of b (if any), on the same people.

    Never of no width where rows differ: if both sides separate the groups
    perfectly, the score intervals of both say how far they may still be apart.
    """
    if a.shape == b.shape and np.array_equal(a, b):
        return normal(0.0, 0.0, _people(labels), "DeLong")
    both = np.vstack([a, b])
    weights = np.r_[
        np.full(len(a), 1 / len(a)), np.full(len(b), -1 / max(1, len(b)))
    ]
    aucs = np.array([roc_auc(labels, row) for row in both])
    variance = float(weights @ delong_covariance(labels, both) @ weights)
    found = normal(
        weights @ aucs, max(0.0, variance) ** 0.5, _people(labels), "DeLong"
    )
    if variance > 1e-12:
        return found
    ones, zeros = int(labels.sum()), int((labels == 0).sum())

    def at(level):
        sides = [
            score_interval(aucs[part].mean(), ones, zeros, level)
            for part in (slice(len(a)), slice(len(a), None))
            if len(aucs[part])
        ]
        low, high = sides[0].low, sides[0].high
        return (
            (low - sides[1].high, high - sides[1].low)
            if len(sides) == 2
            else (low, high)
        )

    return limited(found.estimate, at, found.sample, "score")


def _people(labels: np.ndarray) -> str:
    return f"{int(labels.sum())} + {int((labels == 0).sum())} people"


def _similarity(
    results, measure, rows, role, group, above_chance
) -> tuple[float, float, int]:
    """Mean similarity of rows in one cell, half its 95 % interval, and the
    people.
    """
    columns = (
        "model",
        "role",
        "group",
        "measure",
        "estimate",
        "low",
        "high",
        "shuffle_mean",
        "n",
    )
    found = table(results, "similarity.tsv", "05_similarity", columns)
    found = lines(
        found, rows, "similarity.tsv", role=role, group=group, measure=measure
    )
    found = found.dropna(subset="estimate")
    if set(found["model"]) != set(rows):
        raise NotInEdition(
            f"similarity.tsv: {role}, {group}: too few people, or a collapsed code"
        )
    value = (found["estimate"] - above_chance * found["shuffle_mean"]).mean()
    # limits are cut at 0 and 1: the longer side is whole
    half = np.maximum(
        found["high"] - found["estimate"], found["estimate"] - found["low"]
    )
    return float(value), float(half.mean()), int(found["n"].iloc[0])
