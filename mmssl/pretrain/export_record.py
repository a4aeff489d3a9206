"""What an export says of the run behind it: of the data, the recipe and what
made it, without a word on anybody in particular.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmssl.ledger.hashes import hash_json
from mmssl.ledger.leakage import read_exposures

STATEMENTS = {
    "people": (
        "Simulated people: nobody of them exists, and no number from them is "
        "a result on patients."
    ),
    "lesions": (
        "Images with simulated lesions planted in them: no number on lesions "
        "from them is a result on patients."
    ),
    None: "Nothing on record says that these data are simulated.",
}
"""By what is simulated, the sentence that goes wherever the data are named."""

NOT_RECIPE = (
    "cohort",
    "code",
    "versions",
    "device",
    "threads",
    "processes",
    "resumed_in",
)
"""What a run's parameters hold beside what was asked for."""

# of a cohort's files, those whose names tell nothing of anybody
_TABLES = ("mask.npy", "pairs.tsv", "participants.tsv", "splits.json")


def check_cohort(run_dir: str | Path, parameters: Mapping, cohort) -> None:
    """ValueError unless a cohort is the one that a run was trained on, by the
    hashes of its files.
    """
    hashes = parameters["cohort"]["hashes"]
    if hashes != dict(cohort.hashes):
        raise ValueError(
            f"{Path(run_dir) / 'params.json'}: cohort "
            f"{parameters['cohort']['name']!r} with the hash "
            f"{hash_json(hashes)[:12]}, expected that of {cohort.path}, "
            f"{hash_json(dict(cohort.hashes))[:12]}"
        )


def simulated_part(cohort) -> str | None:
    """What of a cohort is simulated: "people", "lesions" or None, as far as
    its record says.
    """
    parameters = cohort.parameters
    if cohort.kind == "phantom" or "oracle_auc" in parameters:
        return "people"
    return "lesions" if "lesions" in parameters else None


def data_record(cohort, simulated: str | None) -> dict[str, Any]:
    """What is said of a cohort: name, kind, hashes, numbers.

    Parameters
    ----------
    cohort : Cohort
    simulated : {"people", "lesions"}, optional
        What of it is simulated.

    Returns
    -------
    dict
        "hash" is that of all files of the cohort together, "hashes" those of
        its images and tables.
    """
    named = {*_TABLES, *(f"{m}.npy" for m in cohort.modalities)}
    hashes = {}
    for name, digest in cohort.hashes.items():
        if name in named:
            hashes[name] = digest
    return {
        "name": cohort.name,
        "kind": cohort.kind,
        "simulated": simulated,
        "statement": STATEMENTS[simulated],
        "hash": hash_json(dict(cohort.hashes)),
        "hashes": hashes,
        "people": len(cohort.participants),
        "pairs": len(cohort),
    }


def stated_simulated(cohort, stated: str | None) -> str | None:
    """What is simulated, where somebody states it.

    Raises
    ------
    ValueError
        For another word, or for one that says less than the record: simulated
        people are never posed as others.
    """
    known = simulated_part(cohort)
    if stated is None:
        return known
    fits = known is None or stated == "people" or stated == known
    if stated not in ("people", "lesions") or not fits:
        raise ValueError(
            f"simulated={stated!r}, expected None, 'people' or 'lesions', and "
            f"no less than is on record of {cohort.path}: {known!r}"
        )
    return stated


def seen_people(run_dir: str | Path) -> dict[str, int]:
    """How many people the encoders of a run have seen: "train" and "valid",
    with whom the epoch was chosen.
    """
    roles = {"train": "train", "choose": "valid"}
    numbers = dict.fromkeys(roles.values(), 0)
    for exposure in read_exposures(Path(run_dir) / "exposures.json"):
        if exposure.fit == "encoder" and exposure.role in roles:
            numbers[roles[exposure.role]] += len(exposure.subjects)
    return numbers


def recipe_record(parameters: Mapping) -> dict[str, Any]:
    """What was asked of a run, of its parameters."""
    asked = {}
    for name, value in parameters.items():
        if name not in NOT_RECIPE:
            asked[name] = value
    return asked


def code_fingerprint(parameters: Mapping) -> str:
    """One hash of all code behind a run, of its parameters."""
    return hash_json(parameters["code"])


def making_record(parameters: Mapping) -> dict[str, Any]:
    """What made a run: versions, device, threads, processes and one hash of
    the code.
    """
    return {
        "versions": parameters["versions"],
        "device": parameters["device"],
        "threads": parameters["threads"],
        "processes": parameters["processes"],
        "resumed_in": parameters["resumed_in"],
        "code": code_fingerprint(parameters),
    }
