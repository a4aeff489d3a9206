"""A small BIDS dataset, and preprocessing that takes no time."""

import numpy as np
import pandas as pd
import pytest
from small_dataset import write_dataset

from mmssl.preprocessing import person as people
from mmssl.preprocessing import read, registration_status, template


@pytest.fixture
def dataset(tmp_path):
    """Of six people, the last with a damaged T1."""
    write_dataset(tmp_path / "dataset")
    return tmp_path / "dataset"


@pytest.fixture
def quick(monkeypatch):
    """Registration and fALFF replaced by what takes no time; the T1s that
    were registered, and what their registration is called.
    """
    seen = {"T1": [], "status": {}}

    def prepare_anatomy(t1, size, orientation, _):
        seen["T1"].append(t1.name)
        volume = read.read_t1(t1, orientation).data
        shape = (size,) * 3
        name = seen["status"].get(t1.name, "registered")
        quality = {}
        for figure in registration_status.LIMITS:
            failed, registered = registration_status.LIMITS[figure]
            quality[figure] = {
                "registered": registered,
                "doubtful": failed,
                "failed": 0.0,
            }[name]
        one = people.Person(
            volumes={"T1": np.full(shape, volume.mean(), np.float32)},
            mask=np.ones(shape, bool),
            measured={},
            affine=template.grid(size),
            to_native=np.eye(4),
            native_mask=None,
            quality=quality,
            control={},
            hashes={},
        )
        return people.Anatomy(one, None, None)

    def add_series(anatomy, bold, series, tr, *_):
        one = anatomy.person
        falff = np.full_like(one.volumes["T1"], series.data.mean() * tr)
        motion = pd.DataFrame({"volume": [0], "x_mm": [0.0]})
        return people.replace(
            one,
            volumes={**one.volumes, "fALFF": falff},
            motion=motion,
            tr=tr,
        )

    monkeypatch.setattr(people, "prepare_anatomy", prepare_anatomy)
    monkeypatch.setattr(people, "add_series", add_series)
    return seen
