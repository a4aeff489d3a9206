"""Inputs in files against the same inputs in memory."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from small_cohort import SMALL_RUN, lack, write_small_cohort

from mmssl.cohorts.cohort import describe
from mmssl.ledger import atomic
from mmssl.ledger.allocation import new_array
from mmssl.preprocessing.network_inputs import (
    InputsOnDemand,
    fit_landmarks,
    standardised,
    store_standardised,
)
from mmssl.pretrain import stored_inputs
from mmssl.pretrain.fit import fit
from mmssl.pretrain.stored_inputs import StoredInputs, chosen_place

SHAPE = (7, 1, 2, 3, 4)


@pytest.fixture
def stored(tmp_path):
    values = np.random.default_rng(0).normal(size=SHAPE).astype(np.float16)
    np.save(tmp_path / "x.npy", values)
    return StoredInputs(tmp_path / "x.npy"), torch.from_numpy(values)


@pytest.mark.parametrize(
    "rows",
    [
        torch.tensor([3, 0, 3, 6]),
        np.array([6, 1]),
        [],
        slice(2, 5),
        slice(None, 0),
        slice(None),
    ],
)
def test_rows_are_those_of_a_tensor(stored, rows):
    in_file, in_memory = stored
    assert torch.equal(in_file[rows], in_memory[rows])
    assert in_file[rows].dtype == in_memory.dtype


def test_it_looks_like_a_tensor(stored):
    in_file, in_memory = stored
    assert in_file.shape == in_memory.shape and len(in_file) == 7
    assert in_file.dim() == in_memory.dim()
    assert in_file.to("meta")[[1]].device.type == "meta"


@pytest.mark.parametrize("row", [-1, 7])
def test_a_row_that_is_not_there_is_refused(stored, row):
    with pytest.raises(IndexError, match=f"x.npy: row {row}, expected.*7"):
        stored[0][[row]]


def test_a_file_that_became_shorter_is_refused(stored, tmp_path):
    os.truncate(tmp_path / "x.npy", 200)
    with pytest.raises(OSError, match=r"x.npy: ends within row \d, expected"):
        stored[0][slice(None)]


@pytest.mark.parametrize("lacking", [[], [2, 5]])
def test_stored_inputs_are_the_standardised_ones(tmp_path, lacking):
    cohort = write_small_cohort(tmp_path / "people", intensity="brain")
    if lacking:
        cohort = lack(tmp_path / "people", "fALFF", lacking)
    landmarks = fit_landmarks(cohort, 0)
    files = store_standardised(tmp_path, cohort, landmarks)
    for m, expected in standardised(cohort, landmarks, np.float16).items():
        found = np.load(files[m])
        assert found.dtype == np.float16
        np.testing.assert_array_equal(found, expected)
        rows = np.array([4, 2, 20])
        asked = InputsOnDemand(cohort, landmarks, m, np.float16)
        assert len(asked) == len(cohort)
        np.testing.assert_array_equal(asked[rows], expected[rows])


@pytest.mark.parametrize("objective", ["CR-XX", "SwAV"])
def test_a_run_is_the_same_from_disk(tmp_path, objective):
    cohort = write_small_cohort(tmp_path / "people", intensity="brain")
    cohort = lack(tmp_path / "people", "fALFF", [2, 5])
    options = SMALL_RUN
    if objective == "SwAV":
        options = {**SMALL_RUN, "prototypes": 4, "queue": 0}
    for place in ("memory", "disk"):
        fit(cohort, objective, tmp_path / place, inputs=place, **options)
    for name in ("history.csv", "embeddings.npz", "params.json"):
        files = [tmp_path / place / name for place in ("memory", "disk")]
        assert files[0].read_bytes() == files[1].read_bytes(), name
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "disk",
        "memory",
        "people",
    ]


def test_another_place_is_refused_before_anything_is_made(tmp_path):
    cohort = write_small_cohort(tmp_path / "people")
    with pytest.raises(ValueError, match="inputs='ram', expected one of"):
        fit(cohort, "CR", tmp_path / "run", inputs="ram", **SMALL_RUN)
    assert not list(tmp_path.glob("run*"))


def test_what_does_not_fit_in_memory_goes_to_disk(tmp_path, monkeypatch):
    cohort = write_small_cohort(tmp_path / "people")
    needed = 2 * len(cohort) * 16**3 * 2
    for free, expected in [(2 * needed, "memory"), (2 * needed - 1, "disk")]:
        monkeypatch.setattr(stored_inputs, "free_memory", lambda f=free: f)
        assert chosen_place("auto", cohort) == expected
    assert chosen_place("memory", cohort) == "memory"


def test_what_slurm_grants_is_all_there_is(monkeypatch):
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "3")
    assert stored_inputs.free_memory() == 3 * 2**20


MEASURED = """
import sys
from mmssl import cohorts, pretrain
from mmssl.ledger.cost import measured

cohort = cohorts.load(sys.argv[1])
with measured() as took:
    pretrain.fit(
        cohort, "AE", sys.argv[2], inputs=sys.argv[3], epochs=1,
        batch_size=500, width=2, latent=4, progress=False,
    )
print(int(took.peak))
"""


def many_volumes(path, number):
    """A cohort of so many volumes of 16^3, of one modality."""
    ids = [f"p{i:06d}" for i in range(number)]
    valid = number // 10
    with atomic.directory(path) as folder:
        volumes = new_array(folder / "T1.npy", (number, 16, 16, 16), "f2")
        drawn = np.random.default_rng(0).normal(size=(1000, 16, 16, 16))
        for start in range(0, number, 1000):
            volumes[start : start + 1000] = drawn + start / number
        volumes.flush()
        describe(
            folder,
            name="many",
            kind="test",
            modalities=["T1"],
            participants=pd.DataFrame({"participant_id": ids}),
            pairs=pd.DataFrame(
                {
                    "pair": range(number),
                    "participant_id": ids,
                    "session": 1,
                    "day": 0,
                    "downstream": 1,
                }
            ),
            splits={
                "seed": 0,
                "holdout": [],
                "shift": [],
                "folds": [{"train": ids[valid:], "valid": ids[:valid]}],
            },
            mask=np.ones((16, 16, 16), bool),
            affine=np.diag([12.0, 12, 12, 1]),
        )
    return path


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux", reason="memory without files is known on Linux"
)
def test_memory_does_not_grow_with_the_cohort(tmp_path):
    """Of 100,000 volumes, 820 MB as they are kept, a training from disk takes
    no more memory than of 2,000; one from memory takes all of them.
    """
    few = many_volumes(tmp_path / "few", 2_000)
    many = many_volumes(tmp_path / "many", 100_000)
    asked = {
        "few": (few, "disk"),
        "many": (many, "disk"),
        "memory": (many, "memory"),
    }
    held = {}
    for name, (path, place) in asked.items():
        run = str(tmp_path / f"run-{name}")
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, str(path), run, place],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        held[name] = int(done.stdout.split()[-1])
    assert held["many"] - held["few"] < 200e6, held
    assert held["memory"] - held["many"] > 500e6, held
