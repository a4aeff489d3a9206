"""The results table of frozen representations: AUC with interval, gain over
the untrained encoder, power.

Made from the scores of `mmssl.evaluate.linear_evaluation.probe`, and refused
unless it is proven that nobody is tested whom the encoders, the landmarks or
the probes have seen. `load_results` and `load_probes` give later pages the
tables that were saved, if they are fresh.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmssl.evaluate.linear_evaluation import (
    Embeddings,
    ProbeResults,
    Records,
    fold_exposures,
    is_baseline,
    training_and_holdout,
    with_baselines,
)
from mmssl.ledger import leakage
from mmssl.ledger.artefacts import read_tables
from mmssl.ledger.sidecars import read_sidecar
from mmssl.pretrain.baselines import PCA_64
from mmssl.stats.auc import roc_auc
from mmssl.stats.bootstrap import auc_interval
from mmssl.stats.delong import difference_interval

if TYPE_CHECKING:
    import pandas as pd

PREFIX = "linear_evaluation"
"""Of the saved tables: results (no ending), ``_fits`` and ``_scores``."""

_KEYS = ["protocol", "model", "modality"]


def results_table(
    probed: Sequence[ProbeResults],
    resamples: int = 2000,
    seed: int = 0,
    supervised: Collection[str] = (),
) -> pd.DataFrame:
    """Hold-out ROC-AUC of every model and baseline, per protocol and modality.

    Parameters
    ----------
    probed : sequence of ProbeResults
        Of `mmssl.evaluate.linear_evaluation.probe`, one per fold; all of the
        same models.
    resamples, seed : int
        Of the bootstrap of each AUC.
    supervised : collection of str
        Models that learned from labels (`supervised_runs`).

    Returns
    -------
    DataFrame
        One line per protocol, model and modality: auc (mean over folds, and
        over the draws of an untrained encoder's weights; of more than two
        classes the macro average of one against the rest), auc_sd (over folds
        and draws; NaN for one), low, high (BCa subject bootstrap of that mean,
        95 %: people are resampled, the same in every fold and draw; NaN where
        the best setting has no coefficient, so that everybody has one score
        and .5 is no estimate);
        difference to the mean of the untrained encoders on the same people,
        with difference_low and difference_high (Student-t: a bootstrap of it
        is too short at 22 patients); minimum_detectable, the true gain that
        an interval of that width would tell from 0 with power .8, NaN where
        even an AUC of 1 would not; above_pca, above_pca_low and
        above_pca_high, the same difference to PCA-64, NaN without one;
        baseline, supervised, folds, draws, train, positives,
        negatives (people; of more than two classes instead classes, people and
        smallest, the people of the smallest class), tuning_auc (mean).
        ``attrs["proof"]`` is that of `mmssl.ledger.leakage.prove`, for the
        sidecar.

    Raises
    ------
    ValueError
        If the folds hold other models or other people.
    LeakError
        If it is not proven that who is tested was seen by no landmarks,
        components, encoder or probe of any fold.
    """
    import pandas as pd

    scores, proof = proven_scores(probed)
    folds = scores["fold"].nunique()
    groups = scores.groupby(_KEYS, sort=False)
    by_key = {key: scores_by_fold(group, folds) for key, group in groups}
    lines, untrained = [], {}
    for key, group in groups:
        protocol, model, modality = key
        people, by_fold = by_key[key]
        # the untrained encoder comes first
        baseline = untrained.setdefault((protocol, modality), by_fold)
        draws = group["draw"].nunique()
        labels = people["label"].to_numpy()
        line = dict(zip(_KEYS, key, strict=True))
        line["baseline"] = is_baseline(model)
        line["supervised"] = model in supervised
        line["folds"] = folds
        line["draws"] = draws
        line |= _auc(labels, by_fold, people["subject"], resamples, seed)
        line |= _gain(labels, by_fold, baseline, people["subject"])
        _, components = by_key.get((protocol, PCA_64, modality), (None, None))
        line |= _above(labels, by_fold, components, people["subject"])
        line |= _sizes(labels)
        lines.append(line)
    fits = pd.concat([results.fits for results in probed], ignore_index=True)
    fits = fits.reindex(columns=[*_KEYS, "train", "tuning_auc"])
    means = fits.groupby(_KEYS, as_index=False).mean()
    table = pd.DataFrame(lines).merge(means, on=_KEYS, how="left")
    table.attrs["proof"] = proof
    return table


def formatted_results(table: pd.DataFrame) -> pd.DataFrame:
    """The results table as text, for a page.

    Parameters
    ----------
    table : DataFrame
        Of `results_table`.

    Returns
    -------
    DataFrame
        Cells such as "0.81 [0.70, 0.89]"; a dash where there is no number, or
        no interval.
    """
    import pandas as pd

    difference = ("difference", "difference_low", "difference_high")
    above = ("above_pca", "above_pca_low", "above_pca_high")
    return pd.DataFrame(
        {
            "model": table["model"],
            "modality": table["modality"],
            "AUC [95 %]": with_interval(table, ("auc", "low", "high")),
            "SD": _two_decimals(table["auc_sd"]),
            "gain [95 %]": with_interval(table, difference, "+"),
            "detectable gain": _two_decimals(table["minimum_detectable"]),
            "over PCA-64 [95 %]": with_interval(table, above, "+"),
            "tuning AUC": _two_decimals(table["tuning_auc"]),
        }
    )


def load_results(folder: str | Path, edition: str) -> pd.DataFrame:
    """Read the results table that the page of the linear evaluation saved.

    Parameters
    ----------
    folder : path
        ``data/results/<edition>``.
    edition : str

    Returns
    -------
    DataFrame
        As `results_table` made it, without its ``attrs``.

    Raises
    ------
    ValueError
        If a table of that page is missing or stale, with the command that
        makes it, or of another edition.
    """
    return _saved_tables(folder, edition)[""]


def load_probes(
    folder: str | Path,
    edition: str,
    cohort,
    embeddings: Embeddings,
    fold: int = 0,
    seen: Records | None = None,
) -> ProbeResults:
    """Read what the probes of one fold left, and embed the baselines again.

    Nothing is fitted. Seed and width of the untrained encoder are those on
    record in the sidecar of the scores.

    Parameters
    ----------
    folder, edition
        As in `load_results`.
    cohort : Cohort
        The one that was evaluated.
    embeddings : {model: {modality: (pairs, latent)}}
        Of all encoders that were probed.
    fold : int
    seen : {model: exposures}, optional
        As in `mmssl.evaluate.linear_evaluation.probe`.

    Returns
    -------
    ProbeResults

    Raises
    ------
    ValueError
        As `load_results`; also if the scores are of other people, or lack the
        fold or a model.
    LeakError
        If an encoder has seen who was tested.
    """
    tables = _saved_tables(folder, edition)
    fits, scores = tables["_fits"], tables["_scores"]
    fits = fits[fits["fold"] == fold].reset_index(drop=True)
    scores = scores[scores["fold"] == fold].reset_index(drop=True)
    train, test = training_and_holdout(cohort, fold)
    _check_saved(scores, cohort, fold, test, embeddings)
    exposures = fold_exposures(cohort, fold, train, test, embeddings, seen)
    leakage.prove(exposures)
    # identifiers of people are not published with their scores
    scores["subject"] = cohort.subjects[scores["pair"]]
    # probes score in single precision, which text keeps to the last digit
    scores["score"] = scores["score"].astype(np.float32)
    record = read_sidecar(Path(folder) / f"{PREFIX}_scores.tsv")
    width = record["parameters"]["width"]
    everything = with_baselines(
        cohort, embeddings, fold, record["seed"], width
    )
    return ProbeResults(scores, fits, exposures, everything)


def _saved_tables(folder: str | Path, edition: str) -> dict[str, pd.DataFrame]:
    """Results, fits and scores of the page of the linear evaluation."""
    command = "make smoke"
    if edition != "smoke":
        command = f"make reproduce EDITION={edition}"
    page = f"04_linear_evaluation: {command}"
    names = ("", "_fits", "_scores")
    return read_tables(Path(folder), PREFIX, names, edition, page)


def _check_saved(scores, cohort, fold: int, test, models) -> None:
    """ValueError unless scores are of this cohort's hold-out and these
    models.
    """
    if scores.empty:
        raise ValueError(f"{PREFIX}_scores.tsv: no scores of fold {fold}")
    people = scores.drop_duplicates("pair").sort_values("pair")
    pairs = people["pair"].to_numpy()
    scored = scores["modality"].unique()
    there = np.any([cohort.present(m) for m in scored], axis=0)
    same_people = np.array_equal(pairs, np.sort(test[there[test]]))
    if not same_people or (cohort.labels()[pairs] != people["label"]).any():
        raise ValueError(
            f"{PREFIX}_scores.tsv: scores of {len(pairs)} people who are not "
            f"the hold-out of {cohort.path} with the classes "
            f"{cohort.classes}: task and classes must be those of the page "
            "that scored them"
        )
    missing = sorted(set(models) - set(scores["model"]))
    if missing:
        raise ValueError(
            f"{PREFIX}_scores.tsv: no scores of {', '.join(missing)}; "
            "evaluate the runs again"
        )


def proven_scores(
    probed: Sequence[ProbeResults],
) -> tuple[pd.DataFrame, dict]:
    """The scores of all folds, once it is proven that nobody tested was seen.

    Parameters
    ----------
    probed : sequence of ProbeResults

    Returns
    -------
    scores : DataFrame
    proof : dict
        Of `mmssl.ledger.leakage.prove`, for the sidecar.

    Raises
    ------
    LeakError
        For somebody who was seen, or a fit without a record.
    """
    import pandas as pd

    exposures = [seen for results in probed for seen in results.exposures]
    proof = leakage.prove(exposures, _needed_records(probed))
    scores = [results.scores for results in probed]
    return pd.concat(scores, ignore_index=True), proof


def _needed_records(probed: Sequence[ProbeResults]) -> list[str]:
    """Fits that must be on record before a table of these scores is shown."""
    encoders, folds = set(), set()
    for results in probed:
        models = results.scores[["model", "fold"]].drop_duplicates()
        for model, fold in models.itertuples(index=False):
            folds.add(fold)
            if not is_baseline(model):
                encoders.add(f"encoder {model}, fold {fold}")
    needed = []
    for kind in ("landmarks and components", "probes"):
        needed += [f"{kind}, fold {fold}" for fold in sorted(folds)]
    return [*needed, *sorted(encoders)]


def _sizes(labels) -> dict[str, int]:
    """How many people an AUC rests on."""
    people = np.bincount(labels)
    if len(people) == 2:
        return {"positives": int(people[1]), "negatives": int(people[0])}
    return {
        "classes": len(people),
        "people": len(labels),
        "smallest": int(people.min()),
    }


def scores_by_fold(
    scores: pd.DataFrame, folds: int
) -> tuple[pd.DataFrame, np.ndarray]:
    """People of one model and modality, and their scores, (folds x draws,
    people), or (folds x draws, classes, people) of more than two classes.

    Parameters
    ----------
    scores : DataFrame
        Of `mmssl.evaluate.linear_evaluation.ProbeResults`, one protocol, model
        and modality.
    folds : int

    Raises
    ------
    ValueError
        If folds score other people.
    """
    draws = scores["draw"].nunique()
    index = ["fold", "draw"]
    classes = 1
    if "class" in scores:
        index.append("class")
        classes = scores["class"].nunique()
    by_fold = scores.pivot(index=index, columns="pair", values="score")
    expected = folds * draws * classes
    if by_fold.isna().any(axis=None) or len(by_fold) < expected:
        model, modality = scores.iloc[0][["model", "modality"]]
        raise ValueError(
            f"{model}, {modality}: folds {sorted(set(scores['fold']))} score "
            "other people or too few folds, expected the same hold-out in "
            f"all {folds}"
        )
    people = scores.drop_duplicates("pair").set_index("pair")
    values = by_fold.to_numpy()
    if classes > 1:
        values = values.reshape(-1, classes, values.shape[-1])
    return people.loc[by_fold.columns], values


def _auc(
    labels, scores, subjects, resamples: int, seed: int
) -> dict[str, float]:
    """Mean AUC of scores (folds x draws, …, people) with its interval and
    spread.
    """
    auc = auc_interval(labels, scores, subjects.to_numpy(), resamples, seed)
    if not np.ptp(scores, axis=-1).any():
        auc = auc._replace(low=np.nan, high=np.nan)
    folds = [roc_auc(labels, fold_scores) for fold_scores in scores]
    spread = np.std(folds, ddof=1) if len(folds) > 1 else np.nan
    return {
        "auc": auc.estimate,
        "auc_sd": spread,
        "low": auc.low,
        "high": auc.high,
    }


def _gain(labels, scores, baseline, subjects) -> dict[str, float]:
    """Difference of AUC to the mean of the baseline's draws with its interval,
    and the smallest that could have been found; NaN for the baseline itself.

    scores : (folds, …, people)
    baseline : (folds x draws, …, people)
    """
    if scores is baseline:
        return {
            "difference": np.nan,
            "difference_low": np.nan,
            "difference_high": np.nan,
            "minimum_detectable": np.nan,
        }
    gain = difference_interval(labels, scores, baseline, subjects.to_numpy())
    detectable = gain.detectable()
    untrained = np.mean([roc_auc(labels, draw) for draw in baseline])
    if untrained + detectable > 1:
        detectable = np.nan
    return {
        "difference": gain.estimate,
        "difference_low": gain.low,
        "difference_high": gain.high,
        "minimum_detectable": detectable,
    }


def _above(labels, scores, components, subjects) -> dict[str, float]:
    """Difference of AUC to principal components with its interval; NaN of
    them, and where there are none.

    scores, components : (folds x draws, …, people)
    """
    names = ("above_pca", "above_pca_low", "above_pca_high")
    if components is None or scores is components:
        return dict.fromkeys(names, np.nan)
    above = difference_interval(
        labels, scores, components, subjects.to_numpy()
    )
    return dict(zip(names, above[:3], strict=True))


def with_interval(
    table: pd.DataFrame,
    columns: Sequence[str],
    sign: str = "",
    digits: int = 2,
) -> list[str]:
    """Cells such as "0.81 [0.70, 0.89]", or a dash where there is no number.

    Parameters
    ----------
    table : DataFrame
    columns : sequence of three str
        Of the value and its limits.
    sign : "" or "+"
        Whether gains carry their sign.
    digits : int
        Behind the point.
    """
    form = f"{sign}.{digits}f"
    cells = []
    for value, low, high in table[list(columns)].to_numpy():
        text = f"{value:{form}} [{low:{form}}, {high:{form}}]"
        cells.append("–" if np.isnan([value, low]).any() else text)
    return cells


def _two_decimals(column: pd.Series) -> list[str]:
    """Cells such as "0.81", or a dash."""
    return ["–" if np.isnan(value) else f"{value:.2f}" for value in column]
