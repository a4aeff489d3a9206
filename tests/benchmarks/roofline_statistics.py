"""How near to the machine's limits statistics come.

Bytes are those of the input and the result, as if they passed the memory once;
"alone" are the calls of libraries that do the arithmetic, one after the other.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from group_maps import labels, people
from machine import rates
from roofline import Work, replayed, rows
from scipy import ndimage

from mmssl.groupmaps import tfce
from mmssl.groupmaps.mann_whitney import max_statistic_test, rank_biserial
from mmssl.similarity.measures import cka

NAME = "Statistics"
KIND = "roofline"
VOXELS, PERMUTATIONS = 60_000, 10_000
BLOCK = 1024


def measure(rounds: int) -> list[dict]:
    """A line a path."""
    return list(rows(works(), rates(), rounds))


def works() -> Iterator[Work]:
    """Every path, made when its turn comes."""
    yield _ranks()
    yield _permutations()
    yield _tfce()
    yield _cka()


def _ranks() -> Work:
    """A map of rank-biserial correlations."""
    values = people(67_000)
    n, voxels = values.shape
    groups = values[labels()], values[~labels()]
    call = partial(rank_biserial, *groups)
    blocks = np.array_split(values, voxels // 1000, axis=1)

    places = np.arange(float(n))

    def in_order(block: np.ndarray) -> None:
        columns = block.T.astype(np.float64, order="C")
        columns.sort(axis=1)
        (columns.view(np.int64) & 1).astype(np.float64) @ places

    def alone() -> None:
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            list(pool.map(in_order, blocks))

    return Work(
        "rank-biserial map, 88 people, 67,000 voxels",
        "n log2 n comparisons a voxel; values read, three numbers a voxel "
        "written",
        n * np.log2(n) * voxels,
        values.nbytes + 3 * 8 * voxels,
        call,
        alone=alone,
        library="NumPy's copy, sort and product of each voxel",
    )


def _permutations() -> Work:
    """The test of the largest value."""
    values = people(VOXELS)
    n = len(values)
    draws = torch.ones(PERMUTATIONS, n)
    ranks = torch.ones(n, VOXELS)

    def alone() -> None:
        for columns in ranks.split(BLOCK, 1):
            block = columns.contiguous()
            for rows_ in draws.split(BLOCK):
                rows_ @ block

    call = partial(
        max_statistic_test, values, labels(), PERMUTATIONS, progress=False
    )
    return Work(
        "10,000 permutations, 88 people, 60,000 voxels",
        "2 P V n of the product of labels and ranks; values and labels read, "
        "a p a voxel written",
        2.0 * PERMUTATIONS * VOXELS * n,
        values.nbytes + 4 * PERMUTATIONS * n + 8 * VOXELS,
        call,
        alone=alone,
        library="the matrix product, block by block",
    )


def _tfce() -> Work:
    """Enhanced maps of a smooth field."""
    mask = np.ones((32, 32, 32), bool)
    rng = np.random.default_rng(0)
    fields = ndimage.gaussian_filter(rng.normal(size=(16, *mask.shape)), 1.5)
    maps = fields.reshape(16, -1)
    maps = 0.9 * maps / np.abs(maps).max()
    levels = (np.abs(maps) / tfce.STEP).astype(int)
    reached = float(levels.sum())
    call = partial(tfce.enhance, maps, mask)
    library = (tfce, "connected_components")
    return Work(
        "TFCE of 16 maps of 32³",
        "2 operations at each level that a voxel reaches, and 3 neighbours "
        "compared a voxel; map read and written as float64",
        2 * reached + 3 * maps.size,
        2 * maps.nbytes,
        call,
        "fp64",
        alone=replayed(call, library, (np, "argsort")),
        library="SciPy's connected components and NumPy's sort",
    )


def _cka() -> Work:
    """Debiased CKA of many people."""
    n, d = 4000, 64
    x, y = np.random.default_rng(0).normal(size=(2, n, d))

    def alone() -> None:
        for a, b in ((x, y), (x, x), (y, y)):
            a.T @ b

    return Work(
        "debiased CKA, 4000 people, 64 dimensions",
        "3 products of 2 n d², in float64; both codes read",
        3 * 2.0 * n * d**2,
        x.nbytes + y.nbytes,
        partial(cka, x, y, True),
        "fp64",
        alone=alone,
        library="its three matrix products",
    )
