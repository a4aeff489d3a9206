"""One optimiser step of CR-XX-CC, 64^3, batch 8, against plain eager fp32 with masked scores."""

import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import peers
import torch

from mmssl import pretrain
from mmssl.augment import View
from mmssl.objectives import Batch, Context, build

BATCH = 8
MODALITIES = ("T1", "fALFF")


class Step:
    """One optimiser step of CR-XX-CC at 64x64x64, batch 8, in one of three ways."""

    def __init__(self, way: str):
        torch.manual_seed(0)
        self.way, self.objective = way, build("CR-XX-CC")
        draw = torch.Generator().manual_seed(1)
        volumes = {m: torch.randn(BATCH, 1, 64, 64, 64, generator=draw) for m in MODALITIES}
        if way != "peer":
            layout = torch.channels_last_3d
            self.objective.to(memory_format=layout)
            volumes = {m: x.to(memory_format=layout) for m, x in volumes.items()}
        rows = dict.fromkeys(MODALITIES, torch.arange(BATCH))
        self.batch = Batch({"main": View(volumes, "main")}, rows)
        self.optimiser = torch.optim.RAdam(self.objective.parameters(), lr=4e-4)

    def loss(self) -> torch.Tensor:
        """Forward pass and loss."""
        if self.way == "peer":
            ctx = Context(self.objective, self.batch)
            at = {m: ctx.rng("location", m).integers("", 512) for m in MODALITIES}
            return peers.masked_cr_xx_cc(self.objective, self.batch.views["main"].volumes, at)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.way == "bf16"):
            return self.objective(self.batch)[0]

    def __call__(self) -> float:
        """Seconds of one step."""
        start = time.perf_counter()
        self.optimiser.zero_grad()
        self.loss().backward()
        self.optimiser.step()
        return time.perf_counter() - start


def peak_memory(way: str) -> float:
    """Peak resident memory in MB of a fresh process that takes two steps."""
    out = subprocess.run(
        [sys.executable, __file__, way], check=True, capture_output=True, text=True
    )
    return float(out.stdout.split()[-1])


def measure(rounds: int) -> dict:
    """Step of CR-XX-CC against plain eager fp32 with masked score matrices."""
    ways = {"peer": Step("peer"), "fp32": Step("fp32")}
    if pretrain.best_precision() == "bf16":
        ways["bf16"] = Step("bf16")
    losses = {way: step.loss().item() for way, step in ways.items()}
    report = {"loss": losses, "peak_MB": {way: peak_memory(way) for way in ways}}
    peer = ways.pop("peer")
    for way, ours in ways.items():  # each alone with the peer: a third would share the caches
        peer(), ours()
        times = [(peer(), ours()) for _ in range(rounds)]
        report[f"{way}_peer_ms"] = 1e3 * statistics.median(a for a, _ in times)
        report[f"{way}_ms"] = 1e3 * statistics.median(b for _, b in times)
        report[f"{way}_ratio"] = statistics.median(a / b for a, b in times)
    return report


if __name__ == "__main__":  # a fresh process that takes two steps
    step = Step(sys.argv[1])
    step(), step()
    # not getrusage: its maximum is inherited from the parent process
    status = Path("/proc/self/status").read_text()
    print(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024)
