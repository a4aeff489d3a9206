"""Sidecars record what made an artefact, and every change makes it stale."""

import json

import pytest

from mmssl.ledger import code, sidecars
from mmssl.ledger.code import fingerprint, source_of
from mmssl.ledger.sidecars import (
    read_sidecar,
    sidecar_of,
    stale,
    versions,
    write_sidecar,
)


@pytest.fixture
def table(tmp_path):
    """Give a table with a sidecar and one input of each kind."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mmssl"\n')
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "in.npy").write_text("1")
    path = tmp_path / "results" / "table.tsv"
    path.parent.mkdir()
    path.write_text("a\tb\n")
    inputs = {"volumes": tmp_path / "data", "weights": "0" * 64}
    write_sidecar(
        path,
        inputs,
        {"width": 8},
        3,
        ("mmssl.ledger.sidecars",),
        {"seconds": 2.0},
    )
    return path


def test_a_fresh_artefact_has_no_reason_to_be_stale(table):
    record = read_sidecar(table)
    assert stale(table) == []
    assert record["seed"] == 3 and record["parameters"] == {"width": 8}
    assert record["inputs"]["volumes"]["path"] == "data"
    assert record["versions"]["python"].startswith("3.11")
    assert set(record["threads"]) == {"OMP_NUM_THREADS", "torch"}


def test_every_change_is_a_reason(table, monkeypatch):
    root = table.parents[1]
    (root / "data" / "in.npy").write_text("2")
    assert stale(table) == ["its input volumes (data) has changed"]
    (root / "data" / "in.npy").write_text("1")
    table.write_text("a\tc\n")
    assert stale(table) == ["table.tsv was changed after it was made"]
    table.write_text("a\tb\n")
    (root / "data").rename(root / "elsewhere")
    assert stale(table) == ["its input volumes (data) is gone"]
    (root / "elsewhere").rename(root / "data")
    now = fingerprint("mmssl.ledger.sidecars")
    now["mmssl.ledger.atomic"] = "0" * 64
    monkeypatch.setattr(sidecars, "fingerprint", lambda *_, **__: now)
    assert stale(table) == ["module mmssl.ledger.atomic has changed"]


def test_what_had_no_part_is_no_reason(table, monkeypatch):
    module, left_out = "mmssl.ledger.manifest", "mmssl.ledger.hashes"
    modules, cut = (module,), {(module, left_out)}
    write_sidecar(table, {}, {}, 0, modules, without=cut)
    record = read_sidecar(table)
    assert left_out not in record["code"] and module in record["code"]
    assert record["without"] == [[module, left_out]]
    assert stale(table) == stale(table, once=True) == []
    found = code.hash_file

    def edited(name):
        """Hashes of a checkout in which one file is another."""
        changed = {source_of(name): "0" * 64}
        return lambda path: changed.get(path) or found(path)

    monkeypatch.setattr(code, "hash_file", edited(left_out))
    assert stale(table) == []
    monkeypatch.setattr(code, "hash_file", edited(module))
    assert stale(table) == [f"module {module} has changed"]


@pytest.mark.parametrize("entry", [5, "ab", ["a"], ["a", "b", "c"], ["a", 1]])
def test_what_had_no_part_is_named_as_a_module_and_its_import(table, entry):
    record = read_sidecar(table)
    sidecar_of(table).write_text(json.dumps({**record, "without": [entry]}))
    with pytest.raises(ValueError, match="expected pairs of names"):
        read_sidecar(table)


def test_missing_artefacts_sidecars_and_inputs_are_said(table, tmp_path):
    assert stale(tmp_path / "none.tsv") == ["none.tsv does not exist"]
    sidecar_of(table).unlink()
    assert "no sidecar" in stale(table)[0]
    with pytest.raises(FileNotFoundError):
        write_sidecar(
            table,
            {"in": tmp_path / "none"},
            {},
            None,
            ("mmssl.ledger.sidecars",),
        )
    assert not sidecar_of(table).exists()


def test_a_touched_date_is_no_reason(table):
    table.touch()
    assert stale(table) == []


def test_versions_are_those_of_what_is_installed():
    import numpy as np

    import mmssl

    found = versions()
    assert found["numpy"] == np.__version__
    assert found["mmssl"] == mmssl.__version__
    assert {"torch", "scikit-learn", "SimpleITK"} <= set(found)
