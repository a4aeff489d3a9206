"""Very many simulated people with small images: a cohort whose size can be
asked about.

The phantom (:mod:`mmssl.cohorts.simulated.phantom`) draws a BOLD series for
every scan. Here a fALFF map is drawn directly, and blocks of people are made
at once, so that a hundred thousand of them take minutes. The anatomy and the
planted regions are the same. With x a voxel in MNI mm, c the scan's shift and
u the person's smooth deformation, a scan shows the anatomy at
y = x + c + u(x):

    T1    = (T(y) - clip(θ1 s L(y) + θ2 f V(y)) max(T(y) - F, 0)) · e^β + ε
    fALFF = A(y) clip(1 - θ3 s D(y) - θ2 f V(y)) · e^φ + ε

T is the template, F fluid, L the medial temporal lobes, D and V the
default-mode and the visual network, A an amplitude by tissue; s is severity
and f a second factor that has nothing to do with the disease, both shared by
the two modalities; β and φ are smooth fields, of the scan and, in T1, of the
site; ε is noise. Severity is that of `mmssl.cohorts.simulated.factors`: its
ROC-AUC has the same closed form, `factors.oracle_auc`.

Few people have a label and many have none: those to be tested, those to
validate, and the first of those to learn from. So what a larger cohort adds is
images. ``truth/factors.tsv`` has the factors of everybody.

The strengths of the effects were set on seed 101 by these baselines alone,
never by an objective. Logistic regression that learned from 500 people and
was tested on 1,000 others (standard error about .015):

===================================================  =====  =====
what it reads                                        T1     fALFF
===================================================  =====  =====
z of an untrained encoder, width 16                  0.61   0.63
PCA-64 of the standardised voxels of 1,000 people    0.77   0.82
means over the planted regions                       0.72   0.74
all voxels, z-scored                                 0.74   0.75
oracle: severity itself                              0.94   0.94
===================================================  =====  =====
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mmssl.cohorts import cohort
from mmssl.cohorts.simulated import factors
from mmssl.cohorts.simulated.anatomy import Anatomy, anatomy
from mmssl.cohorts.simulated.images import FLUID
from mmssl.cohorts.simulated.phantom import MODALITIES, existing_phantom
from mmssl.ledger import atomic
from mmssl.ledger.allocation import new_array
from mmssl.preprocessing import template

BLOCK = 256
"""People who are drawn together, whole blocks at a time: person i is the same
in a cohort of any size.
"""

TASKS = {"diagnosis": {"column": "group", "classes": ["HC", "AD"]}}
SITES = ("A", "B", "C")
WAVES = 2
"""Half waves along each axis of the finest smooth field."""

_FACTORS, _DEFORM, _SITE = 1, 2, 3  # keys of the generators
_SCAN = {"T1": 4, "fALFF": 5}


@dataclass(frozen=True)
class Effects:
    """How strong each effect is.

    Attributes
    ----------
    thinning : θ1, share of medial temporal grey matter lost per unit of
        severity.
    default_mode : θ3, relative amplitude lost per unit of severity.
    second : θ2, of the second factor in both modalities.
    shift : of a scan, mm along each axis.
    deformation : of a person, mm.
    bias, site : of the smooth field of a T1 scan, and of a site; log.
    flow, level : of the smooth field of a fALFF scan, and of the whole of it;
        log.
    noise : of every voxel, in units of either image.

    From ``shift`` on all are standard deviations.
    """

    thinning: float = 0.45
    default_mode: float = 0.2
    second: float = 0.15
    shift: float = 7.0
    deformation: float = 6.0
    bias: float = 0.15
    site: float = 0.1
    flow: float = 0.2
    level: float = 0.1
    noise: float = 0.05


def make_many_people(
    path: str | Path,
    people: int = 1000,
    size: int = 16,
    seed: int = 0,
    held_out: int = 1000,
    validated: int = 200,
    labelled: int = 500,
    effects: Effects | None = None,
) -> cohort.Cohort:
    """Make a cohort of many people, or load it if the folder holds it already.

    Memory does not grow with the images. A smaller cohort of the same seed
    holds the first people of a larger one; hold-out and validation people are
    the same.

    Parameters
    ----------
    path : folder to make.
    people : to learn from.
    size : voxels a side.
    seed : of every draw; person i is the same whatever the numbers are.
    held_out, validated : people before them, for these roles of the one fold.
    labelled : how many of those to learn from have a diagnosis, the first
        ones.
    effects : strengths of the effects; the project's by default.

    Raises
    ------
    ValueError
        For numbers that are too small, more labelled people than there are to
        learn from, a size as `template.grid`, or an existing folder made with
        other parameters, naming them.
    OSError
        If there is no room for the images; nothing is left behind.
    """
    path = Path(path)
    effects = effects or Effects()
    numbers = {"people": people, "held_out": held_out, "validated": validated}
    for name, number in {**numbers, "labelled": labelled}.items():
        if number < 2:
            raise ValueError(f"{name} is {number!r}, expected at least 2")
    if labelled > people:
        raise ValueError(
            f"labelled is {labelled}, expected at most {people}, as there are "
            "people to learn from"
        )
    parameters = {
        **numbers,
        "labelled": labelled,
        "size": size,
        "effects": asdict(effects),
        "oracle_auc": factors.oracle_auc(),
    }
    if path.exists():
        return existing_phantom(path, parameters, seed)
    table = draw(held_out + validated + people, seed)
    names = table["participant_id"].tolist()
    first = held_out + validated
    splits = {
        "seed": seed,
        "holdout": names[:held_out],
        "shift": [],
        "folds": [{"train": names[first:], "valid": names[held_out:first]}],
    }
    public = table[["participant_id", "group", "site"]].copy()
    public.loc[first + labelled :, "group"] = "n/a"
    pairs = pd.DataFrame(
        {
            "pair": np.arange(len(table)),
            "participant_id": names,
            "session": 1,
            "day": 0,
            "downstream": 1,
        }
    )
    with atomic.directory(path) as folder:
        _write_images(folder, table, size, seed, effects)
        (folder / "truth").mkdir()
        table.to_csv(folder / "truth" / "factors.tsv", sep="\t", index=False)
        cohort.describe(
            folder,
            name=path.name,
            kind="phantom",
            modalities=MODALITIES,
            participants=public,
            pairs=pairs,
            splits=splits,
            affine=template.grid(size),
            mask=template.template(size).mask,
            tasks=TASKS,
            parameters=parameters,
            seed=seed,
        )
    return cohort.load(path)


def draw(people: int, seed: int) -> pd.DataFrame:
    """Draw people.

    Parameters
    ----------
    people : number of them.
    seed : of the draws; person i is the same whatever ``people`` is.

    Returns
    -------
    DataFrame
        One row per person: participant_id, group (HC or AD, as likely), site,
        severity (N(0, 1) in HC, N(DELTA, 1) in AD) and shared, standard
        normal.
    """
    columns = {"is_ill": [], "site": [], "severity": [], "shared": []}
    for block in range(-(-people // BLOCK)):
        rng = np.random.default_rng([seed, _FACTORS, block])
        columns["is_ill"].append(rng.random(BLOCK) < 0.5)
        columns["site"].append(rng.integers(len(SITES), size=BLOCK))
        columns["severity"].append(rng.standard_normal(BLOCK))
        columns["shared"].append(rng.standard_normal(BLOCK))
    drawn = {k: np.concatenate(parts)[:people] for k, parts in columns.items()}
    is_ill = drawn["is_ill"]
    return pd.DataFrame(
        {
            "participant_id": [f"sub-{i + 1:06d}" for i in range(people)],
            "group": np.where(is_ill, "AD", "HC"),
            "site": np.array(SITES)[drawn["site"]],
            "severity": drawn["severity"] + factors.DELTA * is_ill,
            "shared": drawn["shared"],
        }
    )


def scans(
    table: pd.DataFrame, size: int, seed: int, effects: Effects
) -> Iterator[dict[str, np.ndarray]]:
    """The images of people, a block at a time.

    Parameters
    ----------
    table : of `draw`, from the first person on.
    size, seed, effects : as of `make_many_people`.

    Yields
    ------
    dict
        {modality: (at most BLOCK, X, Y, Z) float32}, masked by the brain.
    """
    shared = anatomy(size)
    waves = _waves(shared.points)
    for start in range(0, len(table), BLOCK):
        people = table.iloc[start : start + BLOCK]
        block = start // BLOCK
        rng = np.random.default_rng([seed, _DEFORM, block])
        deformation = [_fields(waves, rng, BLOCK) for _ in range(3)]
        own = shared.points + effects.deformation * np.stack(deformation, -1)
        volumes = {}
        for modality, image in (("T1", _t1), ("fALFF", _falff)):
            rng = np.random.default_rng([seed, _SCAN[modality], block])
            shift = effects.shift * rng.standard_normal((BLOCK, 1, 3))
            # who is beyond the last person is drawn, but not made
            points = (own + shift)[: len(people)]
            values = image(shared, points, people, waves, rng, effects)
            volume = np.zeros((len(people), *shared.inside.shape), "f4")
            volume[:, shared.inside] = values
            volumes[modality] = volume
        yield volumes


def _t1(
    shared: Anatomy,
    points: np.ndarray,
    people: pd.DataFrame,
    waves: np.ndarray,
    rng: np.random.Generator,
    effects: Effects,
) -> np.ndarray:
    """T1 intensities (people, voxels) at points of the anatomy."""
    number = len(people)
    names = ["t1", "mask", "lobe", "visual"]
    value, mask, lobe, visual = _maps(shared, names, points)
    severity, factor = _factors(people)
    lost = effects.thinning * severity * lobe
    lost = lost + effects.second * factor * visual
    above_fluid = np.maximum(value - FLUID * mask, 0)
    value = value - np.clip(lost, -0.5, 0.9) * above_fluid
    field = effects.bias * _fields(waves, rng, BLOCK)[:number]
    for k, site in enumerate(SITES):
        of_site = _fields(waves, np.random.default_rng([_SITE, k]), 1)
        is_there = (people["site"] == site).to_numpy()[:, None]
        field = field + effects.site * of_site * is_there
    value = value * np.exp(field)
    value = value + effects.noise * _noise(waves, rng)[:number]
    return np.where(mask > 0.5, np.maximum(value, 1e-3), 0)


def _falff(
    shared: Anatomy,
    points: np.ndarray,
    people: pd.DataFrame,
    waves: np.ndarray,
    rng: np.random.Generator,
    effects: Effects,
) -> np.ndarray:
    """fALFF values (people, voxels) at points of the anatomy."""
    number = len(people)
    names = ["grey", "white", "mask", "default", "visual"]
    grey, white, mask, default, visual = _maps(shared, names, points)
    severity, factor = _factors(people)
    change = effects.default_mode * severity * default
    change = change + effects.second * factor * visual
    value = 0.5 * (grey + 0.25 * white + 0.05) * np.clip(1 - change, 0.1, 2)
    level = effects.level * rng.standard_normal((BLOCK, 1))
    field = level + effects.flow * _fields(waves, rng, BLOCK)
    value = value * np.exp(field[:number])
    value = value + effects.noise * _noise(waves, rng)[:number]
    return np.where(mask > 0.5, np.maximum(value, 1e-3), 0)


def _factors(people: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Severity around the middle between HC and AD, and the second factor;
    (people, 1) each.
    """
    severity = people["severity"].to_numpy() - factors.DELTA / 2
    return severity[:, None], people["shared"].to_numpy()[:, None]


def _maps(
    shared: Anatomy, names: list[str], points: np.ndarray
) -> list[np.ndarray]:
    """Maps of the anatomy at points (people, voxels, 3); (people, voxels)
    each.
    """
    found = shared.sample(names, points.reshape(-1, 3))
    return [values.reshape(points.shape[:2]) for values in found]


def _waves(points: np.ndarray) -> np.ndarray:
    """(waves, voxels): products of cosines over the field of view, without the
    constant one; their squares sum to 1 on average.
    """
    unit = (points - template.CENTRE) / template.FIELD_OF_VIEW + 0.5
    along = np.cos(np.pi * np.arange(WAVES + 1)[:, None, None] * unit.T)
    x, y, z = along.transpose(1, 0, 2)
    products = x[:, None, None] * y[None, :, None] * z[None, None]
    waves = products.reshape(-1, len(points))[1:]
    return waves / np.sqrt((waves**2).sum(0).mean())


def _fields(
    waves: np.ndarray, rng: np.random.Generator, number: int
) -> np.ndarray:
    """Smooth random fields, (number, voxels), of variance 1 on average."""
    return rng.standard_normal((number, len(waves))) @ waves


def _noise(waves: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(BLOCK, voxels) standard normal noise."""
    return rng.standard_normal((BLOCK, waves.shape[1]), dtype=np.float32)


def _write_images(
    folder: Path, table: pd.DataFrame, size: int, seed: int, effects: Effects
) -> None:
    """Fill T1.npy and fALFF.npy, a block of people at a time."""
    files = {}
    for modality in MODALITIES:
        file = folder / f"{modality}.npy"
        files[modality] = new_array(
            file, (len(table), size, size, size), np.float16
        )
    start = 0
    for volumes in scans(table, size, seed, effects):
        for modality, values in volumes.items():
            files[modality][start : start + len(values)] = values
        start += len(values)
    for values in files.values():
        values.flush()
