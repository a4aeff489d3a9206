"""Probes of a frozen representation: tuned logistic regression and a linear
layer.

Both read z alone, embedded once; the encoder is never here. The logistic
regression is that of Fedorov et al. 2021 ("Application to Alzheimer's
disease", section 4), the linear layer that of Fedorov et al. 2021 ("Taxonomy",
section III-B.1).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy.special import logsumexp

from mmssl.stats.auc import roc_auc

if TYPE_CHECKING:
    import optuna
    import pandas as pd
    from sklearn.pipeline import Pipeline

INNER_FOLDS = 5
"""Folds of the training people in which a penalty is chosen."""

# Correlated dimensions under the weakest penalties of the search need tens of
# thousands of passes, long after their ranking has settled: the fit stops
# early there, as in the public code, and the table of trials says so.
_TOLERANCE, _ITERATIONS = 1e-3, 200


class LogisticFit(NamedTuple):
    """A tuned logistic regression.

    pipeline : StandardScaler and LogisticRegression, fitted on all rows given.
    parameters : {"C", "penalty", "l1_ratio"} that won.
    score : its mean ROC-AUC over the inner folds; optimistic, as the best of
        several.
    trials : one row per trial: C, penalty, l1_ratio, score, and the share of
        its inner fits that converged before the last allowed pass.
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
    folds: int = INNER_FOLDS,
    seed: int = 0,
    class_weight: str | None = "balanced",
) -> LogisticFit:
    """Logistic regression on z, its penalty tuned by Optuna on inner
    subject-wise folds.

    The search space is that of "Application to Alzheimer's disease", section
    4: C log-uniform in [1e-6, 1e3]; penalty l1, l2 or elastic net, spelled
    through scikit-learn's l1_ratio as 1, 0 or uniform in [0, 1]; solver saga;
    objective the mean ROC-AUC, of more than two classes its macro average.
    That paper runs 500 trials. The same seed gives the same fit bit for bit: a
    seeded TPE sampler, one process.

    Parameters
    ----------
    z : array, shape (n, latent)
    labels : array, shape (n,)
        0 or 1; of K classes 0 to K - 1, and the regression is multinomial.
    subjects : array, shape (n,)
        A subject's rows stay in one inner fold.
    trials, folds, seed : int
    class_weight : {"balanced", None}
        Balanced, as supervised training and probes are here; the papers state
        none.

    Raises
    ------
    ValueError
        Before the search: shapes that differ, values not finite, one class
        only, or fewer subjects of a class than folds.
    """
    import optuna
    import pandas as pd

    z, labels = _checked(z, labels)
    subjects = np.asarray(subjects)
    splits = _inner_folds(labels, subjects, folds, seed)
    # logged as information, a line per trial: the table of trials says the
    # same
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: optuna.Trial) -> float:
        """Mean AUC over the inner folds at one point of the search."""
        pipeline = logistic_pipeline(_suggest(trial), seed, class_weight)
        aucs, converged = [], []
        for train, valid in splits:
            fit_pipeline(pipeline, z[train], labels[train])
            converged.append(pipeline[-1].n_iter_[0] < _ITERATIONS)
            scores = class_scores(pipeline.decision_function(z[valid]))
            aucs.append(roc_auc(labels[valid], scores))
        trial.set_user_attr("converged", float(np.mean(converged)))
        return float(np.mean(aucs))

    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed)
    )
    study.optimize(objective, n_trials=trials, n_jobs=1)
    table = pd.DataFrame(
        [{**trial.user_attrs, "score": trial.value} for trial in study.trials]
    )
    winner = study.best_trial.user_attrs
    best = {name: winner[name] for name in ("C", "penalty", "l1_ratio")}
    pipeline = logistic_pipeline(best, seed, class_weight)
    fit_pipeline(pipeline, z, labels)
    return LogisticFit(pipeline, best, study.best_value, table)


def fit_pipeline(
    pipeline: Pipeline, z: np.ndarray, labels: np.ndarray
) -> Pipeline:
    """Fit without the warning of a fit that stops early.

    A search makes thousands of fits; the caller reads from ``n_iter_`` which
    of them converged. Other warnings are passed on.

    Parameters
    ----------
    pipeline : Pipeline
        Of `logistic_pipeline`.
    z, labels : array, shapes (n, latent) and (n,)

    Returns
    -------
    Pipeline
        The one that was given, fitted.
    """
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pipeline.fit(z, labels)
    for warning in caught:
        if not issubclass(warning.category, ConvergenceWarning):
            warnings.warn_explicit(
                warning.message,
                warning.category,
                warning.filename,
                warning.lineno,
            )
    return pipeline


def logistic_pipeline(
    point: Mapping, seed: int = 0, class_weight: str | None = "balanced"
) -> Pipeline:
    """Standardisation and logistic regression at one point of the search, not
    fitted yet.

    Parameters
    ----------
    point : mapping
        C and l1_ratio, as in `LogisticFit`.
    seed : int
        Of the solver.
    class_weight : {"balanced", None}

    Returns
    -------
    Pipeline
        StandardScaler and LogisticRegression.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = LogisticRegression(
        C=point["C"],
        l1_ratio=point["l1_ratio"],
        solver="saga",
        tol=_TOLERANCE,
        max_iter=_ITERATIONS,
        class_weight=class_weight,
        random_state=seed,
    )
    return make_pipeline(StandardScaler(), model)


def class_scores(logits: np.ndarray) -> np.ndarray:
    r"""What a probe says for each class: its log odds.

    .. math:: s_k = a_k - \log \sum_{j \ne k} e^{a_j}

    Parameters
    ----------
    logits : array, shape (n,) or (n, K)
        Of scikit-learn's ``decision_function``, which of two classes are the
        log odds of class 1, or of `linear_probe`.

    Returns
    -------
    array
        (n,), of class 1, for two classes; (K, n) for more.
    """
    if logits.ndim == 1:
        return logits
    if logits.shape[1] == 2:
        return logits[:, 1] - logits[:, 0]
    scores = []
    for k in range(logits.shape[1]):
        others = np.delete(logits, k, axis=1)
        scores.append(logits[:, k] - logsumexp(others, axis=1))
    return np.stack(scores)


def linear_probe(
    z_train: np.ndarray,
    y_train: np.ndarray,
    z_test: np.ndarray,
    classes: int,
    epochs: int = 50,
    batch_size: int = 64,
    seed: int = 0,
    balanced: bool = True,
) -> np.ndarray:
    """One linear layer on cached z by cross-entropy: logits of the test rows,
    (n_test, classes).

    "Taxonomy", sections III-B.1 and III-C: RAdam at 4e-4 under OneCycle to
    0.01, stepped per batch of 64; 50 epochs on images, 500 on volumes. Weights
    start uniform Xavier and the bias at 1/classes, as in the supervised head
    of the public code. z is not rescaled. Each epoch draws the smaller classes
    up to the size of the largest ("Application to Alzheimer's disease",
    section 3.1) unless ``balanced`` is False; its last batch may be smaller. A
    function of its arguments alone, for a given number of threads.

    Parameters
    ----------
    z_train, z_test : array, shapes (n, latent) and (n_test, latent)
        Or (probes, n, latent) and (probes, n_test, latent): as many layers,
        each on its own embedding of the same people, trained side by side in
        the time of one; the result is then (probes, n_test, classes), each as
        if it were alone.
    y_train : array, shape (n,)
        Class indices below `classes`.

    Raises
    ------
    ValueError
        Shapes that differ, values not finite, a label outside the classes, one
        class only.
    """
    z, tests, y = _checked_probes(z_train, y_train, z_test, classes)
    if balanced:
        groups = [torch.nonzero(y == c).flatten() for c in torch.unique(y)]
    else:
        groups = [torch.arange(len(y))]
    generator = torch.Generator().manual_seed(seed)
    weight, bias = _trained_layers(
        z, y, classes, groups, epochs, batch_size, generator
    )
    with torch.no_grad():
        logits = torch.baddbmm(bias, tests, weight).numpy()
    return logits if np.ndim(z_train) == 3 else logits[0]


def _trained_layers(
    z: torch.Tensor,
    y: torch.Tensor,
    classes: int,
    groups: list[torch.Tensor],
    epochs: int,
    batch_size: int,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights (probes, latent, classes) and biases (probes, 1, classes) of
    linear layers trained side by side on z, (probes, n, latent).
    """
    probes, _, latent = z.shape
    first = torch.nn.init.xavier_uniform_(
        torch.empty(classes, latent), generator=generator
    )
    weight = first.T.repeat(probes, 1, 1).requires_grad_()
    bias = torch.full((probes, 1, classes), 1 / classes, requires_grad=True)
    optimiser = torch.optim.RAdam([weight, bias], lr=4e-4)
    largest = max(len(group) for group in groups)
    batches = -(-largest * len(groups) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=0.01, total_steps=epochs * batches
    )
    for _ in range(epochs):
        epoch = _balanced_epoch(groups, largest, generator)
        for rows in epoch.split(batch_size):
            optimiser.zero_grad()
            logits = torch.baddbmm(bias, z[:, rows], weight).flatten(0, 1)
            target = y[rows].repeat(probes)
            # a sum over probes, so that the gradient of each is its own
            loss = torch.nn.functional.cross_entropy(
                logits, target, reduction="sum"
            )
            loss = loss / len(rows)
            loss.backward()
            optimiser.step()
            schedule.step()
    return weight, bias


def _balanced_epoch(
    groups: list[torch.Tensor], largest: int, generator: torch.Generator
) -> torch.Tensor:
    """Rows of one epoch in random order, each group drawn up to the size of
    the largest.
    """
    parts = []
    for group in groups:
        missing = largest - len(group)
        drawn = torch.randint(len(group), (missing,), generator=generator)
        parts += [group, group[drawn]]
    rows = torch.cat(parts)
    return rows[torch.randperm(len(rows), generator=generator)]


def _checked_probes(
    z_train, y_train, z_test, classes: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """z of the training rows (probes, n, latent) and of the test rows (probes,
    n_test, latent), and labels (n,), or a ValueError.
    """
    several = np.ndim(z_train) == 3
    trains = []
    for z in z_train if several else [z_train]:
        checked, labels = _checked(z, y_train)
        trains.append(checked)
    tests = [
        finite_embedding(z, "z_test")
        for z in (z_test if several else [z_test])
    ]
    expected = [z.shape[1] for z in trains]
    if expected != [z.shape[1] for z in tests]:
        raise ValueError(
            f"z_test: shape {np.shape(z_test)}, expected (n, {expected[0]}) "
            f"for each of {len(trains)} probes"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"labels run from {labels.min()} to {labels.max()}, expected 0 to "
            f"{classes - 1}"
        )
    z = torch.from_numpy(np.stack(trains))
    z_test = torch.from_numpy(np.stack(tests))
    return z, z_test, torch.from_numpy(labels)


def _suggest(trial: optuna.Trial) -> dict:
    """One point of the search space, kept with the trial under the names the
    paper uses.
    """
    penalty = trial.suggest_categorical("penalty", ["l1", "l2", "elasticnet"])
    strength = trial.suggest_float("C", 1e-6, 1e3, log=True)
    if penalty == "elasticnet":
        ratio = trial.suggest_float("l1_ratio", 0.0, 1.0)
    else:
        ratio = {"l1": 1.0, "l2": 0.0}[penalty]
    point = {"C": strength, "penalty": penalty, "l1_ratio": ratio}
    for name, value in point.items():
        trial.set_user_attr(name, value)
    return point


def _inner_folds(
    labels, subjects, folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to fit and to score in each inner fold; a subject is in one."""
    from sklearn.model_selection import StratifiedGroupKFold

    if subjects.shape != labels.shape:
        raise ValueError(
            f"subjects: shape {subjects.shape}, expected {labels.shape} as "
            "the labels"
        )
    classes = np.unique(labels)
    if not np.array_equal(classes, np.arange(len(classes))):
        raise ValueError(
            f"labels must be 0 and 1, or 0 to K - 1, found {classes.tolist()}"
        )
    people = {
        label: len(np.unique(subjects[labels == label]))
        for label in classes.tolist()
    }
    if min(people.values()) < folds:
        raise ValueError(
            f"{folds} inner folds need {folds} subjects of each class, found "
            f"{people}"
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    splits = list(splitter.split(labels, labels, subjects))
    for number, split in enumerate(splits):
        present = [len(np.unique(labels[rows])) for rows in split]
        if min(present) < len(classes):
            raise ValueError(
                f"{min(present)} of {len(classes)} classes in inner fold "
                f"{number}: use fewer than {folds} folds"
            )
    return splits


def finite_embedding(z, name: str) -> np.ndarray:
    """Return z as contiguous float32, or refuse it by its name.

    Parameters
    ----------
    z : array-like, shape (n, latent)
    name : str
        What the message calls it.

    Raises
    ------
    ValueError
        For another number of axes, or values that are not finite.
    """
    z = np.ascontiguousarray(z, dtype=np.float32)
    if z.ndim != 2:
        raise ValueError(f"{name}: shape {z.shape}, expected (n, latent)")
    bad = int((~np.isfinite(z)).sum())
    if bad:
        raise ValueError(f"{name}: {bad} values are not finite")
    return z


def _checked(z, labels) -> tuple[np.ndarray, np.ndarray]:
    """z as float32 (n, latent) and labels as int64 (n,), or a ValueError."""
    z = finite_embedding(z, "z")
    labels = np.asarray(labels)
    if labels.shape != (len(z),):
        raise ValueError(
            f"labels: shape {labels.shape}, expected ({len(z)},) as z has rows"
        )
    if len(np.unique(labels)) < 2:
        raise ValueError(
            f"labels hold one class only: {np.unique(labels).tolist()}"
        )
    return z, labels.astype(np.int64)
