"""Probabilities of the probes of a representation, and their calibration.

`mmssl.stats.calibration` measures any probabilities; here the logistic
regressions of `mmssl.evaluate.linear_evaluation` get theirs: as they were
fitted, with the share of patients put back, and recalibrated on people whom no
probe has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit

from mmssl.evaluate.linear_evaluation import (
    LOGISTIC,
    Embeddings,
    ProbeResults,
    rows_with_images,
)
from mmssl.evaluate.probes import (
    finite_embedding,
    fit_pipeline,
    logistic_pipeline,
)
from mmssl.ledger import leakage
from mmssl.stats.auc import Interval, roc_auc
from mmssl.stats.calibration import calibration, reliability

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

CONVERSIONS = AS_FITTED, TRAINING_SHARE, RECALIBRATED = (
    "as fitted",
    "training share",
    "recalibrated",
)
"""How a score becomes a probability, see `probe_probabilities`."""

_KEYS = ["model", "modality", "conversion"]


def probe_probabilities(
    cohort,
    embeddings: Embeddings,
    probed: ProbeResults,
    models: Sequence[str],
    seed: int = 0,
    task: str | None = None,
) -> pd.DataFrame:
    r"""Probability of class 1 for each held-out person, by the logistic
    regressions of `mmssl.evaluate.linear_evaluation.probe`.

    A decision function s is converted in three ways. *as fitted*: :math:`1 /
    (1 + e^{-s})`, of a world where classes are equally common, as balanced
    weights make them. *training share*: the share :math:`\pi` of class 1 among
    the training people is put back, :math:`s + \log(\pi / (1 - \pi))`.
    *recalibrated*: :math:`a + b s`, a and b fitted by maximum likelihood on
    the fold's validation people, whom no probe has seen; NaN where these are
    separated perfectly, so that no line is the best.

    Parameters
    ----------
    cohort : Cohort
    embeddings : {model: {modality: (pairs, latent)}}
        Those that were probed, with the baselines if these are asked for.
    probed : ProbeResults
        Of one fold.
    models : sequence of str
    seed, task
        As given to `mmssl.evaluate.linear_evaluation.probe`.

    Returns
    -------
    DataFrame
        One line per model, modality, conversion and held-out person: model,
        modality, pair, subject, label, conversion, probability.
        ``attrs["proof"]`` is that of `mmssl.ledger.leakage.prove`.

    Raises
    ------
    ValueError
        If an embedding is not the one that was probed.
    LeakError
        If validation people or their images are among those held out.
    """
    import pandas as pd

    fold = int(probed.fits["fold"].iloc[0])
    labels = cohort.labels(task)
    learned = cohort.downstream(cohort.rows("train", fold), task, ())
    chosen = cohort.downstream(cohort.rows("valid", fold), task, ())
    rows = rows_with_images(cohort, learned, chosen)
    recalibration = leakage.exposure(
        f"recalibration, fold {fold}", "train", cohort, chosen
    )
    proof = leakage.prove([*probed.exposures, recalibration])
    # of an untrained encoder, the draw that is embedded
    of_these = f"protocol == '{LOGISTIC}' and draw == 0"
    fits = probed.fits.query(of_these).set_index(["model", "modality"])
    scores = probed.scores.query(of_these)
    scores = scores.groupby(["model", "modality"])
    tables = []
    for model in models:
        for modality, embedding in embeddings[model].items():
            z = np.asarray(embedding)
            there = cohort.present(modality)
            finite_embedding(z[there], f"{model}, {modality}")
            train, valid = rows[modality]
            prior = logit(labels[train].mean())
            people = scores.get_group((model, modality))
            pipeline = _refitted(
                z[train], labels[train], fits.loc[(model, modality)], seed
            )
            _check_same_scores(pipeline, z, people)
            s = people["score"].to_numpy(dtype=np.float64)
            intercept, slope = _recalibration_line(
                labels[valid], pipeline.decision_function(z[valid])
            )
            log_odds = {
                AS_FITTED: s,
                TRAINING_SHARE: s + prior,
                RECALIBRATED: intercept + slope * s,
            }
            columns = ["model", "modality", "pair", "subject", "label"]
            for conversion, odds in log_odds.items():
                tables.append(
                    people[columns].assign(
                        conversion=conversion, probability=expit(odds)
                    )
                )
    probabilities = pd.concat(tables, ignore_index=True)
    probabilities.attrs["proof"] = proof
    return probabilities


def calibration_table(
    probabilities: pd.DataFrame,
    bins: int = 5,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Calibration of every model, modality and conversion.

    Parameters
    ----------
    probabilities : DataFrame
        Of `probe_probabilities`.
    bins, resamples, seed : int
        As in `mmssl.stats.calibration.calibration`.

    Returns
    -------
    DataFrame
        One line per model, modality and conversion: brier, intercept, slope
        and ece, each with _low and _high; skill, ece_by_chance, ece_p. NaN
        where there are no probabilities.
    """
    import pandas as pd

    lines = []
    for key, people in probabilities.groupby(_KEYS, sort=False):
        line = dict(zip(_KEYS, key, strict=True))
        if people["probability"].notna().all():
            measures = calibration(
                people["label"],
                people["probability"],
                people["subject"],
                bins,
                resamples,
                seed,
            )
            for name, value in measures._asdict().items():
                line |= _columns(name, value)
        lines.append(line)
    return pd.DataFrame(lines)


def reliability_table(
    probabilities: pd.DataFrame, bins: int = 5
) -> pd.DataFrame:
    """Reliability diagram of every model, modality and conversion.

    Parameters
    ----------
    probabilities : DataFrame
        Of `probe_probabilities`; what has none is left out.
    bins : int

    Returns
    -------
    DataFrame
        The lines of `mmssl.stats.calibration.reliability`, with model,
        modality and conversion.
    """
    import pandas as pd

    tables = []
    known = probabilities.dropna()
    for key, people in known.groupby(_KEYS, sort=False):
        table = reliability(people["label"], people["probability"], bins)
        tables.append(table.assign(**dict(zip(_KEYS, key, strict=True))))
    return pd.concat(tables, ignore_index=True)


def formatted_calibration(table: pd.DataFrame) -> pd.DataFrame:
    """The calibration table as text, for a page.

    Parameters
    ----------
    table : DataFrame
        Of `calibration_table`.

    Returns
    -------
    DataFrame
        One line per model and modality: skill, slope and ECE as fitted and
        after recalibration, and the ECE by chance.
    """
    import pandas as pd

    lines = []
    for key, group in table.groupby(["model", "modality"], sort=False):
        group = group.set_index("conversion")
        line = dict(zip(("model", "modality"), key, strict=True))
        for conversion, after in ((AS_FITTED, ""), (RECALIBRATED, " after")):
            values = group.loc[conversion]
            skill = values["skill"]
            line[f"skill{after}"] = "–" if np.isnan(skill) else f"{skill:+.2f}"
            line[f"slope{after} [95 %]"] = _with_interval(values, "slope")
            line[f"ECE{after} [95 %]"] = _with_interval(values, "ece")
        chance = group.loc[AS_FITTED, "ece_by_chance"]
        line["ECE by chance"] = f"{chance:.2f}"
        lines.append(line)
    return pd.DataFrame(lines)


def _with_interval(values: pd.Series, name: str) -> str:
    """A cell such as "0.81 [0.70, 0.89]", a dash, or "above 10"."""
    value = values[name]
    if np.isnan(value):
        return "–"
    # of scores that hardly differ any line is as good
    if abs(value) > 10:
        return "above 10" if value > 0 else "below −10"
    low, high = values[f"{name}_low"], values[f"{name}_high"]
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _columns(name: str, value: float | Interval) -> dict[str, float]:
    """The columns of one measure: an interval has three."""
    if not isinstance(value, Interval):
        return {name: value}
    return {
        name: value.estimate,
        f"{name}_low": value.low,
        f"{name}_high": value.high,
    }


def _refitted(z, labels, chosen, seed: int) -> Pipeline:
    """The probe once more, with the penalty that its search chose."""
    return fit_pipeline(logistic_pipeline(chosen, seed), z, labels)


def _check_same_scores(pipeline: Pipeline, z, people: pd.DataFrame) -> None:
    """ValueError if the probe fitted again scores the hold-out otherwise."""
    expected = people["score"].to_numpy(dtype=np.float64)
    scores = pipeline.decision_function(z[people["pair"]])
    if np.abs(scores - expected).max() > 0.05 * expected.std() + 1e-6:
        model, modality = people.iloc[0][["model", "modality"]]
        raise ValueError(
            f"{model}, {modality}: the scores of this embedding are not those "
            "probed; expected the same embeddings and seed"
        )


def _recalibration_line(labels, score) -> tuple[float, float]:
    """Intercept and slope of Cox's line; NaN where classes are separated or
    all scores alike.
    """
    import statsmodels.api as sm

    if roc_auc(labels, score) in (0.0, 1.0) or np.ptp(score) == 0:
        return np.nan, np.nan
    line = sm.GLM(labels, sm.add_constant(score), sm.families.Binomial())
    intercept, slope = line.fit().params
    return intercept, slope
