"""Residual networks, against their operations written out and the sizes that
other libraries' have.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmssl.models import ResNetEncoder, ResNetUNetDecoder, ResNetUNetEncoder

BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 152: (3, 8, 36, 3)}


def count(module):
    return sum(p.numel() for p in module.parameters())


def closed_form(depth, width, channels, dims=2):
    """Parameters of a residual network: convolutions without biases, two
    numbers a channel of each norm, and a shortcut where channels change.
    """
    nine = 3**dims
    total = 7**dims * channels * width + 2 * width
    before = width
    for stage, blocks in enumerate(BLOCKS[depth]):
        planes = width * 2**stage
        for _ in range(blocks):
            if depth == 18:
                after = planes
                total += nine * before * planes + nine * planes * planes
                total += 4 * planes
            else:
                after = 4 * planes
                total += before * planes + nine * planes * planes
                total += planes * after + 4 * planes + 2 * after
            if before != after:
                total += before * after + 2 * after
            before = after
    return total


@pytest.mark.parametrize(
    ("depth", "width", "expected"),
    [
        # torchvision's, less a classifier of 1000 classes
        (18, 64, 11_689_512 - 513_000),
        (50, 64, 25_557_032 - 2_049_000),
        (152, 64, 60_192_808 - 2_049_000),
        # 002's ResNet-50w2, 93.9 million without projector and prototypes
        (50, 128, 93_907_072),
    ],
)
def test_the_known_networks_have_their_known_sizes(depth, width, expected):
    with torch.device("meta"):
        encoder = ResNetEncoder(3, width, 224, depth=depth)
    assert count(encoder) == expected == closed_form(depth, width, 3)
    features = (8 if depth == 18 else 32) * width
    assert encoder.latent == encoder.local_channels == features


def test_other_widths_channels_and_dims_have_the_closed_forms_size():
    for depth, dims in ((18, 3), (50, 2), (50, 3)):
        encoder = ResNetEncoder(2, 4, 32, dims, depth)
        assert count(encoder) == closed_form(depth, 4, 2, dims)


def settle(encoder):
    """Give norms statistics and weights that are not those of the start."""
    for norm in encoder.modules():
        if isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(norm.running_mean, -0.1, 0.1)
            nn.init.uniform_(norm.running_var, 0.5, 2.0)
            nn.init.uniform_(norm.weight, 0.5, 2.0)
            nn.init.uniform_(norm.bias, -0.2, 0.2)
    return encoder.double().eval()


def written_out(encoder, depth, x):
    """All maps of a 2D network, fine to coarse, from its weights in the order
    of its modules.
    """
    weights, norms = [], []
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            weights.append(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            norms.append(module)

    def convolution(x, stride=1):
        weight, norm = weights.pop(0), norms.pop(0)
        y = F.conv2d(x, weight, None, stride, weight.shape[-1] // 2)
        y = y - norm.running_mean[:, None, None]
        y = y / (norm.running_var[:, None, None] + norm.eps).sqrt()
        return y * norm.weight[:, None, None] + norm.bias[:, None, None]

    x = convolution(x, 2).clamp(min=0)
    maps = [x]
    x = F.max_pool2d(x, 3, 2, 1)
    kernels = [1, 3, 1] if depth > 18 else [3, 3]
    for stage, blocks in enumerate(BLOCKS[depth]):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = x
            for layer, kernel in enumerate(kernels):
                assert weights[0].shape[-1] == kernel
                strided = layer == kernels.index(3)
                y = convolution(y, stride if strided else 1)
                if layer < len(kernels) - 1:
                    y = y.clamp(min=0)
            if y.shape != x.shape:
                x = convolution(x, stride)
            x = (x + y).clamp(min=0)
        maps.append(x)
    assert not weights and not norms
    return maps


@pytest.mark.parametrize("depth", [18, 50])
def test_features_are_the_operations_written_out(depth):
    torch.manual_seed(0)
    encoder = settle(ResNetEncoder(2, 4, 64, depth=depth))
    x = torch.randn(3, 2, 65, 40, dtype=torch.float64)
    found = encoder(x)
    *_, expected = written_out(encoder, depth, x)
    assert found.local.shape == (3, encoder.local_channels, 3, 2)
    assert found.maps == ()
    torch.testing.assert_close(found.local, expected)
    torch.testing.assert_close(found.z, expected.mean((2, 3)))
    assert encoder.input_shape == (2, 64, 64)


def test_volumes_have_the_features_of_the_library_s_own_network():
    from monai.networks.nets import resnet

    torch.manual_seed(0)
    encoder = settle(ResNetEncoder(1, 4, (40, 32, 48), 3, 50))
    library = resnet.ResNet(
        "bottleneck",
        [3, 4, 6, 3],
        [4, 8, 16, 32],
        n_input_channels=1,
        conv1_t_stride=2,
        feed_forward=False,
        bias_downsample=False,
    )
    pairs = zip(
        library.state_dict(), encoder.state_dict().values(), strict=True
    )
    library.load_state_dict(dict(pairs))
    x = torch.randn(2, 1, 40, 32, 48, dtype=torch.float64)
    found = encoder(x)
    assert found.local.shape == (2, 128, 2, 1, 2)
    expected = library.double().eval()(x)
    torch.testing.assert_close(found.z, expected)


@pytest.mark.parametrize("kind", [ResNetEncoder, ResNetUNetEncoder])
def test_a_row_is_the_same_in_any_batch_and_every_weight_learns(kind):
    torch.manual_seed(0)
    encoder = kind(1, 4, 32)
    x = torch.randn(3, 1, 96, 64)
    encoder.train()
    encoder(x).z.square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad.any(), name
    encoder.eval()
    whole = encoder(x)
    assert whole.z.shape == (3, encoder.latent)
    for row in range(3):
        alone = encoder(x[row : row + 1])
        torch.testing.assert_close(alone.z[0], whole.z[row])
        torch.testing.assert_close(alone.local[0], whole.local[row])


def test_the_u_nets_maps_are_those_before_the_last_coarse_to_fine():
    torch.manual_seed(0)
    encoder = settle(ResNetUNetEncoder(2, 4, (96, 64)))
    x = torch.randn(2, 2, 96, 64, dtype=torch.float64)
    found = encoder(x)
    *maps, local = written_out(encoder, 18, x)
    torch.testing.assert_close(found.local, local)
    torch.testing.assert_close(found.z, local.mean((2, 3)))
    assert [tuple(m.shape[1:]) for m in found.maps] == [
        (16, 6, 4),
        (8, 12, 8),
        (4, 24, 16),
        (4, 48, 32),
    ]
    for one, expected in zip(found.maps, maps[::-1], strict=True):
        torch.testing.assert_close(one, expected)


def test_the_u_net_has_the_size_of_the_papers():
    """14,328,209 parameters: those of segmentation_models.pytorch for three
    channels and one class.
    """
    encoder = ResNetUNetEncoder(3, size=224)
    decoder = encoder.decoder(1)
    assert (encoder.latent, encoder.local_channels) == (512, 512)
    expected = 0
    below = 512
    for after, beside in ((256, 256), (128, 128), (64, 64), (32, 64), (16, 0)):
        expected += 9 * after * (below + beside) + 9 * after * after
        expected += 4 * after
        below = after
    expected += 9 * 16 + 1
    assert count(encoder) == 11_176_512
    assert count(decoder) == expected == 3_151_697
    assert count(encoder) + count(decoder) == 14_328_209


@pytest.mark.parametrize("activation", [None, "sigmoid", "tanh"])
def test_the_decoder_is_the_operations_written_out(activation):
    torch.manual_seed(0)
    decoder = settle(ResNetUNetDecoder(3, 4, activation))
    draw = {"dtype": torch.float64}
    x = local = torch.randn(2, 32, 3, 2, **draw)
    maps = [
        torch.randn(2, 16, 6, 4, **draw),
        torch.randn(2, 8, 12, 8, **draw),
        torch.randn(2, 4, 24, 16, **draw),
        torch.randn(2, 4, 48, 32, **draw),
    ]
    layers = [m for m in decoder.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in decoder.modules() if isinstance(m, nn.BatchNorm2d)]
    *layers, last = layers
    assert [layer.out_channels for layer in layers[::2]] == [16, 8, 4, 2, 1]
    for place, (layer, norm) in enumerate(zip(layers, norms, strict=True)):
        assert layer.bias is None
        if place % 2 == 0:
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            x = torch.cat([x, *maps[place // 2 : place // 2 + 1]], 1)
        x = norm(F.conv2d(x, layer.weight, padding=1)).clamp(min=0)
    x = F.conv2d(x, last.weight, last.bias, padding=1)
    if activation == "sigmoid":
        x = 1 / (1 + (-x).exp())
    if activation == "tanh":
        x = (x.exp() - (-x).exp()) / (x.exp() + (-x).exp())
    found = decoder(local, maps)
    assert found.shape == (2, 3, 96, 64)
    torch.testing.assert_close(found, x)


def test_weights_of_the_decoder_begin_as_the_librarys():
    """Uniform: within the root of six over the inputs, the last layer's of
    inputs and outputs.
    """
    torch.manual_seed(0)
    decoder = ResNetUNetEncoder(1, 16, 32).decoder(2)
    *layers, last = (m for m in decoder.modules() if isinstance(m, nn.Conv2d))
    for layer in layers:
        bound = (6 / (9 * layer.in_channels)) ** 0.5
        largest = layer.weight.abs().max().item()
        assert 0.97 * bound < largest <= bound
    bound = (6 / (9 * (4 + 2))) ** 0.5
    assert 0.9 * bound < last.weight.abs().max().item() <= bound
    assert not last.bias.any()


def test_a_decoder_takes_gradients_to_every_weight_of_both():
    torch.manual_seed(0)
    encoder = ResNetUNetEncoder(1, 4, 64)
    decoder = encoder.decoder(3, "sigmoid")
    x = torch.randn(3, 1, 64, 96)
    found = encoder(x)
    image = decoder(found.local, found.maps)
    assert image.shape == (3, 3, 64, 96)
    assert image.min() > 0 and image.max() < 1
    image.square().sum().backward()
    for network in (encoder, decoder):
        for name, parameter in network.named_parameters():
            assert parameter.grad.any(), name


def test_what_cannot_be_read_is_refused():
    for size in (7, (8, 7), (8, 8, 8)):
        with pytest.raises(ValueError, match="expected 2 sides of at least 8"):
            ResNetEncoder(1, 4, size)
    for size in (48, (64, 40), (32, 32, 32), 0):
        with pytest.raises(ValueError, match="2 sides that are multiples of"):
            ResNetUNetEncoder(1, 4, size)
    with pytest.raises(ValueError, match="dims is 4"):
        ResNetEncoder(1, 4, 32, 4)
    with pytest.raises(ValueError, match="dims is 3, expected 2"):
        ResNetUNetEncoder(1, 4, 32, 3)
    with pytest.raises(
        ValueError, match="depth is 20, expected one of .18, 5"
    ):
        ResNetEncoder(1, 4, 32, depth=20)
    with pytest.raises(ValueError, match="activation='tahn'"):
        ResNetUNetDecoder(activation="tahn")
    with pytest.raises(ValueError, match="width is 3, expected at least 4"):
        ResNetUNetDecoder(1, 3)
    encoder = ResNetUNetEncoder(1, 4, 32)
    for shape in (
        (2, 1, 48, 32),
        (2, 2, 32, 32),
        (2, 1, 32),
        (2, 1) + 3 * (32,),
    ):
        with pytest.raises(ValueError, match=r"ResNet input has shape \(2,"):
            encoder(torch.zeros(shape))


@pytest.mark.parametrize(
    ("depth", "sides"),
    [(18, (8, 9)), (50, (72, 16)), (18, (64, 32)), (18, (8, 20, 16))],
)
def test_half_precision_gives_the_features_of_full(depth, sides):
    """Whatever is in memory; last maps of side 2 and 1 once came out wrong."""
    torch.manual_seed(0)
    encoder = ResNetEncoder(1, 4, sides, len(sides), depth).eval()
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
            assert F.cosine_similarity(one, other, 0) > 0.98


@pytest.mark.slow
def test_two_steps_of_the_papers_wide_network():
    """ResNet-50w2: 1.6 GB at the peak, of which weights, gradients and momenta
    are 1.1.
    """
    torch.manual_seed(0)
    encoder = ResNetEncoder(3, 128, 64)
    before = [p.detach().clone() for p in encoder.parameters()]
    optimiser = torch.optim.SGD(encoder.parameters(), lr=0.01, momentum=0.9)
    x = torch.randn(2, 3, 64, 64)
    for _ in range(2):
        optimiser.zero_grad()
        found = encoder(x)
        assert found.z.shape == (2, 4096)
        loss = found.z.square().mean()
        loss.backward()
        optimiser.step()
        assert loss.isfinite()
    for parameter, first in zip(encoder.parameters(), before, strict=True):
        assert not torch.equal(parameter, first)
