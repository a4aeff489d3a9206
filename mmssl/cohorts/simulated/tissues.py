"""Tissue of the simulated people, voxel by voxel: fluid, grey and white matter
of the real anatomy they are made of, where the deformation, the pose and the
ventricles of each scan put them.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pandas as pd

from mmssl.cohorts.cohort import Cohort
from mmssl.cohorts.simulated import anatomy as anatomies
from mmssl.cohorts.simulated import images

CLASSES = ("none", "fluid", "grey", "white")


def tissue_labels(cohort: Cohort) -> np.ndarray:
    """The most frequent tissue of each voxel of every T1 scan.

    Medial temporal grey matter that disease has replaced by fluid counts as
    the grey matter it was.

    Parameters
    ----------
    cohort : Cohort
        Of simulated people, with lesions or without.

    Returns
    -------
    array of uint8, shape (pairs, X, Y, Z)
        Index of `CLASSES`; 0 where the T1 image is 0.

    Raises
    ------
    ValueError
        For people who were not simulated.
    """
    design = _design(cohort)
    factors = _factors(cohort)
    shared = anatomies.anatomy(cohort.size, design.anatomy)
    names = list(factors)
    labels = np.zeros(cohort.volumes["T1"].shape, np.uint8)
    for row, (name, session) in enumerate(
        zip(cohort.subjects, cohort.pairs["session"], strict=True)
    ):
        index = names.index(name)
        person = images.SimulatedPerson(index, cohort.seed, factors[name])
        points = images.t1_points(shared, person, int(session), design)
        grey, white, mask = shared.sample(["grey", "white", "mask"], points)
        fluid = np.clip(mask - grey - white, 0, None)
        tissue = 1 + np.stack([fluid, grey, white]).argmax(0)
        volume = np.zeros(shared.inside.shape, np.uint8)
        volume[shared.inside] = tissue
        labels[row] = np.where(cohort.volumes["T1"][row] != 0, volume, 0)
    return labels


def _design(cohort: Cohort) -> images.Design:
    """The design that the people were made by."""
    recorded = cohort.parameters.get("design")
    if cohort.kind != "phantom" or recorded is None:
        raise ValueError(
            f"{cohort.path}: of kind {cohort.kind!r}, expected simulated "
            "people"
        )
    known = {field.name for field in fields(images.Design)}
    return images.Design(**{k: v for k, v in recorded.items() if k in known})


def _factors(cohort: Cohort) -> dict[str, dict]:
    """{participant_id: hidden factors}, in the order they were drawn."""
    file = cohort.file("truth/factors.tsv")
    table = pd.read_csv(file, sep="\t")
    rows = table.to_dict("records")
    return dict(zip(table["participant_id"], rows, strict=True))
