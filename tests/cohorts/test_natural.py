"""Two-View MNIST and MNIST-SVHN: both views, pairs by class, and learning on
real digits.
"""

import gzip
import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage
from test_digits import write_idx

from mmssl import plotting
from mmssl.cohorts import natural, pixels
from mmssl.cohorts.digits import (
    BUNDLED,
    FILES,
    Digits,
    read_digits,
    read_idx,
)
from mmssl.evaluate import linear_evaluation
from mmssl.pretrain.baselines import untrained_embeddings
from mmssl.pretrain.draws import Draw
from mmssl.pretrain.encoders import embed
from mmssl.pretrain.fit import fit

NAMES = [name for pair in FILES["mnist"].values() for name in pair]


@pytest.fixture
def source(tmp_path, rng):
    """Give a folder of four idx files: 60 and 30 made-up digits, every class
    present.
    """
    folder = tmp_path / "idx"
    folder.mkdir()
    for images, labels, count in (
        (NAMES[0], NAMES[1], 60),
        (NAMES[2], NAMES[3], 30),
    ):
        write_idx(
            folder / images,
            rng.integers(0, 256, (count, 28, 28), dtype=np.uint8),
        )
        write_idx(folder / labels, (np.arange(count) % 10).astype(np.uint8))
    return folder


def test_the_cohort_holds_what_was_asked(tmp_path, source):
    cohort = natural.two_view_mnist(
        tmp_path / "c", source, train=50, test=20, folds=4
    )
    assert (cohort.kind, cohort.dims, cohort.size) == ("two-view-mnist", 2, 32)
    assert (
        cohort.modalities == ("view1", "view2") and cohort.intensity == "unit"
    )
    assert cohort.volumes["view1"].shape == (70, 32, 32)
    assert np.array_equal(cohort.rows("holdout"), np.arange(50, 70))
    assert np.array_equal(
        np.r_[cohort.rows("train"), cohort.rows("valid")].sum(), 49 * 25
    )
    assert np.array_equal(
        cohort.labels("digit"), np.r_[np.arange(50), np.arange(20)] % 10
    )
    assert np.array_equal(
        cohort.downstream(cohort.rows("holdout")), np.arange(50, 70)
    )
    for view in cohort.modalities:
        values = np.asarray(cohort.volumes[view], np.float32)
        assert values.min() >= 0 and values.max() <= 1


def test_one_fold_trains_on_all(tmp_path, source):
    cohort = natural.two_view_mnist(tmp_path / "c", source, folds=1)
    assert np.array_equal(cohort.rows("train"), np.arange(60))
    assert len(cohort.rows("valid")) == 0


def test_view2_is_the_resized_digit_with_noise_and_view1_the_turned_one(
    tmp_path, source
):
    cohort = natural.two_view_mnist(tmp_path / "c", source, seed=4)
    digits = read_idx(source / NAMES[0])
    for row in (0, 17):
        resized = Image.fromarray(digits[row]).resize(
            (32, 32), Image.Resampling.BILINEAR
        )
        clean = np.asarray(resized, np.float64) / 255
        rng = np.random.default_rng([4, 0, row])
        angle, noise = (
            rng.uniform(-45, 45),
            rng.random((32, 32), dtype=np.float32),
        )
        expected = np.minimum(clean + noise, 1)
        assert np.allclose(cohort.volumes["view2"][row], expected, atol=1e-3)
        turned = ndimage.rotate(clean, angle, reshape=False, order=1)
        inside = np.hypot(*(np.indices((32, 32)) - 15.5)) < 14
        assert np.allclose(
            cohort.volumes["view1"][row][inside], turned[inside], atol=2e-3
        )


def test_rotation_equals_scipy_for_every_sign(rng):
    images = ndimage.gaussian_filter(rng.random((5, 32, 32)), (0, 2, 2))
    angles = np.array([-90.0, -33.0, 0.0, 12.5, 180.0])
    found = pixels.rotated(images, angles)
    inside = np.hypot(*(np.indices((32, 32)) - 15.5)) < 14
    for image, angle, turned in zip(images, angles, found, strict=True):
        expected = ndimage.rotate(image, angle, reshape=False, order=1)
        assert np.allclose(turned[inside], expected[inside], atol=1e-5)


def test_an_image_does_not_depend_on_its_neighbours(tmp_path, source):
    small = natural.two_view_mnist(
        tmp_path / "a", source, train=50, test=10, seed=1, folds=2
    )
    large = natural.two_view_mnist(
        tmp_path / "b", source, train=60, test=30, seed=1, folds=5
    )
    other = natural.two_view_mnist(
        tmp_path / "c", source, train=50, test=10, seed=2, folds=2
    )
    for view in small.modalities:
        assert np.array_equal(
            small.volumes[view][:50], large.volumes[view][:50]
        )
        assert np.array_equal(
            small.volumes[view][50:], large.volumes[view][60:70]
        )
        assert not np.array_equal(small.volumes[view], other.volumes[view])


def test_same_class_partners_stay_in_their_part():
    labels = np.arange(200) % 10
    parts = np.repeat([-1, 0, 1, 2], 50)
    partner = natural._partners(labels, parts, seed=0)
    assert np.array_equal(np.sort(partner), np.arange(200))
    assert (partner != np.arange(200)).all()
    assert np.array_equal(labels[partner], labels) and np.array_equal(
        parts[partner], parts
    )


@pytest.mark.parametrize("folds", [1, 3])
def test_no_partner_crosses_into_the_hold_out(tmp_path, source, folds):
    digits = [read_idx(source / name) for name in (NAMES[0], NAMES[2])]
    # training black, test white
    for part, value in zip(digits, (0, 255), strict=True):
        write_idx(
            source / (NAMES[0] if value == 0 else NAMES[2]),
            np.full_like(part, value),
        )
    cohort = natural.two_view_mnist(
        tmp_path / "c", source, folds=folds, second="same-class"
    )
    white = (
        np.asarray(cohort.volumes["view2"]).reshape(90, -1).min(axis=1) == 1
    )
    assert np.array_equal(white, np.arange(90) >= 60)


def test_variants_change_view2_alone(tmp_path, source):
    plain = natural.two_view_mnist(tmp_path / "a", source)
    other = natural.two_view_mnist(tmp_path / "b", source, second="same-class")
    stretched = natural.two_view_mnist(tmp_path / "c", source, rescale=True)
    for variant in (other, stretched):
        assert np.array_equal(plain.volumes["view1"], variant.volumes["view1"])
        assert not np.array_equal(
            plain.volumes["view2"], variant.volumes["view2"]
        )
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
            natural.two_view_mnist(target, source, **options)
    write_idx(source / NAMES[1], np.arange(59).astype(np.uint8) % 10)
    with pytest.raises(ValueError, match=r"images \(60, 28, 28\)"):
        natural.two_view_mnist(target, source)
    write_idx(source / NAMES[1], np.arange(60).astype(np.uint8))
    with pytest.raises(ValueError, match="label 59 found"):
        natural.two_view_mnist(target, source)
    (source / NAMES[1]).unlink()
    with pytest.raises(ValueError, match="train-labels-idx1-ubyte.gz nor"):
        natural.two_view_mnist(target, source)
    assert not target.exists()


def test_a_file_that_is_not_the_published_one_is_named(tmp_path, source):
    (source / f"{NAMES[0]}.gz").write_bytes(
        gzip.compress((source / NAMES[0]).read_bytes())
    )
    with pytest.warns(UserWarning, match="f68b3c2dcbeaaa9fbdd348bbdeb94873"):
        natural.two_view_mnist(tmp_path / "c", source)


def digits(labels, parts, value=None, name="SVHN"):
    """Colour images whose every pixel is the row's number (or a value)."""
    labels, parts = np.asarray(labels), np.asarray(parts)
    number = np.concatenate([np.arange((parts == p).sum()) for p in (0, 1)])
    fill = (
        np.arange(len(labels))
        if value is None
        else np.full(len(labels), value)
    )
    images = np.tile(
        fill[:, None, None, None].astype(np.uint8), (1, 32, 32, 3)
    )
    return Digits(name, images, labels, parts, number)


def test_pairs_are_of_one_class_and_part_against_a_loop(tmp_path, source, rng):
    # no 9 at all
    labels = np.r_[rng.integers(0, 9, 70), rng.integers(0, 9, 25)]
    second = digits(labels, [0] * 70 + [1] * 25)
    cohort = natural.mnist_svhn(tmp_path / "c", source, second, folds=1)
    assert (
        cohort.modalities == ("MNIST", "SVHN") and cohort.kind == "mnist-svhn"
    )
    assert (
        dict(cohort.channels) == {"MNIST": 1, "SVHN": 3}
        and cohort.pairing == "digit"
    )
    first = read_digits("mnist", source)
    # (row of MNIST, row of SVHN): the k-th image of a class with the k-th
    expected = []
    for part in (0, 1):
        waiting = {
            c: list(
                np.flatnonzero((second.labels == c) & (second.part == part))
            )
            for c in range(10)
        }
        for row in np.flatnonzero(first.part == part):
            if waiting[first.labels[row]]:
                expected.append((row, waiting[first.labels[row]].pop(0)))
    shown = np.asarray(cohort.volumes["SVHN"], np.float32)
    assert np.allclose(
        shown[:, 0, 0, 0] * 255, [b for _, b in expected], atol=0.1
    )
    assert np.array_equal(
        cohort.labels(), first.labels[[a for a, _ in expected]]
    )
    assert np.array_equal(
        cohort.labels(), second.labels[[b for _, b in expected]]
    )
    resized = pixels.resized(first.images[[a for a, _ in expected]])
    assert np.array_equal(cohort.volumes["MNIST"], resized)
    parts = [first.part[a] for a, _ in expected]
    assert np.array_equal(cohort.rows("holdout"), np.flatnonzero(parts))


def test_colour_channels_keep_their_place(tmp_path, source):
    second = digits(np.arange(40) % 10, [0] * 20 + [1] * 20)
    second.images[:, 3, 7] = [10, 20, 30]
    cohort = natural.mnist_svhn(tmp_path / "c", source, second, folds=2)
    assert np.allclose(
        cohort.volumes["SVHN"][5, :, 3, 7] * 255, [10, 20, 30], atol=0.1
    )
    assert (
        cohort.volumes["SVHN"][5, 0, 7, 3]
        != cohort.volumes["SVHN"][5, 0, 3, 7]
    )


def test_no_common_class_is_an_error(tmp_path, source):
    second = digits([1] * 5 + [2] * 5, [0] * 5 + [1] * 5)
    second.labels[:] = np.where(second.part == 1, 11, 1)
    with pytest.raises(
        ValueError, match="test part: MNIST and SVHN have no class in common"
    ):
        natural.mnist_svhn(tmp_path / "c", source, second, folds=1)
    assert not (tmp_path / "c").exists()


def test_the_stand_in_shows_another_image_of_the_class_and_is_named_one(
    tmp_path,
):
    bundled = read_digits("mnist").first(300, 100)
    cohort = natural.mnist_svhn(tmp_path / "c", bundled, folds=3, seed=5)
    assert cohort.kind == "painted-digits" and cohort.modalities == (
        "digits",
        "painted",
    )
    assert cohort.parameters["images"] == BUNDLED
    assert "SVHN" not in (cohort.path / "cohort.json").read_text()
    people = cohort.participants
    part = people["participant_id"].str[:5]
    # the painted digit is of the same class and role, and another image
    for fold in range(3):
        role = np.select(
            [
                np.isin(np.arange(400), cohort.rows(r, fold))
                for r in ("train", "valid", "holdout")
            ],
            [0, 1, 2],
        )
        where = {
            (p, n): i
            for i, (p, n) in enumerate(
                zip(part, people["digits"], strict=True)
            )
        }
        other = np.array(
            [where[p, n] for p, n in zip(part, people["painted"], strict=True)]
        )
        assert (other != np.arange(400)).all()
        assert np.array_equal(role[other], role)
        assert np.array_equal(cohort.labels()[other], cohort.labels())
    painted = np.asarray(cohort.volumes["painted"], np.float32)
    assert painted.min() >= 0 and painted.max() <= 1
    again = natural.mnist_svhn(tmp_path / "d", bundled, folds=3, seed=5)
    assert np.array_equal(painted, again.volumes["painted"])


def test_painted_strokes_are_the_digit_in_one_ink(rng):
    images = np.zeros((3, 32, 32), np.float16)
    images[0, 10:20, 12:18] = 1  # a bar; its neighbours are empty
    out = pixels.painted(
        images, np.array([[1, 2], [1, 2], [1, 2]]), [(k,) for k in range(3)]
    )
    picture = out[0].astype(float)
    inside, outside = picture[:, 10:20, 12:18], picture[:, :, 22:]
    # one ink but for the noise of .05
    assert (inside.std(axis=(1, 2)) < 0.07).all()
    luminance = [
        np.tensordot([0.299, 0.587, 0.114], x.mean(axis=(1, 2)), 1)
        for x in (inside, outside)
    ]
    assert abs(luminance[0] - luminance[1]) > 0.15
    empty = out[1].astype(float)
    assert (empty.std(axis=(1, 2)) < 0.25).all()


def test_both_data_sets_come_from_one_source_and_are_made_once(
    tmp_path, source
):
    bundled = natural.make_both(tmp_path / "a", train=120, test=60, folds=2)
    assert list(bundled) == [
        "Two-View digits",
        "digits-painted (a stand-in for MNIST-SVHN)",
    ]
    two, paired = bundled.values()
    assert np.array_equal(two.labels(), paired.labels())
    made = (two.path / "cohort.json").stat().st_mtime_ns
    again = natural.make_both(tmp_path / "a", train=120, test=60, folds=2)
    assert (two.path / "cohort.json").stat().st_mtime_ns == made
    assert again["Two-View digits"].hashes == two.hashes
    for changed, message in (
        ({"seed": 1}, "seed is 0, asked for 1"),
        ({"train": 100}, "train is 120, asked for 100"),
        ({"rescale": True}, "rescale is False, asked for True"),
        (
            {"mnist": source, "train": 60, "test": 30},
            "images is 'scikit-learn digits'",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            natural.make_both(
                tmp_path / "a",
                **{"train": 120, "test": 60, "folds": 2, **changed},
            )
    second = digits(np.arange(40) % 10, [0] * 20 + [1] * 20)
    real = natural.make_both(
        tmp_path / "b", source, second, folds=2, second="same-class"
    )
    assert list(real) == ["Two-View MNIST", "MNIST-SVHN"]
    assert real["MNIST-SVHN"].modalities == ("MNIST", "SVHN")
    with pytest.raises(ValueError, match="SVHN is True, asked for False"):
        natural.make_both(tmp_path / "b", source, folds=2, second="same-class")


def test_figures_hold_what_the_table_says(tmp_path):
    rows = [
        ("untrained", True, 0.2),
        ("RR", False, 0.9),
        ("Supervised", False, 0.95),
        ("new", False, 0.5),
        ("CR", False, 0.6),
    ]
    table = pd.DataFrame(
        [
            {
                "model": r,
                "baseline": f,
                "modality": m,
                "accuracy": a - d,
                "low": a - d - 0.05,
                "high": a - d + 0.02,
            }
            for r, f, a in rows
            for m, d in (("MNIST", 0.0), ("SVHN", 0.1))
        ]
    )
    axis = plotting.accuracy_per_view(table).axes[0]
    assert [t.get_text() for t in axis.get_xticklabels()] == [
        "untrained",
        "Supervised",
        "CR",
        "RR",
        "new",
    ]
    found = [
        scatter.get_offsets()[:, 1].data
        for scatter in axis.collections
        if scatter.get_label() in ("MNIST", "SVHN")
    ]
    np.testing.assert_allclose(found[0], [0.2, 0.95, 0.6, 0.9, 0.5])
    np.testing.assert_allclose(
        found[1], np.subtract([0.2, 0.95, 0.6, 0.9, 0.5], 0.1)
    )
    cohort = natural.mnist_svhn(
        tmp_path / "c", read_digits("mnist").first(100, 20), folds=2
    )
    volumes = {m: cohort.volumes[m][:3] for m in cohort.modalities}
    figure = plotting.example_pairs(volumes, cohort.labels()[:3])
    shown = [axis.images[0] for axis in figure.axes]
    assert len(shown) == 6 and all(image.origin == "upper" for image in shown)
    np.testing.assert_array_equal(
        shown[4].get_array()[5, 9], volumes["painted"][1][:, 5, 9]
    )


def test_the_published_digits_are_known(real_data, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cohort = natural.two_view_mnist(
            tmp_path / "c", real_data / "mnist", 1000, 100
        )
    assert cohort.labels()[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert cohort.labels()[1000:1004].tolist() == [7, 2, 1, 0]


def test_the_real_house_numbers_pair_with_mnist_by_class(real_data, tmp_path):
    mnist = read_digits("mnist", real_data / "mnist")
    svhn = read_digits("svhn", real_data / "svhn50")
    assert svhn.images.shape == (50, 32, 32, 3) and svhn.part.sum() >= 10
    cohort = natural.mnist_svhn(
        tmp_path / "c", mnist, svhn, train=1000, folds=2
    )
    with np.load(real_data / "svhn50" / "svhn50.npz") as archive:
        images, labels = archive["X"], archive["y"]
    assert len(cohort) == 50  # every house number finds a digit
    shown = (
        np.moveaxis(np.asarray(cohort.volumes["SVHN"], np.float32), 1, 3) * 255
    )
    of_image = {images[i].tobytes(): labels[i] for i in range(50)}
    found = [of_image[np.rint(x).astype(np.uint8).tobytes()] for x in shown]
    assert np.array_equal(found, cohort.labels())
    digit = [int(s.split("-")[1]) for s in cohort.subjects]
    parts = np.array([s.startswith("test") for s in cohort.subjects]).astype(
        int
    )
    rows = np.array(
        [
            int(np.flatnonzero((mnist.part == p) & (mnist.number == n))[0])
            for p, n in zip(parts, digit, strict=True)
        ]
    )
    assert np.array_equal(mnist.labels[rows], cohort.labels())
    assert np.array_equal(
        pixels.resized(mnist.images[rows]), cohort.volumes["MNIST"]
    )
    for epoch in range(3):  # drawn anew, a pair is still of one class
        rows = cohort.rows("train")
        draw = Draw(rows, 4, seed=0, pairing=cohort.labels()[rows])
        pair = [cohort.labels()[draw.epoch(epoch, m)] for m in (0, 1)]
        assert np.array_equal(*pair)


@pytest.mark.slow
def test_cross_modal_edges_lift_the_noisy_view_of_real_digits(
    real_data, tmp_path
):
    """CR alone reads the noise of view2; XX and CC are paid only for what both
    views share.
    """
    cohort = natural.two_view_mnist(
        tmp_path / "c", real_data / "mnist", 20_000, 10_000, folds=1
    )
    embeddings = {"untrained": untrained_embeddings(cohort)}
    for name in ("CR", "CR-XX-CC"):
        run = fit(
            cohort,
            name,
            tmp_path / name,
            epochs=3,
            batch_size=64,
            progress=False,
        )
        embeddings[name] = embed(run, cohort)
    table = linear_evaluation.accuracy_table(cohort, embeddings).set_index(
        ["model", "modality"]
    )
    accuracy = table["accuracy"].unstack()
    print(accuracy)
    assert (accuracy.loc["CR-XX-CC"] >= 0.88).all()
    assert (accuracy.loc["CR-XX-CC"] - accuracy.loc["untrained"] >= 0.10).all()
    noisy = table.xs("view2", level="modality")
    assert noisy.loc["CR-XX-CC", "low"] > noisy.loc["CR", "high"] + 0.10
