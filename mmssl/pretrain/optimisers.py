"""The papers' optimisers by name, each with its learning-rate schedule, which
moves every step.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from mmssl.pretrain.larc import LARC
from mmssl.pretrain.radam import RAdam

LEARNING_RATES = {"radam": 0.01, "larc": 0.6, "sgd": 1e-3}
"""Optimiser -> the largest learning rate of its paper: 004 (section III-C),
002 (Table I), 003 (section 4).
"""
DIV_FACTOR = 25.0
"""Largest rate of OneCycle over the first: 4e-4 to .01 in 004."""
WARM_UP = 0.1
"""Share of the steps: SwAV's default, 10 epochs, of the 100 of 002."""
LAST_SHARE = 1e-3
"""Last rate over the largest: .0006 of .6 in 002, Table I."""


def chosen_rate(optimiser: str, learning_rate: float | None) -> float:
    """The largest learning rate asked for, or for None that of the optimiser's
    paper; ValueError for an unknown optimiser, and for a rate not above 0 or
    not finite.
    """
    if optimiser not in LEARNING_RATES:
        raise ValueError(
            f"optimiser={optimiser!r}, expected one of {list(LEARNING_RATES)}"
        )
    if learning_rate is None:
        return LEARNING_RATES[optimiser]
    if not 0 < learning_rate < float("inf"):
        raise ValueError(f"learning_rate={learning_rate}, expected above 0")
    return learning_rate


def optimiser_and_schedule(
    name: str,
    parameters: Iterable[Tensor],
    learning_rate: float,
    steps: int,
) -> dict:
    r"""An optimiser with its schedule, as Lightning takes them.

    With :math:`\lambda` the largest learning rate, T the steps and t = 0, …,
    T - 1 the step:

    - "radam": RAdam under OneCycle, from :math:`\lambda / 25` up to
      :math:`\lambda` and down to :math:`\lambda / 25 \cdot 10^{-4}`, its first
      momentum cycled against the rate (torch's defaults; 004, section III-C).
    - "larc": :class:`mmssl.pretrain.larc.LARC` with momentum .9 and weight
      decay 1e-6. Linear from 0 to :math:`\lambda` in the first tenth of the
      steps, W of them, :math:`\lambda t / (W - 1)`; then half a cosine
      towards :math:`\lambda / 1000`,

      .. math::
          \lambda \left( .001 + \frac{.999}{2} \left( 1 + \cos \pi
          \frac{t - W}{T - W} \right) \right)

      (002, Table I; warm-up and momentum of SwAV's public code, in which as
      here a warm-up of one step stands still). The paper's .6 belongs to
      batches of 1024 images or 128 volumes, and is not scaled to others.
    - "sgd": SGD with momentum .9 and weight decay 1e-4 (the decay is of the
      public code), :math:`\lambda (1 + \cos \pi t / T) / 2` (003, section 4;
      its code moves it once an epoch).

    A parameter without a gradient is left alone, and so is its state.

    Parameters
    ----------
    name : {"radam", "larc", "sgd"}
    parameters : iterable of Tensor
    learning_rate : float
        The largest of the schedule.
    steps : int
        Of the whole run.

    Returns
    -------
    dict
        "optimizer" and "lr_scheduler", the latter stepped every step.

    Raises
    ------
    ValueError
        As `chosen_rate`.
    """
    rate = chosen_rate(name, learning_rate)
    made = {"radam": _radam, "larc": _larc, "sgd": _sgd}
    optimiser, schedule = made[name](parameters, rate, steps)
    return {
        "optimizer": optimiser,
        "lr_scheduler": {"scheduler": schedule, "interval": "step"},
    }


def _radam(parameters: Iterable[Tensor], rate: float, steps: int) -> tuple:
    optimiser = RAdam(parameters, lr=rate / DIV_FACTOR)
    schedule = OneCycleLR(
        optimiser, rate, total_steps=steps, div_factor=DIV_FACTOR
    )
    return optimiser, schedule


def _larc(parameters: Iterable[Tensor], rate: float, steps: int) -> tuple:
    optimiser = LARC(parameters, lr=rate, momentum=0.9, weight_decay=1e-6)
    warm = int(WARM_UP * steps)
    return optimiser, _cosine(optimiser, steps, warm, LAST_SHARE)


def _sgd(parameters: Iterable[Tensor], rate: float, steps: int) -> tuple:
    optimiser = torch.optim.SGD(
        parameters, lr=rate, momentum=0.9, weight_decay=1e-4
    )
    return optimiser, _cosine(optimiser, steps, 0, 0.0)


def _cosine(
    optimiser: torch.optim.Optimizer, steps: int, warm: int, last: float
) -> LRScheduler:
    """Half a cosine down to a share of the largest rate, after a linear rise
    of ``warm`` steps. A function of the step alone, so that a resumed run
    needs no more than its number.
    """

    def share(step: int) -> float:
        """Of the largest rate."""
        if step < warm:
            return step / max(warm - 1, 1)
        done = (step - warm) / (steps - warm)
        return last + (1 - last) * (1 + math.cos(math.pi * done)) / 2

    return LambdaLR(optimiser, share)
