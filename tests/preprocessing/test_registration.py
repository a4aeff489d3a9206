"""Registration on the template itself, moved by planted transforms; quality
figures by oracles.
"""

import json

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial.transform import Rotation
from sklearn.metrics import mutual_info_score

from mmssl.cohorts import preprocessed
from mmssl.cohorts.simulated import phantom
from mmssl.preprocessing import (
    brain,
    person,
    quality,
    registration,
    space,
    template,
)


def similarity(degrees, shift, scale):
    matrix = np.eye(4)
    matrix[:3, :3] = (
        scale * Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    )
    matrix[:3, 3] = shift
    return matrix


def native(
    matrix, skull=True, sides=(2.1, 2.0, 2.3), shape=(92, 112, 96), seed=0
):
    """A person whose brain is the template's, moved by ``matrix``, with a
    shell of scalp, bias and noise; (volume, affine, true mask).
    """
    model = template.full()
    turn = Rotation.from_euler("z", 7, degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(sides)
    centre = space.apply(matrix, template.CENTRE)
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    place = (model.affine, np.linalg.inv(matrix), affine, shape)
    mask = space.resample(model.mask, *place) > 0.5
    volume = space.resample(model.t1, *place)
    if skull:
        depth = ndimage.distance_transform_edt(~mask, sides)
        volume[(depth > 8) & (depth < 14)] = 0.8
    rng = np.random.default_rng(seed)
    slope = np.exp(
        np.einsum(
            "i...,i", np.indices(shape) / 100 - 0.5, rng.normal(0, 0.15, 3)
        )
    )
    noise = rng.normal(0, 0.02, (2, *shape))
    return 900 * np.hypot(volume * slope + noise[0], noise[1]), affine, mask


POSES = {
    "wrong origin": similarity((0, 0, 0), (30, -30, 30), 1.0),
    "tilted": similarity((20, -5, 5), (0, 10, -10), 1.05),
    "tilted back, small": similarity((-20, 8, -6), (-15, 20, 30), 0.9),
}


@pytest.mark.parametrize(
    ("pose", "skull"), [*((p, True) for p in POSES), ("tilted", False)]
)
def test_planted_similarity_is_found(pose, skull):
    """The issue's own bar is 2 mm and 0.95; the template itself, moved, leaves
    less.
    """
    volume, affine, truth = native(POSES[pose], skull)
    found = registration.to_template(volume, affine)
    error = quality.position_error(found.matrix, POSES[pose])
    assert np.median(error) < 1.0 and error.max() < 2.0
    scale = np.linalg.svd(found.matrix[:3, :3])[1]
    # one scale: 7 degrees of freedom
    np.testing.assert_allclose(scale, scale[0], rtol=1e-6)
    mask = brain.brain_mask(volume, affine, found.matrix)
    assert quality.dice(mask, truth) >= 0.95


def test_registration_repeats_itself_on_any_number_of_threads():
    volume, affine, _ = native(
        POSES["tilted"], sides=(4.0, 4.2, 4.4), shape=(48, 54, 48)
    )
    before, found = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads(), []
    for threads in (1, 3, before):
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
        found.append(registration.to_template(volume, affine).matrix)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_bold_to_anatomy_with_a_wrong_origin():
    """BOLD contrast is the T1's turned around: fluid bright, and 30 mm off."""
    volume, affine, mask = native(np.eye(4), skull=False)
    move = similarity((3, -2, 4), (30, -20, 15), 1.0)
    grid = np.diag([3.5, 3.5, 4.0, 1.0])
    grid[:3, 3] = space.apply(move, template.CENTRE) - np.array(
        [32, 34, 25]
    ) * [3.5, 3.5, 4.0]
    turned = np.where(mask, 1500 - volume, 0)
    bold = space.resample(
        turned, affine, np.linalg.inv(move), grid, (64, 68, 50)
    )
    found = registration.to_anatomy(bold, grid, volume, affine, mask)
    assert np.median(quality.position_error(found.matrix, move)) < 1.0


def test_resampling_carries_a_linear_image_exactly(affine):
    """Oracle: trilinear interpolation of a plane is the plane, at any grid."""
    shape = (17, 18, 19)
    plane = np.array([0.3, -0.2, 0.5])
    volume = space.apply(affine, np.argwhere(np.ones(shape))) @ plane
    inner = similarity((4, 3, 2), (0, 0, 0), 0.8) @ np.diag([2.0, 2.0, 2.0, 1])
    inner[:3, 3] = space.apply(affine, [8, 8, 9]) - inner[:3, :3] @ [3, 3.5, 4]
    found = space.resample(
        volume.reshape(shape), affine, np.eye(4), inner, (7, 8, 9)
    )
    expected = space.apply(inner, np.argwhere(np.ones((7, 8, 9)))) @ plane
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-3)


def test_resampling_in_a_mask_keeps_constants_and_bounds(rng, affine):
    shape = (17, 18, 19)
    mask = ndimage.gaussian_filter(rng.normal(size=shape), 2) > 0
    values = np.where(mask, 0.4, 77.0)
    grid = affine @ np.diag([2, 2, 2, 1.0])
    found = space.resample(
        values, affine, np.eye(4), grid, (8, 9, 9), mask=mask
    )
    np.testing.assert_allclose(found[found != 0], 0.4, atol=1e-4)


def test_coarsening_keeps_the_centre_of_mass(rng):
    volume = ndimage.gaussian_filter(rng.random((40, 44, 42)), 3) ** 8
    affine = np.diag([0.5, 0.6, 0.7, 1]) + np.array(
        [[0, 0, 0, 5]] * 3 + [[0, 0, 0, 0]]
    )
    coarse, grid = space.coarsen(volume, affine, 0.8)
    np.testing.assert_allclose(space.spacing(grid), 1)
    middle = space.apply(affine, (np.array(volume.shape) - 1) / 2)
    assert (
        np.abs(
            space.apply(grid, (np.array(coarse.shape) - 1) / 2) - middle
        ).max()
        < 0.5
    )
    ends = space.apply(affine, [-0.5] * 3), space.apply(grid, [-0.5] * 3)
    np.testing.assert_allclose(*ends)
    assert space.coarsen(volume, affine, 0.4)[0] is volume


def test_normalised_mutual_information_equals_scikit_learn(rng):
    first = rng.normal(size=(7, 8, 9))
    second = first**2 + 0.3 * rng.normal(size=(7, 8, 9))
    mask = rng.uniform(size=(7, 8, 9)) < 0.7
    codes = [
        np.clip(((x := v[mask]) - x.min()) / np.ptp(x) * 16, 0, 15).astype(int)
        for v in (first, second)
    ]
    entropies = [mutual_info_score(c, c) for c in codes]
    shared = mutual_info_score(*codes)
    expected = sum(entropies) / (sum(entropies) - shared)
    found = quality.normalised_mutual_information(first, second, mask, bins=16)
    assert found == pytest.approx(expected, rel=1e-9)
    assert quality.normalised_mutual_information(
        first, -3 * first
    ) == pytest.approx(2)


def test_correlation_and_dice(rng):
    first, second = rng.normal(size=(2, 7, 8, 9))
    expected = np.corrcoef(first.ravel(), second.ravel())[0, 1]
    assert quality.correlation(first, second) == pytest.approx(expected)
    a, b = first > 0, second > 0.5
    both = sum(x and y for x, y in zip(a.ravel(), b.ravel(), strict=True))
    assert quality.dice(a, b) == pytest.approx(2 * both / (a.sum() + b.sum()))
    with pytest.raises(ValueError, match="constant"):
        quality.correlation(first, np.ones_like(first))
    with pytest.raises(ValueError, match="shapes"):
        quality.dice(a, b[1:])


def test_tissues_are_told_apart_by_their_own_intensities(rng):
    truth = rng.integers(1, 4, (7, 8, 9))
    mask = rng.uniform(size=(7, 8, 9)) < 0.8
    volume = np.array([0, 100, 300, 450])[truth] + rng.normal(
        0, 20, truth.shape
    )
    found = quality.tissues(volume, mask)
    np.testing.assert_array_equal(found, np.where(mask, truth, 0))


def test_five_millimetres_make_every_figure_clearly_worse():
    """On the template moved by a known transform, with the true one and with
    it made wrong.
    """
    volume, affine, mask = native(POSES["tilted"])
    right = quality.similarity_to_template(
        volume, affine, mask, POSES["tilted"]
    )
    assert (
        right["correlation"] > 0.9
        and right["dice_csf"] > 0.65
        and right["dice_mask"] > 0.97
    )
    for shift in np.eye(3) * 5:
        moved = quality.shifted(POSES["tilted"], shift)
        assert np.allclose(
            quality.position_error(moved, POSES["tilted"]), 5 * 1.05
        )
        wrong = quality.similarity_to_template(volume, affine, mask, moved)
        for figure, least in [
            ("normalised_mutual_information", 0.05),
            ("correlation", 0.15),
            ("dice_csf", 0.15),
            ("dice_white", 0.1),
        ]:
            assert right[figure] - wrong[figure] > least, figure


@pytest.fixture(scope="module")
def raw_person(tmp_path_factory):
    """One raw person of the phantom, and what `prepare` makes of it at 32
    voxels.
    """
    folder = tmp_path_factory.mktemp("phantom") / "cohort"
    phantom.make_phantom(folder, subjects=30, size=32, seed=5, raw=1)
    (t1,) = folder.glob("raw/*/*_T1w.nii.gz")
    bold = t1.with_name(t1.name.replace("_T1w", "_task-rest_bold"))
    return t1.parent, person.prepare(t1, bold, size=32, progress=False)


def test_raw_phantom_meets_its_planted_truth(raw_person):
    folder, found = raw_person
    truth = json.loads((folder / "truth.json").read_text())
    error = quality.position_error(
        found.to_native, np.array(truth["similarity"])
    )
    assert np.median(error) <= 2.0
    mask = (
        nib.as_closest_canonical(
            nib.load(folder / "truth_mask.nii.gz")
        ).get_fdata()
        > 0
    )
    assert quality.dice(found.native_mask.get_fdata() > 0, mask) >= 0.95
    points = space.apply(
        found.to_native, space.apply(found.affine, np.argwhere(found.mask))
    )
    assert (
        np.median(
            np.linalg.norm(space.apply(found.to_bold, points) - points, axis=1)
        )
        < 2.0
    )
    moves = np.array(truth["motion"])[:, :3, :3]
    turned = Rotation.from_matrix(moves).as_euler("xyz")
    measured = found.motion[["x_rad", "y_rad", "z_rad"]].to_numpy()
    assert np.abs(measured - turned).max() < 4e-3


def test_raw_phantom_has_a_plausible_falff(raw_person):
    found = raw_person[1]
    values = found.volumes["fALFF"][found.measured["fALFF"]]
    assert ((values > 0) & (values < 1)).all()
    assert (found.volumes["fALFF"][~found.measured["fALFF"]] == 0).all()
    assert found.quality["falff_grey"] > found.quality["falff_white"] + 0.05
    assert found.quality["falff_coverage"] > 0.9
    for figure in (
        "normalised_mutual_information",
        "correlation",
        "dice_csf",
        "dice_white",
    ):
        assert found.quality[figure] > found.control[figure] + 0.03


def test_written_person_is_a_cohort_without_a_name(raw_person, tmp_path):
    folder, found = raw_person
    cohort = preprocessed.write_person(found, tmp_path / "person")
    assert (
        cohort.modalities == ("T1", "fALFF")
        and cohort.size == 32
        and len(cohort) == 1
    )
    assert list(cohort.subjects) == ["person-1"] and list(
        cohort.rows("holdout")
    ) == [0]
    np.testing.assert_array_equal(cohort.volumes["T1"][0], found.volumes["T1"])
    np.testing.assert_array_equal(cohort.affine, template.grid(32))
    texts = [
        p.read_text()
        for p in cohort.path.iterdir()
        if p.suffix in (".json", ".tsv")
    ]
    assert not any(
        folder.name in text or str(tmp_path) in text for text in texts
    )
    # the same person again replaces itself
    preprocessed.write_person(found, tmp_path / "person")
    assert [p.name for p in tmp_path.iterdir()] == ["person"]
    (tmp_path / "person" / "cohort.json").write_text(
        json.dumps({"kind": "phantom"})
    )
    with pytest.raises(ValueError, match="exists and holds kind 'phantom'"):
        preprocessed.write_person(found, tmp_path / "person")
