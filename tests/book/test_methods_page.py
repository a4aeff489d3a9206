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
        assert options["figclass"] == "narrow"  # shrinks to a telephone
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


def test_cubes_have_the_shapes_of_the_equation_of_strided_convolutions():
    (axis,) = page.encoder().axes
    said = [text.get_text() for text in axis.texts]
    shapes = [text for text in said if "³" in text]
    side, channels, expected = 64, 1, []
    while side >= 4:
        expected.append(f"{channels} × {side}³")
        side, channels = side // 2, max(32, 2 * channels)
    assert shapes == expected
    assert {"64", "64 × 512 places", "$c$", "$z$"} <= set(said)
    places = {text.get_text(): text.get_position() for text in axis.texts}
    # the head reads the map of side 8
    head, local = places["head"][0], places["128 × 8³"][0]
    assert head == pytest.approx(local, abs=0.2)
    halves = [square.get_width() for square in axis.patches[:10:2]]
    assert halves == sorted(halves, reverse=True)


def test_everybody_is_held_out_in_all_folds_or_validates_in_one():
    (axis,) = page.evaluation().axes
    squares = {}
    for square in axis.patches:
        squares.setdefault(square.get_y(), []).append(square)
    rows = [row for row in squares.values() if len(row) > 1]
    assert len(rows) == 5 and {len(row) for row in rows} == {34}
    columns = zip(*rows, strict=True)
    held_out = 0
    for column in columns:
        colours = {to_hex(square.get_edgecolor()) for square in column}
        hatched = sum(square.get_hatch() is not None for square in column)
        if colours == {look.ROLE["holdout"].lower()}:
            held_out += 1
            assert hatched == 0
        else:
            assert colours == {look.ROLE["train"].lower()}
            assert hatched == 1
    assert held_out == 7  # a fifth of 18 and of 16, rounded


def test_what_is_outlined_exceeds_the_limit_of_the_histogram(monkeypatch):
    drawn = {}

    def keep(people, groups, rbc, corrected, largest):
        drawn.update(rbc=rbc, corrected=corrected, largest=largest)

    monkeypatch.setattr(page.plotting, "relabelled_maps", keep)
    page.permutation()
    rbc, largest = np.abs(drawn["rbc"]), drawn["largest"]
    exceeded = (largest >= rbc[..., None] - 1e-9).sum(-1)
    p = (1 + exceeded) / (1 + page.RELABELLINGS)
    np.testing.assert_allclose(drawn["corrected"], p, atol=1e-12)
    assert 20 < (drawn["corrected"] <= 0.05).sum() < 80
    assert drawn["corrected"][8, 15] == p.min()
