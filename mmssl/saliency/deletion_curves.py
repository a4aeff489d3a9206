"""Deletion curves: what a probe loses when voxels are deleted in the order of
a map (Samek et al. 2017), in 3D.

The order of the map is compared with a random one that is as smooth: scattered
single voxels are filled in by any convolution, so that any smooth order would
win against them, true or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.stats import t as student
from tqdm.auto import tqdm

from mmssl.evaluate.probes import LogisticFit
from mmssl.groupmaps.clusters import to_volume
from mmssl.ledger.artefacts import KEYS
from mmssl.pretrain.encoders import encode
from mmssl.saliency.dimensions import rank_biserial_maps
from mmssl.stats.auc import weighted_auc
from mmssl.stats.bootstrap import Clusters, auc_interval
from mmssl.stats.permutation import SMALLEST_GROUP, two_groups

if TYPE_CHECKING:
    import pandas as pd

LARGEST = 1 / 8
"""Share of the brain that is deleted last; with more, random orders differ
more than maps do.
"""

CURVES = [*KEYS, "fraction", "map", "random"]
AREAS = [*KEYS, "intact", "intact_low", "area", "low", "high"]
"""Columns of the two tables."""


def delete_voxels(volumes, mask, order, count: int, replacement) -> np.ndarray:
    """Images whose first ``count`` voxels in an order are replaced.

    Parameters
    ----------
    volumes : array, shape (n, C, X, Y, Z)
    mask : array of bool, shape (X, Y, Z)
    order : array of int, shape (voxels,)
        Of the mask's voxels.
    count : int
    replacement : array, shape (C, X, Y, Z)
        Image from which the deleted voxels are taken.

    Returns
    -------
    array, shape (n, C, X, Y, Z)
        A copy.
    """
    voxels = np.flatnonzero(mask)[order[:count]]
    images = np.array(volumes)
    flat = images.reshape(*images.shape[:2], -1)
    flat[..., voxels] = replacement.reshape(len(replacement), -1)[:, voxels]
    return images


def smoothness(values, mask) -> float:
    r"""Sigma in voxels of the Gaussian that made noise as smooth as a map,
    (voxels,).

    Neighbours of noise smoothed by a Gaussian correlate by :math:`\exp(-1 / 4
    \sigma^2)` (Kiebel et al. 1999); here over pairs of neighbours that both
    lie in the mask, the three axes together.
    """
    volume = to_volume(values - np.mean(values), mask).astype(np.float64)
    inside = np.asarray(mask, dtype=bool)
    products, squares = 0.0, 0.0
    for axis, side in enumerate(inside.shape):
        lower, upper = np.arange(side - 1), np.arange(1, side)
        a, b = volume.take(lower, axis), volume.take(upper, axis)
        both = inside.take(lower, axis) & inside.take(upper, axis)
        products += (a * b)[both].sum()
        squares += (a**2 + b**2)[both].sum() / 2
    r = products / squares if squares > 0 else 0.0
    r = np.clip(r, 1e-3, 1 - 1e-3)
    return float(np.sqrt(-1 / (4 * np.log(r))))


def smooth_random_order(mask, sigma: float, seed: int) -> np.ndarray:
    """A random order of the mask's voxels, (voxels,): absolute smooth noise,
    largest first.
    """
    noise = np.random.default_rng(seed).normal(size=np.shape(mask))
    smooth = ndimage.gaussian_filter(noise, sigma)
    return np.argsort(-np.abs(smooth)[np.asarray(mask)])


def probe_scores(encoder, fit: LogisticFit, volumes) -> np.ndarray:
    """Decision of a probe on the representations of images, (n,)."""
    z = encode({0: encoder}, {0: volumes})[0]
    return fit.pipeline.decision_function(z)


def measure_deletion(
    encoders: Mapping,
    probes: Mapping,
    volumes: Mapping,
    labels,
    subjects,
    values,
    picks: pd.DataFrame,
    mask,
    mean_images: Mapping,
    *,
    steps: int = 4,
    orders: int = 9,
    resamples: int = 2000,
    seed: int = 0,
    progress: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    r"""What is left of a probe's separation as the voxels that a map points at
    are deleted.

    A map of the very people whose separation is measured would point at what
    tells them apart by accident. So people are halved, and voxels are deleted
    from the images of each half in the order of the map of the other. A
    deleted voxel takes the value of the mean training image there: nobody's
    own, yet one that the encoder may meet (a hole of zeros is not, and a
    blurred copy still holds an enlarged ventricle). The share deleted doubles
    from step to step up to `LARGEST`, because what a map points at is small.
    With :math:`A_m` and :math:`A_r` the AUCs after deletion by map and in
    random order, the area is :math:`\overline{A_r(f) - A_m(f)}`, the mean over
    steps, halves and :math:`R` random orders. A map that means nothing is one
    more random order, so its limits are those of Student's t with
    :math:`R - 1` degrees of freedom at

    .. math:: \mathrm{area} \pm t \sqrt{v_p + (1 + 1 / R)\, v_o},

    :math:`v_p` the variance over people resampled within class and half, and
    :math:`v_o` over random orders. By people alone one such map in five would
    seem to matter (T1 of the simulated cohort).

    Parameters
    ----------
    encoders, probes : {modality: Module} and {modality: LogisticFit}
        Of one source; the probe's decision reads all dimensions.
    volumes : {modality: (n, C, X, Y, Z)}
    labels, subjects : array-like, shape (n,)
        0 or 1.
    values, picks
        Everybody's maps (n, picks, voxels), whose absolute group difference is
        the order, and which they are.
    mask : array of bool, shape (X, Y, Z)
    mean_images : {modality: (C, X, Y, Z)}
        Of the training people.
    steps, orders, resamples : int
        Steps of deletion, random orders, draws of the bootstrap.
    seed : int
        Of the random orders and the bootstrap.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    curves, areas : DataFrame
        source, modality, sign and: fraction, map, random (AUCs, mean of the
        halves; at 0 nothing is deleted); intact, intact_low (AUC of all before
        and its lower 95 % limit), area, low, high (95 %).

        Groups of fewer than 8 people cannot be halved: nothing is deleted
        then, and areas are NaN.

    Raises
    ------
    ValueError
        For maps not finite or of another number, or labels that are not
        two-valued.
    """
    values = np.asarray(values)
    labels, subjects = np.asarray(labels), np.asarray(subjects)
    _check_maps(values, (len(labels), len(picks)))
    if orders < 2 or steps < 1:
        raise ValueError(
            f"orders={orders}, steps={steps}: expected at least 2 and at "
            "least 1"
        )
    if not _can_be_halved(labels, subjects):
        return _intact_only(
            encoders, probes, volumes, labels, subjects, picks, seed
        )
    rows_of_halves = halves(labels, subjects)
    people = []
    for i, rows in enumerate(rows_of_halves):
        people.append(_half(rows, labels, subjects, resamples, seed + i))
    shares = LARGEST * 0.5 ** np.arange(steps - 1, -1, -1)
    counts = np.maximum(1, np.rint(shares * np.sum(mask))).astype(int)
    curves, areas = [], []
    bar = tqdm(
        total=len(probes) * orders + len(picks),
        desc="deletion",
        leave=False,
        disable=not progress,
    )
    with bar:
        for modality, probe in probes.items():
            deletion = _Deletion(
                encoders[modality],
                probe,
                volumes[modality],
                mask,
                mean_images[modality],
                people,
                [0, *counts],
                bar,
            )
            is_own = (picks["modality"] == modality).to_numpy()
            maps = _maps_of_other_half(
                values[:, is_own], labels, rows_of_halves
            )
            random = deletion.random_aucs(maps, orders, seed)
            intact = _intact_auc(
                encoders[modality],
                probe,
                volumes[modality],
                labels,
                subjects,
                seed,
            )
            keys = picks.loc[is_own, list(KEYS)]
            for i, key in enumerate(keys.itertuples(index=False, name=None)):
                by_map = deletion.aucs(_descending(maps[:, i]))
                area = _area(random[:, 1:], by_map[1:])
                areas.append((*key, *intact, *area))
                curves += _curve(key, shares, by_map, random)
    return _tables(curves, areas)


def halves(labels, subjects) -> tuple[np.ndarray, np.ndarray]:
    """Rows of every other person of each group, and the rows of the others.

    Raises
    ------
    ValueError
        For labels that are not two-valued, or fewer than 8 people of a group.
    """
    if not _can_be_halved(labels, subjects):
        raise ValueError(
            f"a group of fewer than {2 * SMALLEST_GROUP} people: its halves "
            "cannot be mapped apart"
        )
    subjects = np.asarray(subjects)
    group = two_groups(labels, len(labels))
    half = np.zeros(len(labels), dtype=int)
    for side in (group, ~group):
        _, person = np.unique(subjects[side], return_inverse=True)
        half[side] = person % 2
    return np.flatnonzero(half == 0), np.flatnonzero(half == 1)


def _can_be_halved(labels, subjects) -> bool:
    """Whether each half of each group has as many people as a map of groups
    needs.
    """
    group = two_groups(labels, len(labels))
    subjects = np.asarray(subjects)
    sizes = [len(np.unique(subjects[side])) for side in (group, ~group)]
    return min(sizes) >= 2 * SMALLEST_GROUP


@dataclass(frozen=True)
class _Half:
    """People whose separation is measured: their rows, labels, and weights (1
    + resamples, rows), the first of them 1 for everybody.
    """

    rows: np.ndarray
    labels: np.ndarray
    weights: np.ndarray


def _half(rows, labels, subjects, resamples: int, seed: int) -> _Half:
    draws = Clusters(labels[rows], subjects[rows]).draws(resamples, seed)
    weights = np.vstack([np.ones(len(rows)), draws])
    return _Half(rows, labels[rows], weights)


@dataclass(frozen=True)
class _Deletion:
    """Deletion from the images of one modality, and what it leaves of the
    probe's AUC.
    """

    encoder: object
    probe: LogisticFit
    volumes: np.ndarray
    mask: np.ndarray
    mean_image: np.ndarray
    people: list[_Half]
    counts: list[int]
    bar: tqdm

    def aucs(self, orders) -> np.ndarray:
        """AUCs after each count of deleted voxels, (counts, 1 + resamples),
        mean of the halves, each deleted in an order of its own.
        """
        self.bar.update()
        by_half = []
        for half, order in zip(self.people, orders, strict=True):
            aucs = []
            for count in self.counts:
                images = delete_voxels(
                    self.volumes[half.rows],
                    self.mask,
                    order,
                    count,
                    self.mean_image,
                )
                scores = probe_scores(self.encoder, self.probe, images)
                aucs.append(weighted_auc(half.labels, scores, half.weights))
            by_half.append(aucs)
        return np.mean(by_half, axis=0)

    def random_aucs(self, maps, orders: int, seed: int) -> np.ndarray:
        """`aucs` in random orders as smooth as the maps, (orders, counts, 1 +
        resamples).
        """
        flat = maps.reshape(-1, maps.shape[-1])
        sigma = np.mean([smoothness(values, self.mask) for values in flat])
        aucs = []
        for i in range(orders):
            order = smooth_random_order(self.mask, sigma, seed + i)
            aucs.append(self.aucs((order, order)))
        return np.array(aucs)


def _maps_of_other_half(values, labels, rows_of_halves) -> np.ndarray:
    """Group maps by which each half is deleted, (2, picks, voxels)."""
    maps = []
    for rows in reversed(rows_of_halves):
        maps.append(rank_biserial_maps(values[rows], labels[rows]))
    return np.array(maps)


def _descending(maps) -> np.ndarray:
    """Orders of voxels by absolute value, largest first."""
    return np.argsort(-np.abs(maps), axis=1, kind="stable")


def _area(random, by_map) -> tuple[float, float, float]:
    """Area and its limits, from AUCs (orders, steps, 1 + resamples) and
    (steps, 1 + resamples).
    """
    losses = (random - by_map).mean(axis=1)  # (orders, 1 + resamples)
    orders = len(random)
    area = losses[:, 0].mean()
    people_variance = losses[:, 1:].mean(axis=0).var(ddof=1)
    order_variance = losses[:, 0].var(ddof=1) * (1 + 1 / orders)
    quantile = student.ppf(0.975, orders - 1)
    half_width = quantile * np.sqrt(people_variance + order_variance)
    return area, area - half_width, area + half_width


def _curve(key: tuple, shares, by_map, random) -> list[tuple]:
    """Rows of a curve, from AUCs (counts, 1 + resamples) and (orders, counts,
    1 + resamples).
    """
    points = zip(
        (0.0, *shares),
        by_map[:, 0],
        random[..., 0].mean(axis=0),
        strict=True,
    )
    return [(*key, *point) for point in points]


def _intact_auc(
    encoder, probe, volumes, labels, subjects, seed: int
) -> tuple[float, float]:
    """AUC before anything is deleted, and its lower 95 % limit."""
    scores = probe_scores(encoder, probe, volumes)
    auc = auc_interval(labels, scores, subjects, seed=seed)
    return auc.estimate, auc.low


def _intact_only(
    encoders, probes, volumes, labels, subjects, picks, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables of `measure_deletion` where people are too few: the AUC of
    intact images.
    """
    curves, areas = [], []
    for key in picks[list(KEYS)].itertuples(index=False, name=None):
        modality = key[1]
        auc, low = _intact_auc(
            encoders[modality],
            probes[modality],
            volumes[modality],
            labels,
            subjects,
            seed,
        )
        curves.append((*key, 0.0, auc, auc))
        areas.append((*key, auc, low, np.nan, np.nan, np.nan))
    return _tables(curves, areas)


def _tables(curves, areas) -> tuple[pd.DataFrame, pd.DataFrame]:
    import pandas as pd

    return (
        pd.DataFrame(curves, columns=CURVES),
        pd.DataFrame(areas, columns=AREAS),
    )


def _check_maps(values: np.ndarray, expected: tuple[int, int]) -> None:
    """ValueError for people's maps of another number or not finite."""
    finite = np.isfinite(values)
    if values.shape[:2] != expected or not finite.all():
        people, picks = expected
        raise ValueError(
            f"values: shape {values.shape}, {int((~finite).sum())} not "
            f"finite; expected finite ({people}, {picks}, voxels)"
        )
