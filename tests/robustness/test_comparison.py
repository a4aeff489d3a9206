"""Curves, areas and pairwise comparisons against scikit-learn and planted
truth.
"""

import numpy as np
import pandas as pd
import pytest
from planted_models import Averager, linear_model
from sklearn.metrics import roc_auc_score

from mmssl import plotting
from mmssl.robustness import comparison, measures, spaces
from mmssl.robustness.sweep import Sweep, sweep
from mmssl.stats.bootstrap import Clusters


def steady(value):
    """Signal of a model that no distortion troubles."""
    return 1.6


def brittle(value):
    """Signal of a model that a distortion of 2 leaves without any."""
    return 1.6 - 0.8 * value


def fading(value):
    """Signal that falls, but not to nothing."""
    return 1.6 - 0.5 * value


def simulated(rng, strengths, positives=20, negatives=40, values=5):
    """A sweep of made-up scores: models of given signal at each value, on the
    same people.
    """
    labels = (np.arange(positives + negatives) < positives).astype(int)
    points = [{"distortion": "none", "parameter": "", "value": np.nan}]
    for parameter in ("p", "q"):
        for value in range(values):
            point = {"parameter": parameter, "value": float(value)}
            points.append({"distortion": "d", **point})
    points = pd.DataFrame(points).assign(collapsed=False)
    models, people = len(strengths), len(labels)
    common = rng.normal(size=(1, 1, people))
    noise = rng.normal(size=(len(points), models, people))
    # one person's deviations are alike along a curve, as a distorted image
    # still is that person's
    deviations = rng.normal(size=(1, models, people))
    signal = np.empty((len(points), models, 1))
    for p, value in enumerate(points["value"].fillna(0)):
        signal[p, :, 0] = [strength(value) for strength in strengths]
    scores = signal * labels + common + 0.7 * deviations + 0.7 * noise
    swept = Sweep(
        points,
        tuple(f"m{i}" for i in range(models)),
        ("T1",),
        np.arange(people).astype(str),
        scores[:, :, None].astype(np.float32),
        pd.DataFrame(),
    )
    return swept, labels


def pairs(boot, **options):
    """Pairwise comparisons by the names of the two models."""
    table = comparison.pairwise_comparisons(boot, **options)
    return table.set_index(["first", "second"])


def test_collapsed_points_have_curves_and_no_area(rng):
    sweep, labels = simulated(rng, [lambda v: 2.0, lambda v: 1.0 - v])
    all_points = comparison.bootstrap(sweep, labels, 50)
    late = sweep.points["value"] > 2
    points = sweep.points.assign(collapsed=late)
    boot = comparison.bootstrap(sweep._replace(points=points), labels, 50)
    assert np.array_equal(boot.values, all_points.values)
    assert comparison.curves(boot)["collapsed"].sum() == 2 * late.sum()
    areas = comparison.areas(boot).set_index(["panel", "model"])["area"]
    for panel, first in (("d p", 1), ("d q", 6)):
        auc = boot.values[first : first + 3, :, 0]
        expected = (auc[0] / 2 + auc[1] + auc[2] / 2) / 2
        assert areas[panel].to_numpy() == pytest.approx(expected)
    whole = comparison.areas(all_points).set_index(["panel", "model"])["area"]
    assert abs(whole["d p", "m1"] - areas["d p", "m1"]) > 0.02


def test_weighted_aucs_equal_scikit_learn_with_ties(rng):
    labels = (np.arange(30) % 3 == 0).astype(int)
    scores = np.round(rng.normal(size=(4, 30)) + labels, 1)
    weights = rng.integers(0, 4, (5, 30))
    aucs = measures.measured(labels, scores, weights)
    for each, row in zip(scores, aucs, strict=True):
        expected = [
            roc_auc_score(labels, each, sample_weight=w) for w in weights
        ]
        np.testing.assert_allclose(row, expected, atol=1e-12)
    # a resample without anybody of a class counts everybody once
    for absent in (0, 1):
        one_class = np.where(labels == absent, 0, weights[:1])
        aucs = measures.measured(labels, scores, one_class)
        expected = [[roc_auc_score(labels, each)] for each in scores]
        np.testing.assert_allclose(aucs, expected)


def test_areas_are_trapezoids_and_losses_are_against_the_undistorted_auc(rng):
    swept, labels = simulated(rng, [lambda v: 1.5, lambda v: 1.5 - 0.3 * v])
    swept.points.loc[3, "value"] = 1.0  # a value drawn twice has no width
    boot = comparison.bootstrap(swept, labels, resamples=400)
    table = comparison.areas(boot).set_index(["panel", "model"])
    for i, model in enumerate(swept.models):
        auc = [roc_auc_score(labels, s) for s in swept.scores[:, i, 0]]
        first = np.trapezoid(auc[1:6], swept.points["value"][1:6]) / 4
        second = np.trapezoid(auc[6:], range(5)) / 4
        assert table.loc[("d p", model), "area"] == pytest.approx(first)
        mean = table.loc[("mean of panels", model)]
        assert mean["area"] == pytest.approx((first + second) / 2)
        assert mean["loss"] == pytest.approx(auc[0] - (first + second) / 2)
        assert mean["low"] < mean["area"] < mean["high"]
        assert mean["loss_low"] < mean["loss"] < mean["loss_high"]


def test_curves_have_the_auc_and_the_percentiles_of_resampled_people(rng):
    swept, labels = simulated(rng, [steady, fading])
    boot = comparison.bootstrap(swept, labels, resamples=400)
    curves = comparison.curves(boot)
    line = curves.query("model == 'm1' and parameter == 'q' and value == 4")
    line = line.iloc[0]
    scores = swept.scores[10, 1, 0]
    assert line["auc"] == pytest.approx(roc_auc_score(labels, scores))
    draws = Clusters(labels, None).draws(400, 0)
    by_hand = [roc_auc_score(labels, scores, sample_weight=w) for w in draws]
    limits = tuple(np.quantile(by_hand, [0.025, 0.975]))
    assert (line["low"], line["high"]) == pytest.approx(limits)


def test_comparisons_find_a_brittle_model_and_resolve_no_equals():
    """Repeated worlds of three equal models; in one of five, the third also
    breaks.
    """
    power, errors, worlds = 0, 0, 150
    for world in range(worlds):
        rng = np.random.default_rng(world)
        swept, labels = simulated(rng, [steady] * 3)
        boot = comparison.bootstrap(swept, labels, resamples=300, seed=world)
        equals = pairs(boot, panels=True)["comparison"]
        errors += (equals != "not resolved").any()
        if world % 5 == 0:
            swept, labels = simulated(rng, [steady, steady, brittle])
            boot = comparison.bootstrap(
                swept, labels, resamples=300, seed=world
            )
            answers = pairs(boot)["comparison"]
            first = answers["m0", "m2"] == "m0 > m2"
            power += first and answers["m1", "m2"] == "m1 > m2"
    assert power >= 0.95 * worlds / 5
    # a family of 6 comparisons errs in 5 % of the worlds: more than 15 of 150
    # has chance .002
    assert errors <= 15


def three_models(rng):
    """A sweep of two models and a copy of the first, and of the two alone."""
    two, labels = simulated(rng, [steady, fading])
    copy = 2 * two.scores[:, :1] + 1
    three = two._replace(
        models=("a", "b", "a again"),
        scores=np.concatenate([two.scores, copy], axis=1),
    )
    boot_three = comparison.bootstrap(three, labels, resamples=500)
    boot_two = comparison.bootstrap(two, labels, resamples=500)
    return boot_three, boot_two


def test_comparisons_are_antisymmetric_and_exact_for_equal_rankings(rng):
    boot, _ = three_models(rng)
    table = pairs(boot)
    same = table.loc[("a", "a again")]
    assert tuple(same[["difference", "low", "high", "p"]]) == (0, 0, 0, 1)
    forth, back = table.loc[("a", "b")], table.loc[("b", "a again")]
    assert forth["difference"] == pytest.approx(-back["difference"])
    assert forth["p"] == pytest.approx(back["p"])
    assert back["comparison"] == "a again > b"
    with pytest.raises(ValueError, match="at least two models"):
        comparison.pairwise_comparisons(boot._replace(models=("a",)))
    with pytest.raises(ValueError, match="measure='volume'"):
        comparison.pairwise_comparisons(boot, "volume")


def test_intervals_are_simultaneous_and_agree_with_p(rng):
    boot, boot_two = three_models(rng)
    for measure in ("area", "loss"):
        table = pairs(boot, measure=measure, panels=True)
        resolved = (table["low"] > 0) | (table["high"] < 0)
        assert (resolved == (table["comparison"] != "not resolved")).all()
        assert (table.loc[resolved, "p"] <= 0.06).all()
        assert (table.loc[~resolved, "p"] > 0.04).all()
    # the correction costs something: one pair alone has a narrower interval
    one_pair = pairs(boot_two).iloc[0]
    family = pairs(boot, panels=True).iloc[0]
    narrow = one_pair["high"] - one_pair["low"]
    assert narrow < family["high"] - family["low"]


def test_a_brittle_encoder_is_found_by_sweeping_it(rng, affine, tmp_path):
    labels = (np.arange(60) < 25).astype(int)
    noise = 0.5 * rng.normal(size=(60, 1, 8, 8, 8))
    levels = 0.45 * rng.normal(size=(60, 1, 1, 1, 1))
    signal = labels[:, None, None, None, None]
    images = (noise + levels + signal).astype(np.float32)
    models = {
        "sturdy": {"T1": linear_model(Averager(512))},
        "brittle": {"T1": linear_model(Averager(4))},
        "twin": {"T1": linear_model(Averager(511))},
    }
    grid = spaces.grid_points(2).query("distortion == 'noise'")
    swept = sweep(
        {"T1": images},
        np.arange(60).astype(str),
        models,
        grid,
        affine,
        tmp_path,
        progress=False,
    )
    boot = comparison.bootstrap(swept, labels)
    table = comparison.pairwise_comparisons(boot, panels=True)
    answers = table.set_index(["panel", "first", "second"])["comparison"]
    assert answers["noise std", "sturdy", "brittle"] == "sturdy > brittle"
    assert answers["noise std", "brittle", "twin"] == "twin > brittle"
    assert (answers[:, "sturdy", "twin"] == "not resolved").all()


def test_labels_of_one_class_or_of_another_number_are_refused(rng):
    swept, labels = simulated(rng, [steady] * 2)
    with pytest.raises(ValueError, match=r"classes \[0\], expected 0 and 1"):
        comparison.bootstrap(swept, 0 * labels)
    message = r"labels: shape \(59,\), expected \(60,\)"
    with pytest.raises(ValueError, match=message):
        comparison.bootstrap(swept, labels[1:])
    with pytest.raises(ValueError, match="class 1 has 1 subject"):
        comparison.bootstrap(swept, (np.arange(60) == 0).astype(int))


def test_resolved_pairs_are_named_once_with_their_panels():
    lines = [
        ("T1", "noise std", "A > C"),
        ("T1", "motion degrees", "B > C"),
        ("T1", "noise std", comparison.NOT_RESOLVED),
        ("T1", "elastic num_control_points", "A > C"),
        ("T1", "own:Blob size", "B > C"),
        ("T1", "spike intensity", "B > C"),
        ("fALFF", "noise std", "A > C"),
    ]
    columns = ["modality", "panel", "comparison"]
    table = pd.DataFrame(lines, columns=columns)
    assert comparison.resolved_pairs(table) == [
        "T1: B > C (motion degrees, Blob size, spike intensity)",
        "T1: A > C (noise std, elastic num control points)",
        "fALFF: A > C (noise std)",
    ]
    overall = table[:2].assign(panel=comparison.OVERALL)
    assert comparison.resolved_pairs(overall) == ["T1: A > C", "T1: B > C"]
    assert comparison.resolved_pairs(table[:0]) == []


def test_a_difference_that_rounds_to_0_has_no_sign_in_the_figure():
    table = pd.DataFrame(
        {
            "modality": "T1",
            "panel": comparison.OVERALL,
            "first": ["A", "A", "B"],
            "second": ["B", "C", "C"],
            "difference": [0.001, 0.12, 0.119],
            "comparison": [comparison.NOT_RESOLVED, "A > C", "B > C"],
        }
    )
    areas = pd.DataFrame(
        {
            "panel": comparison.OVERALL,
            "model": ["A", "B", "C"],
            "modality": "T1",
            "area": [0.8, 0.799, 0.68],
            "low": 0.6,
            "high": 0.9,
            "loss": 0.1,
        }
    )
    matrix = plotting.robustness_comparisons(table, areas).axes[1]
    shown = sorted(text.get_text() for text in matrix.texts)
    assert shown == sorted([".00", ".00", "+.12", "+.12", "−.12", "−.12"])
