"""The papers' optimisers: their settings, and their rate at every step."""

import warnings

import numpy as np
import pytest
import torch

from mmssl.pretrain.larc import LARC
from mmssl.pretrain.optimisers import (
    LEARNING_RATES,
    chosen_rate,
    optimiser_and_schedule,
)
from mmssl.pretrain.radam import RAdam

NAMES = list(LEARNING_RATES)
STEPS = [2, 3, 9, 10, 15, 20, 33, 100]

every = pytest.mark.parametrize("name", NAMES)


def half_cosine(start, end, share):
    return end + (start - end) / 2 * (1 + np.cos(np.pi * share))


def one_cycle(largest, steps):
    """RAdam's rates and first momenta (004; Smith and Topin 2019)."""
    rates, momenta = [], []
    peak = 0.3 * steps - 1
    for t in range(steps):
        if t <= peak:
            share, ends = t / peak, (largest / 25, largest, 0.95, 0.85)
        else:
            share = (t - peak) / (steps - 1 - peak)
            ends = (largest, largest / 25e4, 0.85, 0.95)
        rates.append(half_cosine(ends[0], ends[1], share))
        momenta.append(half_cosine(ends[2], ends[3], share))
    return rates, momenta


def warm_up_and_cosine(largest, steps):
    """LARC's rates, as SwAV's public code tabulates them."""
    warm = steps // 10
    rates = list(np.linspace(0, largest, warm))
    for t in range(steps - warm):
        rates.append(half_cosine(largest, largest / 1000, t / (steps - warm)))
    return rates


def cosine(largest, steps):
    """The rates of momentum SGD."""
    return [half_cosine(largest, 0, t / steps) for t in range(steps)]


EXPECTED = {
    "radam": lambda largest, steps: one_cycle(largest, steps)[0],
    "larc": warm_up_and_cosine,
    "sgd": cosine,
}


def run(name, rate, steps):
    """Return group of parameters at every step of a run, as copies."""
    w = torch.nn.Parameter(torch.ones(3))
    made = optimiser_and_schedule(name, [w], rate, steps)
    assert made["lr_scheduler"]["interval"] == "step"
    optimiser = made["optimizer"]
    groups = []
    for _ in range(steps):
        w.grad = torch.ones(3)
        groups.append(dict(optimiser.param_groups[0]))
        optimiser.step()
        made["lr_scheduler"]["scheduler"].step()
    return groups, optimiser.param_groups[0]["lr"]


@every
@pytest.mark.parametrize("steps", STEPS)
def test_the_rate_of_every_step_is_the_papers(name, steps):
    for rate in (LEARNING_RATES[name], 0.37):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            groups, _ = run(name, rate, steps)
        found = [group["lr"] for group in groups]
        expected = EXPECTED[name](rate, steps)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-15)
        if name == "radam":
            momenta = [group["betas"][0] for group in groups]
            expected = one_cycle(rate, steps)[1]
            np.testing.assert_allclose(momenta, expected, rtol=1e-9)


def test_rates_that_the_papers_print():
    """4e-4 to .01 (004), .6 to .0006 (002, Table I), .001 (003)."""
    rates = {}
    for name in NAMES:
        groups, last = run(name, chosen_rate(name, None), 1000)
        lr = [group["lr"] for group in groups]
        rates[name] = [lr[0], max(lr), last]
    assert rates["radam"][:2] == pytest.approx([4e-4, 0.01], rel=1e-4)
    # what a run of one step more would have: the limit of the cosine
    assert rates["larc"] == pytest.approx([0, 0.6, 0.0006])
    assert rates["sgd"] == pytest.approx([0.001, 0.001, 0])


def test_settings_are_the_papers():
    made = {}
    for name in NAMES:
        parameters = [torch.nn.Parameter(torch.ones(2))]
        made[name] = optimiser_and_schedule(name, parameters, 0.1, 5)
    radam, larc, sgd = (made[name]["optimizer"] for name in NAMES)
    assert [type(x) for x in (radam, larc, sgd)] == [
        RAdam,
        LARC,
        torch.optim.SGD,
    ]
    for optimiser, decay in ((larc, 1e-6), (sgd, 1e-4)):
        (group,) = optimiser.param_groups
        assert group["momentum"] == 0.9 and group["weight_decay"] == decay
        assert not group["nesterov"] and group["dampening"] == 0
    (group,) = radam.param_groups
    assert group["betas"][1] == 0.999 and group["weight_decay"] == 0


def test_an_unknown_optimiser_and_a_bad_rate_are_named():
    message = r"optimiser='adam', expected one of \['radam', 'larc', 'sgd'\]"
    with pytest.raises(ValueError, match=message):
        chosen_rate("adam", None)
    with pytest.raises(ValueError, match=message):
        optimiser_and_schedule("adam", [], 0.1, 5)
    for rate in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"learning_rate={rate}, expect"):
            chosen_rate("sgd", rate)
    assert [chosen_rate(name, None) for name in NAMES] == [0.01, 0.6, 0.001]
    assert chosen_rate("larc", 0.2) == 0.2


def follow(made, weights, gradients):
    """Steps with given gradients, and the rates they had."""
    rates = []
    for step in gradients:
        for w, g in zip(weights, step, strict=True):
            w.grad = None if g is None else g.clone()
        rates.append(made["optimizer"].param_groups[0]["lr"])
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    return rates


@every
@pytest.mark.parametrize("stop", [2, 13])
def test_a_weight_is_frozen_by_no_gradient_and_the_run_resumes(
    name, stop, tmp_path
):
    """Frozen in the first six of twenty steps; stopped before and after."""
    draw = torch.Generator().manual_seed(101)
    start = [torch.randn(4, 3, generator=draw), torch.randn(5, generator=draw)]
    gradients = []
    for step in range(20):
        free, frozen = (torch.randn(w.shape, generator=draw) for w in start)
        gradients.append([free, frozen if step >= 6 else None])

    def fresh():
        weights = [torch.nn.Parameter(w.clone()) for w in start]
        return weights, optimiser_and_schedule(name, weights, 0.1, 20)

    whole, made = fresh()
    rates = follow(made, whole, gradients[:6])
    assert torch.equal(whole[1], start[1])
    assert whole[1] not in made["optimizer"].state
    assert not torch.equal(whole[0], start[0])
    rates += follow(made, whole, gradients[6:])
    assert not torch.equal(whole[1], start[1])

    broken, made = fresh()
    follow(made, broken, gradients[:stop])
    scheduler = made["lr_scheduler"]["scheduler"]
    state = {
        "weights": broken,
        "optimizer": made["optimizer"].state_dict(),
        "scheduler": scheduler.state_dict(),
    }
    torch.save(state, tmp_path / "state")
    state = torch.load(tmp_path / "state", weights_only=True)
    resumed, made = fresh()
    for w, saved in zip(resumed, state["weights"], strict=True):
        w.data.copy_(saved)
    made["optimizer"].load_state_dict(state["optimizer"])
    made["lr_scheduler"]["scheduler"].load_state_dict(state["scheduler"])
    assert follow(made, resumed, gradients[stop:]) == rates[stop:]
    assert all(torch.equal(*pair) for pair in zip(whole, resumed, strict=True))
