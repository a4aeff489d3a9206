"""Tables and sentences on few labels say what their numbers say."""

import numpy as np
import pandas as pd
import pytest

from mmssl.evaluate import (
    formatted_convergence,
    formatted_deviation,
    formatted_efficiency,
    worth_of_pretraining,
)


def gains(*lines):
    """Lines of a table: task, measure, model, ratio, seeds, gain, low, high;
    before them what training from scratch reached.
    """
    columns = ["task", "measure", "model", "ratio", "seeds"]
    columns += ["difference", "difference_low", "difference_high"]
    table = pd.DataFrame(lines, columns=columns).assign(baseline=False)
    nothing = dict.fromkeys(columns[-3:], np.nan)
    scratch = table.assign(baseline=True, model="from scratch", **nothing)
    both = pd.concat([scratch, table], ignore_index=True)
    return both.assign(
        labelled=(400 * both["ratio"]).round().astype(int),
        value=0.75,
        low=0.7,
        high=0.8,
        sd=0.05,
        p_corrected=0.5,
        bootstrap_low=both["difference_low"],
        bootstrap_high=both["difference_high"],
    )


@pytest.mark.parametrize("seeds", [1, 2])
def test_of_few_trainings_nothing_is_concluded(seeds):
    table = gains(
        ("lesion", "AUC", "A", 0.1, seeds, 0.03, 0.01, 0.05),
        ("lesion", "AUC", "B", 0.1, seeds, -0.02, -0.8, 0.8),
        ("mask", "Dice", "A", 0.1, 1, -0.04, -0.06, -0.02),
        ("lesion", "AUC", "A", 1.0, seeds, 0.5, 0.4, 0.6),
    )
    said = worth_of_pretraining(table)
    assert said.startswith("With 40 labelled people (10%), the gain over")
    count = "one training" if seeds == 1 else "two trainings"
    assert f"between -0.02 and +0.03 AUC on *lesion* ({count} each)" in said
    assert "-0.04 Dice on *mask* (one training each)" in said
    assert "nothing is concluded" in said
    assert "beat" not in said and "±" not in said


def test_of_more_trainings_an_interval_decides_and_names_its_measure():
    lines = [
        ("lesion", "AUC", "A", 0.1, 3, 0.03, -0.01, 0.07),
        ("lesion", "AUC", "B", 0.1, 3, 0.0, -0.3, 0.3),
        ("mask", "Dice", "A", 0.1, 3, -0.04, -0.06, -0.02),
    ]
    said = worth_of_pretraining(gains(*lines))
    assert "was not shown to beat" in said
    assert "± 0.04 AUC on *lesion* and ± 0.02 Dice on *mask*" in said
    won = ("mask", "Dice", "B", 0.1, 3, 0.2, 0.1, 0.3)
    said = worth_of_pretraining(gains(*lines, won))
    assert "**B** on *mask* (+0.20 Dice)" in said
    assert "not shown" not in said and "**A**" not in said
    # tasks of more and of fewer trainings are told apart
    once = ("tissue", "Dice", "A", 0.1, 1, 0.2, 0.1, 0.3)
    said = worth_of_pretraining(gains(*lines, once))
    assert "not shown" in said and "There, the gain over training from" in said
    assert "+0.20 Dice on *tissue* (one training each)" in said


def test_a_table_shows_its_numbers_and_dashes_where_there_is_none():
    table = gains(("lesion", "AUC", "A", 0.1, 2, 0.031, -0.012, 0.07))
    table.loc[0, ["sd", "p_corrected"]] = np.nan
    scratch, model = formatted_efficiency(table).to_dict("records")
    assert scratch["gain [95 %]"] == scratch["corrected p"] == "–"
    assert scratch["SD"] == scratch["bootstrap"] == "–"
    assert model["AUC [95 %]"] == "0.75 [0.70, 0.80]"
    assert model["gain [95 %]"] == "+0.03 [-0.01, +0.07]"
    assert model["bootstrap"] == "[-0.01, +0.07]"
    assert model["SD"] == "0.05" and model["corrected p"] == "0.500"
    assert "task" not in model
    two = pd.concat([table, table.assign(task="mask", measure="Dice")])
    shown = formatted_efficiency(two)
    assert set(shown["task"]) == {"lesion, AUC", "mask, Dice"}
    assert set(shown["value [95 %]"]) == {"0.75 [0.70, 0.80]"}
    moved = formatted_deviation(table.assign(kind="gamma"))
    assert moved["difference [95 %]"].tolist() == [
        "–",
        "+0.031 [-0.012, +0.070]",
    ]


def test_steps_are_whole_and_have_no_interval_of_two_trainings():
    table = pd.DataFrame(
        {
            "model": ["from scratch", "A", "B"],
            "ratio": 0.1,
            "seeds": [2, 2, 3],
            "best": 0.876,
            "steps": [64.6, 55.0, 50.0],
            "low": [np.nan, np.nan, 41.0],
            "high": [np.nan, np.nan, 59.0],
            "saved": [np.nan, 0.1625, 0.25],
            "saved_low": [np.nan, np.nan, 0.1],
            "saved_high": [np.nan, np.nan, 0.4],
        }
    )
    shown = formatted_convergence(table)
    assert shown["steps"].tolist() == ["65", "55", "50 [41, 59]"]
    assert shown["saved"].tolist() == ["–", "16 %", "25 % [10, 40]"]
    assert shown["best AUC"].tolist() == ["0.88"] * 3
    assert shown["labels"].tolist() == ["10%"] * 3
