"""Frozen encoders: made anew for a cohort or loaded from a finished run, and
the embeddings they give.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from mmssl.models.dcgan import Encoder
from mmssl.preprocessing.network_inputs import standardised

_BATCH = 64


def network_shape(
    cohort, width: int, latent: int, dropout: float = 0.0
) -> dict:
    """What it takes to make a cohort's encoders again.

    Parameters
    ----------
    cohort : Cohort
    width, latent, dropout
        As in :class:`mmssl.models.dcgan.Encoder`.

    Returns
    -------
    dict
        channels (of each modality), size, dims, width, latent, dropout.
    """
    return {
        "channels": {m: cohort.channels[m] for m in cohort.modalities},
        "size": cohort.size,
        "dims": cohort.dims,
        "width": width,
        "latent": latent,
        "dropout": dropout,
    }


def make_encoders(shape: Mapping) -> dict[str, Encoder]:
    """Encoders of a shape given by :func:`network_shape`, by modality.

    Initial weights are drawn from torch's global generator, one modality after
    the other.
    """
    options = {k: v for k, v in shape.items() if k != "channels"}
    encoders = {}
    for m, channels in shape["channels"].items():
        encoders[m] = Encoder(channels, **options)
    return encoders


@torch.no_grad()
def encode(
    encoders: Mapping[str, torch.nn.Module], inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """z of every row in fp32, in evaluation mode: batch-norm buffers are read,
    never written.

    Parameters
    ----------
    encoders : mapping
        modality -> encoder.
    inputs : mapping
        modality -> array (n, C, *sides), standardised.

    Returns
    -------
    dict of array
        modality -> float32 (n, latent).
    """
    embeddings = {}
    for m, x in inputs.items():
        encoder = encoders[m].eval().cpu()
        parts = []
        for start in range(0, len(x), _BATCH):
            volumes = x[start : start + _BATCH].astype(np.float32)
            parts.append(encoder(torch.from_numpy(volumes)).z)
        embeddings[m] = torch.cat(parts).float().numpy()
    return embeddings


def load_encoders(run_dir: str | Path) -> tuple[dict[str, Encoder], dict]:
    """Encoders of a finished run, in evaluation mode, and its intensity
    landmarks.

    Parameters
    ----------
    run_dir : path

    Returns
    -------
    encoders : dict
        modality -> Encoder.
    landmarks : dict
        modality -> landmarks, or None.

    Raises
    ------
    ValueError
        If the folder is no finished run.
    """
    path = Path(run_dir) / "checkpoint.ckpt"
    if not path.exists():
        raise ValueError(
            f"{path}: not found; expected the folder of a finished run"
        )
    content = torch.load(path, weights_only=True)
    encoders = make_encoders(content["network"])
    for m, encoder in encoders.items():
        state = _state_below(content["objective"], f"encoders.{m}.")
        encoder.load_state_dict(state)
        encoder.eval()
    return encoders, content["landmarks"]


def _state_below(state: Mapping, prefix: str) -> dict:
    """Entries of a state whose names begin with a prefix, without it."""
    below = {}
    for name, value in state.items():
        if name.startswith(prefix):
            below[name.removeprefix(prefix)] = value
    return below


def embed(run_dir: str | Path, cohort) -> dict[str, np.ndarray]:
    """Embed a cohort with the frozen encoders of a run.

    Volumes pass through the intensity steps fitted on the run's training
    people. The cohort of the run itself is read from the run's cache.

    Parameters
    ----------
    run_dir : path
    cohort : Cohort
        Any cohort of the same size; modalities that the run does not know are
        left out.

    Returns
    -------
    dict of array
        modality -> float32 (pairs, latent), in the cohort's order.

    Raises
    ------
    ValueError
        If the folder is no finished run, or no modality or the size does not
        fit.
    """
    run_dir = Path(run_dir)
    encoders, landmarks = load_encoders(run_dir)
    shared = [m for m in cohort.modalities if m in encoders]
    if not shared:
        raise ValueError(
            f"{run_dir}: encodes {sorted(encoders)}, {cohort.path} holds "
            f"{sorted(cohort.modalities)}: nothing in common"
        )
    sides = (cohort.size,) * cohort.dims
    expected = encoders[shared[0]].input_shape[1:]
    if expected != sides:
        raise ValueError(
            f"{cohort.path}: volumes of {sides}, the run expects {expected}"
        )
    parameters = json.loads((run_dir / "params.json").read_text())
    if parameters["cohort"]["hashes"] == dict(cohort.hashes):
        with np.load(run_dir / "embeddings.npz") as cached:
            return {m: cached[m] for m in shared}
    # through float16, as the training inputs are kept
    shared_landmarks = {m: landmarks[m] for m in shared}
    inputs = standardised(cohort, shared_landmarks, np.float16)
    return encode(encoders, inputs)
