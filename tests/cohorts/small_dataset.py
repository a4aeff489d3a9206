"""A small BIDS dataset."""

import nibabel as nib
import numpy as np


def write_image(file, shape, seconds=None, value=100):
    """Write an image of a few voxels."""
    file.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(value).integers(1, 200, shape)
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    nifti = nib.Nifti1Image(values.astype(np.int16), affine)
    if seconds is not None:
        nifti.header.set_xyzt_units("mm", "sec")
        nifti.header["pixdim"][4] = seconds
    nib.save(nifti, file)


def write_dataset(folder):
    """Six people; the third has two series, the last a T1 cut short."""
    lines = ["participant_id\tgroup"]
    for number in range(1, 7):
        name = f"sub-{number:02d}"
        lines.append(f"{name}\t{'HC' if number % 2 else 'AD'}")
        anat = folder / name / "anat" / f"{name}_T1w.nii.gz"
        write_image(anat, (10, 11, 12), value=number)
        for run in range(1, 3 if number == 3 else 2):
            file = (
                folder
                / name
                / "func"
                / f"{name}_task-rest_run-{run}_bold.nii.gz"
            )
            write_image(file, (10, 11, 12, 80), 2.0, value=100 * run + number)
    whole = anat.read_bytes()
    anat.write_bytes(whole[: len(whole) // 2])
    text = "\n".join(lines) + "\n"
    (folder / "participants.tsv").write_text(text, encoding="utf-8")
