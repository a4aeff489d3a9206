"""Memory that is kept is not asked for again; afterwards it goes back."""

import ctypes
import resource

import pytest
import torch

from mmssl.pretrain import malloc

# 34 MB, the first layer's output at 64^3 and batch 8
SHAPE = 8, 32, 32, 32, 32
glibc = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs glibc"
)


def faults(times):
    """Page faults while a large tensor is made and dropped."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(SHAPE)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@glibc
def test_a_block_is_asked_for_once_and_given_back():
    page = resource.getpagesize()
    resident = 4 * torch.Size(SHAPE).numel() / page
    with malloc.kept():
        faults(20)  # until the heap has grown to hold it
        # less than one tensor's pages, in twenty tensors
        assert faults(20) < resident
        held = _resident_pages()
    assert held - _resident_pages() > resident / 2


def test_an_error_inside_is_passed_on():
    with pytest.raises(KeyError), malloc.kept():
        raise KeyError


def _resident_pages():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])
