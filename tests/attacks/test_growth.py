"""Attacks by many pairs, people and fits: nothing that is asked of all of
them takes more than its share of time for each.
"""

import time

import numpy as np
import pandas as pd
import pytest

from mmssl.cohorts import splits
from mmssl.cohorts.cohort import Cohort, load, write
from mmssl.ledger import leakage

FEW, MANY = 2_500, 10_000
# four times as much: 4 where time grows in proportion, 16 with the square
GROWTH = 9.0


def people_of(pairs):
    """Give a table of half as many people as pairs."""
    return pd.DataFrame(
        {
            "participant_id": [f"sub-{i:06d}" for i in range(pairs // 2)],
            "group": ["HC", "AD"] * (pairs // 4),
        }
    )


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    """Give a small and a large cohort of tiny images."""
    made = {}
    for pairs in (FEW, MANY):
        people = people_of(pairs)
        table = pd.DataFrame(
            {
                "pair": range(pairs),
                "participant_id": np.repeat(people["participant_id"], 2),
                "session": [1, 2] * (pairs // 2),
                "day": 0,
                "downstream": [1, 0] * (pairs // 2),
            }
        )
        rng = np.random.default_rng(0)
        made[pairs] = write(
            tmp_path_factory.mktemp("growth") / str(pairs),
            volumes={"T1": rng.normal(size=(pairs, 2, 2, 2))},
            name="tiny",
            kind="test",
            participants=people,
            pairs=table,
            splits=splits.make(people),
            affine=np.eye(4),
            tasks={"group": {"column": "group", "classes": ["HC", "AD"]}},
        )
    return made


def record(fit, role, person):
    """Return the exposure of one person and one image."""
    return leakage.Exposure(fit, role, {person: "row"}, {person: "T1"}, "key")


def fits(count):
    """Return the exposures of many fits and of one sample that is tested."""
    records = [record(f"encoder {i}", "train", f"p{i}") for i in range(count)]
    return [*records, record("hold-out", "test", "q")]


def prove_one_fit_in_parts(cohort):
    """Prove a fit that left a record for each of its people."""
    people = [f"p{i}" for i in range(len(cohort))]
    records = [record("encoder", "train", person) for person in people]
    leakage.prove([*records, record("hold-out", "test", "q")])


def prove_many_fits_that_are_needed(cohort):
    """Prove many fits, all of which must be on record."""
    count = len(cohort) // 5
    leakage.prove(fits(count), [f"encoder {i}" for i in range(count)])


ASKED = {
    "exposure": lambda c: leakage.exposure(
        "encoder", "train", c, np.arange(len(c))
    ),
    "check_disjoint": lambda c: leakage.check_disjoint(
        c, {role: c.rows(role) for role in ("train", "valid", "holdout")}
    ),
    "prove, one fit in many parts": prove_one_fit_in_parts,
    "prove, many fits": lambda c: leakage.prove(fits(len(c))),
    "prove, many needs": prove_many_fits_that_are_needed,
    "load": lambda c: load(c.path),
    "splits": lambda c: splits.make(people_of(len(c))),
    "roles": lambda c: [c.rows("train", fold) for fold in range(5)],
    "labels": lambda c: c.downstream(np.arange(len(c))),
    "image hashes": lambda c: c.image_hashes(np.arange(len(c))),
}


def seconds(function, cohort):
    """Return the shortest processor time of three calls."""
    taken = []
    for _ in range(3):
        started = time.process_time()
        function(cohort)
        taken.append(time.process_time() - started)
    return min(taken)


@pytest.mark.parametrize("asked", ASKED)
def test_time_grows_no_faster_than_the_cohort(cohorts, asked):
    few = seconds(ASKED[asked], cohorts[FEW])
    many = seconds(ASKED[asked], cohorts[MANY])
    assert many <= GROWTH * few


def test_an_exposure_asks_once_who_the_pairs_are(cohorts, monkeypatch):
    asked = []
    subjects = Cohort.subjects.fget

    def counted(cohort):
        asked.append(cohort)
        return subjects(cohort)

    monkeypatch.setattr(Cohort, "subjects", property(counted))
    rows = np.arange(0, FEW, 10)
    found = leakage.exposure("encoder", "train", cohorts[FEW], rows)
    assert len(asked) == 1
    assert list(found.subjects.values())[:2] == [
        "row 0 of tiny/pairs.tsv",
        "row 10 of tiny/pairs.tsv",
    ]
