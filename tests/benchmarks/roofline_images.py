"""How near to the machine's limits what makes and changes images comes.

Bytes are those of the images that go in and come out, as if they passed the
memory once; "alone" are the calls of libraries that do the arithmetic, one
after the other.
"""

import tempfile
from collections.abc import Iterator
from functools import partial

import numpy as np
import SimpleITK as sitk
import torch
from distortion_sweep import AFFINE, linear_models
from machine import rates
from roofline import (
    Products,
    Work,
    in_operators,
    noted,
    noted_products,
    replayed,
    rows,
    seconds_of,
)
from scipy import fft, ndimage

from mmssl.models.keyed_random import Stream
from mmssl.objectives.corruptions import blurred, painted, shuffled
from mmssl.objectives.energy_bands import SIGMAS, energy_bands
from mmssl.objectives.views import PadCropFlip, make_views
from mmssl.preprocessing import motion, registration, space
from mmssl.preprocessing.falff import falff
from mmssl.preprocessing.template import template
from mmssl.robustness import spaces
from mmssl.robustness.sweep import sweep

NAME = "Images"
KIND = "roofline"
OPERATORS = "torch's operators, as its profiler tells"
SERIES = (64, 64, 36, 164)
INTERPOLATION = (
    (ndimage, "map_coordinates"),
    (ndimage, "spline_filter"),
    (ndimage, "gaussian_filter"),
    (ndimage, "affine_transform"),
)


def measure(rounds: int) -> list[dict]:
    """A line a path."""
    return list(rows(works(), rates(), min(rounds, 5)))


def works() -> Iterator[Work]:
    """Every path, made when its turn comes."""
    yield _input_pipeline()
    yield from _corruptions()
    yield _energy_bands()
    yield _sweep()
    yield _falff()
    yield _motion()
    yield _registration()


def _input_pipeline() -> Work:
    """A batch of pairs at 64³, cropped and flipped."""
    pairs = 64
    rng = np.random.default_rng(0)
    images = {}
    for m in ("T1", "fALFF"):
        values = rng.normal(size=(pairs, 1, 64, 64, 64)).astype("f2")
        images[m] = torch.from_numpy(values)
    keys = torch.arange(pairs)
    rows_ = dict.fromkeys(images, keys)
    stream = Stream(keys, 0, 0)
    call = partial(
        make_views, images, rows_, {"main": None}, PadCropFlip(8), stream
    )
    voxels = 2 * pairs * 64**3
    return Work(
        "input pipeline, 64 pairs of 64³",
        "every voxel read as float16 and written as float32; nothing is "
        "calculated",
        0,
        (2 + 4) * voxels,
        call,
        within=partial(in_operators, call),
        library=OPERATORS,
    )


def _corruptions() -> Iterator[Work]:
    """Those of preservational learning."""
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(8, 1, 64, 64, 32, generator=draw)
    stream = Stream(torch.arange(8), 0, 0)
    moved = 2 * images.nbytes
    blur = partial(blurred, images, stream, (0.1, 2.0), 1.0)
    boxes = 10_000
    places = 8 * boxes * 3.5 * 3.5 * 2  # mean lengths of 1 to 6, 6 and 3
    shuffle = partial(shuffled, images, stream, (6, 6, 3), boxes, 1.0)
    yield Work(
        "shuffling, 8 volumes of 64×64×32",
        "10,000 boxes of 24.5 places on average a volume: the source of each "
        "place written as int64 and compared once; voxels read and written",
        places,
        2 * 8 * places + moved,
        shuffle,
        within=partial(in_operators, shuffle),
        library=OPERATORS,
    )
    yield Work(
        "painting, 8 volumes of 64×64×32",
        "a random number, a comparison and a choice a voxel; read and written",
        3 * images.numel(),
        moved,
        partial(painted, images, stream),
        alone=partial(torch.rand_like, images),
        library="torch's own random numbers of as many voxels",
    )
    yield Work(
        "blur, 8 volumes of 64×64×32",
        "2 (2 r + 1) operations a voxel and axis, r = 6 voxels; read and "
        "written",
        3 * 2 * 13 * images.numel(),
        moved,
        blur,
        within=partial(in_operators, blur),
        library=OPERATORS,
    )


def _energy_bands() -> Work:
    """Five filters of 16 volumes."""
    images = torch.randn(16, 1, 64, 64, 64)
    products = noted_products(partial(energy_bands, images))
    taps = sum(min(64, 2 * int(4 * sigma) + 1) for sigma in SIGMAS)
    return Work(
        "energy bands, 16 volumes of 64³",
        "2 (8 σ + 1) operations a voxel, axis and filter, at most 2 × 64; "
        "read once, six bands written",
        3 * 2 * taps * images.numel(),
        7 * images.nbytes,
        partial(energy_bands, images),
        alone=products.replay(),
        library="its matrix products",
    )


def _sweep() -> Work:
    """One value of every distortion, 16 people, 7 models."""
    images = np.random.default_rng(0).normal(size=(16, 1, 32, 32, 32))
    inputs = {"T1": images.astype(np.float32)}
    subjects = [f"sub-{i:03d}" for i in range(16)]
    models = linear_models("T1")
    grid = spaces.grid_points().drop_duplicates("distortion")

    def call() -> None:
        with tempfile.TemporaryDirectory() as folder:
            sweep(
                inputs, subjects, models, grid, AFFINE, folder, progress=False
            )

    products = Products()
    with products:
        call()
    points = len(grid) + 1
    return Work(
        f"distortion sweep, {points} points, 16 people, 7 models, 32³",
        "2 B C_out L_out C_in k³ of each convolution of the encoders; each "
        "volume read and written a point, and read by each model",
        products.operations,
        points * images.size * 4 * (2 + 7),
        call,
        alone=products.replay(),
        library="the convolutions of the encoders",
    )


def _falff() -> Work:
    """The whole array of a BOLD series."""
    rng = np.random.default_rng(0)
    bold = rng.normal(1000, 10, size=SERIES).astype(np.float32)
    voxels, times = bold[..., 0].size, SERIES[-1]
    call = partial(falff, bold, 2.0)
    return Work(
        "fALFF, 64×64×36 voxels, 164 volumes",
        "2.5 T log2 T operations a voxel of a real Fourier transform; the "
        "series read, the map written",
        2.5 * times * np.log2(times) * voxels,
        bold.nbytes + 4 * voxels,
        call,
        alone=replayed(call, (fft, "rfft")),
        library="its Fourier transforms",
    )


def _motion() -> Work:
    """Ten volumes of a moving head."""
    bold, affine = moving_series(10)
    call = partial(motion.realign, bold, affine, progress=False)
    with noted(*INTERPOLATION) as calls:
        call()
    points = 0
    for function, arguments, _ in calls:
        if function.__name__ == "map_coordinates":
            points += arguments[1].shape[1]
    volume = bold[..., 0].size
    return Work(
        "motion, 10 volumes of 64×64×36",
        "2 × 64 operations a point of each comparison and a voxel of the last "
        "interpolation, by cubic splines; each volume read and written",
        128.0 * (points + 10 * volume),
        2 * bold.nbytes,
        call,
        "fp64",
        alone=replayed(call, *INTERPOLATION),
        library="SciPy's splines and filters",
    )


def moving_series(volumes: int) -> tuple[np.ndarray, np.ndarray]:
    """A template's head that drifts, (64, 64, 36, volumes), and its affine."""
    mni = template(64)
    head = mni.t1[:, :, 14:50].astype(np.float32)
    rng = np.random.default_rng(0)
    series = []
    for t in range(volumes):
        moved = ndimage.shift(head, [0.05 * t, 0.03 * t, 0.02 * t], order=1)
        series.append(moved + 0.01 * rng.normal(size=head.shape))
    affine = mni.affine.copy()
    affine[:3, 3] = space.apply(mni.affine, np.array([0.0, 0.0, 14.0]))
    return np.stack(series, axis=-1).astype(np.float32), affine


def _registration() -> Work:
    """A head of 3 mm onto the template."""
    mni = template(64)
    reached = template(96).mask.sum()
    iterations = 100
    call = partial(registration.to_template, mni.t1, mni.affine)

    def within() -> tuple[float, float]:
        # poses are optimised in as many threads
        method = sitk.ImageRegistrationMethod
        whole, spent = seconds_of(call, (method, "Execute"))
        return whole, spent["Execute"] / space.threads()

    return Work(
        "registration of a T1 of 3 mm to MNI152",
        "100 iterations on the finest level, of which each interpolates a "
        "value and a slope (4 × 16 operations) in every voxel of the brain; "
        "the coarser levels and their starts left out",
        64.0 * iterations * reached,
        8.0 * iterations * reached,
        call,
        "fp64",
        within=within,
        library="SimpleITK's optimisation, over all threads",
    )
