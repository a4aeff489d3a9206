"""The papers' preprocessing: FSL's mcflirt, bet and flirt, where they are
installed.

The commands are those of Fedorov et al. 2021 ("Application to Alzheimer's
disease", section 3.1; "Tasting the cake", appendix A.2), with FSL's defaults
where the papers name nothing. FSL is not free for everybody and comes with
nothing here: Jenkinson et al. 2012.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmssl.preprocessing import template
from mmssl.preprocessing.motion import Motion, motion_table, steadiness

COMMANDS = ("mcflirt", "bet", "flirt")
_REFERENCE = 96  # voxels a side of the template, 2 mm


def check_installed() -> None:
    """RuntimeError where one of the commands is not on the path."""
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing:
        raise RuntimeError(
            f"FSL: {', '.join(missing)} not found on the PATH, expected an "
            "installed FSL (https://fsl.fmrib.ox.ac.uk), or the backend "
            "'simpleitk'"
        )


def mcflirt_command(bold: Path, output: Path) -> list[str]:
    """The command that realigns a series to its first volume: three stages
    (8, 4, 4 mm), normalised correlation smoothed to 1 mm, 256 bins, a field of
    view of 20 mm, scaling of 6 mm, 6 degrees of freedom, splines at the end.
    """
    options = (
        "-refvol 0 -cost normcorr -bins 256 -dof 6 -scaling 6.0 -smooth 1.0 "
        "-fov 20.0 -stages 3 -spline_final -mats"
    )
    return ["mcflirt", "-in", f"{bold}", "-out", f"{output}", *options.split()]


def bet_command(t1: Path, output: Path) -> list[str]:
    """The command that finds the brain in a T1 and writes its mask."""
    return ["bet", f"{t1}", f"{output}", "-m"]


def flirt_command(
    moving: Path, reference: Path, matrix: Path, freedom: int
) -> list[str]:
    """The command that registers an image to another: 7 degrees of freedom to
    the template, 6 between two images of a person.
    """
    images = ["-in", f"{moving}", "-ref", f"{reference}"]
    return ["flirt", *images, "-omat", f"{matrix}", "-dof", f"{freedom}"]


def realign(bold: np.ndarray, affine: np.ndarray) -> Motion:
    """Align every volume of a series to its first by mcflirt.

    Parameters
    ----------
    bold : (X, Y, Z, T) array.
    affine : (4, 4), voxels to world mm, RAS+.

    Returns
    -------
    Motion
        As `mmssl.preprocessing.motion.realign`; every volume counts as
        aligned, as mcflirt does not say.

    Raises
    ------
    ValueError
        Where the command fails, with what it printed.
    RuntimeError
        As `check_installed`.
    """
    with tempfile.TemporaryDirectory(prefix="mcflirt-") as folder:
        source = _save(Path(folder) / "bold.nii.gz", bold, affine)
        output = Path(folder) / "realigned"
        series = output.with_name("realigned.nii.gz")
        folder_of_matrices = output.with_name("realigned.mat")
        command = mcflirt_command(source, output)
        _run(command, series, folder_of_matrices)
        realigned = _load(series)
        files = sorted(folder_of_matrices.glob("MAT_*"))
        matrices = [np.loadtxt(file) for file in files]
    volumes = bold.shape[3]
    if len(matrices) != volumes or realigned.shape != bold.shape:
        raise ValueError(
            f"mcflirt: wrote {len(matrices)} matrices and a series "
            f"{realigned.shape}, expected {volumes} and {bold.shape}"
        )
    place = (affine, bold.shape[:3])
    to_first = [world_matrix(matrix, *place, *place) for matrix in matrices]
    poses = np.linalg.inv(np.stack(to_first))
    steady, _ = steadiness(bold)
    aligned = np.ones(volumes, bool)
    table = motion_table(poses, affine, bold.shape[:3], steady, aligned)
    return Motion(realigned, table, poses)


def register_anatomy(
    t1: np.ndarray, affine: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the brain of a T1 by bet and register it to MNI152 by flirt.

    Parameters
    ----------
    t1 : (X, Y, Z) array.
    affine : (4, 4), voxels to native mm, RAS+.

    Returns
    -------
    mask, matrix
        (X, Y, Z) bool array; (4, 4), MNI mm to native mm, seven degrees of
        freedom.

    Raises
    ------
    ValueError
        Where a command fails, with what it printed.
    RuntimeError
        As `check_installed`.
    """
    mni = template.template(_REFERENCE)
    with tempfile.TemporaryDirectory(prefix="flirt-") as folder:
        folder = Path(folder)
        source = _save(folder / "t1.nii.gz", t1, affine)
        reference = _save(folder / "mni.nii.gz", mni.t1, mni.affine)
        brain = folder / "brain.nii.gz"
        brain_mask = folder / "brain_mask.nii.gz"
        _run(bet_command(source, folder / "brain"), brain, brain_mask)
        mask = _load(brain_mask) > 0
        matrix = folder / "matrix.txt"
        _run(flirt_command(brain, reference, matrix, 7), matrix)
        to_mni = world_matrix(
            np.loadtxt(matrix), affine, t1.shape, mni.affine, mni.t1.shape
        )
    return mask, np.linalg.inv(to_mni)


def register_series(
    mean: np.ndarray,
    bold_affine: np.ndarray,
    t1: np.ndarray,
    affine: np.ndarray,
    mask: np.ndarray,
) -> np.ndarray:
    """Register the mean of a series to the brain of its T1 by flirt.

    Parameters
    ----------
    mean : (X, Y, Z) array.
    bold_affine, affine : (4, 4), voxels to world mm, RAS+.
    t1 : (X', Y', Z') array.
    mask : (X', Y', Z') bool array, its brain.

    Returns
    -------
    (4, 4) array, the T1's mm to the BOLD's mm, rigid.

    Raises
    ------
    ValueError
        Where the command fails, with what it printed.
    RuntimeError
        As `check_installed`.
    """
    with tempfile.TemporaryDirectory(prefix="flirt-") as folder:
        folder = Path(folder)
        moving = _save(folder / "mean.nii.gz", mean, bold_affine)
        brain = _save(folder / "brain.nii.gz", np.where(mask, t1, 0), affine)
        matrix = folder / "matrix.txt"
        _run(flirt_command(moving, brain, matrix, 6), matrix)
        to_t1 = world_matrix(
            np.loadtxt(matrix), bold_affine, mean.shape, affine, t1.shape
        )
    return np.linalg.inv(to_t1)


def world_matrix(
    matrix: np.ndarray,
    moving_affine: np.ndarray,
    moving_shape: Sequence[int],
    affine: np.ndarray,
    shape: Sequence[int],
) -> np.ndarray:
    """A matrix of flirt between the worlds of two images.

    FSL's own coordinates are voxels times their sides, counted from the other
    end of the first axis where the affine keeps left and right
    ("neurological", a positive determinant).

    Parameters
    ----------
    matrix : (4, 4), as flirt writes it: moving to reference.
    moving_affine, affine : (4, 4), voxels to world mm of both.
    moving_shape, shape : their voxels along each axis.

    Returns
    -------
    (4, 4) array, world mm of the moving image to world mm of the reference.
    """
    moving = _to_fsl(moving_affine, moving_shape)
    reference = _to_fsl(affine, shape)
    return np.linalg.inv(reference) @ matrix @ moving


def _to_fsl(affine: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """(4, 4), world mm of an image to FSL's coordinates."""
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    scaled = np.diag([*sides, 1.0])
    if np.linalg.det(affine[:3, :3]) > 0:
        scaled[0] = [-sides[0], 0, 0, sides[0] * (shape[0] - 1)]
    return scaled @ np.linalg.inv(affine)


def _run(command: Sequence[str], *outputs: Path) -> None:
    """Run one of FSL's commands; ValueError with its words if it fails or does
    not write what it should.
    """
    check_installed()
    environment = {**os.environ, "FSLOUTPUTTYPE": "NIFTI_GZ"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment
    )
    missing = [output.name for output in outputs if not output.exists()]
    if done.returncode != 0 or missing:
        words = (done.stderr or done.stdout).strip()
        raise ValueError(
            f"{command[0]}: status {done.returncode}, not written: {missing}; "
            f"it said: {words!r}"
        )


def _save(file: Path, values: np.ndarray, affine: np.ndarray) -> Path:
    import nibabel as nib

    image = nib.Nifti1Image(np.asarray(values, np.float32), affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    nib.save(image, file)
    return file


def _load(file: Path) -> np.ndarray:
    import nibabel as nib

    return nib.load(file).get_fdata(dtype=np.float32)
