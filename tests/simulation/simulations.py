"""Are the intervals and tests what they say? Worlds in which the truth is known, at any size.

Each function draws worlds from a seed fixed here before anything was looked at, applies what a page
of the book applies, and returns one line per method and setting: how often it was right, with the
exact binomial 99 % interval of that share, the width of the intervals it paid, and whether the
claim beside it holds. `CLAIMS` are checked by the tests; the other lines are there to compare.
"""

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from scipy.special import expit, ndtri
from scipy.stats import binomtest
from tqdm.auto import tqdm

from mmssl import adjusted, calibration, confounds, groupmaps, stats

SEED = 20240521
PATIENTS, CONTROLS = 22, 66  # the hold-out of "Taxonomy"
MAIN, SECOND = (106, 494), (50, 150)  # 600 and 200 people in the proportions of the phantom


def line(simulation, setting, method, right, expected, width=np.nan, claim=""):
    """One line of the table; `right` is one bool a world, `expected` the share promised."""
    right = np.asarray(right)
    limits = binomtest(int(right.sum()), len(right)).proportion_ci(0.99, "exact")
    holds = {"at least": limits.high >= expected, "at most": limits.low <= expected}.get(claim)
    return {"simulation": simulation, "setting": setting, "method": method, "worlds": len(right),
            "share": right.mean(), "low": limits.low, "high": limits.high, "claim": claim,
            "promised": expected, "holds": holds, "width": float(np.mean(width))}  # fmt: skip


def _people(positives=PATIENTS, negatives=CONTROLS):
    return (np.arange(positives + negatives) < positives).astype(int)


def _binormal(rng, labels, auc, patients_spread=1.0):
    """Normal scores of a given true AUC."""
    shift = ndtri(auc) * np.hypot(1, patients_spread)
    noise = rng.normal(size=len(labels))
    return np.where(labels == 1, patients_spread * noise + shift, noise)


def _wald(labels, scores):
    """DeLong's interval as it is usually printed."""
    auc, error = stats.roc_auc(labels, scores), stats.delong_covariance(labels, scores)[0, 0] ** 0.5
    return stats.Interval(auc, auc - 1.96 * error, auc + 1.96 * error, 0.95, "Wald")


def auc_coverage(worlds, resamples=1000):
    """Does the 95 % interval of an AUC hold the truth, with null labels and with a signal?"""
    labels, lines = _people(), []
    methods = {
        "logit t": lambda s, w: stats.logit_interval(labels, s),
        "BCa bootstrap": lambda s, w: stats.auc_interval(labels, s, None, resamples, w),
        "DeLong, normal": lambda s, w: _wald(labels, s),
        "score": lambda s, w: stats.score_interval(stats.roc_auc(labels, s), PATIENTS, CONTROLS),
    }
    for auc, spread in ((0.5, 1), (0.85, 1), (0.85, 2), (0.95, 1)):
        setting = f"AUC {auc}, {PATIENTS} and {CONTROLS}" + (", patients twice as spread"
                                                             if spread > 1 else "")
        found = {name: [] for name in methods}
        for world in tqdm(range(worlds), desc=setting, leave=False):
            rng = np.random.default_rng([SEED, 1, int(100 * auc), spread, world])
            scores = _binormal(rng, labels, auc, spread)
            for name, interval in methods.items():
                found[name].append(interval(scores, world))
        for name, intervals in found.items():
            lines.append(line(
                "interval of an AUC", setting, name, [i.low <= auc <= i.high for i in intervals],
                0.95, [i.high - i.low for i in intervals],
                "at least" if name == "logit t" and spread == 1 and auc < 0.9 else ""))
    return pd.DataFrame(lines)


def difference_coverage(worlds, resamples=1000):
    """Does the 95 % interval of a paired difference hold 0 where there is none?"""
    labels, lines = _people(), []
    for auc in (0.5, 0.85):
        found = {"t": [], "BCa bootstrap": []}
        for world in tqdm(range(worlds), desc=f"difference at {auc}", leave=False):
            rng = np.random.default_rng([SEED, 2, int(100 * auc), world])
            shared = rng.normal(size=len(labels)) + ndtri(auc) * 2 * labels
            a, b = (shared + rng.normal(size=len(labels)) for _ in range(2))
            found["t"].append(stats.difference_interval(labels, a, b))
            found["BCa bootstrap"].append(
                stats.auc_difference(labels, a, b, None, resamples, world))
        for name, intervals in found.items():
            lines.append(line(
                "interval of a paired difference", f"both AUC {auc}, correlated .5", name,
                [i.low <= 0 <= i.high for i in intervals], 0.95,
                [i.high - i.low for i in intervals], "at least" if name == "t" else ""))
    return pd.DataFrame(lines)


def population_gap(worlds):
    """Is a gap of .15 between populations found, is its interval right, is equivalence safe?"""
    lines, names = [], f"{sum(MAIN)} and {sum(SECOND)} people"
    for aucs in ((0.85, 0.70), (0.85, 0.85), (0.85, 0.75)):
        found = []
        for world in tqdm(range(worlds), desc=f"populations {aucs}", leave=False):
            rng = np.random.default_rng([SEED, 3, *(int(100 * a) for a in aucs), world])
            groups = [_people(*size) for size in (MAIN, SECOND)]
            scores = [_binormal(rng, y, a) for y, a in zip(groups, aucs, strict=True)]
            second = np.repeat([False, True], [len(y) for y in groups])
            found.append(stats.auc_gap(np.concatenate(groups), np.concatenate(scores), second,
                                       margin=0.1))
        truth, setting = aucs[0] - aucs[1], f"AUC {aucs[0]} and {aucs[1]}, {names}"
        width = [g.gap.high - g.gap.low for g in found]
        lines.append(line("interval of a population gap", setting, "square and add",
                          [g.gap.low <= truth <= g.gap.high for g in found], 0.95, width,
                          "at least"))
        if truth > 0.12:
            lines.append(line("power for a population gap", setting, "p < .05",
                              [g.p < 0.05 for g in found], 0.90, width, "at least"))
        claim = "at most" if aucs == (0.85, 0.75) else ""  # the gap is the margin: size of the test
        lines.append(line("equivalence within .1", setting, "two one-sided tests",
                          [g.equivalence_p < 0.05 for g in found], 0.05, width, claim))
    return pd.DataFrame(lines)


def repeated_splits(worlds, people=100, splits=20):
    """Two models of equal worth over repeated hold-outs: how often is one called better?"""
    test, found = people // 5, {"corrected (Nadeau & Bengio)": [], "splits as if independent": []}
    for world in tqdm(range(worlds), desc="repeated splits", leave=False):
        rng = np.random.default_rng([SEED, 4, world])
        x, y = rng.normal(size=(people, 2)), np.where(rng.random(people) < 0.5, 1.0, -1.0)
        x += 0.5 * y[:, None]  # two features of equal worth, one for each model
        values = []
        for _ in range(splits):
            rows = rng.permutation(people)
            seen, held = rows[test:], rows[:test]
            centre = [(x[seen][y[seen] == c].mean(0)) for c in (1.0, -1.0)]
            side = np.sign((x[held] - (centre[0] + centre[1]) / 2) * (centre[0] - centre[1]))
            right = (side == y[held][:, None]).mean(0)
            values.append(right[0] - right[1])
        fits = (stats.corrected_resampled(values, people - test, test),
                stats.corrected_resampled(values, 10**9, 1))
        for name, fit in zip(found, fits, strict=True):
            found[name].append(fit)
    return pd.DataFrame([
        line("repeated cross-validation, no difference",
             f"{people} people, {splits} hold-outs of a fifth", name, [f.p < 0.05 for f in fits],
             0.05, [f.high - f.low for f in fits], "at most" if name[0] == "c" else "")
        for name, fits in found.items()])  # fmt: skip


def calibration_line(worlds, resamples=300):
    """Slope and ECE of probabilities that are right, and of ones that are too bold."""
    lines = []
    for stretch in (1.0, 1.5, 2.0):
        found, truth = [], _true_ece(stretch)
        for world in tqdm(range(worlds), desc=f"calibration {stretch}", leave=False):
            rng = np.random.default_rng([SEED, 5, int(10 * stretch), world])
            odds = 1.5 * rng.normal(size=PATIENTS + CONTROLS) - 1.5
            labels = (rng.random(len(odds)) < expit(odds)).astype(int)
            found.append(calibration.calibration(labels, expit(stretch * odds), None, 5, resamples,
                                                 world))
        setting = f"{PATIENTS + CONTROLS} people, " + (
            "calibrated" if stretch == 1 else f"odds stretched by {stretch}")
        slopes, eces = ([getattr(f, name) for f in found] for name in ("slope", "ece"))
        lines.append(line("calibration slope", setting, "Wald",
                          [s.low <= 1 / stretch <= s.high for s in slopes], 0.95,
                          [s.high - s.low for s in slopes], "at least"))
        lines.append(line("calibration error (ECE, 5 bins)", setting, "bootstrap, debiased below",
                          [e.low <= truth <= e.high for e in eces], 0.95,
                          [e.high - e.low for e in eces], ""))
        if stretch == 1:
            lines.append(line("false alarm of the ECE", setting, "beside perfect forecasters",
                              [f.ece_p < 0.05 for f in found], 0.05, np.nan, "at most"))
    return pd.DataFrame(lines)


def _true_ece(stretch, people=400_000):
    """ECE of the same bins where there are very many people."""
    rng = np.random.default_rng([SEED, 6])
    odds = np.sort(1.5 * rng.normal(size=people) - 1.5)
    off = expit(odds) - expit(stretch * odds)
    return float(np.mean([abs(cell.mean()) for cell in np.array_split(off, 5)]))


def covariate_in_noise(worlds, resamples=99):
    """How often does a representation of nothing seem to tell age or sex?"""
    found = {"age": [], "sex": []}
    for world in tqdm(range(worlds), desc="covariates", leave=False):
        rng = np.random.default_rng([SEED, 7, world])
        table = pd.DataFrame({"age": rng.normal(70, 8, 120), "sex": rng.choice(["F", "M"], 120)})
        lines = confounds.predicted(rng.normal(size=(120, 8)), table, np.arange(80),
                                    np.arange(80, 120), resamples, world)
        for name, p in zip(lines["covariate"], lines["p"], strict=True):
            found[name].append(p <= 0.05)
    return pd.DataFrame([
        line("covariate told by noise", "80 to learn from, 40 tested", name, right, 0.05, np.nan,
             "at most") for name, right in found.items()])  # fmt: skip


def false_voxels(worlds, permutations=199, side=12):
    """How often does a map of two groups of nobody in particular hold a voxel with p < .05?"""
    labels = _people(11, 33)
    corrected, each = [], []
    for world in tqdm(range(worlds), desc="null maps", leave=False):
        rng = np.random.default_rng([SEED, 8, world])
        noise = rng.normal(size=(len(labels), side, side, side)).astype(np.float32)
        maps = gaussian_filter(noise, (0, 1.5, 1.5, 1.5)).reshape(len(labels), -1)
        p = groupmaps.max_statistic_test(maps, labels, permutations, world, progress=False)
        corrected.append((p <= 0.05).any())
        each.append((groupmaps.rank_biserial(maps[labels == 1], maps[labels == 0]).p < 0.05).any())
    setting = f"11 and 33 people, {side}^3 smooth voxels"
    return pd.DataFrame([
        line("a false voxel anywhere", setting, "max-|RBC|", corrected, 0.05, np.nan, "at most"),
        line("a false voxel anywhere", setting, "uncorrected", each, 0.05)])


def covariate_behind_groups(worlds, permutations=199, voxels=60, people=44):
    """Groups that differ in age, maps that follow age alone: a voxel with p < .05?"""
    found = {"Freedman-Lane": [], "labels permuted": []}
    for world in tqdm(range(worlds), desc="age behind groups", leave=False):
        rng = np.random.default_rng([SEED, 10, world])
        age = rng.normal(size=people)
        order = np.argsort(age + rng.normal(size=people))
        labels = np.isin(np.arange(people), order[-PATIENTS // 2:])
        maps = rng.normal(size=(people, voxels)) + 0.6 * age[:, None]
        adjust = adjusted.freedman_lane(maps, labels, age, permutations, world, progress=False)
        plain = groupmaps.max_statistic_test(maps, labels, permutations, world, progress=False)
        for name, p in zip(found, (adjust.corrected, plain), strict=True):
            found[name].append((p <= 0.05).any())
    setting = f"{people} people, patients older, {voxels} voxels that follow age"
    return pd.DataFrame([
        line("a false voxel with a covariate", setting, name, right, 0.05, np.nan,
             "at most" if name[0] == "F" else "") for name, right in found.items()])  # fmt: skip


def scans_across_folds(worlds, people=60, scans=5, dimensions=16):
    """Null labels, several scans a person: the AUC that a split by scan invents."""
    rows, found = np.repeat(np.arange(people), scans), {"by person": [], "by scan": []}
    for world in tqdm(range(worlds), desc="scan-wise splits", leave=False):
        rng = np.random.default_rng([SEED, 9, world])
        labels = rng.permutation(np.arange(people) % 2)[rows]
        z = rng.normal(size=(people, dimensions))[rows]
        z = z + 0.3 * rng.normal(size=z.shape)
        held = {"by person": np.isin(rows, rng.choice(people, people // 5, replace=False)),
                "by scan": rng.random(len(rows)) < 0.2}
        for name, test in held.items():
            # the nearest scan's label: an encoder that remembers faces needs no more
            near = ((z[test][:, None] - z[~test][None]) ** 2).sum(2).argmin(1)
            guess = labels[~test][near] + 1e-6 * rng.normal(size=int(test.sum()))
            auc = stats.roc_auc(labels[test], guess) if np.ptp(labels[test]) else 0.5
            found[name].append(auc)
    setting = f"null labels, {people} people of {scans} scans"
    return pd.DataFrame([
        line("AUC above .75 where nothing is to be found", setting, f"split {name}",
             np.array(aucs) > 0.75, 0.05, np.nan) | {"mean_auc": np.mean(aucs)}
        for name, aucs in found.items()])  # fmt: skip


SIMULATIONS = {  # worlds at full size
    auc_coverage: 2000, difference_coverage: 1000, population_gap: 1000, repeated_splits: 2000,
    calibration_line: 1000, covariate_in_noise: 300, false_voxels: 1000,
    covariate_behind_groups: 1000, scans_across_folds: 200,
}  # fmt: skip


def everything(share=1.0, least=20):
    """All simulations at a share of their full size, as one table."""
    sizes = {run: max(least, round(share * full)) for run, full in SIMULATIONS.items()}
    return pd.concat([run(worlds) for run, worlds in sizes.items()], ignore_index=True)
