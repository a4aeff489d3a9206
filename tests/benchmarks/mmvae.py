"""One optimiser step of MMVAE, each decoder pass made again in the backward
pass or kept.

At 32³, batch 16, width 8 and 20 samples: time is paid for memory, which the
papers' shapes need.
"""

import statistics
import sys
import time

import torch
from timing import mb_of, peak_mb

from mmssl.objectives import generative
from mmssl.objectives.language import build
from mmssl.objectives.term import Batch
from mmssl.objectives.views import View

NAME = "MMVAE"
SHAPE = {"size": 32, "batch": 16, "width": 8, "samples": 20}
MODALITIES = ("T1", "fALFF")


class Step:
    """One optimiser step on random volumes."""

    def __init__(self, size: int, batch: int, width: int, samples: int):
        torch.manual_seed(0)
        layout = torch.channels_last_3d
        self.objective = build(
            "MMVAE", MODALITIES, size=size, width=width, samples=samples
        )
        self.objective.to(memory_format=layout)
        draw = torch.Generator().manual_seed(1)
        shape = (batch, 1, size, size, size)
        volumes = {
            m: torch.randn(shape, generator=draw).to(memory_format=layout)
            for m in MODALITIES
        }
        rows = dict.fromkeys(MODALITIES, torch.arange(batch))
        self.batch = Batch({"main": View(volumes, "main")}, rows)
        self.optimiser = torch.optim.RAdam(
            self.objective.parameters(), lr=4e-4
        )

    def __call__(self, way: str) -> tuple[float, float]:
        """Seconds and loss of one step."""
        original = generative.checkpoint
        if way == "kept":  # the peer: plain autograd over all passes
            generative.checkpoint = _keep_pass
        start = time.perf_counter()
        try:
            self.optimiser.zero_grad()
            loss = self.objective(self.batch)[0]
            loss.backward()
            self.optimiser.step()
        finally:
            generative.checkpoint = original
        return time.perf_counter() - start, loss.item()


def _keep_pass(function, z, **_):
    return function(z)


def measure(rounds: int) -> dict:
    """Seconds and peak memory of one step, checkpointed and not, at a small
    shape.
    """
    step = Step(**SHAPE)
    ways = ("again", "kept")
    for way in ways:
        step(way)
    times = {way: [] for way in ways}
    ratios = []
    for _ in range(min(rounds, 3)):
        for way in ways:
            seconds, _ = step(way)
            times[way].append(1e3 * seconds)
        ratios.append(times["kept"][-1] / times["again"][-1])
    peaks = {way: mb_of(__file__, *SHAPE.values(), way) for way in ways}
    report = {}
    for way in ways:
        report[f"passes {way}, peak MB"] = peaks[way]
    for way in ways:
        report[f"passes {way}, ms"] = statistics.median(times[way])
    report["time of a step, ratio"] = statistics.median(ratios)
    report["memory, ratio"] = peaks["kept"] / peaks["again"]
    return report


# a fresh process that takes one step: SIZE BATCH WIDTH SAMPLES WAY, the
# papers' 64 16 32 20
if __name__ == "__main__":
    sizes = [int(size) for size in sys.argv[1:5]]
    way = sys.argv[5] if len(sys.argv) > 5 else "again"
    seconds, _ = Step(*sizes)(way)
    print(seconds, peak_mb())
