"""What a frozen representation is worth: results tables with baselines, intervals
and power.

The probes of `mmssl.evaluate.probes` are fitted on the training people of one
fold, one pair each, and tested on the hold-out. The fold's validation people
choose the epoch of the encoder and nothing else: folds then really differ, and
a threshold or a calibration can still be fitted on people that no probe has
seen. Every table carries two baselines that learned nothing by gradient: an
untrained encoder, and principal components of the same voxels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from mmssl.evaluate.probes import finite, linear_probe, logistic_regression
from mmssl.ledger import leakage
from mmssl.pretrain.baselines import BASELINES, baseline_embeddings
from mmssl.stats.auc import roc_auc
from mmssl.stats.bootstrap import auc_interval
from mmssl.stats.delong import delong_covariance
from mmssl.stats.intervals import difference_interval, proportion_interval
from mmssl.stats.power import minimum_detectable_difference

if TYPE_CHECKING:
    import pandas as pd

LOGISTIC, PROJECTION = PROTOCOLS = ("logistic regression", "linear projection")
INNER_FOLDS = 5
Embeddings = Mapping[str, Mapping[str, np.ndarray]]


def finished_runs(runs: str | Path, cohort, fold: int = 0) -> dict[str, Path]:
    """The finished runs of one fold of a cohort: {row: run folder}, sorted by
    row.

    A row is named after its folder, without the ending ``-fold<k>-seed<s>``
    where that stays unique. Runs of another fold, or of other images (by
    content hash), are left out.

    Raises
    ------
    ValueError
        If there is none, with the command that makes one.
    """
    found = {}
    for record in sorted(Path(runs).glob("*/params.json")):
        if record.parent.suffix == ".partial":
            continue
        params = json.loads(record.read_text())
        if params["fold"] == fold and params["cohort"]["hashes"] == dict(
            cohort.hashes
        ):
            found[record.parent] = f"-fold{fold}-seed{params['seed']}"
    if not found:
        raise ValueError(
            f"{runs}: no finished run of {cohort.name}, fold {fold}; make one with "
            "python notebooks/execute.py notebooks/03_pretraining.ipynb "
            "data/executed/smoke/03_pretraining.ipynb"
        )
    short = [run.name.removesuffix(ending) for run, ending in found.items()]
    names = (
        short if len(set(short)) == len(short) else [run.name for run in found]
    )
    return dict(sorted(zip(names, found, strict=True)))


class Probed(NamedTuple):
    """What the probes of one fold said of the hold-out.

    scores : one line per protocol, row, modality and held-out person: fold,
        protocol, row,
        modality, baseline, pair (row of the cohort), subject, label, score
        (larger means class 1).
    fits : one line per protocol, row and modality: fold, protocol, row,
        modality, train (people);
        of the logistic regression also inner_folds (5, or as many as the
        smaller class has people), tuning_auc, C, penalty and l1_ratio.
    exposures : whom the landmarks, components, encoders and probes behind the
        scores have seen, and
        whom they are tested on.
    z : {row: {modality: (pairs, latent)}}, what the probes read, baselines
        included.
    """

    scores: pd.DataFrame
    fits: pd.DataFrame
    exposures: Sequence[leakage.Exposure] = ()
    z: Embeddings | None = None


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
    seen: Mapping[str, Sequence[leakage.Exposure]] | None = None,
    jobs: int = 1,
) -> Probed:
    """Fit the probes on the training people of a fold and score the hold-out,
    baselines included.

    Parameters
    ----------
    cohort : Cohort
    embeddings : {row: {modality: (pairs, latent)}}
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
    task : str, optional
        A task of two classes; by default the cohort's first.
    width : int
        Of the untrained encoder.
    seen : {row: exposures}, optional
        Whom each row's encoder has seen, of `ledger.read_exposures(run /
        "exposures.json")`. A row that is not named is taken to have seen the
        training and validation rows of the fold, and the proof says "declared"
        of it.
    jobs : int
        Processes that share the searches of the logistic regression; the
        result is the same.

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
    from joblib import Parallel, delayed

    if unknown := set(protocols) - set(PROTOCOLS):
        raise ValueError(
            f"protocols: {sorted(unknown)} found, expected of {PROTOCOLS}"
        )
    train, test = _roles(cohort, fold, task)
    labels, subjects = cohort.labels(task), cohort.subjects
    for role, rows in (("training", train), ("hold-out", test)):
        people = np.bincount(labels[rows])
        if len(people) > 2 or people.min() < 2:
            raise ValueError(
                f"{cohort.path}: ROC-AUC needs two classes of at least two people, "
                f"the {role} rows of fold {fold} hold {people.tolist()}"
            )
    _check_embeddings(cohort, embeddings)
    exposures = _exposures(
        cohort,
        fold,
        train,
        test,
        {row: (seen or {}).get(row) for row in embeddings},
    )
    leakage.prove(exposures)
    latent = max(
        z.shape[1]
        for by_modality in embeddings.values()
        for z in by_modality.values()
    )
    folds = int(min(INNER_FOLDS, np.bincount(labels[train]).min()))

    everything = {
        **baseline_embeddings(cohort, fold, seed, width, latent),
        **embeddings,
    }
    z = {
        (row, m): np.asarray(x)
        for row, by in everything.items()
        for m, x in by.items()
    }
    fitted = {}
    if LOGISTIC in protocols:
        ways = (
            delayed(_searched)(
                x, labels, subjects, train, test, trials, folds, seed
            )
            for x in z.values()
        )
        found = Parallel(jobs, return_as="generator")(ways)
        bar = tqdm(
            found, desc=f"searches, fold {fold}", total=len(z), leave=False
        )
        fitted[LOGISTIC] = dict(zip(z, bar, strict=True))
    if PROJECTION in protocols:
        logits = _projected(z, labels, train, test, 2, epochs, seed)
        fitted[PROJECTION] = {
            key: (both[:, 1] - both[:, 0], {}) for key, both in logits.items()
        }
    scores, fits = [], []
    for protocol in protocols:
        for row, m in z:
            found, fit = fitted[protocol][row, m]
            who = {
                "fold": fold,
                "protocol": protocol,
                "model": row,
                "modality": m,
            }
            fits.append({**who, "train": len(train), **fit})
            scores.append(
                pd.DataFrame(
                    {
                        **who,
                        "baseline": row in BASELINES,
                        "pair": test,
                        "subject": subjects[test],
                        "label": labels[test],
                        "score": found,
                    }
                )
            )
    return Probed(
        pd.concat(scores, ignore_index=True),
        pd.DataFrame(fits),
        exposures,
        everything,
    )


def results_table(
    probed: Sequence[Probed], resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Hold-out ROC-AUC of every row and of the two baselines, per protocol and
    modality.

    Parameters
    ----------
    probed : sequence of Probed
        Of `probe`, one per fold; all of the same rows.
    resamples, seed : int
        Of the bootstrap of each AUC.

    Returns
    -------
    DataFrame
        One line per protocol, row and modality: auc (mean over folds), auc_sd
        (over folds; NaN for one), low, high (BCa subject bootstrap of that
        mean, 95 %: people are resampled, the same in every fold); difference
        to the untrained encoder on the same people, with its low and high
        (Student-t: a bootstrap of it is too short at 22 patients);
        minimum_detectable, the gain over that baseline a paired test would find
        with power .8 (mean over folds); baseline, folds, train, positives,
        negatives (people), tuning_auc (mean). ``attrs["proof"]`` is that of
        `ledger.prove`, for the sidecar.

    Raises
    ------
    ValueError
        If the folds hold other rows or other people.
    LeakError
        If it is not proven that who is tested was seen by no landmarks,
        components, encoder or probe of any fold.
    """
    import pandas as pd

    proof = leakage.prove(
        (one for p in probed for one in p.exposures), _needed(probed)
    )
    scores = pd.concat([p.scores for p in probed], ignore_index=True)
    fits = pd.concat([p.fits for p in probed], ignore_index=True)
    keys = ["protocol", "model", "modality"]
    number, lines, baseline = scores["fold"].nunique(), [], {}
    for (protocol, row, m), rows in scores.groupby(keys, sort=False):
        by_fold = rows.pivot(index="fold", columns="pair", values="score")
        if by_fold.isna().any(axis=None) or len(by_fold) < number:
            raise ValueError(
                f"{row}, {m}: folds {sorted(set(rows['fold']))} score other people or "
                f"too few folds, expected the same hold-out in all {number}"
            )
        people = (
            rows.drop_duplicates("pair").set_index("pair").loc[by_fold.columns]
        )
        values = by_fold.to_numpy()
        # the untrained encoder comes first
        baseline.setdefault((protocol, m), values)
        lines.append(
            {
                "protocol": protocol,
                "model": row,
                "modality": m,
                "baseline": row in BASELINES,
                "folds": len(by_fold),
                **_compared(
                    people["label"].to_numpy(),
                    values,
                    baseline[protocol, m],
                    people["subject"].to_numpy(),
                    resamples,
                    seed,
                ),
                "positives": int(people["label"].sum()),
                "negatives": int((people["label"] == 0).sum()),
            }
        )
    fits = fits.reindex(columns=[*keys, "train", "tuning_auc"])
    means = fits.groupby(keys, as_index=False).mean()
    table = pd.DataFrame(lines).merge(means, on=keys, how="left")
    table.attrs["proof"] = proof
    return table


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The results table as text, for a page: "0.81 [0.70, 0.89]"; a dash where
    there is nothing.

    Parameters
    ----------
    table : DataFrame
        Of `results_table`.
    """
    import pandas as pd

    def written(columns: list[str], sign: str = "") -> list[str]:
        return [
            "–"
            if np.isnan(a)
            else f"{a:{sign}.2f} [{b:{sign}.2f}, {c:{sign}.2f}]"
            for a, b, c in table[columns].to_numpy()
        ]

    def plain(column: str) -> list[str]:
        return [
            "–" if np.isnan(value) else f"{value:.2f}"
            for value in table[column]
        ]

    return pd.DataFrame(
        {
            "model": table["model"],
            "modality": table["modality"],
            "AUC [95 %]": written(["auc", "low", "high"]),
            "SD over folds": plain("auc_sd"),
            "gain over random [95 %]": written(
                ["difference", "difference_low", "difference_high"], "+"
            ),
            "detectable gain": plain("minimum_detectable"),
            "tuning AUC": plain("tuning_auc"),
        }
    )


def accuracy_table(
    cohort,
    embeddings: Embeddings,
    fold: int = 0,
    epochs: int = 50,
    seed: int = 0,
    task: str | None = None,
    seen: Mapping[str, Sequence[leakage.Exposure]] | None = None,
) -> pd.DataFrame:
    """Hold-out accuracy of the linear probe, per row and modality, with its
    Wilson interval.

    Parameters and errors as in `probe`, for a task of any number of classes;
    the baselines are the caller's to add. One line per row and modality:
    accuracy, low, high, train, test. ``attrs["proof"]`` is that of
    `ledger.prove`, for the sidecar.
    """
    import pandas as pd

    train, test = _roles(cohort, fold, task)
    _check_embeddings(cohort, embeddings)
    known = {row: (seen or {}).get(row) for row in embeddings}
    proof = leakage.prove(_exposures(cohort, fold, train, test, known))
    labels = cohort.labels(task)
    classes = int(labels.max()) + 1
    z = {
        (row, m): np.asarray(x)
        for row, by in embeddings.items()
        for m, x in by.items()
    }
    lines = []
    for (row, modality), logits in _projected(
        z, labels, train, test, classes, epochs, seed
    ).items():
        right = int((logits.argmax(axis=1) == labels[test]).sum())
        interval = proportion_interval(right, len(test))
        lines.append(
            {
                "model": row,
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


def _searched(
    z, labels, subjects, train, test, trials: int, folds: int, seed: int
):
    """Hold-out scores of the tuned logistic regression on one z, and what the
    search chose.
    """
    fit = logistic_regression(
        z[train], labels[train], subjects[train], trials, folds, seed
    )
    return fit.pipeline.decision_function(z[test]), {
        "inner_folds": folds,
        "tuning_auc": fit.score,
        **fit.parameters,
    }


def _projected(
    z: Mapping, labels, train, test, classes: int, epochs: int, seed: int
) -> dict:
    """Hold-out logits of the linear probe on every z; those of one length side
    by side.
    """
    logits = {}
    for latent in dict.fromkeys(x.shape[1] for x in z.values()):
        keys = [key for key, x in z.items() if x.shape[1] == latent]
        learned, tested = (
            np.stack([z[key][rows] for key in keys]) for rows in (train, test)
        )
        found = linear_probe(
            learned, labels[train], tested, classes, epochs, seed=seed
        )
        logits |= dict(zip(keys, found, strict=True))
    return {key: logits[key] for key in z}


def _roles(
    cohort, fold: int, task: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Rows a probe learns from and is tested on, after the leak check and the
    check of classes.
    """
    rows_of = {
        role: cohort.rows(role, fold)
        for role in ("train", "valid", "holdout", "shift")
    }
    leakage.check_disjoint(cohort, rows_of)
    train, test = (
        cohort.downstream(rows_of[role], task) for role in ("train", "holdout")
    )
    labels = cohort.labels(task)
    for role, rows in (("training", train), ("hold-out", test)):
        found = np.unique(labels[rows]).tolist()
        if len(found) < 2:
            raise ValueError(
                f"{cohort.path}: the {role} rows of fold {fold} hold one class only: "
                f"{len(rows)} people of the classes {found}, expected at least two"
            )
    return train, test


def _exposures(
    cohort, fold: int, train, test, seen: Mapping
) -> list[leakage.Exposure]:
    """Whom everything behind the scores of one fold has seen; see `probe` for
    rows without record.
    """
    rows = cohort.rows("train", fold), cohort.rows("valid", fold)
    declared = [
        leakage.exposure("encoder", role, cohort, part)
        for role, part in zip(("train", "choose"), rows, strict=True)
    ]
    baseline = declared[0]._replace(
        fit=f"landmarks and components, fold {fold}"
    )
    probes = leakage.exposure(f"probes, fold {fold}", "train", cohort, train)
    tested = leakage.exposure("hold-out", "test", cohort, test)
    encoders = [
        one._replace(
            fit=f"{one.fit} {row}, fold {fold}{'' if records else ', declared'}"
        )
        for row, records in seen.items()
        for one in records or declared
    ]
    return [baseline, *encoders, probes, tested]


def _needed(probed: Sequence[Probed]) -> list[str]:
    """Fits that must be on record before a table of these scores is shown."""
    rows = {
        (row, fold)
        for p in probed
        for row, fold in zip(p.scores["model"], p.scores["fold"], strict=True)
    }
    encoders = sorted(
        f"encoder {row}, fold {k}" for row, k in rows if row not in BASELINES
    )
    folds = sorted({k for _, k in rows})
    return [
        *(
            f"{kind}, fold {k}"
            for kind in ("landmarks and components", "probes")
            for k in folds
        ),
        *encoders,
    ]


def _compared(
    labels, scores, baseline, subjects, resamples: int, seed: int
) -> dict[str, float]:
    """AUC with interval; its difference to the baseline; what could have been
    found.

    scores, baseline : (folds, people)
    """
    auc = auc_interval(labels, scores, subjects, resamples, seed)
    each = [roc_auc(labels, one) for one in scores]
    line = {
        "auc": auc.estimate,
        "auc_sd": np.std(each, ddof=1) if len(each) > 1 else np.nan,
        "low": auc.low,
        "high": auc.high,
    }
    if scores is baseline:
        return line | dict.fromkeys(
            (
                "difference",
                "difference_low",
                "difference_high",
                "minimum_detectable",
            ),
            np.nan,
        )
    gain = difference_interval(labels, scores, baseline, subjects)
    detectable = [
        _detectable(labels, a, b)
        for a, b in zip(scores, baseline, strict=True)
    ]
    return line | {
        "difference": gain.estimate,
        "difference_low": gain.low,
        "difference_high": gain.high,
        "minimum_detectable": np.mean(detectable),
    }


def _detectable(labels, score, baseline) -> float:
    """The gain over the baseline that a paired test on these people would find
    with power .8.
    """
    covariance = delong_covariance(labels, [score, baseline])
    spread = np.sqrt(covariance[0, 0] * covariance[1, 1])
    # no spread (perfect separation) says nothing of the correlation: 0 asks
    # for the most people
    correlation = (
        np.clip(covariance[0, 1] / spread, -1, 0.99) if spread > 0 else 0.0
    )
    positives = int(labels.sum())
    return minimum_detectable_difference(
        roc_auc(labels, baseline),
        positives,
        len(labels) - positives,
        correlation,
    )


def _check_embeddings(cohort, embeddings: Embeddings) -> None:
    if not embeddings:
        raise ValueError(
            f"{cohort.path}: no embeddings to evaluate; finish a run first"
        )
    for row, by_modality in embeddings.items():
        if row in BASELINES:
            raise ValueError(
                f"row {row!r} is a baseline's name, choose another"
            )
        for modality, z in by_modality.items():
            if modality not in cohort.modalities:
                raise ValueError(
                    f"{row}: modality {modality!r}, the cohort has "
                    f"{', '.join(cohort.modalities)}"
                )
            z = finite(z, f"{row}, {modality}")
            if len(z) != len(cohort):
                raise ValueError(
                    f"{row}, {modality}: {len(z)} rows, the cohort has {len(cohort)}"
                )
