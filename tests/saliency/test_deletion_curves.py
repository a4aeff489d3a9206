"""Deletion curves against a slow loop, and on maps that mean nothing."""

import numpy as np
import pandas as pd
import pytest
import torch
from checked_case import (
    KEY,
    LATENT,
    SHAPE,
    Toy,
    pick_and_maps,
    two_groups_of_people,
)
from scipy import ndimage
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from mmssl import plotting
from mmssl.groupmaps.clusters import to_volume
from mmssl.ledger.artefacts import KEYS
from mmssl.saliency import deletion_curves, dimensions, sanity_checks


def _of_key(table):
    """The lines of the map of the dimension that responds to the region."""
    return table[(table[list(KEYS)] == list(KEY)).all(axis=1)]


def _measure(case, values, picks, labels=None, rows=None, **options):
    """`measure_deletion` of the trained encoder, of some people or all."""
    rows = np.arange(48) if rows is None else rows
    labels = case.labels[rows] if labels is None else labels
    options = {"subjects": rows, "progress": False} | options
    return deletion_curves.measure_deletion(
        case.trained,
        case.fits["trained"],
        {"T1": case.seen["T1"][rows]},
        labels,
        values=values,
        picks=picks,
        mask=case.mask,
        mean_images={"T1": case.learned["T1"].mean(0)},
        **options,
    )


def test_the_right_encoder_with_its_voxels_in_wrong_places_fails(case):
    """The check is of the map, not of the encoder."""
    pick, values = pick_and_maps(case)
    order = np.random.default_rng(0).permutation(values.shape[-1])
    _, wrong = _measure(case, values[..., order], pick)
    right = case.measured.areas.set_index(list(KEYS)).loc[KEY]
    assert wrong["low"][0] < 0 < right["low"]
    assert right["area"] > wrong["area"][0] + 0.1


def test_deletion_equals_a_slow_loop(case):
    steps, orders = 3, 2
    pick, values = pick_and_maps(case)
    # no ties, which the loop would break in another way
    values = values + np.random.default_rng(1).normal(0, 1e-4, values.shape)
    subjects, mean = np.arange(48)[::-1], case.learned["T1"].mean(0)
    curves, areas = _measure(
        case,
        values,
        pick,
        subjects=subjects,
        steps=steps,
        orders=orders,
        seed=3,
    )
    voxels = np.argwhere(case.mask)
    pipeline = case.fits["trained"]["T1"].pipeline

    def auc(rows, order, count):
        images = case.seen["T1"][rows].copy()
        for image in images:
            for voxel in order[:count]:
                x, y, z = voxels[voxel]
                image[0, x, y, z] = mean[0, x, y, z]
        with torch.no_grad():
            z = case.trained["T1"](torch.as_tensor(images)).z.numpy()
        scores = pipeline.decision_function(z)
        return roc_auc_score(case.labels[rows], scores)

    def group_map(rows):
        patients = values[rows][case.labels[rows] == 1, 0]
        controls = values[rows][case.labels[rows] == 0, 0]
        effects = []
        for v in range(values.shape[-1]):
            differences = patients[:, None, v] - controls[None, :, v]
            effects.append(np.mean(np.sign(differences)))
        return np.array(effects)

    def order_of(effects):
        return sorted(range(len(effects)), key=lambda v: -abs(effects[v]))

    first, second = deletion_curves.halves(case.labels, subjects)
    maps = [group_map(first), group_map(second)]
    by_first, by_second = order_of(maps[0]), order_of(maps[1])
    sigmas = [deletion_curves.smoothness(m, case.mask) for m in maps]
    random_orders = []
    for i in range(orders):
        random_orders.append(
            deletion_curves.smooth_random_order(
                case.mask, np.mean(sigmas), 3 + i
            )
        )
    gaps = []
    for step, share in enumerate((0, 1 / 32, 1 / 16, 1 / 8)):
        count, line = round(share * len(voxels)), curves.iloc[step]
        of_first = auc(first, by_second, count)
        of_second = auc(second, by_first, count)
        by_map = (of_first + of_second) / 2
        in_random_order = []
        for half in (first, second):
            for order in random_orders:
                in_random_order.append(auc(half, order, count))
        at_random = np.mean(in_random_order)
        assert line["fraction"] == share
        assert line["map"] == pytest.approx(by_map, abs=1e-9)
        assert line["random"] == pytest.approx(at_random, abs=1e-9)
        gaps.append(at_random - by_map)
    assert gaps[0] == pytest.approx(0, abs=1e-12)
    assert areas["area"][0] == pytest.approx(np.mean(gaps[1:]))
    intact = auc(np.arange(48), [], 0)
    assert areas["intact"][0] == pytest.approx(intact, abs=1e-9)
    assert areas["low"][0] < areas["area"][0] < areas["high"][0]


def test_no_persons_voxels_are_deleted_by_their_own_map():
    labels = np.array([1] * 9 + [0] * 12)
    first, second = deletion_curves.halves(labels, np.arange(21))
    assert sorted([*first, *second]) == list(range(21))
    assert np.bincount(labels[first]).tolist() == [6, 5]
    assert np.bincount(labels[second]).tolist() == [6, 4]
    twice = np.repeat(np.arange(20), 2)
    first, second = deletion_curves.halves(np.repeat([0, 1], 20), twice)
    assert not set(twice[first]) & set(twice[second])
    with pytest.raises(ValueError, match="a group of fewer than 8 people"):
        deletion_curves.halves(np.array([1] * 7 + [0] * 12), np.arange(19))


def test_too_few_people_decide_nothing(case):
    pick, values = pick_and_maps(case)
    patients = np.flatnonzero(case.labels)[:7]
    controls = np.flatnonzero(case.labels == 0)[:9]
    rows = np.r_[patients, controls]
    curves, areas = _measure(case, values[rows], pick, rows=rows)
    assert areas[["area", "low", "high"]].isna().all(axis=None)
    assert areas["intact"][0] > 0.5
    assert curves["fraction"].tolist() == [0.0]
    reports = sanity_checks.sanity_reports(
        case.maps,
        _of_key(case.measured.randomisation),
        _of_key(case.measured.null_maps),
        areas,
    )
    assert reports[KEY].results["deletion"].answer == "undecided"
    figure = plotting.deletion_curves(curves, areas)
    legend = figure.axes[0].get_legend().get_texts()
    assert "too few people" in legend[0].get_text()


def test_the_interval_holds_people_and_orders(rng):
    """Losses made of a person's part and an order's part, each of known
    variance.
    """
    inside = 0
    for _ in range(400):
        # the last order is the map's
        people, orders = rng.normal(0, 0.02), rng.normal(0, 0.03, 8)
        resampled = rng.normal(people, 0.02, 300)
        estimates, resamples = (
            np.full((7, 1), people),
            np.tile(resampled, (7, 1)),
        )
        losses = np.concatenate([estimates, resamples], axis=1)
        random = (losses + orders[:7, None])[:, None]
        by_map = np.full((1, 301), orders[7])
        area, low, high = deletion_curves._area(random, by_map)
        assert area == pytest.approx(people + orders[:7].mean() - orders[7])
        inside += low < 0 < high
    assert binomtest(inside, 400, 0.95).pvalue > 0.001


def test_a_map_of_accidents_does_not_pass_where_nothing_differs(rng):
    """Maps of the very people who are tested would: their labels made the
    order.
    """
    mask = np.ones(SHAPE, dtype=bool)
    pick = pd.DataFrame([[*KEY, 0]], columns=[*KEYS, "dimension"])
    areas = []
    for world in range(12):
        seen, labels = two_groups_of_people(rng, 48, np.zeros(SHAPE), 0.0)
        # what the images are by accident
        values = seen["T1"].reshape(48, 1, -1)
        z = {"a": {"T1": rng.normal(size=(30, LATENT)).astype("f4")}}
        probes = dimensions.fit_probes(
            z, np.arange(30) % 2, np.arange(30), trials=1, folds=2
        )
        _, area = deletion_curves.measure_deletion(
            {"T1": Toy(world)},
            probes["a"],
            seen,
            labels,
            np.arange(48),
            values,
            pick,
            mask,
            {"T1": np.zeros((1, *SHAPE), "f4")},
            steps=4,
            orders=2,
            resamples=100,
            progress=False,
        )
        areas.append(area["area"][0])
    assert abs(np.mean(areas)) < 3 * np.std(areas) / len(areas) ** 0.5


def test_deleting_everything_leaves_the_mean_image_and_nothing_else(case):
    mask, images = case.mask, case.seen["T1"]
    mean = case.learned["T1"].mean(0)
    order = np.arange(mask.sum())
    deleted = deletion_curves.delete_voxels(
        images, mask, order, len(order), mean
    )
    assert (deleted[:, :, mask] == mean[:, mask]).all()
    assert np.array_equal(deleted[:, :, ~mask], images[:, :, ~mask])
    intact = deletion_curves.delete_voxels(images, mask, order, 0, mean)
    assert np.array_equal(intact, images)


def test_a_persons_score_does_not_depend_on_the_others(case):
    images, encoder = case.seen["T1"], case.trained["T1"]
    fit, mean = case.fits["trained"]["T1"], case.learned["T1"].mean(0)
    order = np.random.default_rng(0).permutation(case.mask.sum())
    together = deletion_curves.delete_voxels(
        images, case.mask, order, 60, mean
    )
    scores = deletion_curves.probe_scores(encoder, fit, together)
    for i in (0, 7, 47):
        alone = deletion_curves.delete_voxels(
            images[i : i + 1], case.mask, order, 60, mean
        )
        assert np.array_equal(alone[0], together[i])
        (score,) = deletion_curves.probe_scores(encoder, fit, alone)
        assert score == pytest.approx(scores[i], abs=1e-5)


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.5])
def test_smoothness_is_that_of_the_gaussian_that_was_used(rng, sigma):
    shape = (29, 31, 33)
    inner = np.pad(np.ones(shape)[2:-2, 2:-2, 2:-2], 2)
    mask = ndimage.distance_transform_edt(inner) > 1
    sigmas = []
    for _ in range(6):
        noise = ndimage.gaussian_filter(rng.normal(size=shape), sigma)
        sigmas.append(deletion_curves.smoothness(noise[mask], mask))
    assert np.mean(sigmas) == pytest.approx(sigma, rel=0.08)
    assert deletion_curves.smoothness(rng.normal(size=mask.sum()), mask) < 0.4


def test_a_smooth_random_order_comes_in_pieces(case):
    order = deletion_curves.smooth_random_order(case.mask, 1.5, 1)
    assert np.array_equal(np.sort(order), np.arange(case.mask.sum()))
    other = deletion_curves.smooth_random_order(case.mask, 1.5, 2)
    assert not np.array_equal(order, other)

    def pieces(order):
        first = np.isin(np.arange(len(order)), order[: len(order) // 10])
        return ndimage.label(to_volume(first, case.mask))[1]

    scattered = np.random.default_rng(0).permutation(len(order))
    assert 3 * pieces(order) < pieces(scattered)


def test_bad_input_is_named(case):
    picks = case.picks[case.picks["source"] == "trained"]
    values = np.ones((48, 2, 4))
    with pytest.raises(ValueError, match=r"expected finite \(48, 2, voxels\)"):
        _measure(case, values[:, :1], picks)
    with pytest.raises(ValueError, match="expected two"):
        _measure(case, values, picks, labels=np.zeros(48, dtype=int))
    values[3, 1, 2] = np.nan
    with pytest.raises(ValueError, match="1 not finite"):
        _measure(case, values, picks)
