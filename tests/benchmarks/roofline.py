r"""How near to the limits of the machine a hot path comes.

With O operations and B bytes that the work cannot do without, and the rates at
which this machine multiplies matrices and copies memory, no program takes less
than

.. math:: t = \max(O / \mathrm{rate}, B / \mathrm{bandwidth})

(the roofline, Williams, Waterman & Patterson 2009). Beside it stands what the
library calls of the path take by themselves, with the same shapes: where they
come near the whole, what is left to gain lies in the library.
"""

import contextlib
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from timing import clocked, in_turns
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import flop_registry

Call = Callable[[], Any]


@dataclass(frozen=True)
class Work:
    """A hot path with what it cannot do without.

    Attributes
    ----------
    name, formula : str
        What is counted, and how.
    operations, bytes : float
    call : callable
        The whole path.
    precision : {"fp32", "bf16", "fp64"}
        Of the matrix products whose rate is the limit.
    alone : callable, optional
        Its library calls by themselves.
    within : callable, optional
        Instead, where they cannot be taken out: seconds of a whole call, and
        of them those in libraries.
    library : str
        What those are.
    moved : float
        Bytes that the other operators read and write, by their shapes.
    """

    name: str
    formula: str
    operations: float
    bytes: float
    call: Call
    precision: str = "fp32"
    alone: Call | None = None
    within: Callable[[], tuple[float, float]] | None = None
    library: str = ""
    moved: float = 0.0


def bound(operations: float, moved: float, rate: float, copy: float) -> float:
    """Least seconds of so many operations and bytes."""
    return max(operations / rate, moved / copy)


def row(work: Work, rates: dict[str, float], rounds: int) -> dict:
    """Time one path and its library calls in turns; a line of the table."""
    calls = {"whole": clocked(work.call)}
    if work.alone is not None:
        calls["alone"] = clocked(work.alone)
    times = in_turns(calls, rounds)
    seconds = statistics.median(times["whole"])
    least = bound(
        work.operations, work.bytes, rates[work.precision], rates["copy"]
    )
    line = {
        "name": work.name,
        "formula": work.formula,
        "precision": work.precision,
        "operations": work.operations,
        "bytes": work.bytes,
        "bound": least,
        "seconds": seconds,
        "fraction": least / seconds,
        "library": work.library,
        "alone": None,
        "fraction alone": None,
        "fraction reachable": None,
    }
    if work.alone is not None:
        pairs = zip(times["whole"], times["alone"], strict=True)
    elif work.within is not None:
        pairs = [work.within() for _ in range(rounds)]
    else:
        return line
    whole, alone = np.transpose(list(pairs))
    line["alone"] = float(np.median(alone))
    line["fraction alone"] = float(np.median(alone / whole))
    # the other operators as fast as a copy
    others = work.moved / rates["copy"]
    line["fraction reachable"] = float(np.median((alone + others) / whole))
    return line


def rows(
    works: Iterable[Work], rates: dict[str, float], rounds: int
) -> Iterator[dict]:
    """A line for each, one after the other, so that memory is given back."""
    for work in works:
        line = row(work, rates, rounds)
        del work  # before the next one is made
        yield line


class Products(TorchDispatchMode):
    """Notes every convolution and matrix product of torch calls, with their
    operations: 2 B C_out L_out C_in k of a convolution's output of L_out
    places and a kernel of k, and as many for the gradient of its input and of
    its weight; 2 n m k of a product (n, k) (k, m). Of all other calls but
    views, the bytes that they read and write.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple] = []
        self.operations = 0
        self.bytes = 0
        self.moved = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Make the call, and note it if it is a product."""
        kwargs = kwargs or {}
        count = flop_registry.get(func.overloadpacket)
        if count is None and func is not torch.ops.prim.device.default:
            # without gradients, what is made of other calls comes as a whole
            with self:
                output = func.decompose(*args, **kwargs)
            if output is not NotImplemented:
                return output
        output = func(*args, **kwargs)
        if count is not None:
            operations = count(*args, **kwargs, out_val=output)
            self.operations += operations
            self.bytes += _bytes(args) + _bytes(output)
            noted = tree_map_only(torch.Tensor, _Shape.of, (args, kwargs))
            self.calls.append((func, *noted, operations))
        elif not _is_view(func, args, output):
            self.moved += _bytes(args) + _bytes(output)
        return output

    def replay(self) -> Call:
        """All noted calls by themselves, with random numbers of the same
        shapes and layouts.
        """
        filled = cache(_Shape.filled)
        ready = []
        for func, args, kwargs, _ in self.calls:
            ready.append((func, tree_map_only(_Shape, filled, args), kwargs))

        def call() -> None:
            with torch.no_grad():
                for func, args, kwargs in ready:
                    func(*args, **kwargs)

        return call

    def convolutions(self, rate: float, rounds: int) -> list[dict]:
        """Each shape of convolution by itself: how often it occurs, its
        seconds, operations a second and share of the rate of a matrix product.
        """
        each: dict[str, tuple] = {}
        number: Counter[str] = Counter()
        for func, args, kwargs, operations in self.calls:
            packet = str(func.overloadpacket).removeprefix("aten.")
            if not packet.startswith("convolution"):
                continue
            key = f"{packet}: {_described(args)}"
            number[key] += 1
            each.setdefault(key, (func, args, kwargs, operations))
        lines = []
        for key, call in each.items():
            one = Products()
            one.calls = [call]
            times = in_turns({"alone": clocked(one.replay())}, rounds)
            seconds = statistics.median(times["alone"])
            lines.append(
                {
                    "shape": key,
                    "number": number[key],
                    "operations": call[3],
                    "seconds": seconds,
                    "rate": call[3] / seconds,
                    "fraction": call[3] / seconds / rate,
                }
            )
        return lines


@dataclass(frozen=True)
class _Shape:
    """Shape, layout and type of a tensor that is not kept."""

    sides: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, x: torch.Tensor) -> "_Shape":
        """Of a tensor."""
        return cls(tuple(x.shape), x.stride(), x.dtype)

    def filled(self) -> torch.Tensor:
        """A tensor of this kind with random numbers."""
        sides = list(self.sides)
        for axis, stride in enumerate(self.strides):
            if stride == 0:  # one number for all places
                sides[axis] = 1
        x = torch.empty_strided(sides, self.strides, dtype=self.dtype)
        x = x.normal_() if x.is_floating_point() else x.zero_()
        return x.expand(self.sides)


def _is_view(func, args, output) -> bool:
    """Whether a call gives an argument's memory and leaves it as it was."""
    if func._schema.is_mutable or not isinstance(output, torch.Tensor):
        return False
    first = args[0] if args else None
    if not isinstance(first, torch.Tensor):
        return False
    memory = output.untyped_storage().data_ptr()
    return memory == first.untyped_storage().data_ptr()


def _bytes(tree) -> int:
    """Bytes of all tensors among arguments."""
    if isinstance(tree, torch.Tensor):
        return tree.nbytes
    if isinstance(tree, tuple | list):
        return sum(_bytes(part) for part in tree)
    return 0


def _described(args) -> str:
    """Shapes of the tensors among the arguments, and what the sides follow."""
    shapes = []
    for value in args:
        if isinstance(value, _Shape):
            shapes.append("×".join(map(str, value.sides)))
    if args and isinstance(args[-1], list):
        names = ("input", "weight", "bias")
        wanted = zip(names, args[-1], strict=True)
        gradients = [name for name, is_wanted in wanted if is_wanted]
        shapes.append("gradient of " + ", ".join(gradients))
    return ", ".join(shapes)


def noted_products(call: Call) -> Products:
    """The products of one call, after one that warms up."""
    call()
    with Products() as products:
        call()
    return products


@contextlib.contextmanager
def noted(*functions: tuple[ModuleType, str]) -> Iterator[list]:
    """Note every call of some functions of libraries, (module, name), while
    it lasts: (function, arguments, options) each.
    """
    calls: list[tuple] = []
    originals = [getattr(module, name) for module, name in functions]

    def noting(original: Callable) -> Callable:
        def call(*arguments, **options):
            calls.append((original, arguments, options))
            return original(*arguments, **options)

        return call

    for (module, name), original in zip(functions, originals, strict=True):
        setattr(module, name, noting(original))
    try:
        yield calls
    finally:
        for (module, name), original in zip(functions, originals, strict=True):
            setattr(module, name, original)


def replayed(call: Call, *functions: tuple[ModuleType, str]) -> Call:
    """The library calls of one call by themselves.

    Raises
    ------
    ValueError
        For a function that the call does not make: its time would be none.
    """
    with noted(*functions) as calls:
        call()
    made = {function for function, _, _ in calls}
    for owner, name in functions:
        if getattr(owner, name) not in made:
            raise ValueError(f"{name} is not called")

    def again() -> None:
        for function, arguments, options in calls:
            function(*arguments, **options)

    return again


def in_operators(call: Call) -> tuple[float, float]:
    """Seconds of a call, and of them those in torch's operators, as its
    profiler tells.
    """
    with profile(activities=[ProfilerActivity.CPU]) as told:
        whole = clocked(call)()
    spent = 0.0
    for event in told.key_averages():
        if event.key.startswith("aten::"):
            spent += event.self_cpu_time_total
    return whole, spent / 1e6


def seconds_of(
    call: Call, *functions: tuple[Any, str]
) -> tuple[float, dict[str, float]]:
    """Seconds of a call, and of each of some functions in it, (module, name),
    summed over their calls.
    """
    spent = dict.fromkeys((name for _, name in functions), 0.0)
    originals = [getattr(owner, name) for owner, name in functions]

    def timed(name: str, original: Callable) -> Callable:
        def wrapper(*arguments, **options):
            start = time.perf_counter()
            try:
                return original(*arguments, **options)
            finally:
                spent[name] += time.perf_counter() - start

        return wrapper

    for (owner, name), original in zip(functions, originals, strict=True):
        setattr(owner, name, timed(name, original))
    try:
        whole = clocked(call)()
    finally:
        for (owner, name), original in zip(functions, originals, strict=True):
            setattr(owner, name, original)
    return whole, spent
