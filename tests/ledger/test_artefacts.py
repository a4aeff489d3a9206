"""What a page leaves: complete, with its sidecar, fresh."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from mmssl.ledger.artefacts import SALIENCY, Provenance, complaints
from mmssl.ledger.sidecars import read_sidecar, stale


@pytest.fixture
def made(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mmssl"\n')
    (tmp_path / "read.txt").write_text("input")
    return Provenance(
        {"read": tmp_path / "read.txt"},
        {"samples": 5},
        3,
        ("mmssl.ledger.artefacts",),
        {"proof": "none was seen"},
    )


def test_tables_and_figures_lie_with_their_sidecars(made, tmp_path):
    table = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    files = made.leave(
        tmp_path / "out", "07_", {"peaks": table, "maps": Figure()}
    )
    assert [f.name for f in files] == ["07_peaks.tsv", "07_maps.png"]
    pd.testing.assert_frame_equal(pd.read_csv(files[0], sep="\t"), table)
    assert files[1].read_bytes().startswith(b"\x89PNG")
    for file in files:
        record = read_sidecar(file)
        assert record["parameters"] == {"samples": 5} and record["seed"] == 3
        assert record["facts"] == {"proof": "none was seen"} and not stale(
            file
        )
    (tmp_path / "read.txt").write_text("other")
    assert stale(files[0]) == ["its input read (read.txt) has changed"]


def test_a_map_says_what_it_is(made, tmp_path, affine, rng):
    file = tmp_path / "maps" / "saliency.nii.gz"
    made.leave_map(file, rng.normal(size=(7, 8, 9)), affine, kind=SALIENCY)
    assert read_sidecar(file)["facts"]["map"] == {"kind": SALIENCY}
    assert complaints(file.parent) == [
        "it draws maps of groups, but none lies in maps"
    ]
    made.leave_map(file, np.ones((7, 8, 9)), affine, kind="something else")
    assert "does not say what it shows" in complaints(file.parent)[0]
