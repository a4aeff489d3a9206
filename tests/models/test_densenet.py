"""The densely connected network of 002, against its operations written out."""

import pytest
import torch
from torch import nn

from mmssl.models import DenseNetEncoder

UNITS = [1, 2, 3, 3, 3]


def count(module):
    return sum(p.numel() for p in module.parameters())


def adaptive(x, reduce):
    """Pool to two places an axis, place by place: from the floor of its start
    to the ceiling of its end.
    """

    def half(side, place):
        return slice(place * side // 2, -(-(place + 1) * side // 2))

    *_, last = x.shape
    dims = x.dim() - 2
    places = torch.cartesian_prod(*[torch.arange(2)] * dims).tolist()
    found = []
    for place in places:
        part = x
        for axis, k in enumerate(place, 2):
            bounds = half(x.shape[axis], k)
            part = part.narrow(axis, bounds.start, bounds.stop - bounds.start)
        found.append(reduce(part.flatten(2)))
    return torch.stack(found, -1)


@pytest.mark.parametrize(
    ("dims", "width", "growth"), [(3, 16, 7), (2, 16, 7), (3, 8, 4), (3, 1, 1)]
)
def test_its_parameters_are_those_of_the_closed_form(dims, width, growth):
    """The kernel has 9 places in a slice and 27 in a volume; each unit adds
    two numbers a channel of its norm.
    """
    encoder = DenseNetEncoder(2, width, 5, 16, dims)
    expected = 9 * 2 * width + 2 * width
    for unit in range(sum(UNITS)):
        places = 9 if unit < 3 or dims == 2 else 27
        before = width + unit * growth
        expected += places * before * growth + 2 * growth
    last = width + 12 * growth
    expected += 5 * last + 5
    assert count(encoder) == expected
    assert encoder.local_channels == last
    if width == 16:
        assert last == 100


def test_the_papers_network_has_1024_features_of_volumes():
    assert DenseNetEncoder().latent == 1024
    assert DenseNetEncoder(dims=2).latent == 512
    assert count(DenseNetEncoder(size=(224, 192, 40))) == 121_720


@pytest.mark.parametrize(
    ("dims", "sides", "last"),
    [
        (3, (35, 48, 13), (2, 3, 3)),
        (3, (16, 16, 4), (1, 1, 1)),
        (2, (50, 83), (3, 5)),
    ],
)
def test_features_are_the_operations_written_out(dims, sides, last):
    torch.manual_seed(0)
    encoder = DenseNetEncoder(2, 4, 3, sides, dims).double().eval()
    convolutions, norms = [], []
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            convolutions.append(module)
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 2.0)
            norms.append(module)
    *convolutions, reduction = convolutions
    convolve = {2: nn.functional.conv2d, 3: nn.functional.conv3d}[dims]
    x = torch.randn(3, 2, *sides, dtype=torch.float64)
    found = encoder(x)

    def unit(x):
        weight = convolutions.pop(0).weight
        padding = [side // 2 for side in weight.shape[2:]]
        norm = norms.pop(0)
        shape = (1, -1) + (1,) * dims
        y = convolve(x, weight, padding=padding)
        y = y - norm.running_mean.view(shape)
        y = y / (norm.running_var.view(shape) + norm.eps).sqrt()
        y = y * norm.weight.view(shape) + norm.bias.view(shape)
        return torch.where(y < 0, 0.01 * y, y)

    def halved(x, axes):
        for axis in axes:
            side = x.shape[axis] // 2
            pairs = x.narrow(axis, 0, 2 * side).unflatten(axis, (side, 2))
            x = pairs.amax(axis + 1)
        return x

    assert [tuple(c.weight.shape[2:]) for c in convolutions] == (
        [(3, 3, 1)] * 4 + [(3, 3, 3)] * 9 if dims == 3 else [(3, 3)] * 13
    )
    x = unit(x)
    for number, units in enumerate(UNITS):
        if number:
            axes = (2, 3) if number < 3 else (2, 3, 4)[:dims]
            x = halved(x, axes)
        for _ in range(units):
            x = torch.cat([x, unit(x)], 1)
    assert not convolutions and not norms
    assert found.local.shape == (3, encoder.local_channels, *last)
    assert found.maps == ()
    torch.testing.assert_close(found.local, x)
    weight = reduction.weight.flatten(1)
    reduced = torch.einsum("oc,bc...->bo...", weight, x)
    reduced = reduced + reduction.bias.view(1, -1, *(1,) * dims)
    average = adaptive(reduced, lambda part: part.mean(-1))
    maximum = adaptive(reduced, lambda part: part.amax(-1))
    expected = torch.cat([average.flatten(1), maximum.flatten(1)], 1)
    assert found.z.shape == (3, encoder.latent) == (3, 2 * 3 * 2**dims)
    torch.testing.assert_close(found.z, expected)


def test_slices_lie_along_the_last_axis():
    """With kernels that are the same at all their places, an image turned
    within its slices has the features turned; one turned out of them has
    others.
    """
    torch.manual_seed(0)
    encoder = DenseNetEncoder(1, 4, 3, 32).double().eval()
    for module in encoder.modules():
        if isinstance(module, nn.Conv3d):
            mean = module.weight.mean((2, 3, 4), keepdim=True)
            module.weight.data = mean.expand_as(module.weight).clone()
    x = torch.randn(2, 1, 32, 32, 32, dtype=torch.float64)

    def places(x):
        return encoder(x).z.detach().unflatten(1, (6, 2, 2, 2))

    within = places(x.transpose(2, 3)).transpose(2, 3)
    torch.testing.assert_close(within, places(x))
    across = places(x.transpose(2, 4)).transpose(2, 4)
    assert (across - places(x)).abs().max() > 1e-3
    assert encoder(x).local.shape[2:] == (2, 2, 8)


def test_two_blocks_see_a_slice_alone():
    torch.manual_seed(0)
    encoder = DenseNetEncoder(1, 4, 3, (16, 16, 8)).eval()
    seen = []
    encoder.blocks[2][0].register_forward_pre_hook(
        lambda unit, inputs: seen.append(inputs[0])
    )
    x = torch.randn(1, 1, 16, 16, 8)
    other = x.clone()
    other[..., 5] += 1
    first, second = encoder(x).local, encoder(other).local
    changed = (seen[0] != seen[1]).flatten(0, 3).any(0)
    assert changed.nonzero().flatten().tolist() == [5]
    assert not torch.allclose(first[..., 0], second[..., 0])


def test_every_weight_learns():
    torch.manual_seed(0)
    encoder = DenseNetEncoder(1, 4, 3, (32, 16, 8))
    x = torch.randn(3, 1, 32, 16, 8, requires_grad=True)
    encoder(x).z.square().sum().backward()
    assert x.grad.any()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad.any(), name


@pytest.mark.parametrize(("dims", "sides"), [(2, (33, 20)), (3, (20, 33, 6))])
def test_a_row_is_the_same_in_any_batch_and_made_for_any_sides(dims, sides):
    torch.manual_seed(0)
    encoder = DenseNetEncoder(1, 4, 3, 16, dims).eval()
    other = DenseNetEncoder(1, 4, 3, sides, dims).eval()
    other.load_state_dict(encoder.state_dict())
    x = torch.randn(4, 1, *sides)
    whole = encoder(x)
    assert whole.z.shape == (4, encoder.latent)
    assert encoder.input_shape == (1, *(16,) * dims)
    assert other.input_shape == (1, *sides)
    assert torch.equal(other(x).z, whole.z)
    for row in range(4):
        alone = encoder(x[row : row + 1])
        torch.testing.assert_close(alone.z[0], whole.z[row])
        torch.testing.assert_close(alone.local[0], whole.local[row])


@pytest.mark.parametrize(
    ("size", "dims"),
    [
        (15, 3),
        (15, 2),
        ((16, 16, 3), 3),
        ((16, 15, 4), 3),
        ((4, 16, 16), 3),
        ((16, 16), 3),
        ((16, 16, 16), 2),
    ],
)
def test_sides_of_which_nothing_would_be_left_are_refused(size, dims):
    with pytest.raises(ValueError, match=rf"size is .*expected {dims} sides"):
        DenseNetEncoder(1, 2, 2, size, dims)
    sides = (size,) * dims if isinstance(size, int) else size
    encoder = DenseNetEncoder(1, 2, 2, 16, dims)
    for shape in ((2, 1, *sides), (2, 2, *(16,) * dims)):
        with pytest.raises(ValueError, match=r"DenseNet input has shape \(2,"):
            encoder(torch.zeros(shape))
    with pytest.raises(ValueError, match="dims is 4"):
        DenseNetEncoder(1, 2, 2, 16, 4)


@pytest.mark.parametrize("width", [2, 4])
@pytest.mark.parametrize("sides", [(16, 16, 4), (48, 32, 16), (16, 132, 5)])
def test_half_precision_gives_the_features_of_full(width, sides):
    """Whatever is in memory; last maps of side 1 once came out wrong."""
    torch.manual_seed(0)
    encoder = DenseNetEncoder(1, width, 4, sides).eval()
    x = torch.randn(3, 1, *sides)

    def result(half):
        encoder.zero_grad()
        used = [torch.full((2**k,), float("nan")) for k in range(5, 18)]
        del used
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            z = encoder(x).z.float()
        z.square().sum().backward()
        gradients = [p.grad.flatten() for p in encoder.parameters()]
        return z.detach().flatten(), torch.cat(gradients)

    expected = result(False)
    for _ in range(3):
        for one, other in zip(result(True), expected, strict=True):
            assert one.isfinite().all()
            similar = nn.functional.cosine_similarity(one, other, 0)
            assert similar > 0.99


@pytest.mark.slow
def test_two_steps_at_the_papers_shape():
    """40 slices of 224 x 192, in fp32: 1.35 GB at the peak, 1.1 of them of the
    step, and 5 s a step of one volume (one core).
    """
    torch.manual_seed(0)
    encoder = DenseNetEncoder(size=(224, 192, 40))
    before = [p.detach().clone() for p in encoder.parameters()]
    optimiser = torch.optim.SGD(encoder.parameters(), lr=0.1, momentum=0.9)
    x = torch.randn(1, 1, 224, 192, 40)
    for _ in range(2):
        optimiser.zero_grad()
        found = encoder(x)
        assert found.z.shape == (1, 1024)
        assert found.local.shape == (1, 100, 14, 12, 10)
        loss = found.z.square().mean()
        loss.backward()
        optimiser.step()
        assert loss.isfinite()
    for parameter, first in zip(encoder.parameters(), before, strict=True):
        assert not torch.equal(parameter, first)
