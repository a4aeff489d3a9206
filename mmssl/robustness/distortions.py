"""The nine distortions of Fedorov et al. 2021 ("Tasting the cake", appendix
A.1).

Each is that of TorchIO 1.2 (Pérez-García et al. 2021) with the cohort's
affine: a row's seed gives the image that TorchIO's own random transform gives
after ``torch.manual_seed(seed)``, up to rounding. Nothing of TorchIO's is
called, because at a point of the grid nearly everything is the same for all
people: the resampling grid of an affine map, the blur as one small matrix an
axis, the bias field, the spline's basis. It is made once a call; rows are then
distorted one by one in operations of fixed shape, so that a row does not
depend, in any bit, on its batch.

Two of TorchIO's definitions look odd and are kept. One "ghost" scales *all*
planes of k-space by 1 - s and restores the central one, so that it dims the
image towards its mean along an axis. And a head movement turns about the
origin of the world, not about the head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Generator, Tensor

from mmssl.robustness import warps
from mmssl.robustness.spaces import DEFAULTS, PARAMETER_SPACES, settings

# a volume (X, Y, Z) and its draws -> the distorted one
Row = Callable[[Tensor, Generator], Tensor]


def distort(
    volumes: Tensor,
    distortion: str,
    parameter: str,
    value: float,
    seed: int | Sequence[int],
    affine: np.ndarray,
) -> Tensor:
    """Distort z-scored volumes at one point of a parameter space.

    Parameters
    ----------
    volumes : Tensor, shape (B, 1, X, Y, Z)
        Network inputs; nothing is normalised again afterwards.
    distortion, parameter : str
        A panel of `PARAMETER_SPACES`; the other parameters stay at `DEFAULTS`.
    value : float
        Within the ends of the panel's space.
    seed : int or sequence of int
        One for every row, or one a row; see `mmssl.robustness.sweep.seeds`.
    affine : array, shape (4, 4)
        Voxel to RAS+ world in mm: blur, displacement and translation are in
        mm.

    Returns
    -------
    Tensor, shape (B, 1, X, Y, Z)
        float32, on the device of ``volumes``. Values can overflow: a bias
        field of order 8 reaches e^82; half precision would already from order
        6.

    Raises
    ------
    ValueError
        For a panel or value that does not exist, volumes of another shape or
        not finite, an affine that cannot be inverted, or another number of
        seeds than of rows.
    """
    point = settings(distortion, parameter, value)
    volumes, affine = _checked(volumes, affine)
    seeds = (
        np.broadcast_to(np.asarray(seed), len(volumes))
        if np.ndim(seed) == 0
        else seed
    )
    if len(seeds) != len(volumes):
        raise ValueError(
            f"seed: {len(seeds)} of them, expected 1 or {len(volumes)} as the volumes"
        )
    apply = _MAKERS[distortion](
        affine, volumes.shape[2:], volumes.device, **point
    )
    rows = [
        apply(x, _draws(int(s)))
        for x, s in zip(volumes[:, 0], seeds, strict=True)
    ]
    return torch.stack(rows)[:, None] if rows else volumes


def anisotropic(volume: Tensor, affine: np.ndarray, seed: int = 0) -> Tensor:
    """Sample every second plane of a random axis and interpolate back: figure
    4 only.

    It has a default in appendix A.1 but no parameter space, so TorchIO itself
    is good enough.

    Parameters
    ----------
    volume : Tensor, shape (X, Y, Z)
    affine : array, shape (4, 4)
    """
    import torchio  # a second to import, for one picture

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        image = torchio.ScalarImage(tensor=volume[None].cpu(), affine=affine)
        factor = (DEFAULTS["anisotropy"]["downsampling"],) * 2
        return torchio.RandomAnisotropy(downsampling=factor)(image).data[0]


def gallery(
    volume: Tensor, affine: np.ndarray, seed: int = 0
) -> dict[str, dict[str, np.ndarray]]:
    """One volume at the first, a middle and the last value of each panel, and
    anisotropic.

    Parameters
    ----------
    volume : Tensor, shape (X, Y, Z)
    affine : array, shape (4, 4)

    Returns
    -------
    dict
        {"affine scales": {"0.5": array (X, Y, Z), …}, …}.
    """
    images = {}
    for distortion, spaces in PARAMETER_SPACES.items():
        for parameter, values in spaces.items():
            images[f"{distortion} {parameter}"] = {
                f"{value:g}": distort(
                    volume[None, None],
                    distortion,
                    parameter,
                    value,
                    seed,
                    affine,
                )[0, 0]
                .cpu()
                .numpy()
                for value in (
                    values[0],
                    values[(2 * len(values)) // 3],
                    values[-1],
                )
            }
    images["anisotropy downsampling"] = {
        "2": anisotropic(volume, affine, seed=seed).numpy()
    }
    return images


def _draws(seed: int) -> Generator:
    """The random numbers of one row, past the coin that every TorchIO
    transform tosses first.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.rand(1, generator=generator)
    return generator


def _uniform(generator: Generator, value: float, *shape: int) -> Tensor:
    """TorchIO draws its parameters from [value, value]: the value in float32,
    and one draw less.
    """
    return torch.empty(shape or (1,)).uniform_(
        value, value, generator=generator
    )


def _affine(affine, shape, device, scales, degrees, translation) -> Row:
    motion = warps.similarity(affine, shape, scales, degrees, translation)
    where = warps.moved(motion, affine, shape, device)
    return lambda x, _: warps.pull(x, where)


def _elastic(
    affine, shape, device, num_control_points, max_displacement
) -> Row:
    number = num_control_points
    spread = warps.spline(affine, shape, number, device)

    def row(x: Tensor, draw: Generator) -> Tensor:
        control = (
            torch.rand(number, number, number, 3, generator=draw) - 0.5
        ) * 2
        control *= max_displacement
        for edge in (0, 1):  # as in TorchIO, the third axis is not locked
            control[[edge, -1 - edge]] = 0
            control[:, [edge, -1 - edge]] = 0
        return warps.pull(x, spread(control))

    return row


def _motion(affine, shape, device, degrees, translation) -> Row:
    where = warps.moved(
        warps.head(degrees, translation), affine, shape, device
    )
    planes = shape[2]

    @cache
    def low(until: int) -> Tensor:
        """What the k-space planes below `until` contribute to a line, (Z,
        Z).
        """
        kept = np.fft.ifftshift(np.arange(planes) < until)[:, None]
        matrix = np.fft.ifft(
            kept * np.fft.fft(np.eye(planes), axis=0), axis=0
        ).real
        return torch.from_numpy(matrix).to(device, torch.float32)

    def row(x: Tensor, draw: Generator) -> Tensor:
        for still in (degrees, translation):
            _uniform(draw, still, 1, 3)
        time = (
            0.5 + torch.empty(1).uniform_(-0.15, 0.15, generator=draw).numpy()
        )
        moved = warps.pull(x, where)
        # the centre of k-space, most of the image, is always that of the still
        # head
        before, after = (x, moved) if time[0] > 0.5 else (moved, x)
        return after + (before - after) @ low(int((planes * time)[0])).T

    return row


def _ghost(affine, shape, device, intensity) -> Row:
    def row(x: Tensor, draw: Generator) -> Tensor:
        torch.randint(1, 2, (1,), generator=draw)  # the number of ghosts
        axis = int(torch.randint(0, 3, (1,), generator=draw))
        share = _uniform(draw, intensity).item()
        return (1 - share) * x + share * x.mean(axis, keepdim=True)

    return row


def _spike(affine, shape, device, intensity) -> Row:
    def row(x: Tensor, draw: Generator) -> Tensor:
        torch.randint(1, 2, (1,), generator=draw)  # the number of spikes
        height = _uniform(draw, intensity).item()
        place = np.floor(
            torch.rand(1, 3, generator=draw).numpy()[0] * np.array(shape)
        )
        peak = torch.fft.rfftn(x).abs().max() * height / x.numel()
        wave = torch.ones(1, 1, 1, dtype=torch.complex64)
        for axis, (side, index) in enumerate(zip(shape, place, strict=True)):
            phase = 2j * np.pi * (index - side // 2) * np.arange(side) / side
            line = torch.from_numpy(np.exp(phase)).to(torch.complex64)
            wave = wave * line.view(
                [side if a == axis else 1 for a in range(3)]
            )
        return x + peak * wave.real.to(device)

    return row


def _blur(affine, shape, device, std) -> Row:
    sigma = _uniform(Generator(), std).item() / np.linalg.norm(
        affine[:3, :3], axis=0
    )
    first, second, third = (
        torch.from_numpy(gaussian_filter1d(np.eye(side), s, axis=0)).to(
            device, torch.float32
        )
        for side, s in zip(shape, sigma, strict=True)
    )

    def row(x: Tensor, _: Generator) -> Tensor:
        x = second @ (x @ third.T)
        return (first @ x.flatten(1)).view(x.shape)

    return row


def _bias(affine, shape, device, coefficients, order) -> Row:
    # arange from -side/2, as TorchIO does: an odd side then runs from -(side -
    # 1)/2 too
    axes = [np.arange(-side / 2, side / 2) + 0.5 for side in shape]
    x, y, z = np.meshgrid(
        *(a / a.max() for a in axes), indexing="ij", sparse=True
    )
    # sum of z^k, k <= n
    inner = [sum(z**k for k in range(n + 1)) for n in range(order + 1)]
    field = sum(
        x**i * y**j * inner[order - i - j]
        for i in range(order + 1)
        for j in range(order + 1 - i)
    )
    field = np.exp(_uniform(Generator(), coefficients).item() * field).astype(
        np.float32
    )
    field = torch.from_numpy(field).to(device)
    return lambda x, _: x * field


def _noise(affine, shape, device, mean, std) -> Row:
    def row(x: Tensor, draw: Generator) -> Tensor:
        centre, spread = (
            _uniform(draw, mean).item(),
            _uniform(draw, std).item(),
        )
        own = torch.Generator().manual_seed(
            int(torch.randint(0, 2**31, (1,), generator=draw))
        )
        return x + (
            torch.randn(1, *shape, generator=own)[0] * spread + centre
        ).to(device)

    return row


def _gamma(affine, shape, device, log_gamma) -> Row:
    gamma = float(np.exp(_uniform(Generator(), log_gamma).item()))
    return lambda x, _: x.sign() * x.abs() ** gamma


_MAKERS: dict[str, Callable[..., Row]] = {
    "affine": _affine,
    "elastic": _elastic,
    "motion": _motion,
    "ghost": _ghost,
    "spike": _spike,
    "blur": _blur,
    "bias": _bias,
    "noise": _noise,
    "gamma": _gamma,
}


def _checked(volumes, affine) -> tuple[Tensor, np.ndarray]:
    volumes = torch.as_tensor(volumes)
    if (
        volumes.dim() != 5
        or volumes.shape[1] != 1
        or min(volumes.shape[2:]) < 2
    ):
        raise ValueError(
            f"volumes: shape {tuple(volumes.shape)}, expected (B, 1, X, Y, Z)"
        )
    bad = ~volumes.isfinite().flatten(1).all(1)
    if bad.any():
        raise ValueError(
            f"volumes: rows {bad.nonzero().flatten().tolist()[:5]} hold values that "
            "are not finite, expected none"
        )
    affine = np.asarray(affine, dtype=np.float64)
    if affine.shape != (4, 4) or not abs(np.linalg.det(affine)) > 1e-9:
        raise ValueError(
            f"affine: {affine.tolist()}, expected an invertible (4, 4) matrix"
        )
    return volumes.float(), affine
