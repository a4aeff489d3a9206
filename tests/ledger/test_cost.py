"""Seconds and memory of a block of code, also of one that fails."""

import mmap
import time
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from mmssl.ledger import cost


def test_seconds_are_those_of_the_block_and_memory_that_of_its_arrays():
    before = cost.held_memory()
    with cost.measured() as took:
        # asked of the system, whatever earlier tests have left in the heap
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        with mmap.mmap(-1, 200_000_000, flags=flags) as block:
            np.frombuffer(block, np.uint8)[:] = 1
            time.sleep(0.1)
    assert took.seconds >= 0.1
    # 200 MB that were there for a moment
    assert took.peak - before > 190e6


def test_what_is_mapped_from_a_file_is_no_memory_of_its_own(tmp_path):
    np.save(tmp_path / "x.npy", np.ones(10_000_000))
    with cost.measured() as took:
        start = cost.held_memory()
        total = np.load(tmp_path / "x.npy", mmap_mode="r").sum()
    assert total == 10_000_000
    assert took.peak - start < 20e6


def test_a_block_that_fails_is_measured_and_fails():
    with pytest.raises(KeyError), cost.measured() as took:
        raise KeyError
    assert took.seconds >= 0 and took.peak > 0


def test_where_the_system_does_not_say_memory_is_unknown(monkeypatch):
    monkeypatch.setattr(
        psutil.Process, "memory_info", lambda _: SimpleNamespace(rss=1)
    )
    with cost.measured() as took:
        pass
    assert np.isnan(took.peak) and took.seconds >= 0
