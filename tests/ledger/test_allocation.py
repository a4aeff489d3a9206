"""A new array is one of NumPy's, and its room on the disk is taken."""

import numpy as np
import pytest

from mmssl.ledger import allocation, atomic


@pytest.mark.parametrize("fortran_order", [False, True])
def test_a_new_array_is_zeros_that_are_not_sparse(tmp_path, fortran_order):
    file = tmp_path / "new.npy"
    made = allocation.new_array(file, (64, 128, 9), "f4", fortran_order)
    assert made.flags.f_contiguous == fortran_order
    size = file.stat()
    assert size.st_blocks * 512 >= size.st_size > made.nbytes
    made[1, 2, 3] = 4
    made.flush()
    expected = np.zeros((64, 128, 9), "f4")
    expected[1, 2, 3] = 4
    np.testing.assert_array_equal(np.load(file), expected)


def test_a_full_disk_is_said_of_the_folder_that_was_asked_for(
    tmp_path, monkeypatch
):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(allocation, "_allocate", full)
    with (
        pytest.raises(OSError, match="no room for new.npy") as caught,
        atomic.directory(tmp_path / "cohort") as temporary,
    ):
        allocation.new_array(temporary / "new.npy", (2, 3), "f8")
    assert str(tmp_path) in str(caught.value)
    assert atomic.UNFINISHED not in str(caught.value)
    assert "48 bytes needed" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
