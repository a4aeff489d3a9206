"""Splits: who may be seen by what, fixed once, by person and stratified by
group.

One hold-out and k folds, as in Fedorov et al. 2021 ("Tasting the cake",
section II-C): a person's images are never on two sides. A second population is
kept apart as ``shift``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

MAIN = "main"


def make(
    participants: pd.DataFrame,
    folds: int = 5,
    holdout: float | Mapping[str, float] | Sequence[str] = 0.2,
    seed: int = 0,
    classes: Sequence[str] = ("HC", "AD"),
) -> dict:
    """Draw the splits of a cohort.

    Parameters
    ----------
    participants : table with participant_id, group and, optionally,
        population; everybody whose
        population is not "main" goes to ``shift``.
    folds : number of folds; every remaining person is validated in exactly one
        of them.
    holdout : share of each group held out, one number or {group: share}; or
        the ids themselves.
    seed : of the draw.
    classes : groups that must be on both sides of every fold (the labels of
        the main task).

    Returns
    -------
    dict
        {"seed", "holdout": [ids], "shift": [ids], "folds": [{"train": [ids],
        "valid": [ids]}, …]}, ids in the order of the table.

    Raises
    ------
    ValueError
        For fewer people than folds, an id held out that does not exist, or a
        fold with one of ``classes`` missing on a side; the counts found are
        named.
    """
    table = participants.astype({"participant_id": str, "group": str})
    population = (
        table["population"]
        if "population" in table
        else pd.Series(MAIN, table.index)
    )
    shift = table.loc[population != MAIN, "participant_id"].tolist()
    main = table[population == MAIN]
    if folds < 2:
        raise ValueError(f"folds is {folds}, expected at least 2")
    rng = np.random.default_rng([seed, 0x5917])
    held = _held_out(main, holdout, rng)
    rest = main[~main["participant_id"].isin(held)]
    if len(rest) < folds:
        raise ValueError(
            f"{len(rest)} participants outside the hold-out, fewer than {folds} folds"
        )
    fold_of = _deal(rest["group"].to_numpy(), folds, rng)
    ids = rest["participant_id"].to_numpy()
    result = [
        {
            "train": ids[fold_of != k].tolist(),
            "valid": ids[fold_of == k].tolist(),
        }
        for k in range(folds)
    ]
    _check_classes(rest, fold_of, folds, classes)
    return {"seed": seed, "holdout": held, "shift": shift, "folds": result}


def _held_out(
    main: pd.DataFrame, holdout, rng: np.random.Generator
) -> list[str]:
    """Ids held out, in table order."""
    ids = main["participant_id"].to_numpy()
    if not isinstance(holdout, (float, int, Mapping)):
        holdout = set(holdout)
        unknown = sorted(holdout - set(ids))
        if unknown:
            raise ValueError(
                f"holdout names {unknown[0]!r}, not a participant of the main "
                "population"
            )
        return [i for i in ids.tolist() if i in holdout]
    chosen = np.zeros(len(ids), dtype=bool)
    for group in sorted(main["group"].unique()):
        share = (
            holdout.get(group, 0.0)
            if isinstance(holdout, Mapping)
            else holdout
        )
        if not 0 <= share < 1:
            raise ValueError(
                f"holdout share of group {group!r} is {share}, expected [0, 1)"
            )
        members = rng.permutation(
            np.flatnonzero(main["group"].to_numpy() == group)
        )
        chosen[members[: round(share * len(members))]] = True
    return ids[chosen].tolist()


def _deal(
    groups: np.ndarray, folds: int, rng: np.random.Generator
) -> np.ndarray:
    """Fold of each person: every group is shuffled and dealt like cards, where
    the last one ended.

    Group counts per fold, and fold sizes, then differ by at most one.
    """
    order = np.concatenate(
        [
            rng.permutation(np.flatnonzero(groups == g))
            for g in sorted(set(groups))
        ]
    )
    fold_of = np.empty(len(groups), dtype=int)
    fold_of[order] = np.arange(len(order)) % folds
    return fold_of


def _check_classes(
    rest: pd.DataFrame, fold_of: np.ndarray, folds: int, classes
) -> None:
    groups = rest["group"].to_numpy()
    for k in range(folds):
        for side, inside in (("train", fold_of != k), ("valid", fold_of == k)):
            counts = {c: int((groups[inside] == c).sum()) for c in classes}
            if min(counts.values(), default=1) == 0:
                total = {c: int((groups == c).sum()) for c in classes}
                raise ValueError(
                    f"fold {k}, {side}: one class only: {counts}; the participants "
                    f"outside the hold-out count {total}, expected at least {folds} "
                    "of each class, or fewer folds"
                )
