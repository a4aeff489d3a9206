"""Fine-tuned runs: every start, share and seed once, of their own people,
kept, and refused where somebody held out was seen.
"""

import json
from itertools import product

import numpy as np
import pytest

from mmssl.evaluate import finetune as tuning
from mmssl.evaluate import finetuned_runs as module
from mmssl.evaluate.finetune import Schedule, Target
from mmssl.evaluate.finetuned_runs import SCRATCH, fine_tuned
from mmssl.evaluate.label_efficiency import efficiency_table
from mmssl.ledger import LeakError, leakage
from mmssl.ledger.manifest import write_manifest
from mmssl.pretrain.encoders import load_weights
from mmssl.pretrain.fit import fit
from mmssl.stats import roc_auc

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
