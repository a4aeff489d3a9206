"""What else could explain a result: age, sex, site and head size, alone and inside z.

Two questions about every covariate that a study has. How well does it tell patients from controls
by itself (`baselines`)? A representation must beat that to have added anything. And how well does
z tell it (`predicted`)? A representation that knows the scanner may owe its AUC to who was scanned
where. Only columns of ``participants.tsv`` and what is measured on the images count, never the
hidden factors of simulated people.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mmssl import stats
from mmssl.stats.bootstrap import bias_corrected

COLUMNS = ("age", "sex", "site")
"""Covariates read from participants.tsv where they are there."""

HEAD_SIZE = "head size"
INNER_FOLDS = 5
_STRENGTHS = np.logspace(-4, 4, 9)  # penalties tried in inner folds


def covariates(cohort, columns: Sequence[str] = COLUMNS) -> pd.DataFrame:
    """Covariates of every pair of a cohort, in its order.

    Parameters
    ----------
    cohort : Cohort
    columns : sequence of str
        Of participants.tsv; those it does not have are left out.

    Returns
    -------
    DataFrame
        (pairs,) numbers and words; with "head size" for brains, see `head_size`.

    Raises
    ------
    ValueError
        If nothing is left.
    """
    people = cohort.participants.set_index("participant_id").loc[cohort.subjects]
    table = people[[c for c in columns if c in people]].reset_index(drop=True)
    if cohort.intensity == "brain" and cohort.dims == 3:
        table[HEAD_SIZE] = head_size(cohort)
    if table.columns.empty:
        raise ValueError(f"{cohort.path / 'participants.tsv'}: none of {', '.join(columns)} found")
    return table


def head_size(cohort, modality: str | None = None) -> np.ndarray:
    """(pairs,) litres of head that an image of the cohort shows: what registration left of size.

    Voxels above a tenth of the image's own bright end (95th percentile inside the cohort's mask),
    times the volume of one. The first modality by default.
    """
    volumes = cohort.volumes[modality or cohort.modalities[0]]
    inside = np.ones(volumes.shape[1:], bool) if cohort.mask is None else cohort.mask
    voxel = 1.0 if cohort.affine is None else abs(np.linalg.det(cohort.affine[:3, :3]))
    counts = [np.count_nonzero(image > 0.1 * np.percentile(image[inside].astype(float), 95))
              for image in volumes]
    return np.asarray(counts) * voxel * 1e-6


def baselines(
    labels, table: pd.DataFrame, train, test, subjects=None, level: float = 0.95
) -> pd.DataFrame:
    """How well covariates alone tell the classes: the floor of a results table.

    A logistic regression with balanced classes on the training rows, its penalty chosen in inner
    folds, for every covariate and for all of them together.

    Parameters
    ----------
    labels : array, shape (n,)
    table : DataFrame, n rows
        Of `covariates`.
    train, test : arrays of int
        Rows, one a person.
    subjects : array, shape (n,), optional

    Returns
    -------
    DataFrame
        One line per covariate and for "all": covariates, auc, low, high, train, test (people).
    """
    labels, lines = np.asarray(labels), []
    for name in (*table.columns, "all"):
        x = table if name == "all" else table[[name]]
        model = make_pipeline(_encoder(), _logistic(labels[train]))
        score = model.fit(x.iloc[train], labels[train]).decision_function(x.iloc[test])
        found = stats.logit_interval(labels[test], score, _of(subjects, test), level)
        lines.append({"covariates": name, "auc": found.estimate, "low": found.low,
                      "high": found.high, "train": len(train), "test": len(test)})
    return pd.DataFrame(lines)


def predicted(
    z, table: pd.DataFrame, train, test, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> pd.DataFrame:
    r"""How well a representation tells each covariate, on people it was not fitted on.

    Numbers by ridge regression, scored by :math:`R^2 = 1 - \sum (y - \hat y)^2 / \sum (y - \bar
    y_\mathrm{train})^2`, words by logistic regression, scored by the mean one-against-rest AUC; the
    penalty is chosen in inner folds of the training rows. The null shuffles the tested people's
    covariate against the predictions.

    Parameters
    ----------
    z : array, shape (n, latent)
    table : DataFrame, n rows
    train, test : arrays of int
        Rows, one a person.
    resamples : int
        Draws of the bootstrap and of the null.

    Returns
    -------
    DataFrame
        One line a covariate: covariate, measure ("R2" or "AUC"), value with low and high
        (bias-corrected bootstrap over people), by_chance (mean of the null), p, train, test. Words
        that fewer than two training people have, such as another population's site, are left out;
        so is a covariate with fewer than two values left.
    """
    z, rng, lines = np.asarray(z, dtype=np.float64), np.random.default_rng(seed), []
    for name in table.columns:
        y, number = table[name].to_numpy(), pd.api.types.is_numeric_dtype(table[name])
        learned, seen = (rows if number else _known(y, train, rows) for rows in (train, test))
        if len(np.unique(y[learned])) < 2 or len(np.unique(y[seen])) < 2:
            continue
        model = make_pipeline(StandardScaler(), RidgeCV(_STRENGTHS) if number else
                              _logistic(y[learned])).fit(z[learned], y[learned])
        score = (_r2(model.predict(z[seen]), y[learned].mean()) if number
                 else _mean_auc(model, z[seen]))
        value, everybody = score(y[seen], np.arange(len(seen))), np.arange(len(seen))
        null = np.array([score(rng.permutation(y[seen]), everybody) for _ in range(resamples)])
        draws = np.array([score(y[seen][rows], rows) for rows in
                          _resamples(y[seen], number, resamples, rng)])
        low, high = bias_corrected(value, draws, level)
        lines.append({
            "covariate": name, "measure": "R2" if number else "AUC", "value": value, "low": low,
            "high": high, "by_chance": null.mean(),
            "p": (1 + (null >= value).sum()) / (1 + resamples), "train": len(learned),
            "test": len(seen)})  # fmt: skip
    return pd.DataFrame(lines)


def _known(y: np.ndarray, train, rows) -> np.ndarray:
    """Those rows whose word two training people or more have."""
    words, counts = np.unique(y[train], return_counts=True)
    return np.asarray(rows)[np.isin(y[rows], words[counts > 1])]


def _r2(predictions: np.ndarray, centre: float):
    """Score of (true values, rows of the predictions)."""
    def score(y, rows):
        return float(1 - ((y - predictions[rows]) ** 2).sum() / ((y - centre) ** 2).sum())
    return score


def _mean_auc(model, z: np.ndarray):
    """Mean one-against-rest AUC over the classes that occur, of (true words, rows)."""
    classes, scores = model[-1].classes_, model.decision_function(z)
    scores = np.column_stack([-scores, scores]) if scores.ndim == 1 else scores

    def score(y, rows):
        present = [k for k, c in enumerate(classes) if 0 < (y == c).sum() < len(y)]
        return float(np.mean([stats.roc_auc(y == classes[k], scores[rows, k]) for k in present]))
    return score


def _resamples(y: np.ndarray, number: bool, count: int, rng: np.random.Generator):
    """Rows drawn with replacement; within the words of a covariate, which then all occur."""
    strata = [np.arange(len(y))] if number else [np.flatnonzero(y == v) for v in np.unique(y)]
    for _ in range(count):
        yield np.concatenate([rng.choice(rows, len(rows)) for rows in strata])


def _logistic(y) -> LogisticRegressionCV:
    """Logistic regression, its penalty chosen in as many inner folds as its classes allow."""
    folds = int(min(INNER_FOLDS, np.unique(y, return_counts=True)[1].min()))
    return LogisticRegressionCV(Cs=_STRENGTHS, cv=folds, scoring="neg_log_loss", l1_ratios=(0,),
                                class_weight="balanced", use_legacy_attributes=False,
                                max_iter=1000)


def _encoder():
    words = make_column_selector(dtype_exclude=np.number)
    return make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include=np.number)),
        (OneHotEncoder(handle_unknown="infrequent_if_exist"), words))


def _of(subjects, rows):
    return None if subjects is None else np.asarray(subjects)[rows]
