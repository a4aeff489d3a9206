"""A person of the usual resolution is prepared within 3 GB."""

import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from nibabel.processing import resample_to_output

from mmssl.cohorts.simulated import images, raw

LARGEST = 3e6  # kB
VOLUMES = 164

PREPARE = """
import re
import sys
from pathlib import Path

from mmssl.preprocessing import prepare

person = prepare(sys.argv[1], sys.argv[2], size=64, progress=False)
print(person.quality["falff_grey"])
# unlike what getrusage says, it begins anew with this program
status = Path("/proc/self/status").read_text()
print(re.search(r"VmHWM:\\s*(\\d+) kB", status)[1])
"""


@pytest.mark.slow
def test_a_t1_of_1_mm_with_164_volumes_takes_less_than_3_gb(tmp_path, tell):
    raw.write_raw_people(tmp_path, 1, seed=9000, design=images.Design())
    t1 = nib.load(tmp_path / "sub-01/anat/sub-01_T1w.nii.gz")
    fine = resample_to_output(t1, (1, 1, 1), order=1)
    assert np.prod(fine.shape) > 1e7
    t1_file = tmp_path / "fine_T1w.nii.gz"
    values = np.asarray(fine.dataobj).astype(np.int16)
    nib.save(nib.Nifti1Image(values, fine.affine), t1_file)

    name = "sub-01_task-rest_bold"
    bold = nib.load(tmp_path / f"sub-01/func/{name}.nii.gz")
    series = np.asarray(bold.dataobj)
    # there and back again, so that the head goes on moving smoothly
    there = np.arange(series.shape[3])
    order = np.resize(np.r_[there, there[-2:0:-1]], VOLUMES)
    noise = np.random.default_rng(0).normal(0, 3, (*series.shape[:3], VOLUMES))
    longer = nib.Nifti1Image(
        (series[..., order] + noise).astype(np.int16), bold.affine
    )
    longer.header.set_xyzt_units("mm", "sec")
    longer.header["pixdim"][4] = 2.2
    bold_file = tmp_path / "long_bold.nii.gz"
    nib.save(longer, bold_file)

    done = subprocess.run(
        [sys.executable, "-c", PREPARE, str(t1_file), str(bold_file)],
        capture_output=True,
        text=True,
        check=True,
    )
    falff, peak = map(float, done.stdout.split())
    tell(f"memory of one person at 1 mm: {peak / 1e6:.2f} GB")
    assert 0.2 < falff < 0.9
    assert peak < LARGEST
