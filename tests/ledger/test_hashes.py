"""Hashes against hashlib, and what they do and do not depend on."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmssl.ledger.hashes import hash_array, hash_file, hash_json, hash_path


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
    ran = dict(cell, outputs=[{"output_type": "stream"}], execution_count=3)
    edited = dict(cell, source="a = 2")
    hashes = []
    for number, content in enumerate((cell, ran, edited)):
        path = tmp_path / f"{number}.ipynb"
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
