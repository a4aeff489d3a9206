"""Figures of slices and lesions show what their tables say."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from mmssl.plotting import (
    BASELINE,
    MODEL,
    froc_curves,
    preservational_learning,
    slice_gallery,
    slice_scores,
    term_history,
)

RATES = (0.25, 1.0, 4.0)
MODELS = ("from scratch", "A", "B")


@pytest.fixture
def froc():
    """Give a table of three models at three rates, and their means."""
    rng = np.random.default_rng(0)
    lines = []
    for model in MODELS:
        values = np.sort(rng.uniform(0.2, 0.8, 3))
        for rate, value in zip(RATES, values, strict=True):
            lines.append((model, rate, value))
        lines.append((model, np.nan, values.mean()))
    table = pd.DataFrame(lines, columns=["model", "rate", "value"])
    table["baseline"] = table["model"] == MODELS[0]
    return table.assign(low=table["value"] - 0.1, high=table["value"] + 0.15)


def dots(axis):
    """Each point of an axis, by its height: (value, colour)."""
    found = {}
    for line in axis.lines:
        if line.get_marker() == "o":
            ((x, y),) = line.get_xydata()
            found[y] = x, to_hex(line.get_color(), keep_alpha=False).upper()
    return found


def intervals(axis):
    """Both ends of each interval of an axis, by its height."""
    found = {}
    for line in axis.lines:
        (x, *_), (y, *others) = line.get_data()
        if others and y == others[0]:
            found[y] = tuple(line.get_xdata())
    return found


def test_curves_and_their_means_have_one_colour_a_model(froc):
    figure = froc_curves(froc)
    curve, mean = figure.axes
    colours = (BASELINE, *MODEL[:2])
    for line, model, colour in zip(curve.lines, MODELS, colours, strict=True):
        own = froc[froc["model"] == model]
        at_rates = own[own["rate"].notna()]
        assert line.get_label() == model
        assert line.get_color() == colour
        assert line.get_xdata().tolist() == list(RATES)
        np.testing.assert_array_equal(line.get_ydata(), at_rates["value"])
    means = froc[froc["rate"].isna()]
    for place, (line, colour) in enumerate(
        zip(means.to_dict("records"), colours, strict=True)
    ):
        assert dots(mean)[place] == (line["value"], colour.upper())
        assert intervals(mean)[place] == (line["low"], line["high"])
    assert curve.get_xscale() == "log"
    band = curve.collections[1].get_paths()[0].vertices
    lines = froc[froc["model"] == "A"].iloc[:-1]
    assert band[:, 1].min() == lines["low"].min()
    assert band[:, 1].max() == lines["high"].max()


def test_measures_of_slices_and_gains_stand_below_each_other():
    rng = np.random.default_rng(1)
    lines = []
    for measure in ("AUC", "mAP", "accuracy"):
        for model in MODELS:
            value, gain = rng.uniform(0.6, 0.9), rng.uniform(-0.1, 0.1)
            lines.append(
                {
                    "measure": measure,
                    "model": model,
                    "baseline": model == MODELS[0],
                    "slices": 200,
                    "positive": 30,
                    "value": value,
                    "low": value - 0.1,
                    "high": value + 0.05,
                    "difference": gain,
                    "difference_low": gain - 0.1,
                    "difference_high": gain + 0.2,
                }
            )
    # all draws were equal
    lines[4] |= {"low": np.nan, "high": np.nan}
    table = pd.DataFrame(lines)
    figure = slice_scores(table)
    above, below = np.reshape(figure.axes, (2, 3))
    for number, measure in enumerate(("AUC", "mAP", "accuracy")):
        own = table[table["measure"] == measure].reset_index(drop=True)
        found = dots(above[number])
        assert [found[k][0] for k in range(3)] == own["value"].tolist()
        found = dots(below[number])
        gains = own["difference"].tolist()[1:]
        assert [found[k][0] for k in range(2)] == gains
        ends = own.loc[2, ["difference_low", "difference_high"]]
        assert intervals(below[number])[1] == tuple(ends)
    assert 1 not in intervals(above[1])
    names = [text.get_text() for text in above[0].get_yticklabels()]
    assert names == list(MODELS)
    names = [text.get_text() for text in below[0].get_yticklabels()]
    assert names == list(MODELS[1:])
    chance = [line for line in above[1].lines if line.get_ls() == ":"]
    assert chance[0].get_xdata()[0] == 30 / 200


def test_slices_are_outlined_where_their_lesion_is():
    rng = np.random.default_rng(2)
    slices = rng.random((7, 9, 12))
    truth = np.zeros(slices.shape, bool)
    truth[:4, 6:8, 2:5] = True
    scores = np.linspace(0, 0.9, 7)
    figure = slice_gallery(slices, truth, scores)
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert len(figure.axes) == 10 and len(shown) == 7
    for number, axis in enumerate(shown):
        (drawn,) = axis.images
        assert np.array_equal(drawn.get_array(), slices[number].T)
        assert axis.get_title() == f"{scores[number]:.2f}"
        places = {text.get_text(): text.get_position() for text in axis.texts}
        assert places["L"][0] < 0.5 < places["R"][0]
        outlines = [
            path.vertices
            for collection in axis.collections
            for path in collection.get_paths()
            if len(path.vertices)
        ]
        assert bool(outlines) == bool(number < 4)
        if outlines:
            low, high = outlines[0].min(0), outlines[0].max(0)
            assert (low > [5, 1]).all() and (low < [6, 2]).all()
            assert (high > [7, 4]).all() and (high < [8, 5]).all()


def test_the_slice_of_most_lesion_is_shown_with_its_outline():
    image = np.random.default_rng(3).random((1, 8, 9, 10))
    mask = np.zeros(image.shape, bool)
    mask[0, 2:5, 3:6, 4] = mask[0, 3, 4, 5] = True
    figure = preservational_learning.lesion_gallery(image, mask, ["one"])
    (axis,) = figure.axes
    (drawn,) = axis.images
    assert np.array_equal(drawn.get_array(), image[0, :, :, 4].T)
    assert len(axis.collections) == 1


def test_the_label_of_terms_says_what_is_drawn_from_the_first_epoch():
    history = pd.DataFrame(
        {"epoch": [0, 1], "train/A/loss": [2.0, 1.0], "train/A/chance": 3.0}
    )
    figure = term_history(history)
    (axis,) = figure.axes
    assert axis.get_ylabel() == "loss"
    assert list(axis.lines[0].get_xdata()) == [1, 2]
    assert list(axis.lines[0].get_ydata()) == [2.0, 1.0]
    history["train/A/penalty"] = 0.5
    left, right = term_history(history).axes
    assert left.get_ylabel() == "loss; penalty (dotted, right)"
    assert right.lines[0].get_linestyle() == ":"
