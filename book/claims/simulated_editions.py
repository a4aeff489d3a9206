"""Simulated editions whose truth is known, to see how often the ledger is
right.

An edition is a folder of tables as the chapters leave them, of objectives
whose true AUC and true similarity were set, and a list of claims about them
with the right verdict of each.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtri
from tqdm.auto import tqdm

from book.claims.claim import Claim
from book.claims.rule import CONTRADICTED, SUPPORTED, assess
from book.claims.scores import SCORES
from book.claims.tables import SIMILARITY
from mmssl.similarity.inference import jackknife_intervals
from mmssl.similarity.simulations import simulated_codes

GAINS = (-0.08, -0.04, 0.0, 0.04, 0.08)
SHARED = (0.3, 0.45, 0.6)
NEGLIGIBLE = 0.02
MEASURE = "debiased CKA"
"""The similarity that claims about simulated editions speak of."""


class KnownClaim(NamedTuple):
    """A claim and the verdict that is right."""

    claim: Claim
    truth: str


def write_edition(
    folder: str | Path,
    positives: int,
    negatives: int,
    seed: int = 0,
    gains: Sequence[float] = GAINS,
    auc: float = 0.75,
    correlation: float = 0.6,
) -> list[KnownClaim]:
    """Write the tables of one simulated edition; return claims about it, each
    with the right verdict.

    Scores are normal in both groups, :math:`d = \\sqrt
    2\\,\\Phi^{-1}(\\mathrm{AUC})` apart, and share `correlation` of their
    variance over objectives, as those of one set of people do.

    Parameters
    ----------
    folder : path
    positives, negatives : int
        People of the hold-out.
    seed : int
    gains : sequence of float
        True gains in AUC over an objective of AUC `auc`. What lies between 0
        and `NEGLIGIBLE` has no one right verdict, so keep out of it.

    Returns
    -------
    list of KnownClaim
        "above the reference" and "below it" for every gain; the lead of the
        best and of the second over all others; which of two objectives has
        more alike modalities.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    true_aucs = {"reference": auc}
    for gain in gains:
        true_aucs[f"gain {gain:+.2f}"] = auc + gain
    labels = np.repeat((1, 0), (positives, negatives))
    rng = np.random.default_rng((seed, positives, negatives))
    scores = _scores(labels, true_aucs, correlation, rng)
    scores.to_csv(folder / SCORES, sep="\t", index=False)
    people = min(len(labels), 1000)
    similarities = _similarities(people, seed)
    similarities.to_csv(folder / SIMILARITY, sep="\t", index=False)
    return _claims_of_auc(true_aucs, auc) + _claims_of_similarity()


def assess_editions(
    editions: int,
    positives: int,
    negatives: int,
    seed: int = 0,
    gains: Sequence[float] = GAINS,
) -> pd.DataFrame:
    """Apply the rule to the claims of many simulated editions.

    Parameters
    ----------
    editions : int
        How many; each has the next seed.
    positives, negatives, seed, gains
        As in `write_edition`.

    Returns
    -------
    DataFrame
        One line for each edition and claim: claim, test, verdict, estimate,
        low, high, edition (its number), truth (the right verdict).
    """
    parts = []
    for edition in tqdm(range(editions), desc="editions", leave=False):
        with tempfile.TemporaryDirectory() as folder:
            known = write_edition(
                folder, positives, negatives, seed + edition, gains
            )
            assessed = assess([item.claim for item in known], folder)
        part = assessed[
            ["claim", "test", "verdict", "estimate", "low", "high"]
        ]
        part = part.assign(
            edition=edition, truth=[item.truth for item in known]
        )
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _scores(
    labels: np.ndarray,
    true_aucs: dict[str, float],
    correlation: float,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """The table of scores of objectives of known AUC."""
    common = rng.normal(size=len(labels))
    parts = []
    for model, auc in true_aucs.items():
        own = rng.normal(size=len(labels))
        noise = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own
        columns = {
            "fold": 0,
            "protocol": "logistic regression",
            "model": model,
            "modality": "T1",
            "draw": 0,
            "pair": np.arange(len(labels)),
            "label": labels,
            "score": noise + np.sqrt(2) * ndtri(auc) * labels,
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts)


def _similarities(people: int, seed: int) -> pd.DataFrame:
    """The table of similarities of codes of known overlap."""
    lines = []
    for place, shared in enumerate(SHARED):
        x, y = simulated_codes(people, 16, shared, rng=(seed, people, place))
        interval = jackknife_intervals(x, y, seed=seed)[MEASURE]
        lines.append(
            {
                "model": _sharing_model(shared),
                "role": "holdout",
                "group": "all",
                "measure": MEASURE,
                "estimate": interval.estimate,
                "low": interval.low,
                "high": interval.high,
                "shuffle_mean": 0.0,
                "n": people,
            }
        )
    return pd.DataFrame(lines)


def _claims_of_auc(
    true_aucs: dict[str, float], reference: float
) -> list[KnownClaim]:
    """Claims about the AUCs, both ways round."""
    known = []
    for model, auc in true_aucs.items():
        if model == "reference":
            continue
        arguments = {
            "first": [model],
            "second": ["reference"],
            "modality": ["T1"],
        }
        directions = {"above": auc > reference, "below": auc < reference}
        for word, is_true in directions.items():
            claim = _claim(
                f"{model} is {word} the reference",
                "auc_contrast",
                arguments,
                word,
            )
            known.append(_known(claim, is_true))
    by_auc = sorted(true_aucs, key=true_aucs.get, reverse=True)
    for model in by_auc[:2]:
        arguments = {
            "model": model,
            "competitors": [other for other in true_aucs if other != model],
            "modality": ["T1"],
        }
        claim = _claim(f"{model} is the best", "auc_lead", arguments, "above")
        known.append(_known(claim, model == by_auc[0]))
    return known


def _claims_of_similarity() -> list[KnownClaim]:
    """Which of two objectives has the more alike modalities."""
    low, middle, high = SHARED
    known = []
    for first, second in ((low, middle), (middle, high), (high, low)):
        arguments = {
            "measure": MEASURE,
            "first": [_sharing_model(first)],
            "second": [_sharing_model(second)],
        }
        claim = _claim(
            f"{first} above {second}",
            "similarity_contrast",
            arguments,
            "above",
        )
        known.append(_known(claim, first > second))
    return known


def _sharing_model(shared: float) -> str:
    """Name of an objective whose modalities share so much."""
    return f"shared {shared}"


def _known(claim: Claim, is_true: bool) -> KnownClaim:
    return KnownClaim(claim, SUPPORTED if is_true else CONTRADICTED)


def _claim(text: str, test: str, arguments: dict, word: str) -> Claim:
    """The claim that a difference is above or below 0 by more than a
    negligible amount.
    """
    return Claim(
        id="",
        paper="simulated",
        where="",
        kind="comparative",
        claim=text,
        test=test,
        arguments=arguments,
        holds={"negligible": NEGLIGIBLE, word: 0.0},
    )
