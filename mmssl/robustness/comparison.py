"""Who is more robust than whom: AUC along each panel, the area under it, and a
corrected verdict.

People are resampled once, within their class, and every model, panel and value
is scored on the same resamples: differences are paired. A reader who compares
15 panels by eye makes hundreds of comparisons; the verdict makes them all at
once and corrects for their number by the maximum of their studentised
statistics (Westfall & Young 1993).
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from mmssl.robustness.sweep import CLEAN, Sweep

if TYPE_CHECKING:
    import pandas as pd

OVERALL = "mean of panels"


class Bootstrap(NamedTuple):
    """ROC-AUC of every point, model and modality, and of every resample of the
    people.

    points, rows, modalities : as in `mmssl.robustness.sweep.Sweep`.
    auc : (points, rows, modalities); NaN where less than half of a class is
        left.
    draws : (points, rows, modalities, resamples).
    people : (points, modalities), how many were scored.
    classes : people of each class.
    """

    points: pd.DataFrame
    rows: tuple[str, ...]
    modalities: tuple[str, ...]
    auc: np.ndarray
    draws: np.ndarray
    people: np.ndarray
    classes: tuple[int, int]


def bootstrap(
    sweep: Sweep, labels, resamples: int = 2000, seed: int = 0
) -> Bootstrap:
    """AUC of a sweep and its resamples.

    A person whose volume or embedding is not finite for one model is left out
    of that point for all models, so that they are compared on the same people.

    Parameters
    ----------
    sweep : Sweep
    labels : array, shape (people,)
        0 or 1; two people of each at least.
    resamples : int
        Bootstrap draws, stratified by class.

    Raises
    ------
    ValueError
        Labels of another number than the people, other than 0 and 1, or of one
        class only.
    """
    labels = _checked(labels, sweep.scores.shape[-1])
    counts = resample(labels, resamples, seed)
    shape = sweep.scores.shape[:3]
    auc, draws = np.full(shape, np.nan), np.full((*shape, resamples), np.nan)
    people = np.zeros((shape[0], shape[2]), int)
    for p in range(shape[0]):
        for j in range(shape[2]):
            scores = sweep.scores[p, :, j].astype(np.float64)
            kept = np.isfinite(scores).all(0)
            people[p, j] = kept.sum()
            left = [
                (kept & (labels == c)).sum() / (labels == c).sum()
                for c in (0, 1)
            ]
            if min(left) >= 0.5:
                auc[p, :, j] = aucs(
                    labels[kept], scores[:, kept], np.ones((1, kept.sum()))
                )[:, 0]
                draws[p, :, j] = aucs(
                    labels[kept], scores[:, kept], counts[:, kept]
                )
    classes = tuple(np.bincount(labels).tolist())
    return Bootstrap(
        sweep.points, sweep.rows, sweep.modalities, auc, draws, people, classes
    )


def resample(labels: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """How often each person is drawn, (resamples, people), as many of each
    class as there are.
    """
    rng = np.random.default_rng(seed)
    counts = np.zeros((resamples, len(labels)))
    for c in (0, 1):
        members = np.flatnonzero(labels == c)
        chances = np.full(len(members), 1 / len(members))
        counts[:, members] = rng.multinomial(
            len(members), chances, size=resamples
        )
    return counts


def aucs(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    r"""Weighted AUC of several scores under many weightings at once, (k, R).

    .. math:: A = \frac{\sum_{i \in 1} \sum_{j \in 0} w_i w_j
        \bigl([s_i > s_j] + \tfrac12 [s_i = s_j]\bigr)}{\sum_i w_i \sum_j w_j}

    Parameters
    ----------
    labels : array, shape (n,)
    scores : array, shape (k, n)
    weights : array, shape (R, n)
        A weighting without anybody of a class gets the AUC of equal weights.
    """
    one, zero = labels == 1, labels == 0
    first, second = scores[:, one, None], scores[:, None, zero]
    won = (first > second) + 0.5 * (first == second)  # (k, n1, n0)
    w1, w0 = weights[:, one], weights[:, zero]
    pairs = w1.sum(1) * w0.sum(1)
    found = ((w1 @ won) * w0).sum(-1) / np.where(pairs > 0, pairs, 1)
    return np.where(pairs > 0, found, won.mean((1, 2))[:, None])


def curves(boot: Bootstrap, level: float = 0.95) -> pd.DataFrame:
    """AUC at every point with its percentile interval: the panels of figures 2
    and 3.

    Returns
    -------
    DataFrame
        The columns of the points; row, modality, auc, low, high, people. The
        undistorted point has distortion "none".
    """
    import pandas as pd

    low, high = np.quantile(
        boot.draws, [0.5 - level / 2, 0.5 + level / 2], axis=-1
    )
    lines = []
    for p, point in enumerate(boot.points.to_dict("records")):
        for j, m in enumerate(boot.modalities):
            lines += [
                {
                    **point,
                    "model": row,
                    "modality": m,
                    "auc": boot.auc[p, i, j],
                    "low": low[p, i, j],
                    "high": high[p, i, j],
                    "people": boot.people[p, j],
                }
                for i, row in enumerate(boot.rows)
            ]
    return pd.DataFrame(lines)


def areas(boot: Bootstrap, level: float = 0.95) -> pd.DataFrame:
    r"""Area under each robustness curve, and what it lost against the
    undistorted AUC.

    .. math:: \frac{1}{v_K - v_1} \int_{v_1}^{v_K} \mathrm{AUC}(v)\, dv

    by trapezoids over the values that could be scored: the mean AUC of a
    panel. Intervals are percentiles of the same resamples for all.

    Returns
    -------
    DataFrame
        One line per panel ("mean of panels" last), row and modality: panel,
        row, modality, area, low, high, loss (undistorted AUC minus area),
        loss_low, loss_high.
    """
    import pandas as pd

    names, area, draws = _areas(boot)
    _, loss, loss_draws = _measured(boot, "loss")
    limits = [0.5 - level / 2, 0.5 + level / 2]
    low, high = np.quantile(draws, limits, axis=-1)
    loss_low, loss_high = np.quantile(loss_draws, limits, axis=-1)
    return pd.DataFrame(
        [
            {
                "panel": name,
                "model": row,
                "modality": m,
                "area": area[p, i, j],
                "low": low[p, i, j],
                "high": high[p, i, j],
                "loss": -loss[p, i, j],
                "loss_low": -loss_high[p, i, j],
                "loss_high": -loss_low[p, i, j],
            }
            for p, name in enumerate(names)
            for j, m in enumerate(boot.modalities)
            for i, row in enumerate(boot.rows)
        ]
    )


def verdict(
    boot: Bootstrap,
    measure: str = "area",
    panels: bool = False,
    level: float = 0.95,
) -> pd.DataFrame:
    r"""Who is more robust than whom, corrected for all the comparisons in the
    table.

    For each pair of models, modality and panel, the difference D of areas is
    divided by its bootstrap standard error; with the maximum over the whole
    table in each resample b,

    .. math:: p = \frac{1 + \#\{b : \max |D^*_b - D| / s \ge |D| / s\}}{1 + B},

    and D ± c s with c the `level` quantile of that maximum holds for all lines
    at once. A bootstrap of few people is too sure of itself: s is widened by
    sqrt(n / (n - 1)), n the people of the smaller class, and c moves from the
    normal to Student's t, of all people minus 2 degrees of freedom.

    Parameters
    ----------
    boot : Bootstrap
    measure : {"area", "loss"}
        Mean AUC over a panel, or that minus the undistorted AUC: who *is*
        better under distortion, or who loses less by it. A model that is at
        chance loses nothing.
    panels : bool
        A line for each panel, instead of one for their mean.

    Returns
    -------
    DataFrame
        modality, panel, first, second, difference (positive: the first is more
        robust), low, high (simultaneous), p (corrected), verdict ("first >
        second", "second > first" in their names, or "not resolved").

    Raises
    ------
    ValueError
        For an unknown measure, or fewer than two models.
    """
    import pandas as pd

    if len(boot.rows) < 2:
        raise ValueError(
            f"rows: {list(boot.rows)}, a verdict compares at least two models"
        )
    names, values, draws = _measured(boot, measure)
    chosen = slice(0, -1) if panels else slice(-1, None)
    names, values, draws = names[chosen], values[chosen], draws[chosen]
    pairs = list(combinations(range(len(boot.rows)), 2))
    first, second = np.array(pairs).T
    # (panels, pairs, modalities)
    difference = values[:, first] - values[:, second]
    spread = draws[:, first] - draws[:, second] - difference[..., None]
    error = np.sqrt((spread**2).mean(-1))
    # equal rankings differ by 0 in every resample
    scale = np.where(error > 0, error, np.inf)
    most = np.nanmax(np.abs(spread) / scale[..., None], axis=(0, 1, 2))
    freedom, wider = (
        sum(boot.classes) - 2,
        np.sqrt(min(boot.classes) / (min(boot.classes) - 1)),
    )
    half_widths = (
        error * wider * student.isf(norm.sf(np.quantile(most, level)), freedom)
    )
    statistic = norm.isf(
        student.sf(np.abs(difference) / (scale * wider), freedom)
    )
    p = (1 + (most >= statistic[..., None]).sum(-1)) / (1 + len(most))
    p[np.isnan(difference)] = np.nan  # no point of the panel could be scored
    lines = []
    for k, j, a in np.ndindex(len(names), len(boot.modalities), len(pairs)):
        one, other = (boot.rows[i] for i in pairs[a])
        gap, half = difference[k, a, j], half_widths[k, a, j]
        said = {1: f"{one} > {other}", -1: f"{other} > {one}"}.get(
            np.sign(gap) * (abs(gap) > half), "not resolved"
        )
        lines.append(
            {
                "modality": boot.modalities[j],
                "panel": names[k],
                "first": one,
                "second": other,
                "difference": gap,
                "low": gap - half,
                "high": gap + half,
                "p": p[k, a, j],
                "verdict": said,
            }
        )
    return pd.DataFrame(lines)


def _areas(boot: Bootstrap) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names, areas (panels + 1, rows, modalities) and their draws; the last is
    the mean.
    """
    panels = boot.points[boot.points["distortion"] != CLEAN].groupby(
        ["distortion", "parameter"], sort=False
    )
    names, area, draws = [], [], []
    for (distortion, parameter), lines in panels:
        names.append(f"{distortion} {parameter}")
        auc, drawn = boot.auc[lines.index], boot.draws[lines.index]
        weights = np.stack(
            [
                _trapezoid(lines["value"].to_numpy(), ~np.isnan(auc[:, 0, j]))
                for j in range(auc.shape[2])
            ],
            1,
        )
        area.append(np.einsum("pj,pij->ij", weights, np.nan_to_num(auc)))
        draws.append(np.einsum("pj,pijb->ijb", weights, np.nan_to_num(drawn)))
    area, draws = np.stack(area), np.stack(draws)
    area = np.concatenate([area, np.nanmean(area, 0, keepdims=True)])
    return (
        [*names, OVERALL],
        area,
        np.concatenate([draws, np.nanmean(draws, 0, keepdims=True)]),
    )


def _measured(
    boot: Bootstrap, measure: str
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """As `_areas`; for "loss" minus the undistorted AUC, so that larger is
    still better.
    """
    if measure not in ("area", "loss"):
        raise ValueError(f"measure={measure!r}, expected 'area' or 'loss'")
    names, area, draws = _areas(boot)
    if measure == "loss":
        clean = np.flatnonzero(boot.points["distortion"] == CLEAN)[0]
        area, draws = area - boot.auc[clean], draws - boot.draws[clean]
    return names, area, draws


def _trapezoid(values: np.ndarray, scored: np.ndarray) -> np.ndarray:
    """Weights of a panel's values that give the mean over their range; NaN if
    none was scored.
    """
    weights = np.zeros(len(values))
    if not scored.any():
        return np.full(len(values), np.nan)
    at = values[scored]
    steps = np.diff(at)
    inner = (
        (np.r_[0, steps] + np.r_[steps, 0]) / 2
        if at[-1] > at[0]
        else np.ones(len(at))
    )
    weights[scored] = inner / inner.sum()
    return weights


def _checked(labels, people: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.shape != (people,):
        raise ValueError(
            f"labels: shape {labels.shape}, expected ({people},) as the scores"
        )
    found = np.unique(labels).tolist()
    if found != [0, 1]:
        raise ValueError(
            f"labels: classes {found}, expected 0 and 1: one class has no AUC"
        )
    if min(np.bincount(labels)) < 2:
        raise ValueError(
            f"labels: {np.bincount(labels).tolist()} people of the classes, expected "
            "at least two of each"
        )
    return labels
