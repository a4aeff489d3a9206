"""Embeddings as people see them: the plane in which they vary most, and what
is known of everybody who lies in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mmssl.evaluate.confounds import HEAD_SIZE, head_size

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("model", "modality", "row", "first", "second", "share")
FACTORS = "truth/factors.tsv"


def principal_planes(
    embeddings: Mapping[str, Mapping[str, np.ndarray]], rows
) -> pd.DataFrame:
    r"""Coordinates of people along the first two principal components of
    every representation.

    With :math:`Z = U S V^\top` the embeddings of these people without their
    mean, :math:`Z V` in its first two columns. Each component points to where
    its largest value is. No label has a part in it.

    Parameters
    ----------
    embeddings : {model: {modality: array (pairs, dimensions)}}
        NaN where a pair lacks the modality.
    rows : array of int
        Pairs that are drawn, one of a person.

    Returns
    -------
    DataFrame
        model, modality, row, first, second, and share: of the variance that
        the plane holds. Who lacks a modality has no line of it; one of fewer
        than three people or two dimensions has none at all.
    """
    import pandas as pd

    rows = np.asarray(rows)
    lines = []
    for model, by_modality in embeddings.items():
        for modality, z in by_modality.items():
            there = rows[np.isfinite(z[rows]).all(axis=1)]
            if len(there) < 3 or z.shape[1] < 2:
                continue
            centred = z[there].astype(float)
            centred -= centred.mean(axis=0)
            left, size, _ = np.linalg.svd(centred, full_matrices=False)
            scores = left[:, :2] * size[:2]
            farthest = np.abs(scores).argmax(axis=0)
            scores *= np.where(scores[farthest, [0, 1]] < 0, -1, 1)
            total = (size**2).sum()
            line = {"model": model, "modality": modality, "row": there}
            line |= {"first": scores[:, 0], "second": scores[:, 1]}
            line["share"] = (size[:2] ** 2).sum() / total if total else 0.0
            lines.append(pd.DataFrame(line))
    if not lines:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(lines, ignore_index=True)


def known_of_people(cohort, rows) -> pd.DataFrame:
    """What a representation may tell of people: their group, and what else
    could look like it.

    Parameters
    ----------
    cohort : Cohort
    rows : array of int
        Pairs.

    Returns
    -------
    DataFrame, one line a row, in its index
        group (the column of the cohort's first task), severity (of simulated
        people: their true one), site, and head size (as of
        `mmssl.evaluate.confounds.covariates`); without those of which nothing
        is known.
    """
    import pandas as pd

    rows = np.asarray(rows)
    people = cohort.participants.set_index("participant_id")
    people = people.loc[cohort.subjects[rows]]
    known = {}
    if cohort.tasks:
        task = next(iter(cohort.tasks.values()))
        known["group"] = people[task["column"]].to_numpy()
    if FACTORS in cohort.hashes:
        factors = pd.read_csv(cohort.file(FACTORS), sep="\t")
        factors = factors.set_index("participant_id")
        if "severity" in factors:
            severity = factors["severity"].loc[people.index]
            known["severity"] = severity.to_numpy()
    if "site" in people:
        known["site"] = people["site"].to_numpy()
    if "head_size" in people:
        size = pd.to_numeric(people["head_size"], errors="coerce")
        known[HEAD_SIZE] = size.to_numpy()
    elif cohort.intensity == "brain" and cohort.dims == 3:
        known[HEAD_SIZE] = head_size(cohort)[rows]
    return pd.DataFrame(known, index=rows).dropna(axis=1, how="all")
