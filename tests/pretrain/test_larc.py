"""LARC against its equation, entry by entry, and against a step by hand."""

import numpy as np
import pytest
import torch

from mmssl.pretrain.larc import LARC

SHAPES = {
    "volumes": (3, 2, 5),
    "matrix": (4, 7),
    "zero": (6,),
    "unused": (2, 3),
    "flat": (5,),
    "late": (3,),
}
DECAY = 0.3


def drawn(rng):
    """Return parameters, one of them zero, and the gradients of 5 steps: one
    without any, one zero in the first two, one that comes in the third.
    """
    parameters = {k: rng.normal(size=shape) for k, shape in SHAPES.items()}
    parameters["zero"] *= 0
    steps = []
    for step in range(5):
        gradients = {k: rng.normal(size=shape) for k, shape in SHAPES.items()}
        gradients["unused"] = None
        if step < 2:
            gradients["flat"] *= 0
            gradients["late"] = None
        steps.append(gradients)
    return parameters, steps


def length(x):
    """Return the Euclidean norm, entry by entry."""
    total = 0.0
    for value in x.ravel():
        total += value * value
    return total**0.5


def by_hand(parameters, steps, rates, momentum):
    """Return the parameters after steps of the equation, entry by entry."""
    values = {k: w.copy() for k, w in parameters.items()}
    velocity = {}
    for gradients, rate in zip(steps, rates, strict=True):
        for name, w in values.items():
            g = gradients[name]
            if g is None:
                continue
            of_w, of_g = length(w), length(g)
            scale, decay = 1.0, 0.0
            if of_w > 0 and of_g > 0:
                scale = 0.001 * of_w / (of_g + DECAY * of_w + 1e-8)
                decay = DECAY
            first = name not in velocity
            v = velocity.setdefault(name, np.zeros_like(w))
            for i in np.ndindex(w.shape):
                slope = scale * (g[i] + decay * w[i])
                v[i] = slope if first else momentum * v[i] + slope
                w[i] -= rate * v[i]
    return values


def tensors(arrays):
    """Return arrays as parameters of double precision."""
    return {
        k: torch.nn.Parameter(torch.from_numpy(x.copy()))
        for k, x in arrays.items()
    }


def take(optimiser, weights, gradients, rate):
    """One step with given gradients."""
    for name, w in weights.items():
        g = gradients[name]
        w.grad = None if g is None else torch.from_numpy(g.copy())
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.step()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_equals_the_equation_entry_by_entry(rng, momentum):
    parameters, steps = drawn(rng)
    rates = [0.6, 3.0, 40.0, 0.1, 7.0]
    weights = tensors(parameters)
    optimiser = LARC(
        weights.values(), lr=1.0, momentum=momentum, weight_decay=DECAY
    )
    for gradients, rate in zip(steps, rates, strict=True):
        take(optimiser, weights, gradients, rate)
    expected = by_hand(parameters, steps, rates, momentum)
    for name, w in weights.items():
        np.testing.assert_allclose(
            w.detach().numpy(), expected[name], rtol=1e-12, err_msg=name
        )
    assert np.array_equal(weights["unused"].detach(), parameters["unused"])


def test_the_first_step_by_hand():
    """w = (3, 4) of length 5, g = (0, 2), decay .2: the gradient becomes
    .001 · 5 / (2 + 1) · (.6, 2.8); a zero parameter follows its own.
    """
    w = torch.nn.Parameter(torch.tensor([3.0, 4.0], dtype=torch.float64))
    zero = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimiser = LARC([w, zero], lr=0.6, momentum=0.9, weight_decay=0.2)
    w.grad = torch.tensor([0.0, 2.0], dtype=torch.float64)
    zero.grad = torch.tensor([1.0, 0.0, -2.0], dtype=torch.float64)
    optimiser.step()
    scale = 0.6 * 0.001 * 5 / 3
    expected = [3 - scale * 0.6, 4 - scale * 2.8]
    np.testing.assert_allclose(w.detach(), expected, rtol=1e-11)
    np.testing.assert_allclose(zero.detach(), [-0.6, 0.0, 1.2], rtol=1e-12)


def test_a_step_is_as_long_for_any_length_of_the_gradient(rng):
    """Without decay, a thousandth of the weights' length times the rate."""
    for scale in (1e-3, 1.0, 1e4):
        w = torch.nn.Parameter(torch.from_numpy(rng.normal(size=(4, 3))))
        before = w.detach().clone()
        w.grad = torch.from_numpy(scale * rng.normal(size=(4, 3)))
        LARC([w], lr=0.5).step()
        moved = float((w.detach() - before).norm())
        expected = 0.5 * 0.001 * float(before.norm())
        assert moved == pytest.approx(expected, rel=1e-4)


def test_groups_have_their_own_decay_and_keep_it(rng):
    """Each equals an optimiser of its own."""
    parameters, steps = drawn(rng)
    joined, alone = tensors(parameters), tensors(parameters)
    groups, single = [], []
    for number, name in enumerate(SHAPES):
        options = {"lr": 2.0, "momentum": 0.5, "weight_decay": 0.2 * number}
        groups.append({"params": [joined[name]], **options})
        single.append(LARC([alone[name]], **options))
    optimiser = LARC(groups, lr=2.0)
    for gradients in steps:
        take(optimiser, joined, gradients, 2.0)
        for name, other in zip(SHAPES, single, strict=True):
            take(other, {name: alone[name]}, gradients, 2.0)
    assert all(torch.equal(joined[k], alone[k]) for k in SHAPES)
    decays = [group["weight_decay"] for group in optimiser.param_groups]
    assert decays == [0.2 * number for number in range(len(SHAPES))]


def test_the_decay_is_given_back_after_an_error(monkeypatch):
    seen = []

    def fails(self, closure=None):
        seen.append([group["weight_decay"] for group in self.param_groups])
        raise MemoryError

    monkeypatch.setattr(torch.optim.SGD, "step", fails)
    w = torch.nn.Parameter(torch.ones(2))
    w.grad = torch.ones(2)
    optimiser = LARC([w], lr=0.1, weight_decay=DECAY)
    with pytest.raises(MemoryError):
        optimiser.step()
    assert seen == [[0.0]]
    assert optimiser.param_groups[0]["weight_decay"] == DECAY


def test_gradients_are_those_of_the_closure(rng):
    start = rng.normal(size=(3, 2))
    weights = tensors({"given": start, "computed": start})
    options = {"lr": 0.7, "momentum": 0.9, "weight_decay": DECAY}
    given = LARC([weights["given"]], **options)
    computed = LARC([weights["computed"]], **options)

    def closure():
        computed.zero_grad()
        loss = (weights["computed"] ** 3).sum()
        loss.backward()
        return loss

    for _ in range(3):
        w = weights["given"]
        w.grad = 3 * w.detach() ** 2
        value = float((w.detach() ** 3).sum())
        given.step()
        with torch.no_grad():
            assert float(computed.step(closure)) == pytest.approx(value)
    assert torch.equal(weights["given"], weights["computed"])
    assert not np.array_equal(weights["given"].detach(), start)


@pytest.mark.parametrize("stop", [1, 3])
def test_a_saved_state_goes_on_to_the_bit(rng, tmp_path, stop):
    """Also where a parameter had no gradient yet."""
    parameters, steps = drawn(rng)
    whole, broken = tensors(parameters), tensors(parameters)
    options = {"lr": 3.0, "momentum": 0.9, "weight_decay": DECAY}
    optimiser = LARC(whole.values(), **options)
    for gradients in steps:
        take(optimiser, whole, gradients, 3.0)
    first = LARC(broken.values(), **options)
    for gradients in steps[:stop]:
        take(first, broken, gradients, 3.0)
    torch.save(first.state_dict(), tmp_path / "state")
    resumed = LARC(broken.values(), lr=0.1)
    resumed.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    assert resumed.param_groups[0]["weight_decay"] == DECAY
    for gradients in steps[stop:]:
        take(resumed, broken, gradients, 3.0)
    assert all(torch.equal(whole[k], broken[k]) for k in SHAPES)
