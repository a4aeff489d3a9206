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

Beside the nine, everything here takes a distortion of a user's own by its name
(`mmssl.robustness.own_distortions`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Generator, Tensor

from mmssl.models.by_name import is_named
from mmssl.robustness import warps
from mmssl.robustness.own_distortions import Space, own_distortion
from mmssl.robustness.spaces import (
    ANISOTROPY,
    distortions_with,
    parameters_of,
    settings,
)

_MOVES_BRAIN = ("affine", "elastic")

# a volume (X, Y, Z) and its generator -> the distorted volume
RowDistortion = Callable[[Tensor, Generator], Tensor]


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
        A panel of `PARAMETER_SPACES`, or the "module:Class" of your own and
        one of its parameters; the others stay at their defaults.
    value : float
        Within the ends of the panel's space.
    seed : int or sequence of int
        One for every row, or one a row; see
        `mmssl.robustness.sweep.distortion_seeds`.
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
        not finite, an affine that cannot be inverted, another number of seeds
        than of rows, or an own distortion that returns no volume.
    """
    parameters = settings(distortion, parameter, value)
    volumes, affine = _checked(volumes, affine)
    seeds = seed
    if np.ndim(seed) == 0:
        seeds = [seed] * len(volumes)
    if len(seeds) != len(volumes):
        raise ValueError(
            f"seed: {len(seeds)} of them, expected 1 or {len(volumes)} as the "
            "volumes"
        )
    if not len(volumes):
        return volumes
    space = Space(affine, volumes.shape[2:], volumes.device)
    prepare = _DISTORTIONS.get(distortion) or partial(_own, distortion)
    distort_row = prepare(space, **parameters)
    rows = []
    for volume, row_seed in zip(volumes[:, 0], seeds, strict=True):
        generator = _generator(distortion, int(row_seed))
        rows.append(distort_row(volume, generator))
    return torch.stack(rows)[:, None]


def distort_inputs(
    volumes: Tensor,
    distortion: str,
    parameter: str,
    value: float,
    seed: int | Sequence[int],
    affine: np.ndarray,
) -> Tensor:
    """Distort network inputs, whose background is 0 and stays so.

    A distortion of intensities would else put most of its effect where there
    is no brain, and what a network does with that says nothing of an image
    that is masked, as all images here are. Where a distortion moves the brain
    (affine, elastic, or an own one that says so), its outline moves with it.

    Parameters and errors as in `distort`.

    Returns
    -------
    Tensor, shape (B, 1, X, Y, Z)
        float32; 0 outside the brain, whose outline is where the undistorted
        volume is not 0.
    """
    distorted = distort(volumes, distortion, parameter, value, seed, affine)
    brain = volumes != 0
    if _moves_brain(distortion):
        moved = distort(
            brain.float(), distortion, parameter, value, seed, affine
        )
        brain = moved > 0.5
    return distorted.masked_fill(~brain, 0)


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
        downsampling = (ANISOTROPY, ANISOTROPY)
        transform = torchio.RandomAnisotropy(downsampling=downsampling)
        return transform(image).data[0]


def gallery(
    volume: Tensor,
    affine: np.ndarray,
    seed: int = 0,
    own: Sequence[str] = (),
) -> dict[str, dict[str, np.ndarray]]:
    """One volume at the first, a middle and the last value of each panel, and
    anisotropic, as a network reads it.

    Parameters
    ----------
    volume : Tensor, shape (X, Y, Z)
        A network input.
    affine : array, shape (4, 4)
    own : sequence of str
        Distortions of your own, "module:Class", which come behind the
        fifteen panels.

    Returns
    -------
    dict
        {"affine scales": {"0.5": array (X, Y, Z), …}, …}.
    """
    images = {}
    for distortion in distortions_with(own):
        for name, parameter in parameters_of(distortion).items():
            values = parameter.values()
            panel = {}
            for value in (values[0], values[2 * len(values) // 3], values[-1]):
                distorted = distort_inputs(
                    volume[None, None], distortion, name, value, seed, affine
                )
                panel[f"{value:g}"] = distorted[0, 0].cpu().numpy()
            images[f"{distortion} {name}"] = panel
    sampled = anisotropic(volume, affine, seed=seed)
    sampled = sampled.masked_fill(volume.cpu() == 0, 0)
    images["anisotropy downsampling"] = {"2": sampled.numpy()}
    return images


def _generator(distortion: str, seed: int) -> Generator:
    """The random numbers of one row; of TorchIO's distortions past the coin
    that every transform of its tosses first.
    """
    generator = torch.Generator().manual_seed(seed)
    if distortion in _DISTORTIONS:
        torch.rand(1, generator=generator)
    return generator


def _moves_brain(distortion: str) -> bool:
    if is_named(distortion):
        return own_distortion(distortion).moves_brain
    return distortion in _MOVES_BRAIN


def _own(name: str, space: Space, **parameters: float) -> RowDistortion:
    distort_copy = own_distortion(name)(space, **parameters)

    def distort_row(volume: Tensor, generator: Generator) -> Tensor:
        """Distort a copy, as it may be changed in place."""
        found = distort_copy(volume.clone(), generator)
        if not isinstance(found, Tensor) or found.shape != volume.shape:
            shape = tuple(getattr(found, "shape", ()))
            raise ValueError(
                f"distortion {name!r}: {type(found).__name__} of shape "
                f"{shape} returned, expected Tensor of shape "
                f"{tuple(volume.shape)}"
            )
        return found.to(volume)

    return distort_row


def _uniform(generator: Generator, value: float, *shape: int) -> Tensor:
    """TorchIO draws its parameters from [value, value]: the value in float32,
    and one draw less.
    """
    numbers = torch.empty(shape or (1,))
    return numbers.uniform_(value, value, generator=generator)


def _float32(value: float) -> float:
    """A parameter as TorchIO has it after drawing it."""
    return _uniform(Generator(), value).item()


def _affine(
    space: Space, scales: float, degrees: float, translation: float
) -> RowDistortion:
    affine, shape, device = space
    world_map = warps.scale_rotate_shift(
        affine, shape, scales, degrees, translation
    )
    sampling = warps.matrix_sampling(world_map, affine, shape, device)

    def distort_row(volume: Tensor, _: Generator) -> Tensor:
        """Move the volume by the matrix; nothing is drawn."""
        return warps.sample_volume(volume, sampling)

    return distort_row


def _elastic(
    space: Space, num_control_points: int, max_displacement: float
) -> RowDistortion:
    spline = warps.spline_sampling(
        space.affine, space.shape, num_control_points, space.device
    )
    shape = (num_control_points,) * 3 + (3,)

    def distort_row(volume: Tensor, generator: Generator) -> Tensor:
        """Bend the volume by control points that are drawn."""
        displacements = (torch.rand(shape, generator=generator) - 0.5) * 2
        displacements *= max_displacement
        # two control points at either end stay in place; as in TorchIO, the
        # third axis is not locked
        for edge in (0, 1):
            displacements[[edge, -1 - edge]] = 0
            displacements[:, [edge, -1 - edge]] = 0
        return warps.sample_volume(volume, spline(displacements))

    return distort_row


def _motion(space: Space, degrees: float, translation: float) -> RowDistortion:
    affine, shape, device = space
    movement = warps.head_movement(degrees, translation)
    sampling = warps.matrix_sampling(movement, affine, shape, device)
    planes = shape[2]

    @cache
    def low_planes(count: int) -> Tensor:
        """What the first `count` planes of k-space contribute to a line, (Z,
        Z).
        """
        acquired = np.fft.ifftshift(np.arange(planes) < count)[:, None]
        spectrum = acquired * np.fft.fft(np.eye(planes), axis=0)
        matrix = np.fft.ifft(spectrum, axis=0).real
        return torch.from_numpy(matrix).to(device, torch.float32)

    def distort_row(volume: Tensor, generator: Generator) -> Tensor:
        """Mix still and moved k-space at a time that is drawn."""
        # TorchIO draws the movement first, one number an axis
        _uniform(generator, degrees, 1, 3)
        _uniform(generator, translation, 1, 3)
        jitter = torch.empty(1).uniform_(-0.15, 0.15, generator=generator)
        time = 0.5 + jitter.numpy()
        moved = warps.sample_volume(volume, sampling)
        # the centre of k-space, most of the image, is always that of the still
        # head
        before, after = moved, volume
        if time[0] > 0.5:
            before, after = volume, moved
        count = int((planes * time)[0])
        return after + (before - after) @ low_planes(count).T

    return distort_row


def _ghost(space: Space, intensity: float) -> RowDistortion:
    def distort_row(volume: Tensor, generator: Generator) -> Tensor:
        """Add a ghost along an axis that is drawn."""
        torch.randint(1, 2, (1,), generator=generator)  # number of ghosts
        axis = int(torch.randint(0, 3, (1,), generator=generator))
        share = _uniform(generator, intensity).item()
        mean = volume.mean(axis, keepdim=True)
        return (1 - share) * volume + share * mean

    return distort_row


def _spike(space: Space, intensity: float) -> RowDistortion:
    def distort_row(volume: Tensor, generator: Generator) -> Tensor:
        """Add a plane wave at a place in k-space that is drawn."""
        torch.randint(1, 2, (1,), generator=generator)  # number of spikes
        height = _uniform(generator, intensity).item()
        place = torch.rand(1, 3, generator=generator).numpy()[0]
        place = np.floor(place * np.array(space.shape))
        spectrum = torch.fft.rfftn(volume).abs()
        peak = spectrum.max() * height / volume.numel()
        wave = _plane_wave(space.shape, place)
        return volume + peak * wave.real.to(space.device)

    return distort_row


def _plane_wave(shape: Sequence[int], place: np.ndarray) -> Tensor:
    """The image of one point of k-space, complex64 (X, Y, Z); the zero
    frequency lies in the middle of k-space.
    """
    wave = torch.ones(1, 1, 1, dtype=torch.complex64)
    for axis, (side, index) in enumerate(zip(shape, place, strict=True)):
        phase = 2j * np.pi * (index - side // 2) * np.arange(side) / side
        line = torch.from_numpy(np.exp(phase)).to(torch.complex64)
        sides = [1, 1, 1]
        sides[axis] = side
        wave = wave * line.view(sides)
    return wave


def _blur(space: Space, std: float) -> RowDistortion:
    voxel_size = np.linalg.norm(space.affine[:3, :3], axis=0)
    sigmas = _float32(std) / voxel_size
    matrices = []
    for side, sigma in zip(space.shape, sigmas, strict=True):
        kernel = gaussian_filter1d(np.eye(side), sigma, axis=0)
        matrix = torch.from_numpy(kernel).to(space.device, torch.float32)
        matrices.append(matrix)
    along_x, along_y, along_z = matrices

    def distort_row(volume: Tensor, _: Generator) -> Tensor:
        """Blur along each axis; nothing is drawn."""
        planes = along_y @ (volume @ along_z.T)
        return (along_x @ planes.flatten(1)).view(planes.shape)

    return distort_row


def _bias(space: Space, coefficients: float, order: int) -> RowDistortion:
    axes = []
    for side in space.shape:
        # arange from -side/2, as TorchIO does: an odd side then runs from
        # -(side - 1)/2 too
        axis = np.arange(-side / 2, side / 2) + 0.5
        axes.append(axis / axis.max())
    polynomial = _polynomial(axes, order)
    bias = np.exp(_float32(coefficients) * polynomial).astype(np.float32)
    field = torch.from_numpy(bias).to(space.device)

    def distort_row(volume: Tensor, _: Generator) -> Tensor:
        """Multiply by the field; nothing is drawn."""
        return volume * field

    return distort_row


def _polynomial(axes: Sequence[np.ndarray], order: int) -> np.ndarray:
    """Sum of all x^i y^j z^k with i + j + k <= order, (X, Y, Z)."""
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    z_sums = []  # of z^k up to each power
    for highest in range(order + 1):
        z_sums.append(sum(z**k for k in range(highest + 1)))
    total = 0
    for i in range(order + 1):
        for j in range(order + 1 - i):
            total = total + x**i * y**j * z_sums[order - i - j]
    return total


def _noise(space: Space, mean: float, std: float) -> RowDistortion:
    def distort_row(volume: Tensor, generator: Generator) -> Tensor:
        """Add noise of a seed that is drawn."""
        centre = _uniform(generator, mean).item()
        spread = _uniform(generator, std).item()
        # TorchIO draws a seed, and the noise from that
        seed = int(torch.randint(0, 2**31, (1,), generator=generator))
        noise_generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(1, *space.shape, generator=noise_generator)[0]
        return volume + (noise * spread + centre).to(space.device)

    return distort_row


def _gamma(space: Space, log_gamma: float) -> RowDistortion:
    gamma = float(np.exp(_float32(log_gamma)))

    def distort_row(volume: Tensor, _: Generator) -> Tensor:
        """Raise magnitudes to the power; nothing is drawn."""
        return volume.sign() * volume.abs() ** gamma

    return distort_row


# each makes what all rows share and returns what distorts one of them
_DISTORTIONS: dict[str, Callable[..., RowDistortion]] = {
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
    """Volumes in float32 and the affine in float64, or a ValueError."""
    volumes = torch.as_tensor(volumes)
    one_channel = volumes.dim() == 5 and volumes.shape[1] == 1
    if not one_channel or min(volumes.shape[2:]) < 2:
        raise ValueError(
            f"volumes: shape {tuple(volumes.shape)}, expected (B, 1, X, Y, Z)"
        )
    bad = ~volumes.isfinite().flatten(1).all(1)
    if bad.any():
        rows = bad.nonzero().flatten().tolist()
        raise ValueError(
            f"volumes: rows {rows[:5]} hold values that are not finite, "
            "expected none"
        )
    affine = np.asarray(affine, dtype=np.float64)
    if affine.shape != (4, 4) or not abs(np.linalg.det(affine)) > 1e-9:
        raise ValueError(
            f"affine: {affine.tolist()}, expected an invertible (4, 4) matrix"
        )
    return volumes.float(), affine
