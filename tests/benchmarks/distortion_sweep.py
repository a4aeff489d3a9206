"""The sweep of distortions, 32³, 7 models, against TorchIO per subject and per
model.
"""

import statistics
import tempfile
import time
import warnings

import numpy as np
import torch
import torchio as tio

from mmssl.models.dcgan import Encoder
from mmssl.robustness import spaces
from mmssl.robustness.sweep import Reader, Sweep, seeds, sweep

NAME = "Distortions"
MODELS, SUBJECTS, PEOPLE, STEP = 7, 4, 100, 5
AFFINE = np.array(
    [[6.0, 0, 0, -93], [0, 6.0, 0, -111], [0, 0, 6.0, -87], [0, 0, 0, 1]]
)
KEPT = {
    "affine": (
        tio.RandomAffine,
        {"scales": (1, 1), "degrees": (0, 0), "translation": (0, 0)},
    ),
    "elastic": (tio.RandomElasticDeformation, {}),
    "motion": (
        tio.RandomMotion,
        {"degrees": (0, 0), "translation": (0, 0), "num_transforms": 1},
    ),
    "ghost": (tio.RandomGhosting, {"num_ghosts": (1, 1)}),
    "spike": (tio.RandomSpike, {"num_spikes": (1, 1)}),
    "blur": (tio.RandomBlur, {}),
    "bias": (tio.RandomBiasField, {"coefficients": (0.5, 0.5), "order": 3}),
    "noise": (tio.RandomNoise, {"mean": (0, 0), "std": (0.25, 0.25)}),
    "gamma": (tio.RandomGamma, {}),
}
WHOLE = ("num_control_points", "order")


def readers(*modalities: str) -> dict:
    """Give seven frozen encoders of width 16 a modality."""
    torch.manual_seed(0)
    weight = torch.randn(64).numpy()
    return {
        f"model {i}": {
            m: Reader(Encoder(width=16, size=32).eval(), weight, 0.0)
            for m in modalities
        }
        for i in range(MODELS)
    }


@torch.inference_mode()
def loop(x: np.ndarray, subjects: list, models: dict, grid) -> np.ndarray:
    """Distort with TorchIO for every subject and every model anew."""
    scores = np.empty((len(grid), len(models), len(subjects)))
    for p, point in enumerate(grid.itertuples()):
        kind, kept = KEPT[point.distortion]
        value = int(point.value) if point.parameter in WHOLE else point.value
        single = point.parameter in (*WHOLE, "max_displacement")
        transform = kind(
            **{**kept, point.parameter: value if single else (value, value)}
        )
        where = (point.distortion, point.parameter, point.value)
        for n, seed in enumerate(seeds(subjects, *where)):
            for i, model in enumerate(by["T1"] for by in models.values()):
                torch.manual_seed(seed)
                image = tio.ScalarImage(
                    tensor=torch.from_numpy(x[n]), affine=AFFINE
                )
                z = model.encoder(transform(image).data[None]).z[0].numpy()
                scores[p, i, n] = z @ model.weight + model.bias
    return scores


def seconds(function) -> tuple[float, object]:
    """Duration of one call and what it returned."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def ours(x: dict, models: dict, points) -> Sweep:
    """Embed every distorted volume of every modality by all models, nothing
    kept.
    """
    subjects = [f"sub-{i:03d}" for i in range(len(next(iter(x.values()))))]
    with tempfile.TemporaryDirectory() as folder:
        return sweep(
            x, subjects, models, points, AFFINE, folder, progress=False
        )


def measure(rounds: int) -> dict:
    """The same points, subjects and models both ways; then the whole grid of
    both modalities.
    """
    draw = np.random.default_rng(0)
    x = {
        m: draw.normal(size=(PEOPLE, 1, 32, 32, 32)).astype(np.float32)
        for m in ("T1", "fALFF")
    }
    few, subjects = (
        x["T1"][:SUBJECTS],
        [f"sub-{i:03d}" for i in range(SUBJECTS)],
    )
    models, grid = readers("T1"), spaces.points(STEP)
    ours({"T1": few}, models, grid[:3])
    pairs = []
    for _ in range(min(rounds, 2)):
        with warnings.catch_warnings(record=True):  # of folding, once a volume
            slow, expected = seconds(lambda: loop(few, subjects, models, grid))
        fast, found = seconds(lambda: ours({"T1": few}, models, grid))
        pairs.append((slow, fast))
    error = np.abs(found.scores[1:, :, 0] - expected).max((1, 2)) / np.abs(
        expected
    ).max((1, 2))
    whole, _ = seconds(lambda: ours(x, readers(*x), spaces.points()))
    return {
        f"{len(grid)} points, {SUBJECTS} people, {MODELS} models, TorchIO, s": statistics.median(
            slow for slow, _ in pairs
        ),
        f"{len(grid)} points, {SUBJECTS} people, {MODELS} models, s": statistics.median(
            fast for _, fast in pairs
        ),
        "sweep, ratio": statistics.median(slow / fast for slow, fast in pairs),
        "largest relative difference": float(error.max()),
        f"163 points, {PEOPLE} people, {MODELS} models, 2 modalities, s": whole,
    }
