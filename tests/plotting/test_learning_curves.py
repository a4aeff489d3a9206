"""Every run has a panel of its own, over what is usual of all."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from mmssl.plotting import MODALITY, learning_curves, training_history


def _table(count, epochs=(1, 2, 3)):
    lines = []
    for number in range(count):
        for modality in ("T1", "fALFF"):
            for epoch in epochs:
                auc = 0.5 + number / 100 + epoch / 50 + 0.01 * len(modality)
                lines.append((f"model {number}", modality, epoch, auc))
    return pd.DataFrame(lines, columns=["model", "modality", "epoch", "auc"])


@pytest.mark.parametrize("count", [1, 4, 26])
def test_every_run_has_a_panel_over_the_median_of_all(count):
    table = _table(count)
    # one that stopped early, as they do
    stopped = (table["model"] == "model 0") & (table["epoch"] == 3)
    table = table[~stopped]
    figure = learning_curves(table)
    drawn = [axis for axis in figure.axes if axis.axison]
    names = [axis.get_title(loc="left") for axis in drawn]
    assert names == [f"model {number}" for number in range(count)]
    for axis, name in zip(drawn, names, strict=True):
        *lines, chance = axis.lines
        assert list(chance.get_ydata()) == [0.5, 0.5]
        assert len(lines) == 4
        for usual, own in (lines[:2], lines[2:]):
            modality = own.get_label()
            assert usual.get_label() == f"{modality}, median"
            for line in (usual, own):
                assert to_hex(line.get_color()) == MODALITY[modality].lower()
            values = table[table["modality"] == modality]
            medians = values.groupby("epoch")["auc"].median()
            assert dict(zip(*usual.get_data(), strict=True)) == dict(medians)
            values = values[values["model"] == name]
            values = dict(zip(values["epoch"], values["auc"], strict=True))
            assert dict(zip(*own.get_data(), strict=True)) == values


@pytest.mark.parametrize(("longer", "ends"), [(1, 3), (2, 6)])
def test_the_median_ends_where_most_runs_do(longer, ends):
    long = _table(longer, range(1, 7))
    short = _table(4)
    table = pd.concat([long, short[~short["model"].isin(long["model"])]])
    for axis in learning_curves(table).axes:
        usual, own = axis.lines[:2]
        assert max(usual.get_xdata()) == ends
        assert max(own.get_xdata()) in (3, 6)


def test_all_panels_have_the_same_axes():
    first, *others = learning_curves(_table(8)).axes
    for axis in others:
        assert axis.get_ylim() == first.get_ylim()
        assert axis.get_xlim() == first.get_xlim()


def test_epochs_are_counted_from_1_in_the_history_of_a_run_too():
    columns = ["epoch", "lr", "train/loss", "valid/loss", "rankme/T1"]
    history = pd.DataFrame(np.ones((3, len(columns))), columns=columns)
    history["epoch"] = range(3)
    for axis in training_history(history, ["T1"]).axes:
        for line in axis.lines:
            if len(line.get_xdata()) == 3:
                assert [*line.get_xdata()] == [1, 2, 3]
