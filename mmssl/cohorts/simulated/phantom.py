"""The phantom: a cohort of simulated people over real anatomy, with the truth
in its folder.

Its parts are :mod:`mmssl.cohorts.simulated.factors` (people),
:mod:`mmssl.cohorts.simulated.planted_masks` (where the disease acts),
:mod:`mmssl.cohorts.simulated.anatomy` (the maps that people share),
:mod:`mmssl.cohorts.simulated.images` (one scan) and
:mod:`mmssl.cohorts.simulated.raw` (raw people). The cohort's folder also holds

- ``truth/factors.tsv``: the hidden factors of every person;
- ``truth/{ventricles,temporal_lobe,default_mode}.nii.gz``: where severity
  acts, in MNI space;
- ``truth/poses.npy``: (pairs, modalities, 4, 4), see
  :func:`mmssl.cohorts.simulated.images.pose`.

Design
------
The design is fixed by its oracle AUC and its baselines. The oracle has a
closed form: severity is N(0, 1) in HC and N(2.2, 1) in AD, so a linear score
on the true factors reaches ROC-AUC Phi(2.2 / sqrt 2) = 0.940. The strengths of
the effects (:class:`mmssl.cohorts.simulated.images.Design`) were set on
development seeds by that oracle and by baselines alone, never by a
self-supervised objective.

Trained on the main population of 500 people, tested on 100 HC and 100 AD more,
32 voxels a side, seed 9008 (standard error about 0.03; logistic regression
with the best of three penalties):

============================================================  =====  =====
what logistic regression reads                                T1     fALFF
============================================================  =====  =====
z of a random encoder, width 32 (two initialisations)         0.67   0.60
PCA-64 of the standardised voxels                             0.83   0.84
means over the planted regions, found by the true pose        0.87   0.89
oracle: the true factors                                      0.94   0.94
============================================================  =====  =====

So the signal is in single images, but not at fixed voxels: pose, deformation
and smooth fields are drawn for every person or scan and have more dimensions
than 64 components.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from mmssl.cohorts import cohort, splits
from mmssl.cohorts.simulated import factors, images, real_anatomy
from mmssl.cohorts.simulated.anatomy import anatomy as shared_anatomy
from mmssl.cohorts.simulated.planted_masks import truth_masks
from mmssl.cohorts.simulated.raw import write_raw_people
from mmssl.ledger import atomic
from mmssl.ledger.allocation import new_array
from mmssl.preprocessing import template

SIZES = (32, 64)
MODALITIES = ("T1", "fALFF")
HOLDOUT = {"HC": 0.2, "AD": 0.4, "other": 0.2}
"""Share held out; more AD, for 46 HC and 22 AD of 400 people (66 and 22 in the
"Taxonomy").
"""

TASKS = {
    "diagnosis": {
        "column": "group",
        "classes": ["HC", "AD"],
        "ignored": ["other"],
    }
}
PUBLIC = ["participant_id", "group", "age", "sex", "site", "population"]


def make_phantom(
    path: str | Path,
    subjects: int = 400,
    size: int = 32,
    seed: int = 0,
    raw: int = 0,
    folds: int = 5,
    design: images.Design | None = None,
    anatomy: str | None = None,
) -> cohort.Cohort:
    """Make the phantom cohort, or load it if the folder holds it already.

    Parameters
    ----------
    path : folder to make.
    subjects : number of people, of both populations.
    size : 32 (6 mm) or 64 (3 mm voxels).
    seed : of every draw; person i is the same whatever ``subjects`` is.
    raw : number of further people written raw, in native space, under
        ``raw/``.
    folds : number of folds.
    design : strengths of the effects; the project's design by default.
    anatomy : whose brain the people are made of, one of
        `mmssl.cohorts.simulated.real_anatomy.ANATOMIES`; "colin27" needs a
        file that Debian packages. That of the design by default.

    Raises
    ------
    ValueError
        For a size or an anatomy that is not offered, too few people for the
        folds, or an existing folder made with other parameters, naming them.
    FileNotFoundError
        Where the anatomy's file is not there, with the way to get it.
    OSError
        If there is no room for the images, naming the bytes needed and free;
        nothing is left behind.
    """
    path = Path(path)
    design = design or images.Design()
    if anatomy is not None:
        design = replace(design, anatomy=anatomy)
    # before anything is made
    real_anatomy.full(design.anatomy)
    if size not in SIZES:
        raise ValueError(f"size is {size!r}, expected one of {SIZES}")
    if subjects < 1:
        raise ValueError(f"subjects is {subjects!r}, expected at least 1")
    if raw < 0:
        raise ValueError(f"raw is {raw!r}, expected 0 or more")
    parameters = {
        "subjects": subjects,
        "size": size,
        "raw": raw,
        "folds": folds,
        "design": asdict(design),
        "oracle_auc": factors.oracle_auc(),
    }
    if path.exists():
        return existing_phantom(path, parameters, seed)
    people = factors.draw(subjects, seed)
    pairs = factors.sessions(people, seed)
    sides = splits.make(people, folds, HOLDOUT, seed)
    with atomic.directory(path) as folder:
        _write_images(folder, people, pairs, size, seed, design)
        _write_truth(folder, people, pairs, size, seed, design)
        write_raw_people(folder / "raw", raw, seed, design)
        cohort.describe(
            folder,
            name=path.name,
            kind="phantom",
            modalities=MODALITIES,
            participants=people[PUBLIC],
            pairs=pairs,
            splits=sides,
            affine=template.grid(size),
            mask=template.template(size).mask,
            tasks=TASKS,
            parameters=parameters,
            seed=seed,
        )
    return cohort.load(path)


def existing_phantom(path: Path, parameters: dict, seed: int) -> cohort.Cohort:
    """Load a phantom that must have been made with these parameters."""
    existing = cohort.load(path)
    wanted = json.loads(json.dumps(parameters))
    wanted.update(seed=seed, kind="phantom")
    recorded = dict(existing.parameters)
    recorded.update(seed=existing.seed, kind=existing.kind)
    differences = [
        f"{key} is {recorded.get(key)!r}, asked for {value!r}"
        for key, value in wanted.items()
        if recorded.get(key) != value
    ]
    if differences:
        raise ValueError(
            f"{path}: exists with other parameters ({'; '.join(differences)});"
            " choose another folder or remove this one"
        )
    return existing


def persons_of(
    people: pd.DataFrame, seed: int
) -> dict[str, images.SimulatedPerson]:
    """{participant_id: person} of a table of factors."""
    persons = {}
    for i, row in enumerate(people.to_dict("records")):
        persons[row["participant_id"]] = images.SimulatedPerson(i, seed, row)
    return persons


def _write_images(
    folder: Path,
    people: pd.DataFrame,
    pairs: pd.DataFrame,
    size: int,
    seed: int,
    design: images.Design,
) -> None:
    """Fill T1.npy and fALFF.npy row by row.

    Memory does not grow with the cohort.
    """
    shared = shared_anatomy(size, design.anatomy)
    persons = persons_of(people, seed)
    volumes = {}
    for modality in MODALITIES:
        volumes[modality] = new_array(
            folder / f"{modality}.npy",
            (len(pairs), size, size, size),
            np.float16,
        )

    def scan(row: tuple) -> None:
        """Fill the volumes of one pair."""
        key = (shared, persons[row.participant_id], row.session, design)
        volumes["T1"][row.pair] = images.t1_scan(*key)
        volumes["fALFF"][row.pair] = images.falff_scan(*key)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(scan, pairs.itertuples()))
    for values in volumes.values():
        values.flush()


def _write_truth(
    folder: Path,
    people: pd.DataFrame,
    pairs: pd.DataFrame,
    size: int,
    seed: int,
    design: images.Design,
) -> None:
    """Write factors, poses and planted masks under ``truth/``."""
    truth = folder / "truth"
    truth.mkdir()
    people.to_csv(truth / "factors.tsv", sep="\t", index=False)
    persons = persons_of(people, seed)
    poses = np.empty((len(pairs), len(MODALITIES), 4, 4))
    for row in pairs.itertuples():
        person = persons[row.participant_id]
        for k, modality in enumerate(MODALITIES):
            poses[row.pair, k] = images.pose(
                person, row.session, modality, design
            )
    np.save(truth / "poses.npy", poses)
    for name, mask in truth_masks(size, design.anatomy).items():
        image = nib.Nifti1Image(mask.astype(np.uint8), template.grid(size))
        image.to_filename(truth / f"{name}.nii.gz")
