"""The runs of an edition on a real Slurm, by the profile as it is: a grid, of
which one run is put back into the queue and one is killed.
"""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import slurm_node
import torch
import yaml
from resumed_run import assert_same_run
from small_checkout import make_checkout

from mmssl import ledger
from mmssl.cohorts.simulated import phantom
from mmssl.ledger import locks
from mmssl.pretrain.run_folder import read_parameters

ROOT = Path(__file__).parents[1]
REASON = slurm_node.lacking()
pytestmark = [
    pytest.mark.slurm,
    pytest.mark.slow,
    pytest.mark.skipif(bool(REASON), reason=REASON),
]
PATIENCE = 300  # seconds, for one thing to happen on a loaded machine
SMALL = {"epochs": 60, "batch_size": 8, "width": 2, "latent": 4}
EDITION = {
    "edition": "cluster",
    "banner": "Test edition.",
    "notebooks": {
        "03_pretraining": {
            "cohort": "data/derived/small",
            "precision": "fp32",
            **SMALL,
        }
    },
    "grid": {"objective": ["RR", "AE"], "fold": [0], "seed": [0, 1]},
}
REQUEUED, KILLED = "RR-fold0-seed1", "AE-fold0-seed1"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Give a checkout with the notebooks, the profiles and a small cohort."""
    root = make_checkout(tmp_path_factory.mktemp("cluster") / "checkout")
    (root / "notebooks" / "01_one.ipynb").unlink()
    for file in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        shutil.copy(file, root / "notebooks")
    shutil.copytree(ROOT / "config/profiles", root / "config/profiles")
    (root / "config/cluster.yaml").write_text(yaml.safe_dump(EDITION))
    phantom.make_phantom(root / "data/derived/small", subjects=24, size=32)
    return root


@pytest.fixture
def node(tmp_path_factory, checkout):
    """Give the environment of a Slurm that runs the checkout's jobs."""
    with slurm_node.one_node(tmp_path_factory.mktemp("slurm")) as environment:
        packages = [path for path in sys.path if "site-" in path]
        extra = environment.get("PYTHONPATH", "").split(":")
        environment["PYTHONPATH"] = ":".join(
            [str(checkout), *extra, *packages]
        )
        environment["OMP_NUM_THREADS"] = "1"
        yield environment


def executed(name):
    """Where the executed notebook of a run goes."""
    shown = name == "RR-fold0-seed0"
    if shown:
        return "book/executed/cluster/03_pretraining.ipynb"
    return f"data/executed/cluster/{name}.ipynb"


def job_of(node, name):
    """The job of a run in Slurm's queue, the last that there was."""
    said = slurm_node.asked(node, "squeue", "-h", "-t", "all", "-o", "%i|%k")
    jobs = []
    for line in said.splitlines():
        number, _, comment = line.partition("|")
        if comment.strip() == f"rule_{name.replace('-', '_')}":
            jobs.append(int(number))
    return max(jobs, default=None), len(jobs)


def wait(condition, workflow, what):
    """Wait until something holds, as long as the workflow runs."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert workflow.poll() is None, f"the workflow ended before {what}"
        assert time.monotonic() < until, what
        time.sleep(0.1)


def has_state(node, job, *texts):
    """Whether Slurm says all of this of a job."""
    said = slurm_node.asked(node, "scontrol", "show", "job", str(job))
    return all(text in said for text in texts)


def test_a_grid_of_which_one_run_is_requeued_and_one_killed(
    checkout, node, tell
):
    targets = [f"{o}-fold0-seed{s}" for o in ("RR", "AE") for s in (0, 1)]
    command = [checkout / "python", "-m", "snakemake"]
    command += ["--profile", "config/profiles/slurm"]
    command += ["--configfile", "config/cluster.yaml"]
    # there is no accounting here, and a test need not wait
    command += ["--slurm-status-command", "squeue"]
    command += ["--slurm-init-seconds-before-status-checks", "2"]
    command += [*map(executed, targets)]
    begun = time.monotonic()
    said = (checkout / "said.txt").open("w")
    workflow = subprocess.Popen(
        command, cwd=checkout, env=node, stdout=said, stderr=said
    )
    try:
        interrupt(checkout, node, workflow)
        status = workflow.wait(PATIENCE)
    finally:
        workflow.kill()
        workflow.wait()
        said.close()
    assert status == 0, (checkout / "said.txt").read_text()
    tell(f"a grid on Slurm: {time.monotonic() - begun:.0f} s")
    for name in targets:
        assert ledger.stale(checkout / executed(name)) == []
    for folder in ("data", "book/executed"):
        assert ledger.verify(checkout / folder) == []
    # Slurm gave each run the GPU that the profile asks for
    facts = ledger.read_sidecar(checkout / executed(KILLED))["facts"]
    assert facts["gpus"] == 1
    for name in (REQUEUED, KILLED):
        assert_as_in_one_piece(checkout, name, node)


def interrupt(checkout, node, workflow):
    """Put one run back into the queue in the middle of its training, and kill
    another, as a node that dies does.
    """
    waiting = {REQUEUED, KILLED}
    while waiting:
        wait(
            lambda: in_training(checkout, waiting),
            workflow,
            f"{sorted(waiting)} were in training",
        )
        name = in_training(checkout, waiting)[0]
        waiting.remove(name)
        job, times = job_of(node, name)
        assert times == 1
        if name == KILLED:
            slurm_node.asked(node, "scancel", "--signal=KILL", str(job))
        else:
            requeue(checkout, node, workflow, name, job)
    wait(
        lambda: job_of(node, KILLED)[1] == 2,
        workflow,
        "Snakemake began the killed run again",
    )


def in_training(checkout, names):
    """Those of some runs that have trained for a while, and not to the end."""
    found = []
    for name in sorted(names):
        last = partial(checkout, name) / "last.ckpt"
        if last.exists():
            content = torch.load(last, weights_only=True, map_location="cpu")
            if 5 <= content["epoch"] < 40:
                found.append(name)
    return found


def requeue(checkout, node, workflow, name, job):
    """Put a run back into the queue, look at what it left, let it go on."""
    slurm_node.asked(node, "scontrol", "requeuehold", str(job))
    wait(
        lambda: has_state(node, job, "PENDING", "Restarts=1"),
        workflow,
        "it was put back",
    )
    check_left(checkout, name)
    # Slurm would wait for two minutes
    start = ["scontrol", "update", f"jobid={job}", "StartTime=now"]
    slurm_node.asked(node, *start)
    slurm_node.asked(node, "scontrol", "release", str(job))


def partial(checkout, name):
    """The folder of an unfinished training."""
    return checkout / "data/runs/small" / f"{name}.partial"


def check_left(checkout, name):
    """What a run leaves that waits for its next turn: the point to go on
    from, and nothing that would be in its way or in anybody's.
    """
    assert (partial(checkout, name) / "last.ckpt").exists()
    run = partial(checkout, name).with_suffix("")
    page = checkout / executed(name)
    for place in (run, page):
        assert not place.exists()
        assert locks.owner(place) is None
    assert not page.with_suffix(".failed.ipynb").exists()
    assert not list(page.parent.glob(f".tmp-*/{page.name}"))


def assert_as_in_one_piece(checkout, name, node):
    """A run that went on equals one that was never stopped, bit for bit."""
    run = checkout / "data/runs/small" / name
    page = (checkout / executed(name)).read_text()
    # where the progress bar began
    (first,) = re.findall(r"(\d+)/60 \[00:00<\?", page)
    assert int(first) > 5
    parameters = ledger.read_sidecar(checkout / executed(name))["parameters"]
    values = {**parameters, "run_dir": f"data/runs/whole/{name}"}
    (checkout / "values.yaml").write_text(yaml.safe_dump(values))
    command = [checkout / "python", "notebooks/execute.py"]
    command += ["notebooks/03_pretraining.ipynb", f"data/whole-{name}.ipynb"]
    command += ["-f", "values.yaml"]
    subprocess.run(command, cwd=checkout, env=node, check=True)
    whole = checkout / values["run_dir"]
    assert_same_run(run, whole)
    with (
        np.load(run / "embeddings.npz") as found,
        np.load(whole / "embeddings.npz") as expected,
    ):
        assert found.files == expected.files
        for key in expected.files:
            np.testing.assert_array_equal(found[key], expected[key])
    assert read_parameters(run)["resumed_in"] == []
