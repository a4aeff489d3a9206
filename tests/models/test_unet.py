"""The U-Net and the transformation-conditioned attention of PCRL, against
their equations and the sizes that 003's code has.
"""

import pytest
import torch
from torch import nn

from mmssl.models import TransformationAttention, UNetDecoder, UNetEncoder
from mmssl.models.unet import mixed


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_the_papers_network_has_the_papers_size():
    """At 64 x 64 x 32 and width 32: 7.02 and 12.04 million parameters, maps of
    64, 128, 256 and 512 channels, the last of 8 x 8 x 4.
    """
    encoder = UNetEncoder(1, 32, (64, 64, 32))
    decoder = UNetDecoder(1, 32, activation="sigmoid")
    assert count(encoder) == 7_027_776
    assert count(encoder) / 1e6 == pytest.approx(7.02, abs=0.01)
    assert count(decoder) / 1e6 == pytest.approx(12.04, abs=0.01)
    assert encoder.latent == 512
    with torch.no_grad():
        found = encoder.eval()(torch.rand(1, 1, 64, 64, 32))
        image = decoder.eval()(found.local, found.maps)
    assert found.local.shape == (1, 512, 8, 8, 4)
    assert [tuple(m.shape[1:]) for m in found.maps] == [
        (256, 16, 16, 8),
        (128, 32, 32, 16),
        (64, 64, 64, 32),
    ]
    assert image.shape == (1, 1, 64, 64, 32)
    assert image.min() >= 0 and image.max() <= 1


@pytest.mark.parametrize(("dims", "sides"), [(2, (24, 16)), (3, (8, 16, 24))])
def test_z_is_the_mean_of_the_last_map(dims, sides):
    encoder = UNetEncoder(2, 2, sides, dims).double()
    x = torch.randn(3, 2, *sides, dtype=torch.float64)
    found = encoder(x)
    assert found.z.shape == (3, encoder.latent) == (3, 32)
    torch.testing.assert_close(found.z, found.local.flatten(2).mean(-1))
    decoder = UNetDecoder(5, 2, dims).double()
    assert decoder(found.local, found.maps).shape == (3, 5, *sides)
    decoder(found.local, found.maps).sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())


def test_the_levels_are_the_operations_written_out():
    encoder = UNetEncoder(1, 2, 16).eval()
    convolutions = [m for m in encoder.modules() if isinstance(m, nn.Conv3d)]
    norms = [m for m in encoder.modules() if isinstance(m, nn.BatchNorm3d)]
    for norm in norms:
        nn.init.uniform_(norm.running_mean, -0.1, 0.1)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
    x = torch.randn(2, 1, 16, 16, 16)
    found = encoder(x)
    maps = []
    for place, (conv, norm) in enumerate(
        zip(convolutions, norms, strict=True)
    ):
        if place and place % 2 == 0:
            maps.append(x)
            x = nn.functional.max_pool3d(x, 2)
        x = norm(conv(x)).clamp(min=0)
    torch.testing.assert_close(found.local, x)
    for one, expected in zip(found.maps, maps[::-1], strict=True):
        torch.testing.assert_close(one, expected)


@pytest.mark.parametrize("size", [20, (16, 16), (16, 16, 12), 0])
def test_sides_that_cannot_be_halved_are_refused(size):
    with pytest.raises(ValueError, match="multiples of 8"):
        UNetEncoder(1, 2, size)
    with pytest.raises(ValueError, match="dims is 4"):
        UNetEncoder(1, 2, 16, 4)
    with pytest.raises(ValueError, match="activation='tahn'"):
        UNetDecoder(activation="tahn")
    for shape in ((2, 1, 8, 8, 12), (2, 2, 16, 16, 16), (2, 1, 16, 16)):
        with pytest.raises(ValueError, match=r"U-Net input has shape \(2,"):
            UNetEncoder(1, 2, 16)(torch.zeros(shape))


def test_it_reads_images_of_other_sides_than_it_was_made_for():
    torch.manual_seed(0)
    small, large = UNetEncoder(1, 2, 8).eval(), UNetEncoder(1, 2, (16, 8, 24))
    large.load_state_dict(small.state_dict())
    x = torch.randn(2, 1, 16, 8, 24)
    found, expected = small(x), large.eval()(x)
    assert torch.equal(found.z, expected.z)
    assert found.local.shape == (2, 32, 2, 1, 3)


def test_a_hybrid_of_share_1_is_the_ordinary_encoder_and_of_0_the_other():
    first, second = UNetEncoder(1, 2, 16), UNetEncoder(1, 2, 16)
    x = torch.randn(3, 1, 16, 16, 16)
    one, other = first(x), second(x)
    share = torch.tensor([1.0, 0.0, 0.3])
    hybrid = mixed(one, other, share)
    for ours, of_one, of_other in (
        (hybrid.z, one.z, other.z),
        (hybrid.local, one.local, other.local),
        *zip(hybrid.maps, one.maps, other.maps, strict=True),
    ):
        assert torch.equal(ours[0], of_one[0])
        assert torch.equal(ours[1], of_other[1])
        expected = 0.3 * of_one[2] + 0.7 * of_other[2]
        torch.testing.assert_close(ours[2], expected)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_attention_is_the_outer_product_written_out(dims):
    channels, batch = 5, 4
    indicators = {2: 6, 3: 7}[dims]
    torch.manual_seed(0)
    attention = TransformationAttention(channels, indicators, dims).double()
    sides = (3, 2, 4)[:dims]
    local = torch.randn(batch, channels, *sides, dtype=torch.float64)
    vector = torch.randint(0, 2, (batch, indicators))
    matrix = attention.weight.reshape(channels, channels * channels)
    weighed = torch.empty_like(local)
    for row in range(batch):
        known = attention.embedding(vector[row].double())
        mean = local[row].reshape(channels, -1).mean(1)
        flat = torch.outer(known, mean).reshape(-1)
        weights = torch.sigmoid(torch.relu(matrix @ flat))
        assert (weights >= 0.5).all() and (weights < 1).all()
        for channel in range(channels):
            weighed[row, channel] = local[row, channel] * weights[channel]
    expected = attention.convolution(weighed)
    torch.testing.assert_close(attention(local, vector), expected)


def test_attention_tells_transformations_apart_and_learns():
    torch.manual_seed(0)
    attention = TransformationAttention(6, 7)
    local = torch.rand(2, 6, 2, 2, 2).requires_grad_()
    first, second = torch.eye(7)[:2]
    one = attention(local, first.expand(2, 7))
    other = attention(local, second.expand(2, 7))
    assert not torch.allclose(one, other)
    one.square().sum().backward()
    assert local.grad.any()
    for name, parameter in attention.named_parameters():
        assert parameter.grad.any(), name


def test_the_codes_variant_weighs_channels_by_the_vector_alone():
    attention = TransformationAttention(8, 6, 2, "code").double()
    local = torch.randn(3, 8, 4, 5, dtype=torch.float64)
    vector = torch.randint(0, 2, (3, 6))
    first, _, last = attention.embedding
    assert (first.out_features, last.out_features) == (4, 8)
    hidden = torch.relu(first(vector.double()))
    weights = torch.sigmoid(last(hidden))
    expected = local * weights[:, :, None, None]
    torch.testing.assert_close(attention(local, vector), expected)
    assert not hasattr(attention, "convolution")
    with pytest.raises(ValueError, match="mode is 'both'"):
        TransformationAttention(8, 6, 2, "both")


def test_the_weights_of_the_bilinear_form_exist_once():
    """C³ numbers, as the dense layer on the C² products would have."""
    attention = TransformationAttention(16, 7)
    assert attention.weight.numel() == 16**3
    linear = nn.Linear(16 * 16, 16, bias=False)
    assert attention.weight.numel() == linear.weight.numel()
    limit = 1 / 16
    assert attention.weight.abs().max() <= limit
    assert linear.weight.abs().max() <= limit


@pytest.mark.parametrize("side", [16, 24, 32])
def test_gradients_in_half_precision_are_those_of_full(side):
    """Whatever is in memory: the last map of side 2 once came out wrong."""
    torch.manual_seed(0)
    encoder, decoder = UNetEncoder(1, 4, side), UNetDecoder(1, 4)
    attention = TransformationAttention(64, 7)
    networks = nn.ModuleList([encoder, decoder, attention])
    x = torch.randn(3, 1, side, side, side)

    def gradient(half):
        networks.zero_grad()
        used = [torch.full((2**k,), float("nan")) for k in range(8, 18)]
        del used
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            found = encoder(x)
            last = attention(found.local, torch.ones(3, 7))
            output = decoder(last, found.maps)
        (output.float() - x).square().mean().backward()
        return torch.cat([p.grad.flatten() for p in networks.parameters()])

    expected = gradient(False)
    for _ in range(8):
        found = gradient(True)
        assert found.isfinite().all()
        similar = torch.nn.functional.cosine_similarity(found, expected, 0)
        assert similar > 0.98
