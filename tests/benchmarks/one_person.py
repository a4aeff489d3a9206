"""From the raw files of one person to volumes on the cohort's grid: a T1
resampled to 1 mm and 164 volumes of a BOLD series, both simulated.

The series is that of a simulated raw person, there and back until it is long
enough. Of the whole, what each step takes; a run is one round.
"""

import tempfile
import warnings
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.processing import resample_to_output
from roofline import seconds_of

from mmssl.cohorts.simulated import images, raw
from mmssl.preprocessing import brain, person, registration

NAME = "One person"
VOLUMES = 164
STEPS = (
    (registration, "to_template"),
    (brain, "brain_mask"),
    (person, "realign"),
    (person, "falff"),
    (registration, "to_anatomy"),
)


def measure(rounds: int) -> dict:
    """Seconds of the whole and of its steps, once."""
    with tempfile.TemporaryDirectory() as folder:
        t1, bold = written(Path(folder))
        sides = nib.load(t1).header.get_zooms()
        call = partial(person.prepare, t1, bold, progress=False)
        with warnings.catch_warnings(record=True):  # of what it looks like
            whole, spent = seconds_of(call, *STEPS)
    report = {"T1 and 164 volumes, s": whole}
    for name, seconds in spent.items():
        report[f"of which {name}, s"] = seconds
    report["largest side of a voxel of the T1, mm"] = float(max(sides))
    return report


def written(folder: Path) -> tuple[Path, Path]:
    """Files of a T1 of 1 mm and a series of `VOLUMES`."""
    raw.write_raw_people(folder, 1, 0, images.Design())
    (t1,) = folder.glob("sub-*/anat/*_T1w.nii.gz")
    (bold,) = folder.glob("sub-*/func/*_bold.nii.gz")
    fine = resample_to_output(nib.load(t1), (1, 1, 1), order=1)
    fine.to_filename(t1)
    image = nib.load(bold)
    once = np.asarray(image.dataobj)
    both = np.concatenate([once, once[..., -2:0:-1]], axis=-1)
    times = -(-VOLUMES // both.shape[-1])
    series = np.tile(both, (1, 1, 1, times))[..., :VOLUMES]
    longer = nib.Nifti1Image(series, image.affine, image.header)
    longer.to_filename(bold)
    return t1, bold
