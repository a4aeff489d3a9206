"""How many labels a pretrained network saves: fine-tuned on shares of the
labelled people, beside the same network trained from scratch (003, section 4).

Every start is fine-tuned on the same people, in the same order, under the same
schedule, several times with other heads and other subsets of people; each is
compared with training from scratch on the people who are held out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from mmssl.evaluate.finetune import (
    CURVE,
    People,
    Schedule,
    Target,
    finetune,
    labelled_subset,
    predict,
    task_network,
)
from mmssl.evaluate.probability_deviation import relative_deviations
from mmssl.ledger import atomic, leakage, locks
from mmssl.ledger.code import fingerprint
from mmssl.ledger.hashes import hash_array, hash_file, hash_json
from mmssl.ledger.kept import is_kept, kept
from mmssl.preprocessing.network_inputs import standardised
from mmssl.pretrain.encoders import load_weights
from mmssl.stats.auc import Interval, roc_auc
from mmssl.stats.bootstrap import auc_interval
from mmssl.stats.delong import components
from mmssl.stats.dice import dice_coefficient
from mmssl.stats.means import mean_interval

if TYPE_CHECKING:
    import pandas as pd

SCRATCH = "from scratch"
SOURCE, SHIFT = POPULATIONS = ("source", "shift")
AUC, DICE = MEASURES = ("AUC", "Dice")

COMPARISON = (
    "value",
    "low",
    "high",
    "sd",
    "difference",
    "difference_low",
    "difference_high",
    "p",
    "p_corrected",
)
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
)


@dataclass(frozen=True)
class FineTuned:
    """What fine-tuned networks say of the people held out.

    Attributes
    ----------
    target : Target
    rows : array of int
        Of pairs.tsv: the people held out.
    outputs : dict
        (start, ratio, seed) -> logits (people, classes), or the class of each
        voxel (people, X, Y, Z).
    labelled : dict
        ratio -> how many people were learned from.
    curves : dict
        (start, ratio, seed) -> validation curve, (validations, 3), as of
        `mmssl.evaluate.finetune.finetune`.
    proof : dict
        Of `mmssl.ledger.leakage.prove`.
    perturbed : array of int
        Places in ``rows`` of those whose images were also transformed.
    deviations : dict
        (start, largest ratio, seed) -> their relative deviations, (kinds,
        people, transforms), as of
        `mmssl.evaluate.probability_deviation.relative_deviations`; empty where
        nobody was asked for.
    """

    target: Target
    rows: np.ndarray
    outputs: Mapping[tuple[str, float, int], np.ndarray]
    labelled: Mapping[float, int]
    curves: Mapping[tuple[str, float, int], np.ndarray]
    proof: dict = field(default_factory=dict)
    perturbed: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    deviations: Mapping[tuple[str, float, int], np.ndarray] = field(
        default_factory=dict
    )


def fine_tuned(
    cohort,
    starts: Mapping[str, Path],
    target: Target,
    modality: str,
    folder: str | Path,
    ratios: Sequence[float] = (0.1, 1.0),
    seeds: Sequence[int] = (0,),
    fold: int = 0,
    schedule: Schedule | None = None,
    population: str = SOURCE,
    jobs: int = 1,
    progress: bool = True,
    auxiliary: Sequence[Target] = (),
    perturbed: int = 0,
    transforms: int = 50,
) -> FineTuned:
    """Fine-tune runs, and their network from scratch, at several shares of the
    labelled people.

    Finished fits are kept in ``folder``, so that what was stopped continues.

    Parameters
    ----------
    cohort : Cohort
    starts : {name: run folder}
        Runs of the cohort's fold; the network from scratch and the intensity
        landmarks are those of the first.
    target : Target
        Of the cohort's first task; only people with a label of it take part.
    modality : str
    folder : path
    ratios : sequence of float
        Shares of the labelled training people.
    seeds : sequence of int
        Of the subsets, the heads and the order.
    fold : int
    schedule : Schedule, optional
    population : {"source", "shift"}
        Who is learned from and tested on: people of the population that the
        starts were pretrained on, or of the second one, whom no start has seen
        (003, figure 4: pretrained on one data set, fine-tuned on another).
    jobs : int
        Fits side by side, in processes.
    auxiliary : sequence of Target
        What every fit learns beside the target.
    perturbed : int
        People held out, drawn at random and the same for all fits, whose
        images the fits of the largest share also see transformed, at most
        all; 50 in 002. Networks are not kept, so that fits of that share made
        without are made again. It costs each of these fits three predictions a
        person and transform: 7,500 for 50 and 50.
    transforms : int
        Of each of their images and each kind.

    Raises
    ------
    ValueError
        Before any fit: no start, an unknown modality or population, a number
        of perturbed people that is 1 or below 0, no transforms of them, or a
        target of voxels or more than two classes; as
        `mmssl.evaluate.finetune.finetune`.
    LeakError
        If somebody held out was seen by a start.
    mmssl.ledger.locks.LockedError
        When another process is at work in the folder.
    """
    if not starts:
        raise ValueError("no run to fine-tune, expected one at least")
    schedule = schedule or Schedule()
    labels = cohort.labels()
    people = labelled_people(cohort, modality, fold, population)
    drawn = _drawn(target, people, perturbed, transforms, fold)
    proof = proof_of_starts(cohort, starts, people, fold)
    first = next(iter(starts.values()))
    # what the encoders were trained on
    landmarks = {modality: load_weights(first).landmarks[modality]}
    inputs = standardised(cohort, landmarks, np.float16)[modality]
    subsets = {}
    for ratio in ratios:
        for seed in seeds:
            rows = labelled_subset(people.train, labels, ratio, seed)
            subsets[ratio, seed] = people._replace(train=rows)
    shared = inputs, (target, *auxiliary), modality, schedule
    varied = {"perturbed": people.test[drawn], "transforms": transforms}
    fits, suffixes = {}, {}
    for start, run in with_scratch(starts).items():
        for (ratio, seed), subset in subsets.items():
            key = start, ratio, seed
            pretrained = start != SCRATCH
            fits[key] = partial(_fit, run, pretrained, *shared, subset, seed)
            if perturbed and ratio == max(ratios):
                fits[key] = partial(fits[key], **varied)
                suffixes[key] = _suffix(**varied)
    key = _key(inputs, (target, *auxiliary), people, schedule, fold)
    folder = Path(folder) / key[:16]
    made = kept_fits(starts, fits, folder, jobs, progress, suffixes)
    outputs = {key: one["output"] for key, one in made.items()}
    curves = {key: one["curve"] for key, one in made.items()}
    deviations = {}
    for key, one in made.items():
        if "deviations" in one:
            deviations[key] = one["deviations"]
    labelled = {}
    for (ratio, _), subset in subsets.items():
        labelled[ratio] = len(subset.train)
    return FineTuned(
        target,
        people.test,
        outputs,
        labelled,
        curves,
        proof,
        drawn,
        deviations,
    )


def with_scratch(starts: Mapping[str, Path]) -> dict[str, Path]:
    """The starts and, before them, training from scratch, with the run whose
    network it has: the first.
    """
    return {SCRATCH: next(iter(starts.values())), **starts}


def kept_fits(
    starts: Mapping[str, Path],
    fits: Mapping[tuple[str, float, int], Callable[[], dict]],
    folder: Path,
    jobs: int = 1,
    progress: bool = True,
    suffixes: Mapping[tuple[str, float, int], str] | None = None,
) -> dict[tuple[str, float, int], dict[str, np.ndarray]]:
    """What fits give, of which only those are made that are not kept yet.

    Parameters
    ----------
    starts : {name: run folder}
    fits : {(start, ratio, seed): callable}
        Of no arguments; each returns arrays by name.
    folder : path
        Of fits that have all else in common.
    jobs, progress
        As of `fine_tuned`.
    suffixes : {(start, ratio, seed): str}, optional
        Of the names of files whose fits give more.

    Raises
    ------
    mmssl.ledger.locks.LockedError
        When another process is at work in the folder.
    """
    checkpoints, names = {}, {}
    for start, run in with_scratch(starts).items():
        checkpoints[start] = hash_file(Path(run) / "checkpoint.ckpt")
    for key in fits:
        start, *_ = key
        names[key] = _file(checkpoints[start], *key)
        names[key] += (suffixes or {}).get(key, "")
    with locks.owned(folder):
        atomic.remove_unfinished(folder)
        return _kept_or_made(folder, names, fits, jobs, progress)


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
        nothing of another training, and there is no p), and p_corrected (Holm,
        over all lines with a p). ``attrs["proof"]`` is that of the first.
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
        (Student's t over seeds, 95 %; NaN for one), and saved: 1 - steps /
        those from scratch on the same people, a mean over seeds with its
        interval.
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
                gain, gain_low, gain_high = _over_seeds(saved)
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
    """Mean of trainings with its interval by Student's t; none for one."""
    from scipy import stats

    mean, number = float(values.mean()), len(values)
    if number < 2:
        return mean, np.nan, np.nan
    reach = stats.t.ppf(0.975, number - 1) * values.std(ddof=1)
    reach /= np.sqrt(number)
    return mean, mean - reach, mean + reach


def labelled_people(
    cohort, modality: str, fold: int, population: str = SOURCE
) -> People:
    """Who of a population has a label and an image, one pair each; parameters
    as of `fine_tuned`.
    """
    if population not in POPULATIONS:
        raise ValueError(
            f"population={population!r}, expected one of {POPULATIONS}"
        )

    def labelled(rows: np.ndarray) -> np.ndarray:
        """Those of some rows."""
        return cohort.downstream(rows, modalities=(modality,))

    if population == SOURCE:
        roles = [("train", fold), ("valid", fold), ("holdout", fold)]
        return People(*(labelled(cohort.rows(*role)) for role in roles))
    # every fourth person of a class is tested, of the others every fifth is
    # chosen with
    rows = labelled(cohort.rows("shift"))
    parts = [], [], []
    for label in np.unique(cohort.labels()[rows]):
        of_class = rows[cohort.labels()[rows] == label]
        order = np.random.default_rng(fold).permutation(of_class)
        rest = np.delete(order, np.s_[::4])
        parts[0].append(np.delete(rest, np.s_[::5]))
        parts[1].append(rest[::5])
        parts[2].append(order[::4])
    return People(*(np.sort(np.concatenate(part)) for part in parts))


def _drawn(
    target: Target,
    people: People,
    perturbed: int,
    transforms: int,
    fold: int,
) -> np.ndarray:
    """Places of some people among those to test, sorted."""
    if perturbed < 0 or perturbed == 1:
        raise ValueError(
            f"perturbed={perturbed}, expected 0, or 2 people at least"
        )
    if perturbed and transforms < 1:
        raise ValueError(f"transforms={transforms}, expected 1 at least")
    if perturbed and (target.voxelwise or len(target.classes) != 2):
        raise ValueError(
            f"{target.name}: perturbed={perturbed}, expected 0 but for two "
            "classes of an image"
        )
    order = np.random.default_rng(fold).permutation(len(people.test))
    return np.sort(order[:perturbed])


def proof_of_starts(
    cohort,
    starts: Mapping[str, Path],
    people: People,
    fold: int,
    others: Sequence[leakage.Exposure] = (),
) -> dict:
    """Prove that nobody held out was seen by a start, by its landmarks, in
    fine-tuning, or as other exposures say; LeakError where somebody was.
    """
    tuned = f"fine-tuning, fold {fold}"
    exposures = [
        leakage.exposure(tuned, leakage.TRAIN, cohort, people.train),
        leakage.exposure(tuned, leakage.CHOOSE, cohort, people.valid),
        leakage.exposure("hold-out", leakage.TEST, cohort, people.test),
        *others,
    ]
    needed = [tuned]
    for start, run in starts.items():
        for record in leakage.read_exposures(Path(run) / "exposures.json"):
            fit = f"{record.fit} {start}, fold {fold}"
            exposures.append(record._replace(fit=fit))
        for kind in ("encoder", "landmarks"):
            needed.append(f"{kind} {start}, fold {fold}")
    return leakage.prove(exposures, needed)


def _fit(
    run: Path,
    pretrained: bool,
    inputs: np.ndarray,
    targets: Sequence[Target],
    modality: str,
    schedule: Schedule,
    people: People,
    seed: int,
    perturbed: Sequence[int] = (),
    transforms: int = 0,
) -> dict[str, np.ndarray]:
    """Output of one network on the people held out, its curve, and how far
    transforms of some of their images make it deviate.
    """
    weights = load_weights(run)
    target, *auxiliary = targets
    network = task_network(
        weights, modality, target, seed, pretrained, auxiliary
    )
    curve = finetune(
        network,
        inputs,
        target,
        people,
        schedule,
        seed=seed,
        auxiliary=auxiliary,
    )
    made = {"output": predict(network, inputs, people.test), "curve": curve}
    if len(perturbed):
        made["deviations"] = relative_deviations(
            network, inputs, perturbed, transforms
        )
    return made


def _key(
    inputs, targets: Sequence[Target], people, schedule, fold: int
) -> str:
    """Hash of what all fits share."""
    told = []
    for target in targets:
        told.append([target.name, hash_array(target.values), target.classes])
    content = {
        "inputs": hash_array(inputs),
        "targets": told,
        "people": [hash_array(rows) for rows in people],
        "schedule": repr(schedule),
        "fold": fold,
        "code": [fingerprint("mmssl.evaluate.finetune"), hash_file(__file__)],
    }
    return hash_json(content)


def _file(checkpoint: str, start: str, ratio: float, seed: int) -> str:
    """Name of the file of a fit."""
    return f"{start.replace(' ', '_')}-{checkpoint[:8]}-{ratio:g}-{seed}"


def _suffix(perturbed: np.ndarray, transforms: int) -> str:
    """What the name of a fit with deviations ends in."""
    code = fingerprint("mmssl.evaluate.probability_deviation")
    return f"-{len(perturbed)}x{transforms}-{hash_json(code)[:8]}"


def _kept_or_made(folder, names, fits, jobs: int, progress: bool) -> dict:
    """What all fits give, of which the missing ones are made side by side."""
    missing = [
        fit for key, fit in fits.items() if not is_kept(folder, names[key])
    ]
    made = _side_by_side(missing, jobs)
    found = {}
    bar = tqdm(fits, desc="fine-tuning", unit="fit", disable=not progress)
    for key in bar:
        make = partial(next, made)
        found[key] = kept(folder, names[key], make)
    return found


def _side_by_side(fits: Sequence, jobs: int) -> Iterator[dict]:
    """Results of calls, in order, as they come."""
    from joblib import Parallel, delayed

    if jobs == 1:
        return (fit() for fit in fits)
    side_by_side = Parallel(n_jobs=jobs, return_as="generator")
    return side_by_side(delayed(fit)() for fit in fits)


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
    return {
        "measure": AUC,
        "people": len(labels),
        **_value(interval, aucs),
        **gain_over_scratch(parts.variance, freedom, aucs - others),
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
    return {
        "measure": DICE,
        "people": values.shape[1],
        **paired(values, others, resamples, seed),
    }


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
        Columns baseline, difference, difference_low, difference_high and p.

    Returns
    -------
    DataFrame
        The same, without these on lines of the baseline, and p_corrected
        (Holm, over all lines with a p).
    """
    from statsmodels.stats.multitest import multipletests

    table = table.copy()
    columns = ["difference", "difference_low", "difference_high", "p"]
    table.loc[table["baseline"], columns] = np.nan
    compared = table["p"].notna()
    table["p_corrected"] = np.nan
    if compared.any():
        p = table.loc[compared, "p"].to_numpy()
        corrected = multipletests(p, method="holm")[1]
        table.loc[compared, "p_corrected"] = corrected
    return table
