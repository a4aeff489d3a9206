"""Page 02 on a person whose registration fails: white noise has no brain."""

import sys
from pathlib import Path

import nbformat
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from papermill.exceptions import PapermillExecutionError

from mmssl import cohorts
from mmssl.preprocessing.registration_status import LIMITS, check_registered

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "notebooks"))

import execute  # noqa: E402

PAGE = ROOT / "notebooks" / "02_preprocessing.ipynb"
PLANTED = "QXV7-1"
"""The id of the person, which no page shows."""


@pytest.fixture
def values(tmp_path, rng):
    """Give the parameters of the page on white noise, in few large voxels."""
    file = tmp_path / "T1w.nii"
    noise = rng.gamma(2.0, 50.0, (10, 10, 10)).astype(np.float32)
    nib.Nifti1Image(noise, np.diag([19.0, 19.0, 19.0, 1.0])).to_filename(file)
    return {
        "t1w": str(file),
        "output": str(tmp_path / "person"),
        "size": 16,
        "participant": PLANTED,
    }


def outputs(page):
    """Return what the cells of a page leave, in order."""
    found = []
    for cell in nbformat.read(page, as_version=4).cells:
        found += cell.get("outputs", [])
    return found


@pytest.mark.slow
def test_it_ends_in_an_error_that_names_status_and_figures(tmp_path, values):
    page = tmp_path / "02.ipynb"
    with pytest.raises(PapermillExecutionError):
        execute.execute(PAGE, page, values)
    assert not page.exists()
    *shown, error = outputs(page.with_suffix(".failed.ipynb"))
    # the overlay and the figures come first: somebody must look at them
    images = [o for o in shown if "image/png" in o.get("data", {})]
    assert len(images) == 1
    assert any("**failed**" in str(o.get("data")) for o in shown)
    assert error["ename"] == "ValueError"
    message = error["evalue"]
    assert "registration failed: " in message
    assert "expected at most 'doubtful'" in message
    folder = Path(values["output"])
    table = pd.read_csv(folder / "quality.tsv", sep="\t", index_col=0)
    for name, (failed, registered) in LIMITS.items():
        assert (
            f"{name.replace('_', ' ')} {table.loc[name, 'value']:.2f} (failed "
            f"below {failed:.2f}, registered from {registered:.2f})"
        ) in message
    assert PLANTED not in str([*shown, message])

    person = cohorts.load(folder)
    assert list(person.subjects) == [PLANTED]
    assert list(person.participants["registration"]) == ["failed"]
    with pytest.raises(ValueError, match="registration: 1 of 1 rows not"):
        check_registered(person, np.array([0]))


@pytest.mark.slow
def test_it_goes_on_where_that_is_accepted(tmp_path, values):
    page = tmp_path / "02.ipynb"
    execute.execute(PAGE, page, {**values, "accept": "failed"})
    shown = outputs(page)
    assert not [o for o in shown if o["output_type"] == "error"]
    assert any("**failed**" in str(o.get("data")) for o in shown)
    assert PLANTED not in str(shown)
    person = cohorts.load(values["output"])
    assert list(person.participants["registration"]) == ["failed"]
    check_registered(person, np.array([0]))
