r"""What a frozen representation says of a number, such as an age or a test
score: ridge regression on z, scores of the hold-out.

As `mmssl.evaluate.linear_evaluation` for classes: fitted on the training
people of a fold, one pair each, tested once on the hold-out, beside the same
baselines, with the same proof that nobody tested was seen. On z standardised
by the training people,

.. math::
    \min_{w, b} \sum_i (y_i - w^\top z_i - b)^2 + \alpha \lVert w \rVert_2^2 ,

with :math:`\alpha` of the smallest leave-one-out error. How good a prediction
is, `mmssl.stats.r2` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmssl.evaluate.confounds import covariates
from mmssl.evaluate.linear_evaluation import (
    Embeddings,
    ProbeResults,
    Records,
    gathered,
    is_baseline,
    proven_exposures,
    with_baselines,
    with_untrained_draws,
)
from mmssl.evaluate.results import (
    proven_scores,
    scores_by_fold,
    with_interval,
)
from mmssl.ledger import leakage
from mmssl.pretrain.baselines import INITIALISATIONS
from mmssl.stats.r2 import (
    SMALLEST_SAMPLE,
    mae_interval,
    r2_difference,
    r2_interval,
)

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

RIDGE = "ridge regression"
PENALTIES = np.logspace(-2, 6, 33)
"""Of the ridge, that are tried."""

_KEYS = ["protocol", "model", "modality"]


def target_values(cohort, target: str, mixed: str = "refuse") -> np.ndarray:
    """(pairs,) float64 of a column of participants.tsv; NaN where it is
    missing.

    Parameters
    ----------
    cohort : Cohort
    target : str
    mixed : str
        As in `mmssl.evaluate.confounds.covariates`: "cap" takes 89 of "89+".

    Raises
    ------
    ValueError
        For a column that is not there, or that holds no numbers.
    """
    file = cohort.path / "participants.tsv"
    if target not in cohort.participants:
        numeric = cohort.participants.select_dtypes("number").columns
        raise ValueError(
            f"{file}: no column {target!r}, expected one of numbers: "
            f"{', '.join(numeric) or 'there is none'}"
        )
    column = covariates(cohort, (target,), mixed).get(target)
    if column is None or column.dtype.kind not in "fiu":
        found = cohort.participants[target].dropna().unique()[:3].tolist()
        raise ValueError(
            f"{file}: column {target!r} holds {found}, expected numbers"
        )
    return column.to_numpy(dtype=np.float64)


def rows_with_value(
    cohort,
    values: np.ndarray,
    role: str,
    fold: int = 0,
    modalities: str | Sequence[str] | None = None,
) -> np.ndarray:
    """The downstream rows of a role that have a value, and the images.

    Parameters
    ----------
    cohort : Cohort
    values : array, shape (pairs,)
        Of `target_values`.
    role : str
        As of `mmssl.cohorts.cohort.Cohort.rows`.
    fold : int
    modalities : str or sequence of str, optional
        As of `mmssl.cohorts.cohort.Cohort.downstream`.

    Raises
    ------
    ValueError
        For fewer than 4 people, or one value in all of them.
    """
    rows = cohort.one_each(cohort.rows(role, fold), modalities)
    chosen = rows[np.isfinite(values[rows])]
    distinct = len(np.unique(values[chosen]))
    if len(chosen) < SMALLEST_SAMPLE or distinct < 2:
        raise ValueError(
            f"{cohort.path}: {role}, fold {fold}: {len(chosen)} people with "
            f"{distinct} values, expected {SMALLEST_SAMPLE} with 2 at least"
        )
    return chosen


def ridge_regression(z, values) -> Pipeline:
    """Standardisation and ridge regression, the penalty of the smallest
    leave-one-out error.

    Parameters
    ----------
    z : array, shape (n, latent)
    values : array, shape (n,)
        Rows are people.

    Returns
    -------
    Pipeline
        StandardScaler and RidgeCV, fitted.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    return model.fit(np.asarray(z, dtype=np.float64), values)


def probe_target(
    cohort,
    embeddings: Embeddings,
    target: str,
    fold: int = 0,
    seed: int = 0,
    width: int = 32,
    seen: Records | None = None,
    initialisations: int = INITIALISATIONS,
    mixed: str = "refuse",
) -> ProbeResults:
    """Predict a number of the hold-out from every embedding, baselines
    included.

    Parameters
    ----------
    target : str
        Column of participants.tsv. Who has none takes no part; the baseline of
        covariates does without it.
    mixed : str
        As in `target_values`.
    cohort, embeddings, fold, seed, width, seen, initialisations
        As in `mmssl.evaluate.linear_evaluation.probe`.

    Returns
    -------
    ProbeResults
        `fits` says the penalty, ``alpha``.

    Raises
    ------
    ValueError
        As `target_values`; fewer than 4 people with a value in a role, or one
        value in all of them; embeddings that are not of this cohort.
    LeakError
        As `mmssl.evaluate.linear_evaluation.probe`.
    """
    values = target_values(cohort, target, mixed)
    roles = ("train", "valid", "holdout", "shift")
    rows = {role: cohort.rows(role, fold) for role in roles}
    leakage.check_disjoint(cohort, rows)
    of_modality = {
        m: tuple(
            rows_with_value(cohort, values, role, fold, m)
            for role in ("train", "holdout")
        )
        for m in cohort.modalities
    }
    train = rows_with_value(cohort, values, "train", fold, ())
    test = rows_with_value(cohort, values, "holdout", fold, ())
    exposures = proven_exposures(cohort, fold, train, test, embeddings, seen)
    everything = with_baselines(
        cohort, embeddings, fold, seed, width, predicted=target
    )
    z = with_untrained_draws(
        cohort, everything, fold, seed, width, initialisations
    )
    fitted = {}
    for key, embedding in z.items():
        _, modality, _ = key
        fitted[key] = _ridge_scores(embedding, values, *of_modality[modality])
    return gathered(
        cohort,
        {RIDGE: fitted},
        fold,
        of_modality,
        values,
        exposures,
        everything,
    )


def regression_table(
    probed: Sequence[ProbeResults], resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """How well every model and baseline predicts a number, per modality.

    Parameters
    ----------
    probed : sequence of ProbeResults
        Of `probe_target`, one per fold; all of one target and of the same
        models.
    resamples, seed : int
        Of the bootstraps.

    Returns
    -------
    DataFrame
        One line per model and modality: protocol, model, modality, baseline,
        folds, draws; r2 (mean over folds and draws) with low and high, and
        r2_sd over them; difference to the mean of the untrained encoders on
        the same people, with difference_low and difference_high, and
        minimum_detectable, the true gain that an interval of that width would
        tell from 0 with power .8; mae, in the number's unit, with mae_low and
        mae_high; people. ``attrs["proof"]`` as in
        `mmssl.evaluate.results.results_table`.

    Raises
    ------
    ValueError
        If the folds hold other models or other people.
    LeakError
        If it is not proven that who is tested was seen by nothing.
    """
    import pandas as pd

    scores, proof = proven_scores(probed)
    folds = scores["fold"].nunique()
    lines, untrained = [], {}
    for key, group in scores.groupby(_KEYS, sort=False):
        _, model, modality = key
        people, predicted = scores_by_fold(group, folds)
        truth = people["label"].to_numpy()
        # the untrained encoder comes first
        baseline = untrained.setdefault(modality, predicted)
        line = dict(zip(_KEYS, key, strict=True))
        line["baseline"] = is_baseline(model)
        line["folds"] = folds
        line["draws"] = group["draw"].nunique()
        line |= _measures(truth, predicted, resamples, seed)
        line |= _gain(truth, predicted, baseline, resamples, seed)
        line["people"] = len(truth)
        lines.append(line)
    table = pd.DataFrame(lines)
    table.attrs["proof"] = proof
    return table


def formatted_regression(table: pd.DataFrame, unit: str = "") -> pd.DataFrame:
    """The table of a number as text, for a page.

    Parameters
    ----------
    table : DataFrame
        Of `regression_table`.
    unit : str
        Of the number.

    Returns
    -------
    DataFrame
        Cells such as "0.41 [0.20, 0.55]"; a dash where there is no number.
    """
    difference = ("difference", "difference_low", "difference_high")
    error = ("mae", "mae_low", "mae_high")
    shown = table[["model", "modality"]].copy()
    shown["R² [95 %]"] = with_interval(table, ("r2", "low", "high"))
    shown["gain [95 %]"] = with_interval(table, difference, "+")
    shown[f"MAE [95 %] {unit}".strip()] = with_interval(table, error)
    return shown


def _ridge_scores(
    z: np.ndarray, values: np.ndarray, train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, dict[str, float]]:
    """Predictions of the tested rows, and the penalty that was chosen."""
    model = ridge_regression(z[train], values[train])
    predicted = model.predict(np.asarray(z[test], dtype=np.float64))
    return predicted, {"alpha": float(model[-1].alpha_)}


def _measures(
    truth: np.ndarray, predicted: np.ndarray, resamples: int, seed: int
) -> dict[str, float]:
    """R2 and MAE with intervals, and the spread of R2 over folds and draws."""
    r2 = r2_interval(truth, predicted, resamples, seed)
    error = mae_interval(truth, predicted, resamples, seed)
    sum_of_squares = ((truth - truth.mean()) ** 2).sum()
    each = 1 - ((truth - predicted) ** 2).sum(1) / sum_of_squares
    return {
        "r2": r2.estimate,
        "r2_sd": np.std(each, ddof=1) if len(each) > 1 else np.nan,
        "low": r2.low,
        "high": r2.high,
        "mae": error.estimate,
        "mae_low": error.low,
        "mae_high": error.high,
    }


def _gain(
    truth: np.ndarray,
    predicted: np.ndarray,
    baseline: np.ndarray,
    resamples: int,
    seed: int,
) -> dict[str, float]:
    """Difference of R2 to the mean of the baseline's draws with its interval,
    and the smallest that could have been found; NaN for the baseline itself.
    """
    if predicted is baseline:
        names = ("difference", "difference_low", "difference_high")
        return dict.fromkeys([*names, "minimum_detectable"], np.nan)
    gain = r2_difference(truth, predicted, baseline, resamples, seed)
    return {
        "difference": gain.estimate,
        "difference_low": gain.low,
        "difference_high": gain.high,
        "minimum_detectable": gain.detectable(),
    }
