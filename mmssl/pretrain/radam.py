r"""RAdam (Liu et al. 2020) that passes the memory once a step.

Once its variance can be rectified, a step of RAdam with learning rate
:math:`\lambda` and :math:`\epsilon` is one of Adam with :math:`\lambda r_t`
and :math:`\epsilon / \sqrt{1 - \beta_2^t}`, where

.. math::
    r_t = \sqrt{\frac{(\rho_t - 4)(\rho_t - 2)\rho_\infty}
    {(\rho_\infty - 4)(\rho_\infty - 2)\rho_t}}, \quad
    \rho_t = \rho_\infty - \frac{2 t \beta_2^t}{1 - \beta_2^t}, \quad
    \rho_\infty = \frac{2}{1 - \beta_2} - 1

and torch has Adam as one kernel, which takes a third of the time of its RAdam
on a CPU.
"""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.radam import radam

RECTIFIED = 5.0
"""rho above which the variance is rectified; steps before are plain ones of
momentum."""


class RAdam(torch.optim.RAdam):
    """`torch.optim.RAdam` without weight decay; its state is torch's.

    Parameters
    ----------
    params : iterable of Tensor
    lr : float
    betas : tuple of float
    eps : float
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, lr, betas, eps)

    @torch.no_grad()
    def step(self, closure: Callable | None = None):
        """Take a step of every parameter that has a gradient; return what the
        closure gives, which makes the gradients.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for (number, is_fused), rows in self._alike(group).items():
                take = _fused if is_fused else _plain
                take(group, number, *map(list, zip(*rows, strict=True)))
        return loss

    def _alike(self, group: dict) -> dict[tuple, list[tuple[Tensor, ...]]]:
        """Parameter, gradient, moments and number of steps of each parameter
        that has a gradient, by the step that comes next and whether it can be
        the kernel's. One that has stood still is at a step of its own.
        """
        lists: list[list[Tensor]] = [[], [], [], [], []]
        self._init_group(group, *lists)
        alike: dict[tuple, list[tuple[Tensor, ...]]] = {}
        for row in zip(*lists, strict=True):
            number = int(row[-1]) + 1
            # the kernel reads all four in the order of their memory
            layouts = {x.stride() for x in row[:4]}
            is_fused = row[0].device.type == "cpu" and len(layouts) == 1
            is_fused = is_fused and _length(group, number) > RECTIFIED
            alike.setdefault((number, is_fused), []).append(row)
        return alike


def _length(group: dict, number: int) -> float:
    """rho of a step."""
    beta2 = group["betas"][1]
    return _longest(group) - 2 * number * beta2**number / (1 - beta2**number)


def _longest(group: dict) -> float:
    """rho in the limit."""
    return 2 / (1 - group["betas"][1]) - 1


def _plain(group: dict, _: int, *lists: list[Tensor]) -> None:
    """Take a step as torch does."""
    beta1, beta2 = group["betas"]
    radam(
        *lists,
        beta1=beta1,
        beta2=beta2,
        lr=group["lr"],
        weight_decay=0.0,
        eps=group["eps"],
    )


def _fused(
    group: dict,
    number: int,
    params: list[Tensor],
    grads: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    numbers: list[Tensor],
) -> None:
    """Take a rectified step by the kernel."""
    beta1, beta2 = group["betas"]
    length, longest = _length(group, number), _longest(group)
    rectified = (length - 4) * (length - 2) * longest
    rectified /= (longest - 4) * (longest - 2) * length
    adam(
        params,
        grads,
        means,
        squares,
        [],
        numbers,
        fused=True,
        amsgrad=False,
        beta1=beta1,
        beta2=beta2,
        lr=group["lr"] * math.sqrt(rectified),
        weight_decay=0.0,
        eps=group["eps"] / math.sqrt(1 - beta2**number),
        maximize=False,
    )
