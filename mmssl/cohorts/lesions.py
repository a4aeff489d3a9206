"""Lesions planted in the simulated people: where, of which type and how strong
is known, for tasks of detecting them.

A lesion is an ellipsoid in the white matter of one hemisphere with a soft
edge. By its type it is dark or bright in T1, or a bright rim; in fALFF it is
weak, whatever its type. It stays in place over a person's sessions. Everything
else of the cohort is left as it is, to the bit.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from mmssl.cohorts import cohort as cohorts
from mmssl.cohorts.cohort import Cohort
from mmssl.preprocessing import space, template

DARK, BRIGHT, RIM = TYPES = ("dark", "bright", "rim")
NONE, LESION = CLASSES = ("none", "lesion")
MASKS, TABLE = "truth/lesions.npy", "truth/lesions.tsv"
_FACTORS = "truth/factors.tsv"

_BOX = ("x0", "x1", "y0", "y1", "z0", "z1")
_RADII = ("radius_x", "radius_y", "radius_z")
_SAID = ("pair", "type", "side", *"xyz", *_RADII, "contrast", "falff")
# of the rim's inner surface, as a share of the radius
_INNER = 0.6


@dataclass(frozen=True)
class LesionDesign:
    """How lesions are drawn.

    Attributes
    ----------
    share : of people who have one.
    radius : mm, smallest and largest of an ellipsoid's half axes.
    contrast : smallest and largest change, as a share of the intensity.
    falff : the same of fALFF, always a loss.
    edge : mm, over which the lesion fades.
    """

    share: float = 0.5
    radius: tuple[float, float] = (9.0, 18.0)
    contrast: tuple[float, float] = (0.4, 0.8)
    falff: tuple[float, float] = (0.1, 0.2)
    edge: float = 1.5


def plant(
    cohort: Cohort,
    path: str | Path,
    seed: int = 0,
    design: LesionDesign | None = None,
    modalities: Sequence[str] | None = None,
) -> Cohort:
    """Write a cohort of the same people, some of them with a lesion.

    Parameters
    ----------
    cohort : of T1, or T1 and fALFF, on the template's grid: simulated people.
    path : folder to make.
    seed : of every draw; a person's lesion depends on nothing but it and their
        participant_id.
    design : by default as `LesionDesign` says.
    modalities : those to write, T1 among them; all by default.

    Returns
    -------
    Cohort
        Its first task is "lesion" (none, lesion), its second "lesion_type",
        and those of the cohort follow. ``truth/lesions.npy`` holds the masks
        (pairs, X, Y, Z) bool, ``truth/lesions.tsv`` a row for each pair with a
        lesion (`lesion_table`).

    Raises
    ------
    ValueError
        For a cohort of other modalities or on another grid, a share outside
        [0, 1], or a folder that exists.
    """
    design = design or LesionDesign()
    path = Path(path)
    modalities = tuple(modalities or cohort.modalities)
    _check(cohort, path, design, modalities)
    places = _places(cohort.size)
    drawn = {
        person: _draw(person, places, seed, design)
        for person in cohort.participants["participant_id"]
    }
    volumes = {m: np.array(cohort.volumes[m]) for m in modalities}
    masks = np.zeros((len(cohort), *(cohort.size,) * 3), bool)
    rows = []
    for row, person in enumerate(cohort.subjects):
        lesion = drawn[person]
        if lesion is None:
            continue
        weights, inside = _profile(lesion, cohort.affine, cohort.size, design)
        for m in modalities:
            image = volumes[m][row].astype(np.float32)
            change = _change(lesion, weights, m)
            volumes[m][row] = image * (1 + change)
        masks[row] = inside & (cohort.volumes["T1"][row] != 0)
        rows.append({"pair": row, **lesion, **_box(masks[row])})
    table = pd.DataFrame(rows, columns=[*_SAID, *_BOX])
    return _write(cohort, path, volumes, masks, table, drawn, seed, design)


def lesion_masks(cohort: Cohort) -> np.ndarray:
    """Where the lesions of a cohort are, (pairs, X, Y, Z) bool."""
    return np.load(cohort.file(MASKS))


def lesion_table(cohort: Cohort) -> pd.DataFrame:
    """What is planted: pair, type, side (left, right), x, y, z (mm of the
    centre), radius_x, radius_y, radius_z (mm), contrast, falff, and the box of
    the mask in voxels, x0 to x1 and so on, the last one outside.
    """
    columns = [*_SAID, *_BOX]
    return cohorts.read_table(cohort.file(TABLE), columns, ["type", "side"])


def slice_labels(masks: np.ndarray, axis: int = 2) -> np.ndarray:
    """Whether each slice shows a lesion.

    Parameters
    ----------
    masks : array of bool, shape (pairs, X, Y, Z)
    axis : int
        Across which the slices lie: 0, 1 or 2.

    Returns
    -------
    array of bool, shape (pairs, slices)
    """
    others = tuple(1 + k for k in range(3) if k != axis)
    return np.asarray(masks).any(axis=others)


def _check(
    cohort: Cohort,
    path: Path,
    design: LesionDesign,
    modalities: tuple[str, ...],
) -> None:
    if path.exists():
        raise ValueError(f"{path}: exists already; choose another folder")
    unknown = set(modalities) - ({"T1", "fALFF"} & set(cohort.modalities))
    if unknown or "T1" not in modalities:
        raise ValueError(
            f"{cohort.path}: modalities {', '.join(modalities)} of "
            f"{', '.join(cohort.modalities)}, expected T1, or T1 and fALFF"
        )
    on_grid = cohort.affine is not None and np.allclose(
        cohort.affine, template.grid(cohort.size)
    )
    if cohort.dims != 3 or not on_grid:
        raise ValueError(
            f"{cohort.path}: not on the template's grid of {cohort.size} "
            "voxels a side, expected simulated people"
        )
    if not 0 <= design.share <= 1:
        raise ValueError(f"share is {design.share}, expected from 0 to 1")


def _draw(
    person: str, places: np.ndarray, seed: int, design: LesionDesign
) -> dict | None:
    """The lesion of a person, its centre one of the places; or None."""
    key = [seed, *person.encode("utf-8")]
    rng = np.random.default_rng(key)
    if rng.random() >= design.share:
        return None
    centre = rng.choice(places)
    radius = rng.uniform(*design.radius, 3)
    return {
        "type": str(rng.choice(TYPES)),
        "side": "left" if centre[0] < 0 else "right",
        **dict(zip("xyz", centre.round(1).tolist(), strict=True)),
        **dict(zip(_RADII, radius.round(1).tolist(), strict=True)),
        "contrast": round(float(rng.uniform(*design.contrast)), 3),
        "falff": round(float(rng.uniform(*design.falff)), 3),
    }


def _places(size: int) -> np.ndarray:
    """Where a centre may be: MNI mm (n, 3) of white matter off the midline."""
    mni = template.template(size)
    points = space.apply(mni.affine, np.argwhere(mni.white > 0.6))
    return points[(np.abs(points[:, 0]) > 15) & (points[:, 2] > -20)]


def _profile(
    lesion: dict, affine: np.ndarray, size: int, design: LesionDesign
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Weights in [0, 1] of the whole lesion and of its rim, (X, Y, Z), and the
    voxels inside it.
    """
    voxels = np.stack(np.indices((size,) * 3), -1)
    points = space.apply(affine, voxels.reshape(-1, 3)).reshape(voxels.shape)
    centre = np.array([lesion[a] for a in "xyz"])
    radius = np.array([lesion[name] for name in _RADII])
    # in mean radii, and back to mm
    distance = np.sqrt((((points - centre) / radius) ** 2).sum(-1))
    mean = radius.mean()

    def within(share: float) -> np.ndarray:
        """Soft membership of the ellipsoid shrunk to a share."""
        return 1 / (1 + np.exp((distance - share) * mean / design.edge))

    whole = within(1.0)
    weights = {"whole": whole, RIM: whole * (1 - within(_INNER))}
    return weights, distance <= 1


def _change(
    lesion: dict, weights: dict[str, np.ndarray], modality: str
) -> np.ndarray:
    """The change of each voxel, as a share of its intensity."""
    if modality == "fALFF":
        return -lesion["falff"] * weights["whole"]
    sign = -1 if lesion["type"] == DARK else 1
    part = RIM if lesion["type"] == RIM else "whole"
    return sign * lesion["contrast"] * weights[part]


def _box(mask: np.ndarray) -> dict[str, int]:
    """Bounds of a mask in voxels, the last one outside; 0 of an empty one."""
    places = np.argwhere(mask)
    if not len(places):
        return dict.fromkeys(_BOX, 0)
    low, high = places.min(0), places.max(0) + 1
    bounds = np.stack([low, high], 1).ravel()
    return dict(zip(_BOX, bounds.tolist(), strict=True))


def _write(
    cohort: Cohort,
    path: Path,
    volumes: dict[str, np.ndarray],
    masks: np.ndarray,
    table: pd.DataFrame,
    drawn: dict,
    seed: int,
    design: LesionDesign,
) -> Cohort:
    """The cohort of the same people, splits and tasks."""
    people = cohort.participants.copy()
    lesions = [drawn[name] for name in people["participant_id"]]
    people["lesion"] = [LESION if one else NONE for one in lesions]
    people["lesion_type"] = [one["type"] if one else NONE for one in lesions]
    tasks = {
        "lesion": {
            "column": "lesion",
            "classes": list(CLASSES),
            "absent": _absent(people["lesion"], CLASSES),
        },
        "lesion_type": {
            "column": "lesion_type",
            "classes": list(TYPES),
            "ignored": [NONE],
            "absent": _absent(people["lesion_type"], TYPES),
        },
    }
    return cohorts.write(
        path,
        name=path.name,
        kind=cohort.kind,
        volumes=volumes,
        participants=people,
        pairs=cohort.pairs,
        splits=cohort.splits,
        affine=cohort.affine,
        mask=cohort.mask,
        tasks={**tasks, **cohort.tasks},
        parameters={
            **cohort.parameters,
            "lesions": asdict(design),
            "lesions_of": dict(cohort.hashes),
            "lesions_seed": seed,
        },
        seed=cohort.seed,
        extra=partial(_write_truth, masks, table, cohort),
    )


def _absent(column: pd.Series, classes: Sequence[str]) -> list[str]:
    """Classes that nobody has."""
    return [name for name in classes if name not in set(column)]


def _write_truth(
    masks: np.ndarray, table: pd.DataFrame, cohort: Cohort, folder: Path
) -> None:
    """The lesions, and the hidden factors that the people had before."""
    (folder / "truth").mkdir()
    if _FACTORS in cohort.hashes:
        shutil.copyfile(cohort.file(_FACTORS), folder / _FACTORS)
    np.save(folder / MASKS, masks)
    table.to_csv(folder / TABLE, sep="\t", index=False, na_rep="n/a")
