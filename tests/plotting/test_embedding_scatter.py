"""Everybody has the colour of what is known of them, in every panel."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgba

from mmssl.plotting import BASELINE, GROUP, MAGNITUDE, SITE, embedding_scatter


@pytest.fixture
def planes(rng):
    lines = []
    for model in ("random encoder", *(f"model {n}" for n in range(7))):
        for modality in ("T1", "fALFF"):
            for row in (4, 9, 2, 7):
                places = rng.normal(size=2)
                lines.append((model, modality, row, *places, 0.25))
    names = ["model", "modality", "row", "first", "second", "share"]
    return pd.DataFrame(lines, columns=names)


def drawn(figure):
    """The panels: {(modality, model): (places, colours)}."""
    panels = {}
    for axis in figure.axes[:2]:
        for points in axis.collections:
            key = axis.get_title(loc="left"), points.get_label()
            panels[key] = points.get_offsets(), points.get_facecolors()
    return panels


def test_words_have_the_colours_of_their_scale(planes):
    rows = [2, 4, 7, 9]
    groups = pd.Series(["AD", "HC", np.nan, "other"], rows, name="group")
    figure = embedding_scatter(planes, groups)
    expected = [GROUP["HC"], GROUP["other"], GROUP["AD"], BASELINE]
    panels = drawn(figure)
    assert len(panels) == 16
    for _, shades in panels.values():
        assert [to_hex(s) for s in shades] == [e.lower() for e in expected]
    (legend,) = figure.legends
    assert legend.get_title().get_text() == "group"
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["HC", "AD", "other", "not known"]
    sites = pd.Series([*"BAAC"], rows, name="site")
    for _, shades in drawn(embedding_scatter(planes, sites)).values():
        found = [to_hex(shade) for shade in shades]
        assert found == [SITE[i].lower() for i in (0, 2, 1, 0)]


def test_words_beyond_a_scale_are_grey(planes):
    many = planes.assign(row=range(len(planes)))
    sites = pd.Series([f"{n:02}" for n in range(len(many))], name="site")
    shades = np.concatenate(
        [s for _, s in drawn(embedding_scatter(many, sites)).values()]
    )
    grey = (shades[:, :3] == to_rgba(BASELINE)[:3]).all(axis=1)
    assert grey.sum() == len(many) - len(SITE)


def test_numbers_have_a_bar_and_who_has_none_is_grey(planes):
    severity = pd.Series([3.0, 1.0, np.nan, 2.0], [2, 4, 7, 9])
    figure = embedding_scatter(planes, severity.rename("severity"))
    *_, bar = figure.axes
    assert bar.get_xlabel() == "severity"
    (shades,) = {
        tuple(map(to_hex, shades)) for _, shades in drawn(figure).values()
    }
    assert shades[3] == BASELINE.lower()
    assert len(set(shades)) == 4
    assert figure.axes[-1].collections[-1].get_cmap().name == MAGNITUDE


def test_panels_keep_the_places_and_do_not_overlap(planes):
    site = pd.Series("A", [2, 4, 7, 9], name="site")
    panels = drawn(embedding_scatter(planes, site))
    boxes = {}
    tables = dict(list(planes.groupby(["modality", "model"])))
    for (modality, model), (places, _) in panels.items():
        own = tables[modality, model]
        for axis, name in enumerate(("first", "second")):
            r = np.corrcoef(places[:, axis], own[name])[0, 1]
            assert r == pytest.approx(1)
        ends = np.asarray(places).min(axis=0), np.asarray(places).max(axis=0)
        boxes.setdefault(modality, []).append(ends)
    for of_modality in boxes.values():
        for (low, high), (other_low, other_high) in combinations(
            of_modality, 2
        ):
            assert (high < other_low).any() or (other_high < low).any()


def test_shares_and_long_names_do_not_lie_on_points_or_other_panels(planes):
    planes["model"] = planes["model"].replace(
        {"model 0": "Supervised-dropout"}
    )
    site = pd.Series("A", [2, 4, 7, 9], name="site")
    figure = embedding_scatter(planes, site)
    figure.draw_without_rendering()
    axis = figure.axes[0]
    texts = {text.get_text(): text for text in axis.texts}
    boxes = [text.get_window_extent() for text in axis.texts]
    named = texts["Supervised-dropout"].get_window_extent()
    following = texts["model 1"].get_window_extent()
    assert named.x1 < following.x0
    for points in axis.collections:
        places = axis.transData.transform(points.get_offsets())
        for x, y in places:
            assert not any(box.contains(x, y) for box in boxes)
