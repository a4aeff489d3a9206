"""Slices in 2.5D: inputs in their place, people in their roles, measures and
their intervals against plain loops.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import expit
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    roc_auc_score,
)
from small_cohort import SMALL_RUN, write_small_cohort

from mmssl.cohorts.slices import cut_slices
from mmssl.evaluate import slice_detection as module
from mmssl.evaluate.finetune import Schedule, Target, TaskNetwork
from mmssl.evaluate.finetuned_runs import SCRATCH, FineTuned
from mmssl.evaluate.label_efficiency import convergence_table
from mmssl.evaluate.resampled_people import resampled
from mmssl.evaluate.slice_detection import (
    CompressedInput,
    SliceFits,
    detected_slices,
    slice_inputs,
    slice_table,
)
from mmssl.ledger import LeakError, leakage
from mmssl.models import Encoder, UNetEncoder
from mmssl.pretrain import fit

SHORT = Schedule(steps=60, batch_size=16, learning_rate=3e-3, validations=6)
SIDE = 16


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """Give 24 people of whom every second shows a bright box in slices 6 to 8,
    none has any brain in the two lowest, and one has no role.
    """
    rng = np.random.default_rng(3)
    images = rng.uniform(1, 1.3, (24, SIDE, SIDE, SIDE)).astype("f4")
    images[..., :2] = 0
    images[::2, 4:9, 5:11, 6:9] *= 2
    folder = tmp_path_factory.mktemp("volumes") / "cohort"
    options = {"groups": ("AD", "HC"), "intensity": "brain", "valid": 3}
    return write_small_cohort(folder, T1=images, **options)


@pytest.fixture(scope="module")
def masks():
    """Give where the boxes are."""
    inside = np.zeros((24, SIDE, SIDE, SIDE), bool)
    inside[::2, 4:9, 5:11, 6:9] = True
    return inside


@pytest.fixture(scope="module")
def runs(volumes, tmp_path_factory):
    """Give one run on the slices."""
    folder = tmp_path_factory.mktemp("slices")
    cut = cut_slices(volumes, folder / "cohort")
    asked = {**SMALL_RUN, "epochs": 1, "batch_size": 32, "width": 8}
    return {"AE": fit(cut, "AE", folder / "AE", **asked)}


@pytest.fixture(scope="module")
def found(volumes, masks, runs, tmp_path_factory):
    """Give the fits of two seeds."""
    folder = tmp_path_factory.mktemp("fits")
    return detect(volumes, runs, masks, folder, seeds=(0, 1))


def detect(volumes, runs, masks, folder, **options):
    asked = {"attention": masks.astype("u1"), "schedule": SHORT, **options}
    return detected_slices(
        volumes,
        runs,
        masks,
        modality="T1",
        folder=folder,
        progress=False,
        **asked,
    )


@pytest.mark.parametrize("neighbours", [0, 1, 2])
def test_inputs_are_the_slice_its_neighbours_and_what_was_found(neighbours):
    rng = np.random.default_rng(4)
    images = rng.normal(size=(3, 1, 5, 6, 7)).astype("f2")
    attention = rng.random((3, 5, 6, 7)) < 0.4
    found = slice_inputs(images, attention, neighbours, contrast=3)
    assert found.inputs.shape == (21, 2 * neighbours + 2, 5, 6)
    assert found.inputs.dtype == np.float16
    row = 0
    for pair in range(3):
        for place in range(7):
            assert found.pairs[row] == pair
            assert found.slices[row] == place
            for channel in range(2 * neighbours + 1):
                other = place + channel - neighbours
                expected = np.zeros((5, 6))
                if 0 <= other < 7:
                    expected = images[pair, 0, :, :, other]
                assert np.array_equal(found.inputs[row, channel], expected)
            expected = 3.0 * attention[pair, :, :, place]
            assert np.array_equal(found.inputs[row, -1], expected)
            row += 1


def test_inputs_may_be_without_attention_and_in_float32():
    images = np.random.default_rng(5).normal(size=(2, 1, 3, 4, 5))
    found = slice_inputs(images, None, 1)
    assert found.inputs.shape == (10, 3, 3, 4)
    assert found.inputs.dtype == np.float32
    with pytest.raises(ValueError, match=r"attention: shape \(2, 3, 4\), ex"):
        slice_inputs(images, np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match=r"images: shape \(2, 3, 4, 5\), ex"):
        slice_inputs(images[:, 0])
    with pytest.raises(ValueError, match="neighbours is -1, expected 0"):
        slice_inputs(images, neighbours=-1)


def test_the_input_is_compressed_place_by_place():
    torch.manual_seed(0)
    encoder = Encoder(3, width=4, latent=5, size=16, dims=2)
    whole = CompressedInput(encoder, 6).eval()
    assert (whole.latent, whole.local_channels) == (5, encoder.local_channels)
    assert whole.input_shape == (6, 16, 16)
    x = torch.randn(2, 6, 16, 16)
    weight = whole.compression.weight[:, :, 0, 0]
    mixed = torch.einsum("ck,bkxy->bcxy", weight, x)
    mixed = mixed + whole.compression.bias[:, None, None]
    torch.testing.assert_close(whole(x).z, encoder(mixed).z)
    assert not hasattr(whole, "decoder")


def test_a_decoder_goes_with_its_encoder():
    whole = CompressedInput(UNetEncoder(3, width=2, size=16, dims=2), 4)
    target = Target("box", np.zeros((2, 16, 16)), ("none", "box"))
    network = TaskNetwork(whole, target)
    assert network(torch.randn(2, 4, 16, 16)).shape == (2, 2, 16, 16)


def test_slices_of_people_held_out_are_told(found, masks, volumes):
    table = slice_table(found, resamples=200)
    aucs = table[table["measure"] == "AUC"].set_index("model")["value"]
    assert (aucs > 0.9).all()
    # slices without brain count nowhere
    held_out = volumes.downstream(volumes.rows("holdout"))
    expected = [(pair, z) for pair in held_out for z in range(2, SIDE)]
    assert list(zip(found.pairs, found.slices, strict=True)) == expected
    truth = masks.any((1, 2))[found.pairs, found.slices]
    assert np.array_equal(found.truth, truth)
    assert np.array_equal(found.people, volumes.subjects[found.pairs])
    assert set(found.fits.outputs) == {
        (start, 1.0, seed) for start in (SCRATCH, "AE") for seed in (0, 1)
    }
    curves = convergence_table([found.fits], share=0.9)
    assert (curves["best"] > 0.9).all()


def test_nobody_is_learned_from_and_held_out(
    volumes, masks, runs, tmp_path, monkeypatch
):
    asked = []

    def fit_of(*arguments):
        asked.append(arguments)
        return {"output": np.zeros((1, 2)), "curve": np.zeros((1, 3))}

    monkeypatch.setattr(module, "_fit", fit_of)
    detect(volumes, runs, masks, tmp_path, neighbours=1, seeds=(4,))
    first, second = asked
    assert [bool(one[1]) for one in asked] == [False, True]
    *_, inputs, target, modality, schedule, people, seed = second
    assert (modality, schedule, seed) == ("T1", SHORT, 4)
    assert inputs.shape[1:] == (4, SIDE, SIDE)
    used = [volumes.downstream(volumes.rows(r)) for r in ("train", "valid")]
    used.append(volumes.downstream(volumes.rows("holdout")))
    pairs = np.sort(np.concatenate(used))
    of_row = np.repeat(pairs, SIDE)
    for rows, expected in zip(people, used, strict=True):
        assert set(of_row[rows]) == set(expected)
        assert len(rows) == (SIDE - 2) * len(expected)
    # labels and attention are those of the slice
    assert np.array_equal(target.values, masks.any((1, 2))[pairs].ravel())
    attention = inputs[:, -1].astype(bool).any((1, 2))
    assert np.array_equal(attention, target.values == 1)


def test_fits_are_kept_and_those_of_other_attention_are_others(
    found, volumes, masks, runs, tmp_path, monkeypatch
):
    fitted = []

    def fit_of(*arguments):
        fitted.append(arguments)
        return {"output": np.zeros((56, 2)), "curve": np.zeros((1, 3))}

    monkeypatch.setattr(module, "_fit", fit_of)
    detect(volumes, runs, masks, tmp_path)
    detect(volumes, runs, masks, tmp_path)
    assert len(fitted) == 2
    detect(volumes, runs, masks, tmp_path, attention=None)
    detect(volumes, runs, masks, tmp_path, neighbours=1)
    detect(volumes, runs, ~masks, tmp_path, attention=masks)
    assert len(fitted) == 8


def test_who_was_seen_before_is_not_tested(volumes, masks, runs, tmp_path):
    rows = volumes.rows("holdout")[:1]
    seen = leakage.exposure("attention, fold 0", "train", volumes, rows)
    with pytest.raises(LeakError, match="attention, fold 0"):
        detect(volumes, runs, masks, tmp_path, exposures=[seen])
    rows = volumes.rows("train")
    others = leakage.exposure("attention, fold 0", "train", volumes, rows)
    made = module.slice_rows(volumes, runs, None, "T1", 0, 2, [others])
    assert "attention, fold 0 (train)" in made.proof["fits"]


def test_runs_that_read_no_slices_of_the_cohort_are_refused(
    volumes, masks, runs, tmp_path
):
    with pytest.raises(ValueError, match="no run to fine-tune"):
        detect(volumes, {}, masks, tmp_path)
    larger = replace(volumes, size=32)
    with pytest.raises(ValueError, match=r"AE: dims and size are \(2, 16\)"):
        detect(larger, runs, masks, tmp_path)
    with pytest.raises(ValueError, match="AE: modality 'fALFF': the run enc"):
        detected_slices(volumes, runs, masks, None, "fALFF", tmp_path)


PEOPLE = np.repeat(np.arange(9), [5, 7, 6, 4, 8, 5, 6, 7, 3])


def made_up():
    """Fits of two seeds whose logits are given: people 0 to 4 have slices with
    a lesion and without, the others without alone.
    """
    rng = np.random.default_rng(6)
    labels = ((PEOPLE < 5) & (rng.random(len(PEOPLE)) < 0.4)).astype(int)
    outputs = {}
    for start, strength in ((SCRATCH, 0.8), ("A", 2.0)):
        for seed in (0, 1):
            score = strength * labels + rng.normal(size=len(labels))
            score = score.round(1)
            outputs[start, 1.0, seed] = np.stack([-score, score], -1) / 2
    target = Target("lesion slices", labels, ("none", "lesion"))
    rows = np.arange(len(labels))
    fits = FineTuned(target, rows, outputs, {1.0: 7}, {})
    return SliceFits(fits, PEOPLE.astype(str), PEOPLE, rows)


def accuracy(labels, p, point=0.6):
    return accuracy_score(labels, p >= point)


ORACLES = {
    "AUC": roc_auc_score,
    "mAP": average_precision_score,
    "accuracy": accuracy,
}


def test_measures_are_scikit_learns_and_their_differences_plain():
    found = made_up()
    labels = found.truth
    table = slice_table(found, resamples=100)
    assert len(table) == 6
    for name, oracle in ORACLES.items():
        lines = table[table["measure"] == name].set_index("model")
        each = {}
        for start in (SCRATCH, "A"):
            outputs = [found.fits.outputs[start, 1.0, s] for s in (0, 1)]
            p = [torch.tensor(x).softmax(1)[:, 1].numpy() for x in outputs]
            each[start] = np.array([oracle(labels, one) for one in p])
            line = lines.loc[start]
            assert line["value"] == pytest.approx(each[start].mean())
            assert line["sd"] == pytest.approx(each[start].std(ddof=1))
            assert line["low"] < line["value"] < line["high"]
            assert (line["slices"], line["people"]) == (len(labels), 9)
            assert line["positive"] == labels.sum()
        gains = each["A"] - each[SCRATCH]
        assert lines.loc["A", "difference"] == pytest.approx(gains.mean())
        assert np.isnan(lines.loc[SCRATCH, "difference"])
        assert np.isnan(lines.loc[SCRATCH, "p"])


def test_the_operating_point_is_asked_for():
    found = made_up()
    for point in (0.3, 0.9):
        table = slice_table(found, 100, operating_point=point)
        line = table[table["measure"] == "accuracy"].iloc[0]
        each = []
        for seed in (0, 1):
            logits = found.fits.outputs[SCRATCH, 1.0, seed]
            p = expit(logits[:, 1] - logits[:, 0])
            each.append(accuracy(found.truth, p, point))
        assert line["value"] == pytest.approx(np.mean(each))


def test_people_are_drawn_and_all_models_in_the_same_draws(monkeypatch):
    """Against a loop that repeats the slices of who is drawn."""
    found = made_up()
    labels = found.truth
    counts = np.array(
        [[2, 0, 1, 1, 1, 0, 3, 0, 1], [0, 1, 1, 2, 1, 1, 1, 1, 1]]
    )
    counts = np.concatenate([counts, np.ones((98, 9), int)])
    asked = []

    def given(stratum, resamples, rng):
        asked.append(stratum)
        return counts

    monkeypatch.setattr(module, "draw_counts", given)
    seen = []
    original = module.comparison_columns

    def columns(own, scratch, stratum):
        seen.append((own, scratch))
        return original(own, scratch, stratum)

    monkeypatch.setattr(module, "comparison_columns", columns)
    slice_table(found, resamples=100)
    # who has a lesion apart from who has none
    assert len(asked) == 1
    assert len(set(asked[0][:5])) == len(set(asked[0][5:])) == 1
    assert asked[0][0] != asked[0][5]
    for number, oracle in enumerate(ORACLES.values()):
        own, scratch = seen[2 * number + 1]
        for start, estimates in ((SCRATCH, scratch), ("A", own)):
            for draw in (0, 1):
                drawn = np.concatenate(
                    [
                        np.flatnonzero(person == PEOPLE)
                        for person, count in enumerate(counts[draw])
                        for _ in range(count)
                    ]
                )
                each = []
                for seed in (0, 1):
                    logits = found.fits.outputs[start, 1.0, seed]
                    p = expit(logits[:, 1] - logits[:, 0])
                    each.append(oracle(labels[drawn], p[drawn]))
                expected = pytest.approx(np.mean(each))
                assert estimates.draws[draw] == expected


def test_each_person_is_left_out_once():
    values = np.random.default_rng(7).normal(size=len(PEOPLE))

    def mean(weights):
        return (weights @ values / weights.sum(1))[None]

    counts = np.ones((300, 9))
    found = resampled(mean, PEOPLE, counts)
    for person in range(9):
        expected = values[person != PEOPLE].mean()
        assert found.jackknife[person] == pytest.approx(expected)
    assert found.values == pytest.approx(values.mean())
    assert len(found.draws) == 300


def test_slices_of_one_person_are_no_more_than_the_person():
    """Slices said over again leave the interval as it was."""
    found = made_up()
    rows = np.repeat(np.arange(len(PEOPLE)), 4)
    outputs = {k: x[rows] for k, x in found.fits.outputs.items()}
    target = found.fits.target._replace(values=found.truth[rows])
    fits = replace(
        found.fits, target=target, rows=np.arange(len(rows)), outputs=outputs
    )
    again = SliceFits(fits, found.people[rows], PEOPLE[rows], rows)
    one, four = slice_table(found, 200), slice_table(again, 200)
    columns = ["value", "low", "high", "difference_low", "difference_high"]
    np.testing.assert_allclose(one[columns], four[columns])


def test_the_difference_is_students_t_of_people_and_seeds():
    found = made_up()
    table = slice_table(found, resamples=400, seed=3)
    lines = table[~table["baseline"]]
    reach = (lines["difference_high"] - lines["difference_low"]) / 2
    middle = (lines["difference_high"] + lines["difference_low"]) / 2
    np.testing.assert_allclose(middle, lines["difference"])
    # with one seed, of people alone, whose variance is that of the draws
    outputs = {k: x for k, x in found.fits.outputs.items() if k[2] == 0}
    alone = replace(found, fits=replace(found.fits, outputs=outputs))
    line = slice_table(alone, resamples=4000).set_index("model").loc["A"]
    assert line["p"].isna().all()
    rng = np.random.default_rng(8)
    gains = []
    for _ in range(600):
        sick, well = rng.integers(0, 5, 5), rng.integers(5, 9, 4)
        drawn = np.concatenate(
            [np.flatnonzero(PEOPLE == k) for k in (*sick, *well)]
        )
        aucs = []
        for start in ("A", SCRATCH):
            logits = outputs[start, 1.0, 0][drawn]
            score = logits[:, 1] - logits[:, 0]
            aucs.append(roc_auc_score(found.truth[drawn], score))
        gains.append(aucs[0] - aucs[1])
    expected = stats.t(7).ppf(0.975) * np.std(gains, ddof=1)
    of_auc = line[line["measure"] == "AUC"].iloc[0]
    width = (of_auc["difference_high"] - of_auc["difference_low"]) / 2
    assert width == pytest.approx(expected, rel=0.15)
    assert (reach > 0).all()


def test_equal_networks_have_no_difference_and_perfect_ones_no_interval():
    found = made_up()
    perfect = np.stack([1 - found.truth, found.truth], -1) * 8.0
    outputs = dict.fromkeys(found.fits.outputs, perfect)
    same = replace(found, fits=replace(found.fits, outputs=outputs))
    table = slice_table(same, resamples=100)
    assert (table["value"] == 1).all()
    assert table[["low", "high"]].isna().all(axis=None)
    gains = table.loc[~table["baseline"], ["difference", "difference_low"]]
    assert (gains == 0).all(axis=None)


def test_too_few_people_with_a_lesion_are_refused():
    found = made_up()
    values = found.truth * (PEOPLE == 0)
    target = found.fits.target._replace(values=values)
    one = replace(found, fits=replace(found.fits, target=target))
    with pytest.raises(ValueError, match="class 1 has 1 subject"):
        slice_table(one, resamples=100)
