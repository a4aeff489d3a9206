"""How much a frozen representation says: logistic regression, linear probe, and their table.

The encoder is never here. Both protocols read z, embedded once and cached (`mmssl.pretrain.embed`):
the logistic regression of Fedorov et al. 2021 ("Application to Alzheimer's disease", section 4) and
the linear projection of Fedorov et al. 2021 ("Taxonomy", section III-B.1).

A probe is fitted on the training people of one fold, one pair each, and tested on the hold-out. The
fold's validation people choose the epoch of the encoder and nothing else, so that folds really
differ and a threshold or a calibration can still be fitted on people no probe has seen. Every table
carries two floors that learned nothing by gradient: an untrained encoder, and principal components
of the same voxels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import optuna
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mmssl import inputs, ledger, pretrain, stats

RANDOM, PCA_64 = "random encoder", "PCA-64"
FLOORS = (RANDOM, PCA_64)

# saga meets this tolerance on standardised codes at every C of the search, far below the iterations
# allowed; at tol 1e-4 the weakest penalties take ten times as long for the same ranking
_TOLERANCE, _ITERATIONS = 1e-3, 10_000

Embeddings = Mapping[str, Mapping[str, np.ndarray]]


class LogisticFit(NamedTuple):
    """A tuned logistic regression.

    pipeline : StandardScaler and LogisticRegression, fitted on all rows given.
    parameters : {"C", "penalty", "l1_ratio"} that won.
    score : its mean ROC-AUC over the inner folds; optimistic, as the best of several.
    trials : one row per trial: C, penalty, l1_ratio, score.
    """

    pipeline: Pipeline
    parameters: dict
    score: float
    trials: pd.DataFrame


def logistic_regression(
    z: np.ndarray,
    labels: np.ndarray,
    subjects: np.ndarray,
    trials: int = 25,
    folds: int = 5,
    seed: int = 0,
    class_weight: str | None = "balanced",
) -> LogisticFit:
    """Logistic regression on z, its penalty tuned by Optuna on inner subject-wise folds.

    The search space is that of "Application to Alzheimer's disease", section 4: C log-uniform in
    [1e-6, 1e3]; penalty l1, l2 or elastic net, spelled through scikit-learn's l1_ratio as 1, 0 or
    uniform in [0, 1]; solver saga; objective the mean ROC-AUC. That paper runs 500 trials. The same
    seed gives the same fit bit for bit: a seeded TPE sampler, one process.

    Parameters
    ----------
    z : array, shape (n, latent)
    labels : array, shape (n,)
        0 or 1.
    subjects : array, shape (n,)
        A subject's rows stay in one inner fold.
    trials, folds, seed : int
    class_weight : {"balanced", None}
        Balanced, as supervised training and probes are here; the papers state none.

    Raises
    ------
    ValueError
        Before the search: shapes that differ, values not finite, one class only, or fewer subjects
        of a class than folds.
    """
    z, labels = _checked(z, labels)
    subjects = np.asarray(subjects)
    splits = _inner_folds(labels, subjects, folds, seed)
    # logged as information, a line per trial: the table of trials says the same
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: optuna.Trial) -> float:
        pipeline = _pipeline(_suggest(trial), seed, class_weight)
        aucs = []
        for train, valid in splits:
            pipeline.fit(z[train], labels[train])
            aucs.append(stats.roc_auc(labels[valid], pipeline.decision_function(z[valid])))
        return float(np.mean(aucs))

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, n_trials=trials, n_jobs=1)
    best = study.best_trial.user_attrs
    table = pd.DataFrame([{**t.user_attrs, "score": t.value} for t in study.trials])
    pipeline = _pipeline(best, seed, class_weight).fit(z, labels)
    return LogisticFit(pipeline, dict(best), study.best_value, table)


def linear_probe(
    z_train: np.ndarray,
    y_train: np.ndarray,
    z_test: np.ndarray,
    classes: int,
    epochs: int = 50,
    batch_size: int = 64,
    seed: int = 0,
) -> np.ndarray:
    """One linear layer on cached z by cross-entropy: logits of the test rows, (n_test, classes).

    "Taxonomy", sections III-B.1 and III-C: RAdam at 4e-4 under OneCycle to 0.01, stepped per batch
    of 64; 50 epochs on images, 500 on volumes. Weights start uniform Xavier and the bias at
    1/classes, as in the supervised head of the public code. z is not rescaled. The last batch of an
    epoch may be smaller. A function of its arguments alone, for a given number of threads.

    Parameters
    ----------
    z_train, z_test : array, shapes (n, latent) and (n_test, latent)
    y_train : array, shape (n,)
        Class indices below `classes`.

    Raises
    ------
    ValueError
        Shapes that differ, values not finite, a label outside the classes, one class only.
    """
    z_train, y_train = _checked(z_train, y_train)
    z_test = _finite(z_test, "z_test")
    if z_test.shape[1] != z_train.shape[1]:
        raise ValueError(f"z_test: shape {z_test.shape}, expected (n, {z_train.shape[1]})")
    if y_train.min() < 0 or y_train.max() >= classes:
        raise ValueError(f"labels run from {y_train.min()} to {y_train.max()}, expected 0 to "
                         f"{classes - 1}")
    z, y = torch.from_numpy(z_train), torch.from_numpy(y_train)
    generator = torch.Generator().manual_seed(seed)
    layer = torch.nn.utils.skip_init(torch.nn.Linear, z.shape[1], classes)
    torch.nn.init.xavier_uniform_(layer.weight, generator=generator)
    torch.nn.init.constant_(layer.bias, 1 / classes)
    optimiser = torch.optim.RAdam(layer.parameters(), lr=4e-4)
    steps = epochs * -(-len(z) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.01, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(z), generator=generator).split(batch_size):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(layer(z[rows]), y[rows]).backward()
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        return layer(torch.from_numpy(z_test)).numpy()


def floors(
    cohort, fold: int = 0, seed: int = 0, width: int = 32, latent: int = 64
) -> dict[str, dict[str, np.ndarray]]:
    """What an objective must beat: {floor: {modality: (pairs, latent or fewer)}}.

    An untrained encoder of the same shape, and the leading principal components of the same
    standardised voxels. Intensity landmarks and components are fitted on the training rows of the
    fold alone; components are at most one fewer than those rows.
    """
    train = cohort.rows("train", fold)
    random = pretrain.untrained(cohort, seed=seed, fold=fold, width=width, latent=latent)
    components = {}
    for modality, x in inputs.standardised(cohort, inputs.fit_landmarks(cohort, fold)).items():
        components[modality] = _components(x.reshape(len(x), -1), train, latent)
    return {RANDOM: random, PCA_64: components}


def results_table(
    cohort,
    embeddings: Embeddings,
    fold: int = 0,
    trials: int = 25,
    seed: int = 0,
    resamples: int = 2000,
    task: str | None = None,
    width: int = 32,
) -> pd.DataFrame:
    """Hold-out ROC-AUC of every row and of the two floors, per modality.

    Parameters
    ----------
    cohort : Cohort
    embeddings : {row: {modality: (pairs, latent)}}
        In cohort order, as `mmssl.pretrain.embed` returns them.
    fold, trials, seed, resamples : int
    task : str, optional
        A task of two classes; by default the cohort's first.
    width : int
        Of the untrained encoder.

    Returns
    -------
    DataFrame
        One line per row and modality: auc, low, high (BCa subject bootstrap, 95 %); difference,
        with its low and high, to the untrained encoder on the same resamples; minimum_detectable,
        the gain over that floor a paired test would find with power .8; train, positives, negatives
        (people); tuning_auc, C, penalty, l1_ratio.

    Raises
    ------
    ValueError
        Before any fit: no runs, a shape that does not fit the cohort, one class only.
    LeakError
        Before any fit: a subject or an image in the hold-out and in what was fitted.
    """
    train, test = _roles(cohort, fold, task)
    labels = cohort.labels(task)
    classes = np.unique(labels[labels >= 0])
    if classes.max() > 1:
        raise ValueError(f"{cohort.path}: ROC-AUC needs two classes, found {len(classes)}")
    _check_embeddings(cohort, embeddings)
    latent = max(z.shape[1] for by_modality in embeddings.values() for z in by_modality.values())
    subjects, lines = cohort.subjects, []
    everything = {**floors(cohort, fold, seed, width, latent), **embeddings}
    scores: dict[tuple[str, str], np.ndarray] = {}
    for row, by_modality in everything.items():
        for modality, z in by_modality.items():
            fit = logistic_regression(z[train], labels[train], subjects[train], trials, seed=seed)
            scores[row, modality] = score = fit.pipeline.decision_function(z[test])
            lines.append({
                "row": row, "modality": modality, "fold": fold, "floor": row in FLOORS,
                **_compared(labels[test], score, scores[RANDOM, modality], subjects[test],
                            resamples, seed),
                "train": len(train), "positives": int((labels[test] == 1).sum()),
                "negatives": int((labels[test] == 0).sum()),
                "tuning_auc": fit.score, **fit.parameters,
            })  # fmt: skip
    return pd.DataFrame(lines)


def accuracy_table(
    cohort,
    embeddings: Embeddings,
    fold: int = 0,
    epochs: int = 50,
    seed: int = 0,
    task: str | None = None,
) -> pd.DataFrame:
    """Hold-out accuracy of the linear probe, per row and modality, with its Wilson interval.

    Parameters and errors as in `results_table`, for a task of any number of classes; the floors are
    the caller's to add. One line per row and modality: accuracy, low, high, train, test.
    """
    train, test = _roles(cohort, fold, task)
    _check_embeddings(cohort, embeddings)
    labels = cohort.labels(task)
    classes = int(labels.max()) + 1
    lines = []
    for row, by_modality in embeddings.items():
        for modality, z in by_modality.items():
            logits = linear_probe(z[train], labels[train], z[test], classes, epochs, seed=seed)
            right = int((logits.argmax(axis=1) == labels[test]).sum())
            interval = stats.proportion_interval(right, len(test))
            lines.append({
                "row": row, "modality": modality, "fold": fold, "accuracy": interval.estimate,
                "low": interval.low, "high": interval.high, "train": len(train), "test": len(test),
            })  # fmt: skip
    return pd.DataFrame(lines)


def _roles(cohort, fold: int, task: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Rows a probe learns from and is tested on, after the leak check and the check of classes."""
    seen = np.r_[cohort.rows("train", fold), cohort.rows("valid", fold)]
    held = cohort.rows("holdout")
    ledger.check_disjoint({
        role: {"subjects": set(cohort.subjects[rows]), "images": cohort.image_hashes(rows)}
        for role, rows in (("training", seen), ("holdout", held))
    })  # fmt: skip
    train, test = cohort.downstream(cohort.rows("train", fold), task), cohort.downstream(held, task)
    labels = cohort.labels(task)
    for role, rows in (("training", train), ("hold-out", test)):
        found = np.unique(labels[rows]).tolist()
        if len(found) < 2:
            raise ValueError(f"{cohort.path}: the {role} rows of fold {fold} hold one class only: "
                             f"{len(rows)} people of the classes {found}, expected at least two")
    return train, test


def _compared(labels, score, floor, subjects, resamples: int, seed: int) -> dict[str, float]:
    """AUC with interval; its difference to the floor; what could have been found."""
    auc = stats.auc_interval(labels, score, subjects, resamples, seed)
    line = {"auc": auc.estimate, "low": auc.low, "high": auc.high}
    if score is floor:
        return line | dict.fromkeys(
            ("difference", "difference_low", "difference_high", "minimum_detectable"), np.nan)
    gain = stats.auc_difference(labels, score, floor, subjects, resamples, seed)
    covariance = stats.delong_covariance(labels, [score, floor])
    spread = np.sqrt(covariance[0, 0] * covariance[1, 1])
    # no spread (perfect separation) says nothing of the correlation: 0 asks for the most people
    correlation = min(covariance[0, 1] / spread, 0.99) if spread > 0 else 0.0
    positives = int(labels.sum())
    detectable = stats.minimum_detectable_difference(
        stats.roc_auc(labels, floor), positives, len(labels) - positives, correlation)
    return line | {"difference": gain.estimate, "difference_low": gain.low,
                   "difference_high": gain.high, "minimum_detectable": detectable}


def _components(voxels: np.ndarray, train: np.ndarray, count: int) -> np.ndarray:
    """Scores of all rows on the leading principal components of the training rows.

    (n, voxels) to (n, at most count). Through the eigenvectors of the small Gram matrix, as there
    are many more voxels than rows; directions without spread are left out.
    """
    mean = voxels[train].mean(axis=0)
    centred = voxels[train] - mean
    spread, vectors = np.linalg.eigh(centred @ centred.T)
    kept = np.flatnonzero(spread > 1e-6 * spread[-1])[::-1][: min(count, len(train) - 1)]
    axes = vectors[:, kept].T @ centred / np.sqrt(spread[kept])[:, None]  # (count, voxels)
    return (voxels - mean) @ axes.T


def _suggest(trial: optuna.Trial) -> dict:
    """One point of the search space, kept with the trial under the names the paper uses."""
    penalty = trial.suggest_categorical("penalty", ["l1", "l2", "elasticnet"])
    ratio = {"l1": 1.0, "l2": 0.0}.get(penalty)
    point = {
        "C": trial.suggest_float("C", 1e-6, 1e3, log=True),
        "penalty": penalty,
        "l1_ratio": trial.suggest_float("l1_ratio", 0.0, 1.0) if ratio is None else ratio,
    }
    for name, value in point.items():
        trial.set_user_attr(name, value)
    return point


def _pipeline(point: Mapping, seed: int, class_weight: str | None) -> Pipeline:
    model = LogisticRegression(
        C=point["C"], l1_ratio=point["l1_ratio"], solver="saga", tol=_TOLERANCE,
        max_iter=_ITERATIONS, class_weight=class_weight, random_state=seed,
    )  # fmt: skip
    return make_pipeline(StandardScaler(), model)


def _inner_folds(labels, subjects, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    if subjects.shape != labels.shape:
        raise ValueError(f"subjects: shape {subjects.shape}, expected {labels.shape} as the labels")
    if not np.array_equal(np.unique(labels), (0, 1)):
        raise ValueError(f"labels must be 0 and 1, found {np.unique(labels).tolist()}")
    people = {c: len(np.unique(subjects[labels == c])) for c in (0, 1)}
    if min(people.values()) < folds:
        raise ValueError(f"{folds} inner folds need {folds} subjects of each class, found {people}")
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    splits = list(splitter.split(labels, labels, subjects))
    for number, split in enumerate(splits):
        if any(len(np.unique(labels[rows])) < 2 for rows in split):
            raise ValueError(f"one class only in inner fold {number}: use fewer than {folds} folds")
    return splits


def _finite(z, name: str) -> np.ndarray:
    z = np.ascontiguousarray(z, dtype=np.float32)
    if z.ndim != 2:
        raise ValueError(f"{name}: shape {z.shape}, expected (n, latent)")
    if not np.isfinite(z).all():
        raise ValueError(f"{name}: {int((~np.isfinite(z)).sum())} values are not finite")
    return z


def _checked(z, labels) -> tuple[np.ndarray, np.ndarray]:
    z, labels = _finite(z, "z"), np.asarray(labels)
    if labels.shape != (len(z),):
        raise ValueError(f"labels: shape {labels.shape}, expected ({len(z)},) as z has rows")
    if len(np.unique(labels)) < 2:
        raise ValueError(f"labels hold one class only: {np.unique(labels).tolist()}")
    return z, labels.astype(np.int64)


def _check_embeddings(cohort, embeddings: Embeddings) -> None:
    if not embeddings:
        raise ValueError(f"{cohort.path}: no embeddings to evaluate; finish a run first")
    for row, by_modality in embeddings.items():
        if row in FLOORS:
            raise ValueError(f"row {row!r} is a floor's name, choose another")
        for modality, z in by_modality.items():
            z = _finite(z, f"{row}, {modality}")
            if len(z) != len(cohort):
                raise ValueError(f"{row}, {modality}: {len(z)} rows, the cohort has {len(cohort)}")
