"""fALFF of a whole array, 64×64×36 voxels and 164 volumes, against SciPy's
Fourier transform of all voxels at once.

Memory is what a fresh process needs beyond the series.
"""

import sys
from functools import partial

import numpy as np
from scipy import fft
from timing import clocked, in_turns, mb_of, medians, ratio, rise_mb

from mmssl.preprocessing.falff import falff

NAME = "fALFF"
SHAPE, TR = (64, 64, 36, 164), 2.0


def series() -> np.ndarray:
    """A series with noise around a level."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(SHAPE, dtype=np.float32)
    return 1000 + 10 * noise


def by_scipy(bold: np.ndarray, tr: float) -> np.ndarray:
    """Amplitudes of the whole array, then the share of the slow ones."""
    frequencies = fft.rfftfreq(bold.shape[-1], tr)
    amplitudes = np.abs(fft.rfft(bold, axis=-1))
    band = (frequencies >= 0.01) & (frequencies <= 0.1)
    return amplitudes[..., band].sum(-1) / amplitudes[..., 1:].sum(-1)


WAYS = {"SciPy": by_scipy, "ours": falff}


def measure(rounds: int) -> dict:
    """Time, memory and agreement of both."""
    bold = series()
    calls = {}
    for name, way in WAYS.items():
        calls[name] = clocked(partial(way, bold, TR))
    times = in_turns(calls, rounds)
    report = medians(times)
    report["the whole array, ratio"] = ratio(times, "SciPy", "ours")
    for name in WAYS:
        report[f"{name}, MB beyond the series"] = mb_of(__file__, name)
    error = np.abs(falff(bold, TR) - by_scipy(bold, TR)).max()
    report["largest difference"] = float(error)
    return report


if __name__ == "__main__":  # a fresh process that does it once
    print(rise_mb(partial(WAYS[sys.argv[1]], series(), TR)))
