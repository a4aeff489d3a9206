"""Curves and gains are those of the runs' own records."""

import pandas as pd
import pytest

from mmssl.evaluate import (
    last_validation,
    learned_above_chance,
    neighbour_curves,
    run_histories,
)


@pytest.fixture
def records(monkeypatch):
    """Stand for two runs by their records."""
    columns = {
        "epoch": [0, 1, 2],
        "train/loss": [9.0, 8.0, 7.0],
        "train/RR/loss": [5.0, 4.0, 3.0],
        "train/RR/chance": [5.5, 5.5, 5.5],
        "knn/T1": [0.5, 0.6, 0.7],
    }
    trained = pd.DataFrame(columns)
    validated = trained.assign(
        **{
            "valid/loss": [6.0, 5.0, 8.0],
            "valid/RR/loss": [4.0, 3.5, 6.0],
            "valid/RR/penalty": [2.0, 1.5, 2.0],
            "valid/RR/chance": [5.0, 5.0, 5.0],
            "valid/chance": [5.0, 5.0, 5.0],
            "knn/fALFF": [0.4, 0.3, 0.2],
        }
    )
    histories = {"a": trained, "b": validated, "c": validated}
    keep = {"a": "best", "b": "best", "c": "last"}
    monkeypatch.setattr(run_histories, "read_history", histories.get)
    monkeypatch.setattr(
        run_histories, "read_parameters", lambda run: {"keep": keep[run]}
    )


def test_curves_are_those_that_were_recorded(records):
    folders = {"first": "a", "second": "b"}
    curves = neighbour_curves(folders, ["T1", "fALFF"])
    found = curves.groupby(["model", "modality"])["auc"].apply(list).to_dict()
    assert found == {
        ("first", "T1"): [0.5, 0.6, 0.7],
        ("second", "T1"): [0.5, 0.6, 0.7],
        ("second", "fALFF"): [0.4, 0.3, 0.2],
    }
    assert set(curves["epoch"]) == {1, 2, 3}
    assert neighbour_curves(folders, ["other"]).empty


@pytest.mark.parametrize(
    ("run", "learned"),
    [("a", 5.5 - 3), ("b", 5 - 3.5), ("c", 5 - 6)],
    ids=["no validation people", "best epoch", "last epoch"],
)
def test_what_was_learned_is_that_of_the_kept_encoders(records, run, learned):
    assert learned_above_chance(run) == {"RR": pytest.approx(learned)}


def test_last_values_of_validation_stand_under_names_that_can_be_read():
    columns = ["epoch", "train/A/loss", "valid/A/loss", "valid/loss"]
    first = pd.DataFrame([(0, 9.0, 3.0, 8.0), (1, 7.0, 2.0, 6.0)])
    first = first.set_axis(columns, axis=1).assign(model="Z")
    other = pd.DataFrame({"epoch": [0], "rankme/T1": [12.0], "model": "A"})
    found = last_validation([first, other])
    assert [*found] == ["model", "A, loss", "RankMe of T1"]
    assert found["model"].tolist() == ["Z", "A"]
    assert found["A, loss"].iloc[0] == 2.0
    assert found["RankMe of T1"].iloc[1] == 12.0
    assert found.isna().sum().sum() == 2
