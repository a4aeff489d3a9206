"""Which slices show a lesion: a pretrained network of images, fine-tuned in
2.5D (002, section IV-D).

A slice is read with its neighbours and with what a segmentation found in it,
the attention channel; a convolution of kernel 1 makes of these as many
channels as the pretrained network reads. Slices of one person are not
independent: people are resampled, not slices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import expit
from torch import Tensor, nn

from mmssl.evaluate.finetune import (
    People,
    Schedule,
    Target,
    TaskNetwork,
    finetune,
    predict,
    task_network,
)
from mmssl.evaluate.finetuned_runs import (
    SCRATCH,
    FineTuned,
    kept_fits,
    labelled_people,
    proof_of_starts,
    with_scratch,
)
from mmssl.evaluate.label_efficiency import COMPARISON, against_scratch
from mmssl.evaluate.resampled_people import comparison_columns, resampled
from mmssl.ledger.code import fingerprint
from mmssl.ledger.hashes import hash_array, hash_json
from mmssl.ledger.leakage import Exposure
from mmssl.models.dcgan import CONVOLUTION, Features
from mmssl.preprocessing.network_inputs import fit_landmarks, standardised
from mmssl.pretrain.encoders import load_weights
from mmssl.stats.auc import weighted_auc
from mmssl.stats.average_precision import weighted_average_precision
from mmssl.stats.bootstrap import Clusters, draw_counts

if TYPE_CHECKING:
    import pandas as pd

AUC, MAP, ACCURACY = MEASURES = ("AUC", "mAP", "accuracy")
OPERATING_POINT = 0.6
"""Probability from which a slice is said to show a lesion (table III)."""
CONTRAST = 5.0
"""What an attention of 1 is in z-scores: as far as the darkest and the
brightest of a brain lie apart (1st to 99th percentile of simulated T1: 4.7).
Left at 1 it may be lost among the images, which a network of few people learns
by heart: with the true masks as attention of 28 people, the AUC on others was
.53 to .71 at 1, 2 and 3, but .97 at 5 and .99 at 8 (one cohort, one training
each).
"""

COLUMNS = (
    "measure",
    "model",
    "baseline",
    "slices",
    "positive",
    "people",
    "seeds",
    *COMPARISON,
)
_WHOLE = 1.0  # ratio of the people: all


class Slices(NamedTuple):
    """Slices as a network reads them.

    inputs : (rows, C, X, Y)
    pairs : (rows,) of which pair each is.
    slices : (rows,) its place on the last axis.
    """

    inputs: np.ndarray
    pairs: np.ndarray
    slices: np.ndarray


def slice_inputs(
    images: np.ndarray,
    attention: np.ndarray | None = None,
    neighbours: int = 2,
    contrast: float = CONTRAST,
) -> Slices:
    """Every slice with its neighbours and its attention channel.

    Parameters
    ----------
    images : array, shape (pairs, 1, X, Y, Z)
        Standardised volumes.
    attention : array, shape (pairs, X, Y, Z), optional
        What a segmentation found: classes 0 and 1, or probabilities. Without
        it there is no such channel.
    neighbours : int
        On each side, 0 beyond the volume; 2 in 002.
    contrast : float
        What the attention is multiplied with.

    Returns
    -------
    Slices
        All slices of all pairs, in order; 2 ``neighbours`` + 1 channels from
        the lowest slice to the highest, then the attention. float16 as the
        images, otherwise float32; no other array of that size is made.

    Raises
    ------
    ValueError
        For images of another shape, attention of other sides, or fewer than 0
        neighbours.
    """
    from mmssl.cohorts.slices import stacked

    if images.ndim != 5 or images.shape[1] != 1:
        raise ValueError(
            f"images: shape {images.shape}, expected (pairs, 1, X, Y, Z)"
        )
    if neighbours < 0:
        raise ValueError(f"neighbours is {neighbours}, expected 0 or more")
    pairs, _, *sides, depth = images.shape
    expected = (pairs, *sides, depth)
    if attention is not None and attention.shape != expected:
        raise ValueError(
            f"attention: shape {attention.shape}, expected {expected}"
        )
    own = 2 * neighbours + 1
    channels = own if attention is None else own + 1
    dtype = np.float16 if images.dtype == np.float16 else np.float32
    inputs = np.empty((pairs, depth, channels, *sides), dtype)
    for pair in range(pairs):
        inputs[pair, :, :own] = stacked(images[pair, 0], neighbours)
        if attention is not None:
            found = np.moveaxis(attention[pair], 2, 0)
            inputs[pair, :, own] = found * dtype(contrast)
    return Slices(
        inputs.reshape(-1, channels, *sides),
        np.repeat(np.arange(pairs), depth),
        np.tile(np.arange(depth), pairs),
    )


class CompressedInput(nn.Module):
    """An encoder behind a convolution of kernel 1, which makes of the input's
    channels as many as the encoder reads: of six three, in 002.

    Parameters
    ----------
    encoder : Module
        With attributes ``latent``, ``local_channels`` and ``input_shape``.
    channels : int
        Of the input.

    Attributes
    ----------
    latent, local_channels : int
        The encoder's.
    input_shape : tuple of int
        (channels, *sides).
    decoder : callable
        The encoder's, if it has one.
    """

    def __init__(self, encoder: nn.Module, channels: int):
        super().__init__()
        own, *sides = encoder.input_shape
        self.compression = CONVOLUTION[len(sides)](channels, own, 1)
        self.encoder = encoder
        self.input_shape = (channels, *sides)
        self.latent = encoder.latent
        self.local_channels = encoder.local_channels
        if hasattr(encoder, "decoder"):
            self.decoder = encoder.decoder

    def forward(self, x: Tensor, stream=None) -> Features:
        """Features of a batch (B, channels, *sides); ``stream`` is the
        encoder's.
        """
        return self.encoder(self.compression(x), stream)


class SliceRows(NamedTuple):
    """Slices of people who take part in a task, and their roles.

    slices : Slices, whose ``pairs`` are rows of the cohort's pairs.tsv.
    people : People, rows of the slices.
    learned : how many people are learned from.
    proof : of `mmssl.ledger.leakage.prove`.
    """

    slices: Slices
    people: People
    learned: int
    proof: dict


@dataclass(frozen=True)
class SliceFits:
    """What fine-tuned networks say of slices of the people held out.

    Attributes
    ----------
    fits : FineTuned
        Of rows that are slices; ``outputs`` are logits (rows, classes), or
        probabilities of each pixel (rows, X, Y), and ``ratio`` is 1.
    people : (rows,) participant_id of each slice held out.
    pairs : (rows,) its row in the cohort's pairs.tsv.
    slices : (rows,) its place on the last axis.
    """

    fits: FineTuned
    people: np.ndarray
    pairs: np.ndarray
    slices: np.ndarray

    @property
    def truth(self) -> np.ndarray:
        """Classes of the slices held out, or of their pixels."""
        return self.fits.target.values[self.fits.rows]


def detected_slices(
    cohort,
    starts: Mapping[str, Path],
    masks: np.ndarray,
    attention: np.ndarray | None,
    modality: str,
    folder: str | Path,
    fold: int = 0,
    neighbours: int = 2,
    exposures: Sequence[Exposure] = (),
    **options,
) -> SliceFits:
    """Fine-tune runs, and their network from scratch, to tell the slices that
    show a lesion.

    Learned from are the slices of the fold's training people, in which a
    lesion is rare; nothing is done about that: the loss is the plain
    cross-entropy of `mmssl.evaluate.finetune.finetune`, and no class is drawn
    more often. Slices without brain (`mmssl.cohorts.slices.brain_slices`) are
    left out everywhere: they are told too easily to count.

    Parameters
    ----------
    cohort : Cohort
        Of volumes.
    starts : {name: run folder}
        Runs on slices of the cohort (`mmssl.cohorts.slices.cut_slices`) of its
        fold; the network from scratch is that of the first.
    masks : array of bool, shape (pairs, X, Y, Z)
        Where the lesions are.
    attention : array, shape (pairs, X, Y, Z), or None
        Of `slice_inputs`, by a segmentation that did not learn from the people
        held out. Of people it learned from it finds more than of others, and
        the network then trusts it too much; 002 does not say what was done.
    modality : str
    folder : path
        Where finished fits are kept.
    fold : int
    neighbours : int
    exposures : sequence of Exposure
        Whom the maker of the attention has seen, for the proof.
    **options
        seeds, schedule, jobs and progress, as of
        `mmssl.evaluate.finetuned_runs.fine_tuned`.

    Raises
    ------
    ValueError
        Before any fit: no start, a start of volumes, of another size or
        without the modality, or as `mmssl.evaluate.finetune.finetune`.
    LeakError
        If somebody held out was seen by a start or as an exposure says.
    mmssl.ledger.locks.LockedError
        When another process is at work in the folder.
    """
    from mmssl.cohorts.lesions import CLASSES, slice_labels

    rows = slice_rows(
        cohort, starts, attention, modality, fold, neighbours, exposures
    )
    shown = slice_labels(masks)[rows.slices.pairs, rows.slices.slices]
    target = Target("lesion slices", shown.astype(np.int64), CLASSES)
    return fitted_slices(
        CompressedInput,
        predict,
        cohort,
        rows,
        starts,
        target,
        modality,
        folder,
        **options,
    )


def slice_rows(
    cohort,
    starts: Mapping[str, Path],
    attention: np.ndarray | None,
    modality: str,
    fold: int,
    neighbours: int,
    exposures: Sequence[Exposure] = (),
) -> SliceRows:
    """Slices of the people of a fold who have a label of the cohort's first
    task, in volumes standardised to landmarks of its training people.

    Parameters and errors as of `detected_slices`.
    """
    from mmssl.cohorts.slices import brain_slices

    _check_starts(cohort, starts, modality)
    people = labelled_people(cohort, modality, fold)
    proof = proof_of_starts(cohort, starts, people, fold, exposures)
    of_modality = replace(cohort, modalities=(modality,))
    landmarks = fit_landmarks(of_modality, fold)
    pairs = np.sort(np.concatenate(people))
    images = standardised(cohort, landmarks, np.float16, pairs)[modality]
    found = None if attention is None else attention[pairs]
    slices = slice_inputs(images, found, neighbours)
    slices = slices._replace(pairs=pairs[slices.pairs])
    shown = brain_slices(cohort, modality)[slices.pairs, slices.slices]
    rows = []
    for role in people:
        rows.append(np.flatnonzero(shown & np.isin(slices.pairs, role)))
    return SliceRows(slices, People(*rows), len(people.train), proof)


def fitted_slices(
    around: Callable[[nn.Module, int], nn.Module],
    said: Callable[[TaskNetwork, np.ndarray, np.ndarray], np.ndarray],
    cohort,
    rows: SliceRows,
    starts: Mapping[str, Path],
    target: Target,
    modality: str,
    folder: str | Path,
    seeds: Sequence[int] = (0,),
    schedule: Schedule | None = None,
    jobs: int = 1,
    progress: bool = True,
) -> SliceFits:
    """Fits of every start and seed on slices, kept.

    Parameters
    ----------
    around : callable
        Makes the network's encoder of a run's and the number of channels.
    said : callable
        What a network says, of (network, inputs, rows), as
        `mmssl.evaluate.finetune.predict`.
    rows : SliceRows
    target : Target
        Of each row of the slices.
    cohort, starts, modality, folder, seeds, schedule, jobs, progress
        As of `detected_slices`.
    """
    schedule = schedule or Schedule()
    slices, people = rows.slices, rows.people
    content = {
        "inputs": hash_array(slices.inputs),
        "target": [target.name, hash_array(target.values), target.classes],
        "people": [hash_array(role) for role in people],
        "schedule": repr(schedule),
        "modality": modality,
        "code": fingerprint(__name__, around.__module__, said.__module__),
    }
    shared = around, said, slices.inputs, target, modality, schedule
    fits = {}
    for start, run in with_scratch(starts).items():
        for seed in seeds:
            pretrained = start != SCRATCH
            one = partial(_fit, run, pretrained, *shared, people, seed)
            fits[start, _WHOLE, seed] = one
    folder = Path(folder) / hash_json(content)[:16]
    made = kept_fits(starts, fits, folder, jobs, progress)
    outputs = {key: one["output"] for key, one in made.items()}
    curves = {key: one["curve"] for key, one in made.items()}
    labelled = {_WHOLE: rows.learned}
    test = people.test
    pairs = slices.pairs[test]
    return SliceFits(
        FineTuned(target, test, outputs, labelled, curves, rows.proof),
        cohort.subjects[pairs],
        pairs,
        slices.slices[test],
    )


def slice_table(
    found: SliceFits,
    resamples: int = 2000,
    seed: int = 0,
    operating_point: float = OPERATING_POINT,
) -> pd.DataFrame:
    """How well each start tells the slices that show a lesion (002, table
    III).

    Parameters
    ----------
    found : SliceFits
        Of `detected_slices`.
    resamples, seed : int
        Of the bootstrap over people, all slices of whom are drawn together;
        those who have a lesion and those who have none apart. The draws are
        the same for all models and measures.
    operating_point : float
        Probability from which a slice is said to show a lesion.

    Returns
    -------
    DataFrame
        One line per measure ("AUC"; "mAP", the average precision; "accuracy"
        at the operating point) and start: measure, model, baseline (whether
        from scratch), slices, positive (that show a lesion), people, seeds,
        and as `mmssl.evaluate.resampled_people.comparison_columns` says, with
        p_corrected (Holm, over all lines with a p). ``attrs["proof"]`` is that
        of the fits.

    Raises
    ------
    ValueError
        Where fewer than two people show a lesion, or a slice without one.
    """
    import pandas as pd

    labels = found.truth
    clusters = Clusters(labels, found.people)
    outputs = outputs_of_starts(found)
    rng = np.random.default_rng(seed)
    counts = draw_counts(clusters.stratum, resamples, rng)
    lines = []
    for name in MEASURES:
        measure = _measure(name, operating_point)
        estimates = {}
        for start, logits in outputs.items():
            scores = expit(logits[..., 1] - logits[..., 0])
            of_weights = partial(_of_weights, measure, labels, scores)
            estimates[start] = resampled(of_weights, clusters.rows, counts)
        for start, own in estimates.items():
            line = {
                "measure": name,
                "model": start,
                "baseline": start == SCRATCH,
                "slices": len(labels),
                "positive": int(labels.sum()),
                "people": len(clusters.stratum),
                "seeds": len(own.values),
            }
            scratch = estimates[SCRATCH]
            line |= comparison_columns(own, scratch, clusters.stratum)
            lines.append(line)
    table = against_scratch(pd.DataFrame(lines))[list(COLUMNS)]
    table.attrs["proof"] = found.fits.proof
    return table


def outputs_of_starts(found: SliceFits) -> dict[str, np.ndarray]:
    """Outputs of each start, stacked by seed: (seeds, rows, …)."""
    outputs: dict[str, list[np.ndarray]] = {}
    for (start, *_), output in found.fits.outputs.items():
        outputs.setdefault(start, []).append(output)
    return {start: np.stack(of_seeds) for start, of_seeds in outputs.items()}


def _fit(
    run: Path,
    pretrained: bool,
    around: Callable[[nn.Module, int], nn.Module],
    said: Callable[[TaskNetwork, np.ndarray, np.ndarray], np.ndarray],
    inputs: np.ndarray,
    target: Target,
    modality: str,
    schedule: Schedule,
    people: People,
    seed: int,
) -> dict[str, np.ndarray]:
    """Output of one network on the slices held out, and its curve."""
    around = partial(around, channels=inputs.shape[1])
    network = task_network(
        load_weights(run), modality, target, seed, pretrained, around=around
    )
    curve = finetune(network, inputs, target, people, schedule, seed=seed)
    return {"output": said(network, inputs, people.test), "curve": curve}


def _check_starts(cohort, starts: Mapping[str, Path], modality: str) -> None:
    """ValueError for a run that does not read slices of the cohort."""
    if not starts:
        raise ValueError("no run to fine-tune, expected one at least")
    expected = (2, cohort.size)
    for start, run in starts.items():
        shape = load_weights(run).shape
        found = (shape["dims"], shape["size"])
        if found != expected:
            raise ValueError(
                f"{start}: dims and size are {found}, expected {expected}, "
                f"of slices of {cohort.path}"
            )
        if modality not in shape["channels"]:
            raise ValueError(
                f"{start}: modality {modality!r}: the run encodes "
                f"{', '.join(sorted(shape['channels']))}"
            )


def _measure(name: str, operating_point: float) -> Callable:
    """A measure of (labels, scores, weights (B, n)), of shape (B,)."""
    if name == AUC:
        return weighted_auc
    if name == MAP:
        return weighted_average_precision
    return partial(_weighted_accuracy, operating_point)


def _weighted_accuracy(
    operating_point: float,
    labels: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    """Share of rows on the right side of the operating point."""
    right = (scores >= operating_point) == (labels == 1)
    return weights @ right / weights.sum(1)


def _of_weights(
    measure: Callable,
    labels: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    """A measure of each seed and weighting, (seeds, B)."""
    return np.stack([measure(labels, one, weights) for one in scores])
