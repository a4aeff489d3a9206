"""Names, numbers and legends of figures stand clear of each other."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from mmssl import plotting
from mmssl.ledger import paths

CHOICES = paths.project("book/training_choices.tsv")


def _stand_apart(texts):
    shown = [text for text in texts if text.get_text()]
    boxes = [text.get_window_extent() for text in shown]
    return all(one.x1 < other.x0 for one, other in pairwise(boxes))


def test_choices_of_crops_stand_apart():
    table = pd.read_csv(CHOICES, sep="\t")
    is_crop = table["choice"].str.contains("crops,")
    table = table[is_crop & (table["objective"] == "RR")]
    figure = plotting.crops_and_shortcuts(table)
    figure.draw_without_rendering()
    for axis in figure.axes:
        assert len(axis.get_xticklabels()) == 4
        assert _stand_apart(axis.get_xticklabels())


@pytest.mark.parametrize("reach", [0.02, 0.189, 0.45, 0.99])
def test_gains_have_three_numbers_that_stand_apart(reach):
    table = pd.DataFrame(
        {
            "model": ["random encoder", "CR", "XX"],
            "modality": "T1",
            "baseline": [True, False, False],
            "auc": [0.6, 0.7, 0.8],
            "low": 0.5,
            "high": 0.9,
            "auc_sd": np.nan,
            "difference": [np.nan, 0.0, 0.01],
            "difference_low": [np.nan, -reach, 0.0],
            "difference_high": [np.nan, reach, 0.02],
            "minimum_detectable": [np.nan, 0.1, np.nan],
        }
    )
    figure = plotting.linear_evaluation(table)
    figure.draw_without_rendering()
    gains = figure.axes[-1]
    low, _, high = gains.get_xticks()
    assert -low == high >= 0.45 * reach
    assert high < gains.get_xlim()[1]
    assert _stand_apart(gains.get_xticklabels())


def test_the_legend_of_head_motion_lies_beside_its_curves():
    columns = [f"{a}_{unit}" for unit in ("mm", "rad") for a in "xyz"]
    columns += ["volume", "framewise_displacement"]
    motion = pd.DataFrame(np.ones((4, len(columns))), columns=columns)
    figure = plotting.head_motion(motion)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [*"xyz"]
    last = max(axis.get_tightbbox().x1 for axis in figure.axes)
    assert legend.get_window_extent().x0 >= last


def test_names_of_quality_end_above_their_panel_and_have_a_unit():
    names = ["mean_framewise_displacement_mm", "normalised_mutual_information"]
    figures = pd.DataFrame(np.ones((3, 2)), columns=names)
    unusual = pd.Series([None] * 3, dtype=object)
    figure = plotting.quality_distributions(figures, unusual)
    figure.draw_without_rendering()
    motion, mutual, *_ = figure.axes
    assert (motion.get_ylabel(), mutual.get_ylabel()) == ("mm", "ratio")
    assert "mm" not in motion.get_title("left")
    for axis in (motion, mutual):
        title = axis._left_title.get_window_extent()
        assert title.x1 <= axis.get_window_extent().x1
