"""Motion correction on planted movements, made by SimpleITK's resampling."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from mmssl.preprocessing import motion, space

SHAPE = (34, 38, 30)


@pytest.fixture(scope="module")
def head():
    """(34, 38, 30) smooth head-like image on an oblique, anisotropic grid, and
    its affine.
    """
    rng = np.random.default_rng(0)
    axes = np.indices(SHAPE) - (np.array(SHAPE).reshape(3, 1, 1, 1) - 1) / 2
    radius = np.sqrt(
        (axes**2 / np.array([12, 14, 10]).reshape(3, 1, 1, 1) ** 2).sum(axis=0)
    )
    texture = ndimage.gaussian_filter(rng.normal(size=SHAPE), 2)
    image = 1000 / (1 + np.exp(12 * (radius - 1))) * (1 + 4 * texture)
    turn = np.deg2rad(12)
    affine = np.eye(4)
    affine[:2, :2] = [
        [np.cos(turn), -np.sin(turn)],
        [np.sin(turn), np.cos(turn)],
    ]
    affine[:3, :3] @= np.diag([3.0, 3.2, 3.6])
    affine[:3, 3] = (-61, 17, -8)
    return image.astype(np.float32), affine


def planted(head, movements):
    """Series whose volume t shows the head moved by (x, y, z mm; x, y, z rad),
    first at rest.
    """
    volume, affine = head
    centre = space.apply(affine, (np.array(SHAPE) - 1) / 2)
    image = space.to_sitk(volume, affine)
    lps = np.array([-1, -1, 1])
    out = [volume]
    for row in movements[1:]:
        pose = sitk.Euler3DTransform()
        pose.SetComputeZYX(True)
        pose.SetCenter((lps * centre).tolist())
        pose.SetRotation(*(lps * row[3:]).tolist())
        pose.SetTranslation((lps * row[:3]).tolist())
        moved = sitk.Resample(
            image, image, pose.GetInverse(), sitk.sitkBSpline3, 0.0
        )
        out.append(sitk.GetArrayFromImage(moved).transpose(2, 1, 0))
    return np.stack(out, axis=-1)


@pytest.fixture(scope="module")
def movements():
    rng = np.random.default_rng(1)
    table = np.concatenate(
        [rng.uniform(-3, 3, (6, 3)), rng.uniform(-0.05, 0.05, (6, 3))], axis=1
    )
    table[0] = 0
    return table


@pytest.fixture(scope="module")
def corrected(head, movements):
    rng = np.random.default_rng(2)
    series = planted(head, movements)
    noisy = series * rng.uniform(0.97, 1.03, series.shape[3]) + rng.normal(
        0, 10, series.shape
    )
    return noisy, motion.realign(noisy, head[1], progress=False)


def test_planted_movements_are_found(corrected, movements):
    """Under 1 % noise and gain drift: 0.05 mm and 0.001 rad (0.05 mm on the
    head's surface).
    """
    found = corrected[1].parameters[list(motion.COLUMNS)].to_numpy()
    np.testing.assert_allclose(found[:, :3], movements[:, :3], atol=0.05)
    np.testing.assert_allclose(found[:, 3:], movements[:, 3:], atol=1e-3)


def test_matrices_carry_the_first_volume_to_each(head, corrected, movements):
    """Where the middle of the head is, in mm, follows from the matrix
    alone.
    """
    series, found = corrected
    for t in range(len(movements)):
        bright = [(series[..., k] - 300).clip(0) for k in (0, t)]
        first, there = (
            space.apply(head[1], ndimage.center_of_mass(b)) for b in bright
        )
        assert (
            np.linalg.norm(space.apply(found.matrices[t], first) - there) < 0.6
        )


def test_realigned_volumes_equal_the_first(corrected):
    series, found = corrected
    inside = series[..., 0] > 300
    inside &= ndimage.binary_erosion(inside, iterations=2)
    before = np.std(
        series[inside] / series[inside].mean(axis=0), axis=1
    ).mean()
    after = np.std(
        found.bold[inside] / found.bold[inside].mean(axis=0), axis=1
    ).mean()
    np.testing.assert_array_equal(
        found.bold[..., 0], series[..., 0].astype(np.float32)
    )
    assert after < 0.015 < 0.04 < before


def test_no_movement_is_found_in_a_still_head(head):
    series = np.repeat(head[0][..., None], 3, axis=3)
    found = motion.realign(series, head[1], progress=False)
    assert np.abs(found.parameters[list(motion.COLUMNS)]).max(axis=None) < 1e-6
    np.testing.assert_allclose(found.bold, series, atol=1e-2)


def test_two_runs_are_one_with_any_threads(head, corrected, monkeypatch):
    monkeypatch.setattr(space, "threads", lambda: 3)
    again = motion.realign(corrected[0], head[1], progress=False)
    np.testing.assert_array_equal(again.bold, corrected[1].bold)


def test_framewise_displacement_is_powers_sum(rng):
    table = rng.normal(size=(5, 6))
    expected = [0.0]
    for t in range(1, 5):
        step = [abs(table[t, k] - table[t - 1, k]) for k in range(6)]
        expected.append(sum(step[:3]) + 50 * sum(step[3:]))
    np.testing.assert_allclose(motion.framewise_displacement(table), expected)


def test_bad_input_is_named(head):
    volume, affine = head
    with pytest.raises(ValueError, match=r"bold: found shape \(34, 38, 30\)"):
        motion.realign(volume, affine)
    with pytest.raises(ValueError, match="T >= 2"):
        motion.realign(volume[..., None], affine)
    broken = np.repeat(volume[..., None], 2, axis=3)
    broken[3, 3, 3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN or Inf"):
        motion.realign(broken, affine)
    with pytest.raises(ValueError, match="constant first volume"):
        motion.realign(np.ones((*SHAPE, 2)), affine)
    with pytest.raises(ValueError, match="parameters: found shape"):
        motion.framewise_displacement(np.zeros((5, 3)))


SPIKES = {
    "first volume dark": (0, lambda volume: 0.3 * volume),
    "first volume bright": (0, lambda volume: 1.6 * volume),
    "first volume empty but for noise": (0, lambda volume: noise_like(volume)),
    "bright": (2, lambda volume: 20 * volume),
    "noise": (2, lambda volume: noise_like(volume)),
    "empty": (2, lambda volume: 0 * volume),
    "upside down": (2, lambda volume: 2000 - volume),
    "brighter by a constant": (2, lambda volume: volume + 800),
}


def noise_like(volume):
    rng = np.random.default_rng(3)
    return rng.gamma(2.0, volume.mean() / 2, volume.shape)


def points_of_the_head(head):
    return space.apply(head[1], np.argwhere(head[0] > 300))


@pytest.mark.filterwarnings("ignore:bold")
@pytest.mark.parametrize("spike", SPIKES)
def test_a_spike_spoils_no_other_volume(head, movements, spike):
    """Volumes that are as they were lie within 0.1 mm of the planted pose of
    one another, whatever happens to one of them.
    """
    changed, change = SPIKES[spike]
    series = planted(head, movements)
    series[..., changed] = change(series[..., changed])
    found = motion.realign(series, head[1], progress=False).matrices
    truth = motion.realign(planted(head, movements), head[1], False).matrices
    untouched = [t for t in range(len(movements)) if t != changed]
    points = points_of_the_head(head)
    base = untouched[0]
    for t in untouched:
        apart = space.apply(
            found[t] @ np.linalg.inv(found[base]), points
        ) - space.apply(truth[t] @ np.linalg.inv(truth[base]), points)
        assert np.linalg.norm(apart, axis=1).max() < 0.1


@pytest.mark.parametrize("gain", [0.3, 3.0, 20.0])
def test_poses_do_not_depend_on_the_gain_of_the_first_volume(
    head, movements, gain
):
    series = planted(head, movements)
    still = motion.realign(series, head[1], progress=False)
    series[..., 0] *= gain
    with pytest.warns(UserWarning, match="volumes 0 .*dummy_scans=1"):
        found = motion.realign(series, head[1], progress=False)
    assert found.parameters["steady"].tolist() == [False] + [True] * 5
    assert found.parameters["aligned"].all()
    np.testing.assert_allclose(found.matrices, still.matrices, atol=0.02)


def test_a_gaussian_head_stays_where_it_is():
    places = np.indices((24, 24, 24)) - 11.5
    ball = 1000 * np.exp(-(places**2).sum(axis=0) / 50)
    series = np.repeat(ball[..., None], 6, axis=3)
    series[..., 2] *= 20
    found = motion.realign(series, np.diag([3.0, 3, 3, 1]), progress=False)
    assert np.abs(found.parameters[list(motion.COLUMNS)]).max(axis=None) < 0.01


def test_a_volume_that_cannot_be_aligned_is_named(head, movements):
    series = planted(head, movements)
    series[..., 3] = noise_like(series[..., 3])
    with pytest.warns(UserWarning, match="volumes 3 .*could not be aligned"):
        found = motion.realign(series, head[1], progress=False)
    assert np.flatnonzero(~found.parameters["aligned"]).tolist() == [3]
    displacement = found.parameters["framewise_displacement"]
    assert np.flatnonzero(displacement.isna()).tolist() == [3]
    np.testing.assert_array_equal(found.matrices[3], found.matrices[2])


def test_a_series_of_different_images_is_refused(head):
    rng = np.random.default_rng(4)
    series = rng.gamma(2.0, 100.0, (*SHAPE, 6))
    with pytest.raises(ValueError, match="do not resemble the others"):
        motion.realign(series, head[1], progress=False)
