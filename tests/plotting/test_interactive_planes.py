"""What a page gives away of people in a plane: places and shades."""

import html
import json
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from mmssl.plotting import BASELINE, GROUP, SITE, InteractivePlanes

ROWS = (4, 9, 2, 7)


@pytest.fixture
def planes(rng):
    lines = []
    for model in ("random encoder", "RR <b>"):
        for modality in ("T1", "fALFF"):
            for row in ROWS[: 3 if modality == "fALFF" else 4]:
                places = rng.normal(size=2)
                lines.append((model, modality, row, *places, 0.256))
    names = ["model", "modality", "row", "first", "second", "share"]
    return pd.DataFrame(lines, columns=names)


@pytest.fixture
def known():
    table = {
        "group": ["AD", "HC", np.nan, "HC"],
        "site": [*"BAAC"],
        "age": [71.25, 63.5, np.nan, 88.75],
    }
    return pd.DataFrame(table, index=[*ROWS])


def _content(planes, known):
    text = InteractivePlanes(planes, known)._repr_html_()
    (content,) = re.fullmatch(
        '<div class="plane-viewer" data-viewer="([^"]*)"></div>', text
    ).groups()
    return json.loads(html.unescape(content))


def test_points_keep_their_places_on_one_scale(planes, known):
    tables = dict(list(planes.groupby(["modality", "model"])))
    found = _content(planes, known)["planes"]
    assert len(found) == 4
    for plane in found:
        own = tables[plane["modality"], plane["model"]]
        points = np.array([p for p in plane["points"] if p], float)
        assert len(points) == len(own) and plane["share"] == "26%"
        assert points.min() >= 0 and points.max() <= 1000
        assert np.ptp(points, axis=0).max() == 1000
        places = own[["first", "second"]].to_numpy()
        # as far from each other as they are in the plane, to a step
        spread = np.ptp(places, axis=0).max()
        distances = np.hypot(*(places[:, None] - places[None]).T)
        shown = np.hypot(*(points[:, None] - points[None]).T)
        wanted = np.sort(1000 * distances / spread, axis=None)
        assert np.allclose(np.sort(shown, axis=None), wanted, atol=2)


def test_everybody_has_the_shade_of_the_figures(planes, known):
    content = _content(planes, known)
    whole = next(p for p in content["planes"] if None not in p["points"])
    own = planes.query("modality == 'T1'").iloc[:4]
    order = [
        own["row"].iloc[np.argsort(own["first"])].tolist(),
        np.argsort([x for x, _ in whole["points"]]).tolist(),
    ]
    shade = {}
    for colour in content["colours"]:
        shades = [colour["shades"][number] for number in colour["of"]]
        ordered = [shades[place] for place in order[1]]
        shade[colour["name"]] = dict(zip(order[0], ordered, strict=True))
    dark = {name: to_hex(value) for name, value in GROUP.items()}
    groups = (dark["AD"], dark["HC"], to_hex(BASELINE), dark["HC"])
    assert shade["group"] == dict(zip(ROWS, groups, strict=True))
    sites = [to_hex(SITE[number]) for number in (1, 0, 0, 2)]
    assert shade["site"] == dict(zip(ROWS, sites, strict=True))
    assert shade["age"][2] == to_hex(BASELINE)
    assert len({*shade["age"].values()}) == 4


def test_no_value_nor_order_of_people_leaves_the_page(planes, known):
    content = _content(planes, known)
    text = json.dumps(content)
    for value in (71.25, 63.5, 88.75):
        assert str(value) not in text
    assert "row" not in text
    assert {*content} == {"planes", "colours"}
    # however the people are listed, the same is shown
    assert _content(planes, known[::-1]) == content
    assert _content(planes[::-1], known)["colours"] == content["colours"]


def test_names_cannot_leave_their_attribute(planes, known):
    text = InteractivePlanes(planes, known)._repr_html_()
    assert "<b>" not in text and text.count('"') == 4
