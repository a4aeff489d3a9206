"""The volumes that are walked through are the person's, in their place, and
follow what is chosen; no browser is asked here.
"""

import sys

import nibabel
import numpy as np
import pytest
from nibabel.affines import apply_affine

from mmssl.plotting import SaliencyMenus
from mmssl.plotting.volume_view import VolumeView

SHAPE = (5, 6, 7)
AFFINE = np.array(
    [
        [6.0, 0, 0, -30],
        [0, 5.0, 0, -20],
        [0, 0, 4.0, -10],
        [0, 0, 0, 1],
    ]
)


@pytest.fixture
def images():
    """Give an image and two maps, with a peak each."""
    rng = np.random.default_rng(0)
    image, first, second = rng.random((3, *SHAPE), np.float32)
    first[1, 2, 3] = 2
    second[4, 0, 6] = 2
    return image, first, second


def _read(volume):
    return nibabel.Nifti1Image.from_bytes(volume.data)


def test_it_is_given_the_image_below_the_map_each_in_its_place(images):
    image, values, _ = images
    view = VolumeView()
    view.show(values, image, AFFINE, (0.5, 2.0))
    below, above = view.widget.volumes
    for volume, array in ((below, image), (above, values)):
        read = _read(volume)
        assert np.array_equal(read.get_fdata(dtype=np.float32), array)
        assert np.array_equal(read.affine, AFFINE)
        assert nibabel.aff2axcodes(read.affine) == ("R", "A", "S")
    assert (below.colormap, above.colormap) == ("gray", "viridis")
    assert (above.cal_min, above.cal_max) == (0.5, 2.0)
    assert (below.cal_min, below.cal_max) == (image.min(), image.max())
    assert above.colorbar_visible and not below.colorbar_visible
    # the left of a person stands left, as in the figures
    assert not view.widget.opts.is_radiological_convention


def test_its_colours_are_in_the_script_it_brings():
    widget = VolumeView().widget
    assert {"gray", "viridis"} <= set(widget.colormaps())


def test_the_cross_meets_the_peak_and_is_then_the_readers(images):
    image, first, second = images
    view = VolumeView()
    view.show(first, image, AFFINE, (0.5, 2.0))

    def place():
        """Where the cross is, in mm, as NiiVue counts it."""
        edges = np.array(view.widget.scene.crosshair_pos) * SHAPE
        return apply_affine(AFFINE, edges - 0.5)

    assert place() == pytest.approx(apply_affine(AFFINE, (1, 2, 3)))
    view.widget.scene.crosshair_pos = [0.1, 0.2, 0.3]
    view.show(first, image, AFFINE, (0.7, 2.0))
    assert view.widget.scene.crosshair_pos == [0.1, 0.2, 0.3]
    view.show(second, image, AFFINE, (0.7, 2.0))
    assert place() == pytest.approx(apply_affine(AFFINE, (4, 0, 6)))


def test_what_did_not_change_is_not_sent_again(images):
    image, first, second = images
    view = VolumeView()
    view.show(first, image, AFFINE, (0.5, 2.0))
    below, above = view.widget.volumes
    view.show(first, image, AFFINE, (0.7, 1.9))
    assert view.widget.volumes == [below, above]
    assert (above.cal_min, above.cal_max) == (0.7, 1.9)
    view.show(second, image, AFFINE, (0.7, 1.9))
    assert view.widget.volumes[0] is below
    assert np.array_equal(_read(view.widget.volumes[1]).get_fdata(), second)
    # nobody holds a volume that is not drawn
    assert above.comm is None and below.comm is not None
    view.show(second, image + 1, AFFINE, (0.7, 1.9))
    assert below.comm is None and len(view.widget.volumes) == 2


@pytest.fixture
def menus():
    """Give menus of two runs, modalities and people; a map peaks where all
    that was chosen says.
    """

    def maps_of(run, modality, row):
        values = np.full((2, *SHAPE), 0.1, np.float32)
        values[:, 0] = 0.2
        place = (["a", "b"].index(run), ["T1", "fALFF"].index(modality), row)
        for dimension in range(2):
            values[dimension][place] = 0.9 + 0.1 * dimension
        return values

    volumes = np.random.default_rng(1).random((4, *SHAPE), np.float32)
    backgrounds = {"T1": volumes, "fALFF": volumes[::-1]}
    return SaliencyMenus(
        maps_of, ["a", "b"], ["T1", "fALFF"], [3, 1], backgrounds, AFFINE
    )


def test_each_menu_changes_the_volumes(menus):
    box = menus.show(live=True)
    named = {menu.description: menu for menu in box.children[:5]}
    assert list(named)[-1] == "threshold"
    widget = box.children[-1]
    chosen = {"run": "a", "modality": "T1", "dimension": 0, "person": 0}
    threshold = 0.75
    for name, value in (
        ("dimension", 1),
        ("run", "b"),
        ("person", 1),
        ("modality", "fALFF"),
        ("threshold", 0.9),
    ):
        named[name].value = value
        if name == "threshold":
            threshold = value
        else:
            chosen[name] = value
        row = [3, 1][chosen["person"]]
        maps = menus.maps_of(chosen["run"], chosen["modality"], row)
        values = maps[chosen["dimension"]]
        below, above = widget.volumes
        assert np.array_equal(_read(above).get_fdata(), values), name
        image = menus.backgrounds[chosen["modality"]][row]
        assert np.array_equal(_read(below).get_fdata(), image), name
        assert above.cal_min == np.quantile(values, threshold), name
        assert above.cal_max == values.max(), name


def test_without_its_widget_the_menus_have_the_figure_alone(
    menus, monkeypatch
):
    monkeypatch.setitem(sys.modules, "ipyniivue", None)
    with pytest.raises(ImportError):
        VolumeView()
    box = menus.show(live=True)
    picture = box.children[-1]
    assert picture.format == "png"
    before = picture.value
    box.children[0].value = "b"
    assert picture.value != before


def test_a_map_of_nothing_is_drawn(images):
    image, *_ = images
    menus = SaliencyMenus(
        lambda *_: np.zeros((1, *SHAPE), np.float32),
        ["a"],
        ["T1"],
        [0],
        {"T1": image[None]},
        AFFINE,
    )
    *_, widget = menus.show(live=True).children
    above = widget.volumes[1]
    assert above.cal_min == 1 and above.cal_max > 1
