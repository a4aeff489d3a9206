"""Cropped and flipped pairs per second at 64³ against a TorchIO
SubjectsDataset, MONAI's cached dataset and TorchIO 2 on whole batches.

TorchIO 1.2 reads files with two workers, as is usual; MONAI has normalised
volumes in memory and two threads; TorchIO 2 has its batch in memory, and one
crop for all of it. Ours has float16 in memory and gives float32.
"""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import peers
import peers_apart
import torch
from timing import clocked, in_turns, ratio

from mmssl.models.keyed_random import Stream
from mmssl.objectives.views import PadCropFlip, make_views

NAME = "Input pipeline"
PAD, SIDE, BATCH, EPOCHS = 8, 64, 64, 5


def measure(rounds: int, pairs: int = 192) -> dict:
    """Cropped and flipped pairs per second of each, and whether ours are those
    that NumPy pads, crops and flips.
    """
    rng = np.random.default_rng(0)
    inputs = {}
    for m in ("T1", "fALFF"):
        images = rng.normal(size=(pairs, 1, SIDE, SIDE, SIDE))
        inputs[m] = torch.from_numpy(images.astype("f2"))
    report = {}
    with tempfile.TemporaryDirectory() as folder:
        files = peers.write_pairs(Path(folder), pairs)
        monai = peers.monai_loader(files, PAD, SIDE, BATCH)
        calls = {
            "ours": _each(partial(_epochs, inputs), EPOCHS * pairs),
            "TorchIO": lambda: 1 / peers.torchio_pairs_per_second(files),
            "MONAI": _each(partial(_through, monai), pairs),
        }
        batch = [x[:BATCH, 0].float().numpy() for x in inputs.values()]
        np.save(Path(folder) / "inputs.npy", np.stack(batch, axis=1))
        try:
            process = peers_apart.started("views_torchio", folder)
            calls["TorchIO 2"] = lambda: process() / BATCH
        except peers_apart.MissingPeerError as error:
            report["pairs a second, TorchIO 2"] = str(error)
        times = in_turns(calls, rounds)
    for name, seconds in times.items():
        report[f"pairs a second, {name}"] = 1 / float(np.median(seconds))
    report["pairs, ratio"] = ratio(times, "TorchIO", "ours")
    for name in list(times)[2:]:
        report[f"pairs to {name}, ratio"] = ratio(times, name, "ours")
    report["largest difference from NumPy's"] = difference(inputs["T1"])
    return report


def _each(call, pairs: int):
    """Seconds a pair of a call for so many."""
    seconds = clocked(call)
    return lambda: seconds() / pairs


def _epochs(inputs: dict) -> None:
    """Some epochs: one alone is over in a tenth of a second."""
    pairs = len(inputs["T1"])
    recipe = PadCropFlip(pad=PAD, flips=True)
    for epoch in range(EPOCHS):
        order = np.random.default_rng(epoch).permutation(pairs)
        for rows in torch.from_numpy(order).split(BATCH):
            chosen = dict.fromkeys(inputs, rows)
            stream = Stream(rows, 0, epoch)
            make_views(inputs, chosen, {"main": None}, recipe, stream)


def _through(loader) -> None:
    for _ in loader:
        pass


def difference(images: torch.Tensor) -> float:
    """Largest difference of a few views from those that NumPy makes with the
    same crops and flips.
    """
    rows, recipe = torch.arange(4), PadCropFlip(pad=PAD, flips=True)
    stream = Stream(rows, 0, 0)
    made = recipe({"T1": images[:4]}, stream)["T1"]
    shifts, flips = recipe.draw("T1", images.shape[2:], stream)
    largest = 0.0
    for row in rows.tolist():
        padded = np.pad(images[row, 0].numpy(), PAD)
        starts = [int(shift) + PAD for shift in shifts[row]]
        box = tuple(slice(start, start + SIDE) for start in starts)
        axes = tuple(np.flatnonzero(flips[row].numpy()))
        expected = np.flip(padded[box], axes)
        error = np.abs(made[row, 0].numpy() - expected).max()
        largest = max(largest, float(error))
    return largest
