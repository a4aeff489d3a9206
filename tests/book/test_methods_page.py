"""The figures of the page on methods say what the code does, and the page
shows all of them.
"""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from matplotlib.colors import to_hex
from PIL import Image

from mmssl.objectives import build
from mmssl.plotting import look

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location(
    "methods_page", ROOT / "book" / "methods_page.py"
)
page = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(page)

DIRECTIVE = re.compile(
    r"```\{figure\} _build/methods/(\w+)\.png\n((?::[^\n]+\n)+)\n(.+?)\n```",
    re.DOTALL,
)


def options_of(lines):
    """Return the options of a directive, read as MyST reads them."""
    return yaml.safe_load(re.sub("^:", "", lines, flags=re.M))


def test_the_page_shows_every_figure_with_two_pixels_for_one(tmp_path):
    made = {file.stem: file for file in page.write(tmp_path / "made")}
    text = (ROOT / "book" / "methods.md").read_text(encoding="utf-8")
    shown = {name: rest for name, *rest in DIRECTIVE.findall(text)}
    assert set(made) == set(page.FIGURES) == set(shown)
    assert text.count("_build/methods/") == len(shown)
    for name, (lines, caption) in shown.items():
        options = options_of(lines)
        assert options["name"] == f"fig-{name}"
        assert len(options["alt"]) > 80 and caption.rstrip().endswith(".")
        with Image.open(made[name]) as image:
            width = int(options["width"].removesuffix("px"))
            assert image.width == pytest.approx(2 * width, abs=2)
            # its letters of 9 points or more can be read where 364 pixels
            # are left
            assert 9 / 72 * page.DPI * 364 / image.width > 9


@pytest.mark.parametrize(("batch", "locations"), [(2, 1), (4, 4), (3, 5)])
def test_roles_of_scores_are_those_of_the_equation(batch, locations):
    place = locations - 1
    roles = page.score_roles(batch, locations, place)
    for a, b, other in np.ndindex(batch, batch, locations):
        expected = -1
        if a == b:
            expected = 1 if other == place else 0
        assert roles[a, b, other] == expected


def test_squares_of_scores_have_the_roles_that_were_asked_for():
    roles = np.array([[[1, 0]], [[-1, -1]]]).reshape(2, 1, 2)
    roles = np.concatenate([roles, roles[::-1]], axis=1)
    (axis,) = page.plotting.contrast_scores(roles).axes
    squares = axis.patches[: roles.size]
    for role, square in zip(roles.flat, squares, strict=True):
        assert (square.get_hatch() is not None) == (role == 0)
        black = to_hex(square.get_facecolor()) == look.COMPETITOR
        assert black == (role == 1)
    corners = {square.get_xy() for square in axis.patches}
    assert len(corners) == roles.size + 3  # none over another


def test_each_term_is_drawn_alone_with_the_edges_of_its_loss():
    axes = page.taxonomy().axes
    assert [axis.get_title() for axis in axes] == [*page.CONTRASTIVE]
    arrows = {}
    for axis in axes:
        name = axis.get_title()
        objective = build(name, width=1, size=16)
        encoder = 2 * len(objective.modalities)
        edges = {frozenset(edge) for edge in objective.graph[name]}
        arrows[name] = axis.patches[encoder:]
        assert len(arrows[name]) == len(edges)
        (colour,) = {to_hex(p.get_edgecolor()) for p in arrows[name]}
        assert colour in map(str.lower, look.MODEL)
    assert {name: len(drawn) for name, drawn in arrows.items()} == {
        "CR": 2,
        "XX": 2,
        "CC": 1,
        "RR": 1,
    }
