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


class ProbeResults(NamedTuple):
    """The probes of one fold, and their scores of the hold-out.

    scores : one line per protocol, model, modality, draw and held-out person:
        fold, protocol, model, modality, draw (of initial weights; 0 for all
        but the untrained encoder), baseline, pair (row of the cohort),
        subject, label, score (larger means class 1).
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
        A task of two classes; by default the cohort's first.
    width : int
        Of the untrained encoder.
    seen : {model: exposures}, optional
        Whom each model's encoder has seen, of `ledger.read_exposures(run /
        "exposures.json")`. A model that is not named is taken to have seen the
        training and validation rows of the fold, and the proof says "declared"
        of it.
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
        the cohort, one class only.
    LeakError
        Before any fit: a subject or an image in two of training, validation,
        hold-out and shift, or seen by an encoder and tested.
    """
    import pandas as pd

    unknown = set(protocols) - set(PROTOCOLS)
    if unknown:
        raise ValueError(
            f"protocols: {sorted(unknown)} found, expected of {PROTOCOLS}"
        )
    train, test = training_and_holdout(cohort, fold, task)
    _check_two_classes(cohort, fold, task, train, test)
    _check_embeddings(cohort, embeddings)
    exposures = fold_exposures(cohort, fold, train, test, embeddings, seen)
    leakage.prove(exposures)

    everything = with_baselines(cohort, embeddings, fold, seed, width)
    z = _by_model_and_modality(everything)
    more_draws = untrained_draws(
        cohort,
        fold,
        range(seed + 1, seed + initialisations),
        width,
        _latent(embeddings),
    )
    for draw, by_modality in enumerate(more_draws, 1):
        for modality, embedding in by_modality.items():
            z[RANDOM, modality, draw] = embedding
    labels = cohort.labels(task)
    fitted = {}
    if LOGISTIC in protocols:
        fitted[LOGISTIC] = _logistic_scores(
            z, labels, cohort.subjects, train, test, trials, seed, jobs, fold
        )
    if PROJECTION in protocols:
        fitted[PROJECTION] = _projection_scores(
            z, labels, train, test, epochs, seed
        )
    people = {
        "pair": test,
        "subject": cohort.subjects[test],
        "label": labels[test],
    }
    scores, fits = [], []
    for protocol in protocols:
        for (model, modality, draw), found in fitted[protocol].items():
            score, fit = found
            probed = {
                "fold": fold,
                "protocol": protocol,
                "model": model,
                "modality": modality,
                "draw": draw,
            }
            fits.append({**probed, "train": len(train), **fit})
            lines = {**probed, "baseline": is_baseline(model), **people}
            scores.append(pd.DataFrame({**lines, "score": score}))
    return ProbeResults(
        pd.concat(scores, ignore_index=True),
        pd.DataFrame(fits),
        exposures,
        everything,
    )


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
    _check_embeddings(cohort, embeddings)
    proof = leakage.prove(
        fold_exposures(cohort, fold, train, test, embeddings, seen)
    )
    labels = cohort.labels(task)
    classes = int(labels.max()) + 1
    z = _by_model_and_modality(embeddings)
    logits = _probe_logits(z, labels, train, test, classes, epochs, seed)
    lines = []
    for (model, modality, _), values in logits.items():
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
    """Rows a probe learns from and rows it is tested on, one pair a person.

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
    train = cohort.downstream(rows_of["train"], task)
    test = cohort.downstream(rows_of["holdout"], task)
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
    cohort, embeddings: Embeddings, fold: int, seed: int, width: int
) -> dict[str, Mapping[str, np.ndarray]]:
    """The embeddings of the baselines, then those that are given.

    Parameters
    ----------
    cohort : Cohort
    embeddings : {model: {modality: (pairs, latent)}}
        The untrained encoder has as many dimensions as the widest of them.
    fold, seed, width : int
        Of the baselines.
    """
    latent = _latent(embeddings)
    baselines = baseline_embeddings(cohort, fold, seed, width, latent)
    simple = simple_features(cohort, fold)
    return {**baselines, **simple, **embeddings}


def _latent(embeddings: Embeddings) -> int:
    """Dimensions of the widest embedding."""
    dimensions = []
    for by_modality in embeddings.values():
        dimensions += [z.shape[1] for z in by_modality.values()]
    return max(dimensions)


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
    z: Mapping, labels, subjects, train, test, trials, seed, jobs, fold
) -> dict:
    """{(model, modality, draw): (hold-out scores, what the search chose)} of
    tuned logistic regressions.
    """
    from joblib import Parallel, delayed

    inner_folds = int(min(INNER_FOLDS, np.bincount(labels[train]).min()))

    def search(embedding):
        fit = logistic_regression(
            embedding[train],
            labels[train],
            subjects[train],
            trials,
            inner_folds,
            seed,
        )
        chosen = {"inner_folds": inner_folds, "tuning_auc": fit.score}
        scores = fit.pipeline.decision_function(embedding[test])
        return scores, {**chosen, **fit.parameters}

    pool = Parallel(
        jobs,
        return_as="generator",
        initializer=end_with,
        initargs=(os.getpid(),),
    )
    searches = pool(delayed(search)(embedding) for embedding in z.values())
    progress = tqdm(
        searches, desc=f"searches, fold {fold}", total=len(z), leave=False
    )
    return dict(zip(z, progress, strict=True))


def _projection_scores(
    z: Mapping, labels, train, test, epochs: int, seed: int
) -> dict:
    """{(model, modality, draw): (hold-out scores, {})} of the linear
    projection: the logit of class 1 minus that of class 0.
    """
    logits = _probe_logits(z, labels, train, test, 2, epochs, seed)
    return {
        key: (values[:, 1] - values[:, 0], {})
        for key, values in logits.items()
    }


def _probe_logits(
    z: Mapping, labels, train, test, classes: int, epochs: int, seed: int
) -> dict:
    """Hold-out logits (people, classes) of the linear probe on every
    embedding; those of one length are trained side by side.
    """
    by_length = {}
    for key, embedding in z.items():
        by_length.setdefault(embedding.shape[1], []).append(key)
    logits = {}
    for keys in by_length.values():
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


def _check_two_classes(cohort, fold: int, task, train, test) -> None:
    """ValueError unless both samples hold two people of each of two
    classes.
    """
    labels = cohort.labels(task)
    for role, rows in (("training", train), ("hold-out", test)):
        people = np.bincount(labels[rows])
        if len(people) > 2 or people.min() < 2:
            raise ValueError(
                f"{cohort.path}: ROC-AUC needs two classes of at least two "
                f"people, the {role} rows of fold {fold} hold "
                f"{people.tolist()}"
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
            z = finite_embedding(z, f"{model}, {modality}")
            if len(z) != len(cohort):
                raise ValueError(
                    f"{model}, {modality}: {len(z)} rows, the cohort has "
                    f"{len(cohort)}"
                )
