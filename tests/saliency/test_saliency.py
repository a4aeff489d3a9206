"""SmoothGrad against Captum, loops and closed forms; maps; forgetting; pairs
of dimensions.
"""

import shutil
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from captum.attr import NoiseTunnel
from captum.attr import Saliency as CaptumSaliency
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.stats import spearmanr
from torch import nn

from mmssl import plotting
from mmssl.cohorts import cohort
from mmssl.groupmaps.clusters import peak
from mmssl.ledger.artefacts import read_map
from mmssl.models.dcgan import Encoder, Features
from mmssl.saliency.maps import average, postprocess
from mmssl.saliency.parameter_randomisation import cascade, depth, randomised
from mmssl.saliency.smoothgrad import gaussian_noise, smoothgrad, stream
from mmssl.similarity import dimension_pairs

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "notebooks"))

import execute  # noqa: E402

SHAPE = (7, 8, 9)


def dcgan(seed=0, size=16, width=3, latent=6, dims=3, channels=1):
    """An encoder whose batch norms have seen something."""
    torch.manual_seed(seed)
    encoder = Encoder(
        channels, width=width, latent=latent, size=size, dims=dims
    )
    for norm in (
        n
        for n in encoder.norms
        if isinstance(n, nn.modules.batchnorm._BatchNorm)
    ):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.3, 3.0)
        nn.init.uniform_(norm.weight, -1.5, 1.5)
        nn.init.normal_(norm.bias)
    return encoder.eval()


class Linear(nn.Module):
    """A linear encoder of any volume; z in Features or bare."""

    def __init__(self, shape=SHAPE, latent=5, bare=False, channels=1):
        super().__init__()
        self.layer, self.bare = (
            nn.Linear(channels * int(np.prod(shape)), latent),
            bare,
        )

    def forward(self, x):
        z = self.layer(x.flatten(1))
        return z if self.bare else Features(z, x)


class Small(nn.Module):
    """Any other encoder: biases, odd sides, an average, a layer that counts
    what it sees.
    """

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv3d(1, 4, 3),
            nn.BatchNorm3d(4),
            nn.Tanh(),
            nn.Dropout(0.5),
            nn.Conv3d(4, 3, 3, stride=2),
            nn.AdaptiveAvgPool3d(1),
            nn.Flatten(),
        )

    def forward(self, x):
        return self.net(x)


def volumes(rows=2, shape=(16, 16, 16), channels=1, seed=3):
    return torch.randn(
        rows, channels, *shape, generator=torch.Generator().manual_seed(seed)
    )


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


# ---- gradients ---------------------------------------------------------------------------------


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


def test_averages_equal_those_of_all_at_once(brain):
    encoder, x, seeds = Linear(), volumes(7, SHAPE), list(range(7))
    found = average(
        encoder, x, brain, 1.0, block=3, seed=seeds, dimensions=[3, 1]
    )
    gradient = smoothgrad(encoder, x, seed=seeds, dimensions=[3, 1])
    everything = postprocess(gradient.numpy(), brain, 1.0)
    for part in ("scaled", "magnitude"):
        np.testing.assert_allclose(
            getattr(found, part),
            getattr(everything, part).mean(0),
            rtol=1e-5,
            atol=1e-7,
        )


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


# ---- maps --------------------------------------------------------------------------------------


@pytest.fixture
def brain():
    """An uneven mask inside unequal sides."""
    x, y, z = np.ogrid[:7, :8, :9]
    return ((x - 3) ** 2 / 9 + (y - 3.5) ** 2 / 12 + (z - 4) ** 2 / 16) <= 1


def smoothed_by_loop(image, mask, sigma):
    """Weighted mean over the mask's voxels within 4 sigma along each axis, one
    voxel at a time.
    """
    out, inside = np.zeros_like(image), np.argwhere(mask)
    for v in inside:
        apart = np.abs(inside - v)
        weight = np.exp(-0.5 * (apart**2).sum(1) / sigma**2) * (
            apart <= 4 * sigma
        ).all(1)
        out[tuple(v)] = (
            weight * np.abs(image[tuple(inside.T)])
        ).sum() / weight.sum()
    return out


@pytest.mark.parametrize("sigma", [0.8, 1.5])
def test_magnitude_is_the_mean_amount_around_a_voxel_inside_the_mask(
    rng, brain, sigma
):
    gradient = rng.normal(size=SHAPE)
    found = postprocess(gradient, brain, sigma)
    np.testing.assert_allclose(
        found.magnitude, smoothed_by_loop(gradient, brain, sigma), rtol=1e-10
    )
    values = found.magnitude[brain]
    np.testing.assert_allclose(
        found.scaled[brain],
        (values - values.min()) / (values.max() - values.min()),
    )


def test_smoothing_equals_scipys_normalised_in_the_mask(rng, brain):
    gradient = rng.normal(size=(2, 3, *SHAPE)).astype(np.float32)
    found = postprocess(gradient, brain, 1.0)
    weight = ndimage.gaussian_filter(brain.astype(float), 1.0, mode="constant")
    for i, j in np.ndindex(2, 3):
        top = ndimage.gaussian_filter(
            np.abs(gradient[i, j]) * brain.astype(float), 1.0, mode="constant"
        )
        np.testing.assert_allclose(
            found.magnitude[i, j][brain], (top / weight)[brain], rtol=1e-5
        )


def test_maps_end_at_the_mask_and_fill_the_unit_interval(rng, brain):
    scales = np.array([1, 9, 0.1, 3])[:, None, None, None]
    found = postprocess(rng.normal(size=(4, *SHAPE)) * scales, brain)
    assert (found.scaled[:, ~brain] == 0).all() and (
        found.magnitude[:, ~brain] == 0
    ).all()
    assert (found.scaled.min((1, 2, 3)) == 0).all() and (
        found.scaled.max((1, 2, 3)) == 1
    ).all()


def test_what_is_outside_the_brain_does_not_leak_in(rng, brain):
    gradient = rng.normal(size=SHAPE)
    other = np.where(brain, gradient, 1e6)
    a, b = postprocess(gradient, brain), postprocess(other, brain)
    np.testing.assert_array_equal(a.magnitude, b.magnitude)


def test_an_image_does_not_depend_on_its_neighbours(rng, brain):
    many = rng.normal(size=(5, 2, *SHAPE)) * rng.exponential(
        size=(5, 1, 1, 1, 1)
    )
    for options in ({}, {"part": "positive", "quantile": 0.95}):
        together = postprocess(many, brain, **options)
        alone = postprocess(many[3, 1], brain, **options)
        np.testing.assert_array_equal(together.scaled[3, 1], alone.scaled)
        np.testing.assert_array_equal(
            together.magnitude[3, 1], alone.magnitude
        )


def test_scale_drops_out_of_scaled_and_stays_in_magnitude(rng, brain):
    gradient = rng.normal(size=SHAPE)
    one, ten = postprocess(gradient, brain), postprocess(-10 * gradient, brain)
    np.testing.assert_allclose(one.scaled, ten.scaled, atol=1e-12)
    np.testing.assert_allclose(10 * one.magnitude, ten.magnitude)


def test_constant_images_are_zero_and_flat(brain):
    found = postprocess(np.full((2, *SHAPE), [[[[3.0]]], [[[0.0]]]]), brain)
    np.testing.assert_allclose(found.magnitude[0][brain], 3.0)
    assert (found.scaled[1] == 0).all() and np.isfinite(found.scaled).all()
    assert (found.scaled[0] == 0).all()


def test_options_of_the_public_code(rng, brain):
    gradient = rng.normal(size=SHAPE)
    found = postprocess(gradient, brain, 0, part="positive", quantile=0.95)
    positive = np.clip(gradient, 0, None)
    limit = np.quantile(positive[brain], 0.95)
    expected = np.where(brain & (positive >= limit), positive, 0)
    np.testing.assert_allclose(found.magnitude, expected)
    assert abs((found.magnitude > 0).sum() - 0.05 * brain.sum()) <= 1


def test_torch_in_torch_out_and_the_same(rng, brain):
    gradient = rng.normal(size=(2, *SHAPE)).astype(np.float32)
    ours = postprocess(torch.from_numpy(gradient), torch.from_numpy(brain))
    assert (
        isinstance(ours.scaled, torch.Tensor)
        and ours.scaled.dtype == torch.float32
    )
    theirs = postprocess(gradient, brain)
    np.testing.assert_array_equal(ours.scaled.numpy(), theirs.scaled)
    half = postprocess(
        torch.from_numpy(gradient).half(), torch.from_numpy(brain)
    )
    assert half.scaled.dtype == torch.float32


def test_bad_masks_and_maps_are_refused(rng, brain):
    gradient = rng.normal(size=SHAPE)
    for mask, message in (
        (brain[:-1], r"shape \(6, 8, 9\)"),
        (brain * 0.5, "0 and 1 alone"),
        (np.zeros(SHAPE, bool), "at least one voxel"),
        (brain[0], "shape"),
    ):
        with pytest.raises(ValueError, match=f"mask: .*{message}"):
            postprocess(gradient, mask)
    with pytest.raises(ValueError, match="NaN or Inf"):
        postprocess(np.where(brain, np.nan, 0), brain)
    with pytest.raises(ValueError, match="part='both'"):
        postprocess(gradient, brain, part="both")
    with pytest.raises(ValueError, match="sigma=-1"):
        postprocess(gradient, brain, sigma=-1)


# ---- forgetting --------------------------------------------------------------------------------


def test_layers_are_forgotten_from_the_last_one_down():
    encoder = dcgan(size=32)
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    assert depth(encoder) == 4
    order = ["to_latent", "convs.2", "convs.1", "convs.0"]
    copies = [randomised(encoder, n, seed=1) for n in range(5)]
    for n, copy in enumerate(copies):
        state = copy.state_dict()
        changed = [
            name
            for name in order
            if not torch.equal(
                state[f"{name}.weight"], before[f"{name}.weight"]
            )
        ]
        assert changed == order[:n]
        assert torch.equal(
            state["norms.2.running_var"], before["norms.2.running_var"]
        ) == (n < 2)
        for name in order[:n]:  # the cascade keeps what an earlier stage drew
            assert torch.equal(
                state[f"{name}.weight"],
                copies[-1].state_dict()[f"{name}.weight"],
            )
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name]), name
    fresh = randomised(encoder, seed=1).state_dict()
    assert (fresh["norms.1.running_mean"] == 0).all() and (
        fresh["norms.1.weight"] == 1
    ).all()


def test_random_weights_are_drawn_as_the_encoder_was_made():
    encoder = dcgan(size=32, width=16, latent=64)
    made = Encoder(width=16, latent=64, size=32)
    ours = randomised(encoder, seed=3)
    for a, b in zip(ours.parameters(), made.parameters(), strict=True):
        if a.dim() > 1:
            assert a.std().item() == pytest.approx(b.std().item(), rel=0.05)
            assert a.abs().max().item() == pytest.approx(
                b.abs().max().item(), rel=0.02
            )
    state = torch.get_rng_state()
    again = randomised(encoder, seed=3)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(ours.to_latent.weight, again.to_latent.weight)
    other = randomised(encoder, seed=4)
    assert not torch.equal(ours.to_latent.weight, other.to_latent.weight)


def test_another_encoder_forgets_too_and_too_many_layers_are_refused():
    encoder = Small()
    assert depth(encoder) == 2
    one = randomised(encoder, 1)
    assert torch.equal(one.net[0].weight, encoder.net[0].weight)
    assert not torch.equal(one.net[4].weight, encoder.net[4].weight)
    for layers in (-1, 3):
        with pytest.raises(
            ValueError, match=f"layers={layers}, expected 0 to 2"
        ):
            randomised(encoder, layers)


def test_cascade_is_spearmans_of_what_is_shown(rng, brain):
    encoder, x = Small(), volumes(2, SHAPE)
    found = cascade(
        encoder, x, brain, sigma=1.0, seed=2, samples=2, dimensions=[2, 0]
    )
    assert found.shape == (3, 2, 2)
    np.testing.assert_allclose(found[0], 1.0)
    maps = [
        postprocess(smoothgrad(e, x, 2, seed=2).numpy(), brain, 1.0).magnitude
        for e in (encoder, randomised(encoder, 1, 2))
    ]
    expected = spearmanr(*(m[1, 2][brain] for m in maps)).statistic
    assert found[1, 1, 0] == pytest.approx(expected, abs=1e-6)


# ---- pairs of dimensions -----------------------------------------------------------------------


def test_correlations_and_null_equal_a_loop(rng):
    x, y = rng.normal(size=(9, 3)), rng.normal(size=(9, 4))
    y[:, 2] -= 2 * x[:, 1]
    found = dimension_pairs.pair(x, y, permutations=40, seed=6)
    expected = np.array([[np.corrcoef(a, b)[0, 1] for b in y.T] for a in x.T])
    np.testing.assert_allclose(found.correlation, expected, atol=1e-12)
    assert found.best == (1, 2)
    draws = np.random.default_rng(6)
    null = []
    for _ in range(40):
        shuffled = x[draws.permutation(9)]
        null.append(
            max(abs(np.corrcoef(a, b)[0, 1]) for a in shuffled.T for b in y.T)
        )
    np.testing.assert_allclose(found.null, null, atol=1e-12)
    p = [
        [(1 + sum(n >= abs(r) for n in null)) / 41 for r in row]
        for row in expected
    ]
    np.testing.assert_allclose(found.p, p)


def test_the_null_of_the_maximum_is_calibrated():
    """Independent codes: the best of 20 pairs has p below .2 in a fifth of
    studies, not in most.
    """
    rng = np.random.default_rng(1)
    best = [
        dimension_pairs.pair(
            rng.normal(size=(15, 4)), rng.normal(size=(15, 5)), 99, s
        ).p.min()
        for s in range(300)
    ]
    assert abs(np.mean(np.array(best) <= 0.2) - 0.2) < 0.07


def test_a_shared_factor_is_found_whatever_its_sign(rng):
    x, y = rng.normal(size=(60, 8)), rng.normal(size=(60, 8))
    y[:, 5] = -x[:, 3] + 0.5 * rng.normal(size=60)
    found = dimension_pairs.pair(x, y, permutations=500)
    first = found.table("T1", "fALFF").iloc[0]
    assert (first["T1"], first["fALFF"], first["p"]) == (3, 5, 1 / 501)
    assert first["correlation"] == pytest.approx(
        np.corrcoef(x[:, 3], y[:, 5])[0, 1]
    )
    assert (
        found.best == (3, 5)
        and found.p[3, 5] == 1 / 501
        and (found.p < 0.05).sum() == 1
    )


def test_constant_dimensions_take_no_part(rng):
    x, y = rng.normal(size=(12, 3)), rng.normal(size=(12, 2))
    x[:, 1] = 1e6 / 3
    found = dimension_pairs.pair(x, y, permutations=50)
    assert np.isnan(found.correlation[1]).all() and np.isnan(found.p[1]).all()
    assert np.isfinite(found.null).all() and found.best[0] != 1
    with pytest.raises(ValueError, match="nothing to correlate"):
        dimension_pairs.pair(np.ones((12, 3)), y)


def test_bad_codes_are_refused(rng):
    x = rng.normal(size=(12, 3))
    for first, second, message in (
        (x[:3], x[:3], "at least 4 people"),
        (x, x[:9], "not the same"),
        (x * np.nan, x, "finite"),
        (x[0], x, "first: shape"),
    ):
        with pytest.raises(ValueError, match=message):
            dimension_pairs.pair(first, second)
    with pytest.raises(ValueError, match="permutations=0"):
        dimension_pairs.pair(x, x, permutations=0)


# ---- left stays left ---------------------------------------------------------------------------


def test_left_stays_left_from_a_planted_mask_to_the_figure(
    tiny_phantom, tmp_path
):
    folder, affine = tiny_phantom.path, tiny_phantom.affine
    lobe = (
        read_map(
            folder / "truth" / "temporal_lobe.nii.gz",
            tiny_phantom.mask.shape,
            affine,
        )
        > 0
    )
    worlds = apply_affine(affine, np.stack(np.indices(lobe.shape), -1))
    left = lobe & (worlds[..., 0] < -5)
    assert 0 < left.sum() < lobe.sum()
    # the same brain, stored from left to right and from right to left
    for flip in (False, True):
        planted, turned, brain = left, affine, tiny_phantom.mask
        if flip:
            planted, brain, turned = planted[::-1], brain[::-1], affine.copy()
            turned[:3, 3] = apply_affine(affine, (31, 0, 0))
            turned[:3, 0] *= -1
        encoder = Linear(planted.shape, latent=1)
        weights = torch.from_numpy(planted.astype(np.float32)).flatten()[None]
        encoder.layer.weight.data.copy_(-weights)
        gradient = smoothgrad(encoder, volumes(1, planted.shape))
        shown = postprocess(gradient[0, 0].numpy(), brain).scaled
        point, _ = peak(shown, turned)
        assert point[0] < -15
        figure = plotting.best_pair(
            {"T1": shown}, {"T1": 0}, np.float32(brain), turned
        )
        target = tmp_path / f"{flip}.png"
        figure.savefig(target)
        assert sides(figure) == "left"


def sides(figure):
    """Which half of the axial slice, from the person's left to right, holds
    the colours.
    """
    axial = [
        a for a in figure.axes if {t.get_text() for t in a.texts} >= {"L", "R"}
    ]
    found = set()
    for axes in axial:
        letters = {t.get_text(): t.get_position()[0] for t in axes.texts}
        low, high = axes.get_xlim()
        assert letters["L"] < letters["R"] and low < high
        overlay = axes.images[-1]
        values = np.ma.filled(
            np.ma.masked_invalid(overlay.get_array()).astype(float), 0
        )
        where = np.linspace(*overlay.get_extent()[:2], values.shape[1])
        found.add("left" if (values.sum(0) * where).sum() < 0 else "right")
    assert len(found) == 1, found
    return found.pop()


@pytest.mark.slow
def test_a_real_person_is_mapped_in_their_own_space(real_data, tmp_path):
    """Notebook 02 makes the folder of one real person; 06 runs on it, without
    pairs or null.
    """
    folder = real_data / "studyforrest_sub-02"
    runs = ROOT / "data" / "runs" / "smoke"
    if not list(runs.glob("CR-XX-CC-fold0-*/params.json")):
        pytest.skip("the small chain has not been run: make smoke")
    bold = next((folder / "func").glob("*_bold.nii.gz"))
    execute.execute(
        ROOT / "notebooks/02_preprocessing.ipynb",
        tmp_path / "02.ipynb",
        {
            "t1w": str(folder / "anat" / "sub-02_T1w.nii.gz"),
            "bold": str(bold),
            "size": 32,
            "output": str(tmp_path / "person"),
        },
    )
    edition = f"test-{tmp_path.name}"
    page = execute.execute(
        ROOT / "notebooks/06_saliency.ipynb",
        tmp_path / "06.ipynb",
        {
            "edition": edition,
            "cohort": str(tmp_path / "person"),
            "runs": str(runs),
            "output": str(tmp_path / "results"),
        },
    )
    drawn = {f.name for f in (ROOT / "figures" / edition).glob("*.png")}
    shutil.rmtree(ROOT / "figures" / edition)
    assert (
        "06_saliency_best_pair.png" in drawn
        and "06_saliency_pairs.png" not in drawn
    )
    assert "too few people" in page.read_text()
    person = cohort.load(tmp_path / "person")
    maps = sorted((tmp_path / "results" / "maps").glob("saliency_*.nii.gz"))
    assert len(maps) == 2
    for path in maps:
        shown = read_map(path, person.mask.shape, person.affine)
        assert (
            shown.max() == pytest.approx(1) and not shown[~person.mask].any()
        )
