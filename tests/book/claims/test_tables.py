"""Tests on an edition's tables, against loops, bootstraps and libraries."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import confint_proportions_2indep

from book.claims import evidence, rule, tables
from book.claims.scores import SCORES, auc_difference


def _read(edition, name):
    return pd.read_csv(edition / name, sep="\t")


def _auc(edition, model, modality, fold):
    """By scikit-learn."""
    lines = _read(edition, SCORES).query(
        "model == @model and modality == @modality and fold == @fold"
    )
    return roc_auc_score(lines["label"], lines["score"])


def _mean_auc(edition, models, modalities):
    """Over models, modalities and folds."""
    aucs = []
    for model in models:
        for modality in modalities:
            for fold in (0, 1):
                aucs.append(_auc(edition, model, modality, fold))
    return np.mean(aucs)


def test_auc_contrast_estimate_by_loop_and_error_by_bootstrap(edition):
    first, second = ["XX", "CC", "RR"], ["AE"]
    modalities = ["T1", "fALFF"]
    finding = tables.auc_contrast(edition, first, second, modalities)
    expected = _mean_auc(edition, first, modalities) - _mean_auc(
        edition, second, modalities
    )
    assert finding.estimate == pytest.approx(expected)
    wide = _read(edition, SCORES).pivot(
        index=["label", "pair"],
        columns=["model", "modality", "fold"],
        values="score",
    )
    labels = wide.index.get_level_values("label").to_numpy()
    positives = np.flatnonzero(labels == 1)
    negatives = np.flatnonzero(labels == 0)
    first_scores = wide[first].to_numpy()
    second_scores = wide[second].to_numpy()
    rng = np.random.default_rng(1)
    draws = []
    for _ in range(600):
        one = rng.choice(positives, len(positives))
        zero = rng.choice(negatives, len(negatives))
        means = []
        for scores in (first_scores, second_scores):
            exceeds = scores[one, None] > scores[zero]  # (1s, 0s, scores)
            means.append(exceeds.mean())
        draws.append(means[0] - means[1])
    error = (finding.high - finding.low) / 3.92
    assert error == pytest.approx(np.std(draws), rel=0.12)


def test_auc_contrast_of_modalities_and_of_a_model_with_itself(edition):
    finding = tables.auc_contrast(edition, ["CR"], ["CR"], ["T1"], ["fALFF"])
    t1 = _mean_auc(edition, ["CR"], ["T1"])
    falff = _mean_auc(edition, ["CR"], ["fALFF"])
    assert finding.estimate == pytest.approx(t1 - falff)
    same = tables.auc_contrast(edition, ["CR"], ["CR"], ["T1"])
    assert same[:3] == (0, 0, 0)
    with pytest.raises(evidence.NotInEdition, match="no modality PET"):
        tables.auc_contrast(edition, ["CR"], ["CC"], ["PET"])
    message = "CR, CC are not among its models for linear projection"
    with pytest.raises(evidence.NotInEdition, match=message):
        tables.auc_contrast(
            edition, ["CR", "CC"], ["AE"], ["T1"], protocol="linear projection"
        )


def test_auc_level_and_perfect_separation(edition, tmp_path):
    level = tables.auc_level(edition, ["CR"], ["T1"])
    expected = _mean_auc(edition, ["CR"], ["T1"])
    assert level.estimate == pytest.approx(expected)
    labels = (np.arange(30) < 10).astype(int)
    rng = np.random.default_rng(0)
    parts = []
    for model in "ab":
        columns = {
            "fold": 0,
            "protocol": "logistic regression",
            "model": model,
            "modality": "T1",
            "draw": 0,
            "pair": np.arange(30),
            "label": labels,
            "score": 9 * labels + rng.normal(size=30),
        }
        parts.append(pd.DataFrame(columns))
    pd.concat(parts).to_csv(tmp_path / SCORES, sep="\t", index=False)
    contrast = tables.auc_contrast(tmp_path, ["a"], ["b"], ["T1"])
    assert contrast.estimate == 0
    assert contrast.low < -0.05 and contrast.high > 0.05
    assert tables.auc_level(tmp_path, ["a"], ["T1"]).low < 0.95


def test_auc_lead_is_the_smallest_of_all_pairs(edition):
    competitors = ["CR", "XX", "CC", "AE"]
    lead = tables.auc_lead(edition, "RR", competitors, ["T1"])
    pairs = [
        tables.auc_contrast(edition, ["RR"], [other], ["T1"])
        for other in competitors
    ]
    assert lead.estimate == pytest.approx(min(p.estimate for p in pairs))
    assert lead.low == pytest.approx(min(p.low for p in pairs))
    stricter = stats.norm.isf(0.025 / 4) / stats.norm.isf(0.025)
    highs = [p.estimate + stricter * (p.high - p.estimate) for p in pairs]
    assert lead.high == pytest.approx(min(highs))


def test_the_lead_of_the_luckiest_of_equals_is_rarely_supported():
    rng = np.random.default_rng(3)
    above = evidence.Region.from_words(above=0)
    labels = (np.arange(80) < 30).astype(int)
    wrong = 0
    for _ in range(60):
        scores = rng.normal(size=(6, 80)) + labels
        winner = int(np.argmax([roc_auc_score(labels, s) for s in scores]))
        lows = []
        for other in set(range(6)) - {winner}:
            lead = auc_difference(labels, scores[[winner]], scores[[other]])
            lows.append(lead.low)
        wrong += rule.verdict(min(lows), 1.0, above) == rule.SUPPORTED
    # choosing the winner first and then testing it against each other model
    # at .025: few pass all
    excess = stats.binomtest(wrong, 60, 0.05, alternative="greater")
    assert excess.pvalue > 0.01


def test_similarity_contrast_from_the_numbers_of_the_table(edition):
    cells = _read(edition, tables.SIMILARITY).set_index(
        ["model", "role", "group", "measure"]
    )
    above_chance = cells["estimate"] - cells["shuffle_mean"]
    half = cells["high"] - cells["estimate"]
    a = ("CR", "train", "AD", "CKA")
    b = ("XX", "train", "AD", "CKA")
    c = ("RR", "train", "HC", "CCA")
    d = ("XX", "holdout", "AD", "CKA")
    finding = tables.similarity_contrast(
        edition,
        "CKA",
        ["CR", "XX"],
        ["RR"],
        role="train",
        group="AD",
        other_group="HC",
        other_measure="CCA",
    )
    expected = (above_chance[a] + above_chance[b]) / 2 - above_chance[c]
    assert finding.estimate == pytest.approx(expected)
    expected_half = np.hypot((half[a] + half[b]) / 2, half[c])
    assert finding.high - finding.estimate == pytest.approx(expected_half)
    # 20 blocks: t of 19 at every level
    error = expected_half / stats.t.ppf(0.975, 19)
    assert rule.corrected_limits(finding, 0.998) == pytest.approx(
        stats.t.interval(0.998, 19, expected, error)
    )
    plain = tables.similarity_contrast(
        edition,
        "CKA",
        ["CR"],
        ["XX"],
        role="train",
        group="AD",
        other_role="holdout",
        above_chance=False,
    )
    expected = cells["estimate"][a] - cells["estimate"][d]
    assert plain.estimate == pytest.approx(expected)
    assert plain.sample == "200 and 40 people"


def test_the_level_under_shuffling_is_no_correction_for_two_sizes(edition):
    two_sizes = {
        "first": ["CR"],
        "second": ["CR"],
        "role": "train",
        "other_role": "holdout",
    }
    message = "200 and 40 people: its bias .*expected debiased CKA"
    for measures in (
        {"measure": "SVCCA"},
        {"measure": "debiased CKA", "other_measure": "CKA"},
    ):
        with pytest.raises(ValueError, match=message):
            tables.similarity_contrast(edition, **measures, **two_sizes)
    tables.similarity_contrast(edition, measure="debiased CKA", **two_sizes)


def test_similarity_of_a_collapsed_code_is_not_computed(edition, tmp_path):
    table = _read(edition, tables.SIMILARITY)
    table.loc[table["model"] == "RR", ["estimate", "low", "high"]] = np.nan
    table.to_csv(tmp_path / tables.SIMILARITY, sep="\t", index=False)
    with pytest.raises(evidence.NotInEdition, match="collapsed"):
        tables.similarity_contrast(tmp_path, "CKA", ["CR"], ["RR"])


def test_group_contrast_from_the_numbers_of_the_table(edition, tmp_path):
    table = _read(edition, tables.GROUPS)
    cells = table.query("measure == 'SVCCA' and model in ['CR', 'XX']")
    assert len(cells) == 2
    mean = cells["difference"].mean() - cells["null_difference"].mean()
    finding = tables.group_contrast(edition, "SVCCA", ["CR", "XX"])
    limits = stats.norm.interval(0.95, mean, cells["null_sd"].mean())
    assert finding[:3] == pytest.approx((mean, *limits))
    assert finding.sample == "15 and 25 people"
    table["null_sd"] = 1e-12
    table.to_csv(tmp_path / tables.GROUPS, sep="\t", index=False)
    message = "CCA cannot move with so few people"
    with pytest.raises(evidence.NotInEdition, match=message):
        tables.group_contrast(tmp_path, "CCA", ["CR"])


def _cca(x, y):
    """Mean canonical correlation, by QR (Bjoerck & Golub 1973)."""
    x, _ = np.linalg.qr(x - x.mean(axis=0))
    y, _ = np.linalg.qr(y - y.mean(axis=0))
    return np.linalg.svd(x.T @ y, compute_uv=False).mean()


def _group_gap(x, y, patients):
    """Similarity in patients minus that in controls."""
    return _cca(x[patients], y[patients]) - _cca(x[~patients], y[~patients])


def test_two_sizes_of_one_coupling_differ_by_shuffling_not_by_labels(
    tmp_path,
):
    rng = np.random.default_rng(8)
    patients = np.arange(124) < 34
    is_shared = np.arange(16) < 8
    own = np.sqrt(np.where(is_shared, 0.3, 1.0))
    common = np.sqrt(np.where(is_shared, 0.7, 0.0))
    by_shuffling, lines = [], []
    for study in range(30):
        factors, x, y = rng.normal(size=(3, 124, 16))
        x = x * own + factors * common
        y = y * own + factors * common
        gap = _group_gap(x, y, patients)
        in_patients = _cca(x[patients], rng.permutation(y[patients]))
        in_controls = _cca(x[~patients], rng.permutation(y[~patients]))
        by_shuffling.append(gap - (in_patients - in_controls))
        null = [_group_gap(x, y, rng.permutation(patients)) for _ in range(40)]
        line = {
            "model": f"study {study}",
            "role": "holdout",
            "measure": "CCA",
            "difference": gap,
            "null_difference": np.mean(null),
            "null_sd": np.std(null, ddof=1),
            "n_first": 90,
            "n_second": 34,
        }
        lines.append(line)
    table = pd.DataFrame(lines)
    table.to_csv(tmp_path / tables.GROUPS, sep="\t", index=False)
    # negligible is .02
    assert stats.ttest_1samp(by_shuffling, -0.04).statistic < -3
    findings = [
        tables.group_contrast(tmp_path, "CCA", [f"study {study}"])
        for study in range(30)
    ]
    missed = sum(not f.low <= 0 <= f.high for f in findings)
    assert stats.binomtest(missed, 30, 0.05, "greater").pvalue > 0.01
    assert abs(np.mean([f.estimate for f in findings])) < 0.02


def test_similarity_and_auc_against_scipy(edition):
    models = ["CR", "XX", "CC", "RR", "AE", "RR-AE", "DCCAE"]
    cells = (
        _read(edition, tables.SIMILARITY)
        .query("measure == 'CKA' and role == 'holdout' and group == 'all'")
        .set_index("model")
    )
    aucs = [_mean_auc(edition, [model], ["T1"]) for model in models]
    finding = tables.similarity_and_auc(edition, "CKA", models, ["T1"])
    expected = stats.spearmanr(cells.loc[models, "estimate"], aucs)
    assert finding.estimate == pytest.approx(expected.statistic)
    assert -1 < finding.low < finding.estimate < finding.high < 1
    with pytest.raises(ValueError, match="at least 5"):
        tables.similarity_and_auc(edition, "CKA", models[:3], ["T1"])


def test_accuracy_contrast_is_newcombes(edition, tmp_path):
    table = _read(edition, tables.NATURAL_IMAGES)
    accuracy = table.query(
        "data == 'MNIST-SVHN' and modality == 'SVHN'"
    ).set_index("model")["accuracy"]
    a = int(round(1000 * accuracy["CR"]))
    b = int(round(1000 * accuracy["AE"]))
    finding = tables.accuracy_contrast(
        edition, "-SVHN", ["CR"], ["AE"], ["SVHN"]
    )
    limits = confint_proportions_2indep(a, 1000, b, 1000, method="newcomb")
    assert finding[:3] == pytest.approx(((a - b) / 1000, *limits))
    table["data"] = table["data"].replace(
        "MNIST-SVHN", "MNIST-painted (a stand-in for MNIST-SVHN)"
    )
    table.to_csv(tmp_path / tables.NATURAL_IMAGES, sep="\t", index=False)
    message = "no SVHN in this edition, only .*painted"
    with pytest.raises(evidence.NotInEdition, match=message):
        tables.accuracy_contrast(tmp_path, "-SVHN", ["CR"], ["AE"], ["MNIST"])


def test_robustness_contrast_turns_pairs_round(edition):
    table = _read(edition, tables.COMPARISONS).query(
        "panel == 'blur std' and modality == 'T1' "
        "and question == 'in single panels' and first == 'CR'"
    )
    lines = table.set_index("second")
    finding = tables.robustness_contrast(
        edition, ["AE", "XX"], ["CR"], ["T1"], ["blur std"]
    )
    mean = lines.loc[["AE", "XX"], ["difference", "low", "high"]].mean()
    assert finding.estimate == pytest.approx(-mean["difference"])
    assert finding.low == pytest.approx(-mean["high"])
    assert finding.high == pytest.approx(-mean["low"])
    overall = tables.robustness_contrast(edition, ["CR"], ["AE"], ["T1"])
    assert overall.high < 8  # "loses less" is another question
    with pytest.raises(evidence.NotInEdition):
        tables.robustness_contrast(
            edition, ["CR"], ["AE"], ["T1"], ["gamma log_gamma"]
        )


def test_populations_against_the_numbers_of_the_table(edition):
    table = _read(edition, tables.POPULATIONS)
    lines = table.query("modality == 'T1' and model in ['CR', 'AE']")
    expected = lines[["shift", "shift_low", "shift_high"]].mean()
    finding = tables.population(edition, ["CR", "AE"], ["T1"], "shift")
    assert finding[:3] == pytest.approx(tuple(expected))
    with pytest.raises(ValueError, match="quantity='ratio'"):
        tables.population(edition, ["CR"], ["T1"], "ratio")


def test_overlaps_against_a_paired_t(edition):
    scores = _read(edition, tables.OVERLAP).pivot(
        index=["modality", "sign"], columns="source", values="auprc"
    )
    means = scores.groupby("modality").mean()
    finding = tables.overlap_contrast(
        edition, ["Supervised"], ["random encoder"], ["T1", "fALFF"]
    )
    reference = stats.ttest_rel(means["Supervised"], means["random encoder"])
    for level in (0.95, 0.9993):
        expected = reference.confidence_interval(level)
        assert finding.limits(level) == pytest.approx(tuple(expected))
    assert finding[1:3] == finding.limits(0.95)
    message = "1 modality of both sides"
    with pytest.raises(evidence.NotInEdition, match=message):
        tables.overlap_contrast(edition, ["Supervised"], ["AE"], ["T1"])


def test_pretext_accuracy_against_a_paired_t(edition):
    right = _read(edition, tables.PRETEXT).pivot_table(
        "right", "person", "model", aggfunc="mean"
    )
    finding = tables.pretext_contrast(
        edition, ["PCRL"], ["contrast", "attention"]
    )
    others = right[["contrast", "attention"]].mean(axis=1)
    reference = stats.ttest_rel(right["PCRL"], others)
    expected = tuple(reference.confidence_interval(0.95))
    assert finding.limits(0.95) == pytest.approx(expected)
    assert finding.estimate == pytest.approx((right["PCRL"] - others).mean())
    one = tables.pretext_contrast(edition, ["PCRL"], ["mixup-1"], ["rotation"])
    assert one.estimate != finding.estimate
    with pytest.raises(evidence.NotInEdition, match="SwAV"):
        tables.pretext_contrast(edition, ["PCRL"], ["SwAV"])


def test_clusters_against_a_paired_t(edition):
    losses = _read(edition, tables.ASSIGNMENTS).pivot_table(
        "loss", "person", "model", aggfunc="mean"
    ) / np.log(8)
    finding = tables.cluster_contrast(edition, ["SwAV"], ["SwAV-mixed"])
    reference = stats.ttest_rel(losses["SwAV"], losses["SwAV-mixed"])
    expected = tuple(reference.confidence_interval(0.95))
    assert finding.limits(0.95) == pytest.approx(expected)
    with pytest.raises(evidence.NotInEdition, match="SwAV-apart"):
        tables.cluster_contrast(edition, ["SwAV"], ["SwAV-apart"])


def test_fine_tuned_scores_against_their_aucs(edition):
    scores = _read(edition, tables.TUNED_SCORES).query("ratio == 0.1")
    means = {}
    for model, own in scores.groupby("model"):
        aucs = []
        for _, one in own.groupby("seed"):
            aucs.append(roc_auc_score(one["label"], one["score"]))
        means[model] = np.mean(aucs)
    finding = tables.tuned_contrast(
        edition, ["SwAV"], ["SwAV-rounded", "from scratch"], 0.1
    )
    others = (means["SwAV-rounded"] + means["from scratch"]) / 2
    assert finding.estimate == pytest.approx(means["SwAV"] - others)
    low, high = finding.limits(0.95)
    assert low < finding.estimate < high


def test_deviations_vary_over_people_and_trainings(edition):
    moved = _read(edition, tables.DEVIATIONS).query("kind == 'gamma'")
    wide = moved.pivot(
        index=["seed", "person"], columns="model", values="moved"
    )
    gains = (wide["SwAV"] - wide["from scratch"]).unstack()
    of_people = gains.mean().var() / 13
    of_seeds = gains.mean(axis=1).var() / 3
    total = of_people + of_seeds
    freedom = total**2 / (of_people**2 / 12 + of_seeds**2 / 2)
    reach = stats.t.ppf(0.975, freedom) * np.sqrt(total)
    finding = tables.deviation_contrast(
        edition, ["SwAV"], ["from scratch"], "gamma"
    )
    mean = gains.to_numpy().mean()
    assert finding.limits(0.95) == pytest.approx((mean - reach, mean + reach))
