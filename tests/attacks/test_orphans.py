"""Attacks by signals: nothing that works for a process outlives it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

RUNNER = Path(__file__).parents[2] / "notebooks" / "execute.py"
# the loaded machine of a test may take that long to start a kernel
PATIENCE = 300
SLEEP = """
import os, time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from joblib import Parallel, delayed
from mmssl.ledger.workers import end_with
def work(number):
    Path({folder!r}, f"{{os.getpid()}}.working").touch()
    time.sleep(600)
"""
LOKY = "Parallel(2)(delayed(work)(number) for number in range(2))"
WATCHED_LOKY = LOKY.replace(
    "(2)", "(2, initializer=end_with, initargs=(os.getpid(),))", 1
)
FORKED = """
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    pool.map(work, range(2))
"""
WATCHED_POOL = """
if __name__ == "__main__":
    ending = {"initializer": end_with, "initargs": (os.getpid(),)}
    with ProcessPoolExecutor(2, **ending) as pool:
        list(pool.map(work, range(2)))
"""
SEARCH = """
import numpy as np
from mmssl.evaluate import linear_evaluation
def work_and_search(*_):
    work(0)
linear_evaluation.logistic_regression = work_and_search
rows = np.arange(20)
z = {("model", "T1", draw): np.ones((20, 2)) for draw in range(2)}
linear_evaluation._logistic_scores(
    z, rows % 2, rows, {"T1": (rows, rows)}, 1, 0, jobs=2, fold=0
)
"""


def listen():
    """Listen to a hang-up, also where nohup has it ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def start(folder, code, as_notebook):
    """Start code in a process or in a notebook, whose two workers say when
    they work; return the process and all that descends from it.
    """
    code = SLEEP.format(folder=str(folder)) + code
    command = [sys.executable, str(folder / "script.py")]
    (folder / "script.py").write_text(code, encoding="utf-8")
    if as_notebook:
        parameters = nbformat.v4.new_code_cell(
            "seed: int = 0  # of the draws", metadata={"tags": ["parameters"]}
        )
        cells = [parameters, nbformat.v4.new_code_cell(code)]
        kernel = {"name": "python3", "display_name": "Python 3"}
        notebook = nbformat.v4.new_notebook(
            cells=cells, metadata={"kernelspec": kernel}
        )
        nbformat.write(notebook, folder / "in.ipynb")
        files = [folder / "in.ipynb", folder / "out.ipynb"]
        command = [sys.executable, str(RUNNER), *map(str, files)]
    with (folder / "said.txt").open("w", encoding="utf-8") as said:
        process = subprocess.Popen(
            command, stdout=said, stderr=said, preexec_fn=listen
        )
    started = psutil.Process(process.pid)
    until = time.monotonic() + PATIENCE
    while len(list(folder.glob("*.working"))) < 2:
        text = (folder / "said.txt").read_text(encoding="utf-8")
        assert process.poll() is None, text
        assert time.monotonic() < until, text
        time.sleep(0.1)
    return process, started.children(recursive=True)


def survivors(process, descendants):
    """Wait for a process to end; return what of it works on, and end that."""
    process.wait(PATIENCE)
    _, alive = psutil.wait_procs(descendants, timeout=20)
    for one in alive:
        one.kill()
    return [" ".join(one.cmdline()) for one in alive if one.is_running()]


def left_behind(folder):
    """The files of a notebook that was ended, without what it began with."""
    left = {file.name for file in folder.iterdir()}
    working = {name for name in left if name.endswith(".working")}
    return left - working - {"in.ipynb", "script.py", "said.txt"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1]
)
@pytest.mark.parametrize("code", [LOKY, FORKED], ids=["loky", "forked"])
def test_a_notebook_that_is_ended_takes_its_workers_along(
    tmp_path, number, code
):
    process, descendants = start(tmp_path, code, as_notebook=True)
    assert len(descendants) >= 3
    process.send_signal(number)
    assert survivors(process, descendants) == []
    assert process.returncode == 128 + number
    assert left_behind(tmp_path) == set()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("first", ["kernel", "runner"])
def test_a_job_all_of_whose_processes_are_told_to_end(tmp_path, number, first):
    """As a cluster does at a time limit."""
    process, descendants = start(tmp_path, LOKY, as_notebook=True)
    told = [*descendants, psutil.Process(process.pid)]
    if first == "runner":
        told.reverse()
    for one in told:
        one.send_signal(number)
    assert survivors(process, descendants) == []
    assert process.returncode == 128 + number
    assert left_behind(tmp_path) == set()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize(
    "code", [WATCHED_LOKY, WATCHED_POOL], ids=["loky", "pool"]
)
def test_workers_end_with_who_made_their_pool(tmp_path, number, code):
    process, descendants = start(tmp_path, code, as_notebook=False)
    process.send_signal(number)
    assert survivors(process, descendants) == []


@pytest.mark.slow
def test_the_searches_of_a_killed_evaluation_end(tmp_path):
    process, descendants = start(tmp_path, SEARCH, as_notebook=True)
    os.kill(process.pid, signal.SIGKILL)
    assert survivors(process, descendants) == []
