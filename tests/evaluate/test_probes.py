"""Probes against other solvers and a hand-written optimiser."""

import warnings

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
from sklearn.preprocessing import StandardScaler

from mmssl.evaluate import probes


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


class Ends(optuna.samplers.BaseSampler):
    """Of elastic nets the lowest values first, then the highest."""

    def __init__(self, seed):
        pass

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, space):
        return {}

    def sample_independent(self, study, trial, name, space):
        if name == "penalty":
            return "elasticnet"
        return (space.low, space.high)[trial.number]


def test_the_search_space_ends_where_the_papers_does(study, monkeypatch):
    monkeypatch.setattr(optuna.samplers, "TPESampler", Ends)
    trials = probes.logistic_regression(*study, trials=2).trials
    assert trials["C"].tolist() == [1e-6, 1e3]
    assert trials["l1_ratio"].tolist() == [0, 1]


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
        pipeline = probes.logistic_pipeline(point, 0, "balanced").fit(
            z, labels
        )
    expected = LogisticRegression(
        C=strength, solver="newton-cholesky", class_weight="balanced"
    )
    scaled = StandardScaler().fit_transform(z)
    expected.fit(scaled, labels)
    scores = pipeline.decision_function(z), expected.decision_function(scaled)
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
    steps = epochs * -(-len(z) // batch)
    t = 0
    beta2 = 0.999
    longest = 2 / (1 - 0.999) - 1

    def cosine(start, end, share):
        return end + (start - end) / 2 * (1 + np.cos(np.pi * share))

    for _ in range(epochs):
        for rows in torch.randperm(len(z), generator=generator).split(batch):
            x = z[rows.numpy()].astype(float)
            target = np.eye(classes)[y[rows.numpy()]]
            logits = x @ parameters[0].T + parameters[1]
            chance = np.exp(logits - logits.max(1, keepdims=True))
            error = (chance / chance.sum(1, keepdims=True) - target) / len(x)
            peak = 0.3 * steps - 1
            if t <= peak:
                rate = cosine(4e-4, 0.01, t / peak)
                beta1 = cosine(0.95, 0.85, t / peak)
            else:
                share = (t - peak) / (steps - 1 - peak)
                rate = cosine(0.01, 4e-8, share)
                beta1 = cosine(0.85, 0.95, share)
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
    logits = probes.linear_probe(
        z, y, z, 3, epochs=8, batch_size=8, seed=2, balanced=False
    )
    expected = radam_by_hand(z, y, 3, epochs=8, batch=8, seed=2)
    assert np.allclose(logits, expected, atol=1e-4)


def test_the_linear_probe_repeats_and_leaves_its_input_alone(rng):
    z = rng.normal(size=(300, 8)).astype(np.float32)
    y = z[:, :4].argmax(axis=1)
    before = z.copy()
    state = torch.random.get_rng_state()
    first = probes.linear_probe(z, y, z[:50], 4, epochs=30, seed=1)
    assert np.array_equal(
        first, probes.linear_probe(z, y, z[:50], 4, epochs=30, seed=1)
    )
    assert torch.equal(state, torch.random.get_rng_state()) and np.array_equal(
        z, before
    )
    assert not np.array_equal(
        first, probes.linear_probe(z, y, z[:50], 4, epochs=30, seed=2)
    )
    longer = probes.linear_probe(z, y, z[:50], 4, epochs=300)
    assert (longer.argmax(axis=1) == y[:50]).mean() > 0.9


def test_probes_side_by_side_are_each_as_if_alone(rng):
    z = rng.normal(size=(3, 90, 6)).astype(np.float32)
    y = np.arange(90) % 7 % 3
    z[1] *= 1e3  # whose loss and gradients dwarf the others'
    together = probes.linear_probe(
        z[:, :70], y[:70], z[:, 70:], 3, epochs=12, seed=4
    )
    alone = [
        probes.linear_probe(one[:70], y[:70], one[70:], 3, epochs=12, seed=4)
        for one in z
    ]
    assert together.shape == (3, 20, 3)
    for logits, expected in zip(together, alone, strict=True):
        assert np.allclose(
            logits, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max()
        )


def test_the_linear_probe_answers_as_if_classes_were_equally_common(rng):
    """Without a signal the logits follow the class shares that training has
    shown.
    """
    z = rng.normal(size=(400, 3)).astype(np.float32)
    y = (np.arange(400) % 10 == 0).astype(int)
    for balanced, expected in ((True, 0.5), (False, 0.1)):
        logits = probes.linear_probe(z, y, z, 2, epochs=400, balanced=balanced)
        share = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
        assert np.median(share) == pytest.approx(expected, abs=0.08)


def test_the_linear_probe_names_bad_input(rng):
    z = rng.normal(size=(20, 4)).astype(np.float32)
    y = np.arange(20) % 4
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
