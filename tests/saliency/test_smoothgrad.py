"""SmoothGrad against Captum, loops and closed forms."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from captum.attr import NoiseTunnel
from captum.attr import Saliency as CaptumSaliency
from toy_encoders import SHAPE, InPlace, Linear, Small, dcgan, volumes

from mmssl.models.dcgan import Features
from mmssl.saliency.maps import postprocess
from mmssl.saliency.smoothgrad import gaussian_noise, smoothgrad, stream


def by_captum(encoder, x, seed, samples, std, dimensions):
    """Captum, a dimension and a noisy copy at a time, on the same noise."""

    def z(v):
        found = encoder(v)
        return found.z if isinstance(found, Features) else found

    copies = (
        x[:, None] + std * gaussian_noise(x.shape[1:], samples, seed)
    ).flatten(0, 1)
    maps = [
        CaptumSaliency(z).attribute(
            copies.clone().requires_grad_(), target=k, abs=False
        )
        for k in dimensions
    ]
    return torch.stack(maps, 1).unflatten(0, (len(x), samples)).mean(1)


@pytest.mark.parametrize("size", [16, 32])
def test_dcgan_equals_captum_on_the_same_noise(size):
    encoder, x = dcgan(size=size), volumes(2, (size,) * 3)
    ours = smoothgrad(encoder, x, samples=3, std=0.2, seed=5)
    theirs = by_captum(encoder, x, 5, 3, 0.2, range(6)).squeeze(2)
    assert (
        ours.shape == (2, 6, size, size, size) and ours.dtype == torch.float32
    )
    torch.testing.assert_close(
        ours, theirs, rtol=1e-4, atol=1e-5 * theirs.abs().max().item()
    )


def test_captums_noise_tunnel_is_what_it_estimates():
    encoder, x = Small().eval(), volumes(1, SHAPE)
    torch.manual_seed(0)
    tunnel = NoiseTunnel(CaptumSaliency(encoder))
    theirs = tunnel.attribute(
        x.clone().requires_grad_(),
        nt_type="smoothgrad",
        nt_samples=400,
        stdevs=0.05,
        target=1,
        abs=False,
    )
    ours = smoothgrad(encoder, x, samples=400, dimensions=[1])
    assert (
        torch.corrcoef(torch.stack([ours.flatten(), theirs.flatten()]))[0, 1]
        > 0.9999
    )


@pytest.mark.parametrize(("dims", "channels"), [(2, 1), (2, 3), (3, 2)])
def test_fast_path_equals_autograd_in_2d_and_with_channels(dims, channels):
    encoder, x = (
        dcgan(dims=dims, channels=channels),
        volumes(2, (16,) * dims, channels),
    )
    fast = smoothgrad(encoder, x, seed=[1, 8])
    # not an Encoder: autograd
    slow = smoothgrad(lambda v: encoder(v), x, seed=[1, 8])
    assert fast.shape == (
        2,
        6,
        *([channels] if channels > 1 else []),
        *(16,) * dims,
    )
    torch.testing.assert_close(
        fast, slow, rtol=1e-4, atol=1e-5 * slow.abs().max().item()
    )


def test_double_precision_stays_and_agrees_to_its_rounding():
    encoder, x = dcgan().double(), volumes(1).double()
    fast = smoothgrad(encoder, x)
    assert fast.dtype == torch.float64
    slow = smoothgrad(lambda v: encoder(v.double()), x)
    # the noise is drawn in float32 either way, and so is the input of a bare
    # function
    torch.testing.assert_close(
        fast, slow.double(), rtol=1e-3, atol=1e-3 * slow.abs().max().item()
    )


@pytest.mark.parametrize("bare", [False, True])
def test_a_linear_encoder_has_its_weight_rows_whatever_the_noise(bare):
    encoder, x = Linear(bare=bare), volumes(3, SHAPE)
    rows = encoder.layer.weight.detach().view(5, *SHAPE)
    found = smoothgrad(encoder, x, samples=4, std=3.0, seed=[4, 9, 2])
    torch.testing.assert_close(
        found, rows.expand(3, -1, -1, -1, -1), rtol=1e-5, atol=1e-7
    )


def test_a_quadratic_encoder_sees_the_mean_of_its_noise():
    x, noise = volumes(1, SHAPE), gaussian_noise((1, *SHAPE), 3, 11)
    found = smoothgrad(
        lambda v: 0.5 * v.square().flatten(1).sum(1, keepdim=True),
        x,
        samples=3,
        std=0.5,
        seed=11,
    )
    torch.testing.assert_close(found[0], x[0] + 0.5 * noise.mean(0))


def test_noise_is_standard_normal_and_a_function_of_its_seed():
    noise = gaussian_noise((1, 40, 41, 42), 5, 3)
    assert noise.shape == (5, 1, 40, 41, 42)
    assert abs(noise.mean()) < 0.01 and abs(noise.std() - 1) < 0.01
    correlation = torch.corrcoef(noise.flatten(1)) - torch.eye(5)
    assert correlation.abs().max() < 0.02
    assert torch.equal(noise, gaussian_noise((1, 40, 41, 42), 5, 3))
    assert not torch.equal(noise[0], gaussian_noise((1, 40, 41, 42), 1, 4)[0])


@pytest.mark.parametrize("kind", ["dcgan", "other"])
def test_a_row_has_the_same_bits_in_any_batch(kind):
    shape = (16, 16, 16) if kind == "dcgan" else SHAPE
    encoder, x = dcgan() if kind == "dcgan" else Small(), volumes(7, shape)
    seeds = list(range(10, 17))
    together = smoothgrad(encoder, x, seed=seeds)
    turned = smoothgrad(encoder, x.flip(0), seed=seeds[::-1])
    assert torch.equal(together, turned.flip(0))
    for i in (0, 3, 6):
        assert torch.equal(
            together[i], smoothgrad(encoder, x[i : i + 1], seed=10 + i)[0]
        )
    assert torch.equal(
        smoothgrad(encoder, x[[2, 2]], seed=4)[0],
        smoothgrad(encoder, x[[5, 2]], seed=4)[1],
    )


@pytest.mark.parametrize("make", [dcgan, Small])
def test_train_mode_is_taken_and_given_back_and_nothing_else_changes(make):
    encoder = make()
    shape = (16, 16, 16) if make is dcgan else SHAPE
    x = volumes(2, shape)
    reference = smoothgrad(encoder.eval(), x)
    encoder.train()
    some = list(encoder.modules())[-1]
    some.eval()  # a mode of its own
    first = next(encoder.parameters())
    first.requires_grad_(False)
    last = list(encoder.parameters())[-1]
    last.grad = torch.full_like(last, 7.0)
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    found = smoothgrad(encoder, x)
    assert torch.equal(found, reference)
    assert encoder.training and not some.training
    assert not first.requires_grad and all(
        p.requires_grad for p in list(encoder.parameters())[1:]
    )
    assert (last.grad == 7).all() and first.grad is None
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_modes_come_back_after_an_error():
    encoder = Linear().train()
    with pytest.raises(ValueError, match="dimensions"):
        smoothgrad(encoder, volumes(1, SHAPE), dimensions=[5])
    assert encoder.training and all(
        p.requires_grad for p in encoder.parameters()
    )


def test_it_works_where_gradients_are_switched_off():
    encoder, x = Small(), volumes(1, SHAPE)
    reference = smoothgrad(encoder, x)
    with torch.no_grad():
        assert torch.equal(reference, smoothgrad(encoder, x))
    with torch.inference_mode():
        assert torch.equal(reference, smoothgrad(encoder, x))


@pytest.mark.parametrize("make", [dcgan, Small])
def test_autocast_around_the_call_changes_nothing(make):
    encoder, x = make(), volumes(1, (16, 16, 16))
    reference = smoothgrad(encoder, x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(reference, smoothgrad(encoder, x))


def test_chosen_dimensions_are_those_of_all():
    encoder, x = dcgan(), volumes(1)
    everything = smoothgrad(encoder, x)
    chosen = smoothgrad(encoder, x, dimensions=[4, 0, 4])
    torch.testing.assert_close(
        chosen, everything[:, [4, 0, 4]], rtol=1e-4, atol=1e-6
    )


def test_bf16_is_close_and_only_on_request():
    encoder, x = dcgan(size=32, width=8), volumes(1, (32,) * 3)
    full = smoothgrad(encoder, x)
    half = smoothgrad(encoder, x, precision="bf16")
    assert half.dtype == torch.float32 and not torch.equal(full, half)
    for a, b in zip(full[0], half[0], strict=True):
        assert (
            torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
            > 0.999
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dimensions": [0, 99]}, r"\[99\] asked for, z has 0 to 4"),
        ({"dimensions": [-1]}, r"\[-1\] asked for"),
        ({"dimensions": []}, "none asked for"),
        ({"seed": [1, 2, 3]}, "3 seeds, expected one or 2"),
        ({"samples": 0}, "samples=0"),
        ({"std": -0.1}, "std=-0.1"),
        ({"std": float("nan")}, "std=nan"),
        ({"precision": "fp16"}, "'fp16', expected 'fp32' or 'bf16'"),
    ],
)
def test_bad_options_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        smoothgrad(Linear(), volumes(2, SHAPE), **change)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (
            lambda x: [1, 2],
            r"returned list, expected Features or z of shape \(5, latent\)",
        ),
        (lambda x: x, r"returned \(5, 1, 7, 8, 9\)"),
        (lambda x: x.sum().view(1, 1), r"returned \(1, 1\)"),
        (
            lambda x: x.flatten(1).sum(1, keepdim=True) * torch.nan,
            "NaN or Inf in z",
        ),
        (lambda x: x.detach().flatten(1), "does not depend on its input"),
        (lambda x: SimpleNamespace(z=None), "returned NoneType"),
    ],
)
def test_encoders_that_return_something_else_are_refused(encoder, message):
    with pytest.raises(ValueError, match=message):
        smoothgrad(encoder, volumes(1, SHAPE))


def test_bad_volumes_are_refused():
    x = volumes(3, SHAPE)
    x[1, 0, 2, 3, 4] = torch.nan
    with pytest.raises(ValueError, match="row 1 holds NaN or Inf"):
        smoothgrad(Linear(), x)
    with pytest.raises(ValueError, match="B at least 1"):
        smoothgrad(Linear(), x[:0])
    with pytest.raises(ValueError, match="floats"):
        smoothgrad(Linear(), torch.zeros(1, 1, *SHAPE, dtype=torch.int64))
    with pytest.raises(ValueError, match="encoder input has shape"):
        smoothgrad(dcgan(), volumes(1, (32, 32, 32)))


def test_a_stream_is_the_whole_and_its_memory_does_not_grow(tmp_path):
    np.save(tmp_path / "x.npy", volumes(24, SHAPE).numpy())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    encoder, seeds = Linear(latent=40), list(range(24))
    whole = smoothgrad(encoder, mapped, samples=2, seed=seeds)
    blocks = list(stream(encoder, mapped, block=5, samples=2, seed=seeds))
    assert [len(b) for b in blocks] == [5, 5, 5, 5, 4]
    assert torch.equal(torch.cat(blocks), whole)
    peaks = []
    # arrays that NumPy holds: tensors of torch are not traced
    for rows in (4, 24):
        tracemalloc.start()
        for block in stream(encoder, mapped[:rows], block=4, samples=2):
            postprocess(block.numpy(), np.ones(SHAPE, bool)).scaled.sum()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
    with pytest.raises(ValueError, match="block=0"):
        next(stream(encoder, mapped, block=0))


def test_a_stream_holds_one_block_at_a_time():
    """Blocks a consumer has let go are freed: no list of them is kept
    inside.
    """
    import weakref

    seen = []
    for block in stream(Linear(), volumes(6, SHAPE), block=1, samples=1):
        seen.append(weakref.ref(block))
        del block
        assert sum(ref() is not None for ref in seen) <= 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_encoder_may_begin_in_place(precision):
    encoder, x = InPlace().eval(), volumes(2, SHAPE)
    before = x.clone()

    def out_of_place(v):
        return encoder.net(torch.relu(v - 0.1))

    options = {"samples": 3, "std": 0.2, "precision": precision}
    found = smoothgrad(encoder, x, **options)
    torch.testing.assert_close(found, smoothgrad(out_of_place, x, **options))
    assert torch.equal(x, before) and found.abs().max() > 0
