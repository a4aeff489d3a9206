"""What is made larger, and what it costs then."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from growth import Growth
from steps import Step

from mmssl.groupmaps.mann_whitney import max_statistic_test, rank_biserial
from mmssl.groupmaps.tfce import enhance
from mmssl.losses.infonce import info_nce
from mmssl.models.dcgan import Encoder
from mmssl.models.keyed_random import Stream
from mmssl.objectives.corruptions import blurred, shuffled
from mmssl.objectives.energy_bands import energy_bands
from mmssl.objectives.views import PadCropFlip, make_views
from mmssl.preprocessing.falff import falff
from mmssl.pretrain.neighbours import nearest_neighbours_auc
from mmssl.robustness.distortions import distort
from mmssl.saliency.smoothgrad import smoothgrad
from mmssl.similarity.measures import cka, measures
from mmssl.stats.auc import roc_auc
from mmssl.stats.bootstrap import auc_interval
from mmssl.stats.delong import difference_interval

PEOPLE = (100, 1_000, 3_000, 10_000)
# up to 3,000 people the codes stay in a cache, and more cost more each
FAST = (100, 1_000, 10_000, 100_000)
SIDES = (32, 64, 128)


def _codes(people: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, people, 64))


def _labelled(people: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(people) % 2
    return labels, rng.normal(size=people) + labels


def _cka(people: int) -> Callable:
    return partial(cka, *_codes(people), True)


def _measures(people: int) -> Callable:
    return partial(measures, *_codes(people))


def _auc(people: int) -> Callable:
    return partial(roc_auc, *_labelled(people))


def _bootstrap(people: int) -> Callable:
    return partial(auc_interval, *_labelled(people), np.arange(people))


def _delong(people: int) -> Callable:
    labels, scores = _labelled(people)
    others = scores[::-1].copy()
    subjects = np.arange(people)
    return partial(difference_interval, labels, scores, others, subjects)


def _ranks(people: int) -> Callable:
    values = np.random.default_rng(0).normal(size=(people, 1000))
    return partial(rank_biserial, values[::2], values[1::2])


def _neighbours(people: int) -> Callable:
    codes, _ = _codes(people)
    labels, _ = _labelled(people)
    half = people // 2
    return partial(
        nearest_neighbours_auc,
        torch.from_numpy(codes[:half]),
        torch.from_numpy(labels[:half]),
        torch.from_numpy(codes[half:]),
        torch.from_numpy(labels[half:]),
    )


def _permuted(people: int) -> Callable:
    return _test(people, 2000, 500)


def _test(people: int, voxels: int, permutations: int) -> Callable:
    values = np.random.default_rng(0).normal(size=(people, voxels))
    labels = np.arange(people) % 4 == 0
    return partial(
        max_statistic_test,
        values.astype(np.float32),
        labels,
        permutations,
        progress=False,
    )


def _permutations(number: int) -> Callable:
    return _test(88, 4000, number)


def _permuted_voxels(side: int) -> Callable:
    return _test(88, side**3 // 4, 200)


def _volumes(side: int, rows: int = 2) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(rows, 1, side, side, side, generator=draw)


def _stream(rows: int) -> Stream:
    return Stream(torch.arange(rows), 0, 0)


def _step_of_size(side: int) -> Callable:
    return Step(sides=(side,) * 3, batch=2, width=8).take


def _step_of_batch(batch: int) -> Callable:
    return Step(sides=(32,) * 3, batch=batch).take


def _step_of_modalities(modalities: int) -> Callable:
    return Step(sides=(32,) * 3, batch=16, modalities=modalities).take


def _views(side: int) -> Callable:
    images = {"T1": _volumes(side).half()}
    rows = {"T1": torch.arange(2)}
    recipe = PadCropFlip()
    return partial(
        make_views, images, rows, {"main": None}, recipe, _stream(2)
    )


def _smoothgrad(side: int) -> Callable:
    encoder = Encoder(width=8, size=side).eval()
    return partial(
        smoothgrad, encoder, _volumes(side, 1), 2, dimensions=range(8)
    )


def _tfce(side: int) -> Callable:
    mask = np.ones((side,) * 3, bool)
    draw = torch.nn.functional.interpolate(
        _volumes(16, 1), scale_factor=side // 16, mode="trilinear"
    )
    values = 0.3 * draw.flatten().numpy()
    return partial(enhance, values.clip(-0.9, 0.9)[None], mask)


def _falff(side: int) -> Callable:
    bold = np.random.default_rng(0).normal(size=(side, side, side // 2, 60))
    return partial(falff, bold.astype(np.float32), 2.0, low=0.02)


def _bands(side: int) -> Callable:
    return partial(energy_bands, _volumes(side))


def _blur(side: int) -> Callable:
    return partial(blurred, _volumes(side), _stream(2), probability=1.0)


def _shuffle(side: int) -> Callable:
    return partial(shuffled, _volumes(side), _stream(2), probability=1.0)


def _elastic(side: int) -> Callable:
    affine = np.diag([192 / side] * 3 + [1.0])
    point = "elastic", "max_displacement", 5.0
    return partial(distort, _volumes(side), *point, 0, affine)


def _info_nce(batch: int) -> Callable:
    local = torch.randn(batch, 64, 512, requires_grad=True)
    anchor = torch.randn(batch, 64, requires_grad=True)

    def call() -> None:
        loss, penalty = info_nce(local, anchor)
        torch.autograd.grad(loss + penalty, (local, anchor))

    return call


def voxels(sides: tuple[int, ...]) -> tuple[int, ...]:
    """Voxels of cubes."""
    return tuple(side**3 for side in sides)


def of_sides(make: Callable[[int], Callable]) -> Callable:
    """The same, of the number of voxels."""
    return partial(_of_voxels, make)


def _of_voxels(make: Callable, number: int) -> Callable:
    return make(round(number ** (1 / 3)))


SUBJECTS = (
    Growth("debiased CKA", "subjects", FAST, _cka),
    Growth("all measures of similarity", "subjects", PEOPLE, _measures),
    Growth("ROC-AUC", "subjects", PEOPLE, _auc),
    Growth("bootstrap interval of an AUC", "subjects", PEOPLE, _bootstrap),
    Growth("DeLong's interval of a difference", "subjects", PEOPLE, _delong),
    Growth("rank-biserial map, 1000 voxels", "subjects", PEOPLE, _ranks),
    Growth("500 permutations, 2000 voxels", "subjects", PEOPLE, _permuted),
    Growth(
        "nearest neighbours' AUC",
        "subjects",
        PEOPLE,
        _neighbours,
        2.0,
        "each person is compared with each",
    ),
)
PERMUTATIONS = (
    Growth(
        "test of the largest value, 4000 voxels",
        "permutations",
        (1_000, 3_000, 10_000, 30_000),
        _permutations,
    ),
)
VOXELS = tuple(
    Growth(name, "voxels", voxels(sides), of_sides(make), expected, why)
    for name, sides, make, expected, why in (
        ("training step, batch 2, width 8", SIDES, _step_of_size, 1.0, ""),
        ("input pipeline", SIDES, _views, 1.0, ""),
        ("SmoothGrad, width 8", SIDES, _smoothgrad, 1.0, ""),
        ("200 permutations, a quarter", SIDES, _permuted_voxels, 1.0, ""),
        ("TFCE of a map", SIDES, _tfce, 1.0, ""),
        ("fALFF, half", SIDES, _falff, 1.0, ""),
        (
            "energy bands",
            SIDES,
            _bands,
            4 / 3,
            "a filter of 16 voxels is a product of full lines",
        ),
        (
            "blur of PCRL",
            SIDES,
            _blur,
            4 / 3,
            "a filter is a product of full lines",
        ),
        ("shuffling of PCRL", SIDES, _shuffle, 1.0, ""),
        ("elastic deformation", SIDES, _elastic, 1.0, ""),
    )
)
BATCHES = (
    Growth("training step, 32³", "batch", (8, 16, 32, 64), _step_of_batch),
    Growth(
        "InfoNCE of an edge, 512 places",
        "batch",
        (8, 16, 32, 64, 128),
        _info_nce,
        2.0,
        "each anchor is compared with the places of each row",
    ),
)
MODALITIES = (
    Growth(
        "training step, 32³, batch 16",
        "modalities",
        (2, 3, 4),
        _step_of_modalities,
        2.0,
        "cross terms are summed over ordered pairs; encoders grow with their "
        "number",
    ),
)
