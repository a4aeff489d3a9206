"""Intervals and tests of scores: an AUC, a difference, a gap between
populations, the calibration of probabilities.
"""

import numpy as np
import pandas as pd
import worlds as w
from scipy.special import expit, ndtri
from worlds import CONTROLS, PATIENTS, SEED, each, line

from mmssl.stats.auc import Interval, roc_auc
from mmssl.stats.bootstrap import auc_interval
from mmssl.stats.calibration import calibration
from mmssl.stats.delong import (
    delong_covariance,
    difference_interval,
    logit_interval,
)
from mmssl.stats.equivalence import auc_gap
from mmssl.stats.intervals import score_interval

# 600 and 200 people in the proportions of the phantom
MAIN, SECOND = (106, 494), (50, 150)


def auc_coverage(worlds, resamples=1000):
    """Does the 95 % interval of an AUC hold the truth, with null labels and
    with a signal?
    """
    labels = w.people()
    lines = []
    for auc, spread in ((0.5, 1), (0.85, 1), (0.85, 2), (0.95, 1)):

        def one(world, auc=auc, spread=spread):
            rng = np.random.default_rng(
                [SEED, 1, int(100 * auc), spread, world]
            )
            scores = _binormal(rng, labels, auc, spread)
            return _intervals_of_all_methods(labels, scores, resamples, world)

        setting = f"AUC {auc}, {PATIENTS} and {CONTROLS}"
        if spread > 1:
            setting += ", patients twice as spread"
        results = each(one, worlds, setting)
        for method in results[0]:
            intervals = [result[method] for result in results]
            stated = method == "logit t" and spread == 1 and auc < 0.9
            lines.append(
                line(
                    "interval of an AUC",
                    setting,
                    method,
                    [_covers(interval, auc) for interval in intervals],
                    0.95,
                    _widths(intervals),
                    "at least" if stated else "",
                )
            )
    return pd.DataFrame(lines)


def _intervals_of_all_methods(labels, scores, resamples, world):
    auc = roc_auc(labels, scores)
    return {
        "logit t": logit_interval(labels, scores),
        "BCa bootstrap": auc_interval(labels, scores, None, resamples, world),
        "DeLong, normal": _wald(labels, scores),
        "score": score_interval(auc, PATIENTS, CONTROLS),
    }


def difference_coverage(worlds):
    """Does the 95 % interval of a paired difference hold 0 where there is
    none?
    """
    labels = w.people()
    lines = []
    for auc in (0.5, 0.85):

        def one(world, auc=auc):
            rng = np.random.default_rng([SEED, 2, int(100 * auc), world])
            shared = rng.normal(size=len(labels)) + ndtri(auc) * 2 * labels
            first = shared + rng.normal(size=len(labels))
            second = shared + rng.normal(size=len(labels))
            return difference_interval(labels, first, second)

        intervals = each(one, worlds, f"difference at {auc}")
        lines.append(
            line(
                "interval of a paired difference",
                f"both AUC {auc}, correlated .5",
                "t",
                [_covers(interval, 0) for interval in intervals],
                0.95,
                _widths(intervals),
                "at least",
            )
        )
    return pd.DataFrame(lines)


def population_gap(worlds):
    """Is a gap of .15 between populations found, does its interval cover, does
    the test of equivalence keep its level?
    """
    lines = []
    for aucs in ((0.85, 0.70), (0.85, 0.85), (0.85, 0.75)):

        def one(world, aucs=aucs):
            percent = [int(100 * auc) for auc in aucs]
            rng = np.random.default_rng([SEED, 3, *percent, world])
            main, second = w.people(*MAIN), w.people(*SECOND)
            scores = [
                _binormal(rng, main, aucs[0]),
                _binormal(rng, second, aucs[1]),
            ]
            return auc_gap(
                np.concatenate([main, second]),
                np.concatenate(scores),
                np.repeat([False, True], [len(main), len(second)]),
                margin=0.1,
            )

        gaps = each(one, worlds, f"populations {aucs}")
        lines += _gap_lines(gaps, aucs)
    return pd.DataFrame(lines)


def _gap_lines(gaps, aucs):
    """Coverage, power and size of the test of equivalence at one gap."""
    truth = aucs[0] - aucs[1]
    setting = (
        f"AUC {aucs[0]} and {aucs[1]}, {sum(MAIN)} and {sum(SECOND)} people"
    )
    width = _widths([each_gap.gap for each_gap in gaps])
    lines = [
        line(
            "interval of a population gap",
            setting,
            "square and add",
            [_covers(each_gap.gap, truth) for each_gap in gaps],
            0.95,
            width,
            "at least",
        )
    ]
    if truth > 0.12:
        lines.append(
            line(
                "power for a population gap",
                setting,
                "p < .05",
                [each_gap.p < 0.05 for each_gap in gaps],
                0.90,
                width,
                "at least",
            )
        )
    # a gap as large as the margin gives the size of the test
    lines.append(
        line(
            "equivalence within .1",
            setting,
            "two one-sided tests",
            [each_gap.equivalence_p < 0.05 for each_gap in gaps],
            0.05,
            width,
            "at most" if aucs == (0.85, 0.75) else "",
        )
    )
    return lines


def calibration_line(worlds, resamples=300):
    """Slope and ECE of probabilities that are right, and of ones that are too
    extreme.
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

        results = each(one, worlds, f"calibration {stretch}")
        lines += _calibration_lines(results, stretch)
    return pd.DataFrame(lines)


def _calibration_lines(results, stretch):
    """Coverage of slope and ECE at one stretch of the odds."""
    truth = _true_ece(stretch)
    odds = "calibrated"
    if stretch > 1:
        odds = f"odds stretched by {stretch}"
    setting = f"{PATIENTS + CONTROLS} people, {odds}"
    slopes = [result.slope for result in results]
    errors = [result.ece for result in results]
    lines = [
        line(
            "calibration slope",
            setting,
            "Wald",
            [_covers(slope, 1 / stretch) for slope in slopes],
            0.95,
            _widths(slopes),
            "at least",
        ),
        line(
            "calibration error (ECE, 5 bins)",
            setting,
            "bootstrap, debiased below",
            [_covers(error, truth) for error in errors],
            0.95,
            _widths(errors),
        ),
    ]
    if stretch == 1:
        lines.append(
            line(
                "false alarm of the ECE",
                setting,
                "beside perfect forecasters",
                [result.ece_p < 0.05 for result in results],
                0.05,
                claim="at most",
            )
        )
    return lines


def _covers(interval, truth):
    return interval.low <= truth <= interval.high


def _widths(intervals):
    return [interval.high - interval.low for interval in intervals]


def _binormal(rng, labels, auc, patients_spread=1.0):
    """Normal scores of a given true AUC."""
    shift = ndtri(auc) * np.hypot(1, patients_spread)
    noise = rng.normal(size=len(labels))
    return np.where(labels == 1, patients_spread * noise + shift, noise)


def _wald(labels, scores):
    """DeLong's interval as it is usually printed."""
    auc = roc_auc(labels, scores)
    error = delong_covariance(labels, scores)[0, 0] ** 0.5
    return Interval(auc, auc - 1.96 * error, auc + 1.96 * error, 0.95, "Wald")


def _true_ece(stretch, people=400_000):
    """ECE of the same bins where there are very many people."""
    rng = np.random.default_rng([SEED, 6])
    odds = np.sort(1.5 * rng.normal(size=people) - 1.5)
    off = expit(odds) - expit(stretch * odds)
    bins = np.array_split(off, 5)
    return float(np.mean([abs(part.mean()) for part in bins]))
