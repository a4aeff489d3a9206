"""Draws of rows: shuffled, class-balanced, paired anew."""

import numpy as np

from mmssl.pretrain.draws import Draw


def test_an_epoch_draws_each_row_at_most_once_in_a_new_order():
    draw = Draw(np.arange(10, 31), 4, seed=0)
    assert len(draw) == 5
    first, again, second = draw.epoch(0), draw.epoch(0), draw.epoch(1)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    assert len(set(first)) == 20
    assert set(first) <= set(range(10, 31))
    assert np.array_equal(draw.rows, np.arange(10, 31))


def test_class_balanced_draws_take_as_many_of_each_class():
    classes = np.array([0] * 15 + [1] * 4 + [-1] * 2)
    balanced = Draw(np.arange(21), 30, seed=0, classes=classes)
    counts = np.bincount(balanced.epoch(0), minlength=21)
    assert counts[:15].sum() == counts[15:19].sum() == 15
    assert counts[19:].sum() == 0
    assert (counts[:19] > 0).all()
    assert np.array_equal(balanced.rows, np.arange(19))


def test_pairs_are_drawn_anew_by_label_inside_the_fold():
    rows = np.r_[3:40, 50:55]
    labels = np.r_[np.arange(37) % 3, -1, 0, 1, 2, 2]
    label = dict(zip(rows, labels, strict=True))
    draw = Draw(rows, 6, seed=0, pairing=labels)
    partners = []
    for epoch in (0, 1, 0):
        orders = [draw.epoch(epoch, m) for m in range(3)]
        # pairing changes nothing of the first modality
        assert np.array_equal(orders[0], Draw(rows, 6, seed=0).epoch(epoch))
        for order in orders:
            assert len(set(order)) == len(order)
            assert set(order) <= set(rows)
            for a, b in zip(orders[0], order, strict=True):
                assert label[a] == label[b]
        assert not np.array_equal(orders[1], orders[2])
        # row 50 has no label and keeps its own partner
        assert set(orders[1][orders[0] == 50]) <= {50}
        partners.append(orders[1])
    assert np.array_equal(partners[0], partners[2])
    assert not np.array_equal(partners[0], partners[1])
    # without a pairing all modalities share the row
    plain = Draw(rows, 6, seed=0)
    assert np.array_equal(plain.epoch(0, 1), plain.epoch(0))


def test_every_pair_of_a_class_is_drawn_equally_often():
    rows, labels = np.arange(8), np.repeat([0, 1], 4)
    counts = np.zeros((8, 8))
    for epoch in range(2000):
        draw = Draw(rows, 8, seed=0, pairing=labels)
        counts[draw.epoch(epoch, 0), draw.epoch(epoch, 1)] += 1
    assert (counts[:4, 4:] == 0).all() and (counts[4:, :4] == 0).all()
    expected, spread = 500, np.sqrt(2000 * 0.25 * 0.75)
    assert abs(counts[:4, :4] - expected).max() < 4 * spread


def test_modalities_drawn_apart_have_orders_of_their_own_and_as_many_rows():
    many, few = np.arange(20), np.array([3, 5, 7, 30])
    draw = Draw(np.arange(31), 6, seed=0, apart=[many, few])
    assert len(draw) == 3
    first, second = draw.epoch(0, 0), draw.epoch(0, 1)
    assert len(first) == len(second) == 18
    assert len(set(first)) == 18 and set(first) <= set(many)
    # each of the few as often as another, or once more
    counts = np.array([(second == row).sum() for row in few])
    assert counts.sum() == 18 and counts.max() - counts.min() <= 1
    again = Draw(np.arange(31), 6, seed=0, apart=[many, many])
    assert np.array_equal(again.epoch(0, 0), first)
    assert not np.array_equal(again.epoch(0, 1), first)
    assert not np.array_equal(again.epoch(1, 0), first)
    assert np.array_equal(again.epoch(0, 0), first)
