"""Sinkhorn's codes of 2048 rows and 1500 prototypes, and the energy bands of
16 volumes of 64³, against what others have.

lightly's and stable-pretraining's Sinkhorn run in an environment of their own,
POT's in ours, all with the same scores, epsilon and number of iterations where
the peer has one. The energy bands are SciPy's Gaussian filters, whose border
is another: they are compared in the middle.
"""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import peers_apart
import torch
from scipy import ndimage
from timing import clocked, in_turns, medians, ratio

from mmssl.losses.swapped import sinkhorn
from mmssl.objectives.energy_bands import SIGMAS, energy_bands

NAME = "Clustering"
ROWS, PROTOTYPES, EPSILON, ITERATIONS = 2048, 1500, 0.05, 3
APART = ("lightly", "stable_pretraining")


def measure(rounds: int) -> dict:
    """Time and agreement of both."""
    return {**_sinkhorn(rounds), **_bands(rounds)}


def by_pot(scores: torch.Tensor) -> torch.Tensor:
    """Entropic transport between equal masses, as many iterations."""
    import ot

    rows = torch.full((ROWS,), 1 / ROWS)
    columns = torch.full((PROTOTYPES,), 1 / PROTOTYPES)
    plan = ot.sinkhorn(
        rows,
        columns,
        -scores,
        EPSILON,
        method="sinkhorn_log",
        numItermax=ITERATIONS,
        stopThr=0,
        warn=False,
    )
    return plan * ROWS


def _sinkhorn(rounds: int) -> dict:
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(ROWS, 128, generator=draw)
    centres = torch.randn(PROTOTYPES, 128, generator=draw)
    unit = torch.nn.functional.normalize
    scores = unit(features) @ unit(centres).T
    ours = partial(sinkhorn, scores, EPSILON, ITERATIONS)
    calls = {"ours": clocked(ours), "POT": clocked(by_pot, scores)}
    codes = {"POT": by_pot(scores).numpy()}
    report = {}
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "inputs.npy", scores.numpy())
        for name in APART:
            try:
                process = peers_apart.started(f"sinkhorn_{name}", folder)
            except peers_apart.MissingPeerError as error:
                report[f"Sinkhorn, {name}"] = str(error)
                continue
            calls[name] = process
            codes[name] = np.load(Path(folder) / f"sinkhorn_{name}.npy")
        times = in_turns(calls, rounds)
    for name, milliseconds in medians(times).items():
        report[f"Sinkhorn, {name}"] = milliseconds
    for name, others in codes.items():
        report[f"Sinkhorn to {name}, ratio"] = ratio(times, name, "ours")
        error = np.abs(others - ours().numpy()).max()
        report[f"Sinkhorn to {name}, largest difference"] = float(error)
    return report


def _bands(rounds: int) -> dict:
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(16, 1, 64, 64, 64, generator=draw)
    volumes = images[:, 0].numpy()
    calls = {
        "SciPy": clocked(bands_by_scipy, volumes),
        "ours": clocked(energy_bands, images),
    }
    times = in_turns(calls, rounds)
    report = {}
    for name, milliseconds in medians(times).items():
        report[f"energy bands, {name}"] = milliseconds
    report["energy bands, ratio"] = ratio(times, "SciPy", "ours")
    middle = (slice(None), *[slice(24, 40)] * 3)
    error = energy_bands(images)[0, :, 0].numpy() - bands_by_scipy(volumes)[0]
    report["finest band, largest difference in the middle"] = float(
        np.abs(error[middle]).max()
    )
    return report


def bands_by_scipy(volumes: np.ndarray) -> np.ndarray:
    """The same bands, a volume and a filter at a time."""
    before, bands = volumes, []
    for sigma in SIGMAS:
        smooth = [ndimage.gaussian_filter(v, sigma) for v in volumes]
        bands.append(before - np.stack(smooth))
        before = np.stack(smooth)
    return np.stack([*bands, before])
