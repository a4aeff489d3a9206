"""Slices say which side is which, and are right."""

import numpy as np
import pytest
from matplotlib.text import Text

from mmssl.plotting import cohort, preprocessing, robustness, saliency
from mmssl.plotting.slices import name_sides

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


def test_maps_name_the_sides(head):
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    figure = saliency.saliency_maps({"T1": {"k": head}}, head, affine)
    texts = {text.get_text() for text in figure.findobj(Text)}
    assert {"L", "R"} <= texts


def test_a_sagittal_slice_has_no_sides(head):
    figure = cohort.scans({"one": {"T1": head}}, 5)
    (axis,) = figure.axes
    before = len(axis.texts)
    name_sides(axis, 0)
    assert len(axis.texts) == before
