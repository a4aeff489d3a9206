"""Raw people of the phantom: images as a scanner would write them, with known
transforms.

The T1 and the BOLD of one person lie in one native world, where the head is
the template's, moved by a planted similarity (7 degrees of freedom), tilted
and off the origin,

    native mm = similarity · MNI mm,

with fluid, skull and scalp around the brain, other voxel sizes, oblique axes
and, in odd people, a left-to-right storage order. In the BOLD the head moves;
the first volume is the reference. The smooth individual deformation has its
affine part removed, so that the planted similarity is the one that
registration should find.

``<cohort>/raw`` is a BIDS dataset, ``sub-01/anat/sub-01_T1w.nii.gz`` and
``sub-01/func/sub-01_task-rest_bold.nii.gz`` with a JSON sidecar each, so that
what reads datasets of real people can be tried on it. The truth lies apart, in
``derivatives/truth/sub-01``: ``truth.json`` (similarity, motion) and
``truth_mask.nii.gz`` (brain, T1 space).
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd
from scipy import ndimage
from tqdm.auto import tqdm

from mmssl.cohorts.simulated import factors, images, real_anatomy
from mmssl.cohorts.simulated.anatomy import anatomy
from mmssl.cohorts.simulated.planted_masks import NETWORKS
from mmssl.cohorts.simulated.real_anatomy import ANATOMIES, MNI152
from mmssl.preprocessing import template

PAD = 20  # mm of air added around the template for skull and scalp
SHELLS = ((2.5, 0.22), (8.0, 0.06), (14.0, 0.80))
"""Fluid, skull and scalp: up to how far from the brain (mm), T1 intensity."""

BOLD_LEVEL = {"grey": 0.8, "white": 0.65, "fluid": 1.0, "shell": 0.45}
"""Intensity of the tissues in the BOLD."""

DRIFT = np.array([0.12, 0.08, 0.08, 0.12, 0.12, 0.2])
"""Steps of the head's walk: three rotations (degrees), three shifts (mm)."""

_GEOMETRY, _RAW_T1, _RAW_BOLD, _MOTION = 21, 22, 23, 24  # generators' keys
_FIRST = 1_000_000  # index of the first raw person, far from the cohort's


class Head(NamedTuple):
    """The template with a shell around it, at 1 mm; arrays (X, Y, Z) float32.

    Attributes
    ----------
    t1 : intensity.
    brain, grey, white : fractions in [0, 1].
    shell : intensity of fluid, skull and scalp.
    affine : (4, 4) voxel to MNI mm.
    """

    t1: np.ndarray
    brain: np.ndarray
    grey: np.ndarray
    white: np.ndarray
    shell: np.ndarray
    affine: np.ndarray


@lru_cache(maxsize=len(ANATOMIES))
def head(anatomy: str = MNI152) -> Head:
    """The head of an anatomy: the brain in concentric shells of fluid, skull
    and scalp.
    """
    full = real_anatomy.full(anatomy)
    t1 = np.pad(full.t1, PAD)
    brain = np.pad(full.mask, PAD)
    closed = ndimage.binary_closing(brain, iterations=6)
    distance = ndimage.distance_transform_edt(~closed)
    shell = np.zeros_like(t1)
    for reach, intensity in reversed(SHELLS):
        shell[distance <= reach] = intensity
    shell[brain] = 0
    affine = full.affine.copy()
    affine[:3, 3] -= PAD
    return Head(
        t1=t1 + shell,
        brain=brain.astype(np.float32),
        grey=np.pad(full.grey, PAD),
        white=np.pad(full.white, PAD),
        shell=shell,
        affine=affine,
    )


def write_raw_people(
    folder: Path, people: int, seed: int, design: images.Design
) -> None:
    """Write raw people ``sub-01``, ``sub-02``, … as a BIDS dataset.

    Parameters
    ----------
    folder : made where it is missing; nothing is written for nobody.
    people : how many.
    seed : of every draw.
    design : strengths of the effects.
    """
    rows = []
    numbers = tqdm(
        range(people), desc="raw people", unit="person", disable=people < 3
    )
    for number in numbers:
        name = f"sub-{number + 1:02d}"
        known = _write_person(folder, name, number, seed, design)
        rows.append({"participant_id": name, **known})
    if not rows:
        return
    file = folder / "participants.tsv"
    pd.DataFrame(rows).to_csv(file, sep="\t", index=False, na_rep="n/a")
    about = {
        "Name": "simulated people, raw",
        "BIDSVersion": "1.9.0",
        "DatasetType": "raw",
    }
    text = json.dumps(about, indent=1) + "\n"
    (folder / "dataset_description.json").write_text(text, encoding="utf-8")


class RawT1(NamedTuple):
    """A raw T1 and its truth.

    Attributes
    ----------
    t1 : (X, Y, Z) int16.
    affine : (4, 4), voxels to native mm.
    brain : (X, Y, Z) uint8, the true mask.
    similarity : (4, 4), MNI mm to native mm.
    """

    t1: np.ndarray
    affine: np.ndarray
    brain: np.ndarray
    similarity: np.ndarray


def raw_t1(number: int, seed: int, design: images.Design) -> RawT1:
    """The T1 of one raw person, as `write_raw_people` writes it.

    Parameters
    ----------
    number : of the person, from 0.
    seed, design
        As in `write_raw_people`.
    """
    person = _person(number, seed)
    similarity, (affine, shape), _ = _geometry(
        person.rng(_GEOMETRY), flip=number % 2 == 1
    )
    t1, brain = _t1(person, similarity, affine, shape, design)
    return RawT1(t1, affine, brain, similarity)


def _person(number: int, seed: int) -> images.SimulatedPerson:
    index = _FIRST + number
    return images.SimulatedPerson(index, seed, factors.person(index, seed))


def _geometry(rng: np.random.Generator, flip: bool) -> tuple:
    """(4, 4) similarity, and affine and shape of T1 and BOLD."""
    similarity = _similarity(rng)
    centre = (similarity @ [*template.CENTRE, 1])[:3]
    t1_grid = _grid(rng, centre, rng.permutation([1.4, 1.5, 1.7]), flip)
    bold_grid = _grid(rng, centre, np.array([3.6, 3.6, 4.0]), flip)
    return similarity, t1_grid, bold_grid


def _write_person(
    dataset: Path, name: str, number: int, seed: int, design: images.Design
) -> dict:
    """Write the images and the truth of a person; what a study knows of
    them.
    """
    person = _person(number, seed)
    rng = person.rng(_GEOMETRY)
    similarity, t1_grid, bold_grid = _geometry(rng, flip=number % 2 == 1)
    (t1_affine, _), (bold_affine, _) = t1_grid, bold_grid
    tr = float(rng.choice([2.0, 2.2, 2.5]))
    # At least one period of the band's lower end, 100 s.
    volumes = int(np.ceil(rng.uniform(104, 124) / tr))
    centre = (similarity @ [*template.CENTRE, 1])[:3]
    motion = _motion(person.rng(_MOTION), volumes, centre)
    hidden_folder = dataset / "derivatives" / "truth" / name
    folders = [dataset / name / "anat", dataset / name / "func"]
    for folder in (*folders, hidden_folder):
        folder.mkdir(parents=True)
    t1, brain = _t1(person, similarity, *t1_grid, design)
    bold = _bold(person, similarity, *bold_grid, motion, tr, design)
    t1_file = folders[0] / f"{name}_T1w.nii.gz"
    _save(t1_file, t1, t1_affine, {"Modality": "MR"})
    bold_file = folders[1] / f"{name}_task-rest_bold.nii.gz"
    sidecar = {"Modality": "MR", "TaskName": "rest", "RepetitionTime": tr}
    _save(bold_file, bold, bold_affine, sidecar, tr)
    true_mask = nib.Nifti1Image(brain, t1_affine)
    true_mask.to_filename(hidden_folder / "truth_mask.nii.gz")
    hidden = dict(person.factors)
    del hidden["participant_id"]
    truth = {
        "similarity": similarity.tolist(),
        "similarity_maps": "MNI152 mm to native world mm",
        "motion": motion.tolist(),
        "motion_maps": "native world mm at the first volume to native world "
        "mm at volume t",
        "factors": hidden,
    }
    text = json.dumps(truth, indent=1) + "\n"
    (hidden_folder / "truth.json").write_text(text, encoding="utf-8")
    return {known: hidden[known] for known in ("group", "age", "sex")}


def _similarity(rng: np.random.Generator) -> np.ndarray:
    """(4, 4) tilt of up to 15 degrees about x and 7.5 about y and z, scale
    0.94-1.08, up to 25 mm off the origin.
    """
    matrix = np.eye(4)
    rotation = _rotation(rng.uniform(-15, 15, 3) * [1, 0.5, 0.5])
    matrix[:3, :3] = rotation * rng.uniform(0.94, 1.08)
    matrix[:3, 3] = rng.uniform(-25, 25, 3)
    return matrix


def _rotation(degrees: np.ndarray) -> np.ndarray:
    """(3, 3) rotation about x, then y, then z."""
    a, b, c = np.deg2rad(degrees)
    cos, sin = np.cos(a), np.sin(a)
    about_x = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    cos, sin = np.cos(b), np.sin(b)
    about_y = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    cos, sin = np.cos(c), np.sin(c)
    about_z = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def _grid(
    rng: np.random.Generator, centre: np.ndarray, sides: np.ndarray, flip: bool
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Affine and shape of an oblique field of view of 208 x 240 x 224 mm
    around the head.
    """
    shape = np.ceil(np.array([208, 240, 224]) / sides).astype(int)
    axes = _rotation(rng.uniform(-4, 4, 3)) * sides
    if flip:
        axes[:, 0] *= -1
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = centre - axes @ ((shape - 1) / 2) + rng.uniform(-4, 4, 3)
    return affine, tuple(shape.tolist())


def _motion(
    rng: np.random.Generator, volumes: int, centre: np.ndarray
) -> np.ndarray:
    """(T, 4, 4) rigid: a smooth walk of up to a few mm and degrees; identity
    at the first volume.
    """
    steps = rng.standard_normal((volumes, 6))
    walk = ndimage.gaussian_filter1d(steps, 3, axis=0).cumsum(axis=0)
    walk = (walk - walk[0]) * DRIFT
    matrices = np.tile(np.eye(4), (volumes, 1, 1))
    for matrix, step in zip(matrices, walk, strict=True):
        rotation = _rotation(step[:3])
        matrix[:3, :3] = rotation
        matrix[:3, 3] = centre - rotation @ centre + step[3:]
    return matrices


def _anatomy_points(
    person: images.SimulatedPerson,
    similarity: np.ndarray,
    affine: np.ndarray,
    shape: tuple[int, ...],
    design: images.Design,
) -> tuple[np.ndarray, np.ndarray]:
    """Flat indices (n,) of the voxels in the head, and (n, 3) MNI mm of the
    anatomy they show.
    """
    to_mni = np.linalg.inv(similarity) @ affine
    whole = head(design.anatomy)
    to_head = np.linalg.inv(whole.affine) @ np.linalg.inv(similarity) @ affine
    inside = ndimage.affine_transform(
        (whole.t1 > 0).astype(np.uint8),
        to_head[:3, :3],
        to_head[:3, 3],
        shape,
        order=0,
    )
    index = np.flatnonzero(ndimage.binary_dilation(inside, iterations=2))
    voxels = np.stack(np.unravel_index(index, shape))
    points = (to_mni[:3, :3] @ voxels + to_mni[:3, 3:]).T
    to_coarse = np.linalg.inv(template.grid(32)) @ to_mni
    coarse = to_coarse[:3, :3] @ voxels + to_coarse[:3, 3:]
    coarse = coarse.astype(np.float32)
    displacement = [
        ndimage.map_coordinates(component, coarse, order=1, mode="nearest")
        for component in _displacement(person, design)
    ]
    return index, points + np.stack(displacement, axis=1)


def _displacement(
    person: images.SimulatedPerson, design: images.Design
) -> np.ndarray:
    """(3, 32, 32, 32) mm: half the cohort's deformation without its affine
    part, and the widening of the ventricles.

    On a coarse grid, because it is smooth and a native T1 has millions of
    voxels.
    """
    voxels = np.indices((32, 32, 32)).reshape(3, -1).T
    points = nib.affines.apply_affine(template.grid(32), voxels)
    free = images.deformation(points, person, design)
    brain = template.template(32).mask.ravel()
    ones = np.c_[points, np.ones(len(points))]
    affine_part = np.linalg.lstsq(ones[brain], free[brain])[0]
    free -= ones @ affine_part
    moved = points + 0.5 * free
    shared = anatomy(32, design.anatomy)
    moved = moved + images.push(shared, moved, person, design)
    return (moved - points).T.reshape(3, 32, 32, 32)


def _sample(
    whole: Head, names: list[str], points: np.ndarray
) -> list[np.ndarray]:
    """Maps of a head at points (n, 3) MNI mm, (n,) each."""
    homogeneous = np.c_[points, np.ones(len(points))].T
    voxels = (np.linalg.inv(whole.affine) @ homogeneous)[:3]
    voxels = voxels.astype(np.float32)
    return [
        ndimage.map_coordinates(getattr(whole, name), voxels, order=1)
        for name in names
    ]


def _t1(
    person: images.SimulatedPerson,
    similarity: np.ndarray,
    affine: np.ndarray,
    shape: tuple[int, ...],
    design: images.Design,
) -> tuple[np.ndarray, np.ndarray]:
    """(X, Y, Z) T1 (int16) with Rician noise and a bias field, and the true
    brain mask (uint8).
    """
    rng = person.rng(_RAW_T1)
    index, points = _anatomy_points(person, similarity, affine, shape, design)
    whole = head(design.anatomy)
    intensity, brain = _sample(whole, ["t1", "brain"], points)
    slopes = rng.normal(0, 0.12, 3)
    bias = np.exp((points - template.CENTRE) / 100 @ slopes)
    clean = np.zeros(shape, dtype=np.float32)
    clean.ravel()[index] = intensity * bias
    noise = rng.standard_normal((2, *shape), dtype=np.float32) * design.noise
    mask = np.zeros(shape, dtype=np.uint8)
    mask.ravel()[index] = brain > 0.5
    magnitude = np.hypot(clean + noise[0], noise[1])
    return (800 * magnitude).astype(np.int16), mask


def _bold(
    person: images.SimulatedPerson,
    similarity: np.ndarray,
    affine: np.ndarray,
    shape: tuple[int, ...],
    motion: np.ndarray,
    tr: float,
    design: images.Design,
) -> np.ndarray:
    """(X, Y, Z, T) int16 BOLD: tissue levels, 2 % fluctuations with the
    phantom's spectra, and head motion.
    """
    rng = person.rng(_RAW_BOLD)
    index, points = _anatomy_points(person, similarity, affine, shape, design)
    names = ["grey", "white", "brain", "shell"]
    tissues = _sample(head(design.anatomy), names, points)
    grey, white, brain, shell = tissues
    level = (
        BOLD_LEVEL["grey"] * grey
        + BOLD_LEVEL["white"] * white
        + BOLD_LEVEL["fluid"] * np.clip(brain - grey - white, 0, 1)
        + BOLD_LEVEL["shell"] * shell
    )
    shared = anatomy(32, design.anatomy)
    networks = shared.sample(list(NETWORKS), points)
    amplitude = images.amplitude(grey, white, networks, person, rng, design)
    series = images.series(amplitude, networks, rng, design, len(motion), tr)
    fluctuation = 0.02 * brain[:, None] * series / series.std()
    series = level[:, None] * (1 + fluctuation)
    still = np.zeros(shape, dtype=np.float32)
    bold = np.empty((*shape, len(motion)), np.int16)
    for t, move in enumerate(motion):
        still.ravel()[index] = series[:, t]
        back = np.linalg.inv(affine) @ np.linalg.inv(move) @ affine
        moved = ndimage.affine_transform(
            still, back[:3, :3], back[:3, 3], order=3
        )
        noise = 0.004 * rng.standard_normal((2, *shape), dtype=np.float32)
        bold[..., t] = 4000 * np.hypot(moved + noise[0], noise[1])
    return bold


def _save(
    path: Path,
    data: np.ndarray,
    affine: np.ndarray,
    sidecar: dict,
    tr: float | None = None,
) -> None:
    """Write an image and its JSON sidecar."""
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm", "sec")
    if tr is not None:
        image.header.set_zooms((*image.header.get_zooms()[:3], tr))
    image.to_filename(path)
    file = path.with_name(path.name.replace(".nii.gz", ".json"))
    text = json.dumps(sidecar, indent=1) + "\n"
    file.write_text(text, encoding="utf-8")
