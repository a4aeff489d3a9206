"""Every run has a line of its own, told apart from all others."""

import numpy as np
import pandas as pd

from mmssl.plotting import learning_curves


def test_every_run_is_drawn_and_told_apart():
    lines = []
    for number in range(26):
        for modality in ("T1", "fALFF"):
            for epoch in (1, 2, 3):
                auc = 0.5 + number / 100 + epoch / 50 + 0.01 * len(modality)
                lines.append((f"model {number}", modality, epoch, auc))
    table = pd.DataFrame(lines, columns=["model", "modality", "epoch", "auc"])
    figure = learning_curves(table)
    assert [a.get_title(loc="left") for a in figure.axes] == ["T1", "fALFF"]
    for axis in figure.axes:
        modality = axis.get_title(loc="left")
        *drawn, chance = axis.lines
        assert list(chance.get_ydata()) == [0.5, 0.5]
        looks = {(line.get_color(), line.get_linestyle()) for line in drawn}
        assert len(looks) == len(drawn) == 26
        for line in drawn:
            own = table[table["model"] == line.get_label()]
            own = own[own["modality"] == modality]
            np.testing.assert_array_equal(line.get_ydata(), own["auc"])
            np.testing.assert_array_equal(line.get_xdata(), own["epoch"])
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == [f"model {number}" for number in range(26)]
