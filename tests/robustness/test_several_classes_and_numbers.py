"""Sweeps of more than two classes and of numbers: their measures against
scikit-learn, their models, and tables from end to end.
"""

import numpy as np
import pytest
import torch
from planted_models import Averager
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score, roc_auc_score
from test_linear_models import run  # noqa: F401, a fixture

from mmssl import evaluate, plotting
from mmssl.evaluate.probes import class_scores, linear_probe
from mmssl.pretrain.encoders import embed
from mmssl.robustness import comparison, measures, spaces
from mmssl.robustness.linear_models import (
    LinearModel,
    fit_linear_models,
    fit_projections,
    prove_samples_unseen,
)
from mmssl.robustness.shift import compare_populations
from mmssl.robustness.sweep import sweep

CLASSES = np.repeat([0, 1, 2], (9, 12, 15))


def test_macro_averages_equal_scikit_learn_with_weights(rng):
    scores = np.round(rng.normal(size=(2, 3, 36)), 1)
    weights = rng.integers(1, 4, (5, 36))
    found = measures.measured(CLASSES, scores, weights)
    for i, r in np.ndindex(2, 5):
        aucs = [
            roc_auc_score(CLASSES == k, scores[i, k], sample_weight=weights[r])
            for k in range(3)
        ]
        assert found[i, r] == pytest.approx(np.mean(aucs))


def test_r2_equals_scikit_learn_with_weights_and_has_an_end(rng):
    truth = rng.normal(70, 8, 36)
    predicted = truth + rng.normal(0, 5, (2, 36))
    predicted[1] += 1e6
    weights = rng.integers(0, 4, (5, 36))
    found = measures.measured(truth, predicted, weights)
    for r in range(5):
        expected = r2_score(truth, predicted[0], sample_weight=weights[r])
        assert found[0, r] == pytest.approx(expected)
    assert (found[1] == measures.LOWEST).all()
    # nobody drawn but one: everybody counts
    alone = np.eye(36)[:1]
    everybody = measures.measured(truth, predicted, np.ones((1, 36)))
    assert np.allclose(measures.measured(truth, predicted, alone), everybody)


def test_projections_of_several_classes_say_log_odds(rng):
    z = rng.normal(size=(2, 36, 5)).astype(np.float32)
    others = rng.normal(size=(7, 5)).astype(np.float32)
    encoders = [torch.nn.Identity() for _ in z]
    models = fit_projections(encoders, z, CLASSES, epochs=5, seed=3)
    for model, own in zip(models, z, strict=True):
        logits = linear_probe(own, CLASSES, others, 3, 5, seed=3)
        found = model.scores(torch.from_numpy(others)).numpy()
        assert found.shape == (3, 7)
        np.testing.assert_allclose(found, class_scores(logits), atol=1e-4)


def test_a_number_is_predicted_by_a_ridge_on_z_as_it_is(rng):
    z = (rng.normal(size=(1, 36, 5)) * [1, 10, 1, 1, 0.1]).astype("f4")
    numbers = 70 + z[0, :, 1] + rng.normal(size=36)
    (model,) = fit_projections([torch.nn.Identity()], z, numbers)
    pipeline = evaluate.regression.ridge_regression(z[0], numbers)
    scaled = (z[0] - z[0].mean(0)) / z[0].std(0)
    again = Ridge(alpha=pipeline[-1].alpha_).fit(scaled, numbers)
    found = model.scores(torch.from_numpy(z[0])).numpy()
    np.testing.assert_allclose(found, again.predict(scaled), rtol=1e-4)


def swept_models(rng, tmp_path, affine, weight, bias, people):
    """A sweep of two averagers, one brittle, over noise."""
    inputs = {
        m: rng.normal(size=(people, 1, 8, 8, 8)).astype("f4")
        for m in ("T1", "fALFF")
    }
    for x in inputs.values():
        x += np.linspace(-3, 3, people)[:, None, None, None, None]
    models = {}
    for name, voxels in {"robust": 400, "brittle": 2}.items():
        encoder = Averager(voxels)
        linear = LinearModel(encoder, np.array(weight, "f4"), bias)
        models[name] = dict.fromkeys(inputs, linear)
    grid = spaces.grid_points(5).query("distortion == 'noise'")
    names = [f"sub-{i}" for i in range(people)]
    return sweep(inputs, names, models, grid, affine, tmp_path, progress=False)


def test_a_sweep_of_three_classes_from_scores_to_comparisons(
    rng, tmp_path, affine
):
    """The class follows the mean, so that two of three scores are good."""
    weight = [[-1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    bias = np.array([0.0, 1.0, 0.0], "f4")
    swept = swept_models(rng, tmp_path, affine, weight, bias, 36)
    points = len(swept.points)
    assert swept.scores.shape == (points, 2, 2, 3, 36)
    boot = comparison.bootstrap(swept, CLASSES, 200)
    assert boot.measure == "auc"
    assert boot.classes == (9, 12, 15)
    first = swept.scores[0, 0, 0].astype(float)
    aucs = [roc_auc_score(CLASSES == k, first[k]) for k in range(3)]
    assert boot.values[0, 0, 0] == pytest.approx(np.mean(aucs))
    curves = comparison.curves(boot)
    assert curves["auc"].between(0, 1).all()
    table = comparison.pairwise_comparisons(boot)
    assert (table["comparison"] == "robust > brittle").all()
    areas = comparison.areas(boot)
    figure = plotting.robustness_curves(curves, "T1", ["brittle"])
    assert figure.axes[0].get_ylabel() == "ROC-AUC"
    plotting.robustness_comparisons(table, areas)


def test_a_sweep_of_numbers_from_scores_to_comparisons(rng, tmp_path, affine):
    numbers = 70 + 3 * np.linspace(-3, 3, 36)
    swept = swept_models(rng, tmp_path, affine, [3.0, 0.0], 70.0, 36)
    boot = comparison.bootstrap(swept, numbers, 200)
    assert boot.measure == "r2"
    assert boot.classes == (36,)
    expected = r2_score(numbers, swept.scores[0, 0, 0])
    assert boot.values[0, 0, 0] == pytest.approx(expected, abs=1e-5)
    curves = comparison.curves(boot)
    assert "auc" not in curves
    assert curves["r2"].between(measures.LOWEST, 1).all()
    table = comparison.pairwise_comparisons(boot)
    assert (table["comparison"] == "robust > brittle").all()
    figure = plotting.robustness_curves(curves, "T1", ["brittle"])
    assert figure.axes[0].get_ylabel() == "R²"


def test_volumes_that_are_not_finite_are_left_out_of_all_classes(
    rng, tmp_path, affine
):
    weight = np.full((2, 3), np.finfo(np.float32).max)
    bias = np.zeros(3, "f4")
    swept = swept_models(rng, tmp_path, affine, weight, bias, 36)
    assert len(swept.excluded) > 0
    assert set(swept.excluded["not_finite"]) == {"embedding"}
    boot = comparison.bootstrap(swept, CLASSES, 100)
    assert (boot.people < 36).any()


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (np.zeros(36, int), r"classes \[0\], expected 0 and 1"),
        (np.repeat([0, 2], 18), r"classes \[0, 2\], expected 0 and 1"),
        (np.full(36, 70.0), "numbers from 70.0 to 70.0"),
        (np.where(CLASSES > 1, np.nan, 1.0), "numbers from nan"),
        (CLASSES[1:], r"labels: shape \(35,\), expected \(36,\)"),
    ],
)
def test_what_cannot_be_measured_is_refused(truth, message):
    with pytest.raises(ValueError, match=message):
        measures.checked_truth(truth, 36)


def test_populations_are_compared_by_their_measure(rng):
    labels = np.tile(CLASSES, 2)
    scores = rng.normal(size=(3, 72))
    scores[labels, np.arange(72)] += 2
    numbers = rng.normal(70, 8, 72)
    predicted = numbers + rng.normal(0, 4, 72)
    source, shift = np.arange(36), np.arange(36, 72)
    gaps = compare_populations(
        labels, {"a": {"T1": scores}}, source, shift, 0.2
    )
    aucs = [roc_auc_score(CLASSES == k, scores[k, shift]) for k in range(3)]
    assert gaps["shift"][0] == pytest.approx(np.mean(aucs))
    assert gaps["gap_low"][0] < gaps["gap"][0] < gaps["gap_high"][0]
    gaps = compare_populations(
        numbers, {"a": {"T1": predicted}}, source, shift, 0.2
    )
    expected = [r2_score(numbers[r], predicted[r]) for r in (source, shift)]
    assert gaps["source"][0] == pytest.approx(expected[0])
    assert gaps["gap"][0] == pytest.approx(expected[1] - expected[0])
    figure = plotting.population_gaps(gaps, 0.2, measure="r2")
    assert figure.axes[0].get_xlabel() == "R²"
    without = labels.copy()
    without[shift[CLASSES == 1]] = 0
    with pytest.raises(ValueError, match=r"shift: .* \[0, 2\], expected 0"):
        compare_populations(without, {"a": {"T1": scores}}, source, shift)


def test_models_of_finished_runs_predict_a_number(
    tiny_phantom,
    run,  # noqa: F811
):
    age = evaluate.target_values(tiny_phantom, "age")
    fitted = fit_linear_models(
        tiny_phantom, {"RR": run}, epochs=3, width=2, numbers=age
    )
    probed = evaluate.probe_target(
        tiny_phantom,
        {"RR": embed(run, tiny_phantom)},
        "age",
        width=2,
        initialisations=1,
    )
    for m in tiny_phantom.modalities:
        lines = probed.scores.query("model == 'RR' and modality == @m")
        found = fitted.scores["RR"][m][lines["pair"]]
        np.testing.assert_allclose(found, lines["score"], rtol=1e-3)
    held = evaluate.rows_with_value(tiny_phantom, age, "holdout")
    proof = prove_samples_unseen(
        tiny_phantom, {"RR": run}, 0, {"hold-out": held}
    )
    assert proof["tested"] == len(held)
