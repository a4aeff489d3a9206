"""Cropped and flipped pairs per second at 64³ against a TorchIO
SubjectsDataset.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import peers
import torch

from mmssl.models.keyed_random import Stream
from mmssl.objectives.views import PadCropFlip, make_views

NAME = "Input pipeline"


def measure(rounds: int, pairs: int = 192) -> dict:
    """Cropped and flipped pairs per second at 64x64x64 against a TorchIO
    SubjectsDataset.
    """
    rng = np.random.default_rng(0)
    cohort = {
        m: rng.normal(size=(pairs, 1, 64, 64, 64)).astype("f2")
        for m in ("T1", "fALFF")
    }
    inputs = {m: torch.from_numpy(x) for m, x in cohort.items()}
    recipe = PadCropFlip(pad=8)

    def pairs_per_second(step: int) -> float:
        start = time.perf_counter()
        for rows in torch.from_numpy(rng.permutation(pairs)).split(64):
            chosen = dict.fromkeys(inputs, rows)
            make_views(
                inputs, chosen, {"main": None}, recipe, Stream(rows, 0, step)
            )
        return pairs / (time.perf_counter() - start)

    with tempfile.TemporaryDirectory() as folder:
        files = peers.write_pairs(Path(folder), pairs)
        package, torchio, ratios = [], [], []
        for step in range(rounds):
            pairs_per_second(step)  # as in training, once memory is there
            package.append(pairs_per_second(step))
            torchio.append(peers.torchio_pairs_per_second(files))
            ratios.append(package[-1] / torchio[-1])
    return {
        "pairs a second": statistics.median(package),
        "pairs a second, TorchIO": statistics.median(torchio),
        "pairs, ratio": statistics.median(ratios),
    }
