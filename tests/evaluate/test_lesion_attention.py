"""The attention of slices: a box is found in people who were not learned
from, and who was seen is on record.
"""

import numpy as np
import pytest
from small_cohort import write_small_cohort

from mmssl.evaluate.finetune import Schedule
from mmssl.evaluate.lesion_attention import lesion_attention
from mmssl.ledger import leakage
from mmssl.stats import dice_coefficient

SIDE = 16
SCHEDULE = Schedule(steps=60, batch_size=8, learning_rate=1e-2, validations=6)


@pytest.fixture(scope="module")
def masks():
    """Give a box of every second person, at another place of each."""
    inside = np.zeros((24, SIDE, SIDE, SIDE), bool)
    for person in range(0, 24, 2):
        low = 3 + person % 5
        inside[person, low : low + 5, 5:11, 6:10] = True
    return inside


@pytest.fixture(scope="module")
def volumes(masks, tmp_path_factory):
    """Give people whose boxes are bright."""
    rng = np.random.default_rng(3)
    images = rng.uniform(1, 1.3, masks.shape).astype("f4")
    images[masks] *= 2
    folder = tmp_path_factory.mktemp("volumes") / "cohort"
    options = {"groups": ("AD", "HC"), "intensity": "brain", "valid": 3}
    return write_small_cohort(folder, T1=images, **options)


def test_boxes_of_people_held_out_are_found(volumes, masks):
    found, exposures = lesion_attention(
        volumes, masks, "T1", width=2, schedule=SCHEDULE
    )
    assert found.shape == masks.shape and found.dtype == np.uint8
    held_out = volumes.rows("holdout")
    dice = dice_coefficient(found[held_out], masks[held_out], 2)
    assert np.nanmean(dice) > 0.5
    roles = {one.role for one in exposures}
    assert roles == {leakage.TRAIN, leakage.CHOOSE}
    again, _ = lesion_attention(
        volumes, masks, "T1", width=2, schedule=SCHEDULE
    )
    assert np.array_equal(found, again)


def test_who_is_held_out_teaches_it_nothing(volumes, masks):
    short = Schedule(steps=4, batch_size=4, learning_rate=1e-2, validations=1)
    others = masks.copy()
    others[volumes.rows("holdout")] = True
    found = []
    for boxes in (masks, others):
        one, _ = lesion_attention(
            volumes, boxes, "T1", width=2, schedule=short
        )
        found.append(one)
    assert np.array_equal(*found)
