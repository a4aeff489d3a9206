"""What a page saves is complete, fresh and has its sidecar; tables are read
only if they are fresh and of one run.
"""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from mmssl.ledger.artefacts import (
    SALIENCY,
    Provenance,
    read_map,
    read_tables,
    unpublishable_maps,
    write_map,
)
from mmssl.ledger.sidecars import read_sidecar, stale

SHAPE = (17, 18, 19)


@pytest.fixture
def provenance(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mmssl"\n')
    (tmp_path / "input.txt").write_text("input")
    return Provenance(
        {"input": tmp_path / "input.txt"},
        {"samples": 5},
        3,
        ("mmssl.ledger.artefacts",),
        {"proof": "none was seen", "edition": "demo"},
    )


def test_tables_and_figures_lie_with_their_sidecars(provenance, tmp_path):
    table = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    contents = {"peaks": table, "maps": Figure()}
    files = provenance.save(tmp_path / "out", "07_", contents)
    assert [f.name for f in files] == ["07_peaks.tsv", "07_maps.png"]
    pd.testing.assert_frame_equal(pd.read_csv(files[0], sep="\t"), table)
    assert files[1].read_bytes().startswith(b"\x89PNG")
    for file in files:
        record = read_sidecar(file)
        assert record["parameters"] == {"samples": 5}
        assert record["seed"] == 3
        assert record["facts"] == provenance.facts
        assert not stale(file)
    (tmp_path / "input.txt").write_text("other")
    assert stale(files[0]) == ["its input input (input.txt) has changed"]


def test_a_map_says_what_it_is(provenance, tmp_path, affine, rng):
    file = tmp_path / "maps" / "saliency.nii.gz"
    volume = rng.normal(size=(7, 8, 9))
    provenance.save_map(file, volume, affine, kind=SALIENCY)
    facts = read_sidecar(file)["facts"]
    assert facts == {**provenance.facts, "map": {"kind": SALIENCY}}
    assert unpublishable_maps(file.parent) == [
        "it draws maps of groups, but none lies in maps"
    ]
    provenance.save_map(file, volume, affine, kind="something else")
    reasons = unpublishable_maps(file.parent)
    assert "does not say what it shows" in reasons[0]


@pytest.fixture
def tables(provenance, tmp_path):
    saved = {
        "peaks": pd.DataFrame({"p": [0.25, 1.0]}),
        "reports": pd.DataFrame({"weights": ["yes", "no"]}),
    }
    provenance.save(tmp_path / "out", "group_", saved)
    return saved


def _read(tmp_path, names=("peaks", "reports"), edition="demo"):
    return read_tables(tmp_path / "out", "group_", names, edition, "07")


def test_fresh_tables_of_one_run_are_read(tables, tmp_path):
    read = _read(tmp_path)
    assert list(read) == ["peaks", "reports"]
    for name, table in tables.items():
        pd.testing.assert_frame_equal(read[name], table)


def test_tables_that_are_missing_stale_or_of_another_edition_are_refused(
    tables, provenance, tmp_path
):
    advice = "make it with notebook 07"
    with pytest.raises(ValueError, match=f"does not exist; {advice}"):
        _read(tmp_path, ["clusters"])
    with pytest.raises(ValueError, match="edition demo, expected paper; "):
        _read(tmp_path, edition="paper")
    other_seed = provenance._replace(seed=4)
    other_seed.save(tmp_path / "out", "group_", {"reports": tables["peaks"]})
    with pytest.raises(ValueError, match="other inputs or parameters than"):
        _read(tmp_path)
    (tmp_path / "input.txt").write_text("other")
    with pytest.raises(ValueError, match=f"has changed; {advice}"):
        _read(tmp_path)


def test_files_of_another_grid_are_refused(tmp_path, affine):
    path = write_map(
        tmp_path / "mask.nii.gz", np.ones(SHAPE, dtype=bool), affine
    )
    assert read_map(path, SHAPE, affine).sum() == np.prod(SHAPE)
    with pytest.raises(
        ValueError,
        match=r"mask.nii.gz: shape \(17, 18, 19\), expected \(18, 17",
    ):
        read_map(path, (18, 17, 19), affine)
    flipped = affine @ np.diag([-1.0, 1, 1, 1])
    with pytest.raises(ValueError, match="mask.nii.gz: affine"):
        read_map(path, SHAPE, flipped)
    with pytest.raises(ValueError, match="invertible"):
        write_map(
            tmp_path / "flat.nii.gz", np.ones(SHAPE), np.diag([1.0, 0, 1, 1])
        )
    with pytest.raises(ValueError, match=r"expected \(X, Y, Z\)"):
        write_map(tmp_path / "4d.nii.gz", np.ones((2, *SHAPE)), affine)
    assert [f.name for f in tmp_path.iterdir()] == ["mask.nii.gz"]
