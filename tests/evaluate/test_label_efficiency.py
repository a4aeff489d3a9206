"""Tables of fine-tuned runs against plain loops: paired with training from
scratch, over people and seeds.
"""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmssl.evaluate.finetune import Target
from mmssl.evaluate.finetuned_runs import SCRATCH, FineTuned
from mmssl.evaluate.label_efficiency import (
    BOOTSTRAP,
    DIFFERENCE,
    convergence_table,
    curve_table,
    efficiency_table,
    gain_over_scratch,
    labels_from_scratch,
    paired,
    score_table,
    worth_of_labels,
)
from mmssl.stats import (
    auc_gain_interval,
    dice_coefficient,
    difference_interval,
    roc_auc,
)
from mmssl.stats.means import mean_interval


def made_up(values, outputs):
    """Fits of two starts whose outputs are given, (seeds, people, …)."""
    names = ("none", "there")
    target = Target("thing", values, names)
    rows = np.arange(len(values))
    of_key = {}
    for start, of_start in outputs.items():
        for seed, output in enumerate(of_start):
            of_key[start, 0.1, seed] = output
    return FineTuned(target, rows, of_key, {0.1: 7}, {})


def test_auc_is_the_mean_over_seeds_and_its_gain_is_paired():
    rng = np.random.default_rng(3)
    labels = np.arange(90) % 3 % 2
    noise = rng.normal(size=(2, 2, 90))
    logits = {}
    for start, strength, own in zip(
        (SCRATCH, "A"), (0.5, 1.5), noise, strict=True
    ):
        score = strength * labels + own
        logits[start] = np.stack([np.zeros_like(score), score], -1)
    table = efficiency_table([made_up(labels, logits)], resamples=200)
    table = table.set_index("model")
    scores = score_table([made_up(labels, logits)])
    assert scores["ratio"].eq(0.1).all()
    for (start, seed), own in scores.groupby(["model", "seed"]):
        expected = logits[start][seed]
        np.testing.assert_allclose(own["score"], np.diff(expected)[:, 0])
        assert own["label"].tolist() == labels.tolist()
        assert own["person"].tolist() == list(range(90))
    for start, of_start in logits.items():
        aucs = [roc_auc(labels, x[:, 1]) for x in of_start]
        line = table.loc[start]
        assert line["value"] == pytest.approx(np.mean(aucs))
        assert line["sd"] == pytest.approx(np.std(aucs, ddof=1))
        assert line["low"] < line["value"] < line["high"]
    line = table.loc["A"]
    gain = line["value"] - table.loc[SCRATCH, "value"]
    assert line["difference"] == pytest.approx(gain)
    # of these trainings, other people
    paired = auc_gain_interval(
        labels,
        logits["A"][..., 1],
        logits[SCRATCH][..., 1],
        resamples=200,
    )
    assert (line["bootstrap_low"], line["bootstrap_high"]) == paired[1:3]
    # interval and p are of one test
    inside = line["difference_low"] < 0 < line["difference_high"]
    assert inside == (line["p"] > 0.05)
    assert (line["labelled"], line["people"], line["seeds"]) == (7, 90, 2)
    assert np.isnan(
        table.loc[SCRATCH, [*DIFFERENCE, *BOOTSTRAP]].astype(float)
    ).all()


def test_people_are_drawn_by_the_first_seed_where_none_is_given(rng):
    values, others = rng.normal(size=(2, 3, 20))
    found = paired(values, others, 50)
    limits = [mean_interval(values.mean(0), 50, seed) for seed in (0, 1)]
    assert (found["low"], found["high"]) == limits[0][1:3] != limits[1][1:3]


def test_dice_is_a_mean_over_people_who_show_any_and_its_gain_a_paired_t():
    rng = np.random.default_rng(4)
    truth = (rng.random((12, 4, 5, 6)) < 0.4).astype(np.uint8)
    truth[[2, 7]] = 0
    found = {}
    for start, share in ((SCRATCH, 0.5), ("A", 0.2)):
        wrong = rng.random((3, *truth.shape)) < share
        found[start] = np.where(wrong, 1 - truth, truth).astype(np.uint8)
    table = efficiency_table([made_up(truth, found)], resamples=200)
    table = table.set_index("model")
    shows = truth.any((1, 2, 3))
    means = {}
    for start, of_start in found.items():
        each = [dice_coefficient(one, truth) for one in of_start]
        means[start] = np.mean(each, 0)[shows]
        assert table.loc[start, "value"] == pytest.approx(means[start].mean())
    line = table.loc["A"]
    gain = means["A"] - means[SCRATCH]
    assert line["difference"] == pytest.approx(gain.mean())
    assert line["people"] == 10 and line["measure"] == "Dice"
    limits = mean_interval(gain, 200)
    assert line["bootstrap_low"] == pytest.approx(limits.low)
    assert line["bootstrap_high"] == pytest.approx(limits.high)
    # of one seed, the limits of a paired t over people, and no p
    one = {start: of_start[:1] for start, of_start in found.items()}
    line = efficiency_table([made_up(truth, one)], resamples=100).iloc[1]
    first = [dice_coefficient(x[0], truth)[shows] for x in found.values()]
    test = stats.ttest_rel(first[1], first[0])
    assert np.isnan(line["p"]) and np.isnan(line["p_corrected"])
    limits = test.confidence_interval()
    assert line["difference_low"] == pytest.approx(limits.low)
    assert line["difference_high"] == pytest.approx(limits.high)


def test_one_seed_of_auc_is_delongs_interval():
    rng = np.random.default_rng(8)
    labels = np.arange(50) % 2
    logits = {}
    for start, strength in ((SCRATCH, 0.3), ("A", 1.0)):
        score = strength * labels + rng.normal(size=(1, 50))
        logits[start] = np.stack([0 * score, score], -1)
    line = efficiency_table([made_up(labels, logits)], resamples=100).iloc[1]
    a, b = logits["A"][..., 1], logits[SCRATCH][..., 1]
    expected = difference_interval(labels, a, b)
    assert line["difference_low"] == pytest.approx(expected.low)
    assert line["difference_high"] == pytest.approx(expected.high)


def test_the_interval_holds_people_and_seeds():
    """Coverage in worlds where people and trainings both differ."""
    rng = np.random.default_rng(9)
    people, seeds, worlds = 30, 3, 2000
    covered = people_alone = 0
    for _ in range(worlds):
        of_people = rng.normal(0, 0.1, people)
        of_seeds = rng.normal(0, 0.04, seeds)
        gains = of_seeds[:, None] + of_people
        gains = gains + rng.normal(0, 0.05, (seeds, people))
        variance = gains.mean(0).var(ddof=1) / people
        found = gain_over_scratch(variance, people - 1, gains.mean(1))
        covered += found["difference_low"] < 0 < found["difference_high"]
        one = gain_over_scratch(variance, people - 1, gains.mean(1)[:1])
        half = (one["difference_high"] - one["difference_low"]) / 2
        people_alone += abs(gains.mean()) < half
    assert 0.94 < covered / worlds
    # people alone would promise too much
    assert people_alone / worlds < 0.9


def test_p_values_are_corrected_for_all_lines_together():
    rng = np.random.default_rng(5)
    labels = np.arange(60) % 2
    starts = (SCRATCH, "A", "B")
    logits = {}
    for start, strength in zip(starts, (0, 2, 0.3), strict=True):
        score = strength * labels + rng.normal(size=(2, 60))
        logits[start] = np.stack([-score, score], -1)
    one = made_up(labels, logits)
    table = efficiency_table([one, one], resamples=100)
    p = table.loc[~table["baseline"], "p"].to_numpy()
    assert len(p) == 4
    order = np.argsort(p)
    expected = np.empty(4)
    running = 0.0
    for place, k in enumerate(order):
        running = max(running, min(1.0, (4 - place) * p[k]))
        expected[k] = running
    corrected = table.loc[~table["baseline"], "p_corrected"]
    assert corrected.to_numpy() == pytest.approx(expected)


def test_equal_networks_differ_by_nothing():
    labels = np.arange(20) % 2
    logits = np.random.default_rng(6).normal(size=(2, 20, 2))
    masks = np.repeat(labels[:, None], 6, 1).reshape(20, 1, 2, 3)
    for values, output in ((labels, logits), (masks, np.stack([masks] * 2))):
        both = made_up(values, {SCRATCH: output, "A": output})
        line = efficiency_table([both], resamples=100).iloc[1]
        columns = ["difference", "difference_low", "difference_high"]
        assert (line[columns] == 0).all()
        assert line["p"] == 1


def test_variances_of_people_and_seeds_add_up():
    gains = np.array([0.1, 0.3, -0.1, 0.2])
    people, freedom, of_seeds = 0.004, 20, gains.var(ddof=1) / 4
    total = people + of_seeds
    nu = total**2 / (people**2 / freedom + of_seeds**2 / 3)
    reach = stats.t(nu).ppf(0.975) * np.sqrt(total)
    found = gain_over_scratch(people, freedom, gains)
    assert found["difference_low"] == pytest.approx(gains.mean() - reach)
    assert found["difference_high"] == pytest.approx(gains.mean() + reach)
    t = gains.mean() / np.sqrt(total)
    assert found["p"] == pytest.approx(2 * stats.t(nu).sf(t))


def test_convergence_is_the_first_step_near_the_best():
    def curve(*aucs):
        steps = 10 * np.arange(1, 1 + len(aucs))
        return np.stack([steps, np.ones(len(aucs)), aucs], 1)

    curves = {
        (SCRATCH, 0.1, 0): curve(0.5, 0.6, 0.79, 0.8),
        (SCRATCH, 0.1, 1): curve(0.5, np.nan, 0.6, 0.9),
        (SCRATCH, 0.1, 2): curve(0.5, 0.6, 0.7, 0.8),
        ("A", 0.1, 0): curve(0.78, 0.7, 0.8, 0.1),
        ("A", 0.1, 1): curve(0.7, 0.89, 0.9, 0.5),
        ("A", 0.1, 2): curve(0.8, 0.1, 0.2, 0.3),
    }
    target = Target("thing", np.zeros(4), ("none", "there"))
    fits = FineTuned(target, np.arange(4), {}, {0.1: 7}, curves)
    table = convergence_table([fits]).set_index("model")
    assert table["steps"].tolist() == pytest.approx([110 / 3, 20])
    assert table["best"].tolist() == pytest.approx([2.5 / 3, 2.5 / 3])
    saved = np.array([1 - 30 / 30, 1 - 20 / 40, 1 - 10 / 40])
    low, high = stats.ttest_1samp(saved, 0).confidence_interval(0.95)
    assert table.loc["A", "saved"] == pytest.approx(saved.mean())
    assert table.loc["A", "saved_low"] == pytest.approx(low)
    # more than all cannot be saved, and no step is below 0
    assert high > 1 == table.loc["A", "saved_high"]
    assert np.isnan(table.loc[SCRATCH, "saved"])
    steps = np.array([[30, 20, 10], [30, 40, 40]])
    for line, own in zip(
        table.loc[["A", SCRATCH]].itertuples(), steps, strict=True
    ):
        low, high = stats.ttest_1samp(own, 0).confidence_interval(0.95)
        assert line.low == pytest.approx(max(low, 0))
        assert line.high == pytest.approx(high)
    lines = curve_table([fits])
    assert len(lines) == 24
    own = lines.query("model == 'A' and seed == 1")
    assert own["auc"].tolist() == [0.7, 0.89, 0.9, 0.5]
    assert own["step"].tolist() == [10, 20, 30, 40]
    assert lines["baseline"].sum() == 12
    # reaching it counts, going beyond is not asked
    exact = {key: curve(0.4, 0.8) for key in curves}
    reached = convergence_table(
        [FineTuned(target, np.arange(4), {}, {0.1: 7}, exact)], share=0.5
    )
    assert reached["steps"].tolist() == [10, 10]
    looser = convergence_table([fits], share=0.95).set_index("model")
    assert looser.loc["A", "steps"] == pytest.approx(40 / 3)
    # of two trainings there is a mean and no interval
    two = {key: one for key, one in curves.items() if key[2] < 2}
    fits = FineTuned(target, np.arange(4), {}, {0.1: 7}, two)
    fewer = convergence_table([fits])
    assert fewer["steps"].tolist() == [35, 25]
    limits = ["low", "high", "saved_low", "saved_high"]
    assert fewer[limits].isna().all(axis=None)


def test_more_labels_are_compared_from_scratch_alone_in_each_task():
    lines = [
        # in any order, and of a model that more labels help
        ("class", "AUC", True, 40, 0.8),
        ("class", "AUC", True, 4, 0.6),
        ("class", "AUC", True, 12, 0.9),
        ("place", "Dice", True, 4, 0.5),
        ("place", "Dice", True, 40, 0.5),
        ("place", "Dice", False, 40, 0.9),
        ("alone", "AUC", True, 4, 0.5),
    ]
    columns = ["task", "measure", "baseline", "labelled", "value"]
    table = pd.DataFrame(lines, columns=columns)
    found = labels_from_scratch(table).set_index("task")
    assert found.loc["class"].tolist() == ["AUC", 4, 40, 0.6, 0.8, True]
    assert found.loc["place"].tolist() == ["Dice", 4, 40, 0.5, 0.5, False]
    assert "alone" not in found.index
    said = worth_of_labels(table)
    assert "from 0.60 to 0.80 AUC on *class* (4 and 40 people), from" in said
    assert "**More labels did not help on place: fine-tuning" in said
    assert "did not" not in worth_of_labels(table[:3])
    assert worth_of_labels(table[-1:]) == ""
