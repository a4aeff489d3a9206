"""A preprocessed person as a cohort folder that every other step reads."""

import json
import shutil
from pathlib import Path

import pandas as pd

from mmssl.cohorts.cohort import Cohort
from mmssl.cohorts.cohort import write as write_cohort
from mmssl.preprocessing.person import Person

# neutral: a label from a hospital's or a study's file never leaves this
# machine
NAME = "person-1"


def write_person(person: Person, path: str | Path) -> Cohort:
    """Write a person as a cohort of one pair, which `cohorts.load` reads.

    The participant is called "person-1", whatever the files were called, and
    stands in the hold-out; no path and no label of the files is kept, only
    their content hashes. The folder also holds ``motion.tsv``, ``quality.tsv``
    and ``transforms.json``.

    Parameters
    ----------
    person : from `prepare`.
    path : folder; one that holds the same person made with the same parameters
        is replaced.

    Returns
    -------
    Cohort

    Raises
    ------
    ValueError : the folder exists and holds anything else; nothing is changed.
    """
    path = Path(path)
    parameters = person.parameters | {"inputs": person.hashes}
    old = path.with_name(f".old-{path.name}")
    if path.exists():
        _check_same(path, parameters)
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
    try:
        return _write(person, path, parameters)
    except BaseException:
        if old.exists():
            old.rename(path)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _write(person: Person, path: Path, parameters: dict) -> Cohort:
    people = pd.DataFrame({"participant_id": [NAME], "group": ["n/a"]})
    pairs = pd.DataFrame(
        {
            "pair": [0],
            "participant_id": [NAME],
            "session": [1],
            "day": [0],
            "downstream": [1],
        }
    )
    return write_cohort(
        path,
        name=path.name,
        kind="person",
        volumes={m: v[None] for m, v in person.volumes.items()},
        participants=people,
        pairs=pairs,
        splits={"seed": None, "holdout": [NAME], "shift": [], "folds": []},
        affine=person.affine,
        mask=person.mask,
        parameters=parameters,
        extra=lambda folder: _tables(person, folder),
    )


def _check_same(path: Path, parameters: dict) -> None:
    about = path / "cohort.json"
    found = json.loads(about.read_text()) if about.is_file() else {}
    if found.get("kind") != "person" or found.get("parameters") != parameters:
        raise ValueError(
            f"{path}: exists and holds kind {found.get('kind')!r} with parameters"
            f" {found.get('parameters')}, expected this person with {parameters}; choose another"
            " output or remove the folder"
        )


def _tables(person: Person, folder: Path) -> None:
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
        json.dumps(transforms, indent=1) + "\n"
    )
