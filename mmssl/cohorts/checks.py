"""Whether the files of a cohort folder agree with each other, before anything
is read from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

INTENSITIES = ("brain", "unit")
_BLOCK_BYTES = 1 << 26  # what a scan over a memory-mapped array holds at once


def require(file: Path, what: str, missing: Sequence[str]) -> None:
    """Raise a ValueError that names what a file lacks, if it lacks
    anything.
    """
    if missing:
        raise ValueError(f"{file}: missing {what}: {', '.join(missing)}")


def agree(cohort) -> None:
    """Everything that `mmssl.cohorts.cohort.load` promises about a folder.

    Raises
    ------
    ValueError
        Naming the file and the field, what was found and what is expected.
    """
    about = cohort.path / "cohort.json"
    if cohort.intensity not in INTENSITIES:
        raise ValueError(
            f"{about}: intensity is {cohort.intensity!r}, "
            f"expected one of {', '.join(INTENSITIES)}"
        )
    if cohort.dims not in (2, 3):
        raise ValueError(f"{about}: dims is {cohort.dims!r}, expected 2 or 3")
    if cohort.affine is not None and cohort.affine.shape != (4, 4):
        raise ValueError(
            f"{about}: affine has shape {cohort.affine.shape}, expected (4, 4)"
        )
    for task, spec in cohort.tasks.items():
        require(
            cohort.path / "participants.tsv",
            f"columns for task {task!r}",
            [spec["column"]]
            if spec["column"] not in cohort.participants
            else [],
        )
    if cohort.pairing is not None and cohort.pairing not in cohort.tasks:
        raise ValueError(
            f"{about}: pairing is {cohort.pairing!r}, expected a task of "
            f"{', '.join(cohort.tasks) or 'the cohort, which has none'}"
        )
    _check_tables(cohort)
    _check_splits(cohort)
    for modality in cohort.modalities:
        _check_volumes(cohort, modality)
    side = (cohort.size,) * cohort.dims
    if cohort.mask is not None and cohort.mask.shape != side:
        raise ValueError(
            f"{cohort.path / 'mask.npy'}: shape {cohort.mask.shape}, expected {side}"
        )


def _check_tables(cohort) -> None:
    known = cohort.participants["participant_id"]
    if known.duplicated().any():
        raise ValueError(
            f"{cohort.path / 'participants.tsv'}: participant_id "
            f"{known[known.duplicated()].iloc[0]!r} stands twice"
        )
    unknown = sorted(set(cohort.subjects) - set(known))
    if unknown:
        raise ValueError(
            f"{cohort.path / 'pairs.tsv'}: participant_id {str(unknown[0])!r} is not "
            "in participants.tsv"
        )
    numbers = cohort.pairs["pair"].to_numpy()
    if not np.array_equal(numbers, np.arange(len(numbers))):
        raise ValueError(
            f"{cohort.path / 'pairs.tsv'}: column pair must count the rows 0, 1, …, "
            f"found {numbers[:5].tolist()}"
        )
    twice = cohort.pairs.groupby("participant_id")["downstream"].sum()
    if (twice > 1).any():
        raise ValueError(
            f"{cohort.path / 'pairs.tsv'}: {twice.idxmax()!r} has {twice.max()} "
            "downstream pairs, expected at most 1"
        )


def _check_splits(cohort) -> None:
    file = cohort.path / "splits.json"
    require(
        file,
        "fields",
        [k for k in ("holdout", "shift", "folds") if k not in cohort.splits],
    )
    known = set(cohort.participants["participant_id"])
    for k, fold in enumerate(
        cohort.splits["folds"] or [{"train": [], "valid": []}]
    ):
        roles = {
            "train": fold["train"],
            "valid": fold["valid"],
            "holdout": cohort.splits["holdout"],
            "shift": cohort.splits["shift"],
        }
        seen: dict[str, str] = {}
        for role, people in roles.items():
            for person in people:
                if person not in known:
                    raise ValueError(
                        f"{file}: {role} names {person!r}, not in participants.tsv"
                    )
                if person in seen:
                    raise ValueError(
                        f"{file}: fold {k}: {person!r} is in {seen[person]} and "
                        f"in {role}"
                    )
                seen[person] = role


def _check_volumes(cohort, modality: str) -> None:
    file, values = cohort.path / f"{modality}.npy", cohort.volumes[modality]
    channels = cohort.channels[modality]
    expected = (
        len(cohort.pairs),
        *((channels,) if channels > 1 else ()),
        *(cohort.size,) * cohort.dims,
    )
    if values.shape != expected:
        raise ValueError(
            f"{file}: shape {values.shape}, expected {expected} "
            "(pairs.tsv and cohort.json)"
        )
    if values.dtype not in (np.float16, np.float32):
        raise ValueError(
            f"{file}: dtype {values.dtype}, expected float16 or float32"
        )
    step = max(1, _BLOCK_BYTES // max(1, values[:1].nbytes))
    for start in range(0, len(values), step):
        bad = ~np.isfinite(values[start : start + step]).reshape(
            len(values[start : start + step]), -1
        )
        if bad.any():
            row = start + int(bad.any(axis=1).argmax())
            raise ValueError(
                f"{file}: row {row} ({cohort.subjects[row]}) has "
                f"{int(bad[row - start].sum())} NaN or Inf values, expected none"
            )
