"""Embeddings for others, in an order and with names that say nothing of
anybody.

Layout of the folder, as scripts of linear probes read it::

    <modality>.npy  float32 (pairs, latent), the features; NaN in the rows of
                    who lacks the modality
    rows.tsv        a line for each row of these: row (0, 1, …), role (train,
                    valid, holdout or shift in the run's fold, or n/a),
                    downstream (1 for the one pair of a person that an
                    evaluation reads, else 0), and the labels asked for, n/a
                    where there is none
    about.json      the cohort, the recipe, what made them
    manifest.json   hashes of these

So a probe is fitted on and tested on::

    rows = pandas.read_csv("rows.tsv", sep="\\t")
    features = numpy.load("T1.npy")
    used = rows["downstream"].eq(1) & rows["diagnosis"].notna()
    train = used & rows["role"].eq("train")
    test = used & rows["role"].eq("holdout")
    probe.fit(features[train], rows["diagnosis"][train])
    probe.score(features[test], rows["diagnosis"][test])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmssl.ledger import atomic
from mmssl.ledger.hashes import as_json, hash_json
from mmssl.ledger.manifest import write_manifest
from mmssl.pretrain.encoders import embed
from mmssl.pretrain.export_record import (
    data_record,
    making_record,
    recipe_record,
    stated_simulated,
)
from mmssl.pretrain.run_folder import read_parameters

if TYPE_CHECKING:
    import pandas as pd

ROWS, ABOUT = "rows.tsv", "about.json"
_OWN = ("row", "role", "downstream")
_NAMES = ("participant_id", "session", "pair")
_ROLES = ("train", "valid", "holdout", "shift")


def export_embeddings(
    run_dir: str | Path,
    cohort,
    folder: str | Path,
    labels: Sequence[str] = (),
    seed: int = 0,
    simulated: str | None = None,
) -> Path:
    """Write the embeddings of a cohort without a name of anybody.

    Parameters
    ----------
    run_dir : path
        Of a finished run, whose encoders embed.
    cohort : Cohort
        That of the run or another one; its own splits say the roles.
    folder : path
        To be made; complete or not at all. Its layout is that of this module.
    labels : sequence of str
        Tasks of the cohort, as the names of their classes, or columns of its
        participants, as they stand. Whether an exact age or a rare class
        tells who somebody is, is for you to judge.
    seed : int
        Of the order of rows, which depends on all images too and is written
        down nowhere: without the images, nobody can undo it.
    simulated : {"people", "lesions"}, optional
        What of the data is simulated, where the cohort does not say so
        itself.

    Returns
    -------
    Path
        ``folder``.

    Raises
    ------
    FileExistsError
        Where the folder exists.
    ValueError
        As `embed`; for a label that the cohort does not have, or one that
        names people: ids, sessions, and texts or numbers of which nearly
        everybody has one of their own.
    """
    import pandas as pd

    run_dir, folder = Path(run_dir), Path(folder)
    parameters = read_parameters(run_dir)
    stated = stated_simulated(cohort, simulated)
    columns = {
        "role": _roles(cohort, parameters["fold"]),
        "downstream": cohort.pairs["downstream"].to_numpy(),
    }
    for name in labels:
        columns[name] = _label(cohort, name)
    order = _shuffled(cohort, seed)
    table = pd.DataFrame(columns).iloc[order]
    table.insert(0, "row", range(len(table)))
    embeddings = embed(run_dir, cohort)
    about = {
        "modalities": list(embeddings),
        "data": data_record(cohort, stated),
        "recipe": recipe_record(parameters),
        "made_by": making_record(parameters),
    }
    with atomic.directory(folder) as unfinished:
        for m, z in embeddings.items():
            np.save(unfinished / f"{m}.npy", z[order])
        _write_tables(unfinished, table, about)
    return folder


def _roles(cohort, fold: int) -> np.ndarray:
    """(pairs,) role of every pair in a fold; None of those in none."""
    roles = np.full(len(cohort), None, dtype=object)
    known = _ROLES
    if fold >= len(cohort.splits["folds"]):
        known = ("holdout", "shift")
    for role in known:
        roles[cohort.rows(role, fold)] = role
    return roles


def _label(cohort, name: str) -> np.ndarray:
    """(pairs,) values of a task or of a column of the participants."""
    file = cohort.path / "participants.tsv"
    if name in _OWN or name in _NAMES:
        raise ValueError(
            f"{file}: label {name!r} asked for, expected none of "
            f"{', '.join(_OWN + _NAMES)}"
        )
    if name in cohort.tasks:
        classes = [str(own) for own in cohort.tasks[name]["classes"]]
        # of who has no label, the last one
        return np.array([*classes, None], dtype=object)[cohort.labels(name)]
    people = cohort.participants.set_index("participant_id")
    if name not in people:
        known = [*cohort.tasks, *people.columns]
        raise ValueError(
            f"{file}: label {name!r} asked for, expected one of "
            f"{', '.join(known)}"
        )
    if _names_people(people[name]):
        raise ValueError(
            f"{file}: label {name!r} names people: nearly everybody has a "
            "value of their own, expected one that many share"
        )
    people.index = people.index.astype(str)
    return people[name].loc[cohort.subjects].to_numpy()


def _names_people(values: pd.Series) -> bool:
    """Whether a column, by person, tells one from the other: it holds ids,
    every whole number once, or mostly texts of a single person.
    """
    from pandas.api.types import is_numeric_dtype

    known = values.dropna()
    words = known.astype(str)
    if {*words} & {*known.index.astype(str)}:
        return True
    counts = words.value_counts()
    if not is_numeric_dtype(known):
        return 2 * (counts == 1).sum() > len(words)
    are_whole = (known == known.round()).all()
    return bool(len(words) > 1 and are_whole and (counts == 1).all())


def _shuffled(cohort, seed: int) -> np.ndarray:
    """The order of rows, which nobody can repeat who has not all images."""
    images = cohort.image_hashes(range(len(cohort)))
    key = int(hash_json([seed, images]), 16)
    return np.random.default_rng(key).permutation(len(cohort))


def _write_tables(folder: Path, table: pd.DataFrame, about: Mapping) -> None:
    """Write the rows, what they are from, and the manifest."""
    options = {"sep": "\t", "index": False, "na_rep": "n/a"}
    table.to_csv(folder / ROWS, encoding="utf-8", **options)
    text = as_json(about, indent=1) + "\n"
    (folder / ABOUT).write_text(text, encoding="utf-8")
    write_manifest(folder)
