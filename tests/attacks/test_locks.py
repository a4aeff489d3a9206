"""Two processes at one thing: one makes it, the other says who does."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_checkout import EDITION, make_checkout, snakemake
from small_cohort import write_small_cohort

from mmssl.cohorts.simulated import phantom
from mmssl.ledger import locks
from mmssl.pretrain.encoders import load_encoders
from mmssl.pretrain.fit import fit
from mmssl.robustness.sweep import sweep

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "book"), str(ROOT / "notebooks")]
import build  # noqa: E402
import execute  # noqa: E402

SMALL = {"epochs": 2, "batch_size": 8, "width": 4, "latent": 8}
HOLD = """
import sys, time
from mmssl.ledger import locks
with locks.owned(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""
FIT = """
import sys
from mmssl import cohorts, ledger, pretrain
people = cohorts.load(sys.argv[1])
seed = int(sys.argv[3])
try:
    pretrain.fit(
        people, "RR", sys.argv[2], epochs=6, batch_size=4, width=4, latent=8,
        seed=seed, progress=False,
    )
except (ledger.LockedError, ValueError) as error:
    print(error)
    sys.exit(3)
"""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Give a small cohort."""
    return write_small_cohort(tmp_path_factory.mktemp("locks") / "cohort")


@pytest.fixture
def holder(tmp_path):
    """Give the function that has another process own a path."""
    processes = []

    def hold(path):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in processes:
        process.kill()
        process.wait()


def make_run(folder, cohort):
    fit(cohort, "RR", folder, progress=False, **SMALL)


def make_phantom(folder, cohort):
    phantom.make_phantom(folder, subjects=24, size=32, folds=2)


def make_cohort(folder, cohort):
    write_small_cohort(folder)


@pytest.mark.parametrize("make", [make_run, make_phantom, make_cohort])
def test_who_comes_second_is_told_who_holds_the_lock(
    cohort, tmp_path, holder, make
):
    target = tmp_path / "made" / "it"
    owner = holder(target)
    begun = time.monotonic()
    with pytest.raises(locks.LockedError, match=f"process {owner.pid} on"):
        make(target, cohort)
    assert time.monotonic() - begun < 20
    names = {file.name for file in target.parent.iterdir()}
    assert names == {".it.lock"}


def test_a_dead_owners_lock_is_taken_over(cohort, tmp_path, holder):
    target = tmp_path / "run"
    owner = holder(target)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert locks.lock_of(target).exists()
    make_run(target, cohort)
    assert not locks.lock_of(target).exists()


def test_a_lock_without_a_name_is_told_too(tmp_path, holder):
    holder(tmp_path / "run")
    locks.lock_of(tmp_path / "run").write_text("")
    with (
        pytest.raises(locks.LockedError, match="another process"),
        locks.owned(tmp_path / "run"),
    ):
        pytest.fail("the block must not run")


def test_who_makes_something_can_be_asked(tmp_path, holder):
    target = tmp_path / "run"
    assert locks.owner(target) is None
    assert list(tmp_path.iterdir()) == []
    owner = holder(target)
    assert f"process {owner.pid} on" in locks.owner(target)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    # it was there, and is nobody's
    assert locks.lock_of(target).exists()
    assert locks.owner(target) is None


@pytest.mark.parametrize(
    "number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP]
)
def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch, number):
    """A file that merely exists would outlive a process that is killed."""

    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", fail)
    with (
        pytest.raises(locks.LockedError, match="its file system has no locks"),
        locks.owned(tmp_path / "run"),
    ):
        pytest.fail("the block must not run")


@pytest.mark.slow
def test_two_fits_of_one_folder_are_never_mixed(cohort, tmp_path):
    run = tmp_path / "run"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    both = []
    for seed in (0, 1):
        command = [sys.executable, "-c", FIT, str(cohort.path)]
        command += [str(run), str(seed)]
        both.append(
            subprocess.Popen(
                command, stdout=subprocess.PIPE, text=True, env=environment
            )
        )
    said = [process.communicate()[0] for process in both]
    assert sorted(process.returncode for process in both) == [0, 3]
    lost = both.index(next(p for p in both if p.returncode == 3))
    assert (
        "is being made by process" in said[lost] or "asked for" in said[lost]
    )
    record = json.loads((run / "params.json").read_text())
    assert record["seed"] == 1 - lost
    alone = fit(
        cohort,
        "RR",
        tmp_path / "alone",
        **{**SMALL, "epochs": 6, "batch_size": 4},
        seed=record["seed"],
        progress=False,
    )
    made, expected = load_encoders(run)[0], load_encoders(alone)[0]
    for modality, encoder in made.items():
        weights = encoder.state_dict()
        for name, value in expected[modality].state_dict().items():
            np.testing.assert_allclose(weights[name], value, atol=1e-5)


def test_a_finished_run_is_read_while_its_folder_is_locked(
    cohort, tmp_path, holder
):
    make_run(tmp_path / "run", cohort)
    holder(tmp_path / "run")
    make_run(tmp_path / "run", cohort)


def test_two_sweeps_of_one_folder(tmp_path, holder, affine, monkeypatch):
    module = sys.modules["mmssl.robustness.sweep"]
    monkeypatch.setattr(module, "_key", lambda *_: "k" * 32)
    grid = pd.DataFrame(columns=["distortion", "parameter", "value"])
    inputs = {"T1": np.zeros((1, 1, 4, 4, 4), np.float32)}
    owner = holder(tmp_path / ("k" * 16))
    with pytest.raises(locks.LockedError, match=f"process {owner.pid}"):
        sweep(inputs, ["a"], {}, grid, affine, tmp_path, progress=False)


def test_two_runs_of_one_page(tmp_path, holder, capsys):
    page = tmp_path / "14.ipynb"
    owner = holder(page)
    source = str(ROOT / "notebooks" / "14_sanity_checks.ipynb")
    assert execute.main([source, str(page)]) == 2
    assert f"process {owner.pid}" in capsys.readouterr().err
    assert not page.exists()


@pytest.mark.parametrize("name", ["../x", "/x", "a b", "", ".hidden"])
def test_an_edition_of_one_page_is_a_name_too(tmp_path, name, capsys):
    source = str(ROOT / "notebooks" / "14_sanity_checks.ipynb")
    page = str(tmp_path / "14.ipynb")
    assert execute.main([source, page, "-r", "edition", name]) == 2
    assert "edition: found" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_two_workflows_of_one_checkout(tmp_path, holder):
    root = make_checkout(tmp_path / "checkout")
    page = "book/executed/tiny/01_one.ipynb"
    owner = holder(root / "data" / "executed")
    status, said = snakemake(root, EDITION, page)
    assert status != 0 and f"process {owner.pid} on" in said
    assert not (root / page).exists()
    owner.kill()
    owner.wait()
    status, said = snakemake(root, EDITION, page)
    assert status == 0, said
    assert (root / page).exists()
    assert not locks.lock_of(root / "data" / "executed").exists()


def test_two_builds_of_the_book(tmp_path, holder, monkeypatch, capsys):
    monkeypatch.setattr(build, "BOOK", tmp_path)
    page = tmp_path / "_build" / "html" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text("the other's")
    owner = holder(tmp_path / "_build")
    assert build.main([str(ROOT / "config" / "demo.yaml")]) == 1
    assert f"process {owner.pid}" in capsys.readouterr().err
    assert page.read_text() == "the other's"
