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
    Finding,
    NotInEdition,
    fisher,
    from_limits,
    normal,
    read_table,
    select_models,
)
from book.claims.scores import (
    SCORES,
    auc_difference,
    count_people,
    hold_out_aucs,
    read_scores,
)
from mmssl.similarity.measures import BIASED

BLOCKS = 20
"""Of the jackknife of chapter 05
(`mmssl.similarity.inference.jackknife_intervals`); n where there are fewer
people.
"""

SIMILARITY = "similarity.tsv"
GROUPS = "similarity_groups.tsv"
NATURAL_IMAGES = "natural_images.tsv"
COMPARISONS = "robustness_comparisons.tsv"
POPULATIONS = "robustness_populations.tsv"
OVERLAP = "group_overlap.tsv"
PRETEXT = "preservation_answers.tsv"
ASSIGNMENTS = "clustering_assignments.tsv"
TUNED_SCORES = "clustering_scores.tsv"
DEVIATIONS = "clustering_deviations.tsv"
CLUSTERING_PAGE = "10_online_clustering"


def auc_contrast(
    results: Path,
    first: list[str],
    second: list[str],
    modality: list[str],
    other_modality: list[str] = (),
    protocol: str = "logistic regression",
) -> Finding:
    r"""Mean hold-out AUC of some models minus that of others, on the same
    people.

    Parameters
    ----------
    first, second : list of str
        Models (objectives, baselines); of several, the mean AUC.
    modality, other_modality : list of str
        Of the first models, and of the second where it differs; of several,
        the mean.
    protocol : str
        Of `mmssl.evaluate.linear_evaluation`.

    Notes
    -----
    With S DeLong's covariance of all AUCs and w the weights of the contrast,
    the standard error is :math:`\sqrt{w^\top S w}`. Notebook 04 gives single
    models a bootstrap, which agrees.
    """
    labels, first_scores = read_scores(results, first, modality, protocol)
    other_labels, second_scores = read_scores(
        results, second, other_modality or modality, protocol
    )
    if not np.array_equal(labels, other_labels):
        raise ValueError(
            f"{SCORES}: {first} and {second} were scored on other people"
        )
    return auc_difference(labels, first_scores, second_scores)


def auc_level(
    results: Path,
    models: list[str],
    modality: list[str],
    protocol: str = "logistic regression",
) -> Finding:
    """Mean hold-out AUC of some models, with DeLong's interval, cut at 0 and
    1.
    """
    labels, scores = read_scores(results, models, modality, protocol)
    finding = auc_difference(labels, scores, scores[:0])

    def limits_at(level):
        low, high = np.clip(finding.limits(level), 0, 1)
        return low, high

    return from_limits(
        finding.estimate, limits_at, finding.sample, finding.method
    )


def auc_lead(
    results: Path,
    model: str,
    competitors: list[str],
    modality: list[str],
    protocol: str = "logistic regression",
) -> Finding:
    r"""Lead of a model over the best of its competitors, with the selection of
    that best accounted for.

    The lead is the smallest of the differences :math:`\delta_k` to each
    competitor. All of them are above their own lower limits only if each is,
    so the lower limit is the smallest one at the unchanged level (Berger's
    intersection-union test); the upper limit is the smallest upper limit at
    the level divided by the number of competitors (Hsu 1984).
    """
    labels, scores = read_scores(results, [model], modality, protocol)
    leads = []
    for competitor in competitors:
        _, others = read_scores(results, [competitor], modality, protocol)
        leads.append(auc_difference(labels, scores, others))

    def limits_at(level):
        stricter = 1 - (1 - level) / len(leads)
        low = min(lead.limits(level)[0] for lead in leads)
        high = min(lead.limits(stricter)[1] for lead in leads)
        return low, high

    return from_limits(
        min(lead.estimate for lead in leads),
        limits_at,
        f"{count_people(labels)}, {len(competitors)} competitors",
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
) -> Finding:
    """Similarity of modalities of some models minus that of others, or between
    roles or groups.

    Parameters
    ----------
    measure, other_measure : str
        Of `mmssl.similarity.measures.MEASURES`, of the first and, where it
        differs, the second models.
    role, other_role, group, other_group : str
        Cells of the first and, where they differ, of the second models.
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
    a figure shows, sizes included. Jackknife errors of several models are
    averaged, as if the models erred together, and the two sides are added as
    if they were independent: too wide rather than too narrow on the same
    people. Student's t has the degrees of freedom of one side, one less than
    its blocks.
    """
    other_measure = other_measure or measure
    value, half_width, people = _similarity(
        results, measure, first, role, group, above_chance
    )
    other_value, other_half_width, others = _similarity(
        results,
        other_measure,
        second,
        other_role or role,
        other_group or group,
        above_chance,
    )
    sample = f"{people} people"
    if people != others:
        sample = f"{people} and {others} people"
        biased = {measure, other_measure} & set(BIASED)
        if above_chance and biased:
            raise ValueError(
                f"{measure}, {sample}: its bias depends on their number and "
                "on what is shared, the level under shuffling on their number "
                "alone; expected debiased CKA, group_contrast or "
                "above_chance=False"
            )
    df = min(BLOCKS, people, others) - 1
    half = np.hypot(half_width, other_half_width)
    error = half / stdtrit(df, 0.5 + LEVEL / 2)
    return normal(value - other_value, error, sample, "delete-d jackknife", df)


def group_contrast(
    results: Path, measure: str, models: list[str], role: str = "holdout"
) -> Finding:
    r"""Similarity of modalities in patients minus that in controls, beyond
    what the sizes explain.

    Parameters
    ----------
    measure : str
        Of `mmssl.similarity.measures.MEASURES`.
    models : list of str
        Of several, the mean.
    role : str
        Of the people compared.

    Notes
    -----
    :math:`\Delta - \bar\Delta_\pi \pm z\,\mathrm{SD}(\Delta_\pi)`, with
    :math:`\Delta` the difference as it was tested and :math:`\Delta_\pi` those
    under permuted labels (`mmssl.similarity.groups.group_test`). Sizes and
    what codes share are kept in all of them, so the bias is the same. Standard
    deviations of several models are averaged, as if the models erred together.
    """
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
    table = read_table(results, GROUPS, "05_similarity", columns)
    table = select_models(table, models, GROUPS, role=role, measure=measure)
    error = table["null_sd"].mean()
    if error < 1e-9:
        raise NotInEdition(
            f"{GROUPS}: {measure} cannot move with so few people"
        )
    excess = table["difference"] - table["null_difference"]
    line = table.iloc[0]
    sample = f"{line['n_second']} and {line['n_first']} people"
    return normal(excess.mean(), error, sample, "permuted labels")


def similarity_and_auc(
    results: Path,
    measure: str,
    models: list[str],
    modality: list[str],
    role: str = "holdout",
    protocol: str = "logistic regression",
) -> Finding:
    """Spearman's correlation of similarity and AUC over models, with Fisher's
    interval.

    The interval is that of other objectives, not of other people (Bonett &
    Wright 2000).
    """
    if len(models) < 5:
        raise ValueError(f"models: {len(models)} of them, expected at least 5")
    similarities, aucs = [], []
    for model in models:
        value, _, _ = _similarity(
            results, measure, [model], role, "all", above_chance=False
        )
        similarities.append(value)
        aucs.append(hold_out_aucs(results, model, modality, protocol).mean())
    r = pd.Series(similarities).corr(pd.Series(aucs), method="spearman")
    r = float(np.clip(r, -0.999, 0.999))
    error = np.sqrt((1 + r**2 / 2) / (len(models) - 3))
    return fisher(r, error, f"{len(models)} objectives")


def accuracy_contrast(
    results: Path,
    data: str,
    first: list[str],
    second: list[str],
    modality: list[str],
) -> Finding:
    r"""Mean hold-out accuracy on natural images of some models minus that of
    others.

    data : "Two-View" or "MNIST-SVHN"; a painted stand-in is not SVHN.

    Notes
    -----
    The limits combine those of both sides (MOVER, Newcombe 1998), :math:`d -
    \sqrt{(p_1 - l_1)^2 + (u_2 - p_2)^2}`, as if the images were others for
    each side: they are the same, so this is too wide rather than too narrow.
    Of several models and views, limits are averaged.
    """
    columns = ("data", "model", "modality", "accuracy", "low", "high", "test")
    table = read_table(results, NATURAL_IMAGES, "09_natural_images", columns)
    names = table["data"].str
    is_asked = names.startswith(data) | names.endswith(data)
    if not is_asked.any():
        present = ", ".join(table["data"].unique())
        raise NotInEdition(
            f"{NATURAL_IMAGES}: no {data.strip('-')} in this edition, "
            f"only {present}"
        )
    table = table[is_asked & table["modality"].isin(modality)]
    name = f"{NATURAL_IMAGES}, {data}"
    numbers = ["accuracy", "low", "high"]
    first_lines = select_models(table, first, name)
    second_lines = select_models(table, second, name)
    p1, l1, u1 = first_lines[numbers].mean()
    p2, l2, u2 = second_lines[numbers].mean()
    return Finding(
        p1 - p2,
        p1 - p2 - np.hypot(p1 - l1, u2 - p2),
        p1 - p2 + np.hypot(u1 - p1, p2 - l2),
        f"{first_lines['test'].iloc[0]} images",
        "MOVER",
    )


def robustness_contrast(
    results: Path,
    first: list[str],
    second: list[str],
    modality: list[str],
    panels: list[str] = ("mean of panels",),
) -> Finding:
    """Mean AUC under distortion of some models minus that of others, over all
    panels or some.

    Notes
    -----
    Limits are those of notebook 08, which hold for all of its comparisons at
    once; of several pairs they are averaged. Both make them too wide rather
    than too narrow.
    """
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
    table = read_table(results, COMPARISONS, "08_robustness", columns)
    questions = ["better under distortion", "in single panels"]
    table = table[
        table["question"].isin(questions)
        & table["panel"].isin(panels)
        & table["modality"].isin(modality)
    ]
    # each pair stands in the table one way round; read it both ways
    reversed_pairs = table.assign(
        first=table["second"],
        second=table["first"],
        difference=-table["difference"],
        low=-table["high"],
        high=-table["low"],
    )
    pairs = pd.concat([table, reversed_pairs])
    pairs = select_models(
        pairs.assign(model=pairs["first"]), first, COMPARISONS
    )
    pairs = select_models(
        pairs.assign(model=pairs["second"]), second, COMPARISONS
    )
    expected = len(first) * len(second) * len(panels) * len(modality)
    if len(pairs) != expected:
        raise NotInEdition(
            f"{COMPARISONS}: {len(pairs)} of the comparisons of {first} with "
            f"{second} in {panels} of {modality}"
        )
    difference, low, high = pairs[["difference", "low", "high"]].mean()
    ending = "s" if len(pairs) > 1 else ""
    sample = f"{len(pairs)} comparison{ending}"
    return Finding(difference, low, high, sample, "simultaneous bootstrap")


def population(
    results: Path,
    models: list[str],
    modality: list[str],
    quantity: str = "gap",
) -> Finding:
    """Mean AUC of some models in the second population, or its gap to the
    first.

    quantity : "gap" (second minus first population) or "shift" (AUC in the
        second).

    Notes
    -----
    Limits are those of notebook 08 (`mmssl.stats.equivalence.auc_gap`):
    logit-t of each AUC, combined by square and add for a gap. Of several they
    are averaged, which is too wide rather than too narrow.
    """
    words = {
        "gap": ("gaps", "logit t, square and add"),
        "shift": ("AUCs", "logit t"),
    }
    if quantity not in words:
        raise ValueError(
            f"quantity={quantity!r}: expected one of {sorted(words)}"
        )
    numbers = [quantity, f"{quantity}_low", f"{quantity}_high"]
    columns = ("model", "modality", *numbers)
    table = read_table(results, POPULATIONS, "08_robustness", columns)
    table = table[table["modality"].isin(modality)]
    table = select_models(table, models, POPULATIONS)
    plural, method = words[quantity]
    if len(table) > 1:
        method += ", limits averaged"
    estimate, low, high = table[numbers].mean()
    return Finding(estimate, low, high, f"{len(table)} {plural}", method)


def overlap_contrast(
    results: Path,
    first: list[str],
    second: list[str],
    modality: list[str],
    score: str = "auprc",
) -> Finding:
    """How well group maps find the planted regions: some sources minus others.

    The interval is Student's t over modalities, paired where both sides have
    them, each with the mean of its two signs, which come from one fit.
    Modalities come from the same people: other people are not in the interval,
    and two modalities leave one degree of freedom.
    """
    columns = ("source", "modality", "sign", score)
    table = read_table(results, OVERLAP, "07_group_differences", columns)
    table = table[table["modality"].isin(modality)]
    table = table.rename(columns={"source": "model"})

    def mean_scores(sources):
        lines = select_models(table, sources, OVERLAP)
        return lines.groupby(["modality", "sign"])[score].mean()

    gaps = (mean_scores(first) - mean_scores(second)).dropna()
    gaps = gaps.groupby("modality").mean()
    if len(gaps) < 2:
        raise NotInEdition(
            f"{OVERLAP}: {len(gaps)} modality of both sides, expected 2"
        )
    return normal(
        gaps.mean(),
        gaps.sem(),
        f"{len(gaps)} modalities of the same people",
        "t over modalities",
        len(gaps) - 1,
    )


def _similarity(
    results: Path,
    measure: str,
    models: list[str],
    role: str,
    group: str,
    above_chance: bool,
) -> tuple[float, float, int]:
    """Mean similarity of models in one cell, half its 95 % interval, and the
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
    table = read_table(results, SIMILARITY, "05_similarity", columns)
    table = select_models(
        table, models, SIMILARITY, role=role, group=group, measure=measure
    )
    table = table.dropna(subset="estimate")
    if set(table["model"]) != set(models):
        raise NotInEdition(
            f"{SIMILARITY}: {role}, {group}: too few people, or a collapsed "
            "code"
        )
    values = table["estimate"]
    if above_chance:
        values = values - table["shuffle_mean"]
    # limits are cut at 0 and 1: the longer side is whole
    half = np.maximum(
        table["high"] - table["estimate"], table["estimate"] - table["low"]
    )
    return float(values.mean()), float(half.mean()), int(table["n"].iloc[0])


def pretext_contrast(
    results: Path,
    first: list[str],
    second: list[str],
    task: list[str] = ("rotation", "relative position"),
) -> Finding:
    """Mean accuracy of frozen features at pretext tasks of some models minus
    that of others, on the same people.

    Parameters
    ----------
    first, second : list of str
        Rows of the ablation of notebook 11.
    task : list of str
        Of several, the mean.

    Notes
    -----
    A paired t over people, whose tasks are averaged.
    """
    columns = ("task", "model", "person", "right")
    table = read_table(results, PRETEXT, "11_preservational_learning", columns)
    table = table[table["task"].isin(task)]
    return _paired_means(table, PRETEXT, first, second, "right")


def cluster_contrast(
    results: Path, first: list[str], second: list[str]
) -> Finding:
    """Loss of swapped prediction on people held out, as a share of ln K, of
    some models minus that of others, on the same people.

    Parameters
    ----------
    first, second : list of str
        Models of notebook 10.

    Notes
    -----
    A paired t over people, whose modalities are averaged.
    """
    columns = ("model", "person", "loss", "prototypes")
    table = read_table(results, ASSIGNMENTS, CLUSTERING_PAGE, columns)
    table = table.assign(share=table["loss"] / np.log(table["prototypes"]))
    return _paired_means(table, ASSIGNMENTS, first, second, "share")


def deviation_contrast(
    results: Path, first: list[str], second: list[str], kind: str
) -> Finding:
    """How far probabilities of a lesion move when images change, of some
    models minus that of others, on the same people and changes.

    Parameters
    ----------
    first, second : list of str
        Models of notebook 10, "from scratch" among them.
    kind : str
        "gamma", "affine" or "both".

    Notes
    -----
    Variances of the difference over people and over trainings, which are drawn
    independently, add up; degrees of freedom are Satterthwaite's.
    """
    columns = ("model", "kind", "seed", "person", "moved")
    table = read_table(results, DEVIATIONS, CLUSTERING_PAGE, columns)
    table = table[table["kind"] == kind]
    sides = []
    for models in (first, second):
        lines = select_models(table, models, DEVIATIONS)
        sides.append(
            lines.pivot_table("moved", "seed", "person", aggfunc="mean")
        )
    gains = sides[0] - sides[1]
    seeds, people = gains.shape
    if seeds < 2:
        raise NotInEdition(
            f"{DEVIATIONS}: one training, which says nothing of another"
        )
    variances = np.array(
        [
            gains.mean(axis=0).var(ddof=1) / people,
            gains.mean(axis=1).var(ddof=1) / seeds,
        ]
    )
    total = variances.sum()
    freedom = total**2 / (variances**2 / [people - 1, seeds - 1]).sum()
    sample = f"{people} people, {seeds} trainings"
    value = gains.to_numpy().mean()
    return normal(value, total**0.5, sample, "paired t", freedom)


def tuned_contrast(
    results: Path, first: list[str], second: list[str], ratio: float
) -> Finding:
    """Mean hold-out AUC of some fine-tuned models minus that of others, on the
    same people, at a share of the labels.

    Parameters
    ----------
    first, second : list of str
        Models of notebook 10, "from scratch" among them; of several, and of
        several trainings, the mean.
    ratio : float
    """
    columns = ("model", "ratio", "seed", "person", "label", "score")
    table = read_table(results, TUNED_SCORES, CLUSTERING_PAGE, columns)
    table = table[table["ratio"] == ratio]
    scores = []
    for models in (first, second):
        lines = select_models(table, models, TUNED_SCORES)
        wide = lines.pivot(
            index=["model", "seed"], columns="person", values="score"
        )
        scores.append(wide.to_numpy())
    labels = table.drop_duplicates("person").sort_values("person")["label"]
    return auc_difference(labels.to_numpy(), *scores)


def _paired_means(
    table: pd.DataFrame,
    name: str,
    first: list[str],
    second: list[str],
    column: str,
) -> Finding:
    """Mean of a column over people, of some models minus that of others."""
    means = []
    for models in (first, second):
        lines = select_models(table, models, name)
        means.append(lines.groupby("person")[column].mean())
    return _paired(*means)


def _paired(first: pd.Series, second: pd.Series) -> Finding:
    """Mean difference of people, with a paired t."""
    gains = first - second
    people = len(gains)
    error = gains.std(ddof=1) / people**0.5
    return normal(
        gains.mean(), error, f"{people} people", "paired t", people - 1
    )
