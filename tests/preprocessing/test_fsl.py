"""FSL's commands as the papers name them, and what is made of their matrices.

The commands are stood in for by scripts on the PATH that know the true
transform and write it as FSL does.
"""

import os
import sys
from itertools import product

import nibabel as nib
import numpy as np
import pytest
from moved_template import POSES, native, similarity

from mmssl.preprocessing import fsl, person, quality, space

FLIRT = """\
import os, sys
import nibabel as nib
import numpy as np

def option(name):
    return sys.argv[sys.argv.index(name) + 1]

def fsl_place(image, voxels):
    \"\"\"Sides times voxels, the first axis turned where left is left.\"\"\"
    voxels = np.array(voxels, float)
    if np.linalg.det(image.affine[:3, :3]) > 0:
        voxels[:, 0] = image.shape[0] - 1 - voxels[:, 0]
    return voxels * np.array(image.header.get_zooms()[:3])

moving, reference = nib.load(option("-in")), nib.load(option("-ref"))
world = np.load(os.environ["TRUE_WORLD_" + option("-dof")])
corners = np.array([[0, 0, 0], [9, 0, 0], [0, 7, 0], [0, 0, 5]])
mm = nib.affines.apply_affine(world @ moving.affine, corners)
voxels = nib.affines.apply_affine(np.linalg.inv(reference.affine), mm)
first = np.c_[fsl_place(moving, corners), np.ones(4)]
second = np.c_[fsl_place(reference, voxels), np.ones(4)]
np.savetxt(option("-omat"), np.linalg.solve(first, second).T)
"""
BET = """\
import sys
import nibabel as nib
import numpy as np

image = nib.load(sys.argv[1])
mask = (image.get_fdata() > 0.2 * image.get_fdata().max()).astype(np.uint8)
nib.save(nib.Nifti1Image(image.get_fdata() * mask, image.affine),
         sys.argv[2] + ".nii.gz")
nib.save(nib.Nifti1Image(mask, image.affine), sys.argv[2] + "_mask.nii.gz")
"""
MCFLIRT = """\
import pathlib, sys
import nibabel as nib
import numpy as np

image = nib.load(sys.argv[2])
nib.save(image, sys.argv[4] + ".nii.gz")
folder = pathlib.Path(sys.argv[4] + ".mat")
folder.mkdir()
for t in range(image.shape[3]):
    matrix = np.eye(4)
    matrix[:3, 3] = np.array([0.5, -0.2, 0.1]) * t
    np.savetxt(folder / f"MAT_{t:04d}", matrix)
"""
BROKEN = """\
import sys
print("Image Exception : #63", file=sys.stderr)
sys.exit(1)
"""


def install(folder, monkeypatch, **scripts):
    """Put scripts on the PATH under the names of FSL's commands."""
    folder.mkdir(exist_ok=True)
    for name, text in scripts.items():
        file = folder / name
        file.write_text(f"#!{sys.executable}\n{text}")
        file.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    install(
        tmp_path / "bin", monkeypatch, flirt=FLIRT, bet=BET, mcflirt=MCFLIRT
    )


def tell(monkeypatch, folder, freedom, world):
    """Let the script of flirt know the true transform."""
    file = folder / f"world{freedom}.npy"
    np.save(file, world)
    monkeypatch.setenv(f"TRUE_WORLD_{freedom}", str(file))


def test_the_commands_are_those_of_the_papers(tmp_path):
    assert " ".join(fsl.mcflirt_command("bold.nii.gz", "out")) == (
        "mcflirt -in bold.nii.gz -out out -refvol 0 -cost normcorr -bins 256 "
        "-dof 6 -scaling 6.0 -smooth 1.0 -fov 20.0 -stages 3 -spline_final "
        "-mats"
    )
    assert " ".join(fsl.bet_command("t1.nii.gz", "brain")) == (
        "bet t1.nii.gz brain -m"
    )
    assert " ".join(fsl.flirt_command("in.nii", "ref.nii", "m.txt", 7)) == (
        "flirt -in in.nii -ref ref.nii -omat m.txt -dof 7"
    )


@pytest.mark.parametrize(
    ("moving_turned", "turned"), list(product([False, True], repeat=2))
)
def test_a_matrix_of_flirt_between_worlds(
    tmp_path, monkeypatch, installed, moving_turned, turned
):
    """Of images whose first axis points to the left or to the right."""
    world = similarity((10, -20, 5), (3, -7, 11), 0.95)
    tell(monkeypatch, tmp_path, 7, world)
    places = []
    for number, flip in enumerate((moving_turned, turned)):
        affine = similarity((4 * number, 8, -3), (-60, 12, 5 + number), 1.0)
        sides = np.array([-1.0 if flip else 1.0, 2.0, 3.0 - number])
        affine[:3, :3] = affine[:3, :3] * sides
        shape = (20 + number, 24, 30 - number)
        image = nib.Nifti1Image(np.ones(shape, np.float32), affine)
        nib.save(image, tmp_path / f"{number}.nii.gz")
        places += [affine, shape]
    matrix = tmp_path / "matrix.txt"
    images = (tmp_path / "0.nii.gz", tmp_path / "1.nii.gz")
    fsl._run(fsl.flirt_command(*images, matrix, 7), matrix)
    found = fsl.world_matrix(np.loadtxt(matrix), *places)
    np.testing.assert_allclose(found, world, atol=1e-6)


def test_a_person_prepared_by_fsl_lies_where_flirt_says(
    tmp_path, monkeypatch, installed, rng
):
    pose = POSES["tilted"]
    volume, affine, _ = native(pose, skull=False)
    nib.save(nib.Nifti1Image(volume, affine), tmp_path / "t1.nii.gz")
    to_bold = similarity((0, 0, 3), (2, 1, -1), 1.0)
    grid = np.diag([-5.0, 5, 5, 1])
    grid[:3, 3] = space.apply(to_bold @ pose, np.zeros((1, 3)))[0] + (80, 0, 0)
    grid[1:3, 3] -= 90
    place = (affine, np.linalg.inv(to_bold), grid, (34, 38, 36))
    series = 500 * space.resample(volume, *place)[..., None] / volume.max()
    series = series * (1 + 0.02 * rng.normal(size=(*series.shape[:3], 60)))
    bold = nib.Nifti1Image(series.astype(np.float32), grid)
    bold.header.set_xyzt_units("mm", "sec")
    bold.header["pixdim"][4] = 2.0
    nib.save(bold, tmp_path / "bold.nii.gz")
    tell(monkeypatch, tmp_path, 7, np.linalg.inv(pose))
    tell(monkeypatch, tmp_path, 6, np.linalg.inv(to_bold))
    prepared = person.prepare(
        tmp_path / "t1.nii.gz",
        tmp_path / "bold.nii.gz",
        size=32,
        progress=False,
        backend="fsl",
    )
    assert prepared.parameters["backend"] == "fsl"
    assert quality.position_error(prepared.to_native, pose).max() < 0.01
    np.testing.assert_allclose(prepared.to_bold, to_bold, atol=1e-4)
    assert prepared.quality["dice_mask"] > 0.9
    # a volume is taken back by its matrix, in coordinates that grow to the
    # left: the head lies the other way
    moved = prepared.motion[["x_mm", "y_mm", "z_mm"]].to_numpy()
    np.testing.assert_allclose(
        moved, np.outer(np.arange(60), [0.5, 0.2, -0.1]), atol=1e-4
    )


def test_without_fsl_nothing_begins(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="mcflirt, bet, flirt not found"):
        person.prepare(tmp_path / "t1.nii.gz", backend="fsl")
    with pytest.raises(ValueError, match="backend is 'FSL', expected one of"):
        person.prepare(tmp_path / "t1.nii.gz", backend="FSL")


def test_a_command_that_fails_says_so_in_its_own_words(
    tmp_path, monkeypatch, installed
):
    install(tmp_path / "bin", monkeypatch, flirt=BROKEN, mcflirt="")
    volume, affine, _ = native(np.eye(4), sides=(6, 6, 6), shape=(30, 34, 32))
    with pytest.raises(ValueError, match="flirt: status 1.*Image Exception"):
        fsl.register_anatomy(volume, affine)
    with pytest.raises(ValueError, match="mcflirt: status 0, not written"):
        fsl.realign(np.ones((8, 8, 8, 3)), np.eye(4))
