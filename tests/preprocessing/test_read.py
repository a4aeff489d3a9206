"""What cannot be right is refused before any work, by file, field, value found
and expected.
"""

import gzip
import json
import warnings
import zlib

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


def test_repetition_time_is_inherited(tmp_path, rng, affine):
    """A sidecar higher up holds for all images whose entities it names."""
    folder = tmp_path / "study" / "sub-01" / "ses-1" / "func"
    folder.mkdir(parents=True)
    t1 = folder / "sub-01_ses-1_T1w.nii.gz"
    bold = folder / "sub-01_ses-1_task-rest_bold.nii.gz"
    save(t1, rng.gamma(2.0, 50.0, SHAPE), affine)
    save(bold, rng.gamma(2.0, 50.0, (*SHAPE, 60)), affine, 1.0)
    study = tmp_path / "study"

    def says(file, seconds):
        (study / file).write_text(json.dumps({"RepetitionTime": seconds}))

    says("task-rest_bold.json", 3.0)
    assert read.check(t1, bold) == 1.0  # this is no data set yet
    (study / "dataset_description.json").write_text("{}")
    top = study / "task-rest_bold.json"
    refused(t1, bold, f"{top}: RepetitionTime 3 s", "pixdim[4] 1 s")
    save(bold, rng.gamma(2.0, 50.0, (*SHAPE, 60)), affine, 0.0)
    assert read.check(t1, bold) == 3.0
    says("task-motor_bold.json", 5.0)  # of another task
    says("task-rest_sbref.json", 5.0)  # of other images
    (tmp_path / "bold.json").write_text('{"RepetitionTime": 5.0}')  # outside
    says("bold.json", 2.5)  # of all tasks: the more specific one counts
    assert read.check(t1, bold) == 3.0
    says("sub-01/sub-01_bold.json", 2.0)
    assert read.check(t1, bold) == 2.0
    sidecar(bold).write_text(json.dumps({"EchoTime": 0.03}))
    assert read.check(t1, bold) == 2.0


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


LAS = np.diag([-2.0, 2.5, 3.0, 1.0])


def stored(path, data, affine=LAS, **fields):
    """An image with fields of its header set as they are told."""
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm", "sec")
    content = bytearray(image.to_bytes())
    header = nib.Nifti1Header(bytes(content[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    content[:348] = header.binaryblock
    if path.name.endswith(".gz"):
        content = gzip.compress(bytes(content))
    path.write_bytes(bytes(content))
    return path


@pytest.fixture
def integers(rng):
    """A head-like volume of integers."""
    return rng.integers(1, 900, SHAPE).astype(np.int16)


@pytest.mark.parametrize("name", ["T1w.nii", "T1w.nii.gz"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98])
def test_truncated_in_any_orientation(tmp_path, integers, name, share):
    for affine in (LAS, np.diag([2.0, 2.5, 3.0, 1])):
        file = stored(tmp_path / name, integers, affine)
        content = file.read_bytes()
        file.write_bytes(content[: int(share * len(content))])
        refused(file, None, file, "truncated")


def test_damage_in_a_stored_block_is_found(tmp_path, integers):
    """A block that is stored, not packed, unpacks to anything: only its
    checksum shows the damage.
    """
    image = nib.Nifti1Image(integers, LAS)
    packer = zlib.compressobj(0, wbits=31)
    content = bytearray(packer.compress(image.to_bytes()) + packer.flush())
    file = tmp_path / "T1w.nii.gz"
    file.write_bytes(content)
    assert read.read_t1(file).data.shape == SHAPE
    content[len(content) // 2] ^= 64
    file.write_bytes(content)
    refused(file, None, file, "CRC")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"srow_x": 0, "srow_y": 0, "srow_z": 0}, ["sform", "invertible"]),
        ({"srow_x": np.nan}, ["sform", "nan"]),
        ({"scl_slope": 2, "scl_inter": np.nan}, ["scl_inter", "nan"]),
        ({"datatype": 0}, ["datatype found 0"]),
        ({"datatype": 12345}, ["datatype found 12345"]),
        ({"xyzt_units": 5}, ["xyzt_units found 5"]),
        ({"sform_code": 512}, ["sform_code", "512"]),
        ({"vox_offset": 0}, ["vox_offset found 0"]),
        ({"vox_offset": np.nan}, ["not a readable NIfTI"]),
        ({"srow_x": [-2, 1, 0, 0]}, ["off right angles"]),
        ({"dim": [3, 9, 10, 12, 1, 1, 1, 1]}, ["bytes", "(9, 10, 12)"]),
        ({"dim": [3, 9, 10, -11, 1, 1, 1, 1]}, ["(9, 10, -11)"]),
        ({"magic": b"nix"}, ["not a readable NIfTI"]),
        ({"magic": b"n+0"}, ["not a readable NIfTI"]),
    ],
)
def test_a_damaged_header_is_named(tmp_path, integers, fields, words):
    file = stored(tmp_path / "T1w.nii", integers, **fields)
    refused(file, None, file, *words)


def test_a_sheared_series_is_refused_before_the_work(pair, rng):
    sheared = np.diag([2.0, 2.5, 3.0, 1])
    sheared[0, 1] = 1
    save(pair[1], rng.gamma(2.0, 50.0, (*SHAPE, 60)), sheared, 2.0)
    refused(*pair, pair[1], "off right angles")


@pytest.mark.parametrize(
    "dtype",
    [np.complex64, np.complex128, [("R", "u1"), ("G", "u1"), ("B", "u1")]],
)
def test_only_real_numbers_are_an_image(tmp_path, dtype):
    file = tmp_path / "T1w.nii"
    nib.Nifti1Image(np.ones(SHAPE, dtype), LAS).to_filename(file)
    refused(file, None, file, "datatype found", "expected real numbers")


@pytest.mark.parametrize(("unit", "mm"), [("meter", 1e3), ("micron", 1e-3)])
def test_units_become_mm(tmp_path, integers, unit, mm):
    affine = LAS / mm
    affine[3, 3] = 1
    image = nib.Nifti1Image(integers, affine)
    image.header.set_xyzt_units(unit)
    image.to_filename(tmp_path / "T1w.nii")
    stored(tmp_path / "same.nii", integers)
    found = read.read_t1(tmp_path / "T1w.nii")
    same = read.read_t1(tmp_path / "same.nii")
    np.testing.assert_allclose(found.affine, same.affine, rtol=1e-6)
    np.testing.assert_array_equal(found.data, same.data)


def test_voxels_of_no_head_are_refused(tmp_path, integers):
    """Millimetres that are said to be metres, and the other way round."""
    for code in (1, 3):
        file = stored(tmp_path / "T1w.nii", integers, xyzt_units=code)
        refused(file, None, file, "voxel sides", f"xyzt_units {code}")


def test_unknown_orientation_is_refused_unless_stated(tmp_path, integers):
    file = stored(tmp_path / "T1w.nii", integers, sform_code=0, qform_code=0)
    refused(file, None, file, "sform_code and qform_code", "0 and 0")
    refused(file, None, "orientation", "'LXS'", orientation="LXS")
    refused(file, None, "orientation", "'LRS'", orientation="LRS")
    found = read.read_t1(file, orientation="PIR")
    # voxel axes point to P, I, R; the canonical ones to R, A, S
    expected = integers.transpose(2, 0, 1)[:, ::-1, ::-1]
    np.testing.assert_array_equal(found.data, expected)
    expected = np.diag([3.0, 2.0, 2.5, 1.0])
    expected[:3, 3] = [-15, -8, -11.25]
    np.testing.assert_allclose(found.affine, expected)


def turned_about_z(degrees):
    turn = np.deg2rad(degrees)
    matrix = np.eye(4)
    matrix[:2, :2] = [
        [np.cos(turn), -np.sin(turn)],
        [np.sin(turn), np.cos(turn)],
    ]
    return matrix


def two_forms(path, data, sform, qform):
    image = nib.Nifti1Image(data, sform)
    image.set_sform(sform, 1)
    image.set_qform(qform, 1)
    image.to_filename(path)


def test_contradictory_orientations_are_refused(tmp_path, integers):
    file = tmp_path / "T1w.nii"
    for other in (LAS[[1, 0, 2, 3]], LAS * [[-1], [1], [1], [1]]):
        two_forms(file, integers, LAS, other)
        refused(file, None, file, "sform found LAS", "and qform")
    two_forms(file, integers, LAS, turned_about_z(6) @ LAS)
    refused(file, None, file, "6.0 degrees apart")
    # close to a diagonal a small turn makes another axis of it
    two_forms(
        file, integers, turned_about_z(44) @ LAS, turned_about_z(46) @ LAS
    )
    refused(file, None, file, "sform found LAS", "and qform PLS", "2.0 deg")


def test_orientations_that_nearly_agree_warn(tmp_path, integers):
    file = tmp_path / "T1w.nii"
    two_forms(file, integers, LAS, turned_about_z(3) @ LAS)
    with pytest.warns(UserWarning, match="3.00 degrees.*sform is used"):
        found = read.read_t1(file)
    two_forms(file, integers, LAS, LAS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same = read.read_t1(file)
    np.testing.assert_allclose(found.affine, same.affine)


def test_an_almost_empty_image(tmp_path):
    data = np.zeros(SHAPE, np.int16)
    data[4, 5, 6] = 100
    file = stored(tmp_path / "T1w.nii", data)
    refused(file, None, file, "0.10% of the voxels")


@pytest.mark.parametrize("text", ["null", "[3]", "2.0", "[" * 100_000])
def test_a_sidecar_that_is_no_object(pair, text):
    sidecar(pair[1]).write_text(text)
    refused(*pair, sidecar(pair[1]), "JSON" if text[1:2] == "[" else "found")


def test_dummy_scans_leave_enough(pair):
    assert read.check(*pair, dummy_scans=20) == 2.0
    refused(*pair, pair[1], "dummy_scans found 59", dummy_scans=59)
    refused(*pair, pair[1], "dummy_scans found -1", dummy_scans=-1)
    refused(*pair, pair[1], "8 volumes of 2 s", dummy_scans=52)


# Damage of a file: what is done, where, how far and with which bits.
DAMAGE = st.tuples(
    st.sampled_from(["flip", "cut", "zero", "swap"]),
    st.one_of(st.integers(0, 359), st.integers(0, 10_000)),
    st.integers(1, 64),
    st.integers(1, 255),
)


def damaged(content, damage):
    kind, place, length, bits = damage
    out = bytearray(content)
    place %= len(out)
    part = slice(place, place + length)
    if kind == "flip":
        out[place] ^= bits
    elif kind == "cut":
        del out[part]
    elif kind == "zero":
        out[part] = bytes(len(out[part]))
    else:
        out[part] = out[part][::-1]
    return bytes(out)


def intact():
    """{name: content} of files of several kinds."""
    rng = np.random.default_rng(0)
    files = {}
    for number, (dtype, affine) in enumerate(
        [
            (np.int16, LAS),
            (np.float32, np.diag([2.0, 2.5, 3.0, 1.0])),
            (np.uint8, LAS[[1, 0, 2, 3]]),
        ]
    ):
        data = rng.integers(1, 200, (8, 9, 10)).astype(dtype)
        image = nib.Nifti1Image(data, affine)
        image.set_qform(affine, 1)
        content = image.to_bytes()
        files[f"{number}.nii"] = content
        files[f"{number}.nii.gz"] = gzip.compress(content)
        files[f"{number}-stored.nii.gz"] = gzip.compress(content, 0)
    return files


FILES = intact()


def read_or_refused(folder, name, damage):
    """Whether a damaged file is read; then nibabel must read the same."""
    content = damaged(FILES[name], damage)
    file = folder / name
    file.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read.check(file)
            found = read.read_t1(file)
        except ValueError as error:
            assert str(file) in str(error), error
            return False
    if name.endswith(".gz"):
        # What is read has passed the checksum: the image itself is whole.
        content = gzip.decompress(content)
        assert content == gzip.decompress(FILES[name])
    values = nib.Nifti1Image.from_bytes(content)
    same = nib.as_closest_canonical(
        nib.Nifti1Image(np.asarray(values.dataobj), found_affine(values))
    )
    data = same.get_fdata(dtype=np.float32).reshape(found.data.shape)
    np.testing.assert_array_equal(found.data, data)
    np.testing.assert_allclose(found.affine, same.affine, rtol=1e-6, atol=1e-6)
    return True


def found_affine(image):
    """nibabel's affine in mm: it does not look at the unit."""
    unit = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}
    mm = unit[int(image.header["xyzt_units"]) & 7]
    return np.diag([mm, mm, mm, 1.0]) @ image.affine


def fuzz(folder, examples):
    """(damaged files tried, those that were still read)."""
    outcomes = []

    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(sorted(FILES)), DAMAGE)
    def tried(name, damage):
        outcomes.append(read_or_refused(folder, name, damage))

    tried()
    return len(outcomes), sum(outcomes)


def test_damaged_files_are_refused_by_name_or_read_right(tmp_path):
    files, read_right = fuzz(tmp_path, 100)
    assert files >= 100 and 0 < read_right < files


@pytest.mark.slow
def test_two_thousand_damaged_files(tmp_path, tell):
    files, read_right = fuzz(tmp_path, 2_000)
    tell(
        f"{files} damaged files: {read_right} read right, "
        f"{files - read_right} refused by name"
    )
    assert files >= 2_000
