"""Attacks by a full disk: an error that says what is missing, and nothing
half-written.
"""

import errno
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from mmssl.cohorts.cohort import write
from mmssl.cohorts.simulated.phantom import make_phantom
from mmssl.ledger.allocation import new_array

MISSING = r"no room for T1.npy: (\d+) bytes needed, (\d+) bytes free"


@pytest.fixture
def small_disk(tmp_path):
    """Give a function that mounts a disk of so many bytes, or skips."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(size):
        options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
        try:
            done = subprocess.run(
                ["mount", *options], capture_output=True, text=True
            )
        except FileNotFoundError:
            pytest.skip("there is no mount command")
        if done.returncode:
            pytest.skip(f"mounting is not allowed ({done.stderr.strip()})")
        return disk

    yield mount
    if os.path.ismount(disk):
        subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def one_pair():
    """Give what a cohort of one person consists of, but for the images."""
    return {
        "name": "one",
        "kind": "test",
        "participants": pd.DataFrame({"participant_id": ["a"]}),
        "pairs": pd.DataFrame(
            {
                "pair": [0],
                "participant_id": ["a"],
                "session": [1],
                "day": [0],
                "downstream": [1],
            }
        ),
    }


PHANTOM = """
import sys
from mmssl.cohorts.simulated.phantom import make_phantom
try:
    make_phantom(sys.argv[1], subjects=24, seed=0)
except OSError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", ["2m", "4m"], ids=["none", "one modality"])
def test_a_phantom_on_a_full_disk_is_an_error_and_no_signal(small_disk, size):
    disk = small_disk(size)
    done = subprocess.run(
        [sys.executable, "-c", PHANTOM, str(disk / "phantom")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"[Errno {errno.ENOSPC}] {disk}: no room")
    needed, free = map(int, re.findall(r"(\d+) bytes", done.stdout))
    assert needed > free
    assert list(disk.iterdir()) == []


def test_a_cohort_on_a_full_disk_is_an_error(small_disk, one_pair):
    disk = small_disk("1m")
    volumes = {"T1": np.ones((1, 80, 80, 80), np.float32)}
    with pytest.raises(OSError, match=MISSING) as caught:
        write(disk / "one", volumes=volumes, **one_pair)
    assert str(disk) in str(caught.value)
    assert list(disk.iterdir()) == []


def refuse(number):
    """Return an allocation that the system answers with an error."""

    def allocate(*_):
        raise OSError(number, os.strerror(number))

    return allocate


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_what_the_system_refuses_leaves_nothing(
    tmp_path, monkeypatch, one_pair, number
):
    monkeypatch.setattr(os, "posix_fallocate", refuse(number))
    volumes = {"T1": np.ones((1, 8, 8, 8), np.float32)}
    with pytest.raises(OSError, match=MISSING) as caught:
        write(tmp_path / "one", volumes=volumes, **one_pair)
    assert caught.value.errno == number
    assert os.strerror(number) in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match=MISSING):
        make_phantom(tmp_path / "phantom", subjects=24)
    assert list(tmp_path.iterdir()) == []


def test_a_limit_on_the_size_of_a_file_is_an_error(tmp_path):
    code = (
        "import resource, sys\n"
        "from mmssl.ledger.allocation import new_array\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        "    new_array(sys.argv[1] + '/T1.npy', (9000,), 'f4')[:] = 1\n"
        "except OSError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = re.search(MISSING, done.stdout)
    assert found and found[1] == "36000"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", [errno.EOPNOTSUPP, errno.EINVAL, None])
def test_room_is_taken_also_where_nothing_allocates(
    tmp_path, monkeypatch, missing
):
    if missing is None:
        monkeypatch.delattr(os, "posix_fallocate")
    else:
        monkeypatch.setattr(os, "posix_fallocate", refuse(missing))
    array = new_array(tmp_path / "T1.npy", (300, 400), np.float32)
    status = (tmp_path / "T1.npy").stat()
    assert status.st_blocks * 512 >= status.st_size == 300 * 400 * 4 + 128
    array[:] = 3
    array.flush()
    assert (np.load(tmp_path / "T1.npy") == 3).all()


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 8, 8), (0, 4, 4)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_laid_out_as_numpy_saves_it(tmp_path, rng, shape, order):
    values = np.asarray(rng.normal(size=shape), np.float16, order=order)
    np.save(tmp_path / "saved.npy", values)
    made = tmp_path / "made.npy"
    array = new_array(made, shape, np.float16, values.flags.fnc)
    assert made.stat().st_blocks * 512 >= values.nbytes
    array[...] = values
    array.flush()
    assert made.read_bytes() == (tmp_path / "saved.npy").read_bytes()
