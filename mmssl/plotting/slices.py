"""What figures of brain maps share: a volume with its place, and its peak."""

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine


def image(volume: np.ndarray, affine: np.ndarray) -> nib.Nifti1Image:
    """A volume (X, Y, Z) as nilearn draws it, in float32."""
    return nib.Nifti1Image(np.asarray(volume, dtype=np.float32), affine)


def peak_coordinates(
    volume: np.ndarray, affine: np.ndarray
) -> tuple[float, ...]:
    """World coordinates in mm of the largest absolute value."""
    largest = int(np.abs(volume).argmax())
    voxel = np.unravel_index(largest, volume.shape)
    return tuple(float(c) for c in apply_affine(affine, voxel))
