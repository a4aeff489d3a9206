"""Loss and gradients of one edge of InfoNCE, batch 128, 512 places, against
full score matrices and masks.

The masked form is that of the public code of AMDIM. Memory is what a fresh
process needs beyond its inputs and libraries; its share is ours through the
masked form's.
"""

import sys
from functools import partial

import peers
import torch
from timing import clocked, in_turns, mb_of, medians, ratio, rise_mb

from mmssl.losses.infonce import info_nce

NAME = "InfoNCE"
BATCH, CHANNELS, LOCATIONS = 128, 64, 512
WAYS = {"masked": peers.masked_info_nce, "ours": info_nce}


def embeddings() -> tuple[torch.Tensor, torch.Tensor]:
    """Local embeddings and anchors that ask for gradients."""
    draw = torch.Generator().manual_seed(0)
    local = torch.randn(BATCH, CHANNELS, LOCATIONS, generator=draw)
    anchor = torch.randn(BATCH, CHANNELS, generator=draw)
    return local.requires_grad_(), anchor.requires_grad_()


def gradients(way: str, inputs: tuple) -> tuple[torch.Tensor, ...]:
    """Loss and both gradients."""
    loss, penalty = WAYS[way](*inputs)
    total = loss + penalty
    return total.detach(), *torch.autograd.grad(total, inputs)


def measure(rounds: int) -> dict:
    """Time, memory and agreement of both."""
    inputs = embeddings()
    results, calls = {}, {}
    for way in WAYS:
        results[way] = gradients(way, inputs)
        calls[way] = clocked(partial(gradients, way, inputs))
    times = in_turns(calls, rounds)
    report = medians(times)
    report["an edge, ratio"] = ratio(times, "masked", "ours")
    beyond = {way: mb_of(__file__, way) for way in WAYS}
    for way, megabytes in beyond.items():
        report[f"{way}, MB beyond the inputs"] = megabytes
    report["memory of an edge, share"] = beyond["ours"] / beyond["masked"]
    for name, ours, masked in zip(
        ("loss", "gradient of places", "gradient of anchors"),
        results["ours"],
        results["masked"],
        strict=True,
    ):
        error = (ours - masked).norm() / masked.norm()
        report[f"{name}, relative difference"] = error.item()
    return report


if __name__ == "__main__":  # a fresh process that does it once
    small = torch.randn(2, CHANNELS, 8, requires_grad=True)
    few = torch.randn(2, CHANNELS, requires_grad=True)
    gradients(sys.argv[1], (small, few))  # libraries come in
    print(rise_mb(partial(gradients, sys.argv[1], embeddings())))
