"""Arrays that a long computation keeps: made once, and never believed when
they were changed.
"""

import numpy as np
import pytest

from mmssl.ledger.kept import is_kept, kept
from mmssl.ledger.manifest import MANIFEST


def counted(calls):
    def make():
        calls.append(len(calls))
        return {"a": np.arange(6.0).reshape(2, 3), "b": np.array([True])}

    return make


def test_what_is_made_once_is_read_from_then_on(tmp_path):
    calls = []
    assert not is_kept(tmp_path, "one")
    first = kept(tmp_path, "one", counted(calls))
    assert is_kept(tmp_path, "one") and not is_kept(tmp_path, "other")
    again = kept(tmp_path, "one", counted(calls))
    assert len(calls) == 1
    assert first.keys() == again.keys() == {"a", "b"}
    for name, array in first.items():
        assert np.array_equal(array, again[name])
        assert array.dtype == again[name].dtype
    kept(tmp_path, "other", counted(calls))
    assert len(calls) == 2 and is_kept(tmp_path, "one")


def test_a_file_without_its_hash_is_made_anew(tmp_path):
    """As a process leaves it that was killed between the two."""
    calls = []
    kept(tmp_path, "one", counted(calls))
    np.savez(tmp_path / "two.npz", a=np.zeros(3))
    assert not is_kept(tmp_path, "two")
    assert kept(tmp_path, "two", counted(calls))["a"].shape == (2, 3)
    (tmp_path / MANIFEST).unlink()
    assert not is_kept(tmp_path, "one")


def test_a_changed_file_is_refused(tmp_path):
    calls = []
    kept(tmp_path, "one", counted(calls))
    file = tmp_path / "one.npz"
    content = bytearray(file.read_bytes())
    content[40] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="one.npz: was changed after it"):
        kept(tmp_path, "one", counted(calls))
    assert len(calls) == 1


def test_what_fails_leaves_nothing(tmp_path):
    def fail():
        raise RuntimeError("no power")

    with pytest.raises(RuntimeError, match="no power"):
        kept(tmp_path, "one", fail)
    assert not list(tmp_path.iterdir())
