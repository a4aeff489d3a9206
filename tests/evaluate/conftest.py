"""A cohort of two classes, and a run on it; a cohort of three classes."""

import numpy as np
import pandas as pd
import pytest

from mmssl.cohorts import splits
from mmssl.cohorts.cohort import write
from mmssl.pretrain.fit import fit

PEOPLE, SESSIONS = 60, 2


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    """Give 60 people of two classes, two pairs of 32x32 images each, a class
    signal in both.
    """
    rng = np.random.default_rng(7)
    ids = [f"sub-{i:02d}" for i in range(PEOPLE)]
    sick = np.arange(PEOPLE) % 3 == 0
    people = pd.DataFrame(
        {"participant_id": ids, "group": np.where(sick, "AD", "HC")}
    )
    pairs = pd.DataFrame(
        {
            "pair": range(PEOPLE * SESSIONS),
            "participant_id": np.repeat(ids, SESSIONS),
            "session": np.tile([1, 2], PEOPLE),
            "day": np.tile([0, 90], PEOPLE),
            "downstream": np.tile([1, 0], PEOPLE),
        }
    )
    volumes = {}
    for modality in ("T1", "fALFF"):
        x = rng.random((PEOPLE * SESSIONS, 32, 32)).astype(np.float32)
        x[np.repeat(sick, SESSIONS), 8:20, 8:20] *= 0.8
        volumes[modality] = x
    return write(
        tmp_path_factory.mktemp("evaluate") / "toy",
        name="toy",
        kind="test",
        volumes=volumes,
        participants=people,
        pairs=pairs,
        splits=splits.make(people, folds=3, holdout=0.3, seed=0),
        intensity="unit",
        tasks={"diagnosis": {"column": "group", "classes": ["HC", "AD"]}},
        seed=0,
    )


@pytest.fixture(scope="session")
def run(cohort, tmp_path_factory):
    """Give one finished run of one epoch."""
    folder = tmp_path_factory.mktemp("runs") / "RR"
    return fit(
        cohort,
        "RR",
        folder,
        epochs=1,
        batch_size=16,
        width=4,
        latent=8,
        precision="fp32",
        progress=False,
    )


@pytest.fixture(scope="session")
def three_classes(tmp_path_factory):
    """Give 110 people of three classes and some years, one pair of 16x16
    images each; a few have no age.
    """
    rng = np.random.default_rng(8)
    people = 110
    groups = np.array(["HC"] * 60 + ["MCI"] * 20 + ["AD"] * 30)
    age = rng.normal(70, 8, people).round(1)
    table = pd.DataFrame(
        {
            "participant_id": [f"sub-{i:03d}" for i in range(people)],
            "group": rng.permutation(groups),
            "sex": rng.permutation(["F", "M"] * (people // 2)),
            "age": np.where(np.arange(people) % 20 == 7, np.nan, age),
            "word": "none",
            "same": 1.5,
        }
    )
    pairs = pd.DataFrame(
        {
            "pair": range(people),
            "participant_id": table["participant_id"],
            "session": 1,
            "day": 0,
            "downstream": 1,
        }
    )
    shape = (people, 16, 16)
    return write(
        tmp_path_factory.mktemp("classes") / "three",
        name="three",
        kind="test",
        volumes={m: rng.random(shape, "f4") for m in ("T1", "fALFF")},
        participants=table,
        pairs=pairs,
        splits=splits.make(table, folds=2, holdout=0.3, seed=1),
        intensity="unit",
        tasks={
            "diagnosis": {"column": "group", "classes": ["HC", "MCI", "AD"]},
            "sex": {"column": "sex", "classes": ["F", "M"]},
        },
        seed=0,
    )
