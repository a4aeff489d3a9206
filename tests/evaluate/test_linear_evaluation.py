"""The hold-out of a fold: planted leaks are refused before long work, encoders
stay frozen.
"""

import dataclasses
import inspect

import numpy as np
import pandas as pd
import pytest

from mmssl import evaluate
from mmssl.evaluate import linear_evaluation, probes
from mmssl.ledger import leakage
from mmssl.ledger.hashes import hash_path
from mmssl.pretrain.baselines import RANDOM, untrained_embeddings
from mmssl.pretrain.encoders import embed, load_encoders


def test_searches_in_two_processes_say_the_same(cohort, run):
    embeddings = {"RR": embed(run, cohort)}
    one, two = (
        linear_evaluation.probe(
            cohort, embeddings, trials=3, epochs=3, width=4, jobs=jobs
        )
        for jobs in (1, 2)
    )
    pd.testing.assert_frame_equal(one.scores, two.scores, check_exact=True)
    pd.testing.assert_frame_equal(one.fits, two.fits, check_exact=True)


def test_a_score_is_that_of_the_probe_with_the_recorded_penalty(cohort, run):
    embeddings = {"RR": embed(run, cohort)}
    probed = linear_evaluation.probe(
        cohort, embeddings, trials=3, epochs=3, width=4
    )
    fits = probed.fits.query("draw == 0")
    fits = fits.set_index(["protocol", "model", "modality"])
    chosen = fits.loc[("logistic regression", "RR", "T1")]
    train = cohort.downstream(cohort.rows("train", 0))
    labels = cohort.labels()
    z = probed.embeddings["RR"]["T1"]
    again = probes.logistic_pipeline(chosen).fit(z[train], labels[train])
    scores = probed.scores.query(
        "protocol == 'logistic regression' and model == 'RR' "
        "and modality == 'T1'"
    )
    expected = again.decision_function(z[scores["pair"]])
    assert np.array_equal(scores["score"], expected)


@pytest.mark.parametrize("name", evaluate.__all__)
def test_where_nothing_is_said_it_is_the_first_fold_and_seed_0(name):
    thing = getattr(evaluate, name)
    stated = inspect.signature(thing).parameters if callable(thing) else {}
    for asked in {"fold", "seed"} & set(stated):
        assert stated[asked].default in (0, inspect.Parameter.empty)


def test_untrained_encoders_are_numbered_from_0_by_their_seed(cohort):
    each = [
        untrained_embeddings(cohort, seed=seed, width=4, latent=8)
        for seed in (5, 6, 7)
    ]
    everything = {RANDOM: each[0], "RR": each[1]}
    found = linear_evaluation.with_untrained_draws(
        cohort, everything, fold=0, seed=5, width=4, initialisations=3
    )
    for modality in cohort.modalities:
        for draw, embeddings in enumerate(each):
            z = found.pop((RANDOM, modality, draw))
            assert np.array_equal(z, embeddings[modality])
    assert set(found) == {("RR", m, 0) for m in cohort.modalities}


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


def test_accuracy_table_counts_what_the_probe_gets_right(cohort, run):
    embeddings = embed(run, cohort)
    seen = {"RR": leakage.read_exposures(run / "exposures.json")}
    table = linear_evaluation.accuracy_table(
        cohort, {"RR": embeddings}, epochs=5, seen=seen
    )
    assert table.attrs["proof"]["shared"] == 0
    line = table.iloc[0]
    train = cohort.downstream(cohort.rows("train"))
    held = cohort.downstream(cohort.rows("holdout"))
    labels = cohort.labels()
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
    monkeypatch.setattr(linear_evaluation, "baseline_embeddings", untouchable)
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
    monkeypatch.setattr(linear_evaluation, "baseline_embeddings", untouchable)
    volumes = {m: np.array(v) for m, v in cohort.volumes.items()}
    seen = cohort.rows("train")[3]
    held = cohort.rows(role)[1]
    volumes["fALFF"][held] = volumes["fALFF"][seen]
    leaky = dataclasses.replace(cohort, volumes=volumes)
    for table in (linear_evaluation.probe, linear_evaluation.accuracy_table):
        with pytest.raises(
            leakage.LeakError, match=rf"fALFF\[{seen}\].*fALFF\[{held}\]"
        ):
            table(leaky, {"x": {"T1": np.zeros((120, 8))}})


def test_one_class_only_stops_before_long_work(cohort, monkeypatch):
    monkeypatch.setattr(linear_evaluation, "baseline_embeddings", untouchable)
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


def test_a_class_of_one_person_stops_before_long_work(cohort, monkeypatch):
    monkeypatch.setattr(linear_evaluation, "baseline_embeddings", untouchable)
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
        ({"PCA-64": {"T1": np.zeros((120, 8))}}, "has a baseline's name"),
        (
            {"x": {"T2": np.zeros((120, 8))}},
            "x: modality 'T2', the cohort has T1, fALFF",
        ),
    ],
)
def test_bad_embeddings_are_named(cohort, monkeypatch, embeddings, message):
    monkeypatch.setattr(linear_evaluation, "baseline_embeddings", untouchable)
    with pytest.raises(ValueError, match=message):
        linear_evaluation.probe(cohort, embeddings)
