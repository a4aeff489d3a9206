"""What else could explain a result: age, sex, site and head size, alone and
inside z.

Two questions about every covariate that a study has. How well does it tell
patients from controls by itself (`covariate_aucs`)? A representation must beat
that to have added anything (`gain_over_covariates`). And how well can it be
decoded from z (`decode_covariates`)? A representation that knows the scanner
may owe its AUC to who was scanned where. Only columns of ``participants.tsv``
and what is measured on the images count, never the hidden factors of simulated
people.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmssl.evaluate.probes import INNER_FOLDS
from mmssl.stats.auc import weighted_auc
from mmssl.stats.bootstrap import bias_corrected, draw_counts
from mmssl.stats.delong import difference_interval, logit_interval
from mmssl.stats.mixed import numbers_or_words
from mmssl.stats.permutation import permutation_p

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import Pipeline

COLUMNS = ("age", "sex", "site")
"""Covariates read from participants.tsv where they are there."""

WORDS = ("sex", "site")
"""Those of them that are words, whatever they look like."""

HEAD_SIZE = "head size"
ALL = "all"
"""The column of `covariate_scores` for all covariates together."""

_PENALTIES = np.logspace(-4, 4, 9)  # of the ridge, tried in inner folds
# inverse penalties of the logistic regression
_STRENGTHS = np.logspace(-4, 2, 7)

# of true values (n,) and how often each person is drawn (B, n): scores (B,)
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]


def covariates(
    cohort, columns: Sequence[str] = COLUMNS, mixed: str = "refuse"
) -> pd.DataFrame:
    """Covariates of every pair of a cohort, in its order.

    Parameters
    ----------
    cohort : Cohort
    columns : sequence of str
        Of participants.tsv; those it does not have are left out.
    mixed : str
        What becomes of numbers with a few words among them, such as an age of
        "89+" (`mmssl.stats.mixed.numbers_or_words`). Sex and site are words.

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
        If nothing is left, or for a column of numbers and words.
    """
    people = cohort.participants.set_index("participant_id")
    people = people.loc[cohort.subjects]
    known = [
        name
        for name in (*columns, "head_size")
        if name in people and people[name].notna().any()
    ]
    table = people[known].reset_index(drop=True)
    table = table.astype({n: "category" for n in WORDS if n in table})
    try:
        table = numbers_or_words(table, mixed)
    except ValueError as error:
        file = cohort.path / "participants.tsv"
        raise ValueError(f"{file}: {error}") from error
    table = table.rename(columns={"head_size": HEAD_SIZE})
    brains = cohort.intensity == "brain" and cohort.dims == 3
    measured = []
    if HEAD_SIZE not in table and brains:
        table[HEAD_SIZE] = head_size(cohort)
        measured = [HEAD_SIZE]
    if table.columns.empty:
        raise ValueError(
            f"{cohort.path / 'participants.tsv'}: none of "
            f"{', '.join(columns)} found"
        )
    missing = [name for name in (*columns, HEAD_SIZE) if name not in table]
    table.attrs = {"missing": missing, "measured": measured}
    return table


def covariate_sources(table: pd.DataFrame) -> str:
    """Where each covariate comes from, and which were not found: one sentence.

    Parameters
    ----------
    table : DataFrame
        Of `covariates`.
    """
    measured = table.attrs["measured"]
    columns = [name for name in table if name not in measured]
    return (
        f"Columns of participants.tsv: {', '.join(columns) or 'none'}; "
        f"measured on the images: {', '.join(measured) or 'nothing'}; "
        f"not found: {', '.join(table.attrs['missing']) or 'nothing'}."
    )


def head_size(cohort, modality: str | None = None) -> np.ndarray:
    """Litres of head that each image of a cohort shows: what registration left
    of size.

    Voxels above a tenth of the image's own bright end (95th percentile inside
    the cohort's mask), times the volume of one.

    Parameters
    ----------
    cohort : Cohort
    modality : str, optional
        By default the first.

    Returns
    -------
    array, shape (pairs,)
        NaN where a pair lacks the modality.
    """
    modality = modality or cohort.modalities[0]
    volumes = cohort.volumes[modality]
    there = cohort.present(modality)
    inside = cohort.mask
    if inside is None:
        inside = np.ones(volumes.shape[1:], bool)
    voxel = 1.0  # mm^3
    if cohort.affine is not None:
        voxel = abs(np.linalg.det(cohort.affine[:3, :3]))
    counts = []
    for row, image in enumerate(volumes):
        if not there[row]:
            counts.append(np.nan)
            continue
        bright = np.percentile(image[inside].astype(float), 95)
        counts.append(np.count_nonzero(image > 0.1 * bright))
    return np.asarray(counts) * voxel * 1e-6


def covariate_scores(labels, table: pd.DataFrame, train, test) -> pd.DataFrame:
    """Score every tested person from covariates, without any image.

    A logistic regression with balanced classes on the training rows, its
    penalty chosen in inner folds. A missing number is taken as the median of
    the training rows, a missing word as a word of its own.

    Parameters
    ----------
    labels : array, shape (n,)
        0 or 1.
    table : DataFrame, n rows
        Of `covariates`.
    train, test : arrays of int
        Rows, one a person.

    Returns
    -------
    DataFrame
        One line a tested row (index "pair"), one column a covariate, and "all"
        for all of them together.
    """
    import pandas as pd
    from sklearn.pipeline import make_pipeline

    labels = np.asarray(labels)
    table = numbers_or_words(table)
    scores = {}
    for name in (*table.columns, ALL):
        x = table if name == ALL else table[[name]]
        model = make_pipeline(_encoder(), _logistic(labels[train]))
        model.fit(x.iloc[train], labels[train])
        scores[name] = model.decision_function(x.iloc[test])
    return pd.DataFrame(scores, index=pd.Index(test, name="pair"))


def covariate_aucs(
    labels, scores: pd.DataFrame, subjects=None, level: float = 0.95
) -> pd.DataFrame:
    """How well covariates alone tell the classes: a baseline of the results
    table.

    Parameters
    ----------
    labels : array, shape (n,)
    scores : DataFrame
        Of `covariate_scores`.
    subjects : array, shape (n,), optional
    level : float

    Returns
    -------
    DataFrame
        One line per covariate and for "all": covariates, auc, low, high
        (Student-t on the logit scale), test (people).
    """
    import pandas as pd

    y = np.asarray(labels)[scores.index]
    people = None
    if subjects is not None:
        people = np.asarray(subjects)[scores.index]
    lines = []
    for name, score in scores.items():
        auc = logit_interval(y, score, people, level)
        lines.append(
            {
                "covariates": name,
                "auc": auc.estimate,
                "low": auc.low,
                "high": auc.high,
                "test": len(scores),
            }
        )
    return pd.DataFrame(lines)


def gain_over_covariates(
    scores: pd.DataFrame, alone: pd.DataFrame, level: float = 0.95
) -> pd.DataFrame:
    """What the models of a results table add to all covariates, on the same
    people.

    Parameters
    ----------
    scores : DataFrame
        Of `mmssl.evaluate.linear_evaluation.ProbeResults`, one protocol and
        fold.
    alone : DataFrame
        Of `covariate_scores`; its column "all" counts.
    level : float

    Returns
    -------
    DataFrame
        One line a model and modality: model, modality, auc with low and high;
        gain (AUC minus that of the covariates) with gain_low and gain_high
        (paired, Student-t).
    """
    import pandas as pd

    lines = []
    groups = scores.groupby(["model", "modality"], sort=False)
    for (model, modality), people in groups:
        y, score = people["label"], people["score"]
        subjects = people["subject"]
        auc = logit_interval(y, score, subjects, level)
        baseline = alone.loc[people["pair"], ALL]
        gain = difference_interval(y, score, baseline, subjects, level)
        lines.append(
            {
                "model": model,
                "modality": modality,
                "auc": auc.estimate,
                "low": auc.low,
                "high": auc.high,
                "gain": gain.estimate,
                "gain_low": gain.low,
                "gain_high": gain.high,
            }
        )
    return pd.DataFrame(lines)


def decode_covariates(
    z,
    table: pd.DataFrame,
    train,
    test,
    resamples: int = 2000,
    shuffles: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    r"""How well each covariate is decoded from a representation, on people it
    was not fitted on.

    Numbers by ridge regression, scored by :math:`R^2 = 1 - \sum (y - \hat y)^2
    / \sum (y - \bar y_\mathrm{train})^2`, words by logistic regression, scored
    by the mean one-against-rest AUC; the penalty is chosen in inner folds of
    the training rows. The null shuffles the tested people's covariate against
    the predictions.

    Parameters
    ----------
    z : array, shape (n, latent)
    table : DataFrame, n rows
        Of `covariates`.
    train, test : arrays of int
        Rows, one a person.
    resamples, shuffles : int
        Draws of the bootstrap and of the null.
    seed : int
    level : float

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

    z = np.asarray(z, dtype=np.float64)
    rng = np.random.default_rng(seed)
    table = numbers_or_words(table)
    lines = []
    for name in table.columns:
        y = table[name].to_numpy()
        number = pd.api.types.is_numeric_dtype(table[name])
        learned, tested = _known_rows(table[name], number, train, test)
        values = [len(np.unique(y[rows])) for rows in (learned, tested)]
        if min(values) < 2:
            continue
        score = _fitted_score(z, y, number, learned, tested)
        truth = y[tested]
        once = np.ones((1, len(tested)))
        value = score(truth, once)[0]
        null = [
            score(rng.permutation(truth), once)[0] for _ in range(shuffles)
        ]
        null = np.array(null)
        strata = np.zeros(len(tested)) if number else truth
        draws = score(truth, draw_counts(strata, resamples, rng))
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
                "p": permutation_p(value, null),
                "train": len(learned),
                "test": len(tested),
            }
        )
    return pd.DataFrame(lines)


def _known_rows(
    column: pd.Series, number: bool, train, test
) -> tuple[np.ndarray, np.ndarray]:
    """Training and test rows whose covariate is known; of words, those that
    two training people or more have.
    """
    known = column.notna().to_numpy()
    train, test = np.asarray(train), np.asarray(test)
    learned, tested = train[known[train]], test[known[test]]
    if number:
        return learned, tested
    words = column.to_numpy()
    names, counts = np.unique(words[learned].astype(str), return_counts=True)
    shared = names[counts > 1]
    return (
        learned[np.isin(words[learned].astype(str), shared)],
        tested[np.isin(words[tested].astype(str), shared)],
    )


def _fitted_score(z, y, number: bool, learned, tested) -> Score:
    """Fit a covariate on the learned rows of z; the score of the tested
    rows.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if number:
        model = make_pipeline(StandardScaler(), RidgeCV(_PENALTIES))
        model.fit(z[learned], y[learned])
        return _r2(model.predict(z[tested]), y[learned].mean())
    # by number: scikit-learn takes a word such as "1" for one
    words, codes = np.unique(y[learned].astype(str), return_inverse=True)
    model = make_pipeline(StandardScaler(), _logistic(codes))
    model.fit(z[learned], codes)
    return _mean_auc(model, z[tested], words)


def _r2(predictions: np.ndarray, centre: float) -> Score:
    """R2 of predictions (n,), against the mean of the training rows."""

    def score(y, weights):
        """R2 of every weighting of the people."""
        errors = weights @ (y - predictions) ** 2
        return 1 - errors / (weights @ (y - centre) ** 2)

    return score


def _mean_auc(model: Pipeline, z: np.ndarray, words: np.ndarray) -> Score:
    """Mean one-against-rest AUC over the words that occur."""
    decisions = model.decision_function(z)
    if decisions.ndim == 1:
        decisions = np.column_stack([-decisions, decisions])

    def score(y, weights):
        """Mean AUC of every weighting of the people."""
        aucs = []
        for k, word in enumerate(words):
            has = y == word
            if 0 < has.sum() < len(y):
                aucs.append(weighted_auc(has, decisions[:, k], weights))
        return np.mean(aucs, 0)

    return score


def _logistic(y) -> LogisticRegressionCV:
    """Logistic regression, its penalty chosen in as many inner folds as its
    classes allow.
    """
    from sklearn.linear_model import LogisticRegressionCV

    _, counts = np.unique(y, return_counts=True)
    return LogisticRegressionCV(
        Cs=_STRENGTHS,
        cv=int(min(INNER_FOLDS, counts.min())),
        scoring="neg_log_loss",
        l1_ratios=(0,),
        class_weight="balanced",
        use_legacy_attributes=False,
        max_iter=1000,
    )


def _encoder() -> ColumnTransformer:
    """Standardised numbers and one column a word."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_column_selector(dtype_include=np.number)
    words = make_column_selector(dtype_exclude=np.number)
    return make_column_transformer(
        (
            make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
            numbers,
        ),
        (OneHotEncoder(handle_unknown="infrequent_if_exist"), words),
    )
