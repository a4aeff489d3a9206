"""Fine-tuning at shares of labels: paired with training from scratch, kept,
and refused where somebody held out was seen.
"""

import json
from itertools import product

import numpy as np
import pytest
from scipy import stats

from mmssl.evaluate import finetune as tuning
from mmssl.evaluate import label_efficiency as module
from mmssl.evaluate.finetune import Schedule, Target
from mmssl.evaluate.label_efficiency import (
    SCRATCH,
    FineTuned,
    convergence_table,
    curve_table,
    efficiency_table,
    fine_tuned,
    score_table,
)
from mmssl.ledger import LeakError, leakage
from mmssl.ledger.manifest import write_manifest
from mmssl.pretrain.encoders import load_weights
from mmssl.pretrain.fit import fit
from mmssl.stats import dice_coefficient, difference_interval, roc_auc

SHORT = Schedule(steps=2, batch_size=4, learning_rate=1e-3, validations=1)


@pytest.fixture
def diagnosis(cohort):
    return Target("diagnosis", cohort.labels(), ("HC", "AD"))


def short_run(cohort, folder):
    asked = {"epochs": 1, "batch_size": 16, "width": 4, "latent": 8}
    return fit(cohort, "RR", folder / "RR", progress=False, **asked)


def fine_tune(cohort, run, target, folder, **options):
    starts = {"RR": run}
    options = {"schedule": SHORT, "progress": False, **options}
    return fine_tuned(cohort, starts, target, "T1", folder, **options)


def test_every_start_ratio_and_seed_is_fitted_once_and_kept(
    cohort, run, diagnosis, tmp_path, monkeypatch
):
    fitted = []
    original = module._fit

    def counted(*arguments):
        fitted.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(module, "_fit", counted)
    asked = {"ratios": (0.25, 1.0), "seeds": (0, 1)}
    first = fine_tune(cohort, run, diagnosis, tmp_path, **asked)
    keys = set(product((SCRATCH, "RR"), (0.25, 1.0), (0, 1)))
    assert set(first.outputs) == keys and len(fitted) == 8
    held_out = cohort.downstream(cohort.rows("holdout"))
    assert np.array_equal(first.rows, held_out)
    assert first.proof["tested"] == len(held_out)
    again = fine_tune(cohort, run, diagnosis, tmp_path, **asked)
    assert len(fitted) == 8
    for key in keys:
        assert np.array_equal(first.outputs[key], again.outputs[key])
    # one more seed: the others stand
    asked["seeds"] = (0, 1, 2)
    fine_tune(cohort, run, diagnosis, tmp_path, **asked)
    assert len(fitted) == 12


def test_side_by_side_gives_the_same_bits(cohort, run, diagnosis, tmp_path):
    one = fine_tune(cohort, run, diagnosis, tmp_path / "1")
    two = fine_tune(cohort, run, diagnosis, tmp_path / "2", jobs=2)
    assert one.outputs.keys() == two.outputs.keys()
    for key, output in one.outputs.items():
        assert np.array_equal(output, two.outputs[key])


def test_a_start_that_has_seen_the_hold_out_is_refused(
    cohort, diagnosis, tmp_path
):
    run = short_run(cohort, tmp_path)
    file = run / "exposures.json"
    records = leakage.read_exposures(file)
    seen = leakage.exposure(
        "encoder", "train", cohort, cohort.rows("holdout")[:1]
    )
    leakage.write_exposures(file, [*records, seen])
    write_manifest(run)
    with pytest.raises(LeakError, match="encoder RR, fold 0"):
        fine_tune(cohort, run, diagnosis, tmp_path / "fits")
    records = [r for r in json.loads(file.read_text()) if "land" in r["fit"]]
    file.write_text(json.dumps(records))
    with pytest.raises(LeakError, match="'encoder RR, fold 0' left no record"):
        fine_tune(cohort, run, diagnosis, tmp_path / "fits")
    with pytest.raises(ValueError, match="no run to fine-tune"):
        fine_tuned(cohort, {}, diagnosis, "T1", tmp_path / "fits")


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
    # interval and p are of one test
    inside = line["difference_low"] < 0 < line["difference_high"]
    assert inside == (line["p"] > 0.05)
    assert (line["labelled"], line["people"], line["seeds"]) == (7, 90, 2)
    assert np.isnan(
        table.loc[SCRATCH, ["difference", "p"]].astype(float)
    ).all()


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
        found = module.gain_over_scratch(variance, people - 1, gains.mean(1))
        covered += found["difference_low"] < 0 < found["difference_high"]
        one = module.gain_over_scratch(variance, people - 1, gains.mean(1)[:1])
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


def test_scores_of_three_classes_are_averaged_one_against_the_rest(
    three_classes, tmp_path
):
    run = short_run(three_classes, tmp_path)
    names = ("HC", "MCI", "AD")
    target = Target("diagnosis", three_classes.labels(), names)
    fits = fine_tune(three_classes, run, target, tmp_path, ratios=(0.5,))
    line = efficiency_table([fits], resamples=100).iloc[0]
    logits = fits.outputs[SCRATCH, 0.5, 0]
    labels = target.values[fits.rows]
    aucs = [roc_auc(labels == k, logits[:, k]) for k in range(3)]
    assert line["value"] == pytest.approx(np.mean(aucs))


def test_a_second_population_learns_from_its_own(
    cohort, run, diagnosis, tmp_path, monkeypatch
):
    """Nobody of the first takes part, and nobody in two roles."""
    second = np.arange(0, 20)
    rows = type(cohort).rows

    def shifted(self, role, fold=0):
        return second if role == "shift" else rows(self, role, fold)

    monkeypatch.setattr(type(cohort), "rows", shifted)
    people = module.labelled_people(cohort, "T1", 0, "shift")
    everybody = np.concatenate(people)
    assert len(set(everybody)) == len(everybody)
    assert set(everybody) == set(cohort.downstream(second))
    labels = cohort.labels()
    for part in people:
        assert set(labels[part]) == {0, 1}
    assert len(people.train) > len(people.test) >= len(people.valid)
    with pytest.raises(ValueError, match="population='other', expected one"):
        module.labelled_people(cohort, "T1", 0, "other")


def test_a_fit_gets_its_start_its_people_and_what_its_run_was_trained_on(
    cohort, run, diagnosis, tmp_path, monkeypatch
):
    asked, landmarks = [], object()

    def fit_of(*arguments):
        asked.append(arguments)
        return {"output": np.zeros((1, 2)), "curve": np.zeros((1, 3))}

    def standardised(images, by_modality, dtype):
        assert by_modality == {"T1": landmarks}
        return {"T1": np.zeros((len(images), 1), dtype)}

    weights = load_weights(run)._replace(landmarks={"T1": landmarks})
    monkeypatch.setattr(module, "_fit", fit_of)
    monkeypatch.setattr(module, "standardised", standardised)
    monkeypatch.setattr(module, "load_weights", lambda folder: weights)
    options = {"ratios": (0.3, 1.0), "seeds": (4, 5)}
    fine_tune(cohort, run, diagnosis, tmp_path, **options)
    everybody = cohort.downstream(cohort.rows("train"))
    keys = list(product((False, True), (0.3, 1.0), (4, 5)))
    assert len(asked) == len(keys)
    subsets = set()
    for (pretrained, ratio, seed), arguments in zip(keys, asked, strict=True):
        folder, begins_with_it, *_, people, of_seed = arguments
        assert (folder, begins_with_it, of_seed) == (run, pretrained, seed)
        labels = cohort.labels()
        expected = tuning.labelled_subset(everybody, labels, ratio, seed)
        assert np.array_equal(people.train, expected)
        subsets.add(tuple(people.train))
        assert np.array_equal(
            people.test, cohort.downstream(cohort.rows("holdout"))
        )
    # both shares of both seeds, the whole being one
    assert len(subsets) == 3


def test_fits_of_other_people_or_another_schedule_are_kept_apart(diagnosis):
    rows = np.arange(4)
    people = tuning.People(rows, rows + 4, rows + 8)
    asked = (np.zeros(3), [diagnosis], people, SHORT, 0)
    keys = {module._key(*asked)}
    for place, other in (
        (0, np.ones(3)),
        (1, [diagnosis._replace(values=1 - diagnosis.values)]),
        (1, [diagnosis, diagnosis]),
        (2, people._replace(test=rows + 9)),
        (3, Schedule(steps=3)),
        (4, 1),
    ):
        changed = [*asked]
        changed[place] = other
        keys.add(module._key(*changed))
    assert len(keys) == 7


def test_variances_of_people_and_seeds_add_up():
    gains = np.array([0.1, 0.3, -0.1, 0.2])
    people, freedom, of_seeds = 0.004, 20, gains.var(ddof=1) / 4
    total = people + of_seeds
    nu = total**2 / (people**2 / freedom + of_seeds**2 / 3)
    reach = stats.t(nu).ppf(0.975) * np.sqrt(total)
    found = module.gain_over_scratch(people, freedom, gains)
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
        ("A", 0.1, 0): curve(0.78, 0.7, 0.8, 0.1),
        ("A", 0.1, 1): curve(0.7, 0.89, 0.9, 0.5),
    }
    target = Target("thing", np.zeros(4), ("none", "there"))
    fits = FineTuned(target, np.arange(4), {}, {0.1: 7}, curves)
    table = convergence_table([fits]).set_index("model")
    assert table["steps"].tolist() == [35, 25]
    assert table["best"].tolist() == pytest.approx([0.85, 0.85])
    saved = np.array([1 - 30 / 30, 1 - 20 / 40])
    low, high = stats.ttest_1samp(saved, 0).confidence_interval(0.95)
    assert table.loc["A", "saved"] == pytest.approx(saved.mean())
    assert table.loc["A", "saved_low"] == pytest.approx(low)
    assert table.loc["A", "saved_high"] == pytest.approx(high)
    assert np.isnan(table.loc[SCRATCH, "saved"])
    lines = curve_table([fits])
    assert len(lines) == 16
    own = lines.query("model == 'A' and seed == 1")
    assert own["auc"].tolist() == [0.7, 0.89, 0.9, 0.5]
    assert own["step"].tolist() == [10, 20, 30, 40]
    assert lines["baseline"].sum() == 8
    # reaching it counts, going beyond is not asked
    exact = {key: curve(0.4, 0.8) for key in curves}
    reached = convergence_table(
        [FineTuned(target, np.arange(4), {}, {0.1: 7}, exact)], share=0.5
    )
    assert reached["steps"].tolist() == [10, 10]
    looser = convergence_table([fits], share=0.95).set_index("model")
    assert looser.loc["A", "steps"] == 15


def test_other_labels_make_other_fits(cohort, run, diagnosis, tmp_path):
    kinds = Target("kind", np.arange(len(cohort)) % 3, ("a", "b", "c"))
    alone = fine_tune(cohort, run, diagnosis, tmp_path, ratios=(1.0,))
    beside = fine_tune(
        cohort, run, diagnosis, tmp_path, ratios=(1.0,), auxiliary=[kinds]
    )
    key = SCRATCH, 1.0, 0
    assert not np.array_equal(alone.outputs[key], beside.outputs[key])
    assert alone.curves[key].shape == (1, 3)
    assert len(list(tmp_path.iterdir())) == 2


def test_people_are_perturbed_at_the_largest_share_and_fits_stay_as_they_were(
    cohort, run, diagnosis, tmp_path, monkeypatch
):
    fitted, asked = [], []
    original, deviate = module._fit, module.relative_deviations

    def counted(*arguments, **options):
        fitted.append((arguments[-1], options))
        return original(*arguments, **options)

    def watched(network, inputs, rows, transforms):
        asked.append(rows)
        return deviate(network, inputs, rows, transforms)

    monkeypatch.setattr(module, "_fit", counted)
    monkeypatch.setattr(module, "relative_deviations", watched)
    options = {"ratios": (1.0, 0.25), "seeds": (0, 1)}
    without = fine_tune(cohort, run, diagnosis, tmp_path, **options)
    assert len(fitted) == 8 and not asked
    assert not without.deviations and not len(without.perturbed)
    options |= {"perturbed": 3, "transforms": 2}
    fits = fine_tune(cohort, run, diagnosis, tmp_path, **options)
    # those of the largest share anew, with the same outputs
    assert len(fitted) == 12 and len(asked) == 4
    assert set(fits.deviations) == set(
        product((SCRATCH, "RR"), (1.0,), (0, 1))
    )
    for key, output in without.outputs.items():
        assert np.array_equal(output, fits.outputs[key])
        assert np.array_equal(without.curves[key], fits.curves[key])
    for rows in asked:
        assert np.array_equal(rows, fits.rows[fits.perturbed])
    assert len(set(fits.perturbed)) == 3
    for one in fits.deviations.values():
        assert one.shape == (3, 3, 2) and np.isfinite(one).all()
        assert np.abs(one).max() > 0
    # kept, and of more transforms the first
    again = fine_tune(cohort, run, diagnosis, tmp_path, **options)
    assert len(fitted) == 12
    more = options | {"transforms": 3, "seeds": (0,), "ratios": (1.0,)}
    more = fine_tune(cohort, run, diagnosis, tmp_path, **more)
    assert len(fitted) == 14
    key = "RR", 1.0, 0
    assert np.array_equal(again.deviations[key], fits.deviations[key])
    np.testing.assert_allclose(
        more.deviations[key][..., :2], fits.deviations[key], rtol=1e-3
    )


def test_who_is_perturbed_is_drawn_from_those_to_test(diagnosis):
    rows = np.arange(40)
    people = tuning.People(rows[:20], rows[20:24], rows[24:])
    some = module._drawn(diagnosis, people, 5, 2, 0)
    assert len(set(some)) == 5 and (np.diff(some) > 0).all()
    assert set(some) < set(range(16)) and set(some) != set(range(5))
    assert np.array_equal(some, module._drawn(diagnosis, people, 5, 9, 0))
    assert not np.array_equal(some, module._drawn(diagnosis, people, 5, 2, 1))
    # no more than there are
    everybody = module._drawn(diagnosis, people, 50, 2, 0)
    assert np.array_equal(everybody, np.arange(16))
    assert not len(module._drawn(diagnosis, people, 0, 0, 0))


def test_deviations_that_cannot_be_are_refused(
    cohort, run, diagnosis, tmp_path
):
    three = diagnosis._replace(classes=("a", "b", "c"))
    voxels = diagnosis._replace(values=np.zeros((len(cohort), 4, 4, 4), int))
    for target, options, message in (
        (diagnosis, {"perturbed": 1}, "perturbed=1, expected 0, or 2 people"),
        (diagnosis, {"perturbed": -2}, "perturbed=-2, expected 0, or 2"),
        (diagnosis, {"perturbed": 2, "transforms": 0}, "transforms=0, expe"),
        (three, {"perturbed": 2}, "diagnosis: perturbed=2, expected 0 but"),
        (voxels, {"perturbed": 2}, "diagnosis: perturbed=2, expected 0 but"),
    ):
        with pytest.raises(ValueError, match=message):
            fine_tune(cohort, run, target, tmp_path, **options)
    assert not list(tmp_path.iterdir())
