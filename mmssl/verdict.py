"""Verdicts of the saliency court: what each test says of a map, by a stated rule.

A verdict knows its map by content, so that none can be drawn or published with the verdict of
another (`mmssl.plotting.group_maps`, `mmssl.published`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from mmssl.content import hash_array
from mmssl.localisation import KEYS

TESTS = ("weights", "labels", "random encoder", "deletion")
CONTROL, FLOOR = "no encoder: positive control", "untrained encoder: floor"
"""What is said of maps that no trained encoder made; `mmssl.court` gives it to no others."""

LEVEL = 0.05
ALIKE = 0.5
"""Two maps whose absolute correlation reaches this share a quarter of their variance: alike."""


class Ruling(NamedTuple):
    """What one test says of a map: "yes", "no" or "undecided", and because of what."""

    answer: str
    because: str


@dataclass(frozen=True)
class Verdict:
    """What the court says of one map, and of no other.

    of : hash of the effect sizes, (X, Y, Z) float32.
    rulings : {test: Ruling} of all `TESTS`; empty where no trained encoder is on trial.
    instead : `CONTROL` or `FLOOR` where that is so.
    """

    of: str
    rulings: Mapping[str, Ruling]
    instead: str = ""

    def __post_init__(self) -> None:
        """ValueError for a verdict without rulings that does not say why."""
        expected = () if self.instead in (CONTROL, FLOOR) else TESTS
        if tuple(self.rulings) != expected:
            raise ValueError(f"a verdict with rulings on {list(self.rulings)} and {self.instead!r} "
                             f"instead, expected {list(TESTS)}, or {CONTROL!r} or {FLOOR!r}")

    def __str__(self) -> str:
        if self.instead:
            return self.instead
        tests = {a: [t for t, r in self.rulings.items() if r.answer == a]
                 for a in ("yes", "no", "undecided")}
        doubts = [f"{answer}: {', '.join(tests[answer])}" for answer in ("no", "undecided")
                  if tests[answer]]
        return "; ".join([f"court: {len(tests['yes'])} of {len(self.rulings)}", *doubts])

    def check(self, volume) -> None:
        """ValueError unless the verdict was given on this very map, (X, Y, Z)."""
        if stamp(volume) != self.of:
            raise ValueError(f"the verdict '{self}' was given on another map than this one")

    def record(self) -> dict:
        """For a sidecar: of, summary, and what each test says."""
        return {"of": self.of, "summary": str(self),
                "tests": {test: ruling._asdict() for test, ruling in self.rulings.items()}}


def stamp(volume) -> str:
    """By what a verdict knows a map, (X, Y, Z): the hash of its values as they are stored."""
    return hash_array(np.asarray(volume, dtype=np.float32))


def judge(
    maps: Mapping, cascades: pd.DataFrame, rivals: pd.DataFrame, areas: pd.DataFrame,
    level: float = LEVEL,
) -> dict[tuple[str, str, str], Verdict]:
    """A verdict on each map that was heard, by one rule a test.

    - weights: yes if the absolute correlation with the map of the encoder whose layers are all
      drawn anew is below `ALIKE`; undecided where no voxel survives, since noise changes too.
    - labels, random encoder: yes if the median absolute correlation with the rivals is below
      `ALIKE` and the map is stronger, p = (1 + #{rivals as strong}) / (1 + draws) <= level;
      undecided with fewer than 1 / level - 1 draws, or where no coefficient chose the dimension.
    - deletion: yes if the interval of the area lies above 0; undecided where the interval of the
      probe's AUC on intact images holds .5, or people were too few.

    Parameters
    ----------
    maps : {(source, modality, sign): (rbc, corrected p)}, (X, Y, Z) each.
    cascades, rivals, areas : DataFrame
        Of `mmssl.dimensions.cascade`, `against` and `deletion`.

    Raises
    ------
    ValueError
        If a test of a map that another test has heard is missing.
    """
    last = cascades[cascades["layers"] == cascades["layers"].max()].set_index(list(KEYS))
    found, beside, gone = {}, _by_map(rivals), _by_map(areas)
    for key in last.index:
        rows, area = beside.get(key, rivals[:0]), gone.get(key, areas[:0])
        if set(rows["test"]) != {"labels", "random encoder"} or len(area) != 1:
            raise ValueError(f"{key}: heard by {sorted({*rows['test']})} and {len(area)} "
                             "deletions, expected labels, random encoder and one deletion")
        rbc, p = maps[key]
        rulings = (_weights(last.loc[key, "correlation"], bool((p < level).any())),
                   *(_rivals(rows[rows["test"] == test], level) for test in TESTS[1:3]),
                   _deletion(area.iloc[0]))
        found[key] = Verdict(stamp(rbc),
                             dict(zip(TESTS, rulings, strict=True)))
    return found


def table(verdicts: Mapping[tuple[str, str, str], Verdict]) -> pd.DataFrame:
    """Answers of all tests, a row a map: source, modality, sign, the tests, verdict."""
    lines = [(*key, *(v.rulings[t].answer if v.rulings else "–" for t in TESTS), str(v))
             for key, v in verdicts.items()]
    return pd.DataFrame(lines, columns=[*KEYS, *TESTS, "verdict"])


def _by_map(table: pd.DataFrame) -> dict[tuple, pd.DataFrame]:
    return dict(list(table.groupby(list(KEYS), sort=False)))


def _weights(r: float, survives: bool) -> Ruling:
    said = f"r = {r:.2f} with the map of random weights"
    if not survives or np.isnan(r):
        return Ruling("undecided", said + ("; no voxel survives" if not survives else ""))
    return Ruling("yes" if abs(r) < ALIKE else "no", said)


def _rivals(rows: pd.DataFrame, level: float) -> Ruling:
    p = (1 + int((rows["strength"] >= rows["own"]).sum())) / (1 + len(rows))
    alike = float(rows["correlation"].abs().median())
    said = f"p = {p:.3f} of {len(rows)} draws, median |r| = {alike:.2f}"
    if 1 / (1 + len(rows)) > level or np.isnan(alike):
        return Ruling("undecided", said)
    return Ruling("yes" if p <= level and alike < ALIKE else "no", said)


def _deletion(area: pd.Series) -> Ruling:
    if np.isnan(area["area"]):
        return Ruling("undecided", "too few people to delete by the map of others")
    said = (f"area {area['area']:.3f} [{area['low']:.3f}, {area['high']:.3f}], intact AUC "
            f"{area['intact']:.2f}")
    if area["intact_low"] <= 0.5:
        return Ruling("undecided", said + ", whose interval holds 0.5")
    return Ruling("yes" if area["low"] > 0 else "no", said)
