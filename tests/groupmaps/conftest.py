"""Fixtures that the tests of group maps share."""

from types import SimpleNamespace

import numpy as np
import pytest
from nibabel.affines import apply_affine
from planted_ball import SHAPE, planted
from scipy import ndimage

from mmssl.groupmaps.mann_whitney import compare


@pytest.fixture
def centred(affine):
    """The oblique affine, moved so that the middle of the image is at x =
    0.
    """
    middle = [n // 2 for n in SHAPE]
    affine[0, 3] -= apply_affine(affine, middle)[0]
    return affine


@pytest.fixture(params=[-1, 1], ids=["left", "right"])
def one_sided(request, rng, centred):
    """Two groups of 12 that differ in one ball on one side, and their
    corrected map.
    """
    mask, ball, point = planted(centred, request.param)
    noise = rng.normal(size=(24, *SHAPE))
    values = ndimage.gaussian_filter(noise, (0, 1, 1, 1))
    values[:12] += ball
    test = compare(
        values[:, None, mask], np.arange(24) < 12, 199, progress=False
    )
    ((rbc, p),) = test.volumes(mask)
    return SimpleNamespace(
        side=request.param,
        mask=mask,
        ball=ball,
        point=point,
        rbc=rbc,
        p=p,
        affine=centred,
    )
