"""A colour means one thing in the whole book."""

import base64
import io
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.pylabtools import select_figure_formats
from IPython.display import display
from IPython.utils.capture import capture_output
from matplotlib.colors import to_rgb
from PIL import Image

from mmssl.objectives import language as objectives
from mmssl.plotting import look

SCALES = {
    "modality": set(look.MODALITY.values()),
    "group": set(look.GROUP.values()),
    "model": {*look.MODEL, *look.TERM.values(), *look.OWN_TERM},
    "role": set(look.ROLE.values()),
    "site": set(look.SITE),
    "way": set(look.WAY),
    "verdict": set(look.VERDICT.values()),
    "outline": {look.TRUTH, *look.OUTLINES},
    "no meaning": {look.BASELINE, look.COMPETITOR, look.UNUSUAL},
}
LEAST = 10  # CIE76; two colours of a small patch look alike below about 5


def lab(colour):
    """Return a colour in CIELAB, of sRGB under D65."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(
        rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4
    )
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    x, y, z = to_xyz @ linear / np.array([0.95047, 1.0, 1.08883])
    root = [
        t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116
        for t in (x, y, z)
    ]
    return np.array(
        [
            116 * root[1] - 16,
            500 * (root[0] - root[1]),
            200 * (root[1] - root[2]),
        ]
    )


def test_the_measure_knows_white_black_and_red():
    assert lab("#ffffff") == pytest.approx([100, 0, 0], abs=0.02)
    assert lab("#000000") == pytest.approx([0, 0, 0], abs=0.02)
    assert lab("#ff0000") == pytest.approx([53.24, 80.09, 67.20], abs=0.02)


@pytest.mark.parametrize(("one", "other"), [*combinations(SCALES, 2)])
def test_no_colour_of_one_scale_looks_like_one_of_another(one, other):
    for first in SCALES[one]:
        for second in SCALES[other]:
            distance = np.linalg.norm(lab(first) - lab(second))
            assert distance >= LEAST, (first, second, distance)


@pytest.mark.parametrize("scale", SCALES)
def test_colours_of_a_scale_are_told_apart(scale):
    for first, second in combinations(SCALES[scale], 2):
        assert np.linalg.norm(lab(first) - lab(second)) >= 2 * LEAST


def test_more_models_than_colours_begin_again():
    names = [f"model {n}" for n in range(len(look.MODEL) + 1)]
    table = pd.DataFrame({"model": ["PCA", *names], "baseline": False})
    table.loc[0, "baseline"] = True
    colours = look.model_colours(table)
    assert colours["PCA"] == look.BASELINE
    assert [colours[name] for name in names[:-1]] == list(look.MODEL)
    assert colours[names[-1]] == look.MODEL[0]


def test_the_colour_of_a_term_does_not_depend_on_what_else_is_drawn():
    together = look.term_colours([*objectives.TERMS, "VICReg"])
    assert len(set(together.values())) == len(together)
    for term, shade in together.items():
        for others in ([], ["RR"], ["XX", "CC", "CR"], ["AE", "MMVAE"]):
            assert look.term_colours([*others, term])[term] == shade


def test_terms_of_ones_own_are_told_apart_in_one_figure():
    names = [f"Own{n}" for n in range(len(look.OWN_TERM))]
    colours = look.term_colours(["CR", *names])
    assert {colours[name] for name in names} == set(look.OWN_TERM)
    # more of them than colours begin again
    assert set(look.term_colours([*names, "More"]).values()) == set(
        look.OWN_TERM
    )


def test_a_notebook_shows_two_pixels_for_one():
    shell = InteractiveShell.instance()
    select_figure_formats(shell, "png")  # as %matplotlib inline does
    figure, ((axis,),) = look.canvas(1, 1, 3.0, 2.0)
    axis.plot([0, 1])
    figure.set_label("site")
    with capture_output() as captured:
        display(figure)
    (shown,) = captured.outputs
    png = base64.b64decode(shown.data["image/png"])
    image = Image.open(io.BytesIO(png))
    assert shown.metadata["label"] == "site"  # for its caption
    width = shown.metadata["image/png"]["width"]
    assert image.size[0] == pytest.approx(2 * width, abs=2)
    assert width == pytest.approx(3.0 * figure.dpi, rel=0.1)
    InteractiveShell.clear_instance()
