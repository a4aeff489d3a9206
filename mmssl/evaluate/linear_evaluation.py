"""What a frozen representation is worth: probes on the training people,
scores of the hold-out.

The probes of `mmssl.evaluate.probes` are fitted on the training people of one
fold, one pair each, and tested on the hold-out. The fold's validation people
choose the epoch of the encoder and nothing else: folds then really differ, and
a threshold or a calibration can still be fitted on people that no probe has
seen. Baselines that learned nothing by gradient are scored beside the
encoders: untrained encoders, of several draws of initial weights, principal
components of the same voxels, means over the planted regions where the truth
is known, and covariates.
The scores become tables in `mmssl.evaluate.results`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from mmssl.evaluate.probes import (
    INNER_FOLDS,
    class_scores,
    finite_embedding,
    linear_probe,
    logistic_regression,
)
from mmssl.evaluate.simple_features import SIMPLE_FEATURES, simple_features
from mmssl.ledger import leakage
from mmssl.ledger.workers import end_with
from mmssl.pretrain.baselines import (
    BASELINES,
    INITIALISATIONS,
    RANDOM,
    baseline_embeddings,
    untrained_draws,
)
from mmssl.stats.intervals import proportion_interval

if TYPE_CHECKING:
    import pandas as pd

LOGISTIC, PROJECTION = PROTOCOLS = ("logistic regression", "linear projection")
Embeddings = Mapping[str, Mapping[str, np.ndarray]]
Records = Mapping[str, Sequence[leakage.Exposure]]
Rows = Mapping[str, tuple[np.ndarray, np.ndarray]]


class ProbeResults(NamedTuple):
    """The probes of one fold, and their scores of the hold-out.

    scores : one line per protocol, model, modality, draw and held-out person:
        fold, protocol, model, modality, draw (of initial weights; 0 for all
        but the untrained encoder), baseline, pair (row of the cohort),
        subject, label, class (1 of two; of more, a line for each), score
        (larger means that class). Of numbers that are predicted
        (`mmssl.evaluate.regression`), label is the true one, score the
        predicted one, and there is no class.
    fits : one line per protocol, model, modality and draw: fold, protocol,
        model, modality, draw, train (people); of the logistic regression also
        inner_folds (5, or as many as the smaller class has people),
        tuning_auc, C, penalty and l1_ratio.
    exposures : whom the landmarks, components, encoders and probes behind the
        scores have seen, and whom they are tested on.
    embeddings : {model: {modality: (pairs, latent)}}, what the probes were
        given, baselines included; of the untrained encoder, draw 0.
    """

    scores: pd.DataFrame
    fits: pd.DataFrame
    exposures: Sequence[leakage.Exposure] = ()
    embeddings: Embeddings | None = None


def probe(
    cohort,
    embeddings: Embeddings,
    fold: int = 0,
    protocols: Sequence[str] = PROTOCOLS,
    trials: int = 25,
    epochs: int = 500,
    seed: int = 0,
    task: str | None = None,
    width: int = 32,
    seen: Records | None = None,
    jobs: int = 1,
    initialisations: int = INITIALISATIONS,
) -> ProbeResults:
    """Fit the probes on the training people of a fold and score the hold-out,
    baselines included.

    Parameters
    ----------
    cohort : Cohort
    embeddings : {model: {modality: (pairs, latent)}}
        In cohort order, as `mmssl.pretrain.encoders.embed` returns them, of
        encoders of this fold.
    fold : int
    protocols : sequence of str
        "logistic regression" (001, section 4) and "linear projection" (004,
        section III-C).
    trials : int
        Settings that Optuna tries for each logistic regression; 500 in 001.
    epochs : int
        Of the linear projection; 500 on volumes in 004.
    seed : int
        Of searches and probes; untrained encoders have this seed and the next
        ones.
    task : str, optional
        By default the cohort's first.
    width : int
        Of the untrained encoder.
    seen : {model: exposures}, optional
        Whom each model's encoder has seen, of `ledger.read_exposures` of a
        run's exposures.json. A model that is not named is taken to have seen
        the training and validation rows of the fold, and the proof says
        "declared" of it.
    jobs : int
        Processes that share the searches of the logistic regression; the
        result is the same.
    initialisations : int
        Untrained encoders, at least 1.

    Returns
    -------
    ProbeResults

    Raises
    ------
    ValueError
        Before any fit: no runs, an unknown protocol, a shape that does not fit
        the cohort, one class only, a class that no two people have in a role.
    LeakError
        Before any fit: a subject or an image in two of training, validation,
        hold-out and shift, or seen by an encoder and tested.
    """
    unknown = set(protocols) - set(PROTOCOLS)
    if unknown:
        raise ValueError(
            f"protocols: {sorted(unknown)} found, expected of {PROTOCOLS}"
        )
    train, test = training_and_holdout(cohort, fold, task)
    _check_classes(cohort, fold, task, train, test)
    exposures = proven_exposures(cohort, fold, train, test, embeddings, seen)
    everything = with_baselines(cohort, embeddings, fold, seed, width)
    z = with_untrained_draws(
        cohort, everything, fold, seed, width, initialisations
    )
    labels = cohort.labels(task)
    rows = rows_with_images(cohort, train, test)
    fitted = {}
    if LOGISTIC in protocols:
        fitted[LOGISTIC] = _logistic_scores(
            z, labels, cohort.subjects, rows, trials, seed, jobs, fold
        )
    if PROJECTION in protocols:
        fitted[PROJECTION] = _projection_scores(z, labels, rows, epochs, seed)
    return gathered(cohort, fitted, fold, rows, labels, exposures, everything)


def rows_with_images(cohort, train, test) -> Rows:
    """Rows that a probe of each modality learns from, and is tested on: those
    that have it.

    Parameters
    ----------
    cohort : Cohort
    train, test : arrays of int

    Returns
    -------
    dict
        {modality: (train, test)}.
    """
    rows = {}
    for modality in cohort.modalities:
        there = cohort.present(modality)
        rows[modality] = train[there[train]], test[there[test]]
    return rows


def with_untrained_draws(
    cohort,
    everything: Embeddings,
    fold: int,
    seed: int,
    width: int,
    initialisations: int,
) -> dict[tuple[str, str, int], np.ndarray]:
    """All embeddings to be probed, {(model, modality, draw): (pairs, latent)}:
    those given are draw 0, further untrained encoders 1, 2, ….

    Parameters
    ----------
    cohort : Cohort
    everything : {model: {modality: (pairs, latent)}}
        Of `with_baselines`.
    fold, seed, width, initialisations : int
        As in `probe`.
    """
    z = _by_model_and_modality(everything)
    any_untrained = next(iter(everything[RANDOM].values()))
    more_draws = untrained_draws(
        cohort,
        fold,
        range(seed + 1, seed + initialisations),
        width,
        any_untrained.shape[1],
    )
    for draw, by_modality in enumerate(more_draws, 1):
        for modality, embedding in by_modality.items():
            z[RANDOM, modality, draw] = embedding
    return z


def gathered(
    cohort,
    fitted: Mapping[str, Mapping],
    fold: int,
    rows: Rows,
    labels: np.ndarray,
    exposures: Sequence[leakage.Exposure],
    everything: Embeddings,
) -> ProbeResults:
    """The results of one fold, from what each probe scored.

    Parameters
    ----------
    cohort : Cohort
    fitted : {protocol: {(model, modality, draw): (scores, facts of the fit)}}
        Scores (people,), or (K, people) of K classes.
    fold : int
    rows : {modality: (train, test)}
        Of `rows_with_images`.
    labels : array, shape (pairs,)
    exposures, everything
        Of `ProbeResults`.
    """
    import pandas as pd

    scores, fits = [], []
    for protocol, by_embedding in fitted.items():
        for (model, modality, draw), found in by_embedding.items():
            score, fit = found
            train, test = rows[modality]
            people = {
                "pair": test,
                "subject": cohort.subjects[test],
                "label": labels[test],
            }
            probed = {
                "fold": fold,
                "protocol": protocol,
                "model": model,
                "modality": modality,
                "draw": draw,
            }
            fits.append({**probed, "train": len(train), **fit})
            lines = {**probed, "baseline": is_baseline(model), **people}
            for of_class in _by_class(score, labels):
                scores.append(pd.DataFrame({**lines, **of_class}))
    return ProbeResults(
        pd.concat(scores, ignore_index=True),
        pd.DataFrame(fits),
        exposures,
        everything,
    )


def _by_class(score: np.ndarray, labels: np.ndarray) -> list[dict]:
    """Scores and the class they are for; without one where labels are
    numbers.
    """
    if labels.dtype.kind == "f":
        return [{"score": score}]
    if score.ndim == 1:
        return [{"class": 1, "score": score}]
    return [{"class": k, "score": own} for k, own in enumerate(score)]


def accuracy_table(
    cohort,
    embeddings: Embeddings,
    fold: int = 0,
    epochs: int = 50,
    seed: int = 0,
    task: str | None = None,
    seen: Records | None = None,
) -> pd.DataFrame:
    """Hold-out accuracy of the linear probe, per model and modality, with its
    Wilson interval.

    Parameters and errors as in `probe`, for a task of any number of classes;
    the baselines are the caller's to add.

    Returns
    -------
    DataFrame
        One line per model and modality: model, modality, fold, accuracy, low,
        high, train and test (people). ``attrs["proof"]`` is that of
        `mmssl.ledger.leakage.prove`, for the sidecar.
    """
    import pandas as pd

    train, test = training_and_holdout(cohort, fold, task)
    exposures = proven_exposures(cohort, fold, train, test, embeddings, seen)
    proof = leakage.prove(exposures)
    labels = cohort.labels(task)
    classes = int(labels.max()) + 1
    z = _by_model_and_modality(embeddings)
    rows = rows_with_images(cohort, train, test)
    logits = _probe_logits(z, labels, rows, classes, epochs, seed)
    lines = []
    for (model, modality, _), values in logits.items():
        train, test = rows[modality]
        correct = int((values.argmax(axis=1) == labels[test]).sum())
        interval = proportion_interval(correct, len(test))
        lines.append(
            {
                "model": model,
                "modality": modality,
                "fold": fold,
                "accuracy": interval.estimate,
                "low": interval.low,
                "high": interval.high,
                "train": len(train),
                "test": len(test),
            }
        )
    table = pd.DataFrame(lines)
    table.attrs["proof"] = proof
    return table


def is_baseline(model: str) -> bool:
    """Whether a line of a table is no encoder that an objective trained."""
    return model in (*BASELINES, *SIMPLE_FEATURES)


def training_and_holdout(
    cohort, fold: int = 0, task: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Rows a probe learns from and rows it is tested on, one pair a person,
    whatever images it has (`rows_with_images`).

    Parameters
    ----------
    cohort : Cohort
    fold : int
    task : str, optional
        By default the cohort's first.

    Raises
    ------
    ValueError
        If one of the two holds one class only.
    LeakError
        If a subject or an image is in two of training, validation, hold-out
        and shift.
    """
    rows_of = {
        role: cohort.rows(role, fold)
        for role in ("train", "valid", "holdout", "shift")
    }
    leakage.check_disjoint(cohort, rows_of)
    train = cohort.downstream(rows_of["train"], task, ())
    test = cohort.downstream(rows_of["holdout"], task, ())
    labels = cohort.labels(task)
    for role, rows in (("training", train), ("hold-out", test)):
        classes = np.unique(labels[rows]).tolist()
        if len(classes) < 2:
            raise ValueError(
                f"{cohort.path}: the {role} rows of fold {fold} hold one "
                f"class only: {len(rows)} people of the classes {classes}, "
                "expected at least two"
            )
    return train, test


def with_baselines(
    cohort,
    embeddings: Embeddings,
    fold: int,
    seed: int,
    width: int,
    predicted: str | None = None,
) -> dict[str, Mapping[str, np.ndarray]]:
    """The embeddings of the baselines, then those that are given.

    Parameters
    ----------
    cohort : Cohort
    embeddings : {model: {modality: (pairs, latent)}}
        The untrained encoder has as many dimensions as the widest of them.
    fold, seed, width : int
        Of the baselines.
    predicted : str, optional
        A covariate that is predicted, and so is none.
    """
    dimensions = []
    for by_modality in embeddings.values():
        dimensions += [z.shape[1] for z in by_modality.values()]
    baselines = baseline_embeddings(cohort, fold, seed, width, max(dimensions))
    simple = simple_features(cohort, fold, predicted)
    return {**baselines, **simple, **embeddings}


def proven_exposures(
    cohort,
    fold: int,
    train,
    test,
    embeddings: Embeddings,
    seen: Records | None = None,
) -> list[leakage.Exposure]:
    """Whom everything behind the scores of one fold has seen, once it is
    proven that nobody of them is tested.

    Parameters as in `fold_exposures`, with the embeddings of the encoders,
    which are checked.

    Raises
    ------
    ValueError
        For embeddings that are not of this cohort.
    LeakError
        For a subject or image that was seen and is tested.
    """
    _check_embeddings(cohort, embeddings)
    exposures = fold_exposures(cohort, fold, train, test, embeddings, seen)
    leakage.prove(exposures)
    return exposures


def fold_exposures(
    cohort,
    fold: int,
    train,
    test,
    models: Sequence[str],
    seen: Records | None = None,
) -> list[leakage.Exposure]:
    """Whom everything behind the scores of one fold has seen.

    Parameters
    ----------
    cohort : Cohort
    fold : int
    train, test : arrays of int
        Rows the probes learn from and are tested on.
    models : sequence of str
        The encoders, without the baselines.
    seen : {model: exposures}, optional
        As in `probe`.
    """
    declared = []
    for role, rows in (("train", "train"), ("choose", "valid")):
        people = cohort.rows(rows, fold)
        declared.append(leakage.exposure("encoder", role, cohort, people))
    baseline = f"landmarks and components, fold {fold}"
    exposures = [declared[0]._replace(fit=baseline)]
    for model in models:
        records = (seen or {}).get(model)
        note = "" if records else ", declared"
        for record in records or declared:
            fit = f"{record.fit} {model}, fold {fold}{note}"
            exposures.append(record._replace(fit=fit))
    probes = f"probes, fold {fold}"
    return [
        *exposures,
        leakage.exposure(probes, "train", cohort, train),
        leakage.exposure("hold-out", "test", cohort, test),
    ]


def _logistic_scores(
    z: Mapping, labels, subjects, rows: Rows, trials, seed, jobs, fold
) -> dict:
    """{(model, modality, draw): (hold-out scores, what the search chose)} of
    tuned logistic regressions.
    """
    from joblib import Parallel, delayed

    def search(key, embedding):
        """Hold-out scores of one embedding, and what its search chose."""
        _, modality, _ = key
        train, test = rows[modality]
        smallest = np.bincount(labels[train]).min()
        inner_folds = int(min(INNER_FOLDS, smallest))
        fit = logistic_regression(
            embedding[train],
            labels[train],
            subjects[train],
            trials,
            inner_folds,
            seed,
        )
        chosen = {"inner_folds": inner_folds, "tuning_auc": fit.score}
        logits = fit.pipeline.decision_function(embedding[test])
        return class_scores(logits), {**chosen, **fit.parameters}

    pool = Parallel(
        jobs,
        return_as="generator",
        initializer=end_with,
        initargs=(os.getpid(),),
    )
    searches = pool(delayed(search)(*item) for item in z.items())
    progress = tqdm(
        searches, desc=f"searches, fold {fold}", total=len(z), leave=False
    )
    return dict(zip(z, progress, strict=True))


def _projection_scores(
    z: Mapping, labels, rows: Rows, epochs: int, seed: int
) -> dict:
    """{(model, modality, draw): (hold-out scores, {})} of the linear
    projection.
    """
    classes = int(labels.max()) + 1
    logits = _probe_logits(z, labels, rows, classes, epochs, seed)
    return {key: (class_scores(own), {}) for key, own in logits.items()}


def _probe_logits(
    z: Mapping, labels, rows: Rows, classes: int, epochs: int, seed: int
) -> dict:
    """Hold-out logits (people, classes) of the linear probe on every
    embedding; those of one length and of the same people are trained side by
    side.
    """
    alike = {}
    for key, embedding in z.items():
        people = b"".join(side.tobytes() for side in rows[key[1]])
        alike.setdefault((embedding.shape[1], people), []).append(key)
    logits = {}
    for keys in alike.values():
        train, test = rows[keys[0][1]]
        stacked = np.stack([z[key] for key in keys])
        found = linear_probe(
            stacked[:, train],
            labels[train],
            stacked[:, test],
            classes,
            epochs,
            seed=seed,
        )
        logits.update(zip(keys, found, strict=True))
    return {key: logits[key] for key in z}


def _by_model_and_modality(embeddings: Embeddings) -> dict:
    """{(model, modality, draw 0): (pairs, latent)}."""
    z = {}
    for model, by_modality in embeddings.items():
        for modality, embedding in by_modality.items():
            z[model, modality, 0] = np.asarray(embedding)
    return z


def _check_classes(cohort, fold: int, task, train, test) -> None:
    """ValueError unless both samples of every modality hold two people of each
    class.
    """
    labels = cohort.labels(task)
    number = int(labels.max()) + 1
    for modality, rows in rows_with_images(cohort, train, test).items():
        for role, own in zip(("training", "hold-out"), rows, strict=True):
            people = np.bincount(labels[own], minlength=number)
            if people.min() < 2:
                raise ValueError(
                    f"{cohort.path}: ROC-AUC needs at least two people of "
                    f"each class, the {role} rows of fold {fold} with "
                    f"{modality} hold {people.tolist()}; `with_task` chooses "
                    "among classes"
                )


def _check_embeddings(cohort, embeddings: Embeddings) -> None:
    """ValueError for embeddings that are not of this cohort."""
    if not embeddings:
        raise ValueError(
            f"{cohort.path}: no embeddings to evaluate; finish a run first"
        )
    for model, by_modality in embeddings.items():
        if is_baseline(model):
            raise ValueError(
                f"model {model!r} has a baseline's name, choose another"
            )
        for modality, z in by_modality.items():
            if modality not in cohort.modalities:
                raise ValueError(
                    f"{model}: modality {modality!r}, the cohort has "
                    f"{', '.join(cohort.modalities)}"
                )
            if len(z) != len(cohort):
                raise ValueError(
                    f"{model}, {modality}: {len(z)} rows, the cohort has "
                    f"{len(cohort)}"
                )
            there = cohort.present(modality)
            finite_embedding(np.asarray(z)[there], f"{model}, {modality}")
