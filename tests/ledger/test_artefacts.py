"""What a page saves is complete, fresh and has its sidecar; tables are read
only if they are fresh and of one run.
"""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from mmssl.ledger.artefacts import (
    CHECKS,
    SALIENCY,
    UNTRAINED,
    CheckResult,
    Provenance,
    SanityReport,
    map_hash,
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
def difference(rng):
    """Give effect sizes, corrected p up to 1 and the report of a map."""
    effect = rng.uniform(-1, 1, SHAPE).astype(np.float32)
    p = rng.uniform(0.1, 1, SHAPE)
    p[3, 4, 5] = 1
    passed = {check: CheckResult("yes", "1 of 1") for check in CHECKS}
    return effect, p, SanityReport(map_hash(effect), passed)


def save_difference(provenance, folder, difference, affine):
    *maps, report = difference
    key = ("RR", "T1", "positive")
    return provenance.save_group_maps(
        folder, {key: maps}, {key: report}, affine, permutations=99
    )


def test_a_group_difference_is_published_with_its_correction_alone(
    provenance, tmp_path, difference, affine
):
    folder = tmp_path / "maps"
    p_file, _ = save_difference(provenance, folder, difference, affine)
    assert unpublishable_maps(folder) == []
    p_file.unlink()
    reasons = unpublishable_maps(folder)
    assert f"has lost its corrected p, {p_file.name}" in reasons[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e, p, r: (e, p[1:], r), "corrected p of shape"),
        (lambda e, p, r: (e, None, r), "corrected p of shape None"),
        (lambda e, p, r: (e, p + 0.01, r), "above 0 and at most 1"),
        (lambda e, p, r: (e, 0 * p, r), "above 0 and at most 1"),
        (lambda e, p, r: (e, p, None), "NoneType for a report"),
        (lambda e, p, r: (-e, p, r), "of another map than this one"),
    ],
)
def test_a_group_difference_that_lacks_something_is_not_saved(
    provenance, tmp_path, difference, affine, change, message
):
    folder = tmp_path / "maps"
    with pytest.raises(ValueError, match=message):
        save_difference(provenance, folder, change(*difference), affine)
    assert not folder.exists()


def test_only_an_exempt_map_has_a_report_without_checks():
    assert str(SanityReport("", {}, UNTRAINED)) == UNTRAINED
    for exemption in ("", "somebody said so"):
        with pytest.raises(ValueError, match="expected one on"):
            SanityReport("", {}, exemption)


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
