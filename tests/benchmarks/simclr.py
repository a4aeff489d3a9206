"""A step of contrastive training on two views, 64³, batch 8, against nidl's
SimCLR and stable-pretraining's loss with the same encoder and data.

Ours is RR, as training takes it: 16 volumes pass encoders of the same shape,
forward and backward. The peers run in an environment of their own with the
same torch, each step in fp32 as they take it by default. That encoder and data
are the same is said by the difference of its first representations.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import peers_apart
import torch
from steps import Step
from timing import Process, in_turns, medians, ratio, serve

from mmssl.models.dcgan import Encoder
from mmssl.pretrain.trainer import best_precision

NAME = "SimCLR"
BATCH, SIDE = 8, 64
PEERS = ("nidl", "stable_pretraining")


def measure(rounds: int) -> dict:
    """Time of a step of each, in turns, and agreement of the encoder."""
    precisions = ["fp32"]
    if best_precision() == "bf16":
        precisions.append("bf16")
    draw = torch.Generator().manual_seed(0)
    views = torch.randn(BATCH, 2, SIDE, SIDE, SIDE, generator=draw)
    torch.manual_seed(0)
    expected = Encoder()(views[:, :1]).z.detach()
    report, errors = {}, {}
    calls = {p: Process(__file__, p) for p in precisions}
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "inputs.npy", views.numpy())
        for peer in PEERS:
            name = f"simclr_{peer}"
            try:
                calls[peer] = peers_apart.started(name, folder)
            except peers_apart.MissingPeerError as error:
                report[f"{peer}"] = str(error)
                continue
            z = torch.from_numpy(np.load(Path(folder) / f"{name}.npy"))
            errors[peer] = ((z - expected).norm() / expected.norm()).item()
        times = in_turns(calls, rounds, warm=2)
    report |= medians(times)
    for peer, error in errors.items():
        for precision in precisions:
            figure = f"{precision} to {peer}, ratio"
            report[figure] = ratio(times, peer, precision)
        report[f"{peer}, relative difference of z"] = error
    return report


if __name__ == "__main__":
    sides = (SIDE, SIDE, SIDE)
    serve(Step("RR", sides, BATCH, precision=sys.argv[1]).take)
