"""One optimiser step of CR-XX-CC, 64³, batch 8, against plain eager fp32 with
masked scores.

Peer and package take turns, each in a process of its own, as a user would run
it: the package in the environment that `make` gives, in which a process keeps
the memory of its tensors.
"""

import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import peers
import torch

from mmssl.objectives.language import build
from mmssl.objectives.term import Batch, Context
from mmssl.objectives.views import View
from mmssl.pretrain.trainer import best_precision

NAME = "Training step"
BATCH = 8
MODALITIES = ("T1", "fALFF")
KEEPS_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "-1"}


class Step:
    """One optimiser step of CR-XX-CC at 64x64x64, batch 8.

    Parameters
    ----------
    way : {"peer", "fp32", "bf16"}
    """

    def __init__(self, way: str):
        torch.manual_seed(0)
        self.way = way
        self.objective = build("CR-XX-CC")
        draw = torch.Generator().manual_seed(1)
        volumes = {
            m: torch.randn(BATCH, 1, 64, 64, 64, generator=draw)
            for m in MODALITIES
        }
        if way != "peer":
            layout = torch.channels_last_3d
            self.objective.to(memory_format=layout)
            for m, x in volumes.items():
                volumes[m] = x.to(memory_format=layout)
        rows = dict.fromkeys(MODALITIES, torch.arange(BATCH))
        self.batch = Batch({"main": View(volumes, "main")}, rows)
        self.optimiser = torch.optim.RAdam(
            self.objective.parameters(), lr=4e-4
        )

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

    def __call__(self) -> float:
        """Seconds of one step."""
        start = time.perf_counter()
        self.optimiser.zero_grad()
        self.loss().backward()
        self.optimiser.step()
        return time.perf_counter() - start


class Process:
    """A fresh process that takes a step whenever it is asked to."""

    def __init__(self, way: str):
        command = [sys.executable, __file__, way]
        environment = os.environ | KEEPS_MEMORY
        if way == "peer":
            for name in KEEPS_MEMORY:
                del environment[name]
        self.pipe = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.loss = float(self.pipe.stdout.readline())

    def __call__(self) -> float:
        """Seconds of one step."""
        self.pipe.stdin.write("step\n")
        self.pipe.stdin.flush()
        return float(self.pipe.stdout.readline())

    def end(self) -> float:
        """End the process; its peak resident memory in MB."""
        output, _ = self.pipe.communicate()
        return float(output)


def measure(rounds: int) -> dict:
    """Step of CR-XX-CC against plain eager fp32 with masked score matrices."""
    ways = ["fp32"]
    if best_precision() == "bf16":
        ways.append("bf16")
    report = {}
    for way in ways:
        report.update(_against_the_peer(way, rounds))
    return report


def _against_the_peer(way: str, rounds: int) -> dict:
    """Median times of both and of their ratio, peak memory and first loss."""
    peer, package = Process("peer"), Process(way)
    for _ in range(3):  # until the heap of either is as large as it gets
        peer()
        package()
    peer_ms, package_ms, ratios = peers.in_turns(peer, package, rounds)
    report = {}
    for name, process in (("peer", peer), (way, package)):
        report[f"{name}, first loss"] = process.loss
        report[f"{name}, peak MB"] = process.end()
    report[f"peer beside {way}, ms"] = statistics.median(peer_ms)
    report[f"{way}, ms"] = statistics.median(package_ms)
    report[f"{way}, ratio"] = statistics.median(ratios)
    return report


def serve(way: str) -> None:
    """Print the first loss, then the seconds of a step for every line read,
    last the peak in MB.
    """
    step = Step(way)
    print(step.loss().item(), flush=True)
    for _ in sys.stdin:
        print(step(), flush=True)
    # not getrusage: its maximum is inherited from the parent process
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    print(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024)


if __name__ == "__main__":
    serve(sys.argv[1])
