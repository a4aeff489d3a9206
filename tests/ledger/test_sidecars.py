"""Hashes against hashlib, fingerprints against Python's own importer,
staleness, leaks.
"""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmssl.ledger import code as fingerprints
from mmssl.ledger import sidecars as ledger
from mmssl.ledger.code import fingerprint, imports
from mmssl.ledger.hashes import hash_array, hash_file, hash_json, hash_path
from mmssl.ledger.sidecars import (
    read_sidecar,
    sidecar_of,
    stale,
    write_sidecar,
)


def test_hash_file_is_sha256(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc" * 1000)
    assert hash_file(path) == hashlib.sha256(b"abc" * 1000).hexdigest()


def test_hash_array_sees_values_shape_and_type_but_not_memory_order(rng):
    array = rng.normal(size=(7, 8, 9)).astype(np.float32)
    same = np.asfortranarray(array)
    assert hash_array(array) == hash_array(same) == hash_array(array.copy())
    changed = array.copy()
    changed[3, 4, 5] = np.nextafter(changed[3, 4, 5], np.float32(9))
    others = (
        changed,
        array.reshape(8, 7, 9),
        array.astype(np.float64),
        array.swapaxes(0, 1),
    )
    assert len({hash_array(x) for x in (array, *others)}) == 5


@given(
    st.dictionaries(
        st.text(), st.integers() | st.text() | st.none(), min_size=2
    )
)
def test_hash_json_ignores_order(mapping):
    backwards = dict(reversed(mapping.items()))
    assert hash_json(mapping) == hash_json(backwards)


def test_hash_json_takes_numpy_and_refuses_what_it_cannot_keep():
    assert hash_json({"a": np.float64(0.5)}) == hash_json({"a": 0.5})
    with pytest.raises(TypeError, match="no place in a record"):
        hash_json(object())
    with pytest.raises(ValueError, match="Out of range"):
        hash_json(float("nan"))


def test_hash_notebook_sees_cells_not_outputs(tmp_path):
    cell = {
        "cell_type": "code",
        "source": ["a = 1"],
        "outputs": [],
        "execution_count": None,
    }
    ran = cell | {"outputs": [{"output_type": "stream"}], "execution_count": 3}
    hashes = []
    for name, content in (
        ("a", cell),
        ("b", ran),
        ("c", cell | {"source": "a = 2"}),
    ):
        path = tmp_path / f"{name}.ipynb"
        path.write_text(json.dumps({"cells": [content]}))
        hashes.append(hash_path(path))
    assert hashes[0] == hashes[1] != hashes[2]


def test_hash_path_of_a_folder_sees_names_and_bytes_not_unfinished_files(
    tmp_path,
):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_text("1")
    first = hash_path(tmp_path)
    (tmp_path / ".tmp-1234-x").write_text("half")
    (tmp_path / "run.partial").mkdir()
    (tmp_path / "run.partial" / "last.ckpt").write_text("half")
    assert hash_path(tmp_path) == first
    (tmp_path / "b" / "x").rename(tmp_path / "b" / "y")
    assert hash_path(tmp_path) != first


def test_fingerprint_finds_what_python_imports():
    """Whatever importing the module loads of mmssl must be in its static
    fingerprint.
    """
    for name in ("mmssl.ledger.sidecars", "mmssl.plotting", "mmssl.models"):
        code = f"import {name}, sys; print(*[m for m in sys.modules if m.split('.')[0] == 'mmssl'])"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True
        )
        assert set(done.stdout.decode().split()) <= set(fingerprint(name))


def test_fingerprint_changes_with_a_module_two_imports_away(
    tmp_path, monkeypatch
):
    for name, source in {
        "__init__": "def __getattr__(name): ...",
        "top": "def f():\n    from mmssl.part import thing",
        "aside": "",
        "part/__init__": "from . import inner\nfrom .inner import deep",
        "part/inner": "from .. import bottom",
        "bottom": "import mmssl\nmmssl.chained.call()",
        "chained": "",
        "lazy/__init__": "def __getattr__(name): ...",
        "lazy/one": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.setattr(fingerprints, "PACKAGE", tmp_path)
    found = fingerprint("mmssl.top")
    parts = ("", ".bottom", ".chained", ".part", ".part.inner", ".top")
    assert list(found) == [f"mmssl{part}" for part in parts]
    (tmp_path / "bottom.py").write_text(
        "import mmssl\nmmssl.chained.call()  # now"
    )
    now = fingerprint("mmssl.top")
    assert [name for name in now if now[name] != found[name]] == [
        "mmssl.bottom"
    ]
    assert list(fingerprint("mmssl.lazy")) == [
        "mmssl",
        "mmssl.lazy",
        "mmssl.lazy.one",
    ]


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("from mmssl import lazy\nlazy.name()", {"one"}),
        ("import mmssl\nmmssl.lazy.name.more", {"one"}),
        ("from mmssl import lazy as other\nother.two.deep()", {"two"}),
        ("from mmssl.lazy import name as x", {"one"}),
        ("from mmssl.lazy import one, two", {"one", "two"}),
        ("import mmssl.lazy.two", {"two"}),
        ("from mmssl import lazy", set()),
        ("from mmssl import lazy\nshow(lazy)", {"one", "two"}),
        ("from mmssl import lazy\ngetattr(lazy, chosen)", {"one", "two"}),
        ("from mmssl import lazy\nlazy.nowhere_written()", {"one", "two"}),
        ("from mmssl.lazy import *", {"one", "two"}),
        ("import numpy as lazy\nlazy.name()", set()),
    ],
)
def test_of_a_lazy_package_counts_what_is_used(
    tmp_path, monkeypatch, source, parts
):
    for name, content in {
        "__init__": "def __getattr__(name): ...",
        "lazy/__init__": '_HOME = {"name": "one"}\ndef __getattr__(name): ...',
        "lazy/one": "",
        "lazy/two": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.setattr(fingerprints, "PACKAGE", tmp_path)
    found = fingerprint(*imports(source))
    expected = {f"mmssl.lazy.{part}" for part in parts}
    assert {
        name for name in found if name.startswith("mmssl.lazy.")
    } == expected
    assert "mmssl.lazy" in found or not parts


def test_what_a_script_loads_through_a_lazy_package_is_in_its_fingerprint():
    code = "from mmssl import cohorts, preprocessing\ncohorts.Cohort, preprocessing.falff"
    show = "\nimport sys; print(*[m for m in sys.modules if m.split('.')[0] == 'mmssl'])"
    done = subprocess.run(
        [sys.executable, "-c", code + show], capture_output=True, check=True
    )
    found = fingerprint(*imports(code))
    assert set(done.stdout.decode().split()) <= set(found)
    assert (
        "mmssl.cohorts.simulated.phantom" not in found
        and "mmssl.preprocessing.person" not in found
    )


def test_fingerprint_refuses_an_unknown_module():
    with pytest.raises(ValueError, match="mmssl.nothing"):
        fingerprint("mmssl.nothing")


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
    now = fingerprint("mmssl.ledger.sidecars") | {
        "mmssl.ledger.atomic": "0" * 64
    }
    monkeypatch.setattr(ledger, "fingerprint", lambda *modules: now)
    assert stale(table) == ["module mmssl.ledger.atomic has changed"]


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
