"""Exported encoders as others read them: the same to the bit, with what
prepares an image, and without the code that trains.
"""

import subprocess
import sys

import numpy as np
import pytest
import torch
from own_backbone import Pooled, pooled
from small_cohort import SMALL_RUN, write_small_cohort

from mmssl.preprocessing import load_exported
from mmssl.pretrain import embed, export_encoders, fit, load_encoders


@pytest.fixture(scope="module")
def brains(tmp_path_factory):
    """Give a cohort whose images are standardised."""
    folder = tmp_path_factory.mktemp("brains")
    return write_small_cohort(folder / "cohort", intensity="brain")


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Give another cohort of such images, of which no run has a cache."""
    folder = tmp_path_factory.mktemp("others")
    groups = ("HC", "AD")
    return write_small_cohort(
        folder / "cohort", intensity="brain", groups=groups
    )


@pytest.fixture(scope="module")
def run(brains, tmp_path_factory):
    """Give a run on it."""
    folder = tmp_path_factory.mktemp("export")
    return fit(brains, "RR-AE", folder / "RR-AE-fold0-seed0", **SMALL_RUN)


@pytest.fixture(scope="module")
def exported(run, brains, tmp_path_factory):
    """Give its encoders, exported."""
    folder = tmp_path_factory.mktemp("exported") / "RR-AE"
    return export_encoders(run, folder, cohort=brains)


def test_values_are_those_of_the_run_to_the_bit(run, exported):
    encoders, landmarks = load_encoders(run)
    found = load_exported(exported)
    assert list(found) == list(encoders) == ["T1", "fALFF"]
    for m, one in found.items():
        states = one.network.state_dict(), encoders[m].state_dict()
        assert states[0].keys() == states[1].keys()
        for name, value in states[0].items():
            assert value.dtype == states[1][name].dtype
            assert torch.equal(value, states[1][name])
        assert not one.network.training
        assert one.landmarks == landmarks[m]
        x = torch.randn(3, *one.shape, generator=torch.manual_seed(0))
        with torch.no_grad():
            assert torch.equal(one.network(x).z, encoders[m](x).z)


def test_an_image_is_prepared_as_the_run_prepares_it(
    run, exported, brains, others
):
    expected = embed(run, others)
    for m, one in load_exported(exported).items():
        images = others.volumes[m]
        np.testing.assert_array_equal(one.embed(images), expected[m])
        assert one.embed(images[:0]).shape == (0, 4)
        np.testing.assert_array_equal(one.affine, brains.affine)
        np.testing.assert_array_equal(one.mask, brains.mask)
        with pytest.raises(ValueError, match=f"volumes of {m}: shape .16, 16"):
            one.prepare(images[0])
        constant = np.stack([images[0], np.ones((16,) * 3)])
        with pytest.raises(ValueError, match=r"volumes\[1\]: .*variation"):
            one.prepare(constant)


def test_images_in_the_unit_interval_pass_as_they_are(tmp_path):
    cohort = write_small_cohort(tmp_path / "cohort")
    run = fit(cohort, "CR", tmp_path / "run", **SMALL_RUN)
    folder = export_encoders(run, tmp_path / "out", cohort=cohort)
    (first, *_) = load_exported(folder).values()
    images = np.full((2, 16, 16, 16), 0.25, np.float32)
    assert first.landmarks is None
    assert (first.prepare(images) == 0.25).all()
    assert first.prepare(images).shape == (2, 1, 16, 16, 16)


READ = """
import sys
import filelock, numpy, safetensors.torch, scipy.fft, scipy.ndimage, tqdm.auto
from scipy.spatial import transform
# what the room is made of
known = {name.split(".")[0] for name in sys.modules}
from mmssl import preprocessing
encoder = preprocessing.load_exported(sys.argv[1])["T1"]
z = encoder.embed(numpy.load(sys.argv[2]))
numpy.save(sys.argv[3], z)
found = {name.split(".")[0] for name in sys.modules}
print(*found - known - sys.stdlib_module_names)
print(*{name.split(".")[1] for name in sys.modules if name[:6] == "mmssl."})
print(*found)
"""


def test_reading_takes_no_training_code(run, exported, others, tmp_path):
    """Beside torch, NumPy and safetensors only what preprocessing imports
    anyway; in a process of its own.
    """
    places = exported, others.path / "T1.npy", tmp_path / "z.npy"
    done = subprocess.run(
        [sys.executable, "-c", READ, *map(str, places)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    new, rooms, loaded = map(str.split, done.stdout.splitlines())
    assert new == ["mmssl"]
    assert {*rooms} == {"ledger", "models", "preprocessing"}
    heavy = {"lightning", "pandas", "sklearn", "nibabel", "SimpleITK"}
    assert "torch" in loaded and not heavy & {*loaded}
    z = np.load(tmp_path / "z.npy")
    np.testing.assert_array_equal(z, embed(run, others)["T1"])


def test_the_draws_of_who_reads_are_left_alone(exported):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    load_exported(exported)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("own", [Pooled, pooled])
def test_a_users_class_is_handed_over_not_imported(
    own, brains, others, tmp_path
):
    name = f"own_backbone:{own.__name__}"
    run = fit(brains, "CR", tmp_path / "run", backbone=name, **SMALL_RUN)
    folder = export_encoders(run, tmp_path / "out", cohort=brains)
    assert "backbone=CLASS" in (folder / "README.md").read_text()
    with pytest.raises(
        ValueError, match=f"class is '{name}', expected one of Encoder, Dense"
    ):
        load_exported(folder)
    found = load_exported(folder, backbone=own)["fALFF"]
    assert type(found.network) is Pooled
    np.testing.assert_array_equal(
        found.embed(others.volumes["fALFF"]), embed(run, others)["fALFF"]
    )
    with pytest.raises(ValueError, match="expected 'torch.nn.modules.linear"):
        load_exported(folder, backbone=torch.nn.Linear)


@pytest.mark.parametrize(
    "backbone", ["unet:UNetEncoder", "densenet:DenseNetEncoder"]
)
def test_the_packages_other_encoders_are_known(
    brains, others, tmp_path, backbone
):
    run = fit(
        brains,
        "CR",
        tmp_path / "run",
        backbone=f"mmssl.models.{backbone}",
        **SMALL_RUN,
    )
    folder = export_encoders(run, tmp_path / "out", cohort=brains)
    for m, one in load_exported(folder).items():
        assert type(one.network).__name__ == backbone.split(":")[1]
        np.testing.assert_array_equal(
            one.embed(others.volumes[m]), embed(run, others)[m]
        )


def test_one_encoder_for_all_is_one_again(brains, tmp_path):
    run = fit(brains, "SwAV", tmp_path / "run", prototypes=3, **SMALL_RUN)
    folder = export_encoders(run, tmp_path / "out", cohort=brains)
    first, second = load_exported(folder).values()
    assert first.network is second.network
    assert first.landmarks != second.landmarks
