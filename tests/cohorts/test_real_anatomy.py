"""The anatomies that simulated people may be made of."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mmssl.cohorts import cohort, make_phantom, planted
from mmssl.cohorts.simulated import anatomy, planted_masks, real_anatomy
from mmssl.groupmaps import read_atlas
from mmssl.preprocessing import template

CACHED = (
    real_anatomy.full,
    real_anatomy.on_grid,
    planted_masks.ventricles,
    planted_masks.temporal_lobe,
    anatomy.anatomy,
)


@pytest.fixture
def forget():
    """Read the file of an anatomy anew, before the test and after it."""
    for function in CACHED:
        function.cache_clear()
    yield
    for function in CACHED:
        function.cache_clear()


@pytest.fixture
def stand_in(tmp_path, monkeypatch, forget):
    """Give as Colin27 what is known: MNI152 itself, turned to another grid,
    its intensities those of a scan.
    """
    full = template.full()
    values = (133 * full.t1 / full.t1.max()).astype(np.uint8)
    affine = full.affine @ np.diag([-1.0, 1, 1, 1])
    # mirrored and moved: the way there is not the way back
    affine[:3, 3] += full.affine[:3, :3] @ [len(values) - 1, -9, 0]
    values = np.pad(values[::-1], [(0, 0), (9, 0), (0, 4)])
    path = tmp_path / "ch2bet.nii.gz"
    nib.save(nib.Nifti1Image(values, affine), path)
    monkeypatch.setenv("MMSSL_COLIN27", str(path))


def dice(first, second):
    return 2 * (first & second).sum() / (first.sum() + second.sum())


def test_tissues_are_found_where_they_are_known(stand_in):
    found, known = real_anatomy.full("colin27"), template.full()
    assert dice(found.mask, known.mask) > 0.97
    assert dice(found.grey > 0.5, known.grey > 0.5) > 0.8
    assert dice(found.white > 0.5, known.white > 0.5) > 0.8
    total = found.grey + found.white + found.csf
    np.testing.assert_allclose(total[found.mask], 1, atol=1e-5)
    assert not total[~found.mask].any() and not found.t1[~found.mask].any()
    bright = found.t1[found.white > 0.9].mean()
    assert bright == pytest.approx(known.t1[known.white > 0.9].mean())
    with pytest.raises(ValueError, match="read-only"):
        found.t1[0] = 1


def test_the_disease_is_planted_in_the_anatomy_that_is_asked_for(
    stand_in, tmp_path
):
    # the left is not the right: a mirrored anatomy would show
    lobe = planted_masks.temporal_lobe("colin27")
    middle = lobe.shape[0] // 2
    left, right = lobe[:middle].sum(), lobe[middle:].sum()
    assert left / right == pytest.approx(
        planted_masks.LEFT / planted_masks.RIGHT, rel=0.1
    )
    options = {"subjects": 12, "folds": 2}
    made = make_phantom(tmp_path / "a", anatomy="colin27", **options)
    usual = make_phantom(tmp_path / "b", **options)
    assert made.parameters["design"]["anatomy"] == "colin27"
    assert usual.parameters["design"]["anatomy"] == "mni152"
    for modality, mask in planted(made).items():
        assert dice(mask, planted(usual)[modality]) > 0.7
        first = np.asarray(made.volumes[modality][0], np.float64)
        second = np.asarray(usual.volumes[modality][0], np.float64)
        inside = made.mask
        assert np.corrcoef(first[inside], second[inside])[0, 1] > 0.9
        assert not np.array_equal(first, second)
    with pytest.raises(ValueError, match="exists with other parameters"):
        make_phantom(tmp_path / "a", **options)


def test_what_is_not_there_is_said_with_the_way_to_get_it(
    tmp_path, monkeypatch, forget
):
    monkeypatch.setenv("MMSSL_COLIN27", str(tmp_path / "nowhere.nii.gz"))
    with pytest.raises(FileNotFoundError, match="apt install mricron-data"):
        make_phantom(tmp_path / "a", subjects=12, anatomy="colin27")
    with pytest.raises(ValueError, match="'mni305', expected one of mni152, "):
        make_phantom(tmp_path / "a", subjects=12, anatomy="mni305")
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_colin27_and_its_atlas_as_debian_packages_them(tmp_path, forget):
    file = Path(real_anatomy.COLIN27_FILE)
    if not file.is_file():
        pytest.skip("mricron-data is not installed")
    found, known = real_anatomy.full("colin27"), template.full()
    assert dice(found.mask, known.mask) > 0.9
    assert 0.9 < found.grey.sum() / known.grey.sum() < 1.2
    made = make_phantom(
        tmp_path / "a", subjects=12, folds=2, raw=1, anatomy="colin27"
    )
    assert len(cohort.load(tmp_path / "a")) == len(made)
    for mask in planted(made).values():
        assert mask.sum() > 50
    atlas = read_atlas(
        file.with_name("aal.nii.gz"), file.with_name("aal.nii.txt")
    )
    assert "Hippocampus_L" in atlas.names.values()
