"""What a file says that it holds is refused above a limit."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from mmssl.ledger import limits


def test_an_image_may_have_four_bytes_a_value_up_to_the_limit(
    tmp_path, monkeypatch
):
    file = tmp_path / "small.nii"
    nib.save(nib.Nifti1Image(np.ones((3, 4, 5), np.uint8), np.eye(4)), file)
    monkeypatch.setattr(limits, "LARGEST", 4 * 3 * 4 * 5)
    assert limits.load_image(file).shape == (3, 4, 5)
    monkeypatch.setattr(limits, "LARGEST", 4 * 3 * 4 * 5 - 1)
    with pytest.raises(ValueError, match="small.nii: header, shape"):
        limits.load_image(file)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("most", [0, 10, 999, 1000, 1001])
def test_no_more_is_read_than_was_asked_for(tmp_path, packed, most):
    content = bytes(range(250)) * 4
    file = tmp_path / "file"
    file.write_bytes(gzip.compress(content) if packed else content)
    found = limits.read_at_most(file, most, packed).read()
    assert found == content[:most]
