"""Simulated editions whose truth is known, to see how often the ledger is
right.

A world is a folder of tables as the chapters leave them, of objectives whose
true AUC and true similarity were set, and a list of claims about them with the
right verdict of each.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtri
from tqdm.auto import tqdm

from book.claims.catalogue import Claim
from book.claims.rule import CONTRADICTED, SUPPORTED, assess
from book.claims.tables import SCORES
from mmssl.similarity.inference import intervals, related
from mmssl.similarity.measures import MEASURES

GAINS = (-0.08, -0.04, 0.0, 0.04, 0.08)
SHARED = (0.3, 0.45, 0.6)
NEGLIGIBLE = 0.02


def make(
    folder: str | Path,
    positives: int,
    negatives: int,
    seed: int = 0,
    gains: Sequence[float] = GAINS,
    auc: float = 0.75,
    correlation: float = 0.6,
) -> list[tuple[Claim, str]]:
    """Write the tables of one simulated edition; return its claims, each with
    the true verdict.

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
    list of (Claim, str)
        "above the reference" and "below it" for every gain; the lead of the
        best and of the second over all others; which of two objectives has
        more alike modalities.
    """
    folder, rng = (
        Path(folder),
        np.random.default_rng((seed, positives, negatives)),
    )
    folder.mkdir(parents=True, exist_ok=True)
    truth = {"reference": auc} | {
        f"gain {gain:+.2f}": auc + gain for gain in gains
    }
    labels = np.repeat((1, 0), (positives, negatives))
    common = rng.normal(size=len(labels))
    parts = []
    for row, value in truth.items():
        noise = np.sqrt(correlation) * common + np.sqrt(
            1 - correlation
        ) * rng.normal(size=len(labels))
        score = noise + np.sqrt(2) * ndtri(value) * labels
        parts.append(
            pd.DataFrame(
                {
                    "fold": 0,
                    "protocol": "logistic regression",
                    "model": row,
                    "modality": "T1",
                    "pair": np.arange(len(labels)),
                    "label": labels,
                    "score": score,
                }
            )
        )
    pd.concat(parts).to_csv(folder / SCORES, sep="\t", index=False)
    return _claims_of_auc(truth, auc) + _similar(
        folder, min(len(labels), 1000), seed
    )


def right(
    worlds: int,
    positives: int,
    negatives: int,
    seed: int = 0,
    gains: Sequence[float] = GAINS,
) -> pd.DataFrame:
    """Judge the claims of many worlds: one line per world and claim, with
    truth and verdict.

    Columns world, claim, test, truth, verdict, estimate, low, high.
    """
    parts = []
    for world in tqdm(range(worlds), desc="worlds", leave=False):
        with tempfile.TemporaryDirectory() as folder:
            known = make(folder, positives, negatives, seed + world, gains)
            found = assess([claim for claim, _ in known], folder)
        found = found[["claim", "test", "verdict", "estimate", "low", "high"]]
        parts.append(
            found.assign(world=world, truth=[truth for _, truth in known])
        )
    return pd.concat(parts, ignore_index=True)


def _claims_of_auc(
    truth: dict[str, float], auc: float
) -> list[tuple[Claim, str]]:
    """Claims about the AUCs, both ways round."""
    known = []
    for row, value in list(truth.items())[1:]:
        arguments = {
            "first": [row],
            "second": ["reference"],
            "modality": ["T1"],
        }
        for word, true in (("above", value > auc), ("below", value < auc)):
            claim = _claim(
                f"{row} is {word} the reference",
                "auc_contrast",
                arguments,
                {word: 0.0},
            )
            known.append((claim, SUPPORTED if true else CONTRADICTED))
    by_auc = sorted(truth, key=truth.get, reverse=True)
    for row in by_auc[:2]:
        rivals = [other for other in truth if other != row]
        arguments = {"model": row, "rivals": rivals, "modality": ["T1"]}
        claim = _claim(
            f"{row} is the best", "auc_lead", arguments, {"above": 0.0}
        )
        known.append((claim, SUPPORTED if row == by_auc[0] else CONTRADICTED))
    return known


def _similar(folder: Path, people: int, seed: int) -> list[tuple[Claim, str]]:
    """A table of similarities of codes of known overlap, and claims about
    debiased CKA.
    """
    rows = []
    for place, shared in enumerate(SHARED):
        x, y = related(people, 16, shared, rng=(seed, people, place))
        found = intervals(x, y, seed=seed)["debiased CKA"]
        rows.append(
            {
                "model": f"shared {shared}",
                "role": "holdout",
                "group": "all",
                "measure": MEASURES[-1],
                "estimate": found.estimate,
                "low": found.low,
                "high": found.high,
                "shuffle_mean": 0.0,
                "n": people,
            }
        )
    pd.DataFrame(rows).to_csv(folder / "similarity.tsv", sep="\t", index=False)
    known = []
    for a, b in ((0, 1), (1, 2), (2, 0)):
        arguments = {
            "measure": MEASURES[-1],
            "first": [f"shared {SHARED[a]}"],
            "second": [f"shared {SHARED[b]}"],
        }
        claim = _claim(
            f"{SHARED[a]} above {SHARED[b]}",
            "similarity_contrast",
            arguments,
            {"above": 0.0},
        )
        known.append((claim, SUPPORTED if a > b else CONTRADICTED))
    return known


def _claim(text: str, test: str, arguments: dict, holds: dict) -> Claim:
    return Claim(
        "",
        "simulated",
        "",
        "comparative",
        text,
        test,
        arguments,
        {"negligible": NEGLIGIBLE} | holds,
    )
