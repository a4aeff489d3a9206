"""A training in a notebook that is killed again and again, its runner or its
kernel, equals one in one piece.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest
from resumed_run import assert_same_run
from small_cohort import write_small_cohort

RUNNER = Path(__file__).parents[2] / "notebooks" / "execute.py"
# the loaded machine of a test may take that long to start a kernel
PATIENCE = 300
KILLS = 5
TRAINING = """
from mmssl import cohorts, pretrain
pretrain.fit(
    cohorts.load(cohort),
    "CR-CC",
    run,
    epochs=60,
    batch_size=4,
    width=2,
    latent=4,
    precision="fp32",
    progress=False,
)
"""


def write_notebook(folder, cohort, run):
    """Write a notebook that trains on a cohort."""
    parameters = f'cohort: str = "{cohort}"  # folder of the cohort\n'
    parameters += f'run: str = "{run}"  # folder of the run'
    tagged = {"tags": ["parameters"]}
    cells = [
        nbformat.v4.new_code_cell(parameters, metadata=tagged),
        nbformat.v4.new_code_cell(TRAINING),
    ]
    kernel = {"name": "python3", "display_name": "Python 3"}
    notebook = nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": kernel}
    )
    nbformat.write(notebook, folder / "in.ipynb")


def begin(folder):
    """Start the notebook."""
    files = [folder / "in.ipynb", folder / "out.ipynb"]
    command = [sys.executable, str(RUNNER), *map(str, files)]
    with (folder / "said.txt").open("a", encoding="utf-8") as said:
        return subprocess.Popen(command, stdout=said, stderr=said)


def wait_for_epochs(process, checkpoint, number):
    """Wait until so many more epochs are complete."""
    until = time.monotonic() + PATIENCE
    for _ in range(number):
        seen = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == seen:
            assert process.poll() is None, "it ended before it was killed"
            assert time.monotonic() < until
            time.sleep(0.002)


def kill(process, victim):
    """Kill the runner or the kernel and wait until both are gone."""
    runner = psutil.Process(process.pid)
    descendants = runner.children(recursive=True)
    kernels = [one for one in descendants if "ipykernel" in str(one.cmdline())]
    assert len(kernels) == 1
    chosen = runner if victim == "runner" else kernels[0]
    chosen.send_signal(signal.SIGKILL)
    assert process.wait(PATIENCE) != 0
    _, alive = psutil.wait_procs(descendants, timeout=30)
    assert not alive


@pytest.mark.slow
def test_killed_at_random_points_it_equals_one_in_one_piece(tmp_path):
    cohort = write_small_cohort(tmp_path / "cohort").path
    runs = {}
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
        runs[name] = tmp_path / name / "run"
        write_notebook(tmp_path / name, cohort, runs[name])
    assert begin(tmp_path / "whole").wait(PATIENCE) == 0
    checkpoint = tmp_path / "broken" / "run.partial" / "last.ckpt"
    draw = np.random.default_rng()
    for number in range(KILLS):
        process = begin(tmp_path / "broken")
        wait_for_epochs(process, checkpoint, draw.integers(1, 5))
        time.sleep(draw.uniform(0, 0.1))
        kill(process, ("runner", "kernel")[number % 2])
        assert not runs["broken"].exists()
        assert not (tmp_path / "broken" / "out.ipynb").exists()
    assert begin(tmp_path / "broken").wait(PATIENCE) == 0
    assert_same_run(runs["whole"], runs["broken"])
    assert not checkpoint.parent.exists()
    # nothing hidden is left of those that were killed
    left = {file.name for file in (tmp_path / "broken").iterdir()}
    assert left == {
        "in.ipynb",
        "out.ipynb",
        "out.ipynb.json",
        "run",
        "said.txt",
    }
