"""One training in several processes, on one node or many.

``torchrun`` starts as many processes of one command as are asked for, and
tells each its rank and their number. All of them train; only the first writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import TypeVar

import torch
from torch import distributed

Told = TypeVar("Told")

# a process that waits for one that died is told so by then
PATIENCE = timedelta(minutes=30)

# of this process, the same in all that were started together
_TRAININGS = count()


class NotFirst(Exception):
    """This process has done its part; the rest is the first one's."""


def number() -> int:
    """How many processes were started together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def on_this_node() -> int:
    """How many of them run here."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def rank() -> int:
    """Which of them this is, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return rank() == 0


def check(devices: int, batch_size: int) -> None:
    """ValueError unless as many processes run as were asked for, each of which
    has as many rows of a batch as the others.
    """
    if devices < 1 or devices != number():
        raise ValueError(
            f"devices={devices}, found {number()} process(es) started "
            "together; expected as many: torchrun --nproc-per-node "
            f"{max(devices, 1)} --no-python …"
        )
    if batch_size % devices:
        raise ValueError(
            f"batch of {batch_size} on devices={devices}, expected a multiple "
            f"of {devices}: each process has as many rows"
        )


@contextmanager
def together() -> Iterator[None]:
    """Connect the processes that were started together; of a single one do
    nothing.
    """
    if number() == 1 or distributed.is_initialized():
        yield
        return
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    store, own_rank, size = next(distributed.rendezvous("env://"))
    distributed.init_process_group(
        "nccl" if on_gpu else "gloo",
        # a second training would else read where the first one's processes
        # listened
        store=distributed.PrefixStore(f"training {next(_TRAININGS)}", store),
        rank=own_rank,
        world_size=size,
        timeout=PATIENCE,
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()


def told_by_first(make: Callable[[], Told]) -> Told:
    """What the first process makes, told to all; its error is raised in each
    of them.
    """
    if number() == 1:
        return make()
    made, error = None, None
    if is_first():
        try:
            made = make()
        except Exception as raised:  # it is raised below, everywhere
            error = raised
    told = [(made, error)]
    distributed.broadcast_object_list(told)
    made, error = told[0]
    if error is not None:
        raise error
    return made


def of_all(value: Told) -> list[Told]:
    """The values of all processes, in the order of their ranks."""
    if number() == 1:
        return [value]
    values = [None] * number()
    distributed.all_gather_object(values, value)
    return values


def leave_the_rest_to_the_first() -> None:
    """End a notebook here in every process but the first, which goes on alone.

    Raises
    ------
    NotFirst
        In all others.
    """
    if not is_first():
        raise NotFirst(
            f"process {rank()} of {number()}: the rest is the first one's"
        )
