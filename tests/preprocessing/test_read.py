"""What cannot be right is refused before any work, by file, field, value found
and expected.
"""

import json

import nibabel as nib
import numpy as np
import pytest

from mmssl.preprocessing import person, read, registration

SHAPE = (9, 10, 11)


@pytest.fixture
def pair(tmp_path, rng, affine):
    """A T1 and a BOLD of 60 volumes of 2 s with its sidecar, of sub-01."""
    t1, bold = (
        tmp_path / "sub-01_T1w.nii.gz",
        tmp_path / "sub-01_task-rest_bold.nii.gz",
    )
    save(t1, rng.gamma(2.0, 50.0, SHAPE), affine)
    save(bold, rng.gamma(2.0, 50.0, (*SHAPE, 60)), affine, 2.0)
    sidecar(bold).write_text(json.dumps({"RepetitionTime": 2.0}))
    return t1, bold


def save(path, data, affine, tr=None):
    image = nib.Nifti1Image(np.asarray(data, np.float32), affine)
    if tr is not None:
        image.header.set_xyzt_units("mm", "sec")
        image.header["pixdim"][4] = tr
    image.to_filename(path)


def sidecar(path):
    return path.with_name(path.name.replace(".nii.gz", ".json"))


@pytest.fixture(autouse=True)
def no_long_work(monkeypatch):
    """Registration must never be reached."""

    def reached(*_):
        raise AssertionError(
            "the registration began before the input was refused"
        )

    monkeypatch.setattr(registration, "to_template", reached)


def refused(t1, bold=None, *words, **kwargs):
    with pytest.raises(ValueError) as error:
        person.prepare(t1, bold, **kwargs)
    for word in words:
        assert str(word) in str(error.value), f"{word} not in: {error.value}"


def test_a_good_pair_passes(pair):
    assert read.check(*pair) == 2.0
    assert read.check(pair[0]) is None


def test_reading_keeps_every_voxel_where_it_was(tmp_path, rng, affine):
    """Axes are put in RAS+ order; a voxel's value at a place in mm does not
    change.
    """
    data = rng.normal(size=SHAPE).astype(np.float32)
    turned = affine @ np.array(
        [[0, 1, 0, 0], [-1, 0, 0, 9], [0, 0, 1, 0], [0, 0, 0, 1]]
    )
    save(tmp_path / "turned.nii", data, turned)
    found = read.read_t1(tmp_path / "turned.nii")
    save(tmp_path / "longer.nii", data[..., None], turned)
    longer = read.read_t1(tmp_path / "longer.nii")
    np.testing.assert_array_equal(longer.data, found.data)
    assert nib.aff2axcodes(found.affine) == ("R", "A", "S")
    for voxel in [(0, 0, 0), (8, 2, 5), (3, 9, 10)]:
        place = np.linalg.inv(found.affine) @ turned @ [*voxel, 1]
        assert (
            found.data[tuple(np.round(place[:3]).astype(int))] == data[voxel]
        )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite(pair, rng, affine, value):
    t1, bold = pair
    series = rng.normal(size=(*SHAPE, 60))
    series[1, 2, 3, 4] = value
    save(bold, series, affine, 2.0)
    refused(t1, bold, bold, "1 NaN or Inf")
    save(t1, np.where(series[..., 0] > 1, value, 1), affine)
    refused(t1, None, t1, "NaN or Inf")


@pytest.mark.parametrize("value", [0.0, 7.0, -3.0])
def test_an_empty_image(pair, affine, value):
    save(pair[0], np.full(SHAPE, value), affine)
    refused(pair[0], None, pair[0], f"from {value:g} to {value:g}", "above 0")


def test_wrong_dimensions(pair, rng, affine):
    t1, bold = pair
    refused(bold, None, bold, "(9, 10, 11, 60)", "expected a T1 volume")
    refused(t1, t1, t1, "(9, 10, 11)", "expected a BOLD series")
    save(t1, rng.normal(size=(1, 10, 11)), affine)
    refused(t1, None, t1, "(1, 10, 11)", "at least 8")
    # one volume in four dimensions is a T1
    save(t1, rng.normal(size=(*SHAPE, 1)), affine)
    assert read.read_t1(t1).data.shape == SHAPE


def test_different_people(pair):
    t1, bold = pair
    other = t1.with_name("sub-02_T1w.nii.gz")
    t1.rename(other)
    refused(other, bold, other, bold, "sub-02", "sub-01")


def test_truncated_missing_and_foreign_files(pair, tmp_path):
    t1, bold = pair
    whole = bold.read_bytes()
    bold.write_bytes(whole[: len(whole) // 2])
    refused(t1, bold, bold, "truncated")
    t1.write_bytes(b"not an image at all")
    refused(t1, None, t1, "not a readable NIfTI")
    refused(tmp_path / "absent.nii.gz", None, "absent.nii.gz", "not found")


def test_truncated_without_compression(pair, rng, affine):
    plain = pair[0].with_name("sub-01_T1w.nii")
    save(plain, rng.normal(size=SHAPE), affine)
    plain.write_bytes(plain.read_bytes()[:1000])
    refused(plain, None, plain, "truncated")


def test_repetition_time_missing_or_zero(pair, rng, affine):
    t1, bold = pair
    series = rng.normal(size=(*SHAPE, 60))
    save(bold, series, affine, 0.0)
    assert read.check(t1, bold) == 2.0  # the sidecar alone
    sidecar(bold).unlink()
    refused(t1, bold, bold, "pixdim[4]: found 0", "above 0 s")
    assert read.check(t1, bold, tr=2.5) == 2.5
    for value in (0, -1.0, float("nan")):
        refused(t1, bold, "parameter tr", f"{value:g}", tr=value)
    sidecar(bold).write_text(json.dumps({"RepetitionTime": "two"}))
    refused(t1, bold, sidecar(bold), "RepetitionTime", "'two'")
    sidecar(bold).write_text("{")
    refused(t1, bold, sidecar(bold), "not valid JSON")


def test_repetition_time_contradicted(pair, rng, affine):
    t1, bold = pair
    refused(
        t1,
        bold,
        "parameter tr 2.5 s",
        "RepetitionTime 2 s",
        "pixdim[4] 2 s",
        tr=2.5,
    )
    save(bold, rng.normal(size=(*SHAPE, 60)), affine, 1.79355)
    refused(t1, bold, "RepetitionTime 2 s", "pixdim[4] 1.79355 s")
    sidecar(bold).unlink()
    assert read.check(t1, bold) == pytest.approx(1.79355)


def test_header_in_milliseconds(pair, rng, affine):
    image = nib.Nifti1Image(
        rng.normal(size=(*SHAPE, 60)).astype(np.float32), affine
    )
    image.header.set_xyzt_units("mm", "msec")
    image.header["pixdim"][4] = 2000
    image.to_filename(pair[1])
    assert read.check(*pair) == 2.0


def test_too_few_volumes_for_the_band(pair, rng, affine):
    t1, bold = pair
    save(bold, rng.normal(size=(*SHAPE, 8)), affine, 2.0)
    refused(t1, bold, bold, "8 volumes of 2 s", "expected at least 2")


def test_repetition_time_without_a_series(pair):
    refused(pair[0], None, "tr: found 2.0", tr=2.0)


def test_bad_grid_comes_first(pair):
    refused(*pair, "size: found 4", size=4)
