"""`make bench`: hot paths side by side with the peer a user would pick, on this machine.

Peer and ours alternate within one process; what is reported is the median over rounds of the ratio
in a round, so a slow moment of the machine hits both. Peak memory comes from a fresh process each.
Prints a table and writes ``data/results/bench.json``.
"""

import argparse
import json
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from mmssl import ledger, paths, pretrain
from mmssl.augment import PadCropFlip, View
from mmssl.keyed import Stream
from mmssl.objectives import Batch, Context, build

sys.path.insert(0, str(Path(__file__).parent))
import peers  # noqa: E402

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
        [sys.executable, __file__, "--memory", way], check=True, capture_output=True, text=True
    )
    return float(out.stdout.split()[-1])


def training_step(rounds: int) -> dict:
    """Step of CR-XX-CC against plain eager fp32 with masked score matrices."""
    ways = {"peer": Step("peer"), "fp32": Step("fp32")}
    if pretrain.best_precision() == "bf16":
        ways["bf16"] = Step("bf16")
    losses = {way: step.loss().item() for way, step in ways.items()}
    for step in ways.values():
        step()
    times = [{way: step() for way, step in ways.items()} for _ in range(rounds)]
    report = {"loss": losses, "peak_MB": {way: peak_memory(way) for way in ways}}
    for way in ways:
        report[f"{way}_ms"] = 1e3 * statistics.median(t[way] for t in times)
        if way != "peer":
            report[f"{way}_ratio"] = statistics.median(t["peer"] / t[way] for t in times)
    return report


def input_pipeline(rounds: int, pairs: int = 192) -> dict:
    """Cropped and flipped pairs per second at 64x64x64 against a TorchIO SubjectsDataset."""
    rng = np.random.default_rng(0)
    cohort = {m: rng.normal(size=(pairs, 1, 64, 64, 64)).astype("f2") for m in MODALITIES}
    inputs = {m: torch.from_numpy(x) for m, x in cohort.items()}
    recipe, ours, theirs = PadCropFlip(pad=8), [], []
    with tempfile.TemporaryDirectory() as folder:
        files = peers.write_pairs(Path(folder), pairs)
        for step in range(rounds):
            start = time.perf_counter()
            order = torch.from_numpy(rng.permutation(pairs))
            for rows in order.split(64):
                views = recipe({m: x[rows] for m, x in inputs.items()}, Stream(rows, 0, step))
                views = {m: x.float() for m, x in views.items()}
            ours.append(pairs / (time.perf_counter() - start))
            theirs.append(peers.torchio_pairs_per_second(files))
    return {
        "ours_pairs_per_s": statistics.median(ours),
        "torchio_pairs_per_s": statistics.median(theirs),
        "ratio": statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
    }


def notebooks() -> dict:
    """Seconds each notebook took on its defaults when the small chain was last made."""
    pages = sorted(paths.project("data/executed/smoke").glob("*.ipynb"))
    return {page.stem: float(ledger.read_sidecar(page)["facts"]["seconds"]) for page in pages}


def main() -> None:
    """Run every benchmark and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--memory", choices=["peer", "fp32", "bf16"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        step = Step(arguments.memory)
        step(), step()
        # not getrusage: its maximum is inherited from the parent process
        status = Path("/proc/self/status").read_text()
        print(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024)
        return
    report = {
        "machine": {"processor": platform.processor() or platform.machine(),
                    "amx": torch.cpu._is_amx_tile_supported(),
                    "threads": torch.get_num_threads()},
        "versions": ledger.versions(),
        "training step CR-XX-CC, 64^3, batch 8": training_step(arguments.rounds),
        "input pipeline, 64^3 pairs": input_pipeline(max(5, arguments.rounds)),
        "notebooks on their defaults, s": notebooks(),
    }
    for name, result in report.items():
        print(name)
        for key, value in result.items():
            print(f"    {key:22}", f"{value:.4g}" if isinstance(value, float) else value)
    path = paths.project("data/results/bench.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
