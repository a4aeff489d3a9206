"""The parts of `make bench`: each is found with what it imports, is kept with
the code that it measured, and meets the page.
"""

import ast
import importlib.util
import json
from pathlib import Path

import pytest
import targets

HERE = Path(__file__).parent
SPEC = importlib.util.spec_from_file_location("bench_run", HERE / "run.py")
run = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(run)


def named(part):
    """Give the name that a part has on the page, from its source."""
    source = (HERE / f"{part}.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    assert ast.get_docstring(tree)
    functions = [n.name for n in tree.body if isinstance(n, ast.FunctionDef)]
    assert "measure" in functions
    for node in tree.body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "NAME":
            return ast.literal_eval(node.value)
    raise AssertionError(f"{part}: no NAME")


def test_every_part_says_what_it_measures_under_a_name_of_its_own():
    names = [named(part) for part in run.part_names()]
    assert len(names) > 15
    assert len(set(names)) == len(names)


def test_every_target_is_of_a_part():
    names = {named(part) for part in run.part_names()}
    for target in targets.TARGETS:
        assert target.path in names
        source = "".join(
            (HERE / f"{part}.py").read_text(encoding="utf-8")
            for part in run.part_names()
        )
        assert target.figure.split(",")[0] in source


def test_the_modules_beside_a_part_count_with_it():
    found = set(run.drivers("growth_voxels"))
    assert {"growth_voxels", "growth", "growth_costs", "timing"} <= found
    code = run.measured_code("growth_voxels")
    assert "mmssl.groupmaps.tfce" in code
    assert "mmssl.stats.auc" in code


def test_a_part_is_kept_for_its_code_and_class_alone(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mmssl"\n')
    (tmp_path / "cka.py").write_text("NAME = 'CKA'\n")
    monkeypatch.setattr(run, "HERE", tmp_path)
    monkeypatch.setattr(run, "KEPT", tmp_path / "speed")
    assert not run.is_kept("cka", "2 cores")
    run.keep("cka", {"machine": {"class": "2 cores"}}, rounds=3)
    assert run.is_kept("cka", "2 cores")
    assert not run.is_kept("cka", "64 cores")
    (tmp_path / "cka.py").write_text("NAME = 'another'\n")
    assert not run.is_kept("cka", "2 cores")


@pytest.mark.parametrize("kind", run.TABLES)
def test_parts_of_each_kind_reach_the_report(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "KEPT", tmp_path)
    shown = {"kind": "figures", "name": "CKA", "figures": {"ours, ratio": 3}}
    table = {"kind": kind, "name": "table", "figures": [{"name": "a"}]}
    (tmp_path / "first.json").write_text(json.dumps(shown))
    (tmp_path / "second.json").write_text(json.dumps(table))
    report = run.report_of(["first", "second"])
    assert report["paths"][0] == shown
    assert report["paths"][-1]["name"] == "Notebooks"
    assert report[kind] == [table]
    assert len(report["targets"]) == len(targets.TARGETS)
