"""The phantom: a cohort of simulated people over real anatomy, with the truth
beside it.

People come from :mod:`mmssl.cohorts.simulated.factors`, the anatomy and the
planted regions from :mod:`mmssl.cohorts.simulated.anatomy`, a scan from
:mod:`mmssl.cohorts.simulated.images`, raw people from
:mod:`mmssl.cohorts.simulated.raw`. Beside the cohort lie

- ``truth/factors.tsv``: the hidden factors of every person;
- ``truth/{ventricles,temporal_lobe,default_mode}.nii.gz``: where severity
  acts, in MNI space;
- ``truth/poses.npy``: (pairs, modalities, 4, 4), see
  :func:`mmssl.cohorts.simulated.images.pose`.

Design
------
The oracle is fixed in closed form: severity is N(0, 1) in HC and N(2.2, 1) in
AD, so a linear score on the true factors reaches ROC-AUC Phi(2.2 / sqrt 2) =
0.940. The strengths of the effects
(:class:`mmssl.cohorts.simulated.images.Design`) were set on development seeds
by that oracle and by baselines alone, never by a self-supervised objective.
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
from dataclasses import asdict
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from mmssl.cohorts import cohort, splits
from mmssl.cohorts.simulated import factors, images
from mmssl.cohorts.simulated.anatomy import anatomy
from mmssl.cohorts.simulated.planted_masks import truth_masks
from mmssl.cohorts.simulated.raw import make
from mmssl.ledger import atomic
from mmssl.preprocessing import template

SIZES = (32, 64)
MODALITIES = ("T1", "fALFF")
HOLDOUT = {"HC": 0.2, "AD": 0.4, "other": 0.2}
"""Share held out; more AD, for 46 HC and 22 AD of 400 people (66 and 22 in the
"Taxonomy").
"""

TASKS = {"diagnosis": {"column": "group", "classes": ["HC", "AD"]}}
PUBLIC = ["participant_id", "group", "age", "sex", "site", "population"]


def make_phantom(
    path: str | Path,
    subjects: int = 400,
    size: int = 32,
    seed: int = 0,
    raw: int = 0,
    folds: int = 5,
    design: images.Design | None = None,
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

    Raises
    ------
    ValueError
        For a size that is not offered, too few people for the folds, or an
        existing folder made with other parameters, naming them.
    """
    path = Path(path)
    design = design or images.Design()
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
        return _existing(path, parameters, seed)
    people = factors.draw(subjects, seed)
    pairs = factors.sessions(people, seed)
    fixed = splits.make(people, folds, HOLDOUT, seed)
    with atomic.directory(path) as folder:
        _images(folder, people, pairs, size, seed, design)
        _truth(folder, people, pairs, size, seed, design)
        make(folder / "raw", raw, seed, design)
        cohort.describe(
            folder,
            name=path.name,
            kind="phantom",
            modalities=MODALITIES,
            participants=people[PUBLIC],
            pairs=pairs,
            splits=fixed,
            affine=template.grid(size),
            mask=template.template(size).mask,
            tasks=TASKS,
            parameters=parameters,
            seed=seed,
        )
    return cohort.load(path)


def _existing(path: Path, parameters: dict, seed: int) -> cohort.Cohort:
    found = cohort.load(path)
    wanted = json.loads(json.dumps(parameters)) | {
        "seed": seed,
        "kind": "phantom",
    }
    have = dict(found.parameters) | {"seed": found.seed, "kind": found.kind}
    other = [
        f"{k} is {have.get(k)!r}, asked for {v!r}"
        for k, v in wanted.items()
        if have.get(k) != v
    ]
    if other:
        raise ValueError(
            f"{path}: exists with other parameters ({'; '.join(other)}); "
            "choose another folder or remove this one"
        )
    return found


def _persons(people: pd.DataFrame, seed: int) -> dict[str, images.Person]:
    return {
        row["participant_id"]: images.Person(i, seed, row)
        for i, row in enumerate(people.to_dict("records"))
    }


def _images(
    folder: Path,
    people: pd.DataFrame,
    pairs: pd.DataFrame,
    size: int,
    seed: int,
    design: images.Design,
) -> None:
    """Fill T1.npy and fALFF.npy row by row; memory does not grow with the
    cohort.
    """
    shared, everyone = anatomy(size), _persons(people, seed)
    files = {
        m: np.lib.format.open_memmap(
            folder / f"{m}.npy",
            mode="w+",
            dtype=np.float16,
            shape=(len(pairs), size, size, size),
        )
        for m in MODALITIES
    }

    def scan(row: tuple) -> None:
        person = everyone[row.participant_id]
        files["T1"][row.pair] = images.t1(shared, person, row.session, design)
        files["fALFF"][row.pair] = images.falff(
            shared, person, row.session, design
        )

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(scan, pairs.itertuples()))
    for values in files.values():
        values.flush()


def _truth(
    folder: Path,
    people: pd.DataFrame,
    pairs: pd.DataFrame,
    size: int,
    seed: int,
    design: images.Design,
) -> None:
    (folder / "truth").mkdir()
    people.to_csv(folder / "truth" / "factors.tsv", sep="\t", index=False)
    everyone = _persons(people, seed)
    poses = [
        [
            images.pose(everyone[row.participant_id], row.session, m, design)
            for m in MODALITIES
        ]
        for row in pairs.itertuples()
    ]
    np.save(folder / "truth" / "poses.npy", np.array(poses))
    for name, mask in truth_masks(size).items():
        nib.Nifti1Image(
            mask.astype(np.uint8), template.grid(size)
        ).to_filename(folder / "truth" / f"{name}.nii.gz")
