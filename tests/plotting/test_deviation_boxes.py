"""Boxes of deviations stand where the table says, and nothing is cut off."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import PathPatch

from mmssl.plotting import BASELINE, MODEL, deviation_boxes, label_efficiency

MODELS = ("from scratch", "A", "B")
KINDS = ("gamma", "affine", "both")
COLUMNS = ("least", "p05", "q1", "median", "q3", "p95", "largest")


def table_of(tasks=("lesion", "other"), size=1.0):
    """Quantiles that differ from line to line."""
    rng = np.random.default_rng(0)
    lines = []
    for task, kind, model in product(tasks, KINDS, MODELS):
        quantiles = np.sort(rng.normal(0.2, size, 7))
        line = {"task": task, "kind": kind, "model": model}
        line |= {"baseline": model == MODELS[0]}
        lines.append(line | dict(zip(COLUMNS, quantiles, strict=True)))
    return pd.DataFrame(lines)


def boxes_of(axis):
    """(middle, lower and upper edge, colour) of each box, from the left."""
    found = []
    for patch in axis.patches:
        assert isinstance(patch, PathPatch)
        corners = patch.get_path().vertices
        x = (corners[:, 0].min() + corners[:, 0].max()) / 2
        y = corners[:, 1]
        found.append((x, y.min(), y.max(), to_hex(patch.get_facecolor())))
    return sorted(found)


def test_boxes_are_quartiles_in_the_colours_of_the_models():
    table = table_of()
    figure = deviation_boxes(table)
    colours = [BASELINE, MODEL[0], MODEL[1]]
    for axis, task in zip(figure.axes, ("lesion", "other"), strict=True):
        boxes = boxes_of(axis)
        lines = table[table["task"] == task].to_dict("records")
        assert axis.get_title() == task
        assert len(boxes) == len(lines)
        for number, (box, line) in enumerate(zip(boxes, lines, strict=True)):
            x, low, high, colour = box
            assert round(x) == number // 3
            assert (low, high) == pytest.approx((line["q1"], line["q3"]))
            assert colour == colours[number % 3].lower()
        drawn = {round(float(y), 6) for y in heights(axis)}
        for column in ("least", "p05", "median", "p95", "largest"):
            assert {round(line[column], 6) for line in lines} <= drawn
    labels = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert tuple(labels) == KINDS
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert tuple(legend) == MODELS


def test_lines_may_stand_in_any_order():
    table = table_of(("lesion",))
    first = table.iloc[:1]
    mixed = pd.concat([first, table.iloc[:0:-1]])
    (axis,) = deviation_boxes(mixed).axes
    labels = [text.get_text() for text in axis.get_xticklabels()]
    assert labels == ["gamma", "both", "affine"]
    legend = axis.figure.legends[0].get_texts()
    models = [text.get_text() for text in legend]
    lines = table.set_index(["kind", "model"])
    for box, asked in zip(
        boxes_of(axis), product(labels, models), strict=True
    ):
        assert box[1] == pytest.approx(lines.loc[asked, "q1"])


def heights(axis):
    """Of all that lines go through."""
    return np.concatenate([line.get_ydata() for line in axis.lines])


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_nothing_lies_outside_the_axis(size):
    figure = deviation_boxes(table_of(("lesion",), size))
    (axis,) = figure.axes
    bottom, top = axis.get_ylim()
    assert bottom < heights(axis).min() < heights(axis).max() < top
    left, right = axis.get_xlim()
    places = [box[0] for box in boxes_of(axis)]
    assert left < min(places) < max(places) < right


def test_the_axis_says_where_it_is_linear_and_counts_in_percent():
    figure = deviation_boxes(table_of())
    (axis, _) = figure.axes
    assert "linear to ±10 %" in axis.get_ylabel()
    assert axis.yaxis.get_transform().linthresh == pytest.approx(0.1)
    assert axis.yaxis.get_major_formatter()(-0.5, 0) == "-50 %"
    assert axis.yaxis.get_major_formatter()(1000, 0) == "100,000 %"
    for factor, part in ((1e-2, "0.1"), (100, "10")):
        table = table_of()
        table[list(COLUMNS)] *= factor
        (axis, _) = deviation_boxes(table).axes
        assert f"linear to ±{part} %" in axis.get_ylabel()


def test_deviations_of_nothing_are_drawn():
    table = table_of()
    table[list(COLUMNS)] = 0.0
    (axis, _) = deviation_boxes(table).axes
    bottom, top = axis.get_ylim()
    assert bottom < 0 < top


def test_a_model_has_the_colour_that_it_has_beside_its_auc():
    lines = []
    for model, ratio in product(MODELS, (0.1, 1.0)):
        line = {"task": "lesion", "measure": "AUC", "model": model}
        line |= {"baseline": model == MODELS[0], "ratio": ratio}
        numbers = ("labelled", "value", "low", "high", "difference")
        numbers += ("difference_low", "difference_high")
        lines.append(line | dict.fromkeys(numbers, 0.6))
    figure = label_efficiency(pd.DataFrame(lines))
    handles = figure.axes[0].get_legend_handles_labels()
    of_auc = {}
    for handle, model in zip(*handles, strict=True):
        of_auc[model] = handle.get_color().lower()
    boxes = boxes_of(deviation_boxes(table_of(("lesion",))).axes[0])
    for model, box in zip(MODELS, boxes, strict=False):
        assert box[3] == of_auc[model]


def test_the_efficiency_of_tasks_and_models_without_end_stands_side_by_side():
    models = ["from scratch", *(f"row {number}" for number in range(10))]
    lines = []
    for task, model, ratio in product(("a", "b"), models, (0.1, 1.0)):
        number = models.index(model)
        line = {"task": task, "measure": "AUC", "model": model}
        line |= {"baseline": number == 0, "ratio": ratio, "labelled": 9}
        line |= {"value": 0.5 + number / 100, "low": 0.1, "high": 0.9}
        line["difference"] = number / 100 if number else float("nan")
        line |= {"difference_low": 0.0, "difference_high": 0.1}
        # the other task was given to two of them
        if task == "a" or number < 2:
            lines.append(line)
    figure = label_efficiency(pd.DataFrame(lines))
    left, right, other, _ = figure.axes
    assert [left.get_title(), other.get_title()] == ["a", "b"]
    places = np.concatenate([dots.get_xdata() for dots in dots_of(left)])
    assert len(set(places)) == 22
    low, high = left.get_xlim()
    assert low < places.min() and places.max() < high
    # nearer to its own number of people than to the next
    assert set(np.round(places)) == {0.0, 1.0}
    values = [list(dots.get_ydata()) for dots in dots_of(left)]
    assert values == [[0.5 + n / 100] * 2 for n in range(11)]
    gains = [list(dots.get_ydata()) for dots in dots_of(right)]
    assert gains[1:] == [[n / 100] * 2 for n in range(1, 11)]
    looks = set()
    for dots in dots_of(left):
        looks.add((dots.get_color(), dots.get_marker()))
    assert len(looks) == 11
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == models


def dots_of(axis):
    """Give the dots of an axis, none of its lines."""
    return [line for line in axis.lines if line.get_marker() != "None"]
