"""Runs fine-tuned on shares of the labelled people, beside their network from
scratch, each fit kept (003, section 4).

Every start is fine-tuned on the same people, in the same order, under the same
schedule, several times with other heads and other subsets of people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from mmssl.evaluate.finetune import (
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

SCRATCH = "from scratch"
SOURCE, SHIFT = POPULATIONS = ("source", "shift")


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
