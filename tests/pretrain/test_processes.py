"""A training in two processes equals that in one, and only the first
writes.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from small_cohort import SMALL_RUN, lack, write_small_cohort
from torch import nn

from mmssl.models.batchnorm import (
    AllReduceBatchNorm,
    SharedUpdate,
    is_synchronised,
    synchronised,
)
from mmssl.pretrain import processes
from mmssl.pretrain.fit import fit
from mmssl.pretrain.trainer import of_processes

OBJECTIVES = {
    "CR-XX-CC": {},
    "RR-AE": {},
    "CR-CCA": {"memory": 16},
    "MMVAE": {},
    "Supervised": {},
    "SwAV": {"prototypes": 4, "queue": 8, "crops": [2, 1]},
    "PCRL": {"queue": 16},
}

TRAINING = """
import json
import sys
from mmssl import cohorts, pretrain
cohort = cohorts.load(sys.argv[1])
for name, options in json.loads(sys.argv[3]).items():
    pretrain.fit(cohort, name, f"{sys.argv[2]}/{name}", devices=2, **options)
"""


def in_two_processes(code, *arguments, **environment):
    """Run code by torchrun; return its status and what it printed."""
    command = [sys.executable, "-m", "torch.distributed.run"]
    command += ["--standalone", "--nproc-per-node", "2", "--no-python"]
    command += [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=500,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort") / "small"
    return write_small_cohort(folder, groups=("HC", "AD"))


def assert_equal_runs(one, two):
    """Up to the last digits: history and embeddings."""
    histories = [pd.read_csv(run / "history.csv") for run in (one, two)]
    assert list(histories[0]) == list(histories[1])
    # the chance level of a reconstruction is of the rows of each process
    own = [name for name in histories[0] if name.endswith("chance")]
    histories = [history.drop(columns=own) for history in histories]
    np.testing.assert_allclose(*histories, rtol=2e-4, atol=2e-5)
    with (
        np.load(one / "embeddings.npz") as first,
        np.load(two / "embeddings.npz") as second,
    ):
        for m in ("T1", "fALFF"):
            np.testing.assert_allclose(second[m], first[m], 1e-3, 1e-4)


@pytest.fixture
def incomplete(tmp_path):
    """Give a cohort in which a process often has nobody's fALFF."""
    write_small_cohort(tmp_path / "small", groups=("HC", "AD"))
    return lack(tmp_path / "small", "fALFF", [*range(11), 17])


@pytest.mark.parametrize(
    ("made", "names"),
    [
        ("cohort", ["CR-XX-CC"]),
        pytest.param("cohort", [*OBJECTIVES][1:], marks=pytest.mark.slow),
        pytest.param("incomplete", [*OBJECTIVES], marks=pytest.mark.slow),
    ],
    ids=["one", "others", "incomplete"],
)
def test_two_processes_give_the_run_of_one(made, names, tmp_path, request):
    cohort = request.getfixturevalue(made)
    options = {n: {**SMALL_RUN, **OBJECTIVES[n]} for n in names}
    status, said = in_two_processes(
        TRAINING, cohort.path, tmp_path / "two", json.dumps(options)
    )
    assert status == 0, said
    for name in names:
        one = fit(cohort, name, tmp_path / name, **options[name])
        assert_equal_runs(one, tmp_path / "two" / name)
        made = json.loads(
            (tmp_path / "two" / name / "params.json").read_text()
        )
        assert made["processes"] == 2
        # taken up by one process it is the finished run
        again = fit(cohort, name, tmp_path / "two" / name, **options[name])
        assert again == tmp_path / "two" / name
    assert not list((tmp_path / "two").glob("*.partial"))


NORM = """
import sys
import torch
from torch import distributed, nn
from mmssl.models.batchnorm import SharedUpdate, synchronised
distributed.init_process_group("gloo")
rank = distributed.get_rank()
x = torch.load(f"{sys.argv[1]}/x.pt")
for rows in ([5, 3], [8, 0]):
    for dims, kind in ((1, nn.BatchNorm1d), (3, nn.BatchNorm3d)):
        torch.manual_seed(1)
        norm = kind(6)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        network = synchronised(nn.Sequential(norm), "cpu")
        own = x[dims].split(rows)[rank].clone().requires_grad_()
        for step in range(2):
            with SharedUpdate(network, 2, step):
                output = network(own)
            # what each process asks of its rows, as of all of them
            output.pow(3).sum().backward()
        gradients = [p.grad.clone() for p in network.parameters()]
        for gradient in gradients:
            distributed.all_reduce(gradient)
        buffers = {k: v for k, v in network.named_buffers()}
        found = output.detach(), own.grad, gradients, buffers
        torch.save(found, f"{sys.argv[1]}/{dims}-{rows[0]}-{rank}.pt")
distributed.destroy_process_group()
"""


def test_batch_norm_is_that_of_the_joined_rows(tmp_path):
    draw = torch.Generator().manual_seed(3)
    x = {
        1: 3 + torch.randn(8, 6, generator=draw),
        3: 3 + torch.randn(8, 6, 3, 2, 4, generator=draw),
    }
    torch.save(x, tmp_path / "x.pt")
    status, said = in_two_processes(NORM, tmp_path)
    assert status == 0, said
    for dims, kind in ((1, nn.BatchNorm1d), (3, nn.BatchNorm3d)):
        torch.manual_seed(1)
        norm = kind(6)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        joined = x[dims].clone().requires_grad_()
        for step in range(2):
            with SharedUpdate(norm, 2, step):
                output = norm(joined)
            output.pow(3).sum().backward()
        for first in (5, 8):
            ranks = []
            for rank in (0, 1):
                file = tmp_path / f"{dims}-{first}-{rank}.pt"
                ranks.append(torch.load(file))
            close = {"atol": 1e-4, "rtol": 1e-4}
            for k, expected in enumerate((output, joined.grad)):
                found = torch.cat([rank[k] for rank in ranks])
                torch.testing.assert_close(found, expected.detach(), **close)
            for _, _, gradients, buffers in ranks:
                expected = [p.grad for p in norm.parameters()]
                torch.testing.assert_close(gradients, expected, **close)
                for name, buffer in norm.named_buffers():
                    found = buffers[f"0.{name}"]
                    torch.testing.assert_close(found, buffer)


def test_only_batch_norms_are_replaced_and_keep_their_weights():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.BatchNorm2d(3, eps=1e-3, momentum=0.2),
        nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3, affine=False)),
    )
    images = torch.randn(4, 1, 5, 6)
    network(images)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    expected = network.eval()(images)
    assert not is_synchronised(network)
    changed = synchronised(network.train(), "cpu")
    assert changed is network and is_synchronised(network)
    kinds = [type(m) for m in network.modules() if "Norm" in type(m).__name__]
    assert kinds == [AllReduceBatchNorm] * 2
    assert network[1].eps == 1e-3 and network[1].momentum == 0.2
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[k], before[k]) for k in before)
    # of one process it is torch's own
    torch.testing.assert_close(network.eval()(images), expected)
    with pytest.raises(ValueError, match="1 dimensions, expected 2"):
        network[1].train()(torch.zeros(3))


REFUSED = """
import sys
from mmssl import cohorts, pretrain
from mmssl.pretrain import processes
cohort = cohorts.load(sys.argv[1])
try:
    pretrain.fit(
        cohort, "RR", sys.argv[2], epochs=2, batch_size=4, devices=2,
        width=2, latent=4, progress=False, seed=int(sys.argv[3]),
    )
except ValueError as error:
    print(f"rank {processes.rank()}: {error}")
"""


@pytest.mark.slow
def test_what_the_first_process_refuses_all_refuse(cohort, tmp_path):
    run = tmp_path / "run"
    fit(cohort, "RR", run, **{**SMALL_RUN, "seed": 0})
    status, said = in_two_processes(REFUSED, cohort.path, run, 1)
    assert status == 0
    for rank in (0, 1):
        assert f"rank {rank}: {run / 'params.json'}: " in said


DYING = """
import os
import sys
from mmssl import cohorts, pretrain
from mmssl.pretrain import loop, processes
own = loop.Pretraining.training_step

def dying(module, index, *others):
    if module.current_epoch == 1 and processes.rank() == 1:
        raise RuntimeError("this node lost its memory")
    return own(module, index, *others)

loop.Pretraining.training_step = dying
cohort = cohorts.load(sys.argv[1])
pretrain.fit(
    cohort, "RR", sys.argv[2], epochs=3, batch_size=4, devices=2,
    width=2, latent=4, progress=False, precision="fp32",
)
"""


@pytest.mark.slow
def test_a_process_that_dies_ends_the_others_with_its_message(
    cohort, tmp_path
):
    status, said = in_two_processes(DYING, cohort.path, tmp_path / "run")
    assert status != 0
    assert "this node lost its memory" in said
    assert not (tmp_path / "run").exists()
    # and one process goes on from the last whole epoch
    options = {**SMALL_RUN, "epochs": 3}
    with pytest.warns(UserWarning, match="processes 2, now 1"):
        run = fit(cohort, "RR", tmp_path / "run", **options)
    whole = fit(cohort, "RR", tmp_path / "whole", **options)
    assert_equal_runs(whole, run)


def test_devices_must_be_the_processes_that_were_started(monkeypatch):
    processes.check(1, 7)
    with pytest.raises(ValueError, match=r"devices=2, found 1 process\(es\)"):
        processes.check(2, 8)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "3")
    with pytest.raises(ValueError, match="devices=1, found 4"):
        processes.check(1, 8)
    with pytest.raises(ValueError, match="batch of 6 on devices=4"):
        processes.check(4, 6)
    processes.check(4, 8)
    assert processes.rank() == 3 and not processes.is_first()
    with pytest.raises(processes.NotFirst, match="process 3 of 4"):
        processes.leave_the_rest_to_the_first()
    options = of_processes("ddp")
    assert (options["devices"], options["num_nodes"]) == (2, 2)
    with pytest.raises(ValueError, match="strategy='fsdp', expected one of"):
        of_processes("fsdp")


def test_one_process_tells_itself():
    assert processes.told_by_first(lambda: 3) == 3
    assert processes.of_all("a") == ["a"]
    processes.leave_the_rest_to_the_first()
    assert of_processes("auto") == {}
