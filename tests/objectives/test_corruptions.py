"""Turns, crops and corruptions of a batch, against loops over rows."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from mmssl.models.keyed_random import Stream
from mmssl.objectives.corruptions import (
    FEWEST,
    ORDERS,
    Boxes,
    Turn,
    _box_steps,
    _reordered,
    _shuffled_places,
    blurred,
    crop_pairs,
    draw_turns,
    painted,
    resized,
    shuffled,
    turned,
    turned_back,
)


def stream_of(rows=6, seed=0, step=3):
    return Stream(torch.arange(rows), seed, step)


def images_of(rows=6, sides=(12, 12, 7), channels=2):
    draw = torch.Generator().manual_seed(1)
    return torch.randn(rows, channels, *sides, generator=draw)


@pytest.mark.parametrize("sides", [(9, 9), (6, 6, 5)])
def test_turns_are_flips_then_a_rotation_and_can_be_undone(sides):
    images = images_of(40, sides)
    turn = draw_turns(stream_of(40), len(sides))
    assert set(turn.quarters.tolist()) == {0, 1, 2, 3}
    found = turned(images, turn)
    for row in range(40):
        expected = images[row].numpy()
        for axis in range(len(sides)):
            if turn.flips[row, axis]:
                expected = np.flip(expected, 1 + axis)
        expected = np.rot90(expected, int(turn.quarters[row]), (1, 2))
        np.testing.assert_array_equal(found[row].numpy(), expected)
    assert torch.equal(turned_back(found, turn), images)


def test_the_indicator_has_exactly_one_rotation():
    turn = draw_turns(stream_of(200), 3)
    vector = turn.indicator()
    assert vector.shape == (200, 7)
    assert (vector[:, 3:].sum(1) == 1).all()
    assert torch.equal(vector[:, :3].bool(), turn.flips)
    assert (vector[:, 3:].argmax(1) == turn.quarters).all()
    # half of each flip, a quarter of each rotation
    assert (vector[:, :3].mean(0) - 0.5).abs().max() < 0.12
    assert (vector[:, 3:].mean(0) - 0.25).abs().max() < 0.1
    still = draw_turns(stream_of(200), 3, rotate=False)
    assert not still.quarters.any() and torch.equal(still.flips, turn.flips)


def test_a_rotation_of_unequal_sides_is_refused():
    images = images_of(2, (4, 6, 5))
    flips = torch.tensor([[True, False, True]] * 2)
    none = Turn(flips, torch.tensor([0, 0]))
    assert turned(images, none).shape == images.shape
    with pytest.raises(ValueError, match=r"sides \(4, 6, 5\), expected"):
        turned(images, Turn(flips, torch.tensor([0, 1])))


def test_flips_of_unequal_sides_are_undone():
    images = images_of(2, (4, 6, 5))
    flips = torch.tensor([[True, False, True], [False, True, True]])
    turn = Turn(flips, torch.tensor([0, 0]))
    assert torch.equal(turned_back(turned(images, turn), turn), images)


def overlap(first, second, row):
    """Intersection over union, voxel by voxel."""
    boxes = []
    for box in (first, second):
        voxels = set()
        ranges = [
            range(int(a), int(a + n))
            for a, n in zip(box.start[row], box.length[row], strict=True)
        ]
        for x in ranges[0]:
            for y in ranges[1]:
                for z in ranges[2]:
                    voxels.add((x, y, z))
        boxes.append(voxels)
    return len(boxes[0] & boxes[1]) / len(boxes[0] | boxes[1])


def test_pairs_of_crops_overlap_and_lie_inside():
    sides, shares = (16, 16, 8), (0.5, 0.75, 1.0)
    first, second = crop_pairs(stream_of(60), sides, shares)
    whole = torch.tensor(sides)
    for box in (first, second):
        assert (box.start >= 0).all()
        assert (box.start + box.length <= whole).all()
        assert torch.equal(box.start, box.start.round())
    sizes = set(map(tuple, first.length.int().tolist()))
    assert sizes == {(8, 8, 4), (12, 12, 6), (16, 16, 8)}
    found = [overlap(first, second, row) for row in range(60)]
    assert min(found) > 0.25
    assert np.mean(found) < 0.9


def test_a_crop_lies_equally_often_at_every_whole_place():
    rows, sides, share = 2000, (8, 8, 12), 0.75
    # no overlap is asked for, which would favour some places
    boxes = crop_pairs(stream_of(rows), sides, (share,), least_overlap=-1)
    for box in boxes:
        for axis, side in enumerate(sides):
            places = round((1 - share) * side) + 1
            count = box.start[:, axis].long().bincount(minlength=places)
            assert len(count) == places
            assert (count / rows - 1 / places).abs().max() < 0.05


def test_crops_that_cannot_be_are_named():
    with pytest.raises(ValueError, match="cannot be larger than the volume"):
        crop_pairs(stream_of(), (8, 8, 8), (0.5, 1.5))
    with pytest.raises(ValueError, match="expected some in"):
        crop_pairs(stream_of(), (8, 8, 8), ())
    with pytest.raises(ValueError, match="none of 64 pairs of row 0 overlaps"):
        crop_pairs(stream_of(), (8, 8, 8), (0.25, 1.0), least_overlap=1.0)


def test_a_crop_at_its_own_size_is_a_copy_and_a_half_is_interpolated():
    images = images_of(3, (12, 10, 8))
    start = torch.tensor([[2.0, 1, 0], [0, 0, 3], [6, 4, 4]])
    length = torch.tensor([[6.0, 6, 4]] * 3)
    found = resized(images, Boxes(start, length), (6, 6, 4))
    for row, (x, y, z) in enumerate(start.int().tolist()):
        expected = images[row, :, x : x + 6, y : y + 6, z : z + 4]
        torch.testing.assert_close(found[row], expected, atol=1e-5, rtol=1e-5)
    half = resized(images, Boxes(start, length), (3, 3, 2))
    coordinates = [
        np.arange(n) * 2 + 0.5 + start[1, axis].item()
        for axis, n in enumerate((3, 3, 2))
    ]
    grid = np.meshgrid(*coordinates, indexing="ij")
    expected = ndimage.map_coordinates(images[1, 0].numpy(), grid, order=1)
    np.testing.assert_allclose(half[1, 0], expected, atol=1e-5)


def test_painting_hides_boxes_or_all_but_boxes():
    rows = 400
    images = images_of(rows, (14, 14, 14), 1)
    found = painted(images, stream_of(rows))
    changed = (found != images)[:, 0]
    share = changed.flatten(1).float().mean(1)
    untouched = share == 0
    assert untouched.float().mean() == pytest.approx(0.1, abs=0.05)
    # one to five boxes of a sixth to a third, or what such of 3/7 to 4/7 leave
    little = share[~untouched] < 5 / 27
    assert little.float().mean() == pytest.approx(0.2, abs=0.06)
    assert share[~untouched][~little].min() > 0.3
    assert share[~untouched][~little].max() < 0.95
    low, high = images.flatten(1).amin(1), images.flatten(1).amax(1)
    assert (found.flatten(1).amin(1) >= low - 1e-6).all()
    assert (found.flatten(1).amax(1) <= high + 1e-6).all()
    # a box is filled: the hidden part of an in-painted row is its bounds,
    # where no other box follows the first, one time in twenty
    alone = []
    for row in (~untouched).nonzero().flatten()[little].tolist():
        places = changed[row].nonzero()
        box = places.amax(0) - places.amin(0) + 1
        alone.append(len(places) == math.prod(box.tolist()))
    assert any(alone)
    assert np.mean(alone) == pytest.approx(0.05, abs=0.06)


def test_blur_is_scipys_with_each_rows_width():
    images = images_of(8, (16, 15, 14), 2)
    stream = stream_of(8)
    found = blurred(images, stream, (0.5, 1.5), probability=0.5)
    happens = stream.uniform("blur") < 0.5
    assert 0 < happens.sum() < 8
    for row in range(8):
        if not happens[row]:
            torch.testing.assert_close(found[row], images[row])
            continue
        width = 0.5 + float(stream.uniform("width")[row])
        reach = math.ceil(4.5)
        for channel in range(2):
            expected = ndimage.gaussian_filter(
                images[row, channel].double().numpy(),
                width,
                mode="constant",
                radius=reach,
            )
            np.testing.assert_allclose(
                found[row, channel], expected, atol=1e-4
            )


@pytest.mark.parametrize("sides", [(16, 14), (12, 13, 9)])
def test_shuffling_moves_values_within_reach(sides):
    images = images_of(12, sides)
    stream = stream_of(12)
    largest = (6, 6, 3)[: len(sides)]
    found = shuffled(images, stream, largest, boxes=300)
    happens = stream.uniform("shuffle") < 0.5
    assert 0 < happens.sum() < 12
    for row in range(12):
        if not happens[row]:
            assert torch.equal(found[row], images[row])
            continue
        # channels travel together, and every value comes from nearby
        here = images[row].flatten(1).T.tolist()
        place = {tuple(values): k for k, values in enumerate(here)}
        moved = 0
        for target, values in enumerate(found[row].flatten(1).T.tolist()):
            origin = np.unravel_index(place[tuple(values)], sides)
            apart = np.abs(np.array(origin) - np.unravel_index(target, sides))
            assert (apart < largest).all()
            moved += bool(apart.any())
        assert moved > 0.2 * math.prod(sides)


@pytest.mark.parametrize("number", [60, 240])
@pytest.mark.parametrize(
    ("sides", "largest"), [((9, 7), (4, 3)), ((8, 6, 7), (3, 9, 2))]
)
def test_the_later_box_counts(sides, largest, number):
    """Against a loop over the boxes of each row."""
    stream, axes = stream_of(4), len(sides)
    most = np.minimum(largest, sides)
    places = _box_steps(tuple(most.tolist()), sides)
    few = min(max(math.ceil(number / len(places)), FEWEST), ORDERS)
    orders = _reordered(stream, places, few)
    lengths = (stream.uniform("lengths", number, axes).numpy() * most).astype(
        int
    )
    start = stream.uniform("starts", number, axes).numpy()
    start = (start * (np.array(sides) - lengths)).astype(int)
    order = stream.integers("orders", few, number)
    found = _shuffled_places(stream, sides, largest, number)
    for row in range(4):
        expected = np.arange(math.prod(sides))
        for box in range(number):
            shape = np.ravel_multi_index(lengths[row, box], most)
            corner = np.ravel_multi_index(start[row, box], sides)
            permuted = orders[shape][order[row, box]].numpy()
            expected[corner + places[shape].numpy()] = corner + permuted
        np.testing.assert_array_equal(found[row], expected)


def test_boxes_are_of_every_size_and_in_every_order_equally_often():
    orders = []
    for step in range(60):
        box = torch.tensor([0, 1, 5])
        made = _reordered(stream_of(step=step), [box[:2], box], ORDERS)
        orders.append(made[1])
    orders = torch.cat(orders)
    assert torch.equal(
        orders.sort(1).values, torch.tensor([0, 1, 5]).expand_as(orders)
    )
    _, counts = orders.unique(dim=0, return_counts=True)
    assert len(counts) == 6
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    # a box that moves nothing is of one place, or in its own order
    images = torch.arange(400 * 49.0).view(400, 1, 7, 7)
    found = shuffled(images, stream_of(400), (2, 2), 1, probability=1.0)
    moved = (found != images).flatten(1).sum(1).bincount() / 400
    share = (1 + 2 * 1 / 2 + 1 / 24) / 4
    assert moved[0].item() == pytest.approx(share, abs=0.08)
    assert moved[2].item() == pytest.approx(2 / 8 + 6 / 96, abs=0.08)


def test_one_box_is_a_permutation():
    images = torch.arange(16 * 16.0).view(1, 1, 16, 16)
    always = {"probability": 1.0, "largest": (5, 5)}
    for seed in range(6):
        stream = Stream(torch.tensor([seed]), 0, 0)
        found = shuffled(images, stream, boxes=1, **always)
        assert sorted(found.flatten().tolist()) == images.flatten().tolist()
        changed = (found != images)[0, 0].nonzero()
        if len(changed):
            assert (changed.amax(0) - changed.amin(0) < 5).all()


@pytest.mark.parametrize(
    "corruption", [painted, blurred, partial(shuffled, largest=(4, 4, 3))]
)
def test_a_row_is_the_same_in_any_batch(corruption):
    images = images_of(6)
    stream = stream_of(6)
    whole = corruption(images, stream)
    part = corruption(images[2:5], stream[2:5])
    torch.testing.assert_close(part, whole[2:5], atol=1e-6, rtol=1e-6)
    again = corruption(images, stream)
    assert torch.equal(again, whole)
    other = corruption(images, stream_of(6, step=4))
    assert not torch.equal(other, whole)


def test_corruptions_are_as_large_a_part_of_a_brain_at_any_resolution():
    """Half the sides, half the boxes and half the blur."""
    reach = {}
    for side in (32, 64):
        images = torch.zeros(1, 1, side, side)
        images[..., side // 2, side // 2] = 1
        stream = Stream(torch.tensor([3]), 0, 0)
        made = blurred(images, stream, probability=1.0)
        reach[side] = (made > 1e-3 * made.max()).any(2).sum().item()
        places = torch.arange(side * side * 1.0).view(1, 1, side, side)
        moved = shuffled(places, stream, probability=1.0).long()[0, 0]
        rows = torch.arange(side)[:, None]
        assert (moved // side - rows).abs().max() == 3 * side // 32 - 1
        assert (moved % side - rows.T).abs().max() == 3 * side // 32 - 1
    assert reach[64] == pytest.approx(2 * reach[32], abs=2)
