"""Attacks by the names of modalities: none leads out of the folder of its
cohort, or to another of its files.
"""

import json

import numpy as np
import pandas as pd
import pytest

from mmssl.cohorts.cohort import describe, load, write

NAMES = [
    "../outside",
    "..",
    ".hidden",
    "sub/T1",
    "sub\\T1",
    "/".join(["", "tmp", "outside"]),
    "C:T1",
    "",
    " T1",
    "T1\n",
    "T1\0",
    "-T1",
    "mask",
    "participant_id",
    "session",
]


def parts(name):
    """Return a cohort of one person whose modality has a name."""
    table = {
        "pair": [0],
        "participant_id": ["a"],
        "session": [1],
        "day": [0],
        "downstream": [1],
    }
    return {
        "volumes": {name: np.ones((1, 8, 8, 8), np.float32)},
        "name": "one",
        "kind": "test",
        "participants": pd.DataFrame({"participant_id": ["a"]}),
        "pairs": pd.DataFrame(table),
        "affine": np.eye(4),
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_no_files_is_refused(tmp_path, name):
    said = "cohort.json: modality .* found, expected a name"
    with pytest.raises(ValueError, match=said) as caught:
        write(tmp_path / "in" / "one", **parts(name))
    assert repr(name) in str(caught.value)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []

    others = parts(name)
    del others["volumes"]
    with pytest.raises(ValueError, match=said):
        describe(tmp_path, modalities=[name], **others)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []

    cohort = write(tmp_path / "one", **parts("T1"))
    np.save(tmp_path / "outside.npy", np.asarray(cohort.volumes["T1"]))
    file = cohort.path / "cohort.json"
    fields = json.loads(file.read_text(encoding="utf-8"))
    fields["channels"] = {name: 1}
    file.write_text(json.dumps(fields), encoding="utf-8")
    with pytest.raises(ValueError, match=said) as caught:
        load(cohort.path)
    assert repr(name) in str(caught.value) and str(file) in str(caught.value)


@pytest.mark.parametrize("name", ["T1", "T1.5mm", "T1-w_2", "T1+Gd", "Größe"])
def test_the_name_of_a_file_is_taken(tmp_path, name):
    cohort = write(tmp_path / "one", **parts(name))
    assert load(cohort.path).modalities == (name,)
