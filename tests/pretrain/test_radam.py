"""RAdam in one kernel against torch's own, step by step."""

import pytest
import torch

from mmssl.pretrain import radam
from mmssl.pretrain.radam import RAdam

STEPS = 40
SHAPES = {
    "volumes": (3, 2, 4, 5, 3),
    "matrix": (4, 7),
    "late": (5,),
    "seldom": (2, 3),
    "unused": (3,),
}


def parameters(dtype=torch.float32):
    """Return the same parameters each time, one with its channels last."""
    draw = torch.Generator().manual_seed(0)
    made = {}
    for name, shape in SHAPES.items():
        x = torch.randn(shape, generator=draw, dtype=dtype)
        if name == "volumes":
            x = x.to(memory_format=torch.channels_last_3d)
        made[name] = torch.nn.Parameter(x)
    return made


def trained(optimiser, made, steps=STEPS, start=0, mismatched=False):
    """Take steps under rates and momenta that change; return how many
    parameters had a gradient in each.
    """
    group = optimiser.param_groups[0]
    for step in range(start, start + steps):
        draw = torch.Generator().manual_seed(step)
        group["lr"] = 0.01 * (1 + step % 7)
        group["betas"] = 0.95 - 0.01 * (step % 5), 0.999
        for name, p in made.items():
            grad = torch.randn(p.shape, generator=draw, dtype=p.dtype)
            skips = {
                "late": step < 9,
                "seldom": step % 3 == 1,
                "unused": True,
            }
            p.grad = None
            if skips.get(name):
                continue
            p.grad = torch.empty_like(p).copy_(grad)
            if mismatched:
                p.grad = None
                p.grad = grad.clone()
        optimiser.step()
    return made


@pytest.mark.parametrize("mismatched", [False, True])
@pytest.mark.parametrize("eps", [1e-8, 0.1])
def test_every_step_is_that_of_torch(eps, mismatched):
    ours, theirs = parameters(), parameters()
    one = RAdam(ours.values(), eps=eps)
    other = torch.optim.RAdam(theirs.values(), eps=eps)
    for step in range(STEPS):
        trained(one, ours, 1, step, mismatched)
        trained(other, theirs, 1, step)
        for name, p in ours.items():
            torch.testing.assert_close(
                p, theirs[name], rtol=1e-5, atol=1e-5, msg=f"{name}, {step}"
            )
    for name in ("exp_avg", "exp_avg_sq", "step"):
        for key, state in one.state.items():
            (twin,) = (theirs[k] for k, p in ours.items() if p is key)
            torch.testing.assert_close(state[name], other.state[twin][name])


def test_rectified_steps_of_one_layout_are_the_kernels(monkeypatch):
    taken = {"adam": [], "radam": []}
    for name, seen in taken.items():
        original = getattr(radam, name)

        def noted(params, *others, original=original, seen=seen, **options):
            seen.append((len(params), options.get("fused", False)))
            return original(params, *others, **options)

        monkeypatch.setattr(radam, name, noted)
    made = {"matrix": parameters()["matrix"]}
    optimiser = RAdam(made.values())
    trained(optimiser, made, 9)
    assert taken == {"adam": [(1, True)] * 4, "radam": [(1, False)] * 5}


def test_state_is_that_of_torch_and_goes_on():
    whole = trained(RAdam((made := parameters()).values()), made)
    for kinds in ((RAdam, torch.optim.RAdam), (torch.optim.RAdam, RAdam)):
        made = parameters()
        first = kinds[0](made.values())
        trained(first, made, 13)
        second = kinds[1](made.values())
        second.load_state_dict(first.state_dict())
        trained(second, made, STEPS - 13, 13)
        for name, p in made.items():
            torch.testing.assert_close(p, whole[name], rtol=1e-5, atol=1e-5)


def test_a_closure_makes_the_gradients():
    w = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    optimiser = RAdam([w], lr=0.1)

    def closure():
        optimiser.zero_grad()
        loss = w.square().sum()
        loss.backward()
        return loss

    losses = [float(optimiser.step(closure).detach()) for _ in range(60)]
    assert losses[0] == 13 and losses[-1] < losses[5] < losses[0]
