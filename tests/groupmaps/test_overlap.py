"""Scores of maps against a planted mask, by their definitions."""

import numpy as np
import pytest
from nibabel.affines import apply_affine
from planted_ball import SHAPE, planted
from sklearn.metrics import average_precision_score

from mmssl.groupmaps.clusters import clusters, peak, to_volume
from mmssl.groupmaps.overlap import edges, overlap


def test_scores_are_their_definitions(rng, affine):
    mask, truth, _ = planted(affine, 1)
    values = rng.normal(size=SHAPE)
    values[truth] *= 3
    found = overlap(values, truth, mask, affine)
    score, wanted = np.abs(values[mask]), truth[mask]
    assert found.auprc == pytest.approx(average_precision_score(wanted, score))
    chosen = np.argsort(-score)[: wanted.sum()]
    both = wanted[chosen].sum()
    assert found.dice == pytest.approx(2 * both / (wanted.sum() + len(chosen)))
    assert found.chance == pytest.approx(wanted.mean())
    point, voxel = peak(values, affine, mask)
    inside = apply_affine(affine, np.argwhere(truth & mask))
    assert found.distance == pytest.approx(
        np.linalg.norm(inside - point, axis=1).min()
    )
    assert mask[voxel]


def test_the_mask_itself_is_perfect_and_a_constant_is_chance(affine):
    mask, truth, _ = planted(affine, -1)
    perfect = overlap(-1.0 * truth, truth, mask, affine)
    assert (perfect.auprc, perfect.dice, perfect.distance) == (1.0, 1.0, 0.0)
    flat = overlap(np.ones(SHAPE), truth, mask, affine)
    assert flat.auprc == pytest.approx(flat.chance)
    assert flat.dice == pytest.approx(flat.chance)


def test_edges_are_steep_where_the_image_is(rng):
    images = np.zeros((3, *SHAPE))
    images[:, 9:] = [[[[1.0]]], [[[2.0]]], [[[3.0]]]]
    found = edges(images)
    assert set(np.unique(found.argmax(axis=0))) <= {8, 9}
    # the derivative of a Gaussian, summed over one side of a step of 2
    k = np.arange(-4, 5)
    weight = np.exp(-(k**2) / 2)
    expected = 2 * (k * weight)[k > 0].sum() / weight.sum()
    assert found.max() == pytest.approx(expected)


def test_bad_scores_are_named(affine):
    mask, truth, _ = planted(affine, 1)
    with pytest.raises(ValueError, match=r"shapes \(17, 18, 18\)"):
        overlap(np.ones(SHAPE), truth[..., 1:], mask, affine)
    with pytest.raises(ValueError, match="truth: 0 of"):
        overlap(np.ones(SHAPE), truth & ~truth, mask, affine)
    with pytest.raises(
        ValueError, match="1 values in the mask are not finite"
    ):
        values = np.ones(SHAPE)
        values[tuple(np.argwhere(mask)[5])] = np.inf
        overlap(values, truth, mask, affine)
    with pytest.raises(ValueError, match="region: shape"):
        clusters(np.ones(SHAPE), np.ones((3, 3, 3)), affine)
    with pytest.raises(ValueError, match=r"values: shape \(4,\)"):
        to_volume(np.ones(4), mask)
    with pytest.raises(ValueError, match=r"expected \(n, X, Y, Z\)"):
        edges(np.ones(SHAPE))
