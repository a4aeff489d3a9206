"""InfoNCE against slow loops written from the equation, closed forms and
limits.
"""

import math
from functools import partial
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmssl.losses import infonce
from mmssl.losses.infonce import info_nce, info_nce_all_locations


def loop(local, anchor, clip=20.0, penalty=0.04, negatives="locations"):
    """The equation of 004, section II-B, one score at a time."""
    batch, channels, locations = local.shape
    score, squares = {}, []
    for a, b, n in product(range(batch), range(batch), range(locations)):
        raw = float(anchor[a] @ local[b, :, n]) / math.sqrt(channels)
        score[a, b, n] = clip * math.tanh(raw / clip)
        squares.append(raw * raw)
    total = 0.0
    for a, n in product(range(batch), range(locations)):
        positive = score[a, a, n]
        others = [b for b in range(batch) if b != a]
        if negatives == "locations":
            pairs = product(others, range(locations))
            contrasted = [score[a, b, k] for b, k in pairs]
        else:
            contrasted = [score[other, a, n] for other in others]
        candidates = math.exp(positive) + sum(map(math.exp, contrasted))
        total -= positive - math.log(candidates)
    mean_square = sum(squares) / len(squares)
    return total / (batch * locations), penalty * mean_square


def embeddings(batch, channels, locations, scale=1.0, seed=0):
    draw = torch.Generator().manual_seed(seed)
    local = torch.randn(
        batch, channels, locations, generator=draw, dtype=torch.float64
    )
    anchor = torch.randn(batch, channels, generator=draw, dtype=torch.float64)
    return local * scale, anchor


@pytest.mark.parametrize("negatives", ["locations", "representations"])
@pytest.mark.parametrize("shape", [(2, 3, 1), (3, 5, 4), (5, 2, 7)])
@pytest.mark.parametrize("clip", [1.5, 20.0, 60.0])
def test_equals_the_loop_of_the_paper(shape, negatives, clip):
    local, anchor = embeddings(*shape, scale=4.0)
    parts = info_nce(local, anchor, clip=clip, negatives=negatives)
    assert [float(v) for v in parts] == pytest.approx(
        loop(local, anchor, clip=clip, negatives=negatives)
    )


def test_hand_computed_values():
    x = torch.tensor([[2.0, 0, 0, 0], [0, 2, 0, 0]], dtype=torch.float64)
    loss, penalty = info_nce(x[..., None], x)
    assert float(loss) == pytest.approx(0.1277218498, abs=1e-9)
    assert float(penalty) == pytest.approx(0.08)
    local = torch.arange(1, 25, dtype=torch.float64).view(2, 4, 3) / 10
    anchor = torch.arange(1, 9, dtype=torch.float64).view(2, 4) / 10
    loss, penalty = info_nce(local, anchor)
    assert float(loss) == pytest.approx(1.1818726088, abs=1e-9)
    assert float(penalty) == pytest.approx(0.0818266667, abs=1e-9)


@pytest.mark.parametrize(("batch", "locations"), [(64, 1), (64, 512), (7, 5)])
def test_without_information_it_is_the_log_of_the_candidates(batch, locations):
    loss, penalty = info_nce(
        torch.zeros(batch, 8, locations), torch.zeros(batch, 8)
    )
    expected = math.log(1 + (batch - 1) * locations)
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    assert infonce.chance_level(batch, locations) == pytest.approx(expected)
    assert float(penalty) == 0
    loss, _ = info_nce(
        torch.zeros(batch, 8, locations),
        torch.zeros(batch, 8),
        negatives="representations",
    )
    level = infonce.chance_level(batch, locations, "representations")
    assert float(loss) == pytest.approx(level, rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 5), st.integers(1, 6), st.integers(0, 10**6))
def test_invariant_to_order_of_locations_and_samples(batch, locations, seed):
    local, anchor = embeddings(batch, 4, locations, scale=3.0, seed=seed)
    draw = torch.Generator().manual_seed(seed)
    rows, places = (
        torch.randperm(n, generator=draw) for n in (batch, locations)
    )
    moved = info_nce(local[rows][..., places], anchor[rows])
    for one, other in zip(info_nce(local, anchor), moved, strict=True):
        torch.testing.assert_close(one, other)


def test_own_other_locations_are_no_negatives():
    """Moving sample 0 along its own anchor, which no other anchor sees, acts
    on positives alone.
    """
    local, _ = embeddings(3, 4, 5)
    anchor = torch.eye(4, dtype=torch.float64)[:3]
    moved = local.clone()
    moved[0, 0, 1:] += 3.0
    before, after = (20 * torch.tanh(x[0, 0] / 2 / 20) for x in (local, moved))
    others = (20 * torch.tanh(local[1:, 0] / 2 / 20)).flatten().logsumexp(0)
    change = torch.nn.functional.softplus(
        others - after
    ) - torch.nn.functional.softplus(others - before)
    difference = (
        info_nce(moved, anchor, penalty=0)[0]
        - info_nce(local, anchor, penalty=0)[0]
    )
    torch.testing.assert_close(difference, change.sum() / 15)


@pytest.mark.parametrize("chunk", [1, 500, 2**28])
def test_gradients(chunk, monkeypatch):
    monkeypatch.setattr(infonce, "CHUNK_BYTES", chunk)
    monkeypatch.setattr(infonce, "_BLOCK_BYTES", 300)
    inputs = [x.requires_grad_() for x in embeddings(3, 4, 5)]
    for negatives, clip in product(
        ("locations", "representations"), (1.5, 20.0, 60.0)
    ):
        loss = partial(info_nce, clip=clip, negatives=negatives)
        assert torch.autograd.gradcheck(loss, inputs)


@pytest.mark.parametrize("chunk", [1, 1_000, 2**28])
def test_all_locations_equal_the_mean_over_anchor_locations(
    chunk, monkeypatch
):
    monkeypatch.setattr(infonce, "CHUNK_BYTES", chunk)
    local, _ = embeddings(3, 4, 5, scale=2.0)
    anchors = embeddings(3, 4, 7, scale=2.0, seed=1)[0]
    inputs = [x.clone().requires_grad_() for x in (local, anchors)]
    parts = info_nce_all_locations(*inputs)
    each = [loop(local, anchors[..., n]) for n in range(7)]
    for k in range(2):
        assert float(parts[k].detach()) == pytest.approx(
            sum(e[k] for e in each) / 7
        )
    again = [x.clone().requires_grad_() for x in (local, anchors)]
    direct = (
        sum(sum(info_nce(again[0], again[1][..., n])) for n in range(7)) / 7
    )
    expected = torch.autograd.grad(direct, again)
    for one, other in zip(
        torch.autograd.grad(sum(parts), inputs), expected, strict=True
    ):
        torch.testing.assert_close(one, other)


def test_scores_alive_at_a_time_take_what_they_may(monkeypatch):
    monkeypatch.setattr(infonce, "CHUNK_BYTES", 1_000)
    contrast, taken = infonce._contrast, []

    def seen(scores, *others):
        taken.append(scores.nbytes)
        return contrast(scores, *others)

    monkeypatch.setattr(infonce, "_contrast", seen)
    info_nce_all_locations(embeddings(3, 4, 5)[0], embeddings(3, 4, 7)[0])
    # 15 scores in fp64 of each query, 7 of them a sample
    assert taken == [840, 840, 840]


def test_half_is_promoted_and_extremes_stay_finite():
    local, anchor = embeddings(4, 8, 3, scale=100.0)
    low = info_nce(local.bfloat16(), anchor.bfloat16())
    assert low[0].dtype == torch.float32
    reference = info_nce(local.bfloat16().double(), anchor.bfloat16().double())
    torch.testing.assert_close(
        low[0].double(), reference[0], rtol=1e-5, atol=1e-5
    )
    assert all(
        v.isfinite() for v in info_nce(local.float() * 1e6, anchor.float())
    )
    with torch.autocast("cpu", torch.bfloat16):
        inside = info_nce(local.float(), anchor.float())
    torch.testing.assert_close(inside, info_nce(local.float(), anchor.float()))
    both = local.float() / 50, embeddings(4, 8, 5, seed=1)[0].float()
    with torch.autocast("cpu", torch.bfloat16):
        inside = info_nce_all_locations(*both)
    exact = info_nce_all_locations(*(x.double() for x in both))
    torch.testing.assert_close(
        inside, exact, check_dtype=False, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("clip", [20.0, 500.0])
def test_gradients_of_extremes_stay_finite(clip):
    """Also where every other score is out of a positive's reach."""
    local = torch.full((3, 2, 4), -900.0)
    local[0] = 900.0
    inputs = local.requires_grad_(), torch.ones(3, 2, requires_grad=True)
    loss, penalty = info_nce(*inputs, clip=clip)
    for part in (loss, penalty):
        gradients = torch.autograd.grad(part, inputs, retain_graph=True)
        assert all(g.isfinite().all() for g in gradients)


@pytest.mark.parametrize(
    ("local", "anchor", "options", "message"),
    [
        ((1, 4, 3), (1, 4), {}, "at least 2"),
        ((3, 4, 3), (2, 4), {}, "same B and D"),
        ((3, 4), (3, 4), {}, "same B and D"),
        ((3, 4, 3), (3, 4), {"negatives": "both"}, "both"),
    ],
)
def test_bad_input(local, anchor, options, message):
    with pytest.raises(ValueError, match=message):
        info_nce(torch.zeros(local), torch.zeros(anchor), **options)
