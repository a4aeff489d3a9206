"""Splits: who trains, validates and tests, drawn once, by person and
stratified by group.

One hold-out and k folds, as in Fedorov et al. 2021 ("Tasting the cake",
section II-C): a person's images are never on two sides. A second population is
set apart as ``shift``.
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
    participants : table with participant_id, group ("n/a" where missing) and,
        optionally, population; everybody whose population is not "main" goes
        to ``shift``.
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
        For fewer people than folds, an id held out that does not exist, a
        population that is missing, or a fold with one of ``classes`` missing
        on a side; the message has the counts.
    """
    table = participants.astype({"participant_id": str})
    # who has no group is dealt out too, as a group of their own
    words = table["group"].astype(object)
    table["group"] = words.where(words.notna(), "n/a").astype(str)
    population = pd.Series(MAIN, table.index)
    if "population" in table:
        population = table["population"]
        if population.isna().any():
            missing = table.loc[population.isna(), "participant_id"]
            raise ValueError(
                f"participants: {len(missing)} of {len(table)} rows have no "
                f"population, the first is {missing.iloc[0]!r}; expected "
                f"{MAIN!r} or another for everybody"
            )
    shift = table.loc[population != MAIN, "participant_id"].tolist()
    main = table[population == MAIN]
    if folds < 2:
        raise ValueError(f"folds is {folds}, expected at least 2")
    rng = np.random.default_rng([seed, 0x5917])
    held_out = _held_out(main, holdout, rng)
    remaining = main[~main["participant_id"].isin(held_out)]
    if len(remaining) < folds:
        raise ValueError(
            f"{len(remaining)} participants outside the hold-out, fewer than "
            f"{folds} folds; expected fewer folds, or fewer people held out"
        )
    groups = remaining["group"].to_numpy()
    ids = remaining["participant_id"].to_numpy()
    fold_of = _deal(groups, folds, rng)
    _check_classes(groups, fold_of, folds, classes)
    sides = []
    for k in range(folds):
        valid = fold_of == k
        side = {"train": ids[~valid].tolist(), "valid": ids[valid].tolist()}
        sides.append(side)
    return {"seed": seed, "holdout": held_out, "shift": shift, "folds": sides}


def _held_out(
    main: pd.DataFrame, holdout, rng: np.random.Generator
) -> list[str]:
    """Ids held out, in table order."""
    ids = main["participant_id"].to_numpy()
    if not isinstance(holdout, (float, int, Mapping)):
        return _named(ids.tolist(), set(holdout))
    groups = main["group"].to_numpy()
    chosen = np.zeros(len(ids), dtype=bool)
    for group in sorted(set(groups)):
        share = holdout
        if isinstance(holdout, Mapping):
            share = holdout.get(group, 0.0)
        if not 0 <= share < 1:
            raise ValueError(
                f"holdout share of group {group!r} is {share}, expected [0, 1)"
            )
        members = rng.permutation(np.flatnonzero(groups == group))
        chosen[members[: round(share * len(members))]] = True
    return ids[chosen].tolist()


def _named(ids: list[str], names: set[str]) -> list[str]:
    """Those of ``ids`` that are among the names; all names must be found."""
    unknown = sorted(names - set(ids))
    if unknown:
        raise ValueError(
            f"holdout names {unknown[0]!r}, not a participant of the main "
            "population"
        )
    return [name for name in ids if name in names]


def _deal(
    groups: np.ndarray, folds: int, rng: np.random.Generator
) -> np.ndarray:
    """(people,) fold of each person.

    Every group is shuffled, then the groups are dealt out one after another
    without starting again at fold 0, so that the group counts per fold and the
    sizes of the folds differ by at most one. scikit-learn's StratifiedKFold
    warns of a group smaller than the folds, which "other" may be.
    """
    shuffled = []
    for group in sorted(set(groups)):
        shuffled.append(rng.permutation(np.flatnonzero(groups == group)))
    order = np.concatenate(shuffled)
    fold_of = np.empty(len(groups), dtype=int)
    fold_of[order] = np.arange(len(order)) % folds
    return fold_of


def _check_classes(
    groups: np.ndarray, fold_of: np.ndarray, folds: int, classes: Sequence[str]
) -> None:
    """ValueError for a fold with a class missing on a side."""
    for k in range(folds):
        for side, inside in (("train", fold_of != k), ("valid", fold_of == k)):
            counts = _counts(groups[inside], classes)
            if min(counts.values(), default=1) == 0:
                total = _counts(groups, classes)
                raise ValueError(
                    f"fold {k}, {side}: one class only: {counts}; the "
                    f"participants outside the hold-out count {total}, "
                    f"expected at least {folds} of each class, or fewer folds"
                )


def _counts(groups: np.ndarray, classes: Sequence[str]) -> dict[str, int]:
    return {name: int((groups == name).sum()) for name in classes}
