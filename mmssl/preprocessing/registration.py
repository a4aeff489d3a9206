"""Linear registration: a T1 to MNI152 by a similarity transform (7 degrees of
freedom), a BOLD to its T1 by a rigid one.

Both maximise Mattes mutual information (Mattes et al. 2003) with SimpleITK.
Mutual information has many local optima, so each registration begins from
several poses on coarse images and only the best ones go on to the fine ones.
On coarse images a head fits a larger brain nearly as well as its own, and what
scale it has is told by which of several fixed ones fits best. Descent by steps
of a given length may also end higher than it was; the best pose on its way is
kept.
Poses are optimised in parallel threads, but nothing is sampled at random and a
pose is never split between threads: the same image gives the same matrix.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from mmssl.preprocessing import space, template

if TYPE_CHECKING:
    import SimpleITK as sitk

# Resolutions of the compared images, mm.
_LEVELS = (8.0, 4.0, 2.0)
# Tilts about x and about y from which poses start, rad.
_TILTS = np.deg2rad([-20.0, 0.0, 20.0])
# Scales, MNI152 to native, that the coarsest level compares: small heads and
# large ones.
_SCALES = (0.85, 0.93, 1.02, 1.11)
# Poses that go on to the second and to the third level.
_KEPT = (6, 1)
# Iterations of the optimiser on the coarsest level and on the others.
_ITERATIONS = (30, 100)
# Width of the rim around the template's brain that is compared too, mm.
_MARGIN = 6.0
# Bins of the joint histogram, along each axis.
_BINS = 32
# More threads would be summed in the order in which they finish.
_WORK_UNITS = 1


class Registration(NamedTuple):
    """A linear registration.

    Attributes
    ----------
    matrix : (4, 4) array, fixed world mm to moving world mm, RAS+ (MNI to
        native, or T1 to BOLD).
    information : Mattes mutual information at the optimum, nats; larger is
        better.
    """

    matrix: np.ndarray
    information: float


def to_template(t1: np.ndarray, affine: np.ndarray) -> Registration:
    """Register a T1, with skull or without, to MNI152 by a similarity
    transform.

    The template's brain, in a mask dilated by 6 mm, is compared with the image
    at 8, 4 and 2 mm. The starts put the image's centre of intensity onto the
    template's, shifted along the body axis (a neck pulls the centre down),
    tilted up to 20 degrees and scaled; at 8 mm the scale stays as it is.

    Parameters
    ----------
    t1 : (X, Y, Z) array.
    affine : (4, 4), voxels to native mm, RAS+; its origin may be wrong.

    Returns
    -------
    Registration
        MNI mm to native mm: three rotations, three translations, one scale.
    """
    import SimpleITK as sitk

    mni = template.template(96)  # 2 mm
    distance = ndimage.distance_transform_edt(~mni.mask, mni.affine[0, 0])
    fixed = _pyramid(mni.t1, mni.affine, distance <= _MARGIN)
    moving = _pyramid(_clip(t1), affine, whole=True)
    centre = _centre(*fixed[0])
    shift = _centre(moving[0][0]) - centre
    starts = []
    for pitch, roll, drop, scale in product(
        _TILTS, _TILTS, (0.0, 30.0), _SCALES
    ):
        pose = sitk.Similarity3DTransform()
        _place(pose, centre, pitch, roll, shift + [0.0, 0.0, drop])
        pose.SetScale(scale)
        starts.append(pose)
    return _best(fixed, moving, starts, (1.0,) * 6 + (0.0,))


def to_anatomy(
    mean_bold: np.ndarray,
    bold_affine: np.ndarray,
    t1: np.ndarray,
    affine: np.ndarray,
    mask: np.ndarray,
) -> Registration:
    """Register the T1 and the mean BOLD of one person by a rigid transform.

    Parameters
    ----------
    mean_bold : (X, Y, Z) array, with its (4, 4) ``bold_affine``.
    t1 : (X', Y', Z') array, with its (4, 4) ``affine``.
    mask : (X', Y', Z') bool array, the brain in the T1.

    Returns
    -------
    Registration
        T1 world mm to BOLD world mm. It starts from the scanner's own
        coordinates and from joined centres of intensity, tilted, so that a
        wrong origin of either does not matter.
    """
    import SimpleITK as sitk

    # With a rim of skull and scalp, where there is one: both images show it,
    # and its edges guide.
    rim = round(8.0 / space.spacing(affine).max())
    reach = ndimage.binary_dilation(mask, iterations=rim)
    fixed = _pyramid(_clip(t1), affine, reach)
    moving = _pyramid(_clip(mean_bold), bold_affine)
    centre = _centre(*fixed[0])
    shift = _centre(moving[0][0]) - centre
    starts = []
    for pitch, roll, translation in product(
        _TILTS, _TILTS, (np.zeros(3), shift)
    ):
        pose = sitk.VersorRigid3DTransform()
        _place(pose, centre, pitch, roll, translation)
        starts.append(pose)
    return _best(fixed, moving, starts, (1.0,) * 6)


def _place(
    pose: sitk.Transform,
    centre: np.ndarray,
    pitch: float,
    roll: float,
    translation: np.ndarray,
) -> None:
    """Set a transform about a centre (LPS mm), with tilts in rad about x and
    y.
    """
    pose.SetCenter(centre.tolist())
    pose.SetRotation((np.sin(pitch / 2), np.sin(roll / 2), 0.0, 1.0))
    pose.SetTranslation(translation.tolist())


def _clip(volume: np.ndarray) -> np.ndarray:
    """Cut the brightest 0.2 % (vessels, fat) so that they do not take most of
    the histogram.
    """
    volume = np.asarray(volume, dtype=np.float32)
    return np.clip(volume, 0, np.percentile(volume[volume > 0], 99.8))


def _pyramid(
    volume: np.ndarray,
    affine: np.ndarray,
    mask: np.ndarray | None = None,
    whole: bool = False,
) -> list[tuple[sitk.Image, sitk.Image | None]]:
    """A volume and its mask at every level, the coarsest first.

    Each level is smoothed and shrunk from the next finer one. Voxels are
    averaged in bins: picking every second one would move the image by half a
    voxel. ``whole`` smooths the finest level and does not shrink it: what is
    read between the voxels of a moving image is then exact enough for a tenth
    of a millimetre.
    """
    import SimpleITK as sitk

    image = space.to_sitk(volume, affine)
    label = None
    if mask is not None:
        label = sitk.Cast(space.to_sitk(mask, affine), sitk.sitkUInt8)
    levels = []
    for number, side in enumerate(sorted(_LEVELS)):
        sides = np.array(image.GetSpacing())
        factors = [max(1, round(side / old)) for old in image.GetSpacing()]
        if max(factors) > 1:
            width = np.sqrt(np.maximum(side**2 - sides**2, 0))
            sigma = np.maximum(width / space.FWHM, 1e-2)
            smooth = sitk.SmoothingRecursiveGaussian(image, sigma.tolist())
            image = sitk.BinShrink(smooth, factors)
            if label is not None:
                label = sitk.BinShrink(label, factors)
            if whole and number == 0:
                levels.append((smooth, None))
                continue
        levels.append((image, label))
    return levels[::-1]


def _centre(image: sitk.Image, mask: sitk.Image | None = None) -> np.ndarray:
    """(3,) centre of intensity in LPS mm."""
    import SimpleITK as sitk

    values = sitk.GetArrayFromImage(image).astype(np.float64).clip(0)
    if mask is not None:
        values = values * sitk.GetArrayFromImage(mask)
    z, y, x = ndimage.center_of_mass(values)
    index = (float(x), float(y), float(z))
    return np.array(image.TransformContinuousIndexToPhysicalPoint(index))


def _best(
    fixed: list,
    moving: list,
    starts: list[sitk.Transform],
    coarse_weights: tuple[float, ...],
) -> Registration:
    """The best pose after all levels of two pyramids.

    All starts run on the coarsest level, the best of them on the next, and the
    best of those on the finest. ``coarse_weights``: of each parameter on the
    coarsest level; 0 holds it.
    """
    first, *others = zip(fixed, moving, strict=True)
    free = (1.0,) * len(coarse_weights)
    # ITK computes outside of the interpreter's lock.
    with ThreadPoolExecutor(space.threads()) as pool:
        poses = _optimise_all(
            pool, *first, starts, _ITERATIONS[0], coarse_weights
        )
        for images, kept in zip(others, _KEPT, strict=True):
            poses.sort(key=_cost)
            starts = [transform for transform, _ in poses[:kept]]
            poses = _optimise_all(pool, *images, starts, _ITERATIONS[1], free)
    transform, cost = min(poses, key=_cost)
    if np.isinf(cost):
        raise ValueError(
            "found no pose in which the two images meet, expected two images "
            "of one part of the body"
        )
    return Registration(space.to_matrix(transform), -cost)


def _cost(pose: tuple[sitk.Transform, float]) -> float:
    return pose[1]


def _optimise_all(
    pool: ThreadPoolExecutor,
    fixed,
    moving,
    starts: list,
    iterations: int,
    weights: tuple[float, ...],
) -> list[tuple[sitk.Transform, float]]:
    """(transform, negative information) from every start, on one level."""
    running = [
        pool.submit(_optimise, fixed, moving, start, iterations, weights)
        for start in starts
    ]
    return [optimisation.result() for optimisation in running]


def _optimise(
    fixed: tuple,
    moving: tuple,
    start: sitk.Transform,
    iterations: int,
    weights: tuple[float, ...],
) -> tuple[sitk.Transform, float]:
    """(transform, negative information) of the best pose that gradient descent
    meets on one level of two pyramids.
    """
    import SimpleITK as sitk

    fixed_image, fixed_mask = fixed
    moving_image, _ = moving
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfWorkUnits(_WORK_UNITS)
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.NONE)
    if fixed_mask is not None:
        method.SetMetricFixedMask(fixed_mask)
    method.SetInterpolator(sitk.sitkLinear)
    # the filter smooths by its own image's voxels, which is for equal ones
    finer = max(moving_image.GetSpacing()) < min(fixed_image.GetSpacing())
    method.SetMetricUseMovingImageGradientFilter(not finer)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=max(fixed_image.GetSpacing()) / 2,
        minStep=0.02,
        numberOfIterations=iterations,
        relaxationFactor=0.6,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetOptimizerWeights(weights)
    transform = type(start)(start)
    method.SetInitialTransform(transform, inPlace=True)
    costs, positions = [], [transform.GetParameters()]

    def note_step() -> None:
        """Keep the cost and the pose of a step."""
        # the value is that of the pose before the step
        costs.append(method.GetMetricValue())
        positions.append(method.GetOptimizerPosition())

    method.AddCommand(sitk.sitkIterationEvent, note_step)
    try:
        method.Execute(fixed_image, moving_image)
    except RuntimeError:  # the images lie apart, or one is empty
        return transform, np.inf
    if not costs:  # no step was worth taking
        return transform, method.GetMetricValue()
    best = int(np.argmin(costs))
    transform.SetParameters(positions[best])
    return transform, costs[best]
