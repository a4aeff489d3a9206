"""A few of the phantom's people raw: as a scanner would hand them over, with
the transforms known.

The T1 and the BOLD of one person lie in one native world, where the head is
the template's, moved by a planted similarity (7 degrees of freedom), tilted
and off the origin,

    native mm = similarity · MNI mm,

with fluid, skull and scalp around the brain, other voxel sizes, oblique axes
and, in odd people, a left-to-right storage order. In the BOLD the head moves;
the first volume is the reference. The smooth individual deformation has its
affine part removed, so that the planted similarity is the one that
registration should find.

Layout, under ``<cohort>/raw/<id>/``: ``<id>_T1w.nii.gz``,
``<id>_task-rest_bold.nii.gz``, a JSON sidecar each, ``truth.json``
(similarity, motion) and ``truth_mask.nii.gz`` (brain, T1 space).
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from scipy import ndimage

from mmssl.cohorts.simulated import factors, images
from mmssl.cohorts.simulated.anatomy import anatomy
from mmssl.cohorts.simulated.planted_masks import NETWORKS
from mmssl.preprocessing import template

PAD = 20  # mm of air added around the template for skull and scalp
# mm from the brain, T1 intensity up to there
SHELLS = ((2.5, 0.22), (8.0, 0.06), (14.0, 0.80))
BOLD_LEVEL = {"fluid": 1.0, "grey": 0.8, "white": 0.65, "shell": 0.45}
_GEOMETRY, _RAW_T1, _RAW_BOLD, _MOTION = 21, 22, 23, 24
_FIRST = 1_000_000  # index of the first raw person, far from the cohort's


class Head(NamedTuple):
    """The template with a shell around it, 1 mm: t1, brain, grey, white, shell
    and its affine.
    """

    t1: np.ndarray
    brain: np.ndarray
    grey: np.ndarray
    white: np.ndarray
    shell: np.ndarray
    affine: np.ndarray


@lru_cache(maxsize=1)
def head() -> Head:
    """The template's head: brain, fluid, skull and scalp in concentric
    shells.
    """
    full = template.full()
    t1, brain, grey, white = (
        np.pad(m, PAD) for m in (full.t1, full.mask, full.grey, full.white)
    )
    distance = ndimage.distance_transform_edt(
        ~ndimage.binary_closing(brain, iterations=6)
    )
    shell = np.zeros_like(t1)
    for reach, value in reversed(SHELLS):
        shell[distance <= reach] = value
    shell[brain] = 0
    affine = full.affine.copy()
    affine[:3, 3] -= PAD
    return Head(
        t1 + shell, brain.astype(np.float32), grey, white, shell, affine
    )


def make(folder: Path, people: int, seed: int, design: images.Design) -> None:
    """Write ``people`` raw persons, ``raw-01``, ``raw-02``, …, under
    ``folder``.
    """
    for k in range(people):
        _person(folder / f"raw-{k + 1:02d}", k, seed, design)


def _person(folder: Path, k: int, seed: int, design: images.Design) -> None:
    person = images.Person(_FIRST + k, seed, factors.person(_FIRST + k, seed))
    rng = person.rng(_GEOMETRY)
    similarity = _similarity(rng)
    centre = (similarity @ [*template.CENTRE, 1])[:3]
    flip = k % 2 == 1
    t1_affine, t1_shape = _grid(
        rng, centre, rng.permutation([1.4, 1.5, 1.7]), flip
    )
    bold_affine, bold_shape = _grid(
        rng, centre, np.array([3.6, 3.6, 4.0]), flip
    )
    tr = float(rng.choice([2.0, 2.2, 2.5]))
    # one period of the band's lower edge, 100 s
    volumes = int(np.ceil(rng.uniform(104, 124) / tr))
    motion = _motion(person.rng(_MOTION), volumes, centre)
    folder.mkdir(parents=True)
    t1, brain = _t1(person, similarity, t1_affine, t1_shape, design)
    bold = _bold(
        person, similarity, bold_affine, bold_shape, motion, tr, design
    )
    _save(
        folder / f"{folder.name}_T1w.nii.gz", t1, t1_affine, {"Modality": "MR"}
    )
    _save(
        folder / f"{folder.name}_task-rest_bold.nii.gz",
        bold,
        bold_affine,
        {"Modality": "MR", "TaskName": "rest", "RepetitionTime": tr},
        tr,
    )
    nib.Nifti1Image(brain, t1_affine).to_filename(folder / "truth_mask.nii.gz")
    truth = {
        "similarity": similarity.tolist(),
        "similarity_maps": "MNI152 mm to native world mm",
        "motion": motion.tolist(),
        "motion_maps": "native world mm at the first volume to native world mm at volume t",
        "factors": {
            key: value
            for key, value in person.factors.items()
            if key != "participant_id"
        },
    }
    (folder / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")


def _similarity(rng: np.random.Generator) -> np.ndarray:
    """(4, 4): tilt up to 15 degrees about each axis, scale 0.94-1.08, up to 25
    mm off.
    """
    matrix = np.eye(4)
    turn = _rotation(rng.uniform(-15, 15, 3) * [1, 0.5, 0.5])
    matrix[:3, :3] = turn * rng.uniform(0.94, 1.08)
    matrix[:3, 3] = rng.uniform(-25, 25, 3)
    return matrix


def _rotation(degrees: np.ndarray) -> np.ndarray:
    """(3, 3): turns about x, then y, then z."""
    a, b, c = np.deg2rad(degrees)
    x = np.array(
        [[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]
    )
    y = np.array(
        [[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]]
    )
    z = np.array(
        [[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]]
    )
    return z @ y @ x


def _grid(rng, centre, spacing, flip) -> tuple[np.ndarray, tuple[int, ...]]:
    """Affine and shape of an oblique field of view of 208 x 240 x 224 mm
    around the head.
    """
    shape = np.ceil(np.array([208, 240, 224]) / spacing).astype(int)
    axes = _rotation(rng.uniform(-4, 4, 3)) * spacing
    if flip:
        axes[:, 0] *= -1
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = centre - axes @ ((shape - 1) / 2) + rng.uniform(-4, 4, 3)
    return affine, tuple(int(n) for n in shape)


def _motion(rng, volumes: int, centre: np.ndarray) -> np.ndarray:
    """(T, 4, 4) rigid: a smooth walk of up to a few mm and degrees; identity
    at the first.
    """
    walk = ndimage.gaussian_filter1d(
        rng.standard_normal((volumes, 6)), 3, axis=0
    ).cumsum(axis=0)
    walk = (walk - walk[0]) * [0.12, 0.08, 0.08, 0.12, 0.12, 0.2]
    matrices = np.tile(np.eye(4), (volumes, 1, 1))
    for t, (rx, ry, rz, *shift) in enumerate(walk):
        turn = _rotation(np.array([rx, ry, rz]))
        matrices[t, :3, :3] = turn
        matrices[t, :3, 3] = centre - turn @ centre + shift
    return matrices


def _anatomy_points(
    person, similarity, affine, shape, design
) -> tuple[np.ndarray, np.ndarray]:
    """Indices (n,) of the voxels in the head, and (n, 3) MNI mm of the anatomy
    they show.
    """
    to_head = np.linalg.inv(head().affine) @ np.linalg.inv(similarity) @ affine
    near = ndimage.affine_transform(
        (head().t1 > 0).astype(np.uint8),
        to_head[:3, :3],
        to_head[:3, 3],
        shape,
        order=0,
    )
    index = np.flatnonzero(ndimage.binary_dilation(near, iterations=2))
    voxels = np.stack(np.unravel_index(index, shape))
    to_mni = np.linalg.inv(similarity) @ affine
    q = (to_mni[:3, :3] @ voxels + to_mni[:3, 3:]).T
    to_coarse = np.linalg.inv(template.grid(32)) @ to_mni
    coarse = (to_coarse[:3, :3] @ voxels + to_coarse[:3, 3:]).astype(
        np.float32
    )
    moved = [
        ndimage.map_coordinates(d, coarse, order=1, mode="nearest")
        for d in _displacement(person, design)
    ]
    return index, q + np.stack(moved, axis=1)


def _displacement(person, design) -> np.ndarray:
    """(3, 32, 32, 32) mm: half the cohort's deformation without its affine
    part, and the push.

    On a coarse grid, because it is smooth and a native T1 has millions of
    voxels.
    """
    grid = template.grid(32)
    points = nib.affines.apply_affine(
        grid, np.indices((32, 32, 32)).reshape(3, -1).T
    )
    free = images.deformation(points, person, design)
    brain = template.template(32).mask.ravel()
    ones = np.c_[points, np.ones(len(points))]
    free -= ones @ np.linalg.lstsq(ones[brain], free[brain])[0]
    y = points + 0.5 * free
    push = design.ventricles * (
        person.severity() + design.age * person.years()
    )
    y = y + push * anatomy(32).sample(["push_x", "push_y", "push_z"], y).T
    return (y - points).T.reshape(3, 32, 32, 32)


def _sample(maps, y) -> list[np.ndarray]:
    voxels = (np.linalg.inv(head().affine) @ np.c_[y, np.ones(len(y))].T)[
        :3
    ].astype(np.float32)
    return [ndimage.map_coordinates(m, voxels, order=1) for m in maps]


def _t1(
    person, similarity, affine, shape, design
) -> tuple[np.ndarray, np.ndarray]:
    """T1 (int16) with Rician noise and a bias field, and the true brain mask
    (uint8).
    """
    rng = person.rng(_RAW_T1)
    index, y = _anatomy_points(person, similarity, affine, shape, design)
    value, inside = _sample([head().t1, head().brain], y)
    x = (y - template.CENTRE) / 100
    value = value * np.exp(x @ rng.normal(0, 0.12, 3))
    clean = np.zeros(shape, dtype=np.float32)
    clean.ravel()[index] = value
    noise = rng.standard_normal((2, *shape), dtype=np.float32) * design.noise
    brain = np.zeros(shape, dtype=np.uint8)
    brain.ravel()[index] = inside > 0.5
    return (800 * np.hypot(clean + noise[0], noise[1])).astype(np.int16), brain


def _bold(person, similarity, affine, shape, motion, tr, design) -> np.ndarray:
    """(X, Y, Z, T) int16: tissue levels, 2 % fluctuations with the phantom's
    spectra, motion.
    """
    rng = person.rng(_RAW_BOLD)
    index, y = _anatomy_points(person, similarity, affine, shape, design)
    grey, white, brain, shell = _sample(
        [head().grey, head().white, head().brain, head().shell], y
    )
    fluid = np.clip(brain - grey - white, 0, 1)
    level = (
        BOLD_LEVEL["grey"] * grey
        + BOLD_LEVEL["white"] * white
        + BOLD_LEVEL["fluid"] * fluid
        + BOLD_LEVEL["shell"] * shell
    )
    networks = anatomy(32).sample(list(NETWORKS), y)
    amplitude = images.amplitude(grey, white, networks, person, rng, design)
    series = images.series(amplitude, networks, rng, design, len(motion), tr)
    series = level[:, None] * (
        1 + 0.02 * brain[:, None] * series / series.std()
    )
    still, result = (
        np.zeros(shape, dtype=np.float32),
        np.empty((*shape, len(motion)), np.int16),
    )
    for t, move in enumerate(motion):
        still.ravel()[index] = series[:, t]
        back = np.linalg.inv(affine) @ np.linalg.inv(move) @ affine
        moved = ndimage.affine_transform(
            still, back[:3, :3], back[:3, 3], order=3
        )
        noise = 0.004 * rng.standard_normal((2, *shape), dtype=np.float32)
        result[..., t] = 4000 * np.hypot(moved + noise[0], noise[1])
    return result


def _save(
    path: Path, data: np.ndarray, affine: np.ndarray, about: dict, tr=None
) -> None:
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm", "sec")
    if tr is not None:
        image.header.set_zooms((*image.header.get_zooms()[:3], tr))
    image.to_filename(path)
    path.with_name(path.name.replace(".nii.gz", ".json")).write_text(
        json.dumps(about, indent=1) + "\n"
    )
