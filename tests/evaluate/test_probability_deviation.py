"""Probabilities under transforms of the image, against closed forms, SciPy's
interpolation and rotations; each transform is of its person alone.
"""

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation
from torch import nn

from mmssl.evaluate import probability_deviation as module
from mmssl.evaluate.finetune import Target, TaskNetwork, task_network
from mmssl.evaluate.probability_deviation import (
    KINDS,
    draw_transforms,
    log_probabilities,
    moved,
    relative_deviations,
)
from mmssl.models.dcgan import Features
from mmssl.models.keyed_random import Stream
from mmssl.pretrain.encoders import load_weights

LESION = Target("lesion", np.zeros(9, int), ("none", "there"))


class Measured(nn.Module):
    """An encoder whose z is one number of an image, and that keeps what it
    read.
    """

    latent = 1

    def __init__(self, measure):
        super().__init__()
        self.measure = measure
        self.read = []

    def forward(self, x):
        """z (B, 1) of images."""
        self.read.append(x.clone())
        return Features(self.measure(x).view(-1, 1), x)


def network_of(measure):
    """A network that says "there" with the logistic function of a measure."""
    network = TaskNetwork(Measured(measure), LESION)
    network.head.weight.data = torch.tensor([[0.0], [1.0]])
    network.head.bias.data.zero_()
    return network


def read_by(network, *arguments, **options):
    """The transformed images, in the order of the calls, the kinds in each."""
    relative_deviations(network, *arguments, **options)
    number = len(options.get("kinds", KINDS))
    # the first call reads the images as they are
    return network.encoder.read[-number:]


def logistic(x):
    return 1 / (1 + np.exp(-x))


def mean(x):
    return 3 * x.flatten(1).mean(1)


def drawn(row, number, axes, seed=0):
    return draw_transforms(Stream(torch.tensor([row]), seed, 0), number, axes)


@pytest.fixture
def images():
    """Give nine images of unequal sides with a background of 0."""
    x = np.random.default_rng(0).normal(size=(9, 2, 5, 7, 6))
    x[..., 0] = 0
    return x.astype(np.float16)


@pytest.fixture
def learned(run, cohort):
    """Give a real network, and images of it."""
    target = Target("diagnosis", cohort.labels(), ("HC", "AD"))
    network = task_network(load_weights(run), "T1", target)
    return network, np.asarray(cohort.volumes["T1"])[:, None]


@pytest.mark.parametrize("transforms", [3, 20])
def test_gamma_is_its_equation_one_by_one(images, transforms):
    rows = np.array([7, 2])
    found = relative_deviations(
        network_of(mean), images, rows, transforms, 5, ["gamma"]
    )
    assert found.shape == (1, 2, transforms) and found.dtype == np.float32
    for place, row in enumerate(rows):
        flat = images[row].astype(np.float64).flatten()
        shown = flat != 0
        low, high = flat[shown].min(), flat[shown].max()
        p = logistic(3 * flat.mean())
        exponents = drawn(row, transforms, 3, 5).exponent.tolist()
        for number, exponent in enumerate(exponents):
            assert 1.8 <= exponent <= 2.6
            share = (flat[shown] - low) / (high - low)
            changed = np.zeros_like(flat)
            changed[shown] = low + (high - low) * share**exponent
            expected = (logistic(3 * changed.mean()) - p) / p
            assert found[0, place, number] == pytest.approx(expected, abs=1e-5)


def test_an_image_of_two_values_has_nothing_between_them():
    image = np.ones((1, 1, 4, 5))
    image[..., 2:] = 3
    made = relative_deviations(
        network_of(mean), image, [0], kinds=("gamma", "affine")
    )
    assert np.abs(made[0]).max() < 1e-5 < np.abs(made[1]).max()


@pytest.mark.parametrize(
    "shape", [(4, 2, 5, 7, 9), (3, 1, 8, 5), (2, 1, 6, 1)]
)
def test_interpolation_is_scipys(shape):
    images = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    axes = len(shape) - 2
    matrices = drawn(3, shape[0], axes).matrix
    found = moved(images, matrices)
    centre = (np.array(shape[2:]) - 1) / 2
    for row, matrix in enumerate(matrices.double().numpy()):
        for channel in range(shape[1]):
            expected = ndimage.affine_transform(
                images[row, channel].double().numpy(),
                matrix,
                centre - matrix @ centre,
                order=1,
                mode="grid-constant",
            )
            np.testing.assert_allclose(
                found[row, channel], expected, atol=1e-5
            )


def test_rotations_about_an_axis_and_in_the_plane_are_scipys():
    rng = np.random.default_rng(1)
    axis = rng.normal(size=(5, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    angle = rng.uniform(-1, 1, 5)
    found = module._about(torch.from_numpy(axis), torch.from_numpy(angle))
    expected = Rotation.from_rotvec(axis * angle[:, None]).as_matrix()
    np.testing.assert_allclose(found, expected, atol=1e-12)
    plane = module._in_plane(torch.from_numpy(angle))
    expected = Rotation.from_euler("z", angle[:, None]).as_matrix()[:, :2, :2]
    np.testing.assert_allclose(plane, expected, atol=1e-12)


@pytest.mark.parametrize("axes", [2, 3])
def test_angles_sizes_and_directions_fill_their_limits(axes):
    exponent, matrix = drawn(4, 4000, axes)
    # the inverse of a rotation times a size
    determinant = np.linalg.det(matrix.double().numpy())
    size = determinant ** (-1 / axes)
    rotation = matrix.double().mT.numpy() * size[:, None, None]
    np.testing.assert_allclose(
        rotation @ rotation.transpose(0, 2, 1),
        np.broadcast_to(np.eye(axes), rotation.shape),
        atol=1e-5,
    )
    if axes == 2:
        angle = np.degrees(np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0]))
        assert angle.min() == pytest.approx(-15, abs=0.1)
        stream = Stream(torch.tensor([4]), 0, 0)
        asked = -15 + 30 * stream.uniform("angle", 4000)[0].numpy()
        np.testing.assert_allclose(angle, asked, atol=1e-3)
    else:
        vectors = Rotation.from_matrix(rotation).as_rotvec(degrees=True)
        angle = np.linalg.norm(vectors, axis=1)
        unit = vectors / angle[:, None]
        # uniform on the sphere: no mean, a third of the variance an axis
        np.testing.assert_allclose(unit.mean(0), 0, atol=0.05)
        np.testing.assert_allclose((unit**2).mean(0), 1 / 3, atol=0.03)
    assert angle.max() == pytest.approx(15, abs=0.1)
    assert np.abs(angle).mean() == pytest.approx(7.5, abs=0.3)
    for numbers, (low, high) in ((size, (0.9, 1.1)), (exponent, (1.8, 2.6))):
        assert numbers.min() == pytest.approx(low, abs=1e-3)
        assert numbers.max() == pytest.approx(high, abs=1e-3)
        middle = (low + high) / 2
        assert float(numbers.mean()) == pytest.approx(middle, abs=0.02)


def ball(shape, centre, width):
    """A Gaussian, (1, 1, *shape)."""
    places = np.indices(shape).astype(float)
    apart = places - np.reshape(centre, (-1, *(1,) * len(shape)))
    return np.exp(-(apart**2).sum(0) / (2 * width**2))[None, None]


@pytest.mark.parametrize("shape", [(24, 20, 22), (25, 28)])
def test_turning_what_is_round_about_its_centre_changes_nothing(
    shape, monkeypatch
):
    monkeypatch.setattr(module, "SCALE", (1.0, 1.0))
    middle = (np.array(shape) - 1) / 2

    def beside(x):
        """The value some voxels from the middle."""
        place = tuple(int(m) + 3 for m in middle)
        return 4 * x[(slice(None), 0, *place)]

    sizes = []
    for centre in (middle, middle - np.eye(len(shape))[0] * 5):
        image = ball(shape, centre, 4.0)
        deviations = relative_deviations(
            network_of(beside), image, [0], kinds=["affine"]
        )
        sizes.append(np.abs(deviations).max())
    assert sizes[0] < 0.005 < 0.02 < sizes[1]


def test_a_larger_ball_is_the_ball_of_a_larger_width(monkeypatch):
    monkeypatch.setattr(module, "DEGREES", 0.0)
    shape, width = (33, 31, 29), 6.0
    middle = (np.array(shape) - 1) // 2

    def beside(x):
        """The value five voxels from the middle."""
        return 4 * x[:, 0, middle[0] + 5, middle[1], middle[2]]

    found = relative_deviations(
        network_of(beside), ball(shape, middle, width), [0], kinds=["affine"]
    )
    matrix = drawn(0, 50, 3).matrix
    p = logistic(4 * np.exp(-25 / (2 * width**2)))
    for number in range(50):
        scale = 1 / float(matrix[number, 0, 0])
        q = logistic(4 * np.exp(-25 / (2 * (scale * width) ** 2)))
        assert found[0, 0, number] == pytest.approx((q - p) / p, abs=0.003)


def test_both_is_gamma_then_affine_of_the_same_numbers(images):
    gamma, affine, both = read_by(network_of(mean), images, [6], transforms=7)
    transforms = drawn(6, 7, 3)
    original = torch.from_numpy(images[6].astype(np.float32))
    assert torch.equal(
        affine, moved(original.expand(7, -1, -1, -1, -1), transforms.matrix)
    )
    assert torch.equal(both, moved(gamma, transforms.matrix))
    assert not torch.equal(both, affine)
    # the background stays, and comes in from outside
    assert (gamma[:, original == 0] == 0).all()
    turned = moved(torch.ones(7, 2, 5, 7, 6), transforms.matrix)
    assert (both[turned == 0] == 0).all()


def test_all_networks_see_the_same_images(images):
    rows = np.array([1, 8])
    seen = []
    for measure in (mean, lambda x: x.flatten(1).amax(1)):
        network = network_of(measure)
        relative_deviations(network, images, rows, 18)
        seen.append(network.encoder.read)
    # the images as they are, then three kinds in two batches a person
    assert len(seen[0]) == len(seen[1]) == 1 + 2 * 3 * 2
    for one, other in zip(*seen, strict=True):
        assert torch.equal(one, other)
        assert one.dtype == torch.float32


def test_a_person_is_told_alone_as_beside_others(learned):
    network, inputs = learned
    rows = np.array([5, 90, 31])
    together = relative_deviations(network, inputs, rows, 20)
    assert together.shape == (3, 3, 20) and not network.training
    assert np.abs(together).min(axis=2).max() < np.abs(together).max()
    for place, row in enumerate(rows):
        alone = relative_deviations(network, inputs, [row], 20)
        np.testing.assert_allclose(
            alone[:, 0], together[:, place], rtol=1e-3, atol=1e-6
        )
    # fewer transforms are the first of more; one kind is as beside others
    fewer = relative_deviations(network, inputs, rows, 3, kinds=["both"])
    np.testing.assert_allclose(
        fewer[0], together[2, :, :3], rtol=1e-3, atol=1e-6
    )


def test_the_same_seed_gives_the_same_bits_and_another_others(learned):
    network, inputs = learned
    rows = np.array([3, 4])
    first, again, other = (
        relative_deviations(network, inputs, rows, 4, seed)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.isin(other, first).any()
    # people have transforms of their own
    same = np.repeat(inputs[:1], 5, 0)
    told = relative_deviations(network, same, rows, 4)
    assert not np.isin(told[:, 0], told[:, 1]).any()


def test_a_probability_near_0_has_a_finite_ratio(images):
    logits = np.array([[0.0, 0.0], [2.0, -1.0], [-1.0, 2.0], [0.0, -1000.0]])
    assert log_probabilities(logits.astype(np.float32)).dtype == np.float64
    found = np.exp(log_probabilities(logits))
    expected = [0.5, logistic(-3.0), logistic(3.0), np.exp(-87)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    # of float32: the difference of large logits is not rounded twice
    large = np.array([[1e4, 1e4 + 1]], np.float32)
    assert np.exp(log_probabilities(large)) == pytest.approx(logistic(1))

    steps = iter([-1000.0] + [0.0, 1000.0] * 3)

    def jump(x):
        """Sure that there is none, then not sure, then sure of one."""
        return torch.full((len(x),), next(steps))

    with np.errstate(over="raise", invalid="raise"):
        made = relative_deviations(
            network_of(jump), images, [0], 1, kinds=["gamma", "affine"]
        )
    assert made[:, 0, 0] == pytest.approx(np.exp(87) * np.array([0.5, 1.0]))
    assert made[:, 0, 0] * np.exp(-87) == pytest.approx([0.5, 1.0])


def test_nothing_is_rounded_to_tensorfloat(images):
    before, seen = torch.backends.cudnn.allow_tf32, []

    def watched(x):
        """Keep the setting that a GPU would compute under."""
        seen.append(torch.backends.cudnn.allow_tf32)
        return mean(x)

    relative_deviations(network_of(watched), images, [0], 2)
    assert before and seen == [False] * 4
    assert torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.enabled


def test_what_has_no_deviation_is_refused(images):
    network = network_of(mean)
    for message, options in (
        ("0 images of 50 transforms", {"rows": []}),
        ("1 images of 0 transforms", {"transforms": 0}),
        (r"kinds=\('blur',\), expected some of", {"kinds": ["blur"]}),
        (r"kinds=\(\), expected some of", {"kinds": []}),
    ):
        with pytest.raises(ValueError, match=message):
            relative_deviations(
                network, images, **{"rows": np.array([0]), **options}
            )
    three = Target("kind", np.zeros(9, int), ("a", "b", "c"))
    with pytest.raises(ValueError, match="3 classes, expected 2"):
        relative_deviations(TaskNetwork(Measured(mean), three), images, [0])
    network.voxelwise = True
    with pytest.raises(ValueError, match="a class of each voxel, expected"):
        relative_deviations(network, images, [0])
