"""Preservational learning: corruptions of 8 volumes against a Python loop of
the same, and a step of PCRL at 64x64x32 against plain eager fp32.

The loop is a volume at a time: NumPy for the boxes, as many as in the public
code, SciPy for the blur. The step is of one modality, width 16, batch 4. The
attention's memory is that of its weights, and of what a dense product would
hold beside them for each row.
"""

import time

import numpy as np
import torch
from scipy import ndimage
from timing import clocked, in_turns, medians, ratio

from mmssl.models.keyed_random import Stream
from mmssl.models.unet import UNetEncoder
from mmssl.objectives.corruptions import blurred, painted, shuffled
from mmssl.objectives.language import build
from mmssl.objectives.term import Batch
from mmssl.objectives.views import PadCropFlip, make_views
from mmssl.pretrain.trainer import best_precision

NAME = "Preservational learning"
SIDES = (64, 64, 32)
ROWS, BOXES, LARGEST, SIGMA = 8, 10_000, (6, 6, 3), (0.1, 2.0)
BATCH, WIDTH = 4, 16


def measure(rounds: int) -> dict:
    """Corruptions, a step, and the attention's memory."""
    report = _corruptions(rounds)
    report.update(_steps(rounds))
    channels = 16 * 32
    report["attention at 512 channels, weights, MB"] = channels**3 * 4 / 1e6
    report["its outer products of 16 rows, MB"] = 16 * channels**2 * 4 / 1e6
    return report


def _corruptions(rounds: int) -> dict:
    """Shuffle, paint and blur every one of the volumes."""
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(ROWS, 1, *SIDES, generator=draw)
    ours = {
        "shuffle": lambda s: shuffled(images, s, probability=1.0),
        "paint": lambda s: painted(images, s),
        "blur": lambda s: blurred(images, s, SIGMA, probability=1.0),
    }
    loops = {"shuffle": _shuffle, "paint": _paint, "blur": _blur}
    rng = np.random.default_rng(0)
    volumes = images[:, 0].numpy()
    stream = Stream(torch.arange(ROWS), 0, 0)
    report, together = {}, {"ours": np.zeros(rounds), "loop": np.zeros(rounds)}
    for name, corrupt in ours.items():

        def by_loop(one=loops[name]) -> None:
            for volume in volumes:
                one(volume, rng)

        calls = {"loop": clocked(by_loop), "ours": clocked(corrupt, stream)}
        times = in_turns(calls, rounds)
        taken = medians(times)
        report[f"{name}, loop, ms"] = taken["loop, ms"]
        report[f"{name}, ms"] = taken["ours, ms"]
        report[f"{name}, ratio"] = ratio(times, "loop", "ours")
        for way, seconds in times.items():
            together[way] += seconds
    ratios = together["loop"] / together["ours"]
    report["corruptions together, ratio"] = float(np.median(ratios))
    return report


def _shuffle(volume: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ten thousand boxes, one after the other."""
    result = volume.copy()
    for _ in range(BOXES):
        lengths = [rng.integers(1, most + 1) for most in LARGEST]
        corner = [
            rng.integers(0, side - length + 1)
            for side, length in zip(SIDES, lengths, strict=True)
        ]
        box = tuple(
            slice(low, low + length)
            for low, length in zip(corner, lengths, strict=True)
        )
        values = volume[box].flatten()
        rng.shuffle(values)
        result[box] = values.reshape(lengths)
    return result


def _paint(volume: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """In-painting or out-painting of up to five boxes."""
    if rng.random() >= 0.9:
        return volume
    inside = rng.random() < 0.2
    low, high = (1 / 6, 1 / 3) if inside else (3 / 7, 4 / 7)
    noise = rng.uniform(volume.min(), volume.max(), SIDES)
    result = volume.copy() if inside else noise.copy()
    source = noise if inside else volume
    for number in range(5):
        if number and rng.random() >= 0.95:
            break
        box = []
        for side in SIDES:
            length = int(side * rng.uniform(low, high))
            corner = rng.integers(0, side - length + 1)
            box.append(slice(corner, corner + length))
        result[tuple(box)] = source[tuple(box)]
    return result


def _blur(volume: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return ndimage.gaussian_filter(volume, rng.uniform(*SIGMA))


class Step:
    """One optimiser step of PCRL.

    Parameters
    ----------
    way : {"peer", "bf16"}
    """

    def __init__(self, way: str):
        torch.manual_seed(0)
        self.way = way
        self.objective = build(
            "PCRL",
            ("T1",),
            backbone=lambda m: UNetEncoder(1, WIDTH, SIDES),
            size=64,
            queue=256,
        )
        if way != "peer":
            self.objective.to(memory_format=torch.channels_last_3d)
        draw = torch.Generator().manual_seed(1)
        inputs = {"T1": torch.randn(BATCH, 1, *SIDES, generator=draw)}
        keys = torch.arange(BATCH)
        views = make_views(
            inputs,
            {"T1": keys},
            self.objective.views,
            PadCropFlip(),
            Stream(keys, 0, 0),
        )
        self.batch = Batch(views, {"T1": keys}, {"T1": {}}, 0, 0)
        self.optimiser = torch.optim.RAdam(
            self.objective.parameters(), lr=4e-4
        )

    def __call__(self) -> float:
        """Seconds of one step."""
        start = time.perf_counter()
        self.optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.way == "bf16"):
            total, _, ctx = self.objective(self.batch)
        total.backward()
        self.optimiser.step()
        self.objective.update_momentum()
        self.objective.terms["PCRL"].after_step(ctx)
        return time.perf_counter() - start


def _steps(rounds: int) -> dict:
    """The step in half precision, where the processor multiplies it."""
    if best_precision() != "bf16":
        return {}
    peer, package = Step("peer"), Step("bf16")
    calls = {"step, eager fp32": peer, "step, bf16": package}
    times = in_turns(calls, rounds, warm=2)
    return {**medians(times), "step, ratio": ratio(times, *calls)}
