"""A preprocessed person as a cohort folder that every other step reads."""

import json
import re
import shutil
from functools import partial
from pathlib import Path

import pandas as pd

from mmssl.cohorts.cohort import Cohort, write
from mmssl.ledger import limits
from mmssl.preprocessing.person import Person
from mmssl.preprocessing.registration_status import DOUBTFUL, STATUSES

# labels of the person's files are not carried over
NAME = "person-1"
"""What the only participant is called, unless a name is given."""


def write_person(
    person: Person,
    path: str | Path,
    name: str = NAME,
    accept: str = DOUBTFUL,
) -> Cohort:
    """Write a person as a cohort of one pair, which `cohorts.load` reads.

    The participant is in the hold-out. Of the files only the content hashes
    are recorded, no path and no label. The folder also holds ``quality.tsv``,
    ``transforms.json`` and, with a BOLD series, ``motion.tsv``.

    Parameters
    ----------
    person : from `mmssl.preprocessing.person.prepare`.
    path : folder; one that holds the same person made with the same parameters
        is replaced.
    name : participant_id; letters, digits, "-", "_" and ".". It stays with the
        person's embeddings and is on no page.
    accept : the worst of `registration_status.STATUSES` that may become the
        input of a network. The person's own status is the column
        ``registration`` of ``participants.tsv``.

    Returns
    -------
    Cohort

    Raises
    ------
    ValueError
        For another name or status, or if the folder exists and holds anything
        else; nothing is changed.
    """
    path = Path(path)
    if not re.fullmatch(r"[\w.-]+", name):
        raise ValueError(
            f"name is {name!r}, expected letters, digits, '-', '_' and '.'"
        )
    if accept not in STATUSES:
        raise ValueError(f"accept is {accept!r}, expected one of {STATUSES}")
    parameters = {**person.parameters, "inputs": person.hashes}
    previous = path.with_name(f".old-{path.name}")
    if path.exists():
        _check_same(path, parameters)
        shutil.rmtree(previous, ignore_errors=True)
        path.rename(previous)
    parameters["accept"] = accept
    try:
        return _write_cohort(person, path, name, parameters)
    except BaseException:
        if previous.exists():
            previous.rename(path)
        raise
    finally:
        shutil.rmtree(previous, ignore_errors=True)


def _write_cohort(
    person: Person, path: Path, name: str, parameters: dict
) -> Cohort:
    participants = pd.DataFrame(
        {
            "participant_id": [name],
            "group": ["n/a"],
            "registration": [person.registration],
        }
    )
    pairs = pd.DataFrame(
        {
            "pair": [0],
            "participant_id": [name],
            "session": [1],
            "day": [0],
            "downstream": [1],
        }
    )
    return write(
        path,
        name=path.name,
        kind="person",
        volumes={m: volume[None] for m, volume in person.volumes.items()},
        participants=participants,
        pairs=pairs,
        splits={"seed": None, "holdout": [name], "shift": [], "folds": []},
        affine=person.affine,
        mask=person.mask,
        parameters=parameters,
        extra=partial(_write_tables, person),
    )


def _check_same(path: Path, parameters: dict) -> None:
    """ValueError for a folder that does not hold this very person."""
    file = path / "cohort.json"
    fields = json.loads(limits.read_text(file)) if file.is_file() else {}
    kind, found = fields.get("kind"), fields.get("parameters")
    if found is not None:
        found.pop("accept", None)
    if kind != "person" or found != parameters:
        raise ValueError(
            f"{path}: exists and holds kind {kind!r} with parameters "
            f"{found}, expected this person with "
            f"{parameters}; choose another output or remove the folder"
        )


def _write_tables(person: Person, folder: Path) -> None:
    """Quality figures, transforms and head motion, for people to read."""
    rows = [
        {"figure": k, "value": v, "shifted_5_mm": person.control.get(k)}
        for k, v in person.quality.items()
    ]
    pd.DataFrame(rows).to_csv(folder / "quality.tsv", sep="\t", index=False)
    transforms = {"mni_to_t1": person.to_native.tolist()}
    if person.motion is not None:
        transforms["t1_to_bold"] = person.to_bold.tolist()
        person.motion.to_csv(folder / "motion.tsv", sep="\t", index=False)
    (folder / "transforms.json").write_text(
        json.dumps(transforms, indent=1) + "\n", encoding="utf-8"
    )
