"""The sweep: a distorted volume is made once and scored by every model while
it is in memory.

Every model and fold sees the same distorted images: their seeds are a function
of subject, panel and value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from mmssl.ledger import atomic, locks
from mmssl.ledger.code import fingerprint
from mmssl.ledger.definitions import user_fingerprint
from mmssl.ledger.hashes import hash_array, hash_file, hash_json
from mmssl.ledger.kept import kept
from mmssl.models.by_name import is_named
from mmssl.robustness.distortions import distort_inputs
from mmssl.robustness.linear_models import LinearModel, Models
from mmssl.robustness.own_distortions import own_distortion

if TYPE_CHECKING:
    import pandas as pd

UNDISTORTED = "none"
"""The distortion of the first point of a sweep: the volumes as they are."""

COLLAPSED = 0.05
"""Share of the undistorted image's effective voxels below which a distorted
one is no image of a brain any more.
"""


class Sweep(NamedTuple):
    """Scores of every point, model, modality and person.

    points : line i describes scores[i]; the first is the undistorted one, of
        distortion "none". Column ``collapsed``: whether the median person's
        image has fewer effective voxels (:func:`effective_voxels`) than
        :data:`COLLAPSED` of the undistorted image's, in any modality.
    models, modalities, subjects : the other axes.
    scores : float32 (points, models, modalities, people), or (…, K, people) of
        K > 2 classes; NaN where the volume or its embedding is not finite.
    excluded : one line for each NaN: distortion, parameter, value, modality,
        subject, model, and not_finite: "embedding", or "volume", which is one
        line, of model "all".
    """

    points: pd.DataFrame
    models: tuple[str, ...]
    modalities: tuple[str, ...]
    subjects: np.ndarray
    scores: np.ndarray
    excluded: pd.DataFrame


def distortion_seeds(
    subjects: Sequence[str],
    distortion: str,
    parameter: str,
    value: float,
    seed: int = 0,
) -> list[int]:
    """Seed of each subject at a point, below 2^31: the same for all models and
    folds.

    A hash of the four and of the sweep's own seed; it depends on no other
    subject or point.
    """
    point = f"{seed}/{distortion}/{parameter}/{float(value):g}"
    seeds = []
    for subject in subjects:
        digest = hashlib.sha256(f"{point}/{subject}".encode()).digest()
        seeds.append(int.from_bytes(digest[:4]) >> 1)
    return seeds


def own_code(names: Iterable[str]) -> dict[str, str]:
    """Hash what own distortions do, with all that they use, and their
    parameters.

    Parameters
    ----------
    names : iterable of str
        "module:Class" of each.

    Returns
    -------
    dict of str to str
        {name: sha256}, sorted.

    Raises
    ------
    ValueError
        As `mmssl.robustness.own_distortions.own_distortion`.
    """
    hashes = {}
    for name in sorted(set(names)):
        found = own_distortion(name)
        # a default that a mapping of another kind holds is no code
        spaces = {key: repr(p) for key, p in found.parameters.items()}
        hashes[name] = hash_json([user_fingerprint(found), spaces])
    return hashes


def sweep(
    inputs: Mapping[str, np.ndarray],
    subjects: Sequence[str],
    models: Models,
    grid: pd.DataFrame,
    affine: np.ndarray,
    folder: str | Path,
    seed: int = 0,
    block: int = 32,
    progress: bool = True,
) -> Sweep:
    """Distort every volume at every point and score it with every model.

    Finished points are kept in ``folder``, under a key of everything they
    depend on (images, models, seed, code, that of own distortions of the grid
    too), so that a sweep that was stopped continues where it stood, and one of
    other models starts anew beside it.

    Parameters
    ----------
    inputs : {modality: array (people, 1, X, Y, Z)}
        z-scored network inputs.
    subjects : sequence of str, one per person
    models : {model: {modality: LinearModel}}
    grid : DataFrame
        Of `mmssl.robustness.spaces.grid_points`, or some of its lines.
    affine : array, shape (4, 4)
    folder : path
    seed : int
        Of the distortions.
    block : int
        Volumes in memory at a time.

    Raises
    ------
    ValueError
        Before any distortion: shapes that differ, a subject twice, a modality
        that a model lacks, an own distortion that cannot be used. Also for a
        kept point that was changed since.
    mmssl.ledger.locks.LockedError
        When another process is at work on this sweep.
    """
    subjects = np.asarray(subjects, dtype=str)
    _check(inputs, subjects, models)
    own = own_code(filter(is_named, grid["distortion"].unique()))
    key = _key(inputs, subjects, models, affine, seed, own)
    folder = Path(folder) / key[:16]
    points = _with_undistorted(grid)
    for of_model in models.values():
        for model in of_model.values():
            model.encoder.eval().to(memory_format=torch.channels_last_3d)
    progress_bar = tqdm(
        points.itertuples(),
        total=len(points),
        desc="sweep",
        unit="point",
        disable=not progress,
    )
    scores, finite, voxels = [], [], []
    with locks.owned(folder):
        atomic.remove_unfinished(folder)
        for row in progress_bar:
            point = (row.distortion, row.parameter, row.value)
            # of a user's own "module:Class"; no ":" in the name of a file
            distortion = row.distortion.replace(":", ".")
            name = f"{distortion}-{row.parameter}-{row.value:g}"
            seeds = distortion_seeds(subjects, *point, seed)
            score = partial(
                _score_point, inputs, models, point, seeds, affine, block
            )
            content = kept(folder, name, score)
            scores.append(content["scores"])
            finite.append(content["finite"])
            voxels.append(np.median(content["voxels"], axis=-1))
    is_collapsed = np.stack(voxels) < COLLAPSED * voxels[0]
    swept = Sweep(
        points.assign(collapsed=is_collapsed.any(axis=1)),
        tuple(models),
        tuple(inputs),
        subjects,
        np.stack(scores),
        excluded=None,
    )
    return swept._replace(excluded=_excluded(swept, np.stack(finite)))


def _with_undistorted(grid: pd.DataFrame) -> pd.DataFrame:
    """The points of a grid, with the undistorted one before them."""
    import pandas as pd

    first = dict.fromkeys(grid.columns, "")
    first |= {"distortion": UNDISTORTED, "value": np.nan}
    return pd.concat([pd.DataFrame([first]), grid], ignore_index=True)


@torch.inference_mode()
def _score_point(
    inputs: Mapping[str, np.ndarray],
    models: Models,
    point: tuple[str, str, float],
    seeds: Sequence[int],
    affine: np.ndarray,
    block: int,
) -> dict[str, np.ndarray]:
    """scores (models, modalities, …, people) of one point, and of its volumes
    which are finite and how many effective voxels they have, (modalities,
    people).
    """
    people = len(seeds)
    any_model = next(iter(next(iter(models.values())).values()))
    outputs = np.shape(any_model.bias)
    shape = (len(models), len(inputs), *outputs, people)
    scores = np.full(shape, np.nan, np.float32)
    finite = np.zeros((len(inputs), people), bool)
    voxels = np.zeros((len(inputs), people))
    for j, (modality, images) in enumerate(inputs.items()):
        linear_models = [of_model[modality] for of_model in models.values()]
        device = _device(linear_models)
        for start in range(0, people, block):
            rows = slice(start, start + block)
            images_block = np.asarray(images[rows], np.float32)
            volumes = torch.as_tensor(images_block).to(device)
            if point[0] != UNDISTORTED:
                volumes = distort_inputs(volumes, *point, seeds[rows], affine)
            finite[j, rows] = volumes.isfinite().flatten(1).all(1).cpu()
            voxels[j, rows] = effective_voxels(volumes).cpu()
            volumes = volumes.contiguous(memory_format=torch.channels_last_3d)
            for i, model in enumerate(linear_models):
                scores[i, j, ..., rows] = _score(model, volumes).cpu()
    return {"scores": scores, "finite": finite, "voxels": voxels}


def effective_voxels(volumes: Tensor) -> Tensor:
    r"""How many voxels an image effectively consists of, its participation
    ratio

    .. math:: \frac{(\sum_v x_v^2)^2}{\sum_v x_v^4},

    which is the number of voxels where all are of one magnitude, and 1 where a
    single one outshines all others.

    Parameters
    ----------
    volumes : Tensor, shape (B, C, *sides)

    Returns
    -------
    Tensor, float64, shape (B,)
        0 for an image that is 0 everywhere or not finite.
    """
    flat = volumes.flatten(1).double()
    finite = flat.isfinite().all(dim=1, keepdim=True)
    flat = torch.where(finite, flat, 0.0)
    # fourth powers of a bias field of e^82 overflow
    largest = flat.abs().amax(dim=1, keepdim=True)
    squares = (flat / largest.clamp(min=torch.finfo(flat.dtype).tiny)) ** 2
    powers = (squares**2).sum(dim=1)
    # the largest square is 1, unless all are 0
    return squares.sum(dim=1) ** 2 / powers.clamp(min=1.0)


def _score(model: LinearModel, volumes: Tensor) -> Tensor:
    """Score of each volume, (B,) or (K, B), NaN where its embedding is not
    finite.
    """
    # an encoder may begin in place, and others see the same volumes
    z = model.encoder(volumes.clone()).z.float()
    score = model.scores(z)
    finite = z.isfinite().all(1) & score.isfinite()
    return score.masked_fill(~finite, torch.nan)


def _device(models: Sequence[LinearModel]) -> torch.device | str:
    """Where the first encoder with parameters lies."""
    for model in models:
        for parameter in model.encoder.parameters():
            return parameter.device
    return "cpu"


def _check(inputs, subjects: np.ndarray, models: Models) -> None:
    """ValueError for what a sweep cannot score."""
    names, counts = np.unique(subjects, return_counts=True)
    if (counts > 1).any():
        twice = str(names[counts.argmax()])
        raise ValueError(
            f"subjects: {twice!r} stands {counts.max()} times, expected one "
            "volume a person"
        )
    for modality, images in inputs.items():
        one_channel = images.ndim == 5 and images.shape[1] == 1
        if not one_channel or len(images) != len(subjects):
            raise ValueError(
                f"inputs, {modality}: shape {images.shape}, expected "
                f"({len(subjects)}, 1, X, Y, Z) as there are subjects"
            )
    for model, of_model in models.items():
        missing = set(inputs) - set(of_model)
        if missing:
            raise ValueError(
                f"models, {model!r}: no encoder for {sorted(missing)}"
            )


def _key(
    inputs,
    subjects,
    models: Models,
    affine,
    seed: int,
    own: Mapping[str, str],
) -> str:
    """Hash of everything that a score depends on, except the point.

    own : {own distortion of the grid: hash of its code}
    """
    hashes = []
    for name, of_model in models.items():
        for modality in inputs:
            hashes.append([name, modality, _model_key(of_model[modality])])
    code = fingerprint("mmssl.robustness.distortions", "mmssl.models")
    content = {
        "inputs": {m: hash_array(images) for m, images in inputs.items()},
        "subjects": subjects,
        "affine": affine,
        "seed": seed,
        "models": hashes,
        "code": [code, hash_file(__file__)],
    }
    if own:
        content["own"] = own
    return hash_json(content)


def _model_key(model: LinearModel) -> list[str]:
    """Hashes of the encoder's state and of the projection."""
    state = model.encoder.state_dict().values()
    hashes = [hash_array(tensor.cpu()) for tensor in state]
    projection = [hash_array(model.weight), repr(model.bias)]
    return [*hashes, *projection, repr(model.encoder)]


def _excluded(swept: Sweep, finite: np.ndarray) -> pd.DataFrame:
    """Who is left out where, and why: a line for each.

    finite : (points, modalities, people), of the distorted volumes.
    """
    import pandas as pd

    point_columns = ["distortion", "parameter", "value"]
    columns = [*point_columns, "modality", "subject", "model", "not_finite"]
    lines = []
    # of K classes all are missing together, or one is past the largest float
    missing = np.isnan(swept.scores)
    if missing.ndim > 4:
        missing = missing.any(axis=3)
    for p, j, n in np.argwhere(missing.any(1)):
        models, part = ["all"], "volume"
        if finite[p, j, n]:
            failed = np.flatnonzero(missing[p, :, j, n])
            models = [swept.models[i] for i in failed]
            part = "embedding"
        for model in models:
            line = {
                **swept.points.loc[p, point_columns],
                "modality": swept.modalities[j],
                "subject": swept.subjects[n],
                "model": model,
                "not_finite": part,
            }
            lines.append(line)
    return pd.DataFrame(lines, columns=columns)
