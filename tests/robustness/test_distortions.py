"""Distortions against TorchIO's own transforms."""

import numpy as np
import pytest
import torch
import torchio as tio
from torchio_reference import by_torchio

from mmssl.robustness import distortions, spaces

PANELS = [
    (distortion, parameter)
    for distortion, parameters in spaces.PARAMETER_SPACES.items()
    for parameter in parameters
]
each_panel = pytest.mark.parametrize(
    ("distortion", "parameter"),
    PANELS,
    ids=[" ".join(panel) for panel in PANELS],
)


@pytest.fixture
def volumes(rng):
    """Give three z-scored-like volumes of unequal sides with a flat
    background.
    """
    x = rng.normal(size=(3, 1, 7, 8, 9)).astype(np.float32)
    x[:, :, :2] = -0.7
    return torch.from_numpy(x)


def test_every_space_has_its_distortion():
    assert list(distortions._DISTORTIONS) == list(spaces.PARAMETER_SPACES)


@each_panel
def test_every_point_equals_torchio(distortion, parameter, volumes, affine):
    volumes = volumes[:2]
    for value in spaces.PARAMETER_SPACES[distortion][parameter].tolist():
        found = distortions.distort(
            volumes, distortion, parameter, value, [11, 12], affine
        )
        for x, y, seed in zip(volumes, found, (11, 12), strict=True):
            expected = by_torchio(
                x, distortion, parameter, value, seed, affine
            )
            worst = (y - expected).abs().max() / expected.abs().max()
            assert worst < 1e-5, f"{value}: {worst}"


@each_panel
def test_equals_torchio_on_even_sides_of_another_orientation(
    distortion, parameter, rng
):
    affine = np.array(
        [[0, -6.0, 0, 91], [6.0, 0, 0, -101], [0, 0, 6.0, -87], [0, 0, 0, 1]]
    )
    x = torch.from_numpy(rng.normal(size=(1, 1, 12, 10, 8))).float()
    value = spaces.PARAMETER_SPACES[distortion][parameter].tolist()[-2]
    found = distortions.distort(x, distortion, parameter, value, 7, affine)[0]
    expected = by_torchio(x[0], distortion, parameter, value, 7, affine)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@each_panel
def test_a_replay_is_bit_identical_and_a_row_stands_alone(
    distortion, parameter, volumes, affine
):
    value = spaces.PARAMETER_SPACES[distortion][parameter][-1]
    before = torch.random.get_rng_state()
    point = (distortion, parameter, value)
    found = distortions.distort(volumes, *point, [3, 4, 5], affine)
    assert found.dtype == torch.float32 and found.shape == volumes.shape
    assert torch.equal(
        distortions.distort(volumes, *point, [3, 4, 5], affine), found
    )
    turned = distortions.distort(volumes.flip(0), *point, [5, 4, 3], affine)
    assert torch.equal(turned.flip(0), found)
    for i in range(3):
        alone = distortions.distort(volumes[i : i + 1], *point, 3 + i, affine)
        assert torch.equal(alone[0], found[i])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert len(distortions.distort(volumes[:0], *point, 0, affine)) == 0


@pytest.mark.parametrize(
    ("distortion", "parameter", "random"),
    [
        ("elastic", "max_displacement", True),
        ("ghost", "intensity", True),
        ("spike", "intensity", True),
        ("motion", "degrees", True),
        ("noise", "std", True),
        ("affine", "scales", False),
        ("blur", "std", False),
        ("bias", "order", False),
    ],
)
def test_the_seed_matters_where_something_is_random(
    distortion, parameter, random, volumes, affine
):
    value = spaces.PARAMETER_SPACES[distortion][parameter][-1]
    many = volumes[:1].expand(12, 1, 7, 8, 9)
    found = distortions.distort(
        many, distortion, parameter, value, range(12), affine
    )
    assert (len(found.flatten(1).unique(dim=0)) > 1) == random


@pytest.mark.parametrize(
    ("distortion", "parameter"),
    [
        ("affine", "degrees"),
        ("affine", "translation"),
        ("motion", "degrees"),
        ("motion", "translation"),
        ("spike", "intensity"),
        ("noise", "std"),
        ("gamma", "log_gamma"),
    ],
)
def test_the_neutral_value_changes_nothing(
    distortion, parameter, volumes, affine
):
    found = distortions.distort(volumes, distortion, parameter, 0, 1, affine)
    torch.testing.assert_close(found, volumes, atol=1e-5, rtol=0)


def test_a_translation_moves_towards_right_anterior_superior_by_millimetres(
    volumes,
):
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    found = distortions.distort(volumes, "affine", "translation", 6, 0, affine)
    torch.testing.assert_close(
        found[..., 2:, 2:, 2:], volumes[..., :-2, :-2, :-2]
    )
    background = volumes.flatten(1).min(1).values.view(-1, 1, 1, 1, 1)
    assert (found[..., :2, :, :] == background).all()


def test_one_ghost_dims_towards_the_mean_of_a_line(volumes, affine):
    found = distortions.distort(
        volumes, "ghost", "intensity", 0.9, [0, 1, 2], affine
    )
    for x, y in zip(volumes[:, 0], found[:, 0], strict=True):
        near = [
            (y - (0.1 * x + 0.9 * x.mean(axis, keepdim=True))).abs().max()
            for axis in range(3)
        ]
        assert min(near) < 1e-5


def test_half_precision_is_distorted_in_fp32(volumes, affine):
    found = distortions.distort(volumes.half(), "bias", "order", 8, 0, affine)
    assert found.isfinite().all() and found.abs().max() > 1e30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"distortion": "fog"},
            "distortion 'fog', expected one of affine, elastic",
        ),
        (
            {"parameter": "sigma"},
            "blur: parameter 'sigma', expected one of std",
        ),
        (
            {"value": 10.1},
            "blur std: value 10.1, expected one from 1.0 to 10.0",
        ),
        ({"value": np.nan}, "blur std: value nan"),
        (
            {"distortion": "bias", "parameter": "order", "value": 2.5},
            "expected a whole number",
        ),
        (
            {"volumes": torch.zeros(2, 7, 8, 9)},
            r"volumes: shape \(2, 7, 8, 9\)",
        ),
        (
            {"volumes": torch.full((2, 1, 7, 8, 9), torch.inf)},
            r"volumes: rows \[0, 1\] hold values",
        ),
        ({"seed": [1, 2, 3]}, "seed: 3 of them, expected 1 or 2"),
        ({"affine": np.zeros((4, 4))}, "expected an invertible"),
    ],
)
def test_bad_input_is_named(change, message, affine):
    given = {
        "volumes": torch.zeros(2, 1, 7, 8, 9),
        "distortion": "blur",
        "parameter": "std",
        "value": 2.0,
        "seed": 0,
        "affine": affine,
    }
    with pytest.raises(ValueError, match=message):
        distortions.distort(**{**given, **change})


@each_panel
def test_the_background_of_inputs_stays_zero(distortion, parameter, affine):
    """A ball in the middle: brain as TorchIO distorts it, 0 around it; it
    moves with affine and elastic maps, and nowhere else.
    """
    x, y, z = np.ogrid[-8:8, -8:8, -8:8]
    ball = torch.from_numpy((x + 0.5) ** 2 + y**2 + z**2 < 25)
    draw = torch.Generator().manual_seed(0)
    volume = torch.randn(1, 1, 16, 16, 16, generator=draw) * ball
    value = spaces.PARAMETER_SPACES[distortion][parameter].tolist()[-1]
    point = (distortion, parameter, value, 4, affine)
    found = distortions.distort_inputs(volume, *point)[0, 0]
    plain = distortions.distort(volume, *point)[0, 0]
    outline = ball
    if distortion in ("affine", "elastic"):
        moved = distortions.distort(ball.float()[None, None], *point)[0, 0]
        outline = moved > 0.5
        assert not torch.equal(outline, ball)
    assert not found[~outline].any()
    assert torch.equal(found[outline], plain[outline])


def test_gallery_shows_every_panel_and_anisotropy(volumes, affine):
    images = distortions.gallery(volumes[0, 0], affine, seed=3)
    assert list(images)[:15] == [f"{d} {p}" for d, p in PANELS]
    assert list(images["bias order"]) == ["1", "6", "8"]
    expected = distortions.distort(
        volumes[:1], "noise", "std", 2.0, 3, affine
    )[0, 0]
    assert np.array_equal(images["noise std"]["2"], expected.numpy())
    with torch.random.fork_rng():
        torch.manual_seed(3)
        image = tio.ScalarImage(tensor=volumes[0], affine=affine)
        expected = tio.RandomAnisotropy(downsampling=(2, 2))(image).data[0]
    assert np.array_equal(
        images["anisotropy downsampling"]["2"], expected.numpy()
    )


def test_a_real_t1_passes_through_every_distortion(real_data):
    import nibabel as nib

    from mmssl.preprocessing import intensity

    folder = real_data / "ds002748_T1w_brain"
    path = sorted(folder.rglob("*T1w*.nii.gz"))[0]
    image = nib.as_closest_canonical(nib.load(path))
    whole = torch.from_numpy(image.get_fdata(dtype=np.float32).copy())[None]
    small = tio.Resample(6)(tio.ScalarImage(tensor=whole, affine=image.affine))
    normalised = np.asarray(intensity.z_normalise(small.numpy()))
    z = torch.from_numpy(normalised).float()
    for distortion, parameter in PANELS:
        values = spaces.PARAMETER_SPACES[distortion][parameter]
        for value in (values[0].item(), values[-1].item()):
            point = (distortion, parameter, value)
            found = distortions.distort(z[None], *point, 5, small.affine)[0]
            expected = by_torchio(z, *point, 5, small.affine)
            worst = (found - expected).abs().max() / expected.abs().max()
            assert worst < 1e-4, point
