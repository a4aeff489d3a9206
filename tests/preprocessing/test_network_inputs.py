"""The input of a network: from training people alone, one volume at a time."""

import numpy as np
import pandas as pd
import pytest

from mmssl import preprocessing
from mmssl.cohorts import cohort, splits
from mmssl.preprocessing import intensity, network_inputs

SHAPE = (8, 8, 8)


def people(folder, volumes, **about):
    """Cohort of one pair a person, every third of another group."""
    count = len(volumes["T1"])
    ids = [f"p{i:02d}" for i in range(count)]
    table = pd.DataFrame({"participant_id": ids, "group": "HC"})
    table.loc[::3, "group"] = "AD"
    pairs = pd.DataFrame({"pair": range(count), "participant_id": ids})
    pairs = pairs.assign(session=1, day=0, downstream=1)
    return cohort.write(
        folder,
        name="small",
        kind="test",
        volumes=volumes,
        participants=table,
        pairs=pairs,
        splits=splits.make(table, folds=2, seed=0),
        **about,
    )


@pytest.fixture
def volumes(rng):
    shape = (30, *SHAPE)
    return {m: rng.gamma(3.0, 20.0, shape) for m in ("T1", "fALFF")}


@pytest.fixture
def mask(rng):
    return rng.uniform(size=SHAPE) < 0.7


def test_inputs_equal_a_loop_over_volumes(tmp_path, volumes, mask):
    small = people(tmp_path / "small", volumes, mask=mask)
    landmarks = network_inputs.fit_landmarks(small, 1)
    inputs = network_inputs.standardised(small, landmarks)
    for modality, stored in small.volumes.items():
        train = np.stack([stored[row] for row in small.rows("train", 1)])
        learned = intensity.histogram_landmarks(train, mask)
        assert landmarks[modality] == learned.tolist()
        assert inputs[modality].shape == (30, 1, *SHAPE)
        for row, volume in enumerate(stored):
            slow = intensity.standardise(volume[None], learned, mask)
            slow = intensity.z_normalise(slow)
            np.testing.assert_array_equal(inputs[modality][row], slow)


def test_landmarks_do_not_see_the_people_outside(tmp_path, volumes, mask):
    small = people(tmp_path / "small", volumes, mask=mask)
    changed = {m: values.copy() for m, values in volumes.items()}
    for role in ("valid", "holdout"):
        for values in changed.values():
            values[small.rows(role, 0)] **= 2
    other = people(tmp_path / "other", changed, mask=mask)
    before = network_inputs.fit_landmarks(small, 0)
    assert network_inputs.fit_landmarks(other, 0) == before
    assert network_inputs.fit_landmarks(other, 1) != before


def test_rows_blocks_and_modalities_are_chosen(tmp_path, volumes, monkeypatch):
    small = people(tmp_path / "small", volumes)
    landmarks = network_inputs.fit_landmarks(small, 0)
    whole = network_inputs.standardised(small, landmarks, np.float16)
    assert whole["T1"].dtype == np.float16
    monkeypatch.setattr(network_inputs, "_BLOCK", 4)
    rows = [7, 3, 3, 20, 11, 0]
    alone = {"T1": landmarks["T1"]}
    part = network_inputs.standardised(small, alone, np.float16, rows)
    assert list(part) == ["T1"]
    np.testing.assert_array_equal(part["T1"], whole["T1"][rows])


def test_images_in_the_unit_interval_pass_unchanged(tmp_path, rng):
    colour = {"T1": rng.random((30, 3, 8, 8)).astype(np.float32)}
    small = people(
        tmp_path / "small", colour, intensity="unit", channels={"T1": 3}
    )
    landmarks = network_inputs.fit_landmarks(small, 0)
    assert landmarks == {"T1": None}
    inputs = network_inputs.standardised(small, landmarks)
    np.testing.assert_array_equal(inputs["T1"], colour["T1"])


def test_the_room_has_the_one_public_home():
    assert preprocessing.fit_landmarks is network_inputs.fit_landmarks
    assert preprocessing.standardised is network_inputs.standardised
