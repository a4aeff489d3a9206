"""Checks that the files of a cohort folder agree with each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mmssl.ledger import limits

INTENSITIES = ("brain", "unit")
PRESENCE = "has_"
"""Before a modality's name: the column of ``pairs.tsv`` that says which rows
have its image, where some have not.
"""
# The brain's file, and what lies beside the modalities in exported embeddings.
_TAKEN = ("mask", "participant_id", "session")
# Bytes of a memory-mapped array that are checked at once.
_BLOCK_BYTES = 1 << 26
# of the values and lines that a message names
_SHOWN = 5
# of a table's first row: below the header, counted from 1
_FIRST_LINE = 2


def require(file: Path, what: str, missing: Sequence[str]) -> None:
    """ValueError if something is missing in a file, naming both."""
    if missing:
        raise ValueError(f"{file}: missing {what}: {', '.join(missing)}")


def check_modalities(file: Path, modalities: Iterable[str]) -> None:
    """Refuse names of modalities that cannot be those of their files.

    Parameters
    ----------
    file : Path
        Of ``cohort.json``, for the message.
    modalities : iterable of str

    Raises
    ------
    ValueError
        For an absolute path, one with ``..`` or a folder in it, a hidden
        file, or a name that something else in a cohort has.
    """
    for name in modalities:
        is_file = isinstance(name, str) and name.isprintable()
        if (
            not is_file
            or not name
            or name[0] in ".-"
            or name != name.strip()
            or {*name} & {*"/\\:"}
            or name in _TAKEN
        ):
            raise ValueError(
                f"{file}: modality {name!r} found, expected a name that can "
                "be a file's: printable, without '/', '\\' and ':', its "
                "first character neither '.' nor '-', no space at its ends, "
                "and none of "
                f"{', '.join(_TAKEN)}"
            )


def check_sizes(file: Path, fields: Mapping) -> None:
    """Refuse a ``cohort.json`` whose sizes no volume can have.

    Parameters
    ----------
    file : Path
        Of ``cohort.json``, for the message.
    fields : mapping
        Its content.

    Raises
    ------
    ValueError
        For modalities as `check_modalities` refuses them, a size or a number
        of channels that is no whole number above 0, dims other than 2 and 3,
        or a volume larger than `mmssl.ledger.limits.LARGEST`.
    """
    channels = fields["channels"]
    if not isinstance(channels, Mapping) or not channels:
        raise ValueError(
            f"{file}: channels is {channels!r}, expected a number of channels "
            "for each modality"
        )
    check_modalities(file, channels)
    counts = {f"channels of {m}": count for m, count in channels.items()}
    for name, value in {"size": fields["size"], **counts}.items():
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or value < 1:
            raise ValueError(
                f"{file}: {name} is {value!r}, expected a whole number above 0"
            )
    dims = fields["dims"]
    if not isinstance(dims, int) or dims not in (2, 3):
        raise ValueError(f"{file}: dims is {dims!r}, expected 2 or 3")
    values = max(channels.values()) * fields["size"] ** dims
    limits.check_declared(file, values * 4, f"size {fields['size']}")


def agree(cohort) -> None:
    """Check everything that `mmssl.cohorts.cohort.load` promises of a folder.

    Parameters
    ----------
    cohort : Cohort
        As read, unchecked.

    Raises
    ------
    ValueError
        Naming the file and the field, what was found and what is expected.
    """
    _check_fields(cohort)
    _check_tasks(cohort)
    _check_tables(cohort)
    _check_splits(cohort)
    _check_presence(cohort)
    for modality in cohort.modalities:
        _check_volumes(cohort, modality)
    side = (cohort.size,) * cohort.dims
    if cohort.mask is not None and cohort.mask.shape != side:
        raise ValueError(
            f"{cohort.path / 'mask.npy'}: shape {cohort.mask.shape}, "
            f"expected {side}"
        )


def _check_fields(cohort) -> None:
    file = cohort.path / "cohort.json"
    if cohort.intensity not in INTENSITIES:
        raise ValueError(
            f"{file}: intensity is {cohort.intensity!r}, "
            f"expected one of {', '.join(INTENSITIES)}"
        )
    if cohort.affine is not None and cohort.affine.shape != (4, 4):
        raise ValueError(
            f"{file}: affine has shape {cohort.affine.shape}, expected (4, 4)"
        )


def _check_tasks(cohort) -> None:
    for task, spec in cohort.tasks.items():
        if spec["column"] not in cohort.participants:
            require(
                cohort.path / "participants.tsv",
                f"columns for task {task!r}",
                [spec["column"]],
            )
        _check_labels(cohort, task, spec)
    if cohort.pairing is not None and cohort.pairing not in cohort.tasks:
        tasks = ", ".join(cohort.tasks) or "the cohort, which has none"
        raise ValueError(
            f"{cohort.path / 'cohort.json'}: pairing is {cohort.pairing!r}, "
            f"expected a task of {tasks}"
        )


def _check_labels(cohort, task: str, spec: Mapping) -> None:
    """ValueError for a value that is no class, nor ignored, or a class that
    nobody has.
    """
    place = f"{cohort.path / 'participants.tsv'}: column {spec['column']!r}"
    classes = [str(name) for name in spec["classes"]]
    ignored = [str(name) for name in spec.get("ignored", ())]
    names = classes + ignored
    if len(set(names)) < len(names):
        raise ValueError(
            f"{cohort.path / 'cohort.json'}: task {task!r} has the classes "
            f"{classes} and ignores {ignored}, expected every name once"
        )
    values = cohort.participants[spec["column"]].dropna().astype(str)
    unknown = values[~values.isin(names)]
    if len(unknown):
        counts = unknown.value_counts().head(_SHOWN).to_dict()
        lines = (unknown.index[:_SHOWN] + _FIRST_LINE).tolist()
        raise ValueError(
            f"{place}: {len(unknown)} values are no class of task {task!r}: "
            f"{counts}, first in lines {lines}; expected {classes}, n/a, or "
            "what cohort.json lists as the task's 'ignored', found "
            f"{ignored} there"
        )
    absent = {str(name) for name in spec.get("absent", ())}
    nobody = sorted(set(classes) - set(values) - absent)
    if nobody:
        found = values.value_counts().head(_SHOWN).to_dict()
        raise ValueError(
            f"{place}: nobody is in the classes {nobody} of task {task!r}; "
            f"found {found}, expected each of {classes}, or what cohort.json "
            f"lists as the task's 'absent', found {sorted(absent)} there"
        )


def _check_tables(cohort) -> None:
    for table in ("participants", "pairs"):
        missing = getattr(cohort, table)["participant_id"].isna()
        if missing.any():
            line = int(missing.to_numpy().argmax()) + _FIRST_LINE
            raise ValueError(
                f"{cohort.path / table}.tsv: participant_id is missing in "
                f"{missing.sum()} rows, first in line {line}"
            )
    known = cohort.participants["participant_id"]
    if known.duplicated().any():
        raise ValueError(
            f"{cohort.path / 'participants.tsv'}: participant_id "
            f"{known[known.duplicated()].iloc[0]!r} stands twice"
        )
    unknown = sorted(set(cohort.subjects) - set(known))
    if unknown:
        raise ValueError(
            f"{cohort.path / 'pairs.tsv'}: participant_id "
            f"{str(unknown[0])!r} is not in participants.tsv"
        )
    numbers = cohort.pairs["pair"].to_numpy()
    if not np.array_equal(numbers, np.arange(len(numbers))):
        raise ValueError(
            f"{cohort.path / 'pairs.tsv'}: column pair must count the rows "
            f"0, 1, …, found {numbers[:5].tolist()}"
        )
    marks = cohort.pairs["downstream"]
    if not marks.isin((0, 1)).all():
        raise ValueError(
            f"{cohort.path / 'pairs.tsv'}: column downstream holds "
            f"{marks.unique()[:_SHOWN].tolist()}, expected 0 or 1"
        )
    downstream = cohort.pairs.groupby("participant_id")["downstream"].sum()
    if (downstream > 1).any():
        raise ValueError(
            f"{cohort.path / 'pairs.tsv'}: {downstream.idxmax()!r} has "
            f"{downstream.max()} downstream pairs, expected at most 1"
        )


def _check_splits(cohort) -> None:
    file = cohort.path / "splits.json"
    splits = cohort.splits
    fields = ("holdout", "shift", "folds")
    missing = [field for field in fields if field not in splits]
    require(file, "fields", missing)
    known = set(cohort.participants["participant_id"])
    no_fold = {"train": [], "valid": []}
    for k, fold in enumerate(splits["folds"] or [no_fold]):
        roles = {
            "train": fold["train"],
            "valid": fold["valid"],
            "holdout": splits["holdout"],
            "shift": splits["shift"],
        }
        _check_roles(file, k, roles, known)


def _check_roles(file: Path, fold: int, roles: dict, known: set) -> None:
    """ValueError for a stranger, or a person in two roles of a fold."""
    role_of: dict[str, str] = {}
    for role, people in roles.items():
        for person in people:
            if person not in known:
                raise ValueError(
                    f"{file}: {role} names {person!r}, not in participants.tsv"
                )
            if person in role_of:
                raise ValueError(
                    f"{file}: fold {fold}: {person!r} is in "
                    f"{role_of[person]} and in {role}"
                )
            role_of[person] = role


def _check_presence(cohort) -> None:
    """ValueError for a presence that is neither 0 nor 1, or a row without any
    image.
    """
    file = cohort.path / "pairs.tsv"
    for column in cohort.pairs.columns:
        if not column.startswith(PRESENCE):
            continue
        values = cohort.pairs[column]
        if not values.isin((0, 1)).all():
            raise ValueError(
                f"{file}: column {column} holds "
                f"{values.unique()[:_SHOWN].tolist()}, expected 0 or 1"
            )
    there = [cohort.present(modality) for modality in cohort.modalities]
    empty = np.flatnonzero(~np.any(there, axis=0))
    if len(empty):
        lines = (empty[:_SHOWN] + _FIRST_LINE).tolist()
        raise ValueError(
            f"{file}: {len(empty)} rows have no image of any modality, first "
            f"in lines {lines}; expected one at least"
        )


def _check_volumes(cohort, modality: str) -> None:
    file = cohort.path / f"{modality}.npy"
    volumes = cohort.volumes[modality]
    expected = (len(cohort.pairs), *(cohort.size,) * cohort.dims)
    channels = cohort.channels[modality]
    if channels > 1:
        expected = (expected[0], channels, *expected[1:])
    if volumes.shape != expected:
        raise ValueError(
            f"{file}: shape {volumes.shape}, expected {expected} "
            "(pairs.tsv and cohort.json)"
        )
    if volumes.dtype not in (np.float16, np.float32):
        raise ValueError(
            f"{file}: dtype {volumes.dtype}, expected float16 or float32"
        )
    lacking = ~cohort.present(modality)
    step = max(1, _BLOCK_BYTES // max(1, volumes[:1].nbytes))
    for start in range(0, len(volumes), step):
        block = volumes[start : start + step]
        expected_empty = np.flatnonzero(lacking[start : start + step])
        filled = block[expected_empty].any(axis=tuple(range(1, block.ndim)))
        if filled.any():
            row = start + int(expected_empty[filled.argmax()])
            raise ValueError(
                f"{file}: row {row} ({cohort.subjects[row]}) holds an image, "
                f"but {PRESENCE}{modality} of pairs.tsv is 0 there"
            )
        bad = ~np.isfinite(block).reshape(len(block), -1)
        if bad.any():
            place = int(bad.any(axis=1).argmax())
            row = start + place
            raise ValueError(
                f"{file}: row {row} ({cohort.subjects[row]}) has "
                f"{int(bad[place].sum())} NaN or Inf values, expected none"
            )
