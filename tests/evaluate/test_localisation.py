"""Lesions found in heat maps: peaks, hits and the fROC against plain loops of
their definition.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_cohort import SMALL_RUN, write_small_cohort
from torch.nn import functional as F

from mmssl.cohorts.slices import cut_slices
from mmssl.evaluate import localisation as module
from mmssl.evaluate.finetune import Schedule, Target, TaskNetwork
from mmssl.evaluate.finetuned_runs import SCRATCH, FineTuned
from mmssl.evaluate.localisation import (
    RATES,
    HeatMap,
    detections,
    froc_table,
    heat_maps,
    hits_of,
    labelled_lesions,
    localised_lesions,
    weighted_froc,
)
from mmssl.evaluate.slice_detection import SliceFits
from mmssl.losses import dice_loss
from mmssl.models import Encoder
from mmssl.models.resnet import ResNetEncoder
from mmssl.pretrain import fit

SIDE = 16


def peaks_by_loop(maps, smallest, side):
    """Pixels no smaller than all around them; of those that touch and are
    equal, one.
    """
    reach = side // 2
    found = []
    for number, one in enumerate(maps):
        taken = set()
        for place in np.ndindex(one.shape):
            i, j = place
            window = one[
                max(0, i - reach) : i + reach + 1,
                max(0, j - reach) : j + reach + 1,
            ]
            if one[place] < smallest or one[place] < window.max():
                continue
            if place in taken:
                continue
            plateau, waiting = {place}, [place]
            while waiting:
                i, j = waiting.pop()
                for other in np.ndindex(3, 3):
                    near = i + other[0] - 1, j + other[1] - 1
                    inside = all(
                        0 <= k < n
                        for k, n in zip(near, one.shape, strict=True)
                    )
                    if inside and one[near] == one[place]:
                        if near not in plateau:
                            plateau.add(near)
                            waiting.append(near)
            taken |= plateau
            found.append((number, one[place], plateau))
    return found


@pytest.mark.parametrize("side", [3, 5])
def test_detections_are_the_local_maxima(side):
    """With plateaus, which few levels make."""
    rng = np.random.default_rng(1)
    maps = rng.integers(0, 6, (4, 9, 11)).astype("f4") / 8
    found = detections(maps, smallest=0.3, side=side)
    expected = peaks_by_loop(maps, 0.3, side)
    assert len(found.images) == len(expected) > 20
    for image, probability, plateau in expected:
        own = (found.images == image) & (found.probabilities == probability)
        places = {tuple(place) for place in found.places[own]}
        assert len(places & plateau) == 1


def test_a_plateau_is_found_in_its_middle_and_an_empty_map_holds_nothing():
    maps = np.zeros((2, 7, 9))
    maps[1, 1:4, 2:7] = 0.5
    found = detections(maps, smallest=0.1)
    assert found.images.tolist() == [1]
    assert found.places.tolist() == [[2, 4]]
    assert found.probabilities.tolist() == [0.5]
    nothing = detections(maps[:1], smallest=0.1)
    assert nothing.places.shape == (0, 2)
    assert len(nothing.images) == len(nothing.probabilities) == 0


def test_images_do_not_see_each_other():
    maps = np.zeros((2, 5, 6))
    maps[0, 2, 2] = 0.4
    maps[1, 2, 3] = 0.8
    found = detections(maps)
    assert found.images.tolist() == [0, 1]
    assert found.places.tolist() == [[2, 2], [2, 3]]


def test_an_encoder_that_keeps_no_places_is_refused():
    encoder = ResNetEncoder(3, width=4, size=32, dims=2)
    with pytest.raises(ValueError, match="ResNetEncoder has 1 place for imag"):
        HeatMap(encoder.train())
    assert encoder.training
    assert HeatMap(ResNetEncoder(3, width=4, size=33, dims=2)).encoder


def test_what_is_no_heat_map_is_refused():
    maps = np.full((1, 4, 4), 0.5)
    with pytest.raises(ValueError, match=r"from 1.5 to 1.5, expected in"):
        detections(maps + 1)
    with pytest.raises(ValueError, match="smallest is 0, expected above 0"):
        detections(maps, smallest=0)
    with pytest.raises(ValueError, match="side is 4, expected 3, 5, 7"):
        detections(maps, side=4)


# people of 3, 1, 4 and 2 images, of 6 x 8 pixels
PEOPLE = np.repeat(["a", "b", "c", "d"], [3, 1, 4, 2])
LESIONS = {
    # image: boxes (rows, columns)
    0: [((0, 2), (0, 3)), ((4, 6), (5, 8))],
    1: [((2, 4), (2, 4))],
    3: [((1, 4), (1, 6))],
    5: [((0, 1), (7, 8))],
}
PEAKS = {
    SCRATCH: [
        # image, row, column, probability
        (0, 1, 1, 0.9),  # found
        (0, 4, 7, 0.3),  # found, twice
        (0, 5, 5, 0.6),
        (1, 0, 0, 0.7),  # false, and the lesion missed
        (3, 5, 7, 0.5),
        (3, 2, 3, 0.5),  # as probable as a false one
        (4, 2, 2, 0.8),
        (8, 1, 6, 0.2),
        (5, 0, 7, 0.1),  # the least probable, and found
    ],
    "A": [
        (0, 0, 2, 0.95),
        (0, 5, 6, 0.85),
        (1, 3, 3, 0.75),
        (3, 3, 5, 0.9),
        (5, 0, 7, 0.4),
        (2, 3, 3, 0.35),
        (9, 3, 3, 0.8),
        (9, 5, 7, 0.1),
    ],
}


def made_up(peaks=PEAKS, lesions=LESIONS):
    """Heat maps of one seed that are 0 but for their peaks."""
    truth = np.zeros((10, 6, 8), np.uint8)
    for image, boxes in lesions.items():
        for rows, columns in boxes:
            truth[image, slice(*rows), slice(*columns)] = 1
    outputs = {}
    for start, of_start in peaks.items():
        maps = np.zeros(truth.shape, np.float32)
        for image, row, column, probability in of_start:
            maps[image, row, column] = probability
        outputs[start, 1.0, 0] = maps
    target = Target("lesions", truth, ("none", "lesion"))
    fits = FineTuned(target, np.arange(10), outputs, {1.0: 5}, {})
    return SliceFits(fits, PEOPLE, np.arange(10), np.arange(10))


def froc_by_loop(peaks, lesions, images):
    """Sensitivity at each rate, from the definition, for a list of images of
    which one may stand there several times.
    """
    false, found = [], []
    for image in images:
        boxes = lesions.get(image, [])
        best = [0.0] * len(boxes)
        for own, row, column, probability in peaks:
            if own != image:
                continue
            inside = None
            for number, (rows, columns) in enumerate(boxes):
                if rows[0] <= row < rows[1]:
                    if columns[0] <= column < columns[1]:
                        inside = number
            if inside is None:
                false.append(probability)
            else:
                best[inside] = max(best[inside], probability)
        found += best
    points = [(0.0, 0.0)]
    levels = {p for p in false + found if p > 0}
    for level in sorted(levels, reverse=True):
        rate = sum(p >= level for p in false) / len(images)
        share = sum(p >= level for p in found) / len(found)
        points.append((rate, share))
    read = []
    for rate in RATES:
        before = [point for point in points if point[0] <= rate][-1]
        after = [point for point in points if point[0] > rate]
        value = before[1]
        if after:
            (x0, y0), (x1, y1) = before, after[0]
            value = y0 + (y1 - y0) * (rate - x0) / (x1 - x0)
        read.append(value)
    return [*read, sum(read) / len(read)]


def test_the_rates_are_two_below_a_tenth_and_octaves_from_an_eighth_to_8():
    assert RATES == (0.01, 0.05, *2.0 ** np.arange(-3, 4))


def test_sensitivities_are_those_of_the_definition():
    table = froc_table(made_up(), resamples=100)
    assert len(table) == 2 * (len(RATES) + 1)
    for start, peaks in PEAKS.items():
        lines = table[table["model"] == start]
        expected = froc_by_loop(peaks, LESIONS, range(10))
        assert lines["value"].tolist() == pytest.approx(expected)
        assert lines["rate"].tolist()[:-1] == list(RATES)
        assert np.isnan(lines["rate"].iloc[-1])
        assert (lines["lesions"] == 5).all()
        assert (lines["images"] == 10).all() and (lines["people"] == 4).all()
    gains = table[table["model"] == "A"]["difference"].to_numpy()
    values = table["value"].to_numpy().reshape(2, -1)
    np.testing.assert_allclose(gains, values[1] - values[0])
    assert table["p"].isna().all()  # of one seed


def test_all_found_and_nothing_else_is_a_sensitivity_of_1():
    """The one level there is counts."""
    peaks = [(0, 1, 1, 0.7), (0, 5, 6, 0.7), (1, 3, 3, 0.7), (3, 2, 2, 0.7)]
    peaks += [(5, 0, 7, 0.7)]
    table = froc_table(made_up({SCRATCH: peaks}), resamples=100)
    assert (table["value"] == 1).all()
    assert table["low"].isna().all()


def test_without_a_detection_nothing_is_found():
    empty = {SCRATCH: [], "A": PEAKS["A"]}
    table = froc_table(made_up(empty), resamples=100)
    assert (table.loc[table["baseline"], "value"] == 0).all()
    assert (table.loc[~table["baseline"], "value"] > 0).all()


def test_without_lesions_there_is_no_sensitivity():
    with pytest.raises(ValueError, match="lesions: 0 of 4 people held out"):
        froc_table(made_up(lesions={}))
    with pytest.raises(ValueError, match="lesions: 1 of 4 people held out"):
        froc_table(made_up(lesions={5: LESIONS[5]}))


def test_everybody_may_have_a_lesion():
    everybody = {**LESIONS, 8: [((0, 2), (5, 8))]}
    table = froc_table(made_up(lesions=everybody), resamples=100)
    assert (table["lesions"] == 6).all()
    assert np.isfinite(table["value"]).all()


def test_lesions_that_touch_at_a_corner_are_one():
    truth = np.zeros((2, 5, 6), bool)
    truth[0, :2, :2] = truth[0, 2:4, 2:4] = truth[0, 4, 5] = True
    truth[1, 3, 3] = True
    found = labelled_lesions(truth)
    assert found[0].max() == 2 and found[1].max() == 1
    assert found[0, 0, 0] == found[0, 3, 3] != found[0, 4, 5]


def test_people_are_drawn_with_all_their_images(monkeypatch):
    """Every draw against the definition, on images that are repeated."""
    counts = np.array([[2, 0, 0, 1], [0, 1, 2, 1], [1, 1, 1, 1]])
    counts = np.concatenate([counts, np.ones((97, 4), int)])
    asked, seen = [], []

    def given(stratum, resamples, rng):
        asked.append(list(stratum))
        return counts

    original = module.resampled

    def kept(*arguments):
        seen.append(original(*arguments))
        return seen[-1]

    monkeypatch.setattr(module, "draw_counts", given)
    monkeypatch.setattr(module, "resampled", kept)
    froc_table(made_up(), resamples=100)
    assert asked == [[True, True, True, False]]
    for estimates, peaks in zip(seen, PEAKS.values(), strict=True):
        for draw in range(3):
            images = []
            for person, count in zip("abcd", counts[draw], strict=True):
                images += [*np.flatnonzero(person == PEOPLE)] * count
            expected = froc_by_loop(peaks, LESIONS, images)
            assert estimates.draws[draw].tolist() == pytest.approx(expected)
        for left_out in range(4):
            images = np.flatnonzero(PEOPLE != "abcd"[left_out])
            expected = froc_by_loop(peaks, LESIONS, images)
            found = estimates.jackknife[left_out].tolist()
            assert found == pytest.approx(expected)


def test_weighted_images_are_monais_on_repeated_ones():
    """In heat maps of many peaks."""
    rng = np.random.default_rng(2)
    maps = rng.random((12, 14, 15)) ** 3
    truth = np.zeros(maps.shape, bool)
    truth[:7, 3:8, 4:9] = truth[2:9, 10:13, 1:4] = True
    lesions = labelled_lesions(truth)
    hits = hits_of(detections(maps, side=5), lesions)
    assert len(hits.false) > 60
    counts = np.array([[0, 2, 1, 3, 1, 0, 1, 1, 1, 2, 0, 1]])
    (found,) = weighted_froc(hits, RATES, counts)
    drawn = np.repeat(np.arange(12), counts[0])
    again = hits_of(detections(maps[drawn], side=5), lesions[drawn])
    expected = module.froc(again, len(drawn), RATES)
    assert found.tolist() == pytest.approx(expected)


def test_a_heat_map_is_the_local_map_through_a_linear_layer():
    torch.manual_seed(0)
    encoder = Encoder(3, width=4, latent=5, size=32, dims=2)
    target = Target("box", np.zeros((4, 32, 32), np.uint8), ("none", "box"))
    network = TaskNetwork(HeatMap(encoder), target).eval()
    x = torch.randn(4, 3, 32, 32)
    layer = network.head.score
    local = encoder(x).local
    scores = torch.einsum("kc,bcxy->bkxy", layer.weight[..., 0, 0], local)
    scores = scores + layer.bias[:, None, None]
    expected = F.interpolate(scores, size=(32, 32), mode="bilinear")
    torch.testing.assert_close(network(x), expected)
    found = heat_maps(network, x.numpy(), np.array([2, 0]))
    p = torch.softmax(expected, 1)[:, 1].detach().numpy()
    np.testing.assert_allclose(found, p[[2, 0]], rtol=1e-5)
    # the loss reaches the encoder
    dice_loss(network(x), torch.ones(4, 32, 32, dtype=torch.int64)).backward()
    assert encoder.convs[0].weight.grad.abs().sum() > 0


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """Give 24 people of whom every second shows a bright box, at a place of
    their own.
    """
    rng = np.random.default_rng(3)
    images = rng.uniform(1, 1.2, (24, SIDE, SIDE, SIDE)).astype("f4")
    inside = np.zeros(images.shape, bool)
    for person in range(0, 24, 2):
        x, y = rng.integers(1, 10, 2)
        inside[person, x : x + 5, y : y + 5, 4:11] = True
    images[inside] *= 2
    folder = tmp_path_factory.mktemp("volumes") / "cohort"
    cohort = write_small_cohort(
        folder, groups=("AD", "HC"), T1=images, intensity="brain"
    )
    return cohort, inside


def test_lesions_of_people_held_out_are_found(volumes, tmp_path, monkeypatch):
    cohort, inside = volumes
    cut = cut_slices(cohort, tmp_path / "slices")
    asked = {**SMALL_RUN, "epochs": 1, "batch_size": 32, "width": 8}
    run = fit(cut, "AE", tmp_path / "AE", **asked)
    schedule = Schedule(60, batch_size=32, learning_rate=1e-2, validations=6)
    options = {"schedule": schedule, "seeds": (0, 1), "progress": False}
    found = localised_lesions(
        cohort, {"AE": run}, inside, "T1", tmp_path / "fits", **options
    )
    truth = inside[found.pairs, :, :, found.slices]
    assert np.array_equal(found.truth, truth)
    for maps in found.fits.outputs.values():
        assert maps.shape == truth.shape
        assert maps[truth].mean() > 2 * maps[~truth].mean()
    table = froc_table(found, resamples=100)
    mean = table[table["measure"] == "mean sensitivity"].set_index("model")
    assert (mean["value"] > 0.5).all()
    assert mean.loc["AE", "seeds"] == 2
    # an attention channel is compressed with the others
    channels = []
    original = module.CompressedInput

    def compressed(encoder, number):
        channels.append(number)
        return original(encoder, number)

    monkeypatch.setattr(module, "CompressedInput", compressed)
    short = {**options, "schedule": replace(schedule, steps=1), "seeds": (0,)}
    localised_lesions(
        cohort,
        {"AE": run},
        inside,
        "T1",
        tmp_path / "fits",
        attention=inside,
        **short,
    )
    assert channels == [4, 4]
