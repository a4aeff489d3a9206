"""The real anatomy that simulated people are made of.

The MNI152 template, an average of 152 heads, ships with nilearn and is the
default. Colin27 (Holmes et al. 1998) is one head, the average of 27 scans of
one man in MNI space, with the folds that an average has lost. Debian packages
it (mricron-data); nothing of it is part of the project. Its licence lets
anybody use, copy, change and pass it on with its notice: Copyright 1993-2009
Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute,
McGill University.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import ndimage

from mmssl.ledger import limits
from mmssl.preprocessing import template

MNI152, COLIN27 = ANATOMIES = ("mni152", "colin27")
"""Names of the anatomies."""

COLIN27_FILE = "/usr/share/mricron/templates/ch2bet.nii.gz"
"""Where Debian's mricron-data has the brain of Colin27; the environment
variable ``MMSSL_COLIN27`` names another place.
"""

# of intensities that are 0 outside the brain and reach 133
_DARKEST = 5
# voxels that the mixture of tissues is fitted to: one in so many
_STEP = 50


@lru_cache(maxsize=len(ANATOMIES))
def full(name: str = MNI152) -> template.Template:
    """T1 and tissue maps of an anatomy, on the template's 1 mm grid.

    Parameters
    ----------
    name : of `ANATOMIES`.

    Raises
    ------
    ValueError
        For another name.
    FileNotFoundError
        Where Colin27 is asked for and not there, with the way to get it.
    """
    if name == MNI152:
        return template.full()
    if name != COLIN27:
        raise ValueError(
            f"anatomy is {name!r}, expected one of {', '.join(ANATOMIES)}"
        )
    return _colin27()


@lru_cache(maxsize=4)
def on_grid(name: str, size: int) -> template.Template:
    """An anatomy averaged down as `mmssl.preprocessing.template.template`
    averages MNI152.
    """
    if name == MNI152:
        return template.template(size)
    return template.averaged(full(name), size)


def _colin27() -> template.Template:
    """Colin27 as MNI152 is: skull-stripped, white matter as bright, with the
    fraction of each tissue.

    Tissues are the three classes of a Gaussian mixture of the intensities.
    """
    from sklearn.mixture import GaussianMixture

    path = Path(os.environ.get("MMSSL_COLIN27", COLIN27_FILE))
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: not found; Colin27 comes with Debian's mricron-data "
            "(apt install mricron-data), or MMSSL_COLIN27 names its file "
            "ch2bet.nii.gz"
        )
    image = limits.load_image(path)
    mni = template.full()
    to_image = np.linalg.inv(image.affine) @ mni.affine
    brain = ndimage.affine_transform(
        image.get_fdata(dtype=np.float32),
        to_image[:3, :3],
        to_image[:3, 3],
        mni.mask.shape,
        order=1,
    )
    closed = ndimage.binary_closing(brain > _DARKEST, iterations=2)
    mask = ndimage.binary_fill_holes(closed)
    values = brain[mask][:, None]
    darkest_first = np.quantile(values, [0.05, 0.4, 0.8])[:, None]
    mixture = GaussianMixture(3, means_init=darkest_first, random_state=0)
    mixture.fit(values[::_STEP])
    tissues = []
    for fraction in mixture.predict_proba(values).T:
        tissue = np.zeros(mask.shape, np.float32)
        tissue[mask] = fraction
        tissues.append(tissue)
    csf, grey, white = tissues
    t1 = brain * mask
    t1 *= mni.t1[mni.white > 0.9].mean() / t1[white > 0.9].mean()
    return template.read_only(
        template.Template(t1, mask, grey, white, csf, mni.affine)
    )
