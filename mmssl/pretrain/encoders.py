"""Frozen encoders: made anew for a cohort or loaded from a finished run, and
the embeddings they give.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from mmssl.ledger import atomic, limits
from mmssl.ledger.manifest import check_manifest
from mmssl.preprocessing.network_inputs import InputsOnDemand
from mmssl.pretrain.backbones import make_encoder

_BATCH = 64


def network_shape(
    cohort,
    width: int,
    latent: int,
    dropout: float = 0.0,
    backbone: str | None = None,
    shared: bool = False,
) -> dict:
    """What it takes to make a cohort's encoders again.

    Parameters
    ----------
    cohort : Cohort
    width, latent, dropout
        As in :class:`mmssl.models.dcgan.Encoder`.
    backbone : str, optional
        As of :func:`mmssl.pretrain.backbones.backbone_class`.
    shared : bool
        Whether all modalities have one encoder.

    Returns
    -------
    dict
        channels (of each modality), size, dims, width, latent, dropout,
        backbone, and shared.
    """
    return {
        "channels": {m: cohort.channels[m] for m in cohort.modalities},
        "size": cohort.size,
        "dims": cohort.dims,
        "width": width,
        "latent": latent,
        "dropout": dropout,
        "backbone": backbone,
        "shared": shared,
    }


def make_encoders(shape: Mapping) -> dict[str, nn.Module]:
    """Encoders of a shape given by :func:`network_shape`, by modality.

    Initial weights are drawn from torch's global generator, one modality after
    the other; where all share one encoder, once.
    """
    named = ("channels", "backbone", "shared")
    options = {k: v for k, v in shape.items() if k not in named}
    encoders: dict[str, nn.Module] = {}
    for m, channels in shape["channels"].items():
        if encoders and shape.get("shared"):
            encoders[m] = next(iter(encoders.values()))
            continue
        encoders[m] = make_encoder(shape.get("backbone"), channels, options)
    return encoders


@torch.no_grad()
def encode(
    encoders: Mapping[str, nn.Module],
    inputs: Mapping[str, Sequence],
    device: str | torch.device = "cpu",
    present: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """z of every row in fp32, in evaluation mode: batch-norm buffers are read,
    never written.

    Parameters
    ----------
    encoders : mapping
        modality -> encoder; moved to the device.
    inputs : mapping
        modality -> (n, C, *sides), standardised: an array, a Tensor, or what
        gives either for an array of rows.
    device : str or device
        Where they run.
    present : mapping, optional
        modality -> bool (n,), the rows that have it; all by default.

    Returns
    -------
    dict of array
        modality -> float32 (n, latent); NaN where a row lacks the modality.
    """
    embeddings = {}
    for m, x in inputs.items():
        encoder = encoders[m].eval().to(device)
        rows = np.arange(len(x))
        if present is not None:
            rows = np.flatnonzero(present[m])
        parts = []
        for start in range(0, len(rows), _BATCH):
            volumes = torch.as_tensor(x[rows[start : start + _BATCH]])
            z = encoder(volumes.to(device, torch.float32)).z
            parts.append(z.float().cpu().numpy())
        z = np.concatenate(parts) if parts else np.empty((0, encoder.latent))
        embeddings[m] = np.full((len(x), z.shape[1]), np.nan, np.float32)
        embeddings[m][rows] = z
    return embeddings


def presence(cohort) -> dict[str, np.ndarray]:
    """Which pairs of a cohort have each modality: bool (pairs,)."""
    return {m: cohort.present(m) for m in cohort.modalities}


class Weights(NamedTuple):
    """What a finished run has learned, on the CPU.

    shape : of `network_shape`.
    encoders : {modality: state of its encoder}
    decoders : {modality: state of its decoder}, where it has one.
    landmarks : {modality: intensity landmarks, or None}
    objective : state of the whole objective: heads, queues and all.
    """

    shape: dict
    encoders: dict[str, dict]
    decoders: dict[str, dict]
    landmarks: dict
    objective: dict


def load_weights(run_dir: str | Path) -> Weights:
    """Read the weights of a finished run.

    Parameters
    ----------
    run_dir : path

    Raises
    ------
    ValueError
        As `load_encoders`, but for weights that do not fit the network.
    """
    path = Path(run_dir) / "checkpoint.ckpt"
    if not path.exists():
        raise ValueError(
            f"{path}: not found; expected the folder of a finished run"
        )
    check_manifest(run_dir)
    try:
        limits.check_archive(path)
        # made where there was a GPU, read where there may be none
        content = torch.load(path, map_location="cpu", weights_only=True)
        shape, state = content["network"], content["objective"]
        _check_network(path, shape)
        encoders, decoders = {}, {}
        for m in shape["channels"]:
            encoders[m] = _state_below(state, f"encoders.{m}.")
            decoders[m] = _state_below(state, f"decoders.{m}.")
        decoders = {m: found for m, found in decoders.items() if found}
        landmarks = content["landmarks"]
        return Weights(shape, encoders, decoders, landmarks, state)
    except Exception as error:  # of zip, pickle, torch or a missing field
        raise _unreadable(path, error) from error


def load_encoders(run_dir: str | Path) -> tuple[dict[str, nn.Module], dict]:
    """Encoders of a finished run on the CPU, in evaluation mode, and its
    intensity landmarks.

    Parameters
    ----------
    run_dir : path

    Returns
    -------
    encoders : dict
        modality -> encoder, DCGAN's or the backbone that the run names.
    landmarks : dict
        modality -> landmarks, or None.

    Raises
    ------
    ValueError
        If the folder is no finished run, one of its files is not the one that
        was made, or its checkpoint not readable, or of a network for which it
        does not hold the weights, or whose backbone cannot be imported.
    """
    weights = load_weights(run_dir)
    try:
        encoders = make_encoders(weights.shape)
        for m, encoder in encoders.items():
            encoder.load_state_dict(weights.encoders[m])
            encoder.eval()
    except (ValueError, RuntimeError) as error:
        path = Path(run_dir) / "checkpoint.ckpt"
        raise _unreadable(path, error) from error
    return encoders, weights.landmarks


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path}: not a readable checkpoint ({type(error).__name__}: {error})"
    )


def _check_network(path: Path, network: Mapping) -> None:
    """ValueError for a network of more weights than its file has bytes
    for.
    """
    with torch.device("meta"):  # shapes without memory
        encoders = make_encoders(network)
    needed = 0
    for encoder in set(encoders.values()):
        for value in encoder.state_dict().values():
            needed += value.numel() * value.element_size()
    held = path.stat().st_size
    if needed > held:
        raise ValueError(
            f"network of width {network['width']} and latent "
            f"{network['latent']}: {needed} bytes of weights declared, the "
            f"file holds {held}"
        )


def _state_below(state: Mapping, prefix: str) -> dict:
    """Entries of a state whose names begin with a prefix, without it."""
    below = {}
    for name, value in state.items():
        if name.startswith(prefix):
            below[name.removeprefix(prefix)] = value
    return below


def embed(
    run_dir: str | Path, cohort, device: str | torch.device = "cpu"
) -> dict[str, np.ndarray]:
    """Embed a cohort with the frozen encoders of a run.

    Volumes pass through the intensity steps fitted on the run's training
    people. The cohort of the run itself is read from the run's cache.

    Parameters
    ----------
    run_dir : path
    cohort : Cohort
        Any cohort of the same size; modalities that the run does not know are
        left out.
    device : str or device
        Where the encoders run; where it reads the cache, nothing runs.

    Returns
    -------
    dict of array
        modality -> float32 (pairs, latent), in the cohort's order; NaN where
        a pair lacks the modality.

    Raises
    ------
    ValueError
        If the folder is no finished run, no modality or the size does not fit,
        or the device is not there.
    """
    run_dir = Path(run_dir)
    device = _present(device)
    encoders, landmarks = load_encoders(run_dir)
    shared = [m for m in cohort.modalities if m in encoders]
    if not shared:
        raise ValueError(
            f"{run_dir}: encodes {sorted(encoders)}, {cohort.path} holds "
            f"{sorted(cohort.modalities)}: nothing in common"
        )
    sides = (cohort.size,) * cohort.dims
    # a user's backbone need not know the size it was made for
    known = getattr(encoders[shared[0]], "input_shape", (0, *sides))
    expected = known[1:]
    if expected != sides:
        raise ValueError(
            f"{cohort.path}: volumes of {sides}, the run expects {expected}"
        )
    parameters = json.loads(limits.read_text(run_dir / "params.json"))
    if parameters["cohort"]["hashes"] == dict(cohort.hashes):
        return limits.read_npz(run_dir / "embeddings.npz", shared)
    inputs = {}
    for m in shared:
        inputs[m] = InputsOnDemand(cohort, landmarks, m, np.float16)
    return encode(encoders, inputs, device, presence(cohort))


def write_embeddings(
    file: str | Path, embeddings: Mapping[str, np.ndarray], cohort
) -> Path:
    """Write embeddings together with whose they are.

    Parameters
    ----------
    file : path
        Ends in ``.npz``; written complete or not at all.
    embeddings : mapping
        modality -> array (pairs, latent), in the cohort's order, as `embed`
        returns them.
    cohort : Cohort

    Returns
    -------
    Path
        ``file``: an array for each modality, and ``participant_id`` and
        ``session`` (pairs,), as text. These name people: no file to publish.

    Raises
    ------
    ValueError
        For another ending, or rows of another number than the cohort has
        pairs.
    """
    file = Path(file)
    if file.suffix != ".npz":
        raise ValueError(f"{file}: expected a name that ends in .npz")
    for m, z in embeddings.items():
        if len(z) != len(cohort):
            raise ValueError(
                f"{m}: {len(z)} rows, expected {len(cohort)} as {cohort.path} "
                "has pairs"
            )
    keys = {
        "participant_id": cohort.subjects,
        "session": cohort.pairs["session"].to_numpy(dtype=str),
    }
    with atomic.file(file) as temporary:
        np.savez(temporary, **keys, **embeddings)
    return file


def _present(device: str | torch.device) -> torch.device:
    """A device that this machine has, or a ValueError."""
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device is {str(device)!r}, expected one that is there, such as "
            f"'cpu' ({error})"
        ) from error
    return place
