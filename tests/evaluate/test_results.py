"""The results table against scikit-learn, copies of a baseline and several
folds; saved tables are read back as they were.
"""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from statsmodels.stats.power import normal_power

from mmssl import plotting
from mmssl.evaluate import linear_evaluation, probes, results
from mmssl.ledger import leakage
from mmssl.ledger.artefacts import Provenance
from mmssl.pretrain.baselines import PCA_64, RANDOM, untrained_embeddings
from mmssl.pretrain.encoders import embed
from mmssl.stats.delong import difference_interval


@pytest.fixture(scope="module")
def embeddings(cohort, run):
    """Give those of a run, and a copy of the untrained baseline."""
    copy = untrained_embeddings(cohort, seed=0, width=4, latent=8)
    return {"RR": embed(run, cohort), "copy": copy}


@pytest.fixture(scope="module")
def probed(cohort, embeddings):
    """Give the results of their probes."""
    return linear_evaluation.probe(
        cohort, embeddings, trials=5, epochs=20, width=4, initialisations=1
    )


@pytest.fixture(scope="module")
def table(probed):
    """Give their results table."""
    return results.results_table([probed], resamples=400)


@pytest.fixture
def folder(cohort, probed, table, tmp_path):
    """Give a results folder as the page of the linear evaluation leaves it."""
    facts = {"edition": "toy", **table.attrs["proof"]}
    provenance = Provenance(
        {"cohort": cohort.path / "cohort.json"},
        {"width": 4},
        0,
        ("mmssl.evaluate.results",),
        facts,
    )
    tables = {
        "": table,
        "_fits": probed.fits,
        "_scores": probed.scores.drop(columns="subject"),
    }
    provenance.save(tmp_path / "toy", results.PREFIX, tables)
    return tmp_path / "toy"


def test_the_distance_to_components_is_paired(probed, table):
    scores = probed.scores.set_index(["protocol", "model", "modality"])
    for line in table.itertuples():
        limits = (line.above_pca, line.above_pca_low, line.above_pca_high)
        if line.model == PCA_64:
            assert np.isnan(limits).all()
            continue
        own = scores.loc[(line.protocol, line.model, line.modality)]
        other = scores.loc[(line.protocol, PCA_64, line.modality)]
        other = other.set_index("pair").loc[own["pair"]]
        expected = difference_interval(
            own["label"], own["score"], other["score"]
        )
        aucs = [roc_auc_score(own["label"], s["score"]) for s in (own, other)]
        if own["draw"].nunique() > 1:
            continue
        np.testing.assert_allclose(limits, expected[:3], atol=1e-12)
        assert line.above_pca == pytest.approx(aucs[0] - aucs[1])


def test_without_components_there_is_no_distance(probed):
    scores = probed.scores
    scores = scores[scores["model"] != PCA_64]
    few = probed._replace(scores=scores)
    table = results.results_table([few], resamples=100, supervised={"RR"})
    assert table[["above_pca", "above_pca_low"]].isna().all(axis=None)
    assert set(table.loc[table["supervised"], "model"]) == {"RR"}
    assert "–" in set(results.formatted_results(table)["over PCA-64 [95 %]"])


def test_the_table_has_every_model_and_both_baselines(table, cohort):
    expected = {
        (model, m)
        for model in ("random encoder", "PCA-64", "RR", "copy")
        for m in cohort.modalities
    }
    assert set(zip(table["model"], table["modality"], strict=True)) == expected
    assert set(table.loc[table["baseline"], "model"]) == {
        "random encoder",
        "PCA-64",
    }
    estimated = table.dropna(subset="low")
    assert (estimated["low"] <= estimated["auc"]).all()
    assert (estimated["auc"] <= estimated["high"]).all()
    assert (table.loc[table["low"].isna(), "auc"] == 0.5).all()
    held = cohort.downstream(cohort.rows("holdout"))
    labels = cohort.labels()[held]
    assert (table["positives"] == (labels == 1).sum()).all()
    assert (table["negatives"] == (labels == 0).sum()).all()
    assert (
        table["train"] == len(cohort.downstream(cohort.rows("train", 0)))
    ).all()


def test_a_copy_of_the_baseline_gains_exactly_nothing(table):
    copy = table[table["model"] == "copy"]
    baseline = table[table["model"] == "random encoder"]
    assert np.array_equal(copy["auc"], baseline["auc"])
    assert (
        copy[["difference", "difference_low", "difference_high"]] == 0
    ).all(axis=None)
    assert (
        baseline["difference"].isna().all()
        and baseline["minimum_detectable"].isna().all()
    )


def test_a_detectable_gain_is_found_with_power_eight_tenths(rng):
    labels = (np.arange(90) < 30).astype(int)
    people = pd.Series([f"sub-{n}" for n in range(90)])
    untrained = rng.normal(size=(10, 90)) + 0.5 * labels
    scores = untrained[:1] + 0.5 * rng.normal(size=(1, 90)) + labels
    gain = results._gain(labels, scores, untrained, people)
    error = (gain["difference_high"] - gain["difference_low"]) / (2 * 1.96)
    power = normal_power(gain["minimum_detectable"] / error, 1, 0.05)
    assert power == pytest.approx(0.8, abs=1e-3)
    # .98 and noise of its own: nothing above could be told from it
    strong = untrained + 2.5 * labels
    other = rng.normal(size=(1, 90)) + 1.5 * labels
    gain = results._gain(labels, other, strong, people)
    assert np.isnan(gain["minimum_detectable"])


def test_the_untrained_baseline_is_the_mean_of_its_initialisations(
    cohort, run
):
    embeddings = {"RR": embed(run, cohort)}
    projection = ("linear projection",)
    probed = linear_evaluation.probe(
        cohort,
        embeddings,
        0,
        projection,
        epochs=20,
        seed=5,
        width=4,
        initialisations=3,
    )
    table = results.results_table([probed], resamples=400)
    train = cohort.downstream(cohort.rows("train", 0))
    held = cohort.downstream(cohort.rows("holdout"))
    labels = cohort.labels()
    for modality in cohort.modalities:
        lines = table[table["modality"] == modality].set_index("model")
        aucs = []
        for seed in (5, 6, 7):
            z = untrained_embeddings(cohort, seed=seed, width=4, latent=8)
            logits = probes.linear_probe(
                z[modality][train],
                labels[train],
                z[modality][held],
                2,
                epochs=20,
                seed=5,
            )
            scores = logits[:, 1] - logits[:, 0]
            aucs.append(roc_auc_score(labels[held], scores))
        untrained = lines.loc["random encoder"]
        assert len(set(aucs)) == 3
        assert untrained["auc"] == pytest.approx(np.mean(aucs))
        assert untrained["auc_sd"] == pytest.approx(np.std(aucs, ddof=1))
        gain = lines.loc["RR", "auc"] - np.mean(aucs)
        assert lines.loc["RR", "difference"] == pytest.approx(gain)
        assert list(lines["draws"]) == [3, 1, 1]
        assert (lines["folds"] == 1).all()


def test_the_tables_auc_is_that_of_a_probe_which_saw_the_training_people_alone(
    table, cohort
):
    z = untrained_embeddings(cohort, seed=0, width=4, latent=8)["T1"]
    train = cohort.downstream(cohort.rows("train", 0))
    held = cohort.downstream(cohort.rows("holdout"))
    labels = cohort.labels()
    fit = probes.logistic_regression(
        z[train], labels[train], cohort.subjects[train], trials=5
    )
    expected = roc_auc_score(
        labels[held], fit.pipeline.predict_proba(z[held])[:, 1]
    )
    line = table[
        (table["model"] == "random encoder") & (table["modality"] == "T1")
    ]
    line = line.set_index("protocol")["auc"]
    assert line["logistic regression"] == pytest.approx(expected, abs=1e-12)
    logits = probes.linear_probe(
        z[train], labels[train], z[held], 2, epochs=20
    )
    expected = roc_auc_score(
        labels[held], torch.from_numpy(logits).softmax(1)[:, 1]
    )
    assert line["linear projection"] == pytest.approx(expected, abs=1e-12)


def test_several_folds_give_the_mean_with_its_spread(cohort, run):
    embeddings = {"RR": embed(run, cohort)}
    logistic = ("logistic regression",)
    probed = [
        linear_evaluation.probe(
            cohort,
            embeddings,
            fold,
            logistic,
            trials=3,
            width=4,
            initialisations=1,
        )
        for fold in (0, 1, 2)
    ]
    each = pd.concat(
        [results.results_table([p], resamples=400) for p in probed]
    )
    table = results.results_table(probed, resamples=400)
    aucs = each.groupby(["model", "modality"])["auc"].agg(["mean", "std"])
    table = table.set_index(["model", "modality"])
    for column, expected in (("auc", "mean"), ("auc_sd", "std")):
        assert np.allclose(table[column], aucs[expected].loc[table.index])
    gains = (
        each.groupby(["model", "modality"])["difference"]
        .mean()
        .loc[table.index]
    )
    assert np.allclose(table["difference"], gains, equal_nan=True)
    assert (table["folds"] == 3).all() and each["auc_sd"].isna().all()
    short = probed[2]._replace(scores=probed[2].scores.query("model != 'RR'"))
    with pytest.raises(
        ValueError, match="RR, .*expected the same hold-out in all 3"
    ):
        results.results_table([*probed[:2], short], resamples=400)


def test_a_fold_without_the_scores_of_a_class_is_refused(rng):
    lines = pd.MultiIndex.from_product(
        [(0, 1), (0,), (0, 1, 2), range(4)],
        names=["fold", "draw", "class", "pair"],
    ).to_frame(index=False)
    lines = lines.assign(model="RR", modality="T1", score=rng.normal(size=24))
    _, scores = results.scores_by_fold(lines.iloc[::-1], 2)
    expected = lines["score"].to_numpy().reshape(2, 3, 4)
    assert np.array_equal(scores, expected)
    short = lines.query("fold == 0 or `class` != 2")
    with pytest.raises(ValueError, match="RR, T1: folds .* too few folds"):
        results.scores_by_fold(short, 2)


def test_the_page_shows_the_tables_numbers(table):
    text = results.formatted_results(table)
    assert (text["SD"] == "–").all()
    last = int(np.flatnonzero(table["low"].notna())[-1])
    line, shown = table.iloc[last], text.iloc[last]
    assert (
        shown["AUC [95 %]"]
        == f"{line['auc']:.2f} [{line['low']:.2f}, {line['high']:.2f}]"
    )
    assert text.iloc[0]["gain [95 %]"] == "–"


def test_the_figure_draws_every_model_at_its_value(table):
    table = table[table["protocol"] == "logistic regression"]
    figure = plotting.linear_evaluation(table, ceiling=0.94)
    axes = np.reshape(figure.axes, (2, 2))
    for (left, right), modality in zip(axes, ("T1", "fALFF"), strict=True):
        names = [label.get_text() for label in left.get_yticklabels()]
        assert names[0] == RANDOM
        lines = (
            table[table["modality"] == modality].set_index("model").loc[names]
        )
        colours = left.collections[1].get_facecolors()
        assert len(np.unique(colours, axis=0)) == 3
        assert not colours[names.index(PCA_64), :3].any()  # black
        drawn = left.collections[1].get_offsets()[:, 0].filled(np.nan)
        estimated = lines["auc"].where(lines["low"].notna())
        assert np.array_equal(drawn, estimated, equal_nan=True)
        assert np.allclose(
            right.collections[1].get_offsets()[:, 0].filled(np.nan),
            lines["difference"],
            equal_nan=True,
        )


def test_saved_tables_are_read_back_to_the_last_digit(
    folder, cohort, embeddings, probed, table
):
    pd.testing.assert_frame_equal(
        results.load_results(folder, "toy"), table, check_exact=True
    )
    loaded = results.load_probes(folder, "toy", cohort, embeddings)
    columns = list(probed.scores.columns)
    pd.testing.assert_frame_equal(
        loaded.scores[columns], probed.scores, check_exact=True
    )
    pd.testing.assert_frame_equal(loaded.fits, probed.fits, check_exact=True)
    assert loaded.exposures == probed.exposures
    for model, by_modality in probed.embeddings.items():
        for modality, z in by_modality.items():
            assert np.array_equal(loaded.embeddings[model][modality], z)


def test_tables_that_are_missing_or_stale_are_refused_with_the_command(
    folder, cohort, embeddings
):
    command = "04_linear_evaluation: make reproduce EDITION=toy"
    scores = folder / "linear_evaluation_scores.tsv"
    text = scores.read_text()
    scores.write_text(text.replace("RR", "XX"))
    with pytest.raises(ValueError, match=f"was changed.*{command}"):
        results.load_probes(folder, "toy", cohort, embeddings)
    scores.unlink()
    with pytest.raises(ValueError, match=f"does not exist.*{command}"):
        results.load_results(folder, "toy")
    with pytest.raises(ValueError, match="04_linear_evaluation: make smoke"):
        results.load_results(folder / "elsewhere", "smoke")


def test_scores_of_other_people_models_or_folds_are_refused(
    folder, cohort, embeddings
):
    swapped = {**cohort.splits, "holdout": cohort.splits["holdout"][1:]}
    other = dataclasses.replace(cohort, splits=swapped)
    with pytest.raises(ValueError, match="are not the hold-out of"):
        results.load_probes(folder, "toy", other, embeddings)
    more = {**embeddings, "CR": embeddings["RR"]}
    with pytest.raises(ValueError, match="no scores of CR; evaluate"):
        results.load_probes(folder, "toy", cohort, more)
    with pytest.raises(ValueError, match="no scores of fold 1"):
        results.load_probes(folder, "toy", cohort, embeddings, fold=1)


def test_saved_scores_of_an_encoder_that_saw_the_hold_out_are_refused(
    folder, cohort, embeddings
):
    everybody = leakage.exposure(
        "encoder", "train", cohort, range(len(cohort))
    )
    with pytest.raises(leakage.LeakError, match="encoder RR, fold 0"):
        results.load_probes(
            folder, "toy", cohort, embeddings, seen={"RR": [everybody]}
        )
