"""The bound against its definition, Jensen and a tractable model; the Laplace
against SciPy.
"""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmssl.losses.elbo import importance_weighted_bound, laplace_log_density


def loop(log_weights, looser):
    """Definition of the bounds, one weight at a time, without logarithms of
    sums.
    """
    modalities, samples, rows = log_weights.shape
    bounds = []
    for b in range(rows):
        sums, log_means = [], []
        for m in range(modalities):
            weights = [math.exp(log_weights[m, k, b]) for k in range(samples)]
            sums.append(sum(weights))
            log_means.append(math.log(sum(weights) / samples))
        if looser:
            bounds.append(sum(log_means) / modalities)
        else:
            bounds.append(math.log(sum(sums) / (modalities * samples)))
    return torch.tensor(bounds, dtype=torch.float64)


@pytest.mark.parametrize(
    ("looser", "expected"), [(True, 0.8958797346), (False, 0.9162907319)]
)
def test_hand_computed_values(looser, expected):
    weights = torch.tensor([[[1.0], [3]], [[2], [4]]], dtype=torch.float64)
    bound = importance_weighted_bound(weights.log(), looser)
    assert float(bound) == pytest.approx(expected, abs=1e-10)
    # one modality, one sample: the ELBO's sample
    single = torch.tensor([[[-3.5, 2.0]]])
    torch.testing.assert_close(
        importance_weighted_bound(single, looser), single[0, 0]
    )


@pytest.mark.parametrize("looser", [True, False])
@pytest.mark.parametrize("shape", [(2, 3, 5), (3, 7, 2), (1, 4, 3)])
def test_equals_the_definition_and_has_its_gradient(rng, shape, looser):
    weights = torch.from_numpy(rng.normal(0, 3, shape)).requires_grad_()
    bound = importance_weighted_bound(weights, looser)
    torch.testing.assert_close(bound.detach(), loop(weights.detach(), looser))
    assert torch.autograd.gradcheck(
        lambda w: importance_weighted_bound(w, looser), weights
    )


@pytest.mark.parametrize("looser", [True, False])
def test_of_what_is_missing_the_bound_knows_nothing(rng, looser):
    """A row with some of the modalities has the bound of these alone."""
    weights = torch.from_numpy(rng.normal(0, 3, (3, 4, 7)))
    kinds = [[1, 1, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1]]
    kinds += [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    present = torch.tensor(kinds).T.bool()
    found = importance_weighted_bound(weights, looser, present)
    for b in range(7):
        alone = loop(weights[present[:, b], :, b : b + 1], looser)
        torch.testing.assert_close(found[b : b + 1], alone)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 6),
    st.floats(-1e6, 1e6),
    st.integers(0, 10**6),
)
def test_jensen_shift_and_order(modalities, samples, shift, seed):
    draw = torch.Generator().manual_seed(seed)
    weights = 5 * torch.randn(
        modalities, samples, 3, generator=draw, dtype=torch.float64
    )
    looser, tight = (
        importance_weighted_bound(weights, way) for way in (True, False)
    )
    assert (looser <= tight + 1e-9).all()
    # a bound of one sample is lower still
    assert (weights.mean((0, 1)) <= looser + 1e-9).all()
    for way, bound in ((True, looser), (False, tight)):
        moved = importance_weighted_bound(weights + shift, way)
        torch.testing.assert_close(moved - shift, bound, rtol=0, atol=1e-8)
        order = torch.randperm(samples, generator=draw)
        torch.testing.assert_close(
            importance_weighted_bound(weights[:, order], way), bound
        )


def test_bound_rises_to_the_evidence_of_a_model_whose_evidence_is_known(rng):
    """z ~ N(0, 1), x | z ~ N(z, 1), so that x ~ N(0, 2); both experts are
    wrong.
    """
    x, repeats = 0.7, 4000
    normal = scipy.stats.norm
    evidence = normal(0, 2**0.5).logpdf(x)
    means = []
    for samples in (1, 5, 100):
        centres = np.array([0.1, 0.8])[:, None, None]
        z = centres + rng.normal(size=(2, samples, repeats))
        mixture = np.logaddexp(
            *[normal(c, 1).logpdf(z) for c in (0.1, 0.8)]
        ) - np.log(2)
        weights = normal.logpdf(z) + normal(z, 1).logpdf(x) - mixture
        bound = importance_weighted_bound(
            torch.from_numpy(weights), looser=False
        )
        means.append(float(bound.mean()))
    assert means[0] < means[1] < means[2] < evidence + 0.01
    assert means[2] == pytest.approx(evidence, abs=0.01)


def test_half_precision_is_promoted_and_double_kept():
    weights = torch.tensor([[[1000.0], [1001.0]]])
    assert importance_weighted_bound(weights.half()).dtype == torch.float32
    assert importance_weighted_bound(weights.double()).dtype == torch.float64
    expected = 1000 + math.log((1 + math.e) / 2)
    assert float(importance_weighted_bound(weights)) == pytest.approx(
        expected, rel=1e-6
    )


@pytest.mark.parametrize("shape", [(2, 3), (0, 3, 2), (2, 0, 2), (1, 2, 3, 4)])
def test_bad_shapes(shape):
    with pytest.raises(ValueError, match="modalities, K, B"):
        importance_weighted_bound(torch.zeros(shape))


@pytest.mark.parametrize("scale", [0.75, "vector"])
def test_laplace_density_equals_scipy(rng, scale):
    x, loc = rng.normal(size=(4, 7)), rng.normal(size=(4, 7))
    scale = rng.uniform(0.2, 2, 7) if scale == "vector" else scale
    expected = scipy.stats.laplace(loc, scale).logpdf(x).sum(-1)
    wide = torch.as_tensor(scale)
    density = laplace_log_density(
        torch.from_numpy(x), torch.from_numpy(loc), wide
    )
    np.testing.assert_allclose(density, expected, rtol=1e-12)
    density = laplace_log_density(
        torch.from_numpy(x).float(), torch.from_numpy(loc).float(), wide
    )
    assert density.dtype == torch.float64
    np.testing.assert_allclose(density, expected, rtol=1e-5)


def test_a_volume_of_terms_is_summed_without_loss(rng):
    x = rng.normal(size=(1, 64**3)).astype(np.float32)
    exact = -np.abs(x.astype(np.float64) / 0.75).sum() - x.size * math.log(1.5)
    density = laplace_log_density(torch.from_numpy(x), 0.0, 0.75)
    assert float(density) == pytest.approx(exact, abs=0.01)
