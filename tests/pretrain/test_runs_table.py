"""All runs in one table: fast, in order, and not stopped by one that is
broken.
"""

import json
import time

import numpy as np
import pandas as pd
import pytest
from small_cohort import SMALL_RUN

from mmssl import ledger
from mmssl.ledger.hashes import hash_json
from mmssl.ledger.manifest import write_manifest
from mmssl.pretrain import fit, read_history, read_runs
from mmssl.pretrain.runs_table import COLUMNS

SECONDS = 30
"""For a thousand runs, on a slow machine; it takes a few."""


@pytest.fixture(scope="module")
def runs(cohort, tmp_path_factory):
    """Give a folder of two runs of two kinds."""
    folder = tmp_path_factory.mktemp("runs")
    fit(cohort, "RR", folder / "RR-fold0-seed0", **SMALL_RUN)
    more = SMALL_RUN | {"epochs": 3, "seed": 4}
    fit(cohort, "CR-AE", folder / "deep" / "CR-AE", penalty=0.5, **more)
    return folder


def write_run(folder, **changes):
    """Write what a table reads of a run, and nothing else that is real."""
    folder.mkdir(parents=True)
    record = {
        "objective": "RR",
        "options": {},
        "epochs": 2,
        "fold": 0,
        "seed": 3,
        "device": "cpu",
        "threads": 1,
        "precision": "fp32",
        "cohort": {"name": "people", "hashes": {"T1.npy": "0" * 64}},
        "code": {"mmssl.pretrain.fit": "1" * 64},
    }
    (folder / "params.json").write_text(json.dumps(record | changes))
    (folder / "history.csv").write_text(
        "epoch,train/loss,train/chance,valid/loss,rankme/T1\n"
        "0,3.0,2.5,4.0,5.0\n1,1.0,2.5,4.5,6.0\n2,2.0,2.25,3.5,7.5\n"
    )
    for name in ("checkpoint.ckpt", "embeddings.npz", "exposures.json"):
        content = f"{folder.name} {name}" * 20
        (folder / name).write_text(content)
    if folder.suffix != ".partial":
        write_manifest(folder)
    return folder


def test_a_line_says_what_the_run_says(runs, cohort):
    table = read_runs(runs)
    assert table["name"].tolist() == ["RR-fold0-seed0", "deep/CR-AE"]
    assert tuple(table.columns[: len(COLUMNS)]) == COLUMNS
    assert (table["state"] == "finished").all() and not any(table["reason"])
    for name, line in table.set_index("name").iterrows():
        record = json.loads((runs / name / "params.json").read_text())
        for column in ("objective", "fold", "seed", "epochs", "precision"):
            assert line[column] == record[column]
        assert line["cohort"] == "test"
        assert line["data"] == hash_json(dict(cohort.hashes))[:12]
        assert line["code"] == hash_json(record["code"])[:12]
        history = read_history(runs / name)
        for role in ("train", "valid"):
            losses = history[f"{role}/loss"].tolist()
            assert line[f"{role}_first"] == losses[0]
            assert line[f"{role}_last"] == losses[-1]
            assert line[f"{role}_best"] == min(losses)
            chance = history[f"{role}/chance"].tolist()[-1]
            assert line[f"{role}_chance"] == chance
        for m in ("T1", "fALFF"):
            rank = history[f"rankme/{m}"].tolist()[-1]
            assert line[f"rankme/{m}"] == rank
    assert "penalty 0.5" in table["deviating"][1]


def test_losses_are_first_last_and_best(tmp_path):
    write_run(tmp_path / "a")
    (line,) = read_runs(tmp_path).to_dict("records")
    found = [line[f"train_{when}"] for when in ("first", "last", "best")]
    assert found == [3.0, 2.0, 1.0] and line["train_chance"] == 2.25
    found = [line[f"valid_{when}"] for when in ("first", "last", "best")]
    assert found == [4.0, 3.5, 3.5] and np.isnan(line["valid_chance"])
    assert line["rankme/T1"] == 7.5
    assert np.isnan(line["seconds"]) and np.isnan(line["core_hours"])


def test_only_what_most_have_otherwise_is_told(tmp_path):
    for name in "abc":
        write_run(tmp_path / name, width=32, keep="best")
    write_run(tmp_path / "d", width=8, keep="best", options={"penalty": 1})
    write_run(tmp_path / "e", width=32, keep="last", objective="My-Own")
    found = read_runs(tmp_path)["deviating"].tolist()
    assert found == ["", "", "", "width 8, penalty 1", "keep last"]


def cut(run):
    (run / "params.json").write_text('{"objective"')


def cut_and_recorded(run):
    cut(run)
    write_manifest(run)


def no_history(run):
    (run / "history.csv").unlink()


def no_checkpoint(run):
    (run / "checkpoint.ckpt").unlink()


def other_history(run):
    text = (run / "history.csv").read_text()
    (run / "history.csv").write_text(text.replace("1.0", "0.1"))


def words_for_losses(run):
    text = (run / "history.csv").read_text()
    (run / "history.csv").write_text(text.replace("1.0", "low"))
    write_manifest(run)


def empty_history(run):
    (run / "history.csv").write_text("")
    write_manifest(run)


def history_of_no_epoch(run):
    (run / "history.csv").write_text("epoch,train/loss\n")
    write_manifest(run)


def no_manifest(run):
    (run / "manifest.json").unlink()


def only_a_checkpoint(run):
    (run / "params.json").unlink()
    write_manifest(run)


def record_of(content):
    def change(run):
        (run / "params.json").write_text(json.dumps(content))
        write_manifest(run)

    return change


FEW = {"objective": "RR", "options": {}}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (cut, "params.json: was changed after it was made"),
        (cut_and_recorded, "Expecting|delimiter"),
        (no_history, "history.csv: not found, but it was made"),
        (no_checkpoint, "checkpoint.ckpt: not found, but it was made"),
        (other_history, "history.csv: was changed after it was made"),
        (words_for_losses, "could not convert string to float"),
        (empty_history, "No columns to parse from file"),
        (history_of_no_epoch, "IndexError"),
        (no_manifest, "manifest.json: not found"),
        (only_a_checkpoint, "params.json: not found"),
        (record_of([1]), "AttributeError: 'list' object"),
        (record_of({}), "params.json: objective is None, expected str"),
        (record_of(FEW | {"options": 3}), "params.json: options is 3"),
        (record_of(FEW), "KeyError: 'cohort'"),
        (record_of(FEW | {"cohort": "people"}), "TypeError"),
    ],
)
def test_a_broken_run_is_a_line_and_stops_nothing(tmp_path, change, reason):
    write_run(tmp_path / "a")
    change(write_run(tmp_path / "b"))
    write_run(tmp_path / "c")
    table = read_runs(tmp_path)
    assert table["state"].tolist() == ["finished", "unreadable", "finished"]
    assert table["reason"].str.contains(reason).tolist() == [
        False,
        True,
        False,
    ], table["reason"][1]
    assert str(tmp_path) not in table["reason"][1]


def test_runs_that_are_not_finished(tmp_path):
    write_run(tmp_path / "a.partial", seed=7)
    (tmp_path / "b.partial").mkdir()
    (tmp_path / "b.partial" / "last.ckpt").write_text("cut")
    (tmp_path / ".tmp-host-1-0" / "c").mkdir(parents=True)
    (tmp_path / ".tmp-host-1-0" / "c" / "params.json").write_text("{}")
    table = read_runs(tmp_path).set_index("name")
    assert table["state"].to_dict() == {"a": "unfinished", "b": "unreadable"}
    assert table["reason"]["b"] == "params.json: No such file or directory"
    assert table["seed"]["a"] == 7 and np.isnan(table["train_last"]["a"])


def test_a_folder_without_runs(tmp_path):
    table = read_runs(tmp_path)
    assert tuple(table.columns) == COLUMNS and table.empty
    with pytest.raises(ValueError, match="nowhere: not found; expected a fol"):
        read_runs(tmp_path / "nowhere")


def save_results(folder, runs):
    """Save a results table of some runs, by model."""
    lines, inputs = [], {"cohort": "0" * 64}
    for number, (model, run) in enumerate(runs.items()):
        inputs[f"{model}, fold 0"] = run / "embeddings.npz"
        for protocol in ("logistic regression", "linear projection"):
            line = {"protocol": protocol, "model": model, "modality": "T1"}
            line |= {"baseline": False, "auc": 0.5 + number / 8}
            lines.append(line | {"low": 0.25, "high": 0.875})
    made = ledger.Provenance(inputs, {}, 0, ("mmssl.ledger",))
    table = pd.DataFrame(lines)
    (file,) = made.save(folder, "linear_evaluation", {"": table})
    return file


def test_results_belong_to_runs_by_content_not_by_name(tmp_path):
    runs = {name: write_run(tmp_path / "runs" / name) for name in "ab"}
    renamed = {"b": runs["a"], "other, fold 0": runs["b"]}
    file = save_results(tmp_path / "results", renamed)
    write_run(tmp_path / "runs" / "c")
    table = read_runs(tmp_path / "runs", file).set_index("name")
    assert table["auc/T1"][["a", "b"]].tolist() == [0.5, 0.625]
    assert table["auc_low/T1"]["a"] == 0.25 and table["auc_high/T1"]["a"] > 0.8
    assert np.isnan(table["auc/T1"]["c"])
    assert table.columns[-3:].tolist() == [
        "auc/T1",
        "auc_low/T1",
        "auc_high/T1",
    ]
    file.write_text(file.read_text().replace("0.625", "0.925"))
    with pytest.raises(ValueError, match="linear_evaluation.tsv: .* changed"):
        read_runs(tmp_path / "runs", file)


def test_what_a_page_took_is_what_its_run_took(tmp_path):
    run = write_run(tmp_path / "runs" / "a")
    write_run(tmp_path / "runs" / "b")
    for name, seconds in (("first", 90.0), ("again", 3.0), ("other", 5.0)):
        page = tmp_path / "executed" / f"{name}.ipynb"
        page.parent.mkdir(exist_ok=True)
        page.write_text('{"cells": []}')
        place = tmp_path / "elsewhere" if name == "other" else run
        facts = {"seconds": seconds, "processor_seconds": 2 * seconds}
        parameters = {"run_dir": str(place)}
        made = ledger.Provenance({}, parameters, 0, ("mmssl.ledger",), facts)
        made.record(page)
    (tmp_path / "executed" / "broken.ipynb.json").write_text("{")
    executed = tmp_path / "executed"
    table = read_runs(tmp_path / "runs", executed=executed).set_index("name")
    assert table["seconds"]["a"] == 90 and table["core_hours"]["a"] == 0.05
    assert np.isnan(table["seconds"]["b"])


@pytest.mark.slow
def test_a_thousand_runs_in_seconds(tmp_path, tell):
    runs = {}
    for number in range(1000):
        name = f"run-{number:03d}"
        runs[name] = write_run(tmp_path / "runs" / name, seed=number)
    (runs["run-500"] / "params.json").write_text("{")
    file = save_results(tmp_path / "results", runs)
    began = time.perf_counter()
    table = read_runs(tmp_path / "runs", file)
    seconds = time.perf_counter() - began
    tell(f"a thousand runs read in {seconds:.1f} s")
    assert seconds < SECONDS
    assert len(table) == 1000
    assert table["state"].value_counts()["finished"] == 999
    assert table["auc/T1"].notna().sum() == 999
    readable = table[table["state"] == "finished"]
    numbers = readable["name"].str[-3:].astype(int)
    assert (readable["seed"] == numbers).all()
