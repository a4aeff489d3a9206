"""fALFF: the fraction of a voxel's fluctuations that is slow.

Zou et al. 2008 (J. Neurosci. Methods 172, 137-141); the functional modality of
Fedorov et al. 2021.
"""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import fft

from mmssl.preprocessing import space

# Bytes of time series transformed at once by a thread, which with their
# spectra fit the cache of a core.
_BLOCK_BYTES = 1 << 20


def falff(
    bold: np.ndarray,
    tr: float,
    low: float = 0.01,
    high: float = 0.1,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    """Fractional amplitude of low-frequency fluctuations of every voxel.

    With A(f) = abs(rfft(x))(f), the square root of the power at the linear
    frequencies f = k / (T tr), the map is ::

                  sum of A(f) over low <= f <= high
        fALFF  =  -------------------------------------
                  sum of A(f) over 0 < f <= 1 / (2 tr)

    The mean (f = 0) is left out of both sums, the Nyquist frequency is in the
    second. Nothing is detrended or filtered first. The map does not change
    when the signal is scaled or shifted.

    Parameters
    ----------
    bold : (X, Y, Z, T) array, NumPy or torch. float64 is computed in float64,
        the rest in float32.
    tr : repetition time, s.
    low, high : the band, Hz, both ends included.
    mask : (X, Y, Z) bool array; voxels outside are not computed and stay 0.

    Returns
    -------
    (X, Y, Z) float32 or float64 array in [0, 1]; 0 in constant voxels and
    outside the mask.

    Raises
    ------
    ValueError
        If ``bold`` is not 4D or not finite, ``tr`` or the band is not a
        positive range, the mask has another shape, or fewer than two
        frequencies of the series lie in the band.

    Warns
    -----
    UserWarning
        If the series is shorter than one period of ``low``, or ``high`` lies
        above the Nyquist frequency.
    """
    bold = np.asarray(bold)
    if bold.ndim != 4:
        raise ValueError(
            f"bold: found shape {bold.shape}, expected (X, Y, Z, T)"
        )
    if mask is None:
        mask = np.ones(bold.shape[:3], bool)
    mask = np.asarray(mask, dtype=bool)
    if mask.shape != bold.shape[:3]:
        raise ValueError(
            f"mask: found shape {mask.shape}, expected {bold.shape[:3]}"
        )
    band = frequencies_in_band(bold.shape[3], tr, low, high)
    dtype = np.float64 if bold.dtype == np.float64 else np.float32
    ratio = np.zeros(bold.shape[:3], dtype)
    slice_bytes = max(1, bold[:1].size * ratio.itemsize)
    slices_at_once = max(1, _BLOCK_BYTES // slice_bytes)

    def fill(start: int) -> None:
        """Compute some slices."""
        block = slice(start, start + slices_at_once)
        inside = mask[block]
        if inside.all():  # gathering would take as long as the transform
            series = bold[block].reshape(-1, bold.shape[3])  # (voxels, T)
        else:
            series = bold[block][inside]
        # sums must not depend on how the series lies in memory
        series = np.ascontiguousarray(series, dtype)
        ratio[block][inside] = _fraction(series, band)

    with ThreadPoolExecutor(space.threads()) as pool:
        for _ in pool.map(fill, range(0, len(bold), slices_at_once)):
            pass
    return ratio


def frequencies_in_band(
    volumes: int, tr: float, low: float, high: float
) -> np.ndarray:
    """Which frequencies of a series of ``volumes`` images lie in the band.

    Parameters
    ----------
    volumes : length T of the series.
    tr : repetition time, s.
    low, high : the band, Hz, both ends included.

    Returns
    -------
    (T // 2 + 1,) bool array over the frequencies k / (T tr); False at 0.

    Raises
    ------
    ValueError
        As `falff`, which also names the warnings.
    """
    if not (np.isfinite(tr) and tr > 0):
        raise ValueError(
            f"tr: found {tr!r}, expected a positive number of seconds"
        )
    if not 0 <= low < high:
        raise ValueError(
            f"low, high: found {low!r}, {high!r}, "
            "expected 0 <= low < high in Hz"
        )
    frequencies = fft.rfftfreq(volumes, tr)
    # An end that is a frequency of the series must not be lost to rounding.
    slack = 1e-9 * high
    band = (frequencies >= low - slack) & (frequencies <= high + slack)
    band &= frequencies > 0
    if band.sum() < 2:
        raise ValueError(
            f"bold: found {volumes} volumes of {tr:g} s, {band.sum()} "
            f"frequencies within {low:g}-{high:g} Hz, expected at least 2: "
            "too few volumes for the band"
        )
    if volumes * tr * low < 1 - 1e-9:
        warnings.warn(
            f"bold lasts {volumes * tr:g} s, less than one period of "
            f"{low:g} Hz ({1 / low:g} s): the lower end of the band is not "
            "measured",
            stacklevel=3,
        )
    if high > 0.5 / tr + slack:
        warnings.warn(
            f"{high:g} Hz lies above the Nyquist frequency {0.5 / tr:g} Hz "
            f"of tr = {tr:g} s: the band is cut there",
            stacklevel=3,
        )
    return band


def _fraction(series: np.ndarray, band: np.ndarray) -> np.ndarray:
    """(voxels,) ratio of amplitudes for series (voxels, T)."""
    mean = series.mean(axis=1, keepdims=True)
    bad = int((~np.isfinite(mean)).sum())
    if bad:
        raise ValueError(
            f"bold: found {bad} voxels with NaN or Inf, expected finite values"
        )
    # The mean is removed first: a large one would cost float32 its last digits
    # in every frequency.
    amplitude = np.abs(fft.rfft(series - mean, axis=1))
    total = amplitude[:, 1:].sum(axis=1)
    moving = (series != series[:, :1]).any(axis=1) & (total > 0)
    ratio = np.zeros(len(series), series.dtype)
    np.divide(amplitude[:, band].sum(axis=1), total, out=ratio, where=moving)
    return ratio
