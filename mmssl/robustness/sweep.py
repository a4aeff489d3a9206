"""The sweep: a distorted volume is made once and read by every model while it
is in memory.

A model is an encoder per modality, frozen, and a linear projection of its z
fitted on the training people of the source population (Fedorov et al. 2021,
"Tasting the cake", section 3). Every model and fold sees the same distorted
images: their seeds are a function of subject, panel and value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from mmssl.evaluate.probes import linear_probe
from mmssl.ledger import atomic, leakage
from mmssl.ledger.code import fingerprint
from mmssl.ledger.hashes import hash_array, hash_file, hash_json
from mmssl.models.dcgan import Encoder
from mmssl.pretrain.baselines import RANDOM, untrained
from mmssl.pretrain.encoders import embed, load_encoders
from mmssl.robustness.distortions import distort

if TYPE_CHECKING:
    import pandas as pd

CLEAN = "none"
"""The distortion of the first point of a sweep: the volumes as they are."""


class Reader(NamedTuple):
    """A frozen encoder and its projection: the score of a volume is ``z @
    weight + bias``.
    """

    encoder: nn.Module
    weight: np.ndarray
    bias: float


class Models(NamedTuple):
    """What a sweep compares.

    readers : {row: {modality: Reader}}.
    landmarks : {modality: landmarks}, of the intensity steps that all of them
        were trained behind.
    scores : {row: {modality: (pairs,)}}, of the undistorted cohort.
    """

    readers: Mapping[str, Mapping[str, Reader]]
    landmarks: Mapping
    scores: Mapping[str, Mapping[str, np.ndarray]]


class Sweep(NamedTuple):
    """Scores of every point, model, modality and person.

    points : line i describes scores[i]; the first is the undistorted one, of
        distortion "none".
    rows, modalities, subjects : the other axes.
    scores : float32 (points, rows, modalities, people); NaN where the volume
        or its embedding is
        not finite.
    excluded : one line for each NaN: distortion, parameter, value, modality,
        subject, row, what;
        a volume that is not finite is one line, of row "all".
    """

    points: pd.DataFrame
    rows: tuple[str, ...]
    modalities: tuple[str, ...]
    subjects: np.ndarray
    scores: np.ndarray
    excluded: pd.DataFrame


def chosen_runs(
    found: Mapping[str, Path], models: str = ""
) -> dict[str, Path]:
    """Runs of a comma-separated list of rows, in its order; all of them if it
    is empty.

    Raises
    ------
    ValueError
        Naming the rows that have no finished run, and those that have.
    """
    wanted = [
        name.strip() for name in models.split(",") if name.strip()
    ] or list(found)
    if missing := [name for name in wanted if name not in found]:
        raise ValueError(
            f"models: no finished run of {', '.join(missing)}; found "
            f"{', '.join(found)}. Make one with notebooks/03_pretraining.ipynb"
        )
    return {name: found[name] for name in wanted}


def linear_models(
    cohort,
    runs: Mapping[str, Path],
    fold: int = 0,
    epochs: int = 500,
    seed: int = 0,
    width: int = 32,
) -> Models:
    """Read finished runs and an untrained encoder, each with its linear
    projection.

    Parameters
    ----------
    cohort : Cohort
    runs : {row: folder}
        Of `mmssl.evaluate.linear_evaluation.finished_runs`, all of this fold.
    fold, epochs, seed : int
        Of the projection ("linear probe"); the paper trains it for 500 epochs.
    width : int
        Of the untrained encoder, row "random encoder".

    Raises
    ------
    ValueError
        One class among the training people; runs behind different landmarks or
        of other modalities.
    LeakError
        A subject or image in two of training, validation, hold-out and the
        second population.
    """
    roles = {
        role: cohort.rows(role, fold)
        for role in ("train", "valid", "holdout", "shift")
    }
    leakage.check_disjoint(cohort, roles)
    train, labels = cohort.downstream(roles["train"]), cohort.labels()
    loaded = {row: load_encoders(run) for row, run in runs.items()}
    landmarks = next(iter(loaded.values()))[1]
    for row, (encoders, other) in loaded.items():
        if other != landmarks or set(encoders) != set(landmarks):
            raise ValueError(
                f"{runs[row]}: its intensity landmarks or modalities {list(encoders)} "
                "are not those of the first run, so it cannot read the same volumes"
            )
    embeddings = {row: embed(run, cohort) for row, run in runs.items()}
    latent = next(iter(next(iter(embeddings.values())).values())).shape[1]
    encoders = {row: pair[0] for row, pair in loaded.items()}
    encoders[RANDOM] = _untrained(cohort, seed, width, latent)
    embeddings[RANDOM] = untrained(cohort, seed, fold, width, latent)
    work = [(row, m) for row in encoders for m in landmarks]
    read = project(
        [encoders[row][m] for row, m in work],
        np.stack([embeddings[row][m][train] for row, m in work]),
        labels[train],
        epochs,
        seed,
    )
    readers, scores = {}, {}
    for (row, m), reader in zip(work, read, strict=True):
        readers.setdefault(row, {})[m] = reader
        scores.setdefault(row, {})[m] = (
            embeddings[row][m] @ reader.weight + reader.bias
        )
    return Models(readers, landmarks, scores)


def project(
    encoders: Sequence[nn.Module], z, labels, epochs: int = 500, seed: int = 0
) -> list[Reader]:
    """Fit the linear projection of each encoder on its embeddings of the
    source population.

    Parameters
    ----------
    encoders : sequence of Module
        Anything whose output has a field ``z`` (B, latent).
    z : array, shape (encoders, n, latent)
        Of the training people, undistorted.
    labels : array, shape (n,)
        0 or 1; larger scores mean 1.
    """
    z = np.asarray(z)
    # an affine map, read off
    asked = np.vstack([np.zeros(z.shape[2]), np.eye(z.shape[2])])
    logits = linear_probe(
        z, labels, np.stack([asked] * len(z)), 2, epochs, seed=seed
    )
    margins = logits[..., 1] - logits[..., 0]
    return [
        Reader(encoder, margin[1:] - margin[0], float(margin[0]))
        for encoder, margin in zip(encoders, margins, strict=True)
    ]


def seeds(
    subjects: Sequence[str],
    distortion: str,
    parameter: str,
    value: float,
    seed: int = 0,
):
    """Seed of each subject at a point, list of int below 2^31: the same for
    all models and folds.

    A hash of the four and of the sweep's own seed; it depends on no other
    subject or point.
    """
    point = f"{seed}/{distortion}/{parameter}/{float(value):g}"
    digests = (
        hashlib.sha256(f"{point}/{subject}".encode()).digest()
        for subject in subjects
    )
    return [int.from_bytes(digest[:4]) >> 1 for digest in digests]


def sweep(
    inputs: Mapping[str, np.ndarray],
    subjects: Sequence[str],
    readers: Mapping[str, Mapping[str, Reader]],
    grid: pd.DataFrame,
    affine: np.ndarray,
    folder: str | Path,
    seed: int = 0,
    block: int = 32,
    progress: bool = True,
) -> Sweep:
    """Distort every volume at every point and score it with every model.

    Finished points are kept in ``folder``, under a key of everything they
    depend on (images, models, seed, code), so that a sweep that was stopped
    continues where it stood, and one of other models starts anew beside it.

    Parameters
    ----------
    inputs : {modality: array (people, 1, X, Y, Z)}
        z-scored network inputs.
    subjects : sequence of str, one per person
    readers : {row: {modality: Reader}}
    grid : DataFrame
        Of `mmssl.robustness.spaces.points`, or some of its lines.
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
        that a model lacks.
    """
    import pandas as pd

    subjects = np.asarray(subjects, dtype=str)
    _check(inputs, subjects, readers)
    key = _key(inputs, subjects, readers, affine, seed)
    folder = Path(folder) / key[:16]
    first = pd.DataFrame(
        [
            {
                **dict.fromkeys(grid.columns, ""),
                "distortion": CLEAN,
                "value": np.nan,
            }
        ]
    )
    points = pd.concat([first, grid], ignore_index=True)
    scores, whole = [], []
    for point in tqdm(
        points.itertuples(),
        total=len(points),
        desc="sweep",
        unit="point",
        disable=not progress,
    ):
        where = (point.distortion, point.parameter, point.value)
        part = (
            folder
            / f"{point.distortion}-{point.parameter}-{point.value:g}.npz"
        )
        if not part.exists():
            found, finite = _score(
                inputs,
                readers,
                where,
                seeds(subjects, *where, seed),
                affine,
                block,
            )
            with (
                atomic.file(part) as temporary,
                open(temporary, "wb") as stream,
            ):
                np.savez(stream, scores=found, whole=finite)
        with np.load(part) as done:
            scores.append(done["scores"])
            whole.append(done["whole"])
    rows, modalities = tuple(readers), tuple(inputs)
    excluded = _excluded(
        points, rows, modalities, subjects, np.stack(scores), np.stack(whole)
    )
    return Sweep(
        points, rows, modalities, subjects, np.stack(scores), excluded
    )


@torch.inference_mode()
def _score(
    inputs, readers, where, seeds, affine, block
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (rows, modalities, people) of one point, and which volumes are
    finite.
    """
    people = len(seeds)
    scores = np.full((len(readers), len(inputs), people), np.nan, np.float32)
    whole = np.zeros((len(inputs), people), bool)
    for j, (m, x) in enumerate(inputs.items()):
        models = [by_modality[m] for by_modality in readers.values()]
        device = next(
            (p.device for model in models for p in model.encoder.parameters()),
            "cpu",
        )
        for start in range(0, people, block):
            rows = slice(start, start + block)
            volumes = torch.as_tensor(np.asarray(x[rows], np.float32)).to(
                device
            )
            if where[0] != CLEAN:
                volumes = distort(volumes, *where, seeds[rows], affine)
            whole[j, rows] = volumes.isfinite().flatten(1).all(1).cpu()
            volumes = volumes.contiguous(memory_format=torch.channels_last_3d)
            for i, model in enumerate(models):
                scores[i, j, rows] = _read(model, volumes).cpu()
    return scores, whole


def _read(model: Reader, volumes: Tensor) -> Tensor:
    """Score of each volume, NaN where its embedding is not finite."""
    encoder = model.encoder.eval().to(memory_format=torch.channels_last_3d)
    z = encoder(volumes).z.float()
    score = z @ torch.as_tensor(model.weight).to(z) + model.bias
    return score.masked_fill(
        ~(z.isfinite().all(1) & score.isfinite()), torch.nan
    )


def _untrained(
    cohort, seed: int, width: int, latent: int
) -> dict[str, Encoder]:
    """The encoders behind `mmssl.pretrain.baselines.untrained`."""
    sizes = {
        "width": width,
        "latent": latent,
        "size": cohort.size,
        "dims": cohort.dims,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return {
            m: Encoder(cohort.channels[m], **sizes).eval()
            for m in cohort.modalities
        }


def _check(inputs, subjects, readers) -> None:
    names, counts = np.unique(subjects, return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"subjects: {str(names[counts.argmax()])!r} stands {counts.max()} times, "
            "expected one volume a person"
        )
    for m, x in inputs.items():
        if x.ndim != 5 or x.shape[1] != 1 or len(x) != len(subjects):
            raise ValueError(
                f"inputs, {m}: shape {x.shape}, expected "
                f"({len(subjects)}, 1, X, Y, Z) as there are subjects"
            )
    for row, by_modality in readers.items():
        if missing := set(inputs) - set(by_modality):
            raise ValueError(
                f"readers, {row!r}: no model for {sorted(missing)}"
            )


def _key(inputs, subjects, readers, affine, seed) -> str:
    """Hash of everything that a score depends on, except the point."""

    def weights(model: Reader) -> list[str]:
        state = [
            hash_array(v.cpu()) for v in model.encoder.state_dict().values()
        ]
        return [
            *state,
            hash_array(model.weight),
            repr(model.bias),
            repr(model.encoder),
        ]

    return hash_json(
        {
            "inputs": {m: hash_array(x) for m, x in inputs.items()},
            "subjects": subjects,
            "affine": affine,
            "seed": seed,
            "readers": [
                [row, m, weights(by[m])]
                for row, by in readers.items()
                for m in inputs
            ],
            "code": [
                fingerprint("mmssl.robustness.distortions", "mmssl.models"),
                hash_file(__file__),
            ],
        }
    )


def _excluded(
    points, rows, modalities, subjects, scores, whole
) -> pd.DataFrame:
    """Who is left out where, and why: a line for each."""
    import pandas as pd

    lines = []
    for p, j, n in np.argwhere(np.isnan(scores).any(1)):
        bad = [
            row
            for row, score in zip(rows, scores[p, :, j, n], strict=True)
            if np.isnan(score)
        ]
        what = "embedding" if whole[p, j, n] else "volume"
        for row in bad if whole[p, j, n] else ["all"]:
            lines.append(
                {
                    **points.loc[p, ["distortion", "parameter", "value"]],
                    "modality": modalities[j],
                    "subject": subjects[n],
                    "model": row,
                    "what": what,
                }
            )
    columns = [
        "distortion",
        "parameter",
        "value",
        "modality",
        "subject",
        "model",
        "what",
    ]
    return pd.DataFrame(lines, columns=columns)
