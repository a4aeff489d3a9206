"""What a killed process leaves half-written is read by nobody and swept by the
next.
"""

import os
import signal
import subprocess
import sys

import pandas as pd
import pytest
from small_cohort import write_small_cohort

from mmssl import ledger
from mmssl.ledger import artefacts, atomic
from mmssl.ledger.hashes import hash_path
from mmssl.pretrain.fit import fit

DIE_WRITING = """
import os, signal, sys
from mmssl.ledger import atomic
with atomic.file(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
DIE_FILLING = """
import os, signal, sys
from mmssl.ledger import atomic
with atomic.directory(sys.argv[1]) as temporary:
    (temporary / "half.tsv").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
# dies at the n-th renaming of a finished file
DIE_FITTING = """
import os, signal, sys
from mmssl import cohorts, pretrain
replace, left = os.replace, [int(sys.argv[3])]
def dying(*names):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*names)
os.replace = dying
pretrain.fit(
    cohorts.load(sys.argv[1]), "RR", sys.argv[2],
    epochs=2, batch_size=8, width=4, latent=8, progress=False,
)
"""
FILES = {
    "checkpoint.ckpt",
    "dimensions.csv",
    "embeddings.npz",
    "exposures.json",
    "history.csv",
    "manifest.json",
    "params.json",
}


def run(code, *arguments):
    """Run code that kills itself; return whether it did."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode != 0


def unfinished(folder):
    return [file.name for file in folder.iterdir() if file.name[0] == "."]


@pytest.mark.parametrize("name", ["a.tsv", "map.nii.gz", "page.ipynb"])
def test_no_pattern_finds_a_half_written_file(tmp_path, name):
    assert run(DIE_WRITING, tmp_path / name)
    assert len(unfinished(tmp_path)) == 1
    suffix = name[name.index(".") :]
    assert list(tmp_path.glob(f"*{suffix}")) == []
    empty = tmp_path / "empty"
    empty.mkdir()
    assert hash_path(tmp_path) == hash_path(empty)


def test_the_next_that_writes_sweeps(tmp_path):
    assert run(DIE_WRITING, tmp_path / "one.tsv")
    assert run(DIE_FILLING, tmp_path / "cohort")
    with atomic.file(tmp_path / "two.tsv") as temporary:
        temporary.write_text("whole")
    assert [file.name for file in tmp_path.glob(".tmp-*")] == []


def test_what_a_living_process_writes_stays(tmp_path):
    with atomic.file(tmp_path / "one.tsv") as first:
        first.write_text("1")
        with atomic.file(tmp_path / "two.tsv") as second:
            second.write_text("2")
    assert sorted(f.name for f in tmp_path.iterdir()) == ["one.tsv", "two.tsv"]


def test_another_machines_files_stay(tmp_path):
    other = tmp_path / ".tmp-elsewhere-1-0123abcd"
    other.mkdir()
    with atomic.file(tmp_path / "one.tsv") as temporary:
        temporary.write_text("1")
    assert other.exists()


def test_a_killed_directory_is_made_anew(tmp_path):
    assert run(DIE_FILLING, tmp_path / "cohort")
    write_small_cohort(tmp_path / "cohort")
    assert unfinished(tmp_path) == []


def test_the_book_refuses_no_page_for_them(tmp_path):
    made = ledger.Provenance({}, {}, None, ("mmssl.ledger",))
    made.save(tmp_path, "", {"table": pd.DataFrame({"a": [1]})})
    assert run(DIE_WRITING, tmp_path / "group_rbc.nii.gz")
    assert artefacts.unpublishable_maps(tmp_path) == [
        f"it draws maps of groups, but none lies in {tmp_path.name}"
    ]
    assert ledger.verify(tmp_path) == []


def check_crash(tmp_path, point):
    """Kill a run at a point, resume it; return whether it was killed."""
    people = write_small_cohort(tmp_path / "cohort")
    target = tmp_path / "run"
    killed = run(DIE_FITTING, people.path, target, point)
    small = {"epochs": 2, "batch_size": 8, "width": 4, "latent": 8}
    fit(people, "RR", target, progress=False, **small)
    assert {file.name for file in target.iterdir()} == FILES
    assert {f.name for f in tmp_path.iterdir()} == {"cohort", "run"}
    return killed


def test_a_finished_run_holds_nothing_else(tmp_path):
    assert check_crash(tmp_path, 4)


@pytest.mark.slow
@pytest.mark.parametrize("point", [1, 2, 3, 5, 6, 7, 8])
def test_a_run_killed_anywhere_holds_nothing_else(tmp_path, point):
    assert check_crash(tmp_path, point)
