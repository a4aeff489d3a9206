"""What a page holds of the panels of robustness: the figures' own curves."""

import html
import json
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from mmssl.plotting import BASELINE, InteractiveCurves, robustness_curves

MODELS = ("RR", "<b>CR", "random encoder")
PANELS = (("affine", "degrees", "°"), ("bias", "max_order", ""))


def _table(rng, measure="auc"):
    lines = []
    for distortion, parameter, unit in (("none", "", ""), *PANELS):
        # 2 comes twice, as where whole numbers cut fractions off
        values = [np.nan] if distortion == "none" else [-1.5, 0, 2, 2, 4]
        for k, value in enumerate(values):
            for modality in ("T1", "fALFF"):
                for model in MODELS:
                    found = rng.uniform(0.4, 0.9) if k != 3 else 0.1
                    line = (distortion, parameter, unit, value, k > 3)
                    own = (modality, model, found, found - 0.1, found + 0.05)
                    lines.append(line + own)
    columns = "distortion parameter unit value collapsed modality model"
    columns = [*columns.split(), measure, "low", "high"]
    return pd.DataFrame(lines, columns=columns)


def _own(table, distortion, modality, model=None):
    own = table[table["distortion"] == distortion]
    own = own[own["modality"] == modality]
    return own if model is None else own[own["model"] == model]


def _content(figure):
    text = figure._repr_html_()
    (content,) = re.fullmatch(
        '<div class="curve-viewer" data-viewer="([^"]*)"></div>', text
    ).groups()
    return json.loads(html.unescape(content))


@pytest.fixture
def table(rng):
    return _table(rng)


def test_values_are_those_of_the_table(table):
    content = _content(InteractiveCurves(table, MODELS[2:]))
    names = ["affine: degrees (°)", "bias: max order"]
    assert [panel["name"] for panel in content["panels"]] == names
    for panel, (distortion, *_) in zip(content["panels"], PANELS, strict=True):
        assert panel["values"] == [-1.5, 0, 2, 4]
        assert panel["told"] == ["−1.5", "0", "2", "4"]
        assert panel["collapsed"] == [[3, 4]]
        for modality, curves in panel["curves"].items():
            for model, curve in zip(MODELS, curves, strict=True):
                own = _own(table, distortion, modality, model)
                own = own.drop_duplicates("value")
                wanted = own[["auc", "low", "high"]].to_numpy().T
                assert np.allclose(np.array(curve) / 1000, wanted, atol=5e-4)
    for modality, found in content["undistorted"].items():
        own = _own(table, "none", modality)
        found = np.array(found).ravel() / 1000
        assert np.allclose(found, own["auc"], atol=5e-4)


def test_lines_look_as_in_the_figure(table):
    content = _content(InteractiveCurves(table, MODELS[2:]))
    figure = robustness_curves(table, "T1", MODELS[2:])
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    for model in content["models"]:
        line = lines[model["name"]]
        assert model["shade"] == to_hex(line.get_color())
        assert bool(model["dash"]) == (line.get_linestyle() != "-")
    assert content["models"][2]["shade"] == to_hex(BASELINE)


def test_numbers_at_the_axes_lie_inside_them(table):
    content = _content(InteractiveCurves(table))
    low, high = content["range"]
    whole = table[["low", "high"]]
    assert (low, high) == (whole["low"].min(), whole["high"].max())
    assert all(low <= place <= high for place, _ in content["ticks"])
    assert len(content["ticks"]) > 2
    for panel in content["panels"]:
        places = [place for place, _ in panel["ticks"]]
        assert -1.5 <= min(places) and max(places) <= 4


def test_what_was_not_finite_is_missing(table):
    is_gone = (table["value"] == 0) & (table["model"] == "RR")
    table.loc[is_gone, ["auc", "low", "high"]] = np.nan
    content = _content(InteractiveCurves(table))
    curve = content["panels"][0]["curves"]["T1"][0]
    assert [values[1] for values in curve] == [None] * 3
    assert None not in curve[0][2:]


def test_of_numbers_it_shows_the_share_of_variance(rng):
    table = _table(rng, "r2")
    content = _content(InteractiveCurves(table))
    assert (content["measure"], content["chance"]) == ("R²", 0.0)


def test_names_cannot_leave_their_attribute(table):
    text = InteractiveCurves(table)._repr_html_()
    assert "<b>" not in text and text.count('"') == 4
