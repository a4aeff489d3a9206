"""Probes against other solvers and a hand-written optimiser; tables against
planted leaks.
"""

import dataclasses
import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
from sklearn.preprocessing import StandardScaler

from mmssl import plotting
from mmssl.cohorts import splits
from mmssl.cohorts.cohort import write
from mmssl.evaluate import linear_evaluation, probes
from mmssl.evaluate import linear_evaluation as evaluate
from mmssl.ledger import leakage
from mmssl.ledger.hashes import hash_path
from mmssl.pretrain.baselines import (
    BASELINES,
    _components,
    baseline_embeddings,
    untrained,
)
from mmssl.pretrain.encoders import embed, load_encoders
from mmssl.pretrain.fit import fit

PEOPLE, SESSIONS = 60, 2


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Give 60 people of two classes, two pairs of 32x32 images each, a class
    signal in both.
    """
    rng = np.random.default_rng(7)
    ids = [f"sub-{i:02d}" for i in range(PEOPLE)]
    sick = np.arange(PEOPLE) % 3 == 0
    people = pd.DataFrame(
        {"participant_id": ids, "group": np.where(sick, "AD", "HC")}
    )
    pairs = pd.DataFrame(
        {
            "pair": range(PEOPLE * SESSIONS),
            "participant_id": np.repeat(ids, SESSIONS),
            "session": np.tile([1, 2], PEOPLE),
            "day": np.tile([0, 90], PEOPLE),
            "downstream": np.tile([1, 0], PEOPLE),
        }
    )
    volumes = {}
    for modality in ("T1", "fALFF"):
        x = rng.random((PEOPLE * SESSIONS, 32, 32)).astype(np.float32)
        x[np.repeat(sick, SESSIONS), 8:20, 8:20] *= 0.8
        volumes[modality] = x
    return write(
        tmp_path_factory.mktemp("evaluate") / "toy",
        name="toy",
        kind="test",
        volumes=volumes,
        participants=people,
        pairs=pairs,
        splits=splits.make(people, folds=3, holdout=0.3, seed=0),
        intensity="unit",
        tasks={"diagnosis": {"column": "group", "classes": ["HC", "AD"]}},
        seed=0,
    )


@pytest.fixture
def study(rng):
    """Give 120 rows of 60 people, 16 correlated dimensions, one of them
    informative.
    """
    labels = np.repeat(np.arange(60) % 3 == 0, 2).astype(int)
    z = rng.normal(size=(120, 16)) @ (
        rng.normal(size=(16, 16)) * np.exp(-np.arange(16) / 3)
    )
    z[:, 3] += 1.2 * z[:, 3].std() * labels
    return z.astype(np.float32), labels, np.repeat(np.arange(60), 2)


def test_the_same_seed_gives_the_same_search_and_fit(study):
    first = probes.logistic_regression(*study, trials=12, seed=3)
    second = probes.logistic_regression(*study, trials=12, seed=3)
    other = probes.logistic_regression(*study, trials=12, seed=4)
    pd.testing.assert_frame_equal(
        first.trials, second.trials, check_exact=True
    )
    assert np.array_equal(first.pipeline[-1].coef_, second.pipeline[-1].coef_)
    assert not first.trials["C"].equals(other.trials["C"])


def test_the_search_space_is_the_papers(study):
    trials = probes.logistic_regression(*study, trials=40, seed=0).trials
    assert (
        trials["C"].between(1e-6, 1e3).all()
        and np.log10(trials["C"]).std() > 1
    )
    ratio = trials.groupby("penalty")["l1_ratio"]
    assert set(ratio.groups) == {"l1", "l2", "elasticnet"}
    assert (ratio.get_group("l1") == 1).all() and (
        ratio.get_group("l2") == 0
    ).all()
    assert ratio.get_group("elasticnet").between(0, 1).all()


def test_the_winner_has_the_mean_auc_of_subject_wise_folds(study):
    z, labels, subjects = study
    fit = probes.logistic_regression(
        z, labels, subjects, trials=15, folds=4, seed=5
    )
    folds = StratifiedGroupKFold(4, shuffle=True, random_state=5)
    expected = cross_val_score(
        fit.pipeline, z, labels, groups=subjects, cv=folds, scoring="roc_auc"
    ).mean()
    assert (
        fit.score
        == fit.trials["score"].max()
        == pytest.approx(expected, abs=1e-12)
    )


@pytest.mark.parametrize("strength", [1e-3, 0.1, 10.0])
def test_saga_meets_another_solver_without_a_warning(study, strength):
    z, labels, _ = study
    point = {"C": strength, "l1_ratio": 0.0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = probes.penalised(point, 0, "balanced").fit(z, labels)
    expected = LogisticRegression(
        C=strength, solver="newton-cholesky", class_weight="balanced"
    )
    scaled = StandardScaler().fit_transform(z)
    expected.fit(scaled, labels)
    scores = found.decision_function(z), expected.decision_function(scaled)
    assert np.corrcoef(*scores)[0, 1] > 0.999
    assert roc_auc_score(labels, scores[0]) == pytest.approx(
        roc_auc_score(labels, scores[1]), abs=0.003
    )


def test_no_trial_stops_short_of_convergence(study):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probes.logistic_regression(*study, trials=30, seed=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda z, y, s: (z, np.zeros_like(y), s), "one class only"),
        (lambda z, y, s: (np.where(z > 2, np.nan, z), y, s), "not finite"),
        (
            lambda z, y, s: (z, y[:-1], s),
            r"labels: shape \(119,\), expected \(120,\)",
        ),
        (lambda z, y, s: (z, y, s[:-1]), "subjects: shape"),
        (lambda z, y, s: (z[:, :, None], y, s), r"expected \(n, latent\)"),
        (lambda z, y, s: (z, y + 1, s), "labels must be 0 and 1"),
        (
            lambda z, y, s: (z, y, np.where(y == 1, 0, s)),
            "need 5 subjects of each class",
        ),
    ],
)
def test_bad_input_stops_before_the_search(study, change, message):
    with pytest.raises(ValueError, match=message):
        probes.logistic_regression(*change(*study), trials=10**9)


def radam_by_hand(z, y, classes, epochs, batch, seed):
    """Softmax regression under RAdam (Liu et al. 2020) and OneCycle, in
    NumPy.
    """
    generator = torch.Generator().manual_seed(seed)
    weight = torch.nn.init.xavier_uniform_(
        torch.empty(classes, z.shape[1]), generator=generator
    )
    parameters = [weight.numpy().astype(float), np.full(classes, 1 / classes)]
    first = [np.zeros_like(p) for p in parameters]
    second = [np.zeros_like(p) for p in parameters]
    steps, t = epochs * -(-len(z) // batch), 0
    beta2, longest = 0.999, 2 / (1 - 0.999) - 1

    def cosine(start, end, share):
        return end + (start - end) / 2 * (1 + np.cos(np.pi * share))

    for _ in range(epochs):
        for rows in torch.randperm(len(z), generator=generator).split(batch):
            x, target = (
                z[rows.numpy()].astype(float),
                np.eye(classes)[y[rows.numpy()]],
            )
            logits = x @ parameters[0].T + parameters[1]
            chance = np.exp(logits - logits.max(1, keepdims=True))
            error = (chance / chance.sum(1, keepdims=True) - target) / len(x)
            peak = 0.3 * steps - 1
            if t <= peak:
                rate, beta1 = (
                    cosine(4e-4, 0.01, t / peak),
                    cosine(0.95, 0.85, t / peak),
                )
            else:
                share = (t - peak) / (steps - 1 - peak)
                rate, beta1 = (
                    cosine(0.01, 4e-8, share),
                    cosine(0.85, 0.95, share),
                )
            t += 1
            length = longest - 2 * t * beta2**t / (1 - beta2**t)
            for i, gradient in enumerate((error.T @ x, error.sum(0))):
                first[i] = beta1 * first[i] + (1 - beta1) * gradient
                second[i] = beta2 * second[i] + (1 - beta2) * gradient**2
                move = first[i] / (1 - beta1**t)
                if length > 5:
                    rectify = np.sqrt(
                        (length - 4)
                        * (length - 2)
                        * longest
                        / ((longest - 4) * (longest - 2) * length)
                    )
                    move = (
                        move
                        * rectify
                        * np.sqrt(1 - beta2**t)
                        / (np.sqrt(second[i]) + 1e-8)
                    )
                parameters[i] = parameters[i] - rate * move
    return z.astype(float) @ parameters[0].T + parameters[1]


def test_the_linear_probe_equals_the_optimiser_written_by_hand(rng):
    z = rng.normal(size=(37, 5)).astype(np.float32)
    y = z[:, :3].argmax(axis=1)
    found = probes.linear_probe(
        z, y, z, 3, epochs=8, batch_size=8, seed=2, balanced=False
    )
    expected = radam_by_hand(z, y, 3, epochs=8, batch=8, seed=2)
    assert np.allclose(found, expected, atol=1e-4)


def test_the_linear_probe_repeats_and_leaves_its_input_alone(rng):
    z = rng.normal(size=(300, 8)).astype(np.float32)
    y, kept = z[:, :4].argmax(axis=1), z.copy()
    state = torch.random.get_rng_state()
    first = probes.linear_probe(z, y, z[:50], 4, epochs=30, seed=1)
    assert np.array_equal(
        first, probes.linear_probe(z, y, z[:50], 4, epochs=30, seed=1)
    )
    assert torch.equal(state, torch.random.get_rng_state()) and np.array_equal(
        z, kept
    )
    assert not np.array_equal(
        first, probes.linear_probe(z, y, z[:50], 4, epochs=30, seed=2)
    )
    longer = probes.linear_probe(z, y, z[:50], 4, epochs=300)
    assert (longer.argmax(axis=1) == y[:50]).mean() > 0.9


def test_probes_side_by_side_are_each_as_if_alone(rng):
    z, y = (
        rng.normal(size=(3, 90, 6)).astype(np.float32),
        np.arange(90) % 7 % 3,
    )
    z[1] *= 1e3  # whose loss and gradients dwarf the others'
    together = probes.linear_probe(
        z[:, :70], y[:70], z[:, 70:], 3, epochs=12, seed=4
    )
    alone = [
        probes.linear_probe(one[:70], y[:70], one[70:], 3, epochs=12, seed=4)
        for one in z
    ]
    assert together.shape == (3, 20, 3)
    for found, expected in zip(together, alone, strict=True):
        assert np.allclose(
            found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max()
        )


def test_searches_in_two_processes_say_the_same(cohort, run):
    rows = {"RR": embed(run, cohort)}
    one, two = (
        linear_evaluation.probe(
            cohort, rows, trials=3, epochs=3, width=4, jobs=jobs
        )
        for jobs in (1, 2)
    )
    pd.testing.assert_frame_equal(one.scores, two.scores, check_exact=True)
    pd.testing.assert_frame_equal(one.fits, two.fits, check_exact=True)


def test_the_linear_probe_answers_as_if_classes_were_equally_common(rng):
    """Without a signal the logits follow the class shares that training has
    shown.
    """
    z, y = (
        rng.normal(size=(400, 3)).astype(np.float32),
        (np.arange(400) % 10 == 0).astype(int),
    )
    for balanced, expected in ((True, 0.5), (False, 0.1)):
        logits = probes.linear_probe(z, y, z, 2, epochs=400, balanced=balanced)
        share = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
        assert np.median(share) == pytest.approx(expected, abs=0.08)


def test_the_linear_probe_names_bad_input(rng):
    z, y = rng.normal(size=(20, 4)).astype(np.float32), np.arange(20) % 4
    for arguments, message in (
        ((z, y, z, 3), "labels run from 0 to 3, expected 0 to 2"),
        ((z, y, z[:, :3], 4), r"z_test: shape \(20, 3\)"),
        (
            (z[None], y, z[None, :, :3], 4),
            r"z_test: shape \(1, 20, 3\), expected \(n, 4\)",
        ),
        ((z, np.zeros(20, int), z, 4), "one class only"),
    ):
        with pytest.raises(ValueError, match=message):
            probes.linear_probe(*arguments)


@pytest.fixture(scope="module")
def run(cohort, tmp_path_factory):
    """Give one finished run of one epoch."""
    folder = tmp_path_factory.mktemp("runs") / "RR"
    return fit(
        cohort,
        "RR",
        folder,
        epochs=1,
        batch_size=16,
        width=4,
        latent=8,
        precision="fp32",
        progress=False,
    )


@pytest.fixture(scope="module")
def table(cohort, run):
    """Give the results table of that run, and of a copy of the baseline."""
    copy = untrained(cohort, seed=0, width=4, latent=8)
    rows = {"RR": embed(run, cohort), "copy": copy}
    probed = linear_evaluation.probe(
        cohort, rows, trials=5, epochs=20, width=4
    )
    return linear_evaluation.results_table([probed], resamples=400)


def test_the_table_has_every_row_and_both_floors(table, cohort):
    expected = {
        (row, m)
        for row in ("random encoder", "PCA-64", "RR", "copy")
        for m in cohort.modalities
    }
    assert set(zip(table["model"], table["modality"], strict=True)) == expected
    assert set(table.loc[table["baseline"], "model"]) == {
        "random encoder",
        "PCA-64",
    }
    assert (
        (table["low"] <= table["auc"]) & (table["auc"] <= table["high"])
    ).all()
    held = cohort.downstream(cohort.rows("holdout"))
    labels = cohort.labels()[held]
    assert (table["positives"] == (labels == 1).sum()).all()
    assert (table["negatives"] == (labels == 0).sum()).all()
    assert (
        table["train"] == len(cohort.downstream(cohort.rows("train", 0)))
    ).all()


def test_a_copy_of_the_floor_gains_exactly_nothing(table):
    copy, baseline = (
        table[table["model"] == "copy"],
        table[table["model"] == "random encoder"],
    )
    assert np.array_equal(copy["auc"], baseline["auc"])
    assert (
        copy[["difference", "difference_low", "difference_high"]] == 0
    ).all(axis=None)
    assert (
        baseline["difference"].isna().all()
        and baseline["minimum_detectable"].isna().all()
    )


def test_the_tables_auc_is_that_of_a_probe_which_saw_the_training_people_alone(
    table, cohort
):
    z = untrained(cohort, seed=0, width=4, latent=8)["T1"]
    train = cohort.downstream(cohort.rows("train", 0))
    held, labels = cohort.downstream(cohort.rows("holdout")), cohort.labels()
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
    rows = {"RR": embed(run, cohort)}
    logistic = ("logistic regression",)
    probed = [
        linear_evaluation.probe(
            cohort, rows, fold, logistic, trials=3, width=4
        )
        for fold in (0, 1, 2)
    ]
    each = pd.concat(
        [linear_evaluation.results_table([p], resamples=400) for p in probed]
    )
    table = linear_evaluation.results_table(probed, resamples=400)
    aucs = each.groupby(["model", "modality"])["auc"].agg(["mean", "std"])
    table = table.set_index(["model", "modality"])
    for found, expected in (("auc", "mean"), ("auc_sd", "std")):
        assert np.allclose(table[found], aucs[expected].loc[table.index])
    gains = (
        each.groupby(["model", "modality"])["difference"]
        .mean()
        .loc[table.index]
    )
    assert np.allclose(table["difference"], gains, equal_nan=True)
    assert (table["folds"] == 3).all() and each["auc_sd"].isna().all()
    short = probed[2]._replace(scores=probed[2].scores.query("row != 'RR'"))
    with pytest.raises(
        ValueError, match="RR, .*expected the same hold-out in all 3"
    ):
        linear_evaluation.results_table([*probed[:2], short], resamples=400)


def test_an_unknown_protocol_is_named(cohort):
    with pytest.raises(ValueError, match=r"protocols: \['knn'\] found"):
        linear_evaluation.probe(cohort, {}, protocols=("knn",))


def test_the_run_is_frozen(cohort, run):
    before = hash_path(run)
    linear_evaluation.accuracy_table(
        cohort, {"RR": embed(run, cohort)}, epochs=3
    )
    assert hash_path(run) == before
    encoders, _ = load_encoders(run)
    assert not any(encoder.training for encoder in encoders.values())


def test_components_are_those_of_the_training_rows(cohort):
    train = cohort.rows("train", 1)
    baseline = baseline_embeddings(cohort, fold=1, width=4, latent=8)[
        "PCA-64"
    ]["T1"]
    assert baseline.shape == (120, min(64, len(train) - 1))
    voxels = np.asarray(cohort.volumes["T1"], float).reshape(len(cohort), -1)
    centred = voxels - voxels[train].mean(axis=0)
    _, _, axes = np.linalg.svd(centred[train], full_matrices=False)
    expected = centred @ axes[: baseline.shape[1]].T
    # a component's sign is free
    signs = np.sign((baseline * expected).sum(axis=0))
    assert np.allclose(baseline * signs, expected, atol=1e-3)
    changed = {m: np.array(v) for m, v in cohort.volumes.items()}
    changed["T1"][cohort.rows("holdout")] = 0.5
    other = dataclasses.replace(cohort, volumes=changed)
    again = baseline_embeddings(other, fold=1, width=4, latent=8)["PCA-64"][
        "T1"
    ]
    assert np.array_equal(baseline[train], again[train])


def test_components_are_the_same_by_the_smaller_matrix(rng):
    voxels = rng.normal(size=(90, 40)).astype(np.float32) @ rng.normal(
        size=(40, 40)
    )
    # fewer and more rows than voxels
    for rows in (np.arange(30), np.arange(80)):
        found = _components(voxels, rows, 5)
        pca = PCA(5).fit(voxels[rows])
        signs = np.sign((found * pca.transform(voxels)).sum(axis=0))
        assert np.allclose(found * signs, pca.transform(voxels), atol=1e-3)


def test_accuracy_table_counts_what_the_probe_gets_right(cohort, run):
    embeddings = embed(run, cohort)
    seen = {"RR": leakage.read_exposures(run / "exposures.json")}
    table = linear_evaluation.accuracy_table(
        cohort, {"RR": embeddings}, epochs=5, seen=seen
    )
    assert table.attrs["proof"]["shared"] == 0
    line = table.iloc[0]
    train = cohort.downstream(cohort.rows("train"))
    held, labels = cohort.downstream(cohort.rows("holdout")), cohort.labels()
    z = embeddings[line["modality"]]
    logits = probes.linear_probe(z[train], labels[train], z[held], 2, epochs=5)
    assert line["accuracy"] == pytest.approx(
        (logits.argmax(axis=1) == labels[held]).mean()
    )
    assert line["low"] < line["accuracy"] < line["high"]


def test_an_accuracy_of_an_encoder_that_saw_the_hold_out_is_refused(
    cohort, run
):
    everybody = [
        leakage.exposure("encoder", "train", cohort, range(len(cohort)))
    ]
    with pytest.raises(
        leakage.LeakError, match="encoder RR, fold 0.*hold-out"
    ):
        linear_evaluation.accuracy_table(
            cohort,
            {"RR": embed(run, cohort)},
            epochs=5,
            seen={"RR": everybody},
        )


def untouchable(*_, **__):
    """Stand where long work begins."""
    raise AssertionError("long work began before the check")


def test_a_subject_in_two_roles_is_a_leak(cohort, monkeypatch):
    monkeypatch.setattr(evaluate, "baseline_embeddings", untouchable)
    held = [*cohort.splits["holdout"], cohort.splits["folds"][0]["valid"][0]]
    leaky = dataclasses.replace(
        cohort, splits={**cohort.splits, "holdout": held}
    )
    row = np.flatnonzero(cohort.subjects == held[-1])[0]
    message = f"row {row} of toy/pairs.tsv is in both 'valid' and 'holdout'"
    with pytest.raises(leakage.LeakError, match=message) as caught:
        linear_evaluation.probe(leaky, {"x": {"T1": np.zeros((120, 8))}})
    assert held[-1] not in str(caught.value)


@pytest.mark.parametrize("role", ["holdout", "valid"])
def test_one_image_under_two_names_is_a_leak(cohort, monkeypatch, role):
    monkeypatch.setattr(evaluate, "baseline_embeddings", untouchable)
    volumes = {m: np.array(v) for m, v in cohort.volumes.items()}
    seen, held = cohort.rows("train")[3], cohort.rows(role)[1]
    volumes["fALFF"][held] = volumes["fALFF"][seen]
    leaky = dataclasses.replace(cohort, volumes=volumes)
    for table in (linear_evaluation.probe, linear_evaluation.accuracy_table):
        with pytest.raises(
            leakage.LeakError, match=rf"fALFF\[{seen}\].*fALFF\[{held}\]"
        ):
            table(leaky, {"x": {"T1": np.zeros((120, 8))}})


def test_one_class_only_stops_before_long_work(cohort, monkeypatch):
    monkeypatch.setattr(evaluate, "baseline_embeddings", untouchable)
    group = dict(
        zip(
            cohort.participants["participant_id"],
            cohort.participants["group"],
            strict=True,
        )
    )
    healthy = [i for i in cohort.splits["holdout"] if group[i] == "HC"]
    poor = dataclasses.replace(
        cohort, splits={**cohort.splits, "holdout": healthy}
    )
    with pytest.raises(
        ValueError, match="hold-out rows of fold 0 hold one class only"
    ):
        linear_evaluation.probe(poor, {"x": {"T1": np.zeros((120, 8))}})


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        ({}, "no embeddings"),
        (
            {"x": {"T1": np.zeros((119, 8))}},
            "x, T1: 119 rows, the cohort has 120",
        ),
        (
            {"x": {"T1": np.full((120, 8), np.nan)}},
            "x, T1: 960 values are not finite",
        ),
        ({"PCA-64": {"T1": np.zeros((120, 8))}}, "a baseline's name"),
        (
            {"x": {"T2": np.zeros((120, 8))}},
            "x: modality 'T2', the cohort has T1, fALFF",
        ),
    ],
)
def test_bad_embeddings_are_named(cohort, monkeypatch, embeddings, message):
    monkeypatch.setattr(evaluate, "baseline_embeddings", untouchable)
    with pytest.raises(ValueError, match=message):
        linear_evaluation.probe(cohort, embeddings)


def test_a_class_of_one_person_stops_before_long_work(cohort, monkeypatch):
    monkeypatch.setattr(evaluate, "baseline_embeddings", untouchable)
    group = dict(
        zip(
            cohort.participants["participant_id"],
            cohort.participants["group"],
            strict=True,
        )
    )
    sick = [i for i in cohort.splits["holdout"] if group[i] == "AD"]
    held = [i for i in cohort.splits["holdout"] if i not in sick[1:]]
    poor = dataclasses.replace(
        cohort, splits={**cohort.splits, "holdout": held}
    )
    with pytest.raises(
        ValueError, match=r"at least two people.*hold-out.*, 1\]"
    ):
        linear_evaluation.probe(poor, {"x": {"T1": np.zeros((120, 8))}})


def test_finished_runs_are_those_of_the_cohort_and_fold(cohort, tmp_path):
    params = {"fold": 0, "seed": 3, "cohort": {"hashes": dict(cohort.hashes)}}
    others = {
        "RR-fold0-seed3": {},
        "CR-fold0-seed3": {},
        "RR-fold1-seed3": {"fold": 1},
        "CC-fold0-seed3.partial": {},
        "XX-fold0-seed3": {"cohort": {"hashes": {}}},
    }
    for name, changes in others.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "params.json").write_text(
            json.dumps(params | changes)
        )
    expected = {
        "CR": tmp_path / "CR-fold0-seed3",
        "RR": tmp_path / "RR-fold0-seed3",
    }
    assert linear_evaluation.finished_runs(tmp_path, cohort) == expected
    assert list(linear_evaluation.finished_runs(tmp_path, cohort, fold=1)) == [
        "RR"
    ]
    (tmp_path / "RR-fold0-seed4").mkdir()
    (tmp_path / "RR-fold0-seed4" / "params.json").write_text(
        json.dumps(params | {"seed": 4})
    )
    assert "RR-fold0-seed4" in linear_evaluation.finished_runs(
        tmp_path, cohort
    )
    with pytest.raises(
        ValueError, match="fold 2; make one with.*03_pretraining"
    ):
        linear_evaluation.finished_runs(tmp_path, cohort, fold=2)


def test_the_page_shows_the_tables_numbers(table):
    text = linear_evaluation.readable(table)
    assert (text["SD over folds"] == "–").all()
    line, row = table.iloc[-1], text.iloc[-1]
    assert (
        row["AUC [95 %]"]
        == f"{line['auc']:.2f} [{line['low']:.2f}, {line['high']:.2f}]"
    )
    assert text.iloc[0]["gain over random [95 %]"] == "–"


def test_the_figure_draws_every_row_at_its_value(table):
    table = table[table["protocol"] == "logistic regression"]
    figure = plotting.linear_evaluation(table, ceiling=0.94)
    axes = np.reshape(figure.axes, (2, 2))
    for (left, right), modality in zip(axes, ("T1", "fALFF"), strict=True):
        names = [label.get_text() for label in left.get_yticklabels()]
        assert set(names[:2]) == set(BASELINES)  # baselines below
        lines = (
            table[table["modality"] == modality].set_index("model").loc[names]
        )
        assert np.array_equal(
            left.collections[1].get_offsets()[:, 0], lines["auc"]
        )
        assert np.allclose(
            right.collections[1].get_offsets()[:, 0].filled(np.nan),
            lines["difference"],
            equal_nan=True,
        )
