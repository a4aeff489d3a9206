"""DCGAN and heads against the layer table of the reference: counts, shapes,
initial values.
"""

import pytest
import torch
from torch import nn

from mmssl.models.batchnorm import SharedUpdate
from mmssl.models.dcgan import Decoder, Encoder, deconvolve_parities
from mmssl.models.heads import ConvolutionalHead
from mmssl.models.keyed_random import Stream


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("module", "parameters"),
    [
        (Encoder(), 3_804_032),
        (Encoder(1, size=32, dims=2), 295_808),
        (Encoder(3, size=32, dims=2), 296_832),
        (Decoder(), 3_804_096),
        (ConvolutionalHead(128), 20_736),
    ],
)
def test_parameter_counts_of_the_reference(module, parameters):
    assert count(module) == parameters


@pytest.mark.parametrize(
    ("size", "dims", "channels"),
    [(64, 3, 128), (32, 3, 64), (32, 2, 64), (16, 3, 32)],
)
def test_local_feature_has_side_8_and_heads_flatten_it(size, dims, channels):
    encoder = Encoder(2, size=size, dims=dims).eval()
    x = torch.randn(2, 2, *(size,) * dims)
    features = encoder(x)
    assert features.z.shape == (2, 64)
    assert features.local.shape == (2, channels) + (8,) * dims
    assert ConvolutionalHead(channels, 48, dims)(features.local).shape == (
        2,
        48,
        8**dims,
    )
    assert Decoder(2, size=size, dims=dims)(features.z).shape == x.shape


def test_forward_equals_the_layers_written_out():
    """Norm on all hidden layers but the first; local is the raw convolution of
    side 8.
    """
    encoder = Encoder(size=32, width=4, latent=6)
    for norm in list(encoder.norms)[1:]:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
    x = torch.randn(3, 1, 32, 32, 32)
    hidden = nn.functional.leaky_relu(encoder.convs[0](x), 0.2)
    local = encoder.convs[1](hidden)
    hidden = nn.functional.leaky_relu(encoder.norms[1](local), 0.2)
    hidden = nn.functional.leaky_relu(
        encoder.norms[2](encoder.convs[2](hidden)), 0.2
    )
    features = encoder(x)
    torch.testing.assert_close(features.local, local)
    torch.testing.assert_close(
        features.z, encoder.to_latent(hidden).flatten(1)
    )


def test_first_layer_by_parities_is_the_same_convolution():
    encoder = Encoder(2, size=16, width=4).double()
    x = torch.randn(3, 2, 16, 16, 16, dtype=torch.float64)
    moved = x.clone().requires_grad_()
    torch.testing.assert_close(encoder(moved).local, encoder.convs[0](x))
    direct = x.clone().requires_grad_()
    weights = torch.randn(3, 4, 8, 8, 8, dtype=torch.float64)
    by_parities = torch.autograd.grad(
        (encoder(moved).local * weights).sum(), moved
    )
    expected = torch.autograd.grad(
        (encoder.convs[0](direct) * weights).sum(), direct
    )
    torch.testing.assert_close(by_parities, expected)


@pytest.mark.parametrize("dims", [2, 3])
def test_decoder_equals_the_layers_written_out(dims):
    """Norm and LReLU .01 on all layers but the last; the last by parities in
    3D is the same sum.
    """
    decoder = Decoder(2, size=16, width=4, latent=6, dims=dims).double()
    for norm in decoder.norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
    z = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    hidden = z.view(3, 6, *(1,) * dims)
    for deconv, norm in zip(decoder.deconvs, decoder.norms, strict=False):
        hidden = nn.functional.leaky_relu(norm(deconv(hidden)), 0.01)
    expected = decoder.deconvs[-1](hidden)
    decoded = decoder(z)
    torch.testing.assert_close(decoded, expected)
    weights = torch.randn_like(expected)
    inputs = (z, decoder.deconvs[-1].weight)
    for one, other in zip(
        torch.autograd.grad((decoded * weights).sum(), inputs),
        torch.autograd.grad((expected * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_interleaving_keeps_the_axes_apart():
    x = torch.randn(2, 3, 5, 4, 6, dtype=torch.float64)
    weight = torch.randn(3, 2, 4, 4, 4, dtype=torch.float64)
    direct = nn.functional.conv_transpose3d(x, weight, stride=2, padding=1)
    torch.testing.assert_close(deconvolve_parities(x, weight), direct)


@pytest.mark.parametrize(("passes", "rate"), [(1, 0.1), (5, 0.1), (3, 1.0)])
def test_several_passes_move_the_statistics_once_by_their_mean(passes, rate):
    network = nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4, momentum=rate)
    ).double()
    norm = network[1]
    nn.init.normal_(norm.running_mean)
    before = norm.running_mean.clone(), norm.running_var.clone()
    batches = [
        torch.randn(6, 3, dtype=torch.float64) * (i + 1) for i in range(passes)
    ]
    for i, x in enumerate(batches):
        with SharedUpdate(network, passes, i):
            alone = network(x)
        # again, as a checkpoint does
        with SharedUpdate(network, passes, None):
            torch.testing.assert_close(network(x), alone, rtol=0, atol=0)
    hidden = [network[0](x) for x in batches]
    means = torch.stack([h.mean(0) for h in hidden]).mean(0)
    variances = torch.stack([h.var(0) for h in hidden]).mean(0)
    torch.testing.assert_close(
        norm.running_mean, (1 - rate) * before[0] + rate * means
    )
    torch.testing.assert_close(
        norm.running_var, (1 - rate) * before[1] + rate * variances
    )
    assert norm.num_batches_tracked == 1 and norm.momentum == rate


def test_initial_values():
    weight = Encoder(width=16).convs[2].weight
    fan_in, fan_out = 32 * 64, 64 * 64
    bound = (2 / 1.04) ** 0.5 * (6 / (fan_in + fan_out)) ** 0.5
    assert weight.abs().max() <= bound
    assert weight.abs().max() > 0.99 * bound
    shortcut = ConvolutionalHead(128).shortcut.weight[:, :, 0, 0, 0]
    torch.testing.assert_close(shortcut.diagonal(), torch.ones(64))
    off = shortcut - torch.eye(64, 128)
    assert 0.0099 < off.abs().max() <= 0.01


def test_head_is_the_sum_of_path_and_shortcut_normalised():
    head = ConvolutionalHead(5, 4, dims=2).eval()
    x = torch.randn(3, 5, 2, 3)
    flat = x.flatten(2).transpose(1, 2)  # (B, locations, channels)
    first, second = (head.path[i].weight[:, :, 0, 0] for i in (0, 3))
    # batch norm in evaluation mode at its initial statistics
    unit = 1 / (1 + 1e-5) ** 0.5
    hidden = torch.relu(flat @ first.T * unit)
    expected = (
        hidden @ second.T + flat @ head.shortcut.weight[:, :, 0, 0].T
    ) * unit
    torch.testing.assert_close(head(x), expected.transpose(1, 2))


def test_dropout_is_keyed_by_row_and_spares_z():
    encoder = Encoder(size=16, width=8, dropout=0.5)
    x = torch.randn(1, 1, 16, 16, 16).expand(4, -1, -1, -1, -1)
    for norm in encoder.norms:
        norm.eval()
    stream = Stream(torch.tensor([3, 5, 3, 7]), seed=1, step=2)
    z = encoder(x, stream).z
    torch.testing.assert_close(z[0], z[2])
    assert not torch.allclose(z[0], z[1])
    alone = encoder(x[:1], Stream(torch.tensor([5]), seed=1, step=2)).z
    torch.testing.assert_close(alone[0], z[1])
    assert (z != 0).all()
    encoder.eval()
    torch.testing.assert_close(encoder(x, stream).z[0], encoder(x).z[3])


@pytest.mark.parametrize("arguments", [{"size": 48}, {"size": 8}, {"dims": 1}])
def test_impossible_shapes_raise(arguments):
    with pytest.raises(ValueError, match="power of two"):
        Encoder(**arguments)


def test_wrong_input_names_both_shapes():
    with pytest.raises(ValueError, match=r"\(2, 1, 16, 16, 16\).*32"):
        Encoder(size=32)(torch.zeros(2, 1, 16, 16, 16))
    with pytest.raises(ValueError, match="softmax"):
        Decoder(activation="softmax")
