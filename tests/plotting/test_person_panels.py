"""What belongs to one person lies at one place, in every panel."""

import numpy as np
import pytest

from mmssl.plotting import person_panels

SHAPE = (9, 10, 11)
AFFINE = np.diag([6.0, 6.0, 6.0, 1.0])


@pytest.mark.parametrize("has_decoder", [True, False])
def test_every_panel_is_the_slice_of_the_peak(rng, has_decoder):
    volume = rng.normal(size=SHAPE)
    decoded = rng.normal(size=SHAPE)
    values = np.zeros(SHAPE)
    values[2, 6, 4] = 1.0
    values[3, 6, 4] = 0.4
    truth = np.zeros(SHAPE, bool)
    truth[2:4, 5:7, 4] = True
    figure = person_panels(
        {"T1": volume},
        {"T1": decoded} if has_decoder else {},
        {"T1": values},
        AFFINE,
        {"T1": truth},
    )
    panels = {axis.get_title(loc="left"): axis for axis in figure.axes}
    del panels[""]  # the colour bar
    assert ("reconstruction" in panels) == has_decoder
    below = {"image": volume, "reconstruction": decoded, "saliency": volume}
    for title, axis in panels.items():
        drawn = axis.images[0]
        np.testing.assert_array_equal(
            drawn.get_array(), below[title][:, :, 4].T
        )
        assert drawn.get_clim() == panels["image"].images[0].get_clim()
        sides = {t.get_text(): t.get_position()[0] for t in axis.texts}
        assert sides["L"] < sides["R"]
        outlined = len(axis.collections) > 0
        assert outlined == (title != "reconstruction")
        for image in axis.images:
            assert image.origin == "lower"
        bottom, top = axis.get_ylim()
        assert bottom < top  # y grows towards the front
    over = panels["saliency"].images[1].get_array()
    row, column = np.unravel_index(over.filled(0).argmax(), over.shape)
    assert (column, row) == (2, 6)
    assert over.count() == 1  # the other lies below the threshold
    assert panels["image"].get_xlabel() == "z = 24 mm"
