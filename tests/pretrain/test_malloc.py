"""Memory that is kept is not asked for again; afterwards it goes back."""

import ctypes
import resource

import pytest
import torch

from mmssl.pretrain.malloc import keep_freed_memory

# 34 MB, the first layer's output at 64^3 and batch 8
SHAPE = 8, 32, 32, 32, 32
glibc = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs glibc"
)


def page_faults(times):
    """Page faults while a large tensor is made and dropped."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(SHAPE)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident_pages():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])


@glibc
def test_a_block_is_asked_for_once_and_given_back():
    pages = 4 * torch.Size(SHAPE).numel() / resource.getpagesize()
    with keep_freed_memory():
        page_faults(20)  # until the heap has grown to hold it
        # less than one tensor's pages, in twenty tensors
        assert page_faults(20) < pages
        inside = resident_pages()
    assert inside - resident_pages() > pages / 2


def test_an_error_inside_is_passed_on():
    with pytest.raises(KeyError), keep_freed_memory():
        raise KeyError
