"""Attacks by a volume that cannot be standardised: the error names the file
and the row where it is, not its place among those that were looked at.
"""

import numpy as np
import pandas as pd
import pytest

from mmssl.cohorts.cohort import write
from mmssl.preprocessing.network_inputs import fit_landmarks, standardised

PAIRS = 100
BAD = 70


def with_a_bad_volume(path, rng, volume):
    """Return a cohort of which row 70 holds a volume, in the training."""
    names = [f"p{i:02d}" for i in range(PAIRS)]
    pairs = {
        "pair": range(PAIRS),
        "participant_id": names,
        "session": 1,
        "day": 0,
        "downstream": 1,
    }
    good = rng.normal(size=(2, PAIRS, 6, 6, 6)).astype(np.float32)
    good[1, BAD] = volume
    fold = {"train": names[32:80], "valid": names[:32]}
    return write(
        path,
        volumes={"T1": good[0], "fALFF": good[1]},
        name="hundred",
        kind="test",
        participants=pd.DataFrame({"participant_id": names}),
        pairs=pd.DataFrame(pairs),
        splits={"holdout": names[80:], "shift": [], "folds": [fold]},
        affine=np.eye(4),
    )


@pytest.mark.parametrize("asked", ["fold", "all", "some"])
@pytest.mark.parametrize("volume", [0.0, 3.0], ids=["zero", "constant"])
def test_the_row_is_that_of_the_cohort(tmp_path, rng, volume, asked):
    cohort = with_a_bad_volume(tmp_path / "hundred", rng, volume)
    rows = {"all": None, "some": [99, BAD, 1]}
    with pytest.raises(ValueError, match="expected") as caught:
        if asked == "fold":
            fit_landmarks(cohort, 0)
        else:
            good = fit_landmarks(cohort, 0, region="image")
            standardised(cohort, good, rows=rows[asked])
    place = f"{cohort.path / 'fALFF.npy'}: row {BAD} (p{BAD}): "
    assert str(caught.value).startswith(place)
