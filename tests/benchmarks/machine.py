"""The machine: what it is called, what class of hardware it belongs to, and
how fast it copies and multiplies.
"""

import os
import platform
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch.nn.functional import conv2d

_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
_COPIED = 1 << 28  # bytes, far beyond any cache
_SIDE = 2048  # of the matrices that are multiplied
_DTYPES = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp64": torch.float64,
}


def machine() -> dict:
    """Processor, cores, class of hardware, and which instructions it has."""
    about = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    name = re.search(r"model name\s*: (.+)", about)
    return {
        "processor": name[1] if name else platform.machine(),
        "AMX": torch.cpu._is_amx_tile_supported(),
        "AVX-512 bfloat16": torch.cpu._is_avx512_bf16_supported(),
        "threads": torch.get_num_threads(),
        "class": hardware_class(about, len(os.sched_getaffinity(0))),
    }


def hardware_class(cpuinfo: str, cores: int) -> str:
    """Cores and vector instructions: machines of one class are compared.

    Parameters
    ----------
    cpuinfo : str
        As in /proc/cpuinfo.
    cores : int
    """
    flags = re.search(r"flags\s*: (.+)", cpuinfo)
    there = set(flags[1].split()) if flags else set()
    kind = [name for name in _FEATURES if name in there]
    return " ".join([f"{cores} cores", *kind])


def rates(rounds: int = 5) -> dict[str, float]:
    """Best of some rounds: bytes a second that a copy moves, and operations a
    second of a matrix product in each precision.

    A copy reads and writes: it moves twice its bytes. A product of two square
    matrices of side n takes 2 n^3 operations. BLAS takes it, and the
    convolutions' library as one of 1 x 1, which may be twice as fast: the
    faster counts.
    """
    source = torch.ones(_COPIED // 4)
    target = torch.empty_like(source)
    best = {"copy": 2 * _COPIED / _least(lambda: target.copy_(source), rounds)}
    for name, dtype in _DTYPES.items():
        a = torch.randn(_SIDE, _SIDE).to(dtype)
        image = a.view(1, _SIDE, -1, 32)
        image = image.contiguous(memory_format=torch.channels_last)
        kernel = a.view(_SIDE, _SIDE, 1, 1)
        products = (partial(torch.mm, a, a), partial(conv2d, image, kernel))
        seconds = min(_least(product, rounds) for product in products)
        best[name] = 2 * _SIDE**3 / seconds
    return best


def _least(call: Callable, rounds: int) -> float:
    """Least seconds of some rounds after one that warms up."""
    call()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken)
