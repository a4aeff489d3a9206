"""How many labels a pretrained network saves: what fine-tuned runs reach on
people held out, beside their network trained from scratch (003, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmssl.evaluate.finetune import CURVE
from mmssl.evaluate.finetuned_runs import SCRATCH, FineTuned
from mmssl.ledger.markup import escaped
from mmssl.stats.auc import Interval, roc_auc
from mmssl.stats.bootstrap import auc_gain_interval, auc_interval
from mmssl.stats.delong import components
from mmssl.stats.dice import dice_coefficient
from mmssl.stats.means import mean_interval

if TYPE_CHECKING:
    import pandas as pd

AUC, DICE = MEASURES = ("AUC", "Dice")

FEWEST_TRAININGS = 3
"""Behind an interval over trainings: of two it says nothing, with a single
degree of freedom.
"""

DIFFERENCE = ("difference", "difference_low", "difference_high", "p")
BOOTSTRAP = ("bootstrap_low", "bootstrap_high")
COMPARISON = ("value", "low", "high", "sd", *DIFFERENCE, "p_corrected")
COLUMNS = (
    "task",
    "measure",
    "model",
    "baseline",
    "ratio",
    "labelled",
    "people",
    "seeds",
    *COMPARISON,
    *BOOTSTRAP,
)


def efficiency_table(
    fits: Sequence[FineTuned],
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """How well each start tells each target at each share of labels.

    Parameters
    ----------
    fits : sequence of FineTuned
    resamples, seed : int
        Of the bootstrap over people.

    Returns
    -------
    DataFrame
        One line per target, ratio and start: task, measure ("AUC" of a class,
        of more than two the macro average; "Dice" of voxels, a mean over
        people who show any), model, baseline (whether from scratch), ratio,
        labelled (people learned from), people (held out, that count), seeds,
        value (mean over people and seeds), low, high (BCa bootstrap over
        people, 95 %; NaN where everybody has the same), sd (over seeds; NaN
        for one), difference to training from scratch on the same people and
        seeds with its interval and p (Student's t, of other people and other
        seeds; with one seed the interval is of other people alone, which says
        nothing of another training, and there is no p), p_corrected (Holm,
        over all lines with a p), and bootstrap_low and bootstrap_high (95 %
        limits of the difference by a paired BCa bootstrap over people, of
        these very trainings; NaN where no resample differs).
        ``attrs["proof"]`` is that of the first.
    """
    import pandas as pd

    lines = []
    for one in fits:
        measure = _dice if one.target.voxelwise else _auc
        seeds = sorted({key[2] for key in one.outputs})
        starts = list(dict.fromkeys(key[0] for key in one.outputs))
        for ratio, labelled in one.labelled.items():
            of_start = {}
            for start in starts:
                outputs = [one.outputs[start, ratio, s] for s in seeds]
                of_start[start] = np.stack(outputs)
            for start, outputs in of_start.items():
                line = {
                    "task": one.target.name,
                    "model": start,
                    "baseline": start == SCRATCH,
                    "ratio": ratio,
                    "labelled": labelled,
                    "seeds": len(seeds),
                }
                line |= measure(
                    one, outputs, of_start[SCRATCH], resamples, seed
                )
                lines.append(line)
    table = against_scratch(pd.DataFrame(lines))[list(COLUMNS)]
    table.attrs["proof"] = fits[0].proof if fits else {}
    return table


def labels_from_scratch(efficiency: pd.DataFrame) -> pd.DataFrame:
    """What more labelled people are worth to training from scratch.

    A network that tells no more with the most than with the fewest was given
    too few steps, and a comparison with it says nothing of what stands beside
    it.

    Parameters
    ----------
    efficiency : DataFrame
        Of `efficiency_table`.

    Returns
    -------
    DataFrame
        One line per task of two shares of labels or more: task, measure, few
        and most (labelled people), at_few and at_most (values), and helped
        (whether the second is the higher).
    """
    import pandas as pd

    lines = []
    scratch = efficiency[efficiency["baseline"].astype(bool)]
    for (task, measure), own in scratch.groupby(
        ["task", "measure"], sort=False
    ):
        own = own.sort_values("labelled")
        if len(own) < 2:
            continue
        few, most = own.iloc[0], own.iloc[-1]
        lines.append(
            {
                "task": task,
                "measure": measure,
                "few": few["labelled"],
                "most": most["labelled"],
                "at_few": few["value"],
                "at_most": most["value"],
                "helped": most["value"] > few["value"],
            }
        )
    return pd.DataFrame(lines)


def worth_of_labels(efficiency: pd.DataFrame) -> str:
    """Say in Markdown what `labels_from_scratch` finds; nothing where it finds
    no line.
    """
    lines = labels_from_scratch(efficiency)
    if not len(lines):
        return ""
    told = []
    for line in lines.itertuples():
        told.append(
            f"from {line.at_few:.2f} to {line.at_most:.2f} {line.measure} on "
            f"*{escaped(line.task)}* ({line.few} and {line.most} people)"
        )
    said = f"With more labels, training from scratch went {', '.join(told)}."
    useless = lines.loc[~lines["helped"], "task"]
    if len(useless):
        said += (
            " **More labels did not help on "
            f"{' and '.join(map(escaped, useless))}: fine-tuning was probably "
            "too short, and a comparison with it means nothing.**"
        )
    return said


def score_table(fits: Sequence[FineTuned]) -> pd.DataFrame:
    """What every fit says of each person held out, where there are two
    classes.

    Returns
    -------
    DataFrame
        One line per fit and person: task, model, ratio, seed, person (a
        number), label, score (log odds).
    """
    import pandas as pd

    lines = []
    for one in fits:
        for (start, ratio, seed), logits in one.outputs.items():
            lines.append(
                pd.DataFrame(
                    {
                        "task": one.target.name,
                        "model": start,
                        "ratio": ratio,
                        "seed": seed,
                        "person": np.arange(len(logits)),
                        "label": one.target.values[one.rows],
                        "score": logits[:, 1] - logits[:, 0],
                    }
                )
            )
    return pd.concat(lines, ignore_index=True)


def curve_table(fits: Sequence[FineTuned]) -> pd.DataFrame:
    """Validation curves of all fits (002, figures 5 and 8).

    Returns
    -------
    DataFrame
        One line per fit and validation: task, model, baseline, ratio, seed,
        step, loss, auc.
    """
    import pandas as pd

    lines = []
    for one in fits:
        for (start, ratio, seed), curve in one.curves.items():
            lines.append(
                pd.DataFrame(curve, columns=list(CURVE)).assign(
                    task=one.target.name,
                    model=start,
                    baseline=start == SCRATCH,
                    ratio=ratio,
                    seed=seed,
                )
            )
    own = ["task", "model", "baseline", "ratio", "seed"]
    return pd.concat(lines, ignore_index=True)[[*own, *CURVE]]


def convergence_table(
    fits: Sequence[FineTuned], share: float = 0.98
) -> pd.DataFrame:
    """How long each start takes to come near its best (002, figure 6).

    Parameters
    ----------
    fits : sequence of FineTuned
        Of classes; voxels have no AUC.
    share : float
        Of the best AUC on validation people, .98 in 002.

    Returns
    -------
    DataFrame
        One line per target, ratio and start: task, model, baseline, ratio,
        seeds, best (largest AUC, a mean over seeds), steps (until the share of
        the fit's own best is first reached, a mean over seeds), low, high
        (Student's t over seeds, 95 %, cut at what is possible; NaN for fewer
        than three), and saved: 1 - steps / those from scratch on the same
        people, a mean over seeds with its interval.
    """
    import pandas as pd

    lines = []
    for one in fits:
        seeds = sorted({key[2] for key in one.curves})
        starts = list(dict.fromkeys(key[0] for key in one.curves))
        for ratio in one.labelled:
            steps = {}
            for start in starts:
                curves = [one.curves[start, ratio, s] for s in seeds]
                steps[start] = np.array([_reached(c, share) for c in curves])
                best = np.mean([np.nanmax(c[:, 2]) for c in curves])
                saved = 1 - steps[start] / steps[SCRATCH]
                mean, low, high = _over_seeds(steps[start])
                # no step is below 0, and no more than all can be saved
                low = np.maximum(low, 0.0)
                gain, gain_low, gain_high = _over_seeds(saved)
                gain_high = np.minimum(gain_high, 1.0)
                is_baseline = start == SCRATCH
                lines.append(
                    {
                        "task": one.target.name,
                        "model": start,
                        "baseline": is_baseline,
                        "ratio": ratio,
                        "seeds": len(seeds),
                        "best": best,
                        "steps": mean,
                        "low": low,
                        "high": high,
                        "saved": np.nan if is_baseline else gain,
                        "saved_low": np.nan if is_baseline else gain_low,
                        "saved_high": np.nan if is_baseline else gain_high,
                    }
                )
    return pd.DataFrame(lines)


def _reached(curve: np.ndarray, share: float) -> float:
    """First step whose AUC is a share of the curve's best."""
    steps, _, aucs = curve.T
    return steps[np.flatnonzero(aucs >= share * np.nanmax(aucs))[0]]


def _over_seeds(values: np.ndarray) -> tuple[float, float, float]:
    """Mean of trainings with its interval by Student's t; none for one or
    two.
    """
    from scipy import stats

    mean, number = float(values.mean()), len(values)
    if number < FEWEST_TRAININGS:
        return mean, np.nan, np.nan
    reach = stats.t.ppf(0.975, number - 1) * values.std(ddof=1)
    reach /= np.sqrt(number)
    return mean, mean - reach, mean + reach


def _auc(one: FineTuned, outputs, scratch, resamples: int, seed: int) -> dict:
    """Of logits (seeds, people, classes)."""
    labels = one.target.values[one.rows]
    scores, baseline = _scores(outputs), _scores(scratch)
    interval = auc_interval(labels, scores, resamples=resamples, seed=seed)
    parts = components(labels, scores, None)
    parts = parts.minus(components(labels, baseline, None))
    aucs = np.array([roc_auc(labels, s) for s in scores])
    others = np.array([roc_auc(labels, s) for s in baseline])
    freedom = parts.freedom if parts.variance > 0 else len(labels) - 1
    gain = auc_gain_interval(
        labels, scores, baseline, resamples=resamples, seed=seed
    )
    return {
        "measure": AUC,
        "people": len(labels),
        **_value(interval, aucs),
        **gain_over_scratch(parts.variance, freedom, aucs - others),
        **_bootstrapped(gain),
    }


def _scores(logits: np.ndarray) -> np.ndarray:
    """(seeds, people) of two classes, else (seeds, classes, people)."""
    if logits.shape[2] == 2:
        return logits[..., 1] - logits[..., 0]
    return logits.transpose(0, 2, 1)


def _dice(one: FineTuned, outputs, scratch, resamples: int, seed: int) -> dict:
    """Of classes (seeds, people, X, Y, Z)."""
    truth = one.target.values[one.rows]
    classes = len(one.target.classes)
    of_seed, baseline = [], []
    for found, beside in zip(outputs, scratch, strict=True):
        of_seed.append(dice_coefficient(found, truth, classes))
        baseline.append(dice_coefficient(beside, truth, classes))
    shows = np.isfinite(of_seed[0])
    values = np.array(of_seed)[:, shows]
    others = np.array(baseline)[:, shows]
    gain = mean_interval((values - others).mean(0), resamples, seed)
    return {
        "measure": DICE,
        "people": values.shape[1],
        **paired(values, others, resamples, seed),
        **_bootstrapped(gain),
    }


def _bootstrapped(gain: Interval) -> dict:
    """Columns of a paired bootstrap's limits."""
    return dict(zip(BOOTSTRAP, (gain.low, gain.high), strict=True))


def paired(
    values: np.ndarray,
    others: np.ndarray,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, float]:
    """Mean of one number a person and training, and its difference to those
    from scratch.

    Parameters
    ----------
    values, others : array, shape (seeds, people)
        Of a start, and from scratch.
    resamples, seed : int
        Of the bootstrap over people.

    Returns
    -------
    dict
        value, low, high, sd, difference, difference_low, difference_high and p
        as of `efficiency_table`.
    """
    gains = (values - others).mean(0)
    n = len(gains)
    interval = mean_interval(values.mean(0), resamples, seed)
    means, beside = values.mean(1), others.mean(1)
    return {
        **_value(interval, means),
        **gain_over_scratch(gains.var(ddof=1) / n, n - 1, means - beside),
    }


def _value(interval: Interval, of_seed: Sequence[float]) -> dict:
    """Columns of a value and its spread over seeds."""
    return {
        "value": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "sd": np.std(of_seed, ddof=1) if len(of_seed) > 1 else np.nan,
    }


def gain_over_scratch(
    variance: float, freedom: float, gains: np.ndarray
) -> dict[str, float]:
    """Columns of a difference to training from scratch.

    People and seeds are drawn independently, so that their variances add up
    (too wide rather than too narrow, as the first holds a part of the second);
    degrees of freedom are Satterthwaite's.

    Parameters
    ----------
    variance : float
        Of the mean gain, over people.
    freedom : float
        Degrees of freedom of that variance.
    gains : array, shape (seeds,)

    Returns
    -------
    dict
        difference, difference_low, difference_high (Student's t, 95 %) and p,
        of other people and other seeds; with one seed of other people alone,
        without a p.
    """
    from scipy import stats

    mean, seeds = float(np.mean(gains)), len(gains)
    squares = variance**2 / freedom
    if seeds > 1:
        of_seeds = float(np.var(gains, ddof=1)) / seeds
        squares += of_seeds**2 / (seeds - 1)
        variance = variance + of_seeds
    low = high = mean
    p = float(mean == 0) if seeds > 1 else np.nan
    if variance > 0:
        t = stats.t(variance**2 / squares)
        reach = t.ppf(0.975) * np.sqrt(variance)
        low, high = mean - reach, mean + reach
        if seeds > 1:
            p = 2 * t.sf(abs(mean) / np.sqrt(variance))
    return {
        "difference": mean,
        "difference_low": low,
        "difference_high": high,
        "p": p,
    }


def against_scratch(table: pd.DataFrame) -> pd.DataFrame:
    """A table in which training from scratch is not compared with itself.

    Parameters
    ----------
    table : DataFrame
        Columns baseline, difference, difference_low, difference_high and p,
        and maybe limits of a bootstrap.

    Returns
    -------
    DataFrame
        The same, without these on lines of the baseline, and p_corrected
        (Holm, over all lines with a p).
    """
    from statsmodels.stats.multitest import multipletests

    table = table.copy()
    columns = [column for column in DIFFERENCE + BOOTSTRAP if column in table]
    table.loc[table["baseline"], columns] = np.nan
    compared = table["p"].notna()
    table["p_corrected"] = np.nan
    if compared.any():
        p = table.loc[compared, "p"].to_numpy()
        corrected = multipletests(p, method="holm")[1]
        table.loc[compared, "p_corrected"] = corrected
    return table
