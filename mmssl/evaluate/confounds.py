"""What else could explain a result: age, sex, site and head size, alone and
inside z.

Two questions about every covariate that a study has. How well does it tell
patients from controls by itself (`baselines`)? A representation must beat that
to have added anything. And how well does z tell it (`predicted`)? A
representation that knows the scanner may owe its AUC to who was scanned where.
Only columns of ``participants.tsv`` and what is measured on the images count,
never the hidden factors of simulated people.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmssl.stats.auc import weighted_auc
from mmssl.stats.bootstrap import bias_corrected
from mmssl.stats.intervals import difference_interval, logit_interval

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.linear_model import LogisticRegressionCV

COLUMNS = ("age", "sex", "site")
"""Covariates read from participants.tsv where they are there."""

HEAD_SIZE = "head size"
INNER_FOLDS = 5
_PENALTIES = np.logspace(-4, 4, 9)  # of the ridge, tried in inner folds
# inverse penalties of the logistic regression
_STRENGTHS = np.logspace(-4, 2, 7)


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
        (pairs,) numbers and words, NaN where a person has none. "head size" is
        the column ``head_size`` of participants.tsv, such as an intracranial
        volume; where there is none and the images are brains, it is measured
        on them (`head_size`). ``attrs["missing"]`` names the columns that were
        not found, ``attrs["measured"]`` what was measured instead.

    Raises
    ------
    ValueError
        If nothing is left.
    """
    people = cohort.participants.set_index("participant_id").loc[
        cohort.subjects
    ]
    found = [
        c
        for c in (*columns, "head_size")
        if c in people and people[c].notna().any()
    ]
    table = (
        people[found]
        .reset_index(drop=True)
        .rename(columns={"head_size": HEAD_SIZE})
    )
    measured = (
        HEAD_SIZE not in table
        and cohort.intensity == "brain"
        and cohort.dims == 3
    )
    if measured:
        table[HEAD_SIZE] = head_size(cohort)
    if table.columns.empty:
        raise ValueError(
            f"{cohort.path / 'participants.tsv'}: none of {', '.join(columns)} found"
        )
    table.attrs = {
        "missing": [c for c in (*columns, HEAD_SIZE) if c not in table],
        "measured": [HEAD_SIZE] if measured else [],
    }
    return table


def origin(table: pd.DataFrame) -> str:
    """Where each covariate of `covariates` comes from, and which were not
    found: one sentence.
    """
    measured, missing = (
        ", ".join(table.attrs[what]) for what in ("measured", "missing")
    )
    columns = ", ".join(c for c in table if c not in table.attrs["measured"])
    return (
        f"Columns of participants.tsv: {columns or 'none'}; measured on the images: "
        f"{measured or 'nothing'}; not found: {missing or 'nothing'}."
    )


def head_size(cohort, modality: str | None = None) -> np.ndarray:
    """(pairs,) litres of head that an image of the cohort shows: what
    registration left of size.

    Voxels above a tenth of the image's own bright end (95th percentile inside
    the cohort's mask), times the volume of one. The first modality by default.
    """
    volumes = cohort.volumes[modality or cohort.modalities[0]]
    inside = (
        np.ones(volumes.shape[1:], bool)
        if cohort.mask is None
        else cohort.mask
    )
    voxel = (
        1.0
        if cohort.affine is None
        else abs(np.linalg.det(cohort.affine[:3, :3]))
    )
    counts = [
        np.count_nonzero(
            image > 0.1 * np.percentile(image[inside].astype(float), 95)
        )
        for image in volumes
    ]
    return np.asarray(counts) * voxel * 1e-6


def alone(labels, table: pd.DataFrame, train, test) -> pd.DataFrame:
    """Score of every tested person from covariates alone: (tested, covariates
    and "all").

    A logistic regression with balanced classes on the training rows, its
    penalty chosen in inner folds. A missing number is read as the median of
    the training rows, a missing word as a word.

    Parameters
    ----------
    labels : array, shape (n,)
    table : DataFrame, n rows
        Of `covariates`.
    train, test : arrays of int
        Rows, one a person.
    """
    import pandas as pd
    from sklearn.pipeline import make_pipeline

    labels, scores = np.asarray(labels), {}
    for name in (*table.columns, "all"):
        x = table if name == "all" else table[[name]]
        model = make_pipeline(_encoder(), _logistic(labels[train]))
        model.fit(x.iloc[train], labels[train])
        scores[name] = model.decision_function(x.iloc[test])
    return pd.DataFrame(scores, index=pd.Index(test, name="pair"))


def baselines(
    labels, known: pd.DataFrame, subjects=None, level: float = 0.95
) -> pd.DataFrame:
    """How well covariates alone tell the classes: the baseline of a results
    table.

    Parameters
    ----------
    labels : array, shape (n,)
    known : DataFrame
        Of `alone`.
    subjects : array, shape (n,), optional

    Returns
    -------
    DataFrame
        One line per covariate and for "all": covariates, auc, low, high, test
        (people).
    """
    import pandas as pd

    labels, lines = np.asarray(labels), []
    for name, score in known.items():
        found = logit_interval(
            labels[known.index], score, _of(subjects, known.index), level
        )
        lines.append(
            {
                "covariates": name,
                "auc": found.estimate,
                "low": found.low,
                "high": found.high,
                "test": len(known),
            }
        )
    return pd.DataFrame(lines)


def gains(
    scores: pd.DataFrame, known: pd.DataFrame, level: float = 0.95
) -> pd.DataFrame:
    """What rows of a results table add to covariates, on the same people.

    Parameters
    ----------
    scores : DataFrame
        Of `mmssl.evaluate.linear_evaluation.Probed`, one protocol and fold.
    known : DataFrame
        Of `alone`; "all" counts.

    Returns
    -------
    DataFrame
        One line a row and modality: row, modality, auc with low and high; gain
        (AUC minus that of the covariates) with gain_low and gain_high (paired,
        Student-t).
    """
    import pandas as pd

    lines = []
    for (row, m), one in scores.groupby(["model", "modality"], sort=False):
        y, subjects, other = (
            one["label"],
            one["subject"],
            known.loc[one["pair"], "all"],
        )
        auc = logit_interval(y, one["score"], subjects, level)
        gain = difference_interval(y, one["score"], other, subjects, level)
        lines.append(
            {
                "model": row,
                "modality": m,
                "auc": auc.estimate,
                "low": auc.low,
                "high": auc.high,
                "gain": gain.estimate,
                "gain_low": gain.low,
                "gain_high": gain.high,
            }
        )
    return pd.DataFrame(lines)


def predicted(
    z,
    table: pd.DataFrame,
    train,
    test,
    resamples: int = 2000,
    shuffles: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    r"""How well a representation tells each covariate, on people it was not
    fitted on.

    Numbers by ridge regression, scored by :math:`R^2 = 1 - \sum (y - \hat y)^2
    / \sum (y - \bar y_\mathrm{train})^2`, words by logistic regression, scored
    by the mean one-against-rest AUC; the penalty is chosen in inner folds of
    the training rows. The null shuffles the tested people's covariate against
    the predictions.

    Parameters
    ----------
    z : array, shape (n, latent)
    table : DataFrame, n rows
    train, test : arrays of int
        Rows, one a person.
    resamples, shuffles : int
        Draws of the bootstrap and of the null.

    Returns
    -------
    DataFrame
        One line a covariate: covariate, measure ("R2" or "AUC"), value with
        low and high (bias-corrected bootstrap over people), by_chance (mean of
        the null) with its 95th percentile, p, train, test (people of whom it
        is known). Words that fewer than two training people have, such as
        another population's site, are left out; so is a covariate with fewer
        than two values left.
    """
    import pandas as pd
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    z, rng, lines = (
        np.asarray(z, dtype=np.float64),
        np.random.default_rng(seed),
        [],
    )
    for name in table.columns:
        y, number = (
            table[name].to_numpy(),
            pd.api.types.is_numeric_dtype(table[name]),
        )
        known = table[name].notna().to_numpy()
        learned, seen = (
            np.asarray(rows)[known[rows]] for rows in (train, test)
        )
        if not number:
            learned, seen = (
                _shared(y, learned, rows) for rows in (learned, seen)
            )
        if min(len(np.unique(y[rows])) for rows in (learned, seen)) < 2:
            continue
        model = make_pipeline(
            StandardScaler(),
            RidgeCV(_PENALTIES) if number else _logistic(y[learned]),
        ).fit(z[learned], y[learned])
        scores = (
            _r2(model.predict(z[seen]), y[learned].mean())
            if number
            else _mean_auc(model, z[seen])
        )
        value = scores(y[seen], np.ones((1, len(seen))))[0]
        null = np.array(
            [
                scores(rng.permutation(y[seen]), np.ones((1, len(seen))))[0]
                for _ in range(shuffles)
            ]
        )
        draws = scores(y[seen], _weights(y[seen], number, resamples, rng))
        low, high = bias_corrected(value, draws, level)
        lines.append(
            {
                "covariate": name,
                "measure": "R2" if number else "AUC",
                "value": value,
                "low": low,
                "high": high,
                "by_chance": null.mean(),
                "by_chance_95": np.quantile(null, 0.95),
                "p": (1 + (null >= value).sum()) / (1 + shuffles),
                "train": len(learned),
                "test": len(seen),
            }
        )
    return pd.DataFrame(lines)


def _shared(y: np.ndarray, train, rows) -> np.ndarray:
    """Those rows whose word two training people or more have."""
    words, counts = np.unique(y[train].astype(str), return_counts=True)
    return rows[np.isin(y[rows].astype(str), words[counts > 1])]


def _r2(predictions: np.ndarray, centre: float):
    """Scores (B,) of true values (n,), people weighted by (B, n)."""

    def scores(y, weights):
        return 1 - weights @ (y - predictions) ** 2 / (
            weights @ (y - centre) ** 2
        )

    return scores


def _mean_auc(model, z: np.ndarray):
    """Mean one-against-rest AUC over the words that occur, as `_r2`."""
    classes, decided = model[-1].classes_, model.decision_function(z)
    decided = (
        np.column_stack([-decided, decided]) if decided.ndim == 1 else decided
    )

    def scores(y, weights):
        present = [
            k for k, c in enumerate(classes) if 0 < (y == c).sum() < len(y)
        ]
        return np.mean(
            [
                weighted_auc(y == classes[k], decided[:, k], weights)
                for k in present
            ],
            0,
        )

    return scores


def _weights(
    y: np.ndarray, number: bool, count: int, rng: np.random.Generator
) -> np.ndarray:
    """How often each person is drawn, (count, n); within the words of a
    covariate, if any.
    """
    strata = (
        [np.arange(len(y))]
        if number
        else [np.flatnonzero(y == v) for v in np.unique(y)]
    )
    weights = np.empty((count, len(y)))
    for rows in strata:
        weights[:, rows] = rng.multinomial(
            len(rows), np.full(len(rows), 1 / len(rows)), count
        )
    return weights


def _logistic(y) -> LogisticRegressionCV:
    """Logistic regression, its penalty chosen in as many inner folds as its
    classes allow.
    """
    from sklearn.linear_model import LogisticRegressionCV

    folds = int(min(INNER_FOLDS, np.unique(y, return_counts=True)[1].min()))
    return LogisticRegressionCV(
        Cs=_STRENGTHS,
        cv=folds,
        scoring="neg_log_loss",
        l1_ratios=(0,),
        class_weight="balanced",
        use_legacy_attributes=False,
        max_iter=1000,
    )


def _encoder():
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    words = make_column_selector(dtype_exclude=np.number)
    return make_column_transformer(
        (
            make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
            make_column_selector(dtype_include=np.number),
        ),
        (OneHotEncoder(handle_unknown="infrequent_if_exist"), words),
    )


def _of(subjects, rows):
    return None if subjects is None else np.asarray(subjects)[rows]
