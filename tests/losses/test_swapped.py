"""Codes and swapped prediction, against loops over the equations and against
another solver of the transport.
"""

import math

import numpy as np
import ot
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmssl.losses import sinkhorn, swapped_prediction
from mmssl.losses.swapped import swapped_chance_level


def draws(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def loop(scores, epsilon, iterations):
    """SwAV's own steps, on numbers one by one."""
    rows, columns = len(scores), len(scores[0])
    q = [[math.exp(s / epsilon) for s in row] for row in scores]
    for _ in range(iterations):
        for k in range(columns):
            total = sum(q[b][k] for b in range(rows))
            for b in range(rows):
                q[b][k] /= total * columns
        for b in range(rows):
            total = sum(q[b])
            for k in range(columns):
                q[b][k] /= total * rows
    return [[value * rows for value in row] for row in q]


@pytest.mark.parametrize("rows, columns", [(7, 3), (4, 9), (5, 1), (1, 4)])
@pytest.mark.parametrize("epsilon, iterations", [(0.5, 1), (0.3, 3), (2, 8)])
def test_codes_are_those_of_the_loop(rows, columns, epsilon, iterations):
    scores = draws(rows, columns)
    found = sinkhorn(scores, epsilon, iterations)
    expected = loop(scores.tolist(), epsilon, iterations)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_codes_converge_to_the_optimal_transport():
    scores = draws(12, 5)
    rows, columns = np.full(12, 1 / 12), np.full(5, 1 / 5)
    plan = ot.sinkhorn(rows, columns, -scores.numpy(), 0.4, stopThr=1e-12)
    found = sinkhorn(scores, 0.4, 500)
    np.testing.assert_allclose(found / 12, plan, atol=1e-9)
    # each prototype gets its share
    np.testing.assert_allclose(found.sum(0), 12 / 5, rtol=1e-8)


@given(
    st.integers(2, 9),
    st.integers(2, 9),
    st.floats(-1e4, 1e4),
    st.integers(0, 99),
)
def test_rows_sum_to_one_and_only_differences_count(rows, columns, far, seed):
    scores = draws(rows, columns, seed=seed)
    found = sinkhorn(scores)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-9)
    np.testing.assert_allclose(sinkhorn(scores + far), found, atol=1e-6)
    order = torch.randperm(rows)
    np.testing.assert_allclose(
        sinkhorn(scores[order]), found[order], atol=1e-12
    )


def test_large_scores_stay_finite_also_in_half():
    scores = 500 * draws(6, 4)
    assert sinkhorn(scores.half()).dtype == torch.float32
    assert sinkhorn(scores.half()).isfinite().all()
    assert sinkhorn(scores, 1e-3).isfinite().all()


@pytest.mark.parametrize(("people", "prototypes"), [(40, 4), (4, 40)])
def test_many_iterations_stay_finite_and_even(people, prototypes):
    scores = draws(people, prototypes).float()
    found = sinkhorn(scores, 0.5, 200)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(found.sum(0), people / prototypes, rtol=1e-4)


@pytest.mark.parametrize("spread", [10, 40, 43, 44, 150, 600])
def test_codes_are_as_exact_with_factors_as_with_logarithms(spread):
    """Single precision has its logarithms from a spread of 44 on."""
    scores = draws(20, 7)
    scores = (scores - scores.min()) / (scores.max() - scores.min()) * spread
    logs = scores.float().double()
    for _ in range(3):
        logs = logs - logs.logsumexp(0)
        logs = logs - logs.logsumexp(1, keepdim=True)
    found = sinkhorn(scores.float(), 1.0, 3)
    np.testing.assert_allclose(found, logs.exp(), rtol=2e-4, atol=1e-7)


def test_collapsed_features_share_all_prototypes_out():
    """Equal rows get equal codes: 1 / K of each prototype."""
    same = draws(1, 6).expand(9, 6)
    np.testing.assert_allclose(sinkhorn(same), 1 / 6, rtol=1e-6)


@pytest.mark.parametrize(
    "views, assigned", [(2, (0, 1)), (5, (0, 1)), (4, (2,))]
)
def test_the_equation_row_by_row(views, assigned):
    rows, columns, temperature = 5, 3, 0.3
    scores = [draws(rows, columns, seed=k) for k in range(views)]
    codes = {k: sinkhorn(scores[k], 0.5) for k in assigned}
    total = 0.0
    for k in assigned:
        own = 0.0
        for v in range(views):
            if v == k:
                continue
            for b in range(rows):
                exponents = [
                    math.exp(float(s) / temperature) for s in scores[v][b]
                ]
                for j in range(columns):
                    p = exponents[j] / sum(exponents)
                    own -= float(codes[k][b, j]) * math.log(p) / rows
        total += own / (views - 1)
    found = swapped_prediction(codes, scores, temperature)
    assert float(found) == pytest.approx(total / len(assigned), rel=1e-10)


def test_two_views_are_half_of_the_papers_sum():
    first, second = draws(6, 4), draws(6, 4, seed=1)
    codes = {0: sinkhorn(first), 1: sinkhorn(second)}
    printed = 0.0
    for predicted, code in ((first, codes[1]), (second, codes[0])):
        log = torch.log_softmax(predicted / 0.1, 1)
        printed -= (code * log).sum(1).mean()
    found = swapped_prediction(codes, [first, second])
    torch.testing.assert_close(found, printed / 2)


def test_equal_scores_give_the_chance_level():
    scores = [torch.ones(5, 8) for _ in range(3)]
    codes = {0: sinkhorn(draws(5, 8).float())}
    found = swapped_prediction(codes, scores)
    assert float(found) == pytest.approx(swapped_chance_level(8))


def test_gradients_reach_predictions_and_not_codes():
    scores = [draws(5, 4, seed=k).requires_grad_() for k in range(3)]
    codes = {0: sinkhorn(scores[0])}
    swapped_prediction(codes, scores).backward()
    assert scores[0].grad is None
    assert (scores[1].grad != 0).all() and (scores[2].grad != 0).all()

    def loss(*predicted):
        return swapped_prediction({0: codes[0]}, [scores[0], *predicted])

    assert torch.autograd.gradcheck(loss, scores[1:])


@pytest.mark.parametrize(
    "scores, options, message",
    [
        (torch.ones(3), {}, r"scores \(3,\), expected \(B, K\)"),
        (torch.ones(0, 3), {}, r"scores \(0, 3\), expected \(B, K\)"),
        (torch.ones(2, 3), {"epsilon": 0}, "epsilon=0"),
        (torch.ones(2, 3), {"iterations": 0}, "iterations=0"),
    ],
)
def test_codes_of_nothing(scores, options, message):
    with pytest.raises(ValueError, match=message):
        sinkhorn(scores, **options)


@pytest.mark.parametrize(
    "codes, scores, temperature, message",
    [
        ({0: (2, 3)}, [(2, 3)], 0.1, "1 views"),
        ({0: (2, 3)}, [(2, 3), (2, 4)], 0.1, r"\(2, 4\)"),
        ({0: (4, 3)}, [(2, 3), (2, 3)], 0.1, r"\(4, 3\)"),
        ({}, [(2, 3), (2, 3)], 0.1, r"codes of the views \[\]"),
        ({2: (2, 3)}, [(2, 3), (2, 3)], 0.1, r"\[2\], expected some from 0"),
        ({0: (2, 3)}, [(2, 3), (2, 3)], 0.0, "temperature=0"),
    ],
)
def test_predictions_that_do_not_fit(codes, scores, temperature, message):
    codes = {k: torch.ones(shape) for k, shape in codes.items()}
    with pytest.raises(ValueError, match=message):
        swapped_prediction(codes, [torch.ones(s) for s in scores], temperature)
