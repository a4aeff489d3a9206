"""The standard space: where it lies, and that its maps agree with the 1 mm
template.
"""

import nibabel as nib
import numpy as np
import pytest
from nilearn import datasets, image

from mmssl.preprocessing import space, template


@pytest.mark.parametrize(
    ("size", "spacing"), [(64, 3.0), (32, 6.0), (96, 2.0), (16, 12.0)]
)
def test_grid_is_centred_and_covers_192_mm(size, spacing):
    affine = template.grid(size)
    assert nib.aff2axcodes(affine) == ("R", "A", "S")
    np.testing.assert_allclose(space.spacing(affine), spacing)
    corners = space.apply(affine, [[-0.5] * 3, [size - 0.5] * 3])
    np.testing.assert_allclose(corners, [[-96, -114, -90], [96, 78, 102]])


@pytest.mark.parametrize("size", [0, 7, 63.5, True, -64])
def test_bad_size_is_named(size):
    with pytest.raises(ValueError, match="size: found"):
        template.grid(size)


def test_whole_brain_lies_inside_the_grid():
    """No brain on the faces of the cube, and the same volume of brain at every
    resolution.
    """
    litres = [template.full().mask.sum() / 1e6]
    for size in (32, 64):
        mask = template.template(size).mask
        faces = [np.take(mask, i, axis) for axis in range(3) for i in (0, -1)]
        assert not any(face.any() for face in faces)
        litres.append(mask.sum() * (192 / size) ** 3 / 1e6)
    np.testing.assert_allclose(litres, litres[0], rtol=0.01)


@pytest.mark.parametrize("size", [32, 64])
def test_maps_equal_nilearn_resampling(size):
    """Oracle: nilearn smooths and resamples the same template with its own
    code.
    """
    found = template.template(size)
    source = nib.Nifti1Image(template.full().t1, template.full().affine)
    smooth = image.smooth_img(source, 192 / size)
    expected = image.resample_img(
        smooth,
        found.affine,
        (size,) * 3,
        interpolation="linear",
        force_resample=True,
        copy_header=True,
    )
    # the template ends within the brain stem: edges differ there
    above = 30 * size // 192
    np.testing.assert_allclose(
        found.t1[..., above:], expected.get_fdata()[..., above:], atol=2e-3
    )


def test_tissues_share_the_brain():
    full = template.full()
    total = full.grey + full.white + full.csf
    np.testing.assert_allclose(total[full.mask], 1, atol=1e-5)
    assert (total[~full.mask] == 0).all()
    mni = template.template(64)
    lateral = np.round(np.linalg.inv(mni.affine) @ [8, 12, 16, 1]).astype(int)[
        :3
    ]
    # in the body of a lateral ventricle
    assert mni.csf[tuple(lateral)] > 0.5
    darker = [
        mni.t1[getattr(mni, name) > 0.8].mean()
        for name in ("csf", "grey", "white")
    ]
    assert darker == sorted(darker)
    mask = datasets.load_mni152_brain_mask(resolution=1).get_fdata() > 0
    np.testing.assert_array_equal(full.mask, mask)


def test_shared_arrays_cannot_be_written():
    assert template.template(32) is template.template(32)
    with pytest.raises(ValueError, match="read-only"):
        template.template(32).t1[0] = 1
