"""Random numbers that are a pure function of a key.

Every random choice of a training step (crop, flip, anchor location, dropout
mask) is a hash of (seed, step, row of the step's global draw, purpose,
counter). There is no generator state to save, so a resumed run needs the step
and nothing of the past; a row gets the same numbers whatever batch, process or
device computes it; and a whole batch is drawn in one vectorised call, which is
why this is a hash and not one `torch.Generator` a row. The hash is the
finaliser of SplitMix64 (Steele, Lea & Flood 2014), computed in wrapping int64
arithmetic.
"""

import math
import zlib

import torch
from torch import Tensor

_WORD = 64  # bits
_MODULUS = 2**_WORD

# constants of SplitMix64 as signed integers; the first is 2^64 over the
# golden ratio
_GOLDEN = 0x9E3779B97F4A7C15 - _MODULUS
_MIX1 = 0xBF58476D1CE4E5B9 - _MODULUS
_MIX2 = 0x94D049BB133111EB - _MODULUS


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical shift; that of int64 in torch is arithmetic."""
    kept = (1 << (_WORD - bits)) - 1
    return (x >> bits) & kept


def _mix(x: Tensor) -> Tensor:
    """Finaliser of SplitMix64."""
    x = x ^ _shift_right(x, 30)
    x = x * _MIX1
    x = x ^ _shift_right(x, 27)
    x = x * _MIX2
    return x ^ _shift_right(x, 31)


class Stream:
    """Independent random numbers for each row of a batch.

    Parameters
    ----------
    rows : Tensor of int64, shape (B,)
        Index of each row in the step's global draw; equal rows get equal
        numbers.
    seed, step : int
        The run's seed and the optimiser step.
    purpose : str
        What the numbers are for; streams of different purposes are
        independent.
    """

    def __init__(
        self,
        rows: Tensor,
        seed: int,
        step: int,
        purpose: str = "",
    ) -> None:
        self.rows = rows
        self.seed = seed
        self.step = step
        self.purpose = purpose

    def child(self, purpose: str) -> "Stream":
        """The stream of a narrower purpose, for the same rows."""
        narrower = f"{self.purpose}/{purpose}"
        return Stream(self.rows, self.seed, self.step, narrower)

    def __getitem__(self, index) -> "Stream":
        """The stream of the rows at an index: a slice or a tensor."""
        return Stream(self.rows[index], self.seed, self.step, self.purpose)

    def bits(self, purpose: str, count: int) -> Tensor:
        """64 random bits each, int64, shape (B, count)."""
        name = f"{self.purpose}/{purpose}"
        parts = [
            self.seed,
            self.step,
            zlib.crc32(name.encode()),
            self.rows,
        ]
        key = torch.zeros_like(self.rows)
        for part in parts:
            key = _mix(key + part + _GOLDEN)
        counter = torch.arange(1, count + 1, device=self.rows.device)
        return _mix(key[:, None] + counter * _GOLDEN)

    def uniform(self, purpose: str, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1), float32, shape (B, *shape)."""
        count = math.prod(shape)
        # as many bits as a float32 holds
        bits = _shift_right(self.bits(purpose, count), _WORD - 24)
        numbers = bits.to(torch.float32) * 2.0**-24
        return numbers.view(-1, *shape)

    def noise(
        self,
        purpose: str,
        *shape: int,
        low: float | Tensor = 0.0,
        high: float | Tensor = 1.0,
    ) -> Tensor:
        """Uniform numbers in [low, high) of 65,536 levels, float32, shape (B,
        *shape): four of each hash, for images of noise. Limits are numbers or
        (B, 1).
        """
        count = math.prod(shape)
        bits = self.bits(purpose, -(-count // 4)).view(torch.int16)
        step = torch.as_tensor((high - low) * 2.0**-16, device=bits.device)
        # from the middle, as the bits have a sign
        middle = low + step * 2.0**15
        numbers = bits[:, :count].float()
        torch.addcmul(middle, numbers, step, out=numbers)
        return numbers.view(-1, *shape)

    def integers(self, purpose: str, high: int, *shape: int) -> Tensor:
        """Uniform integers in [0, high), int64, shape (B, *shape)."""
        count = math.prod(shape)
        bits = _shift_right(self.bits(purpose, count), _WORD - 31)
        numbers = (bits * high) >> 31
        return numbers.view(-1, *shape)

    def normal(self, purpose: str, *shape: int) -> Tensor:
        """Standard normal numbers (Box-Muller), float32, shape (B, *shape)."""
        u = self.uniform(purpose, 2, *shape)
        # log of 1 - u, which is never 0
        radius = torch.sqrt(-2 * torch.log1p(-u[:, 0]))
        angle = 2 * math.pi * u[:, 1]
        return radius * torch.cos(angle)
