"""Who is more robust than whom: AUC along each panel, the area under it, and
corrected pairwise comparisons. Where numbers are predicted, R2 takes the place
of the AUC (`mmssl.robustness.measures`).

People are resampled once, within their class, and every model, panel and value
is scored on the same resamples: differences are paired. A reader who compares
15 panels by eye makes hundreds of comparisons; `pairwise_comparisons` makes
them all at once and corrects for their number by the maximum of their
studentised statistics (Westfall & Young 1993).
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from mmssl.robustness import measures
from mmssl.robustness.sweep import UNDISTORTED, Sweep
from mmssl.stats.permutation import permutation_p

if TYPE_CHECKING:
    import pandas as pd

OVERALL = "mean of panels"
NOT_RESOLVED = "not resolved"


class Bootstrap(NamedTuple):
    """ROC-AUC of every point, model and modality, and of every resample of the
    people; or their R2.

    points, models, modalities : as in `mmssl.robustness.sweep.Sweep`.
    values : (points, models, modalities); NaN where less than half of a class
        is left.
    draws : (points, models, modalities, resamples).
    people : (points, modalities), how many were scored.
    classes : people of each class; of numbers, of all.
    measure : "auc" or "r2", what the values are.
    """

    points: pd.DataFrame
    models: tuple[str, ...]
    modalities: tuple[str, ...]
    values: np.ndarray
    draws: np.ndarray
    people: np.ndarray
    classes: tuple[int, ...]
    measure: str


def bootstrap(
    sweep: Sweep, labels, resamples: int = 2000, seed: int = 0
) -> Bootstrap:
    """AUC of a sweep and its resamples, or R2.

    A person whose volume or embedding is not finite for one model is left out
    of that point for all models, so that they are compared on the same people.

    Parameters
    ----------
    sweep : Sweep
    labels : array, shape (people,)
        0 or 1; two people of each at least. Of K classes 0 to K - 1, and of
        numbers float: those that the scores predict.
    resamples : int
        Bootstrap draws, stratified by class.

    Raises
    ------
    ValueError
        Labels of another number than the people, other than 0 to K - 1, of one
        class only, or of one person of a class; numbers that are the same.
    """
    labels = measures.checked_truth(labels, sweep.scores.shape[-1])
    weights = measures.resampled(labels, resamples, seed)
    equal = np.ones((1, len(labels)))
    points, models, modalities = sweep.scores.shape[:3]
    values = np.full((points, models, modalities), np.nan)
    draws = np.full((points, models, modalities, resamples), np.nan)
    people = np.zeros((points, modalities), int)
    for p in range(points):
        for j in range(modalities):
            scores = sweep.scores[p, :, j].astype(np.float64)
            outputs = scores.reshape(-1, len(labels))
            scored = np.isfinite(outputs).all(0)
            people[p, j] = scored.sum()
            if not measures.are_half_scored(labels, scored):
                continue
            chosen = labels[scored], scores[..., scored]
            once = measures.measured(*chosen, equal[:, scored])
            values[p, :, j] = once[:, 0]
            draws[p, :, j] = measures.measured(*chosen, weights[:, scored])
    return Bootstrap(
        sweep.points,
        sweep.models,
        sweep.modalities,
        values,
        draws,
        people,
        measures.sizes(labels),
        measures.name_of(labels),
    )


def curves(boot: Bootstrap, level: float = 0.95) -> pd.DataFrame:
    """AUC at every point with its percentile interval: the panels of figures 2
    and 3.

    Returns
    -------
    DataFrame
        The columns of the points; model, modality, auc (or r2), low, high,
        people. The undistorted point has distortion "none".
    """
    import pandas as pd

    low, high = np.quantile(boot.draws, _limits(level), axis=-1)
    lines = []
    for p, point in enumerate(boot.points.to_dict("records")):
        for j, modality in enumerate(boot.modalities):
            for i, model in enumerate(boot.models):
                line = {
                    **point,
                    "model": model,
                    "modality": modality,
                    boot.measure: boot.values[p, i, j],
                    "low": low[p, i, j],
                    "high": high[p, i, j],
                    "people": boot.people[p, j],
                }
                lines.append(line)
    return pd.DataFrame(lines)


def areas(boot: Bootstrap, level: float = 0.95) -> pd.DataFrame:
    r"""Area under each robustness curve, and what it lost against the
    undistorted AUC.

    .. math:: \frac{1}{v_K - v_1} \int_{v_1}^{v_K} \mathrm{AUC}(v)\, dv

    by trapezoids over the values that could be scored and whose images have
    not collapsed to a few voxels (`mmssl.robustness.sweep.COLLAPSED`): the
    mean AUC of a panel. Intervals are percentiles of the same resamples for
    all.

    Returns
    -------
    DataFrame
        One line per panel ("mean of panels" last), modality and model: panel,
        model, modality, area, low, high, loss (undistorted AUC minus area),
        loss_low, loss_high.
    """
    import pandas as pd

    panels, area, draws = _measured(boot, "area")
    _, gain, gain_draws = _measured(boot, "loss")
    low, high = np.quantile(draws, _limits(level), axis=-1)
    gain_low, gain_high = np.quantile(gain_draws, _limits(level), axis=-1)
    lines = []
    for p, panel in enumerate(panels):
        for j, modality in enumerate(boot.modalities):
            for i, model in enumerate(boot.models):
                line = {
                    "panel": panel,
                    "model": model,
                    "modality": modality,
                    "area": area[p, i, j],
                    "low": low[p, i, j],
                    "high": high[p, i, j],
                    "loss": -gain[p, i, j],
                    "loss_low": -gain_high[p, i, j],
                    "loss_high": -gain_low[p, i, j],
                }
                lines.append(line)
    return pd.DataFrame(lines)


def pairwise_comparisons(
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
    normal to Student's t, of all people minus the number of classes degrees of
    freedom.

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
        robust), low, high (simultaneous), p (corrected), comparison ("first >
        second", "second > first" in their names, or "not resolved").

    Raises
    ------
    ValueError
        For an unknown measure, or fewer than two models.
    """
    import pandas as pd

    if len(boot.models) < 2:
        raise ValueError(
            f"models: {list(boot.models)}, a comparison needs at least two "
            "models"
        )
    names, values, draws = _measured(boot, measure)
    chosen = slice(0, -1) if panels else slice(-1, None)
    names, values, draws = names[chosen], values[chosen], draws[chosen]
    pairs = list(combinations(range(len(boot.models)), 2))
    first, second = np.array(pairs).T
    # (panels, pairs, modalities)
    difference = values[:, first] - values[:, second]
    deviation = draws[:, first] - draws[:, second] - difference[..., None]
    half_widths, p = _simultaneous(difference, deviation, boot.classes, level)
    lines = []
    for k, j, a in np.ndindex(len(names), len(boot.modalities), len(pairs)):
        pair = [boot.models[i] for i in pairs[a]]
        gap, half_width = difference[k, a, j], half_widths[k, a, j]
        line = {
            "modality": boot.modalities[j],
            "panel": names[k],
            "first": pair[0],
            "second": pair[1],
            "difference": gap,
            "low": gap - half_width,
            "high": gap + half_width,
            "p": p[k, a, j],
            "comparison": _comparison(*pair, gap, half_width),
        }
        lines.append(line)
    return pd.DataFrame(lines)


def resolved_pairs(table: pd.DataFrame) -> list[str]:
    """Name the pairs of models that are told apart, and in which panels.

    Parameters
    ----------
    table : DataFrame
        Of `pairwise_comparisons`.

    Returns
    -------
    list of str
        "T1: RR > AE (motion degrees, noise std)", those of most panels first,
        else in the order of the table; without the panels for their mean.
    """
    resolved = table[table["comparison"] != NOT_RESOLVED]
    found: dict[str, list[str]] = {}
    for line in resolved.itertuples():
        # of "module:Class parameter", a distortion of one's own
        panel = line.panel.rpartition(":")[2].replace("_", " ")
        pair = f"{line.modality}: {line.comparison}"
        found.setdefault(pair, []).append(panel)
    pairs = []
    for pair in sorted(found, key=lambda pair: -len(found[pair])):
        panels = [panel for panel in found[pair] if panel != OVERALL]
        pairs.append(f"{pair} ({', '.join(panels)})" if panels else pair)
    return pairs


def _simultaneous(
    difference: np.ndarray,
    deviation: np.ndarray,
    classes: tuple[int, ...],
    level: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Half-widths of simultaneous intervals, and corrected p.

    difference : any shape; NaN where no point of the panel could be scored.
    deviation : the same with resamples last, of each resample from the
        difference.
    """
    error = np.sqrt((deviation**2).mean(-1))
    # equal rankings differ by 0 in every resample
    scale = np.where(error > 0, error, np.inf)
    largest = np.nanmax(np.abs(deviation) / scale[..., None], axis=(0, 1, 2))
    fewest = min(classes)
    widening = np.sqrt(fewest / (fewest - 1))
    freedom = sum(classes) - len(classes)
    critical = student.isf(norm.sf(np.quantile(largest, level)), freedom)
    half_widths = error * widening * critical
    tail = student.sf(np.abs(difference) / (scale * widening), freedom)
    p = permutation_p(norm.isf(tail), largest)
    p[np.isnan(difference)] = np.nan
    return half_widths, p


def _comparison(first: str, second: str, gap: float, half_width: float) -> str:
    """Which of two models is more robust, where the interval leaves out 0."""
    if gap > half_width:
        return f"{first} > {second}"
    if -gap > half_width:
        return f"{second} > {first}"
    return NOT_RESOLVED


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
        undistorted = boot.points["distortion"] == UNDISTORTED
        point = np.flatnonzero(undistorted)[0]
        area = area - boot.values[point]
        draws = draws - boot.draws[point]
    return names, area, draws


def _areas(boot: Bootstrap) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names, areas (panels + 1, models, modalities) and their draws; the last
    is the mean.
    """
    distorted = boot.points[boot.points["distortion"] != UNDISTORTED]
    panels = distorted.groupby(["distortion", "parameter"], sort=False)
    names, area, draws = [], [], []
    for (distortion, parameter), points in panels:
        names.append(f"{distortion} {parameter}")
        value = points["value"].to_numpy()
        along, along_draws = (
            boot.values[points.index],
            boot.draws[points.index],
        )
        weights = np.empty((len(value), len(boot.modalities)))
        is_image = ~points["collapsed"].to_numpy()
        for j in range(len(boot.modalities)):
            scored = is_image & ~np.isnan(along[:, 0, j])
            weights[:, j] = _trapezoid(value, scored)
        along, along_draws = np.nan_to_num(along), np.nan_to_num(along_draws)
        area.append(np.einsum("pj,pij->ij", weights, along))
        draws.append(np.einsum("pj,pijb->ijb", weights, along_draws))
    names.append(OVERALL)
    area.append(np.nanmean(np.stack(area), 0))
    draws.append(np.nanmean(np.stack(draws), 0))
    return names, np.stack(area), np.stack(draws)


def _trapezoid(values: np.ndarray, scored: np.ndarray) -> np.ndarray:
    """Weights of a panel's values that give the mean over their range; NaN if
    none was scored.
    """
    if not scored.any():
        return np.full(len(values), np.nan)
    weights = np.zeros(len(values))
    points = values[scored]
    widths = np.ones(len(points))
    if points[-1] > points[0]:
        steps = np.diff(points)
        widths = (np.r_[0, steps] + np.r_[steps, 0]) / 2
    weights[scored] = widths / widths.sum()
    return weights


def _limits(level: float) -> list[float]:
    """The two quantiles of a percentile interval."""
    return [0.5 - level / 2, 0.5 + level / 2]
