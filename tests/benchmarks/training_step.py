"""One optimiser step of CR-XX-CC, 64³, batch 8, against plain eager fp32 with
masked scores.

Peer and package take turns, each in a process of its own, as a user would run
it: the package in the environment that `make` gives, in which a process keeps
the memory of its tensors. The same step of two pairs at 16³ says what the many
calls of a step cost apart from the images.
"""

import sys

import peers
import torch
from timing import Process, clocked, in_turns, medians, ratio, serve

from mmssl.objectives.language import build
from mmssl.objectives.term import Batch, Context
from mmssl.objectives.views import View
from mmssl.pretrain.radam import RAdam
from mmssl.pretrain.trainer import best_precision

NAME = "Training step"
BATCH = 8
MODALITIES = ("T1", "fALFF")


class Step:
    """One optimiser step of CR-XX-CC.

    Parameters
    ----------
    way : {"peer", "fp32", "bf16"}
    side, batch : int
    """

    def __init__(self, way: str, side: int = 64, batch: int = BATCH):
        torch.manual_seed(0)
        self.way = way
        self.objective = build("CR-XX-CC", size=side)
        draw = torch.Generator().manual_seed(1)
        shape = (batch, 1, side, side, side)
        volumes = {m: torch.randn(shape, generator=draw) for m in MODALITIES}
        if way != "peer":
            layout = torch.channels_last_3d
            self.objective.to(memory_format=layout)
            for m, x in volumes.items():
                volumes[m] = x.to(memory_format=layout)
        rows = dict.fromkeys(MODALITIES, torch.arange(batch))
        self.batch = Batch({"main": View(volumes, "main")}, rows)
        kind = torch.optim.RAdam if way == "peer" else RAdam
        self.optimiser = kind(self.objective.parameters(), lr=4e-4)

    def loss(self) -> torch.Tensor:
        """Forward pass and loss."""
        if self.way == "peer":
            return self._peer_loss()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.way == "bf16"):
            return self.objective(self.batch)[0]

    def _peer_loss(self) -> torch.Tensor:
        ctx = Context(self.objective, self.batch)
        locations = {}
        for m in MODALITIES:
            locations[m] = ctx.rng("location", m).integers("", 512)
        volumes = self.batch.views["main"].volumes
        return peers.masked_cr_xx_cc(self.objective, volumes, locations)

    def __call__(self) -> None:
        """Take the step."""
        self.optimiser.zero_grad()
        self.loss().backward()
        self.optimiser.step()


def measure(rounds: int) -> dict:
    """Step of CR-XX-CC against plain eager fp32 with masked score matrices."""
    ways = ["fp32"]
    if best_precision() == "bf16":
        ways.append("bf16")
    report = {}
    for way in ways:
        report.update(_against_the_peer(way, rounds))
        small = {way: clocked(Step(way, side=16, batch=2))}
        times = in_turns(small, 5 * rounds, warm=8)
        report[f"{way}, 16³ and batch 2, ms"] = medians(times)[f"{way}, ms"]
    return report


def _against_the_peer(way: str, rounds: int) -> dict:
    """Median times of both and of their ratio, peak memory and first loss."""
    processes = {
        "peer": Process(__file__, "peer", keeps_memory=False),
        way: Process(__file__, way),
    }
    # three rounds until the heap of either is as large as it gets
    times = in_turns(processes, rounds, warm=3)
    figures = medians(times)
    report = {}
    for name, process in processes.items():
        report[f"{name}, first loss"] = process.told["loss"]
        report[f"{name}, peak MB"] = process.end()["peak MB"]
    report[f"peer beside {way}, ms"] = figures["peer, ms"]
    report[f"{way}, ms"] = figures[f"{way}, ms"]
    report[f"{way}, ratio"] = ratio(times, "peer", way)
    return report


if __name__ == "__main__":
    step = Step(sys.argv[1])
    serve(step, {"loss": step.loss().item()})
