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
    values = {m: rng.gamma(3.0, 20.0, shape) for m in ("T1", "fALFF")}
    values["T1"][rng.uniform(size=shape) < 0.1] = 0
    return values


@pytest.fixture
def mask(rng):
    return rng.uniform(size=SHAPE) < 0.7


@pytest.mark.parametrize("region", network_inputs.REGIONS)
def test_inputs_equal_a_loop_over_volumes(tmp_path, volumes, mask, region):
    small = people(tmp_path / "small", volumes, mask=mask)
    landmarks = network_inputs.fit_landmarks(small, 1, region)
    inputs = network_inputs.standardised(small, landmarks)
    for modality, stored in small.volumes.items():
        train = np.stack([stored[row] for row in small.rows("train", 1)])
        within = mask & (train != 0) if region == "brain" else None
        learned = intensity.histogram_landmarks(train, within)
        assert landmarks[modality]["positions"] == learned.tolist()
        assert inputs[modality].shape == (30, 1, *SHAPE)
        for row, volume in enumerate(stored):
            brain = mask & (volume != 0)
            within = brain if region == "brain" else None
            slow = intensity.standardise(volume[None], learned, within)
            slow = intensity.z_normalise(slow, within)
            slow = np.where(brain, slow, 0)
            np.testing.assert_array_equal(inputs[modality][row], slow)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("region", network_inputs.REGIONS)
def test_background_is_zero_and_tells_nobody_apart(
    tmp_path, volumes, mask, region, masked
):
    """Outside the mask, and where an image is exactly 0; inside, the brain has
    mean 0 and standard deviation 1.
    """
    chosen = {"mask": mask} if masked else {}
    small = people(tmp_path / "small", volumes, **chosen)
    landmarks = network_inputs.fit_landmarks(small, 0, region)
    inputs = network_inputs.standardised(small, landmarks)
    for modality, x in inputs.items():
        brain = network_inputs.foreground(small.volumes[modality], small.mask)
        assert brain.sum() == (x[:, 0] != 0).sum()
        assert (x[:, 0][~brain] == 0).all()
        if masked:
            assert not x[:, 0][:, ~mask].any()
        if region == "brain":
            for row, inside in zip(x[:, 0], brain, strict=True):
                assert abs(row[inside].mean()) < 1e-5
                assert abs(row[inside].std(ddof=1) - 1) < 1e-5


def test_an_unknown_region_is_named(tmp_path, volumes):
    small = people(tmp_path / "small", volumes)
    with pytest.raises(ValueError, match="region='head', expected"):
        network_inputs.fit_landmarks(small, 0, "head")


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
