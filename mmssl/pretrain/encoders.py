"""Frozen encoders: made again from a finished run, or untrained, and what they
say of a cohort.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from mmssl.models.dcgan import Encoder
from mmssl.preprocessing.network_inputs import standardised

_BATCH = 64


def network(cohort, sizes: Mapping) -> dict:
    """What it takes to make a cohort's encoders again: channels, sides, width,
    latent, dropout.
    """
    channels = {m: cohort.channels[m] for m in cohort.modalities}
    return {
        "channels": channels,
        "size": cohort.size,
        "dims": cohort.dims,
        **sizes,
    }


def make_encoders(about: Mapping) -> dict[str, Encoder]:
    sizes = {
        k: about[k] for k in ("width", "latent", "size", "dims", "dropout")
    }
    return {
        m: Encoder(channels, **sizes)
        for m, channels in about["channels"].items()
    }


@torch.no_grad()
def encode(
    encoders: Mapping[str, torch.nn.Module], inputs: Mapping[str, np.ndarray]
) -> dict:
    """z of every row in fp32, in evaluation mode: batch-norm buffers are read,
    never written.
    """
    embeddings = {}
    for m, x in inputs.items():
        encoder = encoders[m].eval().cpu()
        parts = [
            encoder(torch.from_numpy(x[i : i + _BATCH].astype(np.float32))).z
            for i in range(0, len(x), _BATCH)
        ]
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
        prefix = f"encoders.{m}."
        state = {
            k.removeprefix(prefix): v
            for k, v in content["objective"].items()
            if k.startswith(prefix)
        }
        encoder.load_state_dict(state)
        encoder.eval()
    return encoders, content["landmarks"]


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
    expected = encoders[shared[0]].input_shape[1:]
    if expected != (cohort.size,) * cohort.dims:
        found = (cohort.size,) * cohort.dims
        raise ValueError(
            f"{cohort.path}: volumes of {found}, the run expects {expected}"
        )
    params = json.loads((run_dir / "params.json").read_text())
    if params["cohort"]["hashes"] == dict(cohort.hashes):
        with np.load(run_dir / "embeddings.npz") as cached:
            return {m: cached[m] for m in shared}
    # through float16, as the training inputs are kept
    inputs = standardised(
        cohort, {m: landmarks[m] for m in shared}, np.float16
    )
    return encode(encoders, inputs)
