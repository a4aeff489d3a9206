"""Tissue of the simulated people, voxel by voxel: fluid, grey and white matter
of the real anatomy they are made of, where the deformation, the pose and the
ventricles of each scan put them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mmssl.cohorts.cohort import Cohort
from mmssl.cohorts.simulated import anatomy as anatomies
from mmssl.cohorts.simulated import images
from mmssl.cohorts.simulated.phantom import persons_of

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
    recorded = cohort.parameters.get("design")
    if cohort.kind != "phantom" or recorded is None:
        raise ValueError(
            f"{cohort.path}: of kind {cohort.kind!r}, expected simulated "
            "people"
        )
    design = images.Design(**recorded)
    factors = pd.read_csv(cohort.file("truth/factors.tsv"), sep="\t")
    persons = persons_of(factors, cohort.seed)
    shared = anatomies.anatomy(cohort.size, design.anatomy)
    labels = np.zeros(cohort.volumes["T1"].shape, np.uint8)
    for row, (name, session) in enumerate(
        zip(cohort.subjects, cohort.pairs["session"], strict=True)
    ):
        points = images.t1_points(shared, persons[name], int(session), design)
        grey, white, mask = shared.sample(["grey", "white", "mask"], points)
        fluid = np.clip(mask - grey - white, 0, None)
        volume = np.zeros(shared.inside.shape, np.uint8)
        volume[shared.inside] = 1 + np.stack([fluid, grey, white]).argmax(0)
        labels[row] = np.where(cohort.volumes["T1"][row] != 0, volume, 0)
    return labels
