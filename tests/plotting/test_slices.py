"""Slices say which side is which, and are right."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from nibabel.affines import apply_affine

from mmssl.ledger.artefacts import POSITIVE_CONTROL, SanityReport, map_hash
from mmssl.plotting import (
    cohort,
    group_differences,
    preprocessing,
    pretraining,
    robustness,
    saliency,
    slices,
)
from mmssl.plotting.slices import name_sides, on_template, template

SHAPE = (9, 10, 11)


@pytest.fixture
def head():
    """Give a volume that is brightest at the person's left, where x is
    small.
    """
    volume = np.zeros(SHAPE, np.float32)
    volume[1:8, 1:9, 1:10] = 1.0
    volume[2, 1:9, 1:10] = 5.0
    return volume


def sides(axis):
    """Where L and R stand in a panel, as a share of its width."""
    found = {}
    for text in axis.texts:
        if text.get_text() in ("L", "R"):
            assert text.get_transform() == axis.transAxes
            found[text.get_text()] = text.get_position()[0]
    return found


def brightest_column(axis):
    """Share of the panel's width at which its image is brightest."""
    (drawn,) = axis.images
    columns = np.ma.filled(drawn.get_array(), 0).max(axis=0)
    first, last = axis.get_xlim()
    assert first < last
    return columns.argmax() / (len(columns) - 1)


def check(axis):
    """The bright left is on the side of the L."""
    found = sides(axis)
    assert found["L"] < 0.5 < found["R"]
    assert brightest_column(axis) < 0.5


def test_a_registration_overlay_names_the_sides(head):
    figure = preprocessing.overlay({"T1": head}, {"brain": head > 0}, 1)
    sagittal, coronal, axial = figure.axes
    assert sides(sagittal) == {}
    check(coronal)
    check(axial)


def test_slices_of_people_and_of_distortions_name_the_sides(head):
    figure = cohort.scans({"one": {"T1": head}, "two": {"T1": head}}, 5)
    for axis in figure.axes:
        check(axis)
    gallery = robustness.distortion_gallery({"blur": {"1": head}}, head)
    (drawn,) = [axis for axis in gallery.axes if axis.images]
    check(drawn)
    planted = cohort.planted_regions(head, {"region": head > 2})
    axial, sagittal = planted.axes
    check(axial)
    assert sides(sagittal) == {}


def test_an_outlined_slice_has_the_front_up(head):
    front = head[:, :, 5].copy()
    front[4, 8] = 9.0  # anterior, where y is large
    axis = Figure().subplots()
    slices.outlined_slice(axis, front, [(front > 8, "red")])
    (drawn,) = axis.images
    assert drawn.origin == "lower"
    assert np.asarray(drawn.get_array()).max(axis=1).argmax() == 8
    bottom, top = axis.get_ylim()
    assert bottom < top
    (outline,) = axis.collections
    points = outline.get_paths()[0].vertices
    np.testing.assert_allclose(points.mean(0), (4, 8), atol=0.3)
    assert sides(axis)["L"] < 0.5 < sides(axis)["R"]


def test_views_of_a_brain_stand_upright_with_their_sides(head):
    front = head.copy()
    front[4, 8, 5] = 9.0  # anterior, where y is large
    figure = pretraining.pair_views({"one": {"T1": front}})
    (axis,) = figure.axes
    assert sides(axis)["L"] < 0.5 < sides(axis)["R"]
    rows = np.asarray(axis.images[0].get_array()).max(axis=1)
    bottom, top = axis.get_ylim()
    assert bottom < top
    assert rows.argmax() == 8
    check(pretraining.pair_views({"one": {"T1": head}}).axes[0])
    mirrored = pretraining.pair_views({"one": {"T1": head}}, flipped=True)
    assert sides(mirrored.axes[0]) == {}


def test_views_of_a_picture_stand_as_it_was_taken():
    picture = np.zeros((6, 8), np.float32)
    picture[0, 5] = 1.0  # in the first row, which is on top
    figure = pretraining.pair_views({"one": {"view1": picture}})
    (axis,) = figure.axes
    assert np.array_equal(axis.images[0].get_array(), picture)
    bottom, top = axis.get_ylim()
    assert bottom > top
    assert sides(axis) == {}


def red_beside_its_l(figure):
    """How often what is red lies nearer to an L than to its R, and whether it
    lies nearer to one at all.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
    height = pixels.shape[0]
    red = pixels[..., 0] - np.maximum(pixels[..., 1], pixels[..., 2]) > 80
    answers = []
    for axis in figure.axes:
        named = {t.get_text(): t for t in axis.texts}
        if not {"L", "R"} <= named.keys():
            continue
        box = axis.get_window_extent()
        rows = slice(int(height - box.y1), int(height - box.y0))
        columns = np.flatnonzero(red[rows, int(box.x0) : int(box.x1)].any(0))
        if len(columns) == 0:
            continue
        at = box.x0 + columns.mean()
        left, right = (
            named[side].get_window_extent().get_points()[:, 0].mean()
            for side in ("L", "R")
        )
        answers.append(abs(at - left) < abs(at - right))
    return answers


@pytest.mark.parametrize("turn", [1.0, -1.0])
def test_a_lesion_on_the_left_is_drawn_beside_the_l(turn):
    """Whichever way x is stored, nilearn goes by the affine."""
    shape = (24, 26, 25)
    affine = np.diag([turn * 6.0, 6.0, 6.0, 1.0])
    affine[:3, 3] = [-turn * 69, -75, -72]
    place = 5 if turn > 0 else 18  # x of -39 mm
    lesion = np.zeros(shape, np.float32)
    lesion[place - 1 : place + 2, 11:15, 11:14] = 0.9
    lesion[place, 12, 12] = 1.0
    report = SanityReport(map_hash(lesion), {}, POSITIVE_CONTROL)
    p = np.full(shape, 0.01)
    maps = {"T1": {"k": (lesion, p, report)}}
    figure = group_differences.group_maps(maps, affine)
    found = red_beside_its_l(figure)
    assert len(found) == 2
    assert all(found)
    flipped = lesion[::-1]
    report = SanityReport(map_hash(flipped), {}, POSITIVE_CONTROL)
    mirrored = {"T1": {"k": (flipped, p, report)}}
    figure = group_differences.group_maps(mirrored, affine)
    assert not any(red_beside_its_l(figure))
    figure = saliency.saliency_maps({"T1": {"k": lesion}}, affine)
    texts = {text.get_text() for text in figure.findobj(Text)}
    assert {"L", "R"} <= texts


@pytest.mark.parametrize("turn", [1.0, -1.0])
def test_a_map_lies_on_the_template_by_its_affine(turn):
    """What rises linearly through the world does so on any grid."""
    shape = (32, 39, 30)
    affine = np.diag([turn * 6.0, 6.0, 7.0, 1.0])
    affine[:3, 3] = [-turn * 93, -140, -95]
    slopes = np.array([0.03, -0.02, 0.05])
    place = apply_affine(affine, np.stack(np.indices(shape), -1))
    drawn = on_template(place @ slopes, affine)
    below = template()
    assert drawn.shape == below.shape
    np.testing.assert_array_equal(drawn.affine, below.affine)
    assert np.abs(np.diag(drawn.affine)[:3]).tolist() == [2.0, 2.0, 2.0]
    place = apply_affine(below.affine, np.stack(np.indices(below.shape), -1))
    found = drawn.get_fdata()
    np.testing.assert_allclose(found, place @ slopes, atol=1e-5)


def test_a_peak_beside_the_template_is_cut_at_its_edge():
    volume = np.zeros(SHAPE, np.float32)
    volume[4, 4, 8] = 1.0
    affine = np.diag([12.0, 12.0, 12.0, 1.0])
    assert slices.cut_coordinates(volume, affine)[:2] == (48.0, 48.0)
    top = apply_affine(template().affine, np.subtract(template().shape, 1))[2]
    assert slices.cut_coordinates(volume, affine)[2] == top < 96
    figure = saliency.saliency_maps({"T1": {"z 1": volume}}, affine)
    assert figure.axes


def test_what_maps_are_drawn_over_is_the_whole_brain_of_the_template():
    from nilearn import datasets

    whole = datasets.load_mni152_template(resolution=2)
    kept = template()
    assert np.prod(kept.shape) < np.prod(whole.shape)
    # the resampled template has ripples around the head
    brains = [image.get_fdata() > 0.05 for image in (kept, whole)]
    assert brains[0].sum() == brains[1].sum()
    first = [np.argwhere(brain).min(0) for brain in brains]
    np.testing.assert_array_equal(
        apply_affine(kept.affine, first[0]),
        apply_affine(whole.affine, first[1]),
    )


def test_a_sagittal_slice_has_no_sides(head):
    figure = cohort.scans({"one": {"T1": head}}, 5)
    (axis,) = figure.axes
    before = len(axis.texts)
    name_sides(axis, 0)
    assert len(axis.texts) == before
