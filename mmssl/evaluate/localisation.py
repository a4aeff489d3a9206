"""Where lesions are: a heat map over each slice, its peaks, and the fROC (002,
section IV-C).

002 draws boxes with a detector of its own. Here the network tells a heat map
under the Dice loss; its peaks are the detections, and one that lies inside a
lesion has found it, as in CAMELYON16. The curve and its score are MONAI's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional as F

from mmssl.evaluate.finetune import Target, TaskNetwork, logits_of
from mmssl.evaluate.finetuned_runs import SCRATCH
from mmssl.evaluate.label_efficiency import COMPARISON, against_scratch
from mmssl.evaluate.resampled_people import (
    Estimates,
    comparison_columns,
    resampled,
)
from mmssl.evaluate.slice_detection import (
    CompressedInput,
    SliceFits,
    fitted_slices,
    outputs_of_starts,
    slice_rows,
)
from mmssl.ledger.leakage import Exposure
from mmssl.models.dcgan import CONVOLUTION, Features
from mmssl.stats.bootstrap import draw_counts

if TYPE_CHECKING:
    import pandas as pd

RATES = (0.01, 0.05, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives per image at which 002 reads the sensitivity."""
SMALLEST = 0.001
"""Probability below which a peak is no detection."""
SENSITIVITY, MEAN = ("sensitivity", "mean sensitivity")

COLUMNS = (
    "measure",
    "rate",
    "model",
    "baseline",
    "lesions",
    "images",
    "people",
    "seeds",
    *COMPARISON,
)
_MODES = {2: "bilinear", 3: "trilinear"}


class HeatMap(nn.Module):
    """An encoder whose decoder is a heat map: the classes of each place of its
    local map, interpolated to the sides of the input.

    `mmssl.evaluate.finetune.TaskNetwork` trains it as it trains a
    segmentation, whatever the encoder is.

    Parameters
    ----------
    encoder : Module
        With attributes ``latent``, ``local_channels`` and ``input_shape``.

    Attributes
    ----------
    latent, local_channels, input_shape
        The encoder's.

    Raises
    ------
    ValueError
        For an encoder whose local map has a single place: it cannot say where
        anything is.
    """

    def __init__(self, encoder: nn.Module):
        super().__init__()
        _check_places(encoder)
        self.encoder = encoder
        self.latent = encoder.latent
        self.local_channels = encoder.local_channels
        self.input_shape = encoder.input_shape

    def forward(self, x: Tensor, stream=None) -> Features:
        """Features of a batch; arguments are the encoder's."""
        return self.encoder(x, stream)

    def decoder(self, classes: int) -> HeatMapHead:
        """The head, with initial weights."""
        _, *sides = self.input_shape
        return HeatMapHead(self.local_channels, classes, sides)


@torch.no_grad()
def _check_places(encoder: nn.Module) -> None:
    """ValueError where the local map has a single place."""
    was_training = encoder.training
    local = encoder.eval()(torch.zeros(1, *encoder.input_shape)).local
    encoder.train(was_training)
    if local[0, 0].numel() == 1:
        raise ValueError(
            f"heat map: the local map of {type(encoder).__name__} has 1 place "
            f"for images of {tuple(encoder.input_shape[1:])}, expected more; "
            "take an encoder with fewer strides, or larger images"
        )


class HeatMapHead(nn.Module):
    """A convolution of kernel 1, and its interpolation.

    Parameters
    ----------
    channels : int
        Of the local map.
    classes : int
    sides : sequence of int
        Of the result: two or three.
    """

    def __init__(self, channels: int, classes: int, sides: Sequence[int]):
        super().__init__()
        self.sides = tuple(sides)
        self.score = CONVOLUTION[len(self.sides)](channels, classes, 1)

    def forward(self, local: Tensor, maps: Sequence[Tensor] = ()) -> Tensor:
        """Logits (B, classes, *sides) of local maps (B, channels, …); those of
        other levels are not read.
        """
        scores = self.score(local)
        return F.interpolate(scores, self.sides, mode=_MODES[len(self.sides)])


def heat_maps(
    network: TaskNetwork, inputs: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """Probability that a place is no background, (rows, *sides) float32;
    parameters as of `mmssl.evaluate.finetune.predict`.
    """
    parts = []
    for logits in logits_of(network, inputs, rows):
        parts.append(1 - logits.softmax(1)[:, 0].numpy())
    return np.concatenate(parts)


def localised_lesions(
    cohort,
    starts: Mapping[str, Path],
    masks: np.ndarray,
    modality: str,
    folder: str | Path,
    attention: np.ndarray | None = None,
    fold: int = 0,
    neighbours: int = 1,
    exposures: Sequence[Exposure] = (),
    **options,
) -> SliceFits:
    """Fine-tune runs, and their network from scratch, to give a heat map of
    the lesions of each slice.

    Parameters and errors as of
    `mmssl.evaluate.slice_detection.detected_slices`. Where a slice has as many
    channels as the runs read, none are compressed.

    Returns
    -------
    SliceFits
        Its outputs are probabilities (rows, X, Y), its truth classes of each
        pixel.
    """
    from mmssl.cohorts.lesions import CLASSES

    rows = slice_rows(
        cohort, starts, attention, modality, fold, neighbours, exposures
    )
    values = np.moveaxis(np.asarray(masks), 3, 1)
    values = values[rows.slices.pairs, rows.slices.slices]
    target = Target("lesions", values.astype(np.uint8), CLASSES)
    return fitted_slices(
        _heat_map,
        heat_maps,
        cohort,
        rows,
        starts,
        target,
        modality,
        folder,
        **options,
    )


class Detections(NamedTuple):
    """Peaks of heat maps.

    images : (n,) which heat map each is of.
    probabilities : (n,) float32
    places : (n, axes) int64, in voxels.
    """

    images: np.ndarray
    probabilities: np.ndarray
    places: np.ndarray


def detections(
    probabilities: np.ndarray, smallest: float = SMALLEST, side: int = 3
) -> Detections:
    """Local maxima of heat maps.

    Parameters
    ----------
    probabilities : array, shape (images, *sides)
    smallest : float
        Probability from which a maximum counts; above 0.
    side : int
        Odd; a maximum is the largest value in a window of this side about it.

    Returns
    -------
    Detections
        In the order of images. A plateau is one detection, at that of its
        places which is nearest to its middle.

    Raises
    ------
    ValueError
        For values outside [0, 1], a smallest probability that is not above 0,
        or a side that is no odd number above 1.
    """
    values = np.asarray(probabilities, np.float32)
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(
            f"probabilities from {values.min()} to {values.max()}, expected "
            "in [0, 1]"
        )
    if not smallest > 0:
        raise ValueError(f"smallest is {smallest}, expected above 0")
    if side < 3 or side % 2 == 0:
        raise ValueError(f"side is {side}, expected 3, 5, 7, …")
    axes = values.ndim - 1
    largest = ndimage.maximum_filter(values, (1, *(side,) * axes))
    peaks = (values == largest) & (values >= smallest)
    alone = np.zeros((3,) * values.ndim, bool)
    alone[1] = True  # within an image
    plateaus, number = ndimage.label(peaks, alone)
    places = np.argwhere(peaks)
    names = plateaus[peaks]
    middles = ndimage.center_of_mass(peaks, plateaus, range(1, number + 1))
    middles = np.reshape(middles, (number, values.ndim))
    distances = ((places - middles[names - 1]) ** 2).sum(1)
    order = np.lexsort((distances, names))
    _, first = np.unique(names[order], return_index=True)
    chosen = np.sort(order[first])
    images, *_ = places[chosen].T
    return Detections(images, values[peaks][chosen], places[chosen, 1:])


def froc_table(
    found: SliceFits,
    rates: Sequence[float] = RATES,
    resamples: int = 2000,
    seed: int = 0,
    smallest: float = SMALLEST,
    side: int = 3,
) -> pd.DataFrame:
    """Which lesions each start finds at a number of false positives per image
    (002, section IV-C).

    A lesion is a connected part of a slice's mask. It is found with the
    largest probability of the detections inside it; a detection outside all
    lesions is a false positive, a second one inside a lesion nothing. Between
    the points of the curve sensitivity is interpolated.

    Parameters
    ----------
    found : SliceFits
        Of `localised_lesions`.
    rates : sequence of float
        False positives per image.
    resamples, seed : int
        As of `mmssl.evaluate.slice_detection.slice_table`.
    smallest, side
        As of `detections`.

    Returns
    -------
    DataFrame
        For each start one line per rate, "sensitivity", and one of their mean,
        "mean sensitivity", whose rate is NaN: measure, rate, model, baseline,
        lesions, images, people, seeds, and as
        `mmssl.evaluate.resampled_people.comparison_columns` says; p and
        p_corrected (Holm) of the means alone. ``attrs["proof"]`` is that of
        the fits.

    Raises
    ------
    ValueError
        Where fewer than two people have a lesion.
    """
    import pandas as pd

    lesions = labelled_lesions(found.truth)
    shown = lesions.reshape(len(lesions), -1).max(1)
    _, rows = np.unique(found.people, return_inverse=True)
    # who has a lesion is drawn apart from who has none
    stratum = np.bincount(rows, shown) > 0
    if stratum.sum() < 2:
        raise ValueError(
            f"{found.fits.target.name}: {stratum.sum()} of {len(stratum)} "
            "people held out show a lesion, expected two at least"
        )
    rng = np.random.default_rng(seed)
    counts = draw_counts(stratum, resamples, rng)
    estimates = {}
    for start, maps in outputs_of_starts(found).items():
        peaks = [detections(of_seed, smallest, side) for of_seed in maps]
        hits = [hits_of(of_seed, lesions) for of_seed in peaks]
        own = resampled(partial(_of_weights, hits, rates), rows, counts)
        values = [froc(one, len(lesions), rates) for one in hits]
        estimates[start] = own._replace(values=np.array(values))
    lines = []
    for start, number in product(estimates, range(len(rates) + 1)):
        is_mean = number == len(rates)
        own, scratch = (
            Estimates(*(part[..., number] for part in estimates[name]))
            for name in (start, SCRATCH)
        )
        line = {
            "measure": MEAN if is_mean else SENSITIVITY,
            "rate": np.nan if is_mean else rates[number],
            "model": start,
            "baseline": start == SCRATCH,
            "lesions": int(shown.sum()),
            "images": len(shown),
            "people": len(stratum),
            "seeds": len(own.values),
            **comparison_columns(own, scratch, stratum),
        }
        if not is_mean:
            line["p"] = np.nan
        lines.append(line)
    table = against_scratch(pd.DataFrame(lines))[list(COLUMNS)]
    table.attrs["proof"] = found.fits.proof
    return table


def labelled_lesions(truth: np.ndarray) -> np.ndarray:
    """Each lesion of each image with a number of its own, from 1: (images,
    *sides) int32, of classes whose background is 0; parts that touch at a
    corner are one.
    """
    touching = np.ones((3,) * (truth.ndim - 1))
    return np.stack([ndimage.label(one, touching)[0] for one in truth])


class Hits(NamedTuple):
    """What detections hit.

    false : (n,) probabilities of those outside all lesions.
    false_images : (n,) which image each is of.
    found : (lesions,) the largest probability inside each; 0 of a missed one.
    found_images : (lesions,) which image each is of.
    """

    false: np.ndarray
    false_images: np.ndarray
    found: np.ndarray
    found_images: np.ndarray


def hits_of(peaks: Detections, lesions: np.ndarray) -> Hits:
    """Tell hits from false positives by MONAI's ``compute_fp_tp_probs``.

    Parameters
    ----------
    peaks : Detections
        In images (X, Y).
    lesions : array of int, shape (images, X, Y)
        Of `labelled_lesions`.
    """
    from monai.metrics.froc import compute_fp_tp_probs

    false, found = [], []
    for image, mask in enumerate(lesions):
        own = peaks.images == image
        rows, columns = peaks.places[own].T
        outside, inside, _ = compute_fp_tp_probs(
            peaks.probabilities[own], rows, columns, mask
        )
        false.append(outside)
        found.append(inside)
    images = np.arange(len(lesions))
    return Hits(
        np.concatenate(false),
        np.repeat(images, [len(one) for one in false]),
        np.concatenate(found),
        np.repeat(images, [len(one) for one in found]),
    )


def froc(hits: Hits, images: int, rates: Sequence[float]) -> list[float]:
    """Sensitivity at each rate of false positives, and their mean, by MONAI's
    ``compute_froc_curve_data`` and ``compute_froc_score``.

    Parameters
    ----------
    hits : Hits
    images : int
        How many there are.
    rates : sequence of float
        False positives per image.
    """
    from monai.metrics.froc import compute_froc_curve_data, compute_froc_score

    # it leaves out the least probable of all, which so is none of ours
    false = np.append(hits.false, np.float32(0))
    curve = compute_froc_curve_data(false, hits.found, len(hits.found), images)
    score = partial(compute_froc_score, *curve)
    return [*(float(score((rate,))) for rate in rates), float(score(rates))]


def weighted_froc(
    hits: Hits, rates: Sequence[float], weights: np.ndarray
) -> np.ndarray:
    """The same for every weighting of the images at once.

    Parameters
    ----------
    hits : Hits
    rates : sequence of float
    weights : array, shape (B, images)
        Such as how often each image is drawn in B resamples.

    Returns
    -------
    array, shape (B, rates + 1)
    """
    there = hits.found[hits.found > 0]
    levels = np.unique(np.concatenate([hits.false, there]))[::-1]
    false = _at_least(levels, hits.false, weights[:, hits.false_images])
    found = _at_least(levels, hits.found, weights[:, hits.found_images])
    per_image = false / weights.sum(1, keepdims=True)
    lesions = weights[:, hits.found_images].sum(1, keepdims=True)
    read = []
    for curve in zip(per_image, found / lesions, strict=True):
        read.append(np.interp(rates, *curve))
    return np.column_stack([read, np.mean(read, 1)])


def _at_least(
    levels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Weight of what is as probable as each falling level or more, (B, levels
    + 1); first that of nothing.
    """
    order = np.argsort(-probabilities)
    total = np.cumsum(weights[:, order], 1)
    total = np.pad(total, ((0, 0), (1, 0)))
    numbers = np.searchsorted(-probabilities[order], -levels, side="right")
    return total[:, np.r_[0, numbers]]


def _of_weights(
    hits: Sequence[Hits], rates: Sequence[float], weights: np.ndarray
) -> np.ndarray:
    """The fROC of each seed and weighting, (seeds, B, rates + 1)."""
    return np.stack([weighted_froc(one, rates, weights) for one in hits])


def _heat_map(encoder: nn.Module, channels: int) -> HeatMap:
    """That of an encoder which reads so many channels, or is made to."""
    if encoder.input_shape[0] != channels:
        encoder = CompressedInput(encoder, channels)
    return HeatMap(encoder)
