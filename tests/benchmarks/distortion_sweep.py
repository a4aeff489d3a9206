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
from mmssl.robustness.linear_models import LinearModel
from mmssl.robustness.sweep import Sweep, distortion_seeds, sweep

NAME = "Distortions"
MODELS, SUBJECTS, PEOPLE, STEP = 7, 16, 100, 5
AFFINE = np.array(
    [[6.0, 0, 0, -93], [0, 6.0, 0, -111], [0, 0, 6.0, -87], [0, 0, 0, 1]]
)
TRANSFORMS = {
    "affine": tio.RandomAffine,
    "elastic": tio.RandomElasticDeformation,
    "motion": tio.RandomMotion,
    "ghost": tio.RandomGhosting,
    "spike": tio.RandomSpike,
    "blur": tio.RandomBlur,
    "bias": tio.RandomBiasField,
    "noise": tio.RandomNoise,
    "gamma": tio.RandomGamma,
}
DEFAULTS = {
    "affine": {"scales": (1, 1), "degrees": (0, 0), "translation": (0, 0)},
    "elastic": {},
    "motion": {"degrees": (0, 0), "translation": (0, 0), "num_transforms": 1},
    "ghost": {"num_ghosts": (1, 1)},
    "spike": {"num_spikes": (1, 1)},
    "blur": {},
    "bias": {"coefficients": (0.5, 0.5), "order": 3},
    "noise": {"mean": (0, 0), "std": (0.25, 0.25)},
    "gamma": {},
}
WHOLE = ("num_control_points", "order")
# TorchIO takes one number here, elsewhere a range
SINGLE = (*WHOLE, "max_displacement")


def linear_models(*modalities: str) -> dict:
    """Give seven frozen encoders of width 16 a modality."""
    torch.manual_seed(0)
    weight = torch.randn(64).numpy()
    models = {}
    for i in range(MODELS):
        of_model = {}
        for m in modalities:
            encoder = Encoder(width=16, size=32).eval()
            of_model[m] = LinearModel(encoder, weight, 0.0)
        models[f"model {i}"] = of_model
    return models


def transform(point) -> tio.Transform:
    """TorchIO's own transform at one point."""
    value = int(point.value) if point.parameter in WHOLE else point.value
    parameters = dict(DEFAULTS[point.distortion])
    parameters[point.parameter] = (value, value)
    if point.parameter in SINGLE:
        parameters[point.parameter] = value
    return TRANSFORMS[point.distortion](**parameters)


@torch.inference_mode()
def loop(x: np.ndarray, subjects: list, models: dict, grid) -> np.ndarray:
    """Distort with TorchIO for every subject and every model anew."""
    scores = np.empty((len(grid), len(models), len(subjects)))
    for p, point in enumerate(grid.itertuples()):
        distort = transform(point)
        panel = (point.distortion, point.parameter, point.value)
        for n, seed in enumerate(distortion_seeds(subjects, *panel)):
            for i, of_model in enumerate(models.values()):
                model = of_model["T1"]
                torch.manual_seed(seed)
                tensor = torch.from_numpy(x[n])
                image = tio.ScalarImage(tensor=tensor, affine=AFFINE)
                z = model.encoder(distort(image).data[None]).z[0].numpy()
                scores[p, i, n] = z @ model.weight + model.bias
    return scores


def seconds(function) -> tuple[float, object]:
    """Duration of one call and what it returned."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def swept(x: dict, models: dict, points) -> Sweep:
    """Score every distorted volume of every modality by all models, nothing
    kept.
    """
    people = len(next(iter(x.values())))
    subjects = [f"sub-{i:03d}" for i in range(people)]
    with tempfile.TemporaryDirectory() as folder:
        return sweep(
            x, subjects, models, points, AFFINE, folder, progress=False
        )


def measure(rounds: int) -> dict:
    """The same points, subjects and models both ways; then the whole grid of
    both modalities.
    """
    draw = np.random.default_rng(0)
    x = {}
    for m in ("T1", "fALFF"):
        images = draw.normal(size=(PEOPLE, 1, 32, 32, 32))
        x[m] = images.astype(np.float32)
    few = x["T1"][:SUBJECTS]
    subjects = [f"sub-{i:03d}" for i in range(SUBJECTS)]
    models, grid = linear_models("T1"), spaces.grid_points(STEP)
    swept({"T1": few}, models, grid[:3])
    slow, fast = [], []
    for _ in range(min(rounds, 2)):
        with warnings.catch_warnings(record=True):  # of folding, once a volume
            time_loop, expected = seconds(
                lambda: loop(few, subjects, models, grid)
            )
        time_sweep, result = seconds(lambda: swept({"T1": few}, models, grid))
        slow.append(time_loop)
        fast.append(time_sweep)
    ratios = [a / b for a, b in zip(slow, fast, strict=True)]
    error = np.abs(result.scores[1:, :, 0] - expected).max((1, 2))
    error = error / np.abs(expected).max((1, 2))
    everything = spaces.grid_points()
    whole, _ = seconds(lambda: swept(x, linear_models(*x), everything))
    setting = f"{len(grid)} points, {SUBJECTS} people, {MODELS} models"
    largest = f"163 points, {PEOPLE} people, {MODELS} models, 2 modalities, s"
    return {
        f"{setting}, TorchIO, s": statistics.median(slow),
        f"{setting}, s": statistics.median(fast),
        "sweep, ratio": statistics.median(ratios),
        "largest relative difference": float(error.max()),
        largest: whole,
    }
