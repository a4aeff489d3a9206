"""The models that a sweep compares: frozen encoders, each with a linear
projection of its z.

The projection is fitted on the training people of the source population and on
undistorted images (Fedorov et al. 2021, "Tasting the cake", section 3). Where
a number is predicted, it is a ridge regression.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mmssl.evaluate.probes import class_scores, linear_probe
from mmssl.evaluate.regression import ridge_regression, rows_with_value
from mmssl.ledger import leakage
from mmssl.pretrain.baselines import (
    RANDOM,
    untrained_embeddings,
    untrained_encoders,
)
from mmssl.pretrain.encoders import embed, load_encoders


class LinearModel(NamedTuple):
    """A frozen encoder and its projection: the score of a volume is ``z @
    weight + bias``, of more than two classes the log odds of each.

    encoder : with an output ``z``.
    weight : (latent,), or (latent, K) of K > 2 classes.
    bias : float, or (K,).
    """

    encoder: nn.Module
    weight: np.ndarray
    bias: float | np.ndarray

    def scores(self, z: Tensor) -> Tensor:
        """Of embeddings (n, latent): (n,), or (K, n) of K > 2 classes."""
        logits = z @ torch.as_tensor(self.weight).to(z)
        if np.ndim(self.bias) == 0:
            return logits + self.bias
        logits = logits + torch.as_tensor(self.bias).to(z)
        scores = []
        for k in range(logits.shape[1]):
            others = [j for j in range(logits.shape[1]) if j != k]
            scores.append(logits[:, k] - logits[:, others].logsumexp(dim=1))
        return torch.stack(scores)


Models = Mapping[str, Mapping[str, LinearModel]]


class FittedModels(NamedTuple):
    """What a sweep compares.

    models : {model: {modality: LinearModel}}.
    landmarks : {modality: landmarks}, of the intensity steps that all of them
        were trained behind.
    scores : {model: {modality: (pairs,)}}, of the undistorted cohort; (K,
        pairs) of K > 2 classes.
    """

    models: Models
    landmarks: Mapping
    scores: Mapping[str, Mapping[str, np.ndarray]]


def select_runs(runs: Mapping[str, Path], models: str = "") -> dict[str, Path]:
    """Runs of a comma-separated list of models, in its order; all of them if
    it is empty.

    Parameters
    ----------
    runs : {model: run folder}
        Of `mmssl.evaluate.finished_runs`.
    models : str

    Raises
    ------
    ValueError
        Naming the models that have no finished run, and those that have.
    """
    names = [name.strip() for name in models.split(",") if name.strip()]
    if not names:
        return dict(runs)
    missing = [name for name in names if name not in runs]
    if missing:
        raise ValueError(
            f"models: no finished run of {', '.join(missing)}; found "
            f"{', '.join(runs)}. Make one with notebooks/03_pretraining.ipynb"
        )
    return {name: runs[name] for name in names}


def prove_samples_unseen(
    cohort,
    runs: Mapping[str, Path],
    fold: int = 0,
    samples: Mapping[str, np.ndarray] | None = None,
) -> dict:
    """Prove that no encoder, projection or landmark has seen the people that
    the models are tested on, and that the two populations share nobody.

    Parameters
    ----------
    cohort : Cohort
        With a second population, role "shift".
    runs : {model: run folder}
    fold : int
        Of the runs.
    samples : {"hold-out", "second population": rows}, optional
        By default everybody with a label.

    Returns
    -------
    dict
        As `mmssl.ledger.leakage.prove` returns it, for the sidecars.

    Raises
    ------
    LeakError
        Naming who is shared, or the run that left no record.
    """
    exposures, encoders = [], []
    for model, run in runs.items():
        encoders.append(f"encoder {model}, fold {fold}")
        for record in leakage.read_exposures(run / "exposures.json"):
            fit = f"{record.fit} {model}, fold {fold}"
            exposures.append(record._replace(fit=fit))
    fitted = f"landmarks and layers, fold {fold}"
    train = cohort.rows("train", fold)
    exposures.append(leakage.exposure(fitted, "train", cohort, train))
    if samples is None:
        roles = {"hold-out": "holdout", "second population": "shift"}
        samples = {
            sample: cohort.downstream(cohort.rows(role))
            for sample, role in roles.items()
        }
    for sample, people in samples.items():
        exposures.append(leakage.exposure(sample, "test", cohort, people))
    return leakage.prove(exposures, encoders)


def fit_linear_models(
    cohort,
    runs: Mapping[str, Path],
    fold: int = 0,
    epochs: int = 500,
    seed: int = 0,
    width: int = 32,
    numbers: np.ndarray | None = None,
) -> FittedModels:
    """Load the encoders of finished runs, add an untrained one, and fit the
    linear projection of each.

    Parameters
    ----------
    cohort : Cohort
    runs : {model: run folder}
        Of `mmssl.evaluate.finished_runs`, all of this fold.
    fold, epochs, seed : int
        Of the projection ("linear probe"); the paper trains it for 500 epochs.
    width : int
        Of the untrained encoder, model "random encoder".
    numbers : array, shape (pairs,), optional
        To be predicted by ridge regression instead of the first task's labels;
        NaN where one is missing (`mmssl.evaluate.regression.target_values`).

    Raises
    ------
    ValueError
        One class among the training people; runs behind different landmarks or
        of other modalities.
    LeakError
        A subject or image in two of training, validation, hold-out and the
        second population.
    """
    names = ("train", "valid", "holdout", "shift")
    roles = {role: cohort.rows(role, fold) for role in names}
    leakage.check_disjoint(cohort, roles)
    if numbers is None:
        train, truth = cohort.downstream(roles["train"]), cohort.labels()
    else:
        train = rows_with_value(cohort, numbers, "train", fold)
        truth = numbers
    encoders, landmarks = _load(runs)
    embeddings = {model: embed(run, cohort) for model, run in runs.items()}
    any_run = next(iter(embeddings.values()))
    latent = next(iter(any_run.values())).shape[1]
    encoders[RANDOM] = untrained_encoders(cohort, seed, width, latent)
    embeddings[RANDOM] = untrained_embeddings(
        cohort, seed, fold, width, latent
    )

    keys = [(model, m) for model in encoders for m in landmarks]
    projections = fit_projections(
        [encoders[model][m] for model, m in keys],
        np.stack([embeddings[model][m][train] for model, m in keys]),
        truth[train],
        epochs,
        seed,
    )
    models = {model: {} for model in encoders}
    scores = {model: {} for model in encoders}
    for (model, m), linear in zip(keys, projections, strict=True):
        z = embeddings[model][m]
        models[model][m] = linear
        scores[model][m] = class_scores(z @ linear.weight + linear.bias)
    return FittedModels(models, landmarks, scores)


def fit_projections(
    encoders: Sequence[nn.Module], z, labels, epochs: int = 500, seed: int = 0
) -> list[LinearModel]:
    """Fit the linear projection of each encoder on its embeddings of the
    source population.

    Parameters
    ----------
    encoders : sequence of Module
        Anything whose output has a field ``z`` (B, latent).
    z : array, shape (encoders, n, latent)
        Of the training people, undistorted.
    labels : array, shape (n,)
        0 or 1; larger scores mean 1. Of K classes 0 to K - 1; of numbers
        float, and the projection is a ridge regression.
    """
    z, labels = np.asarray(z), np.asarray(labels)
    if labels.dtype.kind == "f":
        return [
            _ridge_model(encoder, own, labels)
            for encoder, own in zip(encoders, z, strict=True)
        ]
    count, _, latent = z.shape
    classes = int(labels.max()) + 1
    # the logits of 0 and of each unit vector tell bias and weights
    queries = np.vstack([np.zeros(latent), np.eye(latent)])
    queries = np.stack([queries] * count)
    logits = linear_probe(z, labels, queries, classes, epochs, seed=seed)
    models = []
    for encoder, own in zip(encoders, logits, strict=True):
        if classes == 2:
            margin = own[..., 1] - own[..., 0]
            bias, weight = float(margin[0]), margin[1:] - margin[0]
        else:
            bias, weight = own[0], own[1:] - own[0]
        models.append(LinearModel(encoder, weight, bias))
    return models


def _ridge_model(
    encoder: nn.Module, z: np.ndarray, numbers: np.ndarray
) -> LinearModel:
    """A ridge regression on z as it is, its standardisation taken in."""
    fitted = ridge_regression(z, numbers)
    scaler, ridge = fitted[0], fitted[1]
    weight = ridge.coef_ / scaler.scale_
    bias = float(ridge.intercept_ - scaler.mean_ @ weight)
    return LinearModel(encoder, weight.astype(np.float32), bias)


def _load(runs: Mapping[str, Path]) -> tuple[dict, Mapping]:
    """Encoders of each run, and the landmarks that all runs share."""
    encoders, shared = {}, None
    for model, run in runs.items():
        encoders[model], landmarks = load_encoders(run)
        if shared is None:
            shared = landmarks
        if landmarks != shared or set(encoders[model]) != set(shared):
            raise ValueError(
                f"{run}: its intensity landmarks or modalities "
                f"{list(encoders[model])} are not those of the first run, so "
                "it cannot read the same volumes"
            )
    return encoders, shared
