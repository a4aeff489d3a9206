"""Two-View MNIST: the idx format, both views, and learning on the published digits."""

import gzip
import struct
import warnings

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from mmssl import cohorts, evaluate, pretrain
from mmssl.cohorts import natural

NAMES = [name for pair in natural._FILES.values() for name in pair]


def write_idx(path, array):
    """Write uint8 as idx: the format's definition, byte by byte."""
    raw = bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">I", n) for n in array.shape)
    raw += array.tobytes()
    path.write_bytes(gzip.compress(raw, mtime=0) if path.suffix == ".gz" else raw)


@pytest.fixture
def source(tmp_path, rng):
    """Give a folder of four idx files: 60 and 30 made-up digits, every class present."""
    folder = tmp_path / "idx"
    folder.mkdir()
    for images, labels, count in ((NAMES[0], NAMES[1], 60), (NAMES[2], NAMES[3], 30)):
        write_idx(folder / images, rng.integers(0, 256, (count, 28, 28), dtype=np.uint8))
        write_idx(folder / labels, (np.arange(count) % 10).astype(np.uint8))
    return folder


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_is_read_back(tmp_path, rng, suffix):
    array = rng.integers(0, 256, (7, 8, 9), dtype=np.uint8)
    write_idx(tmp_path / f"a{suffix}", array)
    assert np.array_equal(natural.read_idx(tmp_path / f"a{suffix}"), array)


def test_damaged_idx_files_are_named(tmp_path, rng):
    array = rng.integers(0, 256, (7, 8, 9), dtype=np.uint8)
    file = tmp_path / "a.gz"
    with pytest.raises(ValueError, match="a.gz: not found"):
        natural.read_idx(file)
    write_idx(file, array)
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    with pytest.raises(ValueError, match="a.gz: gzip data damaged or cut short"):
        natural.read_idx(file)
    file.write_bytes(b"not gzip at all")
    with pytest.raises(ValueError, match="damaged or cut"):
        natural.read_idx(file)
    plain = tmp_path / "b"
    raw = gzip.decompress(whole)
    for content, message in (
        (raw[:-1], r"b: 503 values found, its header says 504 \(7, 8, 9\)"),
        (raw + b"x", "505 values found"),
        (raw[:9], "0 values found"),
        (b"\x00\x00\x0d\x01" + raw[4:], "begins with 00000d01"),
        (b"", "begins with ,"),
    ):
        plain.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            natural.read_idx(plain)


def test_the_cohort_holds_what_was_asked(tmp_path, source):
    cohort = cohorts.two_view_mnist(tmp_path / "c", source, train=50, test=20, folds=4)
    assert (cohort.kind, cohort.dims, cohort.size) == ("two-view-mnist", 2, 32)
    assert cohort.modalities == ("view1", "view2") and cohort.intensity == "unit"
    assert cohort.volumes["view1"].shape == (70, 32, 32)
    assert np.array_equal(cohort.rows("holdout"), np.arange(50, 70))
    assert np.array_equal(np.r_[cohort.rows("train"), cohort.rows("valid")].sum(), 49 * 25)
    assert np.array_equal(cohort.labels("digit"), np.r_[np.arange(50), np.arange(20)] % 10)
    assert np.array_equal(cohort.downstream(cohort.rows("holdout")), np.arange(50, 70))
    for view in cohort.modalities:
        values = np.asarray(cohort.volumes[view], np.float32)
        assert values.min() >= 0 and values.max() <= 1


def test_one_fold_trains_on_all(tmp_path, source):
    cohort = cohorts.two_view_mnist(tmp_path / "c", source, folds=1)
    assert np.array_equal(cohort.rows("train"), np.arange(60))
    assert len(cohort.rows("valid")) == 0


def test_view2_is_the_resized_digit_with_noise_and_view1_the_turned_one(tmp_path, source):
    cohort = cohorts.two_view_mnist(tmp_path / "c", source, seed=4)
    digits = natural.read_idx(source / NAMES[0])
    for row in (0, 17):
        resized = Image.fromarray(digits[row]).resize((32, 32), Image.Resampling.BILINEAR)
        clean = np.asarray(resized, np.float64) / 255
        rng = np.random.default_rng([4, 0, row])
        angle, noise = rng.uniform(-45, 45), rng.random((32, 32), dtype=np.float32)
        expected = np.minimum(clean + noise, 1)
        assert np.allclose(cohort.volumes["view2"][row], expected, atol=1e-3)
        turned = ndimage.rotate(clean, angle, reshape=False, order=1)
        inside = np.hypot(*(np.indices((32, 32)) - 15.5)) < 14
        assert np.allclose(cohort.volumes["view1"][row][inside], turned[inside], atol=2e-3)


def test_rotation_equals_scipy_for_every_sign(rng):
    images = ndimage.gaussian_filter(rng.random((5, 32, 32)), (0, 2, 2))
    angles = np.array([-90.0, -33.0, 0.0, 12.5, 180.0])
    found = natural.rotated(images, angles)
    inside = np.hypot(*(np.indices((32, 32)) - 15.5)) < 14
    for image, angle, turned in zip(images, angles, found, strict=True):
        expected = ndimage.rotate(image, angle, reshape=False, order=1)
        assert np.allclose(turned[inside], expected[inside], atol=1e-5)


def test_an_image_does_not_depend_on_its_neighbours(tmp_path, source):
    small = cohorts.two_view_mnist(tmp_path / "a", source, train=50, test=10, seed=1, folds=2)
    large = cohorts.two_view_mnist(tmp_path / "b", source, train=60, test=30, seed=1, folds=5)
    other = cohorts.two_view_mnist(tmp_path / "c", source, train=50, test=10, seed=2, folds=2)
    for view in small.modalities:
        assert np.array_equal(small.volumes[view][:50], large.volumes[view][:50])
        assert np.array_equal(small.volumes[view][50:], large.volumes[view][60:70])
        assert not np.array_equal(small.volumes[view], other.volumes[view])


def test_same_class_partners_stay_in_their_part():
    labels = np.arange(200) % 10
    parts = np.repeat([-1, 0, 1, 2], 50)
    partner = natural._partners(labels, parts, seed=0)
    assert np.array_equal(np.sort(partner), np.arange(200))
    assert (partner != np.arange(200)).all()
    assert np.array_equal(labels[partner], labels) and np.array_equal(parts[partner], parts)


@pytest.mark.parametrize("folds", [1, 3])
def test_no_partner_crosses_into_the_hold_out(tmp_path, source, folds):
    digits = [natural.read_idx(source / name) for name in (NAMES[0], NAMES[2])]
    for part, value in zip(digits, (0, 255), strict=True):  # training black, test white
        write_idx(source / (NAMES[0] if value == 0 else NAMES[2]), np.full_like(part, value))
    cohort = cohorts.two_view_mnist(tmp_path / "c", source, folds=folds, second="same-class")
    white = np.asarray(cohort.volumes["view2"]).reshape(90, -1).min(axis=1) == 1
    assert np.array_equal(white, np.arange(90) >= 60)


def test_variants_change_view2_alone(tmp_path, source):
    plain = cohorts.two_view_mnist(tmp_path / "a", source)
    other = cohorts.two_view_mnist(tmp_path / "b", source, second="same-class")
    stretched = cohorts.two_view_mnist(tmp_path / "c", source, rescale=True)
    for variant in (other, stretched):
        assert np.array_equal(plain.volumes["view1"], variant.volumes["view1"])
        assert not np.array_equal(plain.volumes["view2"], variant.volumes["view2"])
    flat = np.asarray(stretched.volumes["view2"]).reshape(90, -1)
    assert (flat.min(axis=1) == 0).all() and (flat.max(axis=1) == 1).all()


def test_bad_sources_stop_before_anything_is_written(tmp_path, source):
    target = tmp_path / "c"
    for options, message in (
        ({"train": 61}, "61 images asked for, it holds 60"),
        ({"test": 0}, "0 images asked for"),
        ({"second": "other"}, "second is 'other'"),
    ):
        with pytest.raises(ValueError, match=message):
            cohorts.two_view_mnist(target, source, **options)
    write_idx(source / NAMES[1], np.arange(59).astype(np.uint8) % 10)
    with pytest.raises(ValueError, match=r"images \(60, 28, 28\)"):
        cohorts.two_view_mnist(target, source)
    write_idx(source / NAMES[1], np.arange(60).astype(np.uint8))
    with pytest.raises(ValueError, match="label 59 found"):
        cohorts.two_view_mnist(target, source)
    (source / NAMES[1]).unlink()
    with pytest.raises(ValueError, match="train-labels-idx1-ubyte.gz nor"):
        cohorts.two_view_mnist(target, source)
    assert not target.exists()


def test_a_file_that_is_not_the_published_one_is_named(tmp_path, source):
    (source / f"{NAMES[0]}.gz").write_bytes(gzip.compress((source / NAMES[0]).read_bytes()))
    with pytest.warns(UserWarning, match="f68b3c2dcbeaaa9fbdd348bbdeb94873"):
        cohorts.two_view_mnist(tmp_path / "c", source)


def test_the_published_digits_are_known(real_data, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cohort = cohorts.two_view_mnist(tmp_path / "c", real_data / "mnist", 1000, 100)
    assert cohort.labels()[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert cohort.labels()[1000:1004].tolist() == [7, 2, 1, 0]


@pytest.mark.slow
def test_pretraining_on_real_digits_beats_an_untrained_encoder(real_data, tmp_path):
    cohort = cohorts.two_view_mnist(tmp_path / "c", real_data / "mnist", 20_000, 10_000, folds=1)
    run = pretrain.fit(cohort, "CR-XX-CC", tmp_path / "run", epochs=3, batch_size=64,
                       progress=False)
    table = evaluate.accuracy_table(
        cohort, {"CR-XX-CC": pretrain.embed(run, cohort), "untrained": pretrain.untrained(cohort)})
    accuracy = table.set_index(["row", "modality"])["accuracy"].unstack()
    print(accuracy)
    assert (accuracy.loc["CR-XX-CC"] >= 0.88).all()
    assert (accuracy.loc["CR-XX-CC"] - accuracy.loc["untrained"] >= 0.10).all()
