"""Menus of maps show what was chosen where somebody can choose, and a figure
where nobody can.
"""

import io
import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmssl.plotting import SaliencyMenus, saliency_cuts
from mmssl.plotting.saliency_menus import is_live

SHAPE = (9, 10, 11)
AFFINE = np.array(
    [
        [6.0, 0, 0, -30],
        [0, 6.0, 0, -20],
        [0, 0, 6.0, -10],
        [0, 0, 0, 1],
    ]
)


@pytest.fixture
def maps():
    """Give maps that peak at a voxel of their own, and what was asked."""
    asked = []

    def maps_of(run, modality, row):
        asked.append((run, modality, row))
        latent = {"first": 3, "second": 2}[run]
        values = np.full((latent, *SHAPE), 0.1, np.float32)
        values[:, 5:] = 0.2
        for dimension in range(latent):
            values[dimension, 2 + dimension, 3, 4] = 1.0
        return values

    maps_of.asked = asked
    return maps_of


@pytest.fixture
def menus(maps):
    """Give menus of two runs, two modalities and two people."""
    rng = np.random.default_rng(0)
    volumes = rng.random((9, *SHAPE), np.float32)
    return SaliencyMenus(
        maps,
        ["first", "second"],
        ["T1", "fALFF"],
        [7, 2],
        {"T1": volumes, "fALFF": volumes[::-1]},
        AFFINE,
        first={"T1": 1},
    )


def test_a_cut_goes_through_the_peak_and_lies_in_its_place():
    values = np.zeros(SHAPE, np.float32)
    values[2:5, 1:6, 3:9] = 0.2
    values[3, 5, 7] = 1.0
    background = np.zeros(SHAPE, np.float32)
    figure = saliency_cuts(values, background, AFFINE, title="of $one$")
    FigureCanvasAgg(figure).draw()
    assert "saliency" in [axis.get_ylabel() for axis in figure.axes]
    sagittal, coronal, axial = figure.axes[:3]
    # RAS+: x = 6 * 3 - 30, y = 6 * 5 - 20, z = 6 * 7 - 10
    assert sagittal.get_xlabel() == "sagittal, x = -12 mm"
    assert coronal.get_xlabel() == "coronal, y = 10 mm"
    assert axial.get_xlabel() == "axial, z = 32 mm"
    image, map_ = axial.images
    assert image.get_extent() == [-33, 21, -23, 37]
    for axis in (sagittal, coronal, axial):
        # the first row is the lowest, and the cross meets the peak
        assert {layer.origin for layer in axis.images} == {"lower"}
        across, up = [line.get_data() for line in axis.lines]
        drawn = axis.images[1].get_array()
        low, high, bottom, top = axis.images[1].get_extent()
        row, column = np.unravel_index(drawn.argmax(), drawn.shape)
        width = (high - low) / drawn.shape[1]
        height = (top - bottom) / drawn.shape[0]
        assert across[0][0] == pytest.approx(low + (column + 0.5) * width)
        assert up[1][0] == pytest.approx(bottom + (row + 0.5) * height)
    drawn = map_.get_array()
    row, column = np.unravel_index(drawn.argmax(), drawn.shape)
    assert (column, row) == (3, 5)
    # what is below the quantile shows the image
    assert drawn.mask[0, 0] and not drawn.mask[5, 3]
    assert figure._suptitle.get_text() == "of $one$"


def test_a_map_of_nothing_and_one_on_another_grid():
    empty = np.zeros(SHAPE, np.float32)
    FigureCanvasAgg(saliency_cuts(empty, empty, AFFINE)).draw()
    with pytest.raises(ValueError, match=r"\(9, 10, 11\) on an image"):
        saliency_cuts(empty, empty[:-1], AFFINE)


def test_without_anybody_there_is_a_figure_and_no_widget(menus, monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert not is_live()
    shown = menus.show()
    assert isinstance(shown, Figure)
    title = shown._suptitle.get_text()
    assert title == "first: dimension 1 of T1, person 1"
    assert menus.maps_of.asked == [("first", "T1", 7)]


def test_a_page_from_the_command_line_imports_no_widget():
    code = (
        "import sys, mmssl.plotting; "
        "print({'ipywidgets', 'anywidget', 'ipyniivue'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert done.stdout.strip() == "set()"


def _picture(box):
    stream = io.BytesIO(box.children[5].value)
    return matplotlib.image.imread(stream, format="png")


def test_each_menu_redraws_the_figure(menus, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "notebook.ipynb")
    assert is_live()
    box = menus.show()
    named = {menu.description: menu for menu in box.children[:5]}
    assert list(named) == [
        "run",
        "modality",
        "dimension",
        "person",
        "threshold",
    ]
    assert named["dimension"].value == 1 and named["dimension"].max == 2
    pictures = [_picture(box)]
    for name, value in (
        ("dimension", 2),
        ("person", 1),
        ("modality", "fALFF"),
        ("run", "second"),
        ("threshold", 0.25),
    ):
        named[name].value = value
        pictures.append(_picture(box))
        assert np.abs(pictures[-1] - pictures[-2]).max() > 0.1, name
    # the second run has no third dimension
    assert named["dimension"].value == 1 and named["dimension"].max == 1
    assert menus.maps_of.asked[-1] == ("second", "fALFF", 2)
    for menu in named.values():
        assert "7" not in map(str, getattr(menu, "_options_labels", ()))


@pytest.mark.parametrize("lacking", ["runs", "modalities", "rows"])
def test_nothing_to_choose_from_is_an_error(maps, lacking):
    choices = {"runs": ["first"], "modalities": ["T1"], "rows": [1]}
    choices[lacking] = []
    with pytest.raises(ValueError, match=f"{lacking}: none"):
        SaliencyMenus(maps, **choices, backgrounds={}, affine=AFFINE)
