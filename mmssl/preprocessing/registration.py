"""Where a person's brain lies: similarity (7 degrees of freedom) to MNI152,
rigid BOLD to T1.

Both minimise Mattes mutual information (Mattes et al. 2003) with SimpleITK.
Mutual information has many local optima, so each registration begins from
several poses on coarse images and only the best ones go on to the fine ones.
Poses are tried side by side, but nothing is sampled at random and a pose is
never split between threads: the same image gives the same matrix.
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

_WORK_UNITS = 1  # several units are summed in the order in which they finish
_BINS = 32
_TILTS = np.deg2rad([-20.0, 0.0, 20.0])
# mm, of the dilated template mask in which the images are compared
_MARGIN = 6.0
_KEPT = 3  # poses that go on from the coarsest images


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
    tilted up to 20 degrees and scaled.

    Parameters
    ----------
    t1 : (X, Y, Z) array.
    affine : (4, 4), voxels to native mm, RAS+; its origin may be wrong.

    Returns
    -------
    Registration, MNI mm to native mm: three rotations, three translations and
    one scale.
    """
    import SimpleITK as sitk

    model = template.template(96)  # 2 mm
    reach = (
        ndimage.distance_transform_edt(~model.mask, model.affine[0, 0])
        <= _MARGIN
    )
    fixed = _pyramid(model.t1, model.affine, (8.0, 4.0, 2.0), reach)
    moving = _pyramid(_clip(t1), affine, (8.0, 4.0, 2.0))
    centre = _centre(*fixed[0])
    shift = _centre(moving[0][0]) - centre
    starts = []
    for pitch, roll, drop, scale in product(
        _TILTS, _TILTS, (0.0, 30.0), (0.95, 1.15)
    ):
        pose = sitk.Similarity3DTransform()
        pose.SetCenter(centre.tolist())
        pose.SetRotation((np.sin(pitch / 2), np.sin(roll / 2), 0.0, 1.0))
        pose.SetTranslation((shift + [0.0, 0.0, drop]).tolist())
        pose.SetScale(scale)
        starts.append(pose)
    return _best(fixed, moving, starts)


def to_anatomy(
    mean_bold: np.ndarray,
    bold_affine: np.ndarray,
    t1: np.ndarray,
    affine: np.ndarray,
    mask: np.ndarray,
) -> Registration:
    """Register the T1 to the mean BOLD image of the same person by a rigid
    transform.

    Parameters
    ----------
    mean_bold : (X, Y, Z) array, with its (4, 4) ``bold_affine``.
    t1 : (X', Y', Z') array, with its (4, 4) ``affine``.
    mask : (X', Y', Z') bool array, the brain in the T1.

    Returns
    -------
    Registration, T1 world mm to BOLD world mm. It starts from the scanner's
    own coordinates and from joined centres of intensity, tilted, so that a
    wrong origin of either does not matter.
    """
    import SimpleITK as sitk

    levels = (8.0, 4.0, 2.0)
    # with a rim of skull and scalp, where there is one: both images show it,
    # and its edges guide
    reach = ndimage.binary_dilation(
        mask, iterations=round(8.0 / space.spacing(affine).max())
    )
    fixed = _pyramid(_clip(t1), affine, levels, reach)
    moving = _pyramid(_clip(mean_bold), bold_affine, levels)
    centre = _centre(*fixed[0])
    shift = _centre(moving[0][0]) - centre
    starts = []
    for pitch, roll, move in product(_TILTS, _TILTS, (np.zeros(3), shift)):
        pose = sitk.VersorRigid3DTransform()
        pose.SetCenter(centre.tolist())
        pose.SetRotation((np.sin(pitch / 2), np.sin(roll / 2), 0.0, 1.0))
        pose.SetTranslation(move.tolist())
        starts.append(pose)
    return _best(fixed, moving, starts)


def _clip(volume: np.ndarray) -> np.ndarray:
    """Cut the brightest 0.2 % (vessels, fat) so that they do not take most of
    the histogram.
    """
    volume = np.asarray(volume, dtype=np.float32)
    return np.clip(volume, 0, np.percentile(volume[volume > 0], 99.8))


def _pyramid(volume, affine, levels, mask=None) -> list:
    """[(image, mask or None)] of a volume at each resolution in mm, each made
    from the finer.
    """
    import SimpleITK as sitk

    image = space.to_sitk(volume, affine)
    label = (
        None
        if mask is None
        else sitk.Cast(space.to_sitk(mask, affine), sitk.sitkUInt8)
    )
    out = []
    for level in sorted(levels):
        factors = [max(1, round(level / side)) for side in image.GetSpacing()]
        if max(factors) > 1:
            sides = np.array(image.GetSpacing())
            sigma = np.maximum(
                np.sqrt(np.maximum(level**2 - sides**2, 0)) / space.FWHM, 1e-2
            )
            image = sitk.Shrink(
                sitk.SmoothingRecursiveGaussian(image, sigma.tolist()), factors
            )
            label = None if label is None else sitk.Shrink(label, factors)
        out.append((image, label))
    return out[::-1]


def _centre(image: sitk.Image, mask: sitk.Image | None = None) -> np.ndarray:
    """(3,) centre of intensity in LPS mm."""
    import SimpleITK as sitk

    values = sitk.GetArrayFromImage(image).astype(np.float64).clip(0)
    if mask is not None:
        values = values * sitk.GetArrayFromImage(mask)
    index = ndimage.center_of_mass(values)[::-1]
    return np.array(
        image.TransformContinuousIndexToPhysicalPoint(tuple(map(float, index)))
    )


def _best(
    fixed: list, moving: list, starts: list[sitk.Transform]
) -> Registration:
    """Run all starts on the coarsest level, the best on the next, and the
    winner to the end.
    """
    import SimpleITK as sitk

    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    poses = [(start, 0.0) for start in starts]
    # ITK computes outside of the interpreter's lock
    with ThreadPoolExecutor(threads) as pool:
        for level, pair in enumerate(zip(fixed, moving, strict=True)):
            if level > 0:
                poses = sorted(poses, key=lambda pose: pose[1])[
                    : _KEPT if level == 1 else 1
                ]
            iterations = 100 if level else 30
            tried = [
                pool.submit(_optimise, *pair, pose, iterations)
                for pose, _ in poses
            ]
            poses = [one.result() for one in tried]
    transform, value = min(poses, key=lambda pose: pose[1])
    return Registration(space.to_matrix(transform), -value)


def _optimise(fixed, moving, start: sitk.Transform, iterations: int):
    """(transform, negative information) after gradient descent on one
    resolution.
    """
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfWorkUnits(_WORK_UNITS)
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.NONE)
    if fixed[1] is not None:
        method.SetMetricFixedMask(fixed[1])
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=4.0,
        minStep=0.02,
        numberOfIterations=iterations,
        relaxationFactor=0.6,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    transform = type(start)(start)
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(fixed[0], moving[0])
    return transform, method.GetMetricValue()
