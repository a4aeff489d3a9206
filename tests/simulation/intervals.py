"""Intervals and tests of scores: AUC, differences, populations, repeated
splits, calibration.
"""

import numpy as np
import pandas as pd
import worlds as w
from scipy.special import expit, ndtri
from worlds import CONTROLS, PATIENTS, SEED, each, line

from mmssl.stats.auc import Interval, roc_auc
from mmssl.stats.bootstrap import auc_difference, auc_interval
from mmssl.stats.calibration import calibration
from mmssl.stats.delong import delong_covariance
from mmssl.stats.equivalence import auc_gap
from mmssl.stats.intervals import (
    difference_interval,
    logit_interval,
    score_interval,
)
from mmssl.stats.resampling import corrected_resampled

# 600 and 200 people in the proportions of the phantom
MAIN, SECOND = (106, 494), (50, 150)


def auc_coverage(worlds, resamples=1000):
    """Does the 95 % interval of an AUC hold the truth, with null labels and
    with a signal?
    """
    labels, lines = w.people(), []
    methods = {
        "logit t": lambda s, world: logit_interval(labels, s),
        "BCa bootstrap": lambda s, world: auc_interval(
            labels, s, None, resamples, world
        ),
        "DeLong, normal": lambda s, world: _wald(labels, s),
        "score": lambda s, world: score_interval(
            roc_auc(labels, s), PATIENTS, CONTROLS
        ),
    }
    for auc, spread in ((0.5, 1), (0.85, 1), (0.85, 2), (0.95, 1)):

        def one(world, auc=auc, spread=spread):
            rng = np.random.default_rng(
                [SEED, 1, int(100 * auc), spread, world]
            )
            scores = _binormal(rng, labels, auc, spread)
            return [interval(scores, world) for interval in methods.values()]

        setting = f"AUC {auc}, {PATIENTS} and {CONTROLS}" + (
            ", patients twice as spread" if spread > 1 else ""
        )
        found = each(one, worlds, setting)
        for name, intervals in zip(
            methods, zip(*found, strict=True), strict=True
        ):
            lines.append(
                line(
                    "interval of an AUC",
                    setting,
                    name,
                    [i.low <= auc <= i.high for i in intervals],
                    0.95,
                    [i.high - i.low for i in intervals],
                    "at least"
                    if name == "logit t" and spread == 1 and auc < 0.9
                    else "",
                )
            )
    return pd.DataFrame(lines)


def difference_coverage(worlds, resamples=1000):
    """Does the 95 % interval of a paired difference hold 0 where there is
    none?
    """
    labels, lines = w.people(), []
    for auc in (0.5, 0.85):

        def one(world, auc=auc):
            rng = np.random.default_rng([SEED, 2, int(100 * auc), world])
            shared = rng.normal(size=len(labels)) + ndtri(auc) * 2 * labels
            a, b = (shared + rng.normal(size=len(labels)) for _ in range(2))
            return (
                difference_interval(labels, a, b),
                auc_difference(labels, a, b, None, resamples, world),
            )

        found = zip(*each(one, worlds, f"difference at {auc}"), strict=True)
        for name, intervals in zip(("t", "BCa bootstrap"), found, strict=True):
            lines.append(
                line(
                    "interval of a paired difference",
                    f"both AUC {auc}, correlated .5",
                    name,
                    [i.low <= 0 <= i.high for i in intervals],
                    0.95,
                    [i.high - i.low for i in intervals],
                    "at least" if name == "t" else "",
                )
            )
    return pd.DataFrame(lines)


def population_gap(worlds):
    """Is a gap of .15 between populations found, is its interval right, is
    equivalence safe?
    """
    lines, names = [], f"{sum(MAIN)} and {sum(SECOND)} people"
    for aucs in ((0.85, 0.70), (0.85, 0.85), (0.85, 0.75)):

        def one(world, aucs=aucs):
            rng = np.random.default_rng(
                [SEED, 3, *(int(100 * a) for a in aucs), world]
            )
            groups = [w.people(*size) for size in (MAIN, SECOND)]
            scores = [
                _binormal(rng, y, a) for y, a in zip(groups, aucs, strict=True)
            ]
            second = np.repeat([False, True], [len(y) for y in groups])
            return auc_gap(
                np.concatenate(groups),
                np.concatenate(scores),
                second,
                margin=0.1,
            )

        found = each(one, worlds, f"populations {aucs}")
        truth, setting = (
            aucs[0] - aucs[1],
            f"AUC {aucs[0]} and {aucs[1]}, {names}",
        )
        width = [g.gap.high - g.gap.low for g in found]
        lines.append(
            line(
                "interval of a population gap",
                setting,
                "square and add",
                [g.gap.low <= truth <= g.gap.high for g in found],
                0.95,
                width,
                "at least",
            )
        )
        if truth > 0.12:
            lines.append(
                line(
                    "power for a population gap",
                    setting,
                    "p < .05",
                    [g.p < 0.05 for g in found],
                    0.90,
                    width,
                    "at least",
                )
            )
        # the gap is the margin: size of the test
        claim = "at most" if aucs == (0.85, 0.75) else ""
        lines.append(
            line(
                "equivalence within .1",
                setting,
                "two one-sided tests",
                [g.equivalence_p < 0.05 for g in found],
                0.05,
                width,
                claim,
            )
        )
    return pd.DataFrame(lines)


def repeated_splits(worlds, people=100, splits=20):
    """Two models of equal worth over repeated hold-outs: how often is one
    called better?
    """
    test = people // 5

    def one(world):
        rng = np.random.default_rng([SEED, 4, world])
        x, y = (
            rng.normal(size=(people, 2)),
            np.where(rng.random(people) < 0.5, 1.0, -1.0),
        )
        # two features of equal worth, one for each model
        x += 0.5 * y[:, None]
        values = []
        for _ in range(splits):
            rows = rng.permutation(people)
            seen, held = rows[test:], rows[:test]
            centre = [(x[seen][y[seen] == c].mean(0)) for c in (1.0, -1.0)]
            side = np.sign(
                (x[held] - (centre[0] + centre[1]) / 2)
                * (centre[0] - centre[1])
            )
            right = (side == y[held][:, None]).mean(0)
            values.append(right[0] - right[1])
        return (
            corrected_resampled(values, people - test, test),
            corrected_resampled(values, 10**9, 1),
        )

    names = ("corrected (Nadeau & Bengio)", "splits as if independent")
    found = zip(
        names,
        zip(*each(one, worlds, "repeated splits"), strict=True),
        strict=True,
    )
    return pd.DataFrame(
        [
            line(
                "repeated cross-validation, no difference",
                f"{people} people, {splits} hold-outs of a fifth",
                name,
                [f.p < 0.05 for f in fits],
                0.05,
                [f.high - f.low for f in fits],
                "at most" if name[0] == "c" else "",
            )
            for name, fits in found
        ]
    )


def calibration_line(worlds, resamples=300):
    """Slope and ECE of probabilities that are right, and of ones that are too
    bold.
    """
    lines = []
    for stretch in (1.0, 1.5, 2.0):

        def one(world, stretch=stretch):
            rng = np.random.default_rng([SEED, 5, int(10 * stretch), world])
            odds = 1.5 * rng.normal(size=PATIENTS + CONTROLS) - 1.5
            labels = (rng.random(len(odds)) < expit(odds)).astype(int)
            return calibration(
                labels, expit(stretch * odds), None, 5, resamples, world
            )

        found, truth = (
            each(one, worlds, f"calibration {stretch}"),
            _true_ece(stretch),
        )
        setting = f"{PATIENTS + CONTROLS} people, " + (
            "calibrated" if stretch == 1 else f"odds stretched by {stretch}"
        )
        slopes, eces = (
            [getattr(f, name) for f in found] for name in ("slope", "ece")
        )
        lines.append(
            line(
                "calibration slope",
                setting,
                "Wald",
                [s.low <= 1 / stretch <= s.high for s in slopes],
                0.95,
                [s.high - s.low for s in slopes],
                "at least",
            )
        )
        lines.append(
            line(
                "calibration error (ECE, 5 bins)",
                setting,
                "bootstrap, debiased below",
                [e.low <= truth <= e.high for e in eces],
                0.95,
                [e.high - e.low for e in eces],
                "",
            )
        )
        if stretch == 1:
            lines.append(
                line(
                    "false alarm of the ECE",
                    setting,
                    "beside perfect forecasters",
                    [f.ece_p < 0.05 for f in found],
                    0.05,
                    np.nan,
                    "at most",
                )
            )
    return pd.DataFrame(lines)


def _binormal(rng, labels, auc, patients_spread=1.0):
    """Normal scores of a given true AUC."""
    shift = ndtri(auc) * np.hypot(1, patients_spread)
    noise = rng.normal(size=len(labels))
    return np.where(labels == 1, patients_spread * noise + shift, noise)


def _wald(labels, scores):
    """DeLong's interval as it is usually printed."""
    auc, error = (
        roc_auc(labels, scores),
        delong_covariance(labels, scores)[0, 0] ** 0.5,
    )
    return Interval(auc, auc - 1.96 * error, auc + 1.96 * error, 0.95, "Wald")


def _true_ece(stretch, people=400_000):
    """ECE of the same bins where there are very many people."""
    rng = np.random.default_rng([SEED, 6])
    odds = np.sort(1.5 * rng.normal(size=people) - 1.5)
    off = expit(odds) - expit(stretch * odds)
    return float(
        np.mean([abs(cell.mean()) for cell in np.array_split(off, 5)])
    )
