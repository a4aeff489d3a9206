"""What a probe loses when voxels are deleted in the order of a map (Samek et
al. 2017), in 3D.

Against the order of the map stands a random one that is as smooth: scattered
single voxels are filled in by any convolution, and would lose to any smooth
order, true or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.stats import t as student
from tqdm.auto import tqdm

from mmssl.evaluate.probes import LogisticFit
from mmssl.groupmaps.clusters import to_volume
from mmssl.ledger.artefacts import KEYS
from mmssl.pretrain.encoders import encode
from mmssl.saliency.dimensions import effects
from mmssl.stats.auc import weighted_auc
from mmssl.stats.bootstrap import Clusters, auc_interval
from mmssl.stats.permutation import SMALLEST_GROUP, two_groups

if TYPE_CHECKING:
    import pandas as pd

LARGEST = 1 / 8
"""Share of the brain that is deleted last; with more, random orders differ
more than maps do.
"""

CURVES = [*KEYS, "fraction", "map", "blobs"]
AREAS = [*KEYS, "intact", "intact_low", "area", "low", "high"]


def deleted(volumes, mask, order, count: int, baseline) -> np.ndarray:
    """Images whose first ``count`` voxels in an order are those of the
    baseline.

    Parameters
    ----------
    volumes : array, shape (n, C, X, Y, Z)
    mask : array of bool, shape (X, Y, Z)
    order : array of int, shape (voxels,)
        Of the mask's voxels.
    baseline : array, shape (C, X, Y, Z)
    """
    gone = np.flatnonzero(mask)[order[:count]]
    copy = np.array(volumes)
    copy.reshape(*copy.shape[:2], -1)[..., gone] = baseline.reshape(
        len(baseline), -1
    )[:, gone]
    return copy


def smoothness(values, mask) -> float:
    r"""Sigma in voxels of the Gaussian that made noise as smooth as a map,
    (voxels,).

    Neighbours of noise smoothed by a Gaussian correlate by :math:`\exp(-1 / 4
    \sigma^2)` (Kiebel et al. 1999); here over pairs of neighbours that both
    lie in the mask, the three axes together.
    """
    volume, inside = (
        to_volume(values - np.mean(values), mask).astype(np.float64),
        np.asarray(mask),
    )
    products, squares = 0.0, 0.0
    for axis in range(3):
        a, b = (
            np.take(volume, range(i, volume.shape[axis] - 1 + i), axis)
            for i in (0, 1)
        )
        both = np.logical_and(
            *(
                np.take(inside, range(i, inside.shape[axis] - 1 + i), axis)
                for i in (0, 1)
            )
        )
        products += (a * b)[both].sum()
        squares += ((a**2 + b**2)[both]).sum() / 2
    r = np.clip(products / squares if squares > 0 else 0.0, 1e-3, 1 - 1e-3)
    return float(np.sqrt(-1 / (4 * np.log(r))))


def blobs(mask, sigma: float, seed: int) -> np.ndarray:
    """A random order of the mask's voxels, (voxels,): absolute smooth noise,
    largest first.
    """
    noise = np.random.default_rng(seed).normal(size=np.shape(mask))
    return np.argsort(
        -np.abs(ndimage.gaussian_filter(noise, sigma))[np.asarray(mask)]
    )


def deletion(
    encoders: Mapping,
    fits: Mapping,
    volumes: Mapping,
    labels,
    subjects,
    values,
    picks: pd.DataFrame,
    mask,
    baselines: Mapping,
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
    With :math:`A_m` and :math:`A_b` the AUCs after deletion by map and by
    blobs, the area is :math:`\overline{A_b(f) - A_m(f)}`, the mean over steps,
    halves and :math:`R` random orders. A map that means nothing is one more
    random order, so its limits are those of Student's t with :math:`R - 1`
    degrees of freedom at

    .. math:: \mathrm{area} \pm t \sqrt{v_p + (1 + 1 / R)\, v_o},

    :math:`v_p` the variance over people resampled within class and half, and
    :math:`v_o` over random orders. By people alone one such map in five would
    seem to matter (T1 of the simulated cohort).

    Parameters
    ----------
    encoders, fits : {modality: Module} and {modality: LogisticFit}
        Of one source; the probe's decision reads all dimensions.
    volumes : {modality: (n, C, X, Y, Z)}
    labels, subjects : array-like, shape (n,)
        0 or 1.
    values, picks
        Everybody's maps (n, picks, voxels), whose absolute group difference is
        the order, and which they are.
    mask : array of bool, shape (X, Y, Z)
    baselines : {modality: (C, X, Y, Z)}, mean images of the training people.
    steps, orders, resamples : int
        Steps of deletion, random orders, draws of the bootstrap.

    Returns
    -------
    curves, areas : DataFrame
        source, modality, sign and: fraction, map, blobs (AUCs, mean of the
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
    import pandas as pd

    values, labels, subjects = (
        np.asarray(values),
        np.asarray(labels),
        np.asarray(subjects),
    )
    if (
        values.shape[:2] != (len(labels), len(picks))
        or not np.isfinite(values).all()
    ):
        raise ValueError(
            f"values: shape {values.shape}, {int((~np.isfinite(values)).sum())} not "
            f"finite; expected finite ({len(labels)}, {len(picks)}, voxels)"
        )
    if orders < 2 or steps < 1:
        raise ValueError(
            f"orders={orders}, steps={steps}: expected at least 2 and at least 1"
        )
    if not _many(labels, subjects):
        return _nothing(encoders, fits, volumes, labels, subjects, picks, seed)
    parts, lines, areas = halves(labels, subjects), [], []
    people = [
        _Tested(part, labels, subjects, resamples, seed + i)
        for i, part in enumerate(parts)
    ]
    shares = LARGEST * 0.5 ** np.arange(steps - 1, -1, -1)
    counts = [0, *np.maximum(1, np.rint(shares * np.sum(mask))).astype(int)]
    with tqdm(
        total=len(fits) * orders + len(picks),
        desc="deletion",
        leave=False,
        disable=not progress,
    ) as bar:
        for m, fit in fits.items():
            read, mine = (
                partial(scores, encoders[m], fit),
                (picks["modality"] == m).to_numpy(),
            )
            left = partial(
                _left,
                people,
                read,
                volumes[m],
                mask,
                counts,
                baselines[m],
                bar,
            )
            maps = np.array(
                [
                    effects(values[part][:, mine], labels[part])
                    for part in parts[::-1]
                ]
            )
            sigma = np.mean(
                [smoothness(e, mask) for e in maps.reshape(-1, maps.shape[-1])]
            )
            drawn = (blobs(mask, sigma, seed + i) for i in range(orders))
            # (orders, counts, …)
            blind = np.array([left((order, order)) for order in drawn])
            whole = auc_interval(labels, read(volumes[m]), subjects, seed=seed)
            keys = picks.loc[mine, list(KEYS)].itertuples(
                index=False, name=None
            )
            for key, both in zip(keys, maps.swapaxes(0, 1), strict=True):
                after = left(np.argsort(-np.abs(both), axis=1, kind="stable"))
                areas.append(
                    (
                        *key,
                        whole.estimate,
                        whole.low,
                        *_area(blind[:, 1:], after[1:]),
                    )
                )
                at = zip(
                    (0.0, *shares),
                    after[:, 0],
                    blind[..., 0].mean(axis=0),
                    strict=True,
                )
                lines += [(*key, *point) for point in at]
    return pd.DataFrame(lines, columns=CURVES), pd.DataFrame(
        areas, columns=AREAS
    )


class _Tested:
    """People whose separation is measured: rows, labels, and weights (1 +
    resamples, rows).
    """

    def __init__(
        self, rows, labels, subjects, resamples: int, seed: int
    ) -> None:
        self.rows, self.labels = rows, labels[rows]
        draws = Clusters(self.labels, subjects[rows]).draws(resamples, seed)
        self.weights = np.vstack([np.ones(len(rows)), draws])


def _left(
    people, read, volumes, mask, counts, baseline, bar, orders
) -> np.ndarray:
    """(counts, 1 + resamples) AUCs, mean of the halves, each deleted in an
    order of its own.
    """
    bar.update()
    return np.mean(
        [
            [
                weighted_auc(
                    half.labels,
                    read(
                        deleted(volumes[half.rows], mask, order, n, baseline)
                    ),
                    half.weights,
                )
                for n in counts
            ]
            for half, order in zip(people, orders, strict=True)
        ],
        axis=0,
    )


def _area(blind, after) -> tuple[float, float, float]:
    """Area and its limits, from AUCs (orders, steps, 1 + resamples) and
    (steps, 1 + resamples).
    """
    # (orders, 1 + resamples)
    losses, orders = (blind - after).mean(axis=1), len(blind)
    area, people = losses[:, 0].mean(), losses[:, 1:].mean(axis=0).var(ddof=1)
    spread = losses[:, 0].var(ddof=1) * (1 + 1 / orders)
    half = student.ppf(0.975, orders - 1) * np.sqrt(people + spread)
    return area, area - half, area + half


def halves(labels, subjects) -> tuple[np.ndarray, np.ndarray]:
    """Rows of every other person of each group, and the rows of the others.

    Raises
    ------
    ValueError
        For labels that are not two-valued, or fewer than 8 people of a group.
    """
    if not _many(labels, subjects):
        raise ValueError(
            f"a group of fewer than {2 * SMALLEST_GROUP} people: its halves "
            "cannot be mapped apart"
        )
    group, place = (
        two_groups(labels, len(labels)),
        np.zeros(len(labels), dtype=int),
    )
    for side in (group, ~group):
        place[side] = (
            np.unique(np.asarray(subjects)[side], return_inverse=True)[1] % 2
        )
    return np.flatnonzero(place == 0), np.flatnonzero(place == 1)


def _many(labels, subjects) -> bool:
    """Whether each half of each group has as many people as a map of groups
    needs.
    """
    group, subjects = two_groups(labels, len(labels)), np.asarray(subjects)
    smaller = min(len(np.unique(subjects[side])) for side in (group, ~group))
    return smaller >= 2 * SMALLEST_GROUP


def _nothing(encoders, fits, volumes, labels, subjects, picks, seed):
    """What `deletion` says where people are too few: the AUC of intact
    images.
    """
    import pandas as pd

    lines, areas = [], []
    for key in picks[list(KEYS)].itertuples(index=False, name=None):
        m = key[1]
        whole = auc_interval(
            labels,
            scores(encoders[m], fits[m], volumes[m]),
            subjects,
            seed=seed,
        )
        lines.append((*key, 0.0, whole.estimate, whole.estimate))
        areas.append((*key, whole.estimate, whole.low, *(np.nan,) * 3))
    return pd.DataFrame(lines, columns=CURVES), pd.DataFrame(
        areas, columns=AREAS
    )


def scores(encoder, fit: LogisticFit, volumes) -> np.ndarray:
    """Decision of a probe on the codes of images, (n,)."""
    return fit.pipeline.decision_function(
        encode({0: encoder}, {0: volumes})[0]
    )
