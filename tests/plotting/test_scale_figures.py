"""Figures of scale show what their tables say."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from mmssl.plotting import (
    BASELINE,
    cost_curves,
    extrapolated_costs,
    scaling_curve,
)
from mmssl.plotting.look import COMPETITOR, MODEL


def test_every_auc_stands_at_its_size_with_its_interval():
    lines = []
    for people in (1000, 4000):
        for model, is_baseline in (("PCA", True), ("SwAV", False)):
            for modality in ("T1", "fALFF"):
                auc = 0.6 + people / 40_000 + 0.05 * is_baseline
                line = (people, model, modality, is_baseline)
                lines.append((*line, auc, auc - 0.1, auc + 0.05))
    names = ["people", "model", "modality", "baseline", "auc", "low", "high"]
    table = pd.DataFrame(lines, columns=names)
    figure = scaling_curve(table, 0.94)
    assert [axis.get_title() for axis in figure.axes] == ["T1", "fALFF"]
    for axis, modality in zip(figure.axes, ("T1", "fALFF"), strict=True):
        own = table[table["modality"] == modality]
        for bars, model in zip(axis.containers, ("PCA", "SwAV"), strict=True):
            of_model = own[own["model"] == model]
            drawn, _, (limits,) = bars
            assert list(drawn.get_ydata()) == list(of_model["auc"])
            assert drawn.get_xdata() == pytest.approx([1000, 4000], rel=0.1)
            ends = np.array([s[:, 1] for s in limits.get_segments()])
            expected = of_model[["low", "high"]].to_numpy()
            assert ends == pytest.approx(expected)
        colours = [to_hex(bars[0].get_color()) for bars in axis.containers]
        assert colours == [BASELINE.lower(), MODEL[0].lower()]
        assert 0.94 in [line.get_ydata()[0] for line in axis.lines]
        ticks = [tick.get_text() for tick in axis.get_xticklabels()]
        assert ticks == ["1,000", "4,000"]
        # names at the ends have room, beside those of the next panel
        left, right = axis.get_xlim()
        assert left < 1000 / 1.3 and right > 4000 * 1.3


def test_a_stage_that_was_not_measured_leaves_a_gap():
    table = pd.DataFrame(
        {
            "people": [10, 40, 10, 40],
            "stage": ["load", "load", "train", "train"],
            "seconds": [1.0, 4.0, 7.0, np.nan],
            "peak_gb": [0.5, 0.6, 0.7, np.nan],
        }
    )
    seconds, memory = cost_curves(table).axes
    for axis, column in ((seconds, "seconds"), (memory, "peak_gb")):
        for line, stage in zip(axis.lines, ("load", "train"), strict=True):
            own = table[table["stage"] == stage]
            np.testing.assert_array_equal(line.get_ydata(), own[column])
    assert memory.get_ylim() == pytest.approx((0, 1.15 * 0.7))


def test_what_there_is_stands_beside_what_is_needed():
    table = pd.DataFrame(
        {
            "volumes": [10, 1000] * 2,
            "side": [16, 16, 64, 64],
            "hours": [1.0, 2, 3, 4],
            "memory_gb": [5.0, 6, 7, 8],
            "disk_gb": [9.0, 10, 11, 12],
            "limit_hours": 24.0,
            "limit_memory_gb": 8.5,
            "limit_disk_gb": 99.0,
        }
    )
    figure = extrapolated_costs(table)
    names = ("hours", "memory_gb", "disk_gb")
    for axis, name in zip(figure.axes, names, strict=True):
        small, large, limit = axis.lines
        assert list(small.get_ydata()) == list(table[name][:2])
        assert list(large.get_ydata()) == list(table[name][2:])
        assert limit.get_ydata()[0] == table[f"limit_{name}"][0]
        assert limit.get_label() == "available"


def test_stages_are_told_apart_without_the_colours_of_models():
    table = pd.DataFrame(
        {
            "people": [10, 40] * 3,
            "stage": np.repeat(["load", "train", "embed"], 2),
            "seconds": 1.0,
            "peak_gb": 0.5,
        }
    )
    for axis in cost_curves(table).axes:
        assert {line.get_color() for line in axis.lines} == {COMPETITOR}
        assert len({line.get_marker() for line in axis.lines}) == 3
        assert len({line.get_linestyle() for line in axis.lines}) == 3
