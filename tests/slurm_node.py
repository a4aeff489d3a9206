"""A Slurm of one node on this machine, for as long as a test needs it.

Its daemons (Debian's packages ``slurm-wlm`` and ``munge``) run as root on
loopback, in a folder of their own; nothing else of the machine is touched.
"""

import os
import secrets
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
PATIENCE = 60  # seconds, for daemons on a loaded machine

CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
KillWait=10
SlurmdParameters=config_overrides
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdSpoolDir={folder}/spool
StateSaveLocation={folder}/state
GresTypes=gpu
NodeName=node NodeHostname=localhost NodeAddr=127.0.0.1 CPUs=2 \
RealMemory=100000 Gres=gpu:2
PartitionName=cpu Nodes=node Default=YES State=UP
PartitionName=gpu Nodes=node State=UP
"""
# memory and GPUs are those that the profile asks for, not the machine's
GPUS = """
NodeName=node Name=gpu File=/dev/null
NodeName=node Name=gpu File=/dev/zero
"""
# Snakemake's executor takes SLURM_CONF from the inner srun's environment
SRUN = """#!/bin/sh
SLURM_CONF={folder}/slurm.conf
export SLURM_CONF
exec {srun} "$@"
"""


def lacking():
    """Say why there can be no Slurm here; nothing where there can."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [p for p in PROGRAMS if shutil.which(p, path=path) is None]
    if missing:
        return f"no {', '.join(missing)} here: apt-get install slurm-wlm munge"
    if os.geteuid() != 0:
        return "the daemons of Slurm need root"
    return ""


@contextmanager
def one_node(folder):
    """Start a node in an empty folder, and give the environment in which
    Slurm's commands find it; stop it at the end, and every job.
    """
    environment = _write(folder)
    with ExitStack() as stack:
        keys = ("key-file", "socket", "pid-file", "seed-file")
        files = ("munge.key", "munge.socket", "munged.pid", "munged.seed")
        options = [
            f"--{key}={folder / file}"
            for key, file in zip(keys, files, strict=True)
        ]
        for command in (
            ["munged", "--foreground", "--force", *options],
            ["slurmctld", "-D", "-c"],
            ["slurmd", "-D", "-N", "node"],
        ):
            stack.enter_context(_daemon(command, folder, environment))
            ready = folder / "munge.socket"
            _wait(ready.exists, folder)
        # steps outlive the daemon that started them
        stack.callback(_end_jobs, environment)
        _wait(lambda: "idle" in asked(environment, "sinfo", "-h"), folder)
        yield environment


def asked(environment, *command):
    """What one of Slurm's commands says."""
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60
    )
    return done.stdout


def _write(folder):
    """Write what the daemons read; return their environment."""
    for name in ("spool", "state", "bin"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(secrets.token_bytes(1024))
    (folder / "munge.key").chmod(0o400)
    controller, node = _free_ports(2)
    text = CONFIGURATION.format(
        folder=folder, controller_port=controller, node_port=node
    )
    (folder / "slurm.conf").write_text(text)
    (folder / "gres.conf").write_text(GPUS)
    srun = folder / "bin" / "srun"
    srun.write_text(SRUN.format(folder=folder, srun=shutil.which("srun")))
    srun.chmod(0o755)
    path = f"{folder / 'bin'}:{os.environ['PATH']}:/usr/sbin:/sbin"
    return {
        **os.environ,
        "PATH": path,
        "SLURM_CONF": str(folder / "slurm.conf"),
    }


def _free_ports(number):
    """Ports that nobody listens to."""
    with ExitStack() as stack:
        ports = []
        for _ in range(number):
            free = stack.enter_context(socket.socket())
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    return ports


@contextmanager
def _daemon(command, folder, environment):
    """Run a daemon, and end it whatever happens."""
    with (folder / f"{command[0]}.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, cwd=folder
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end_jobs(environment):
    """Cancel what is in the queue, and end the processes that remain."""
    asked(environment, "scancel", "--user", "root")
    until = time.monotonic() + 30
    while asked(environment, "squeue", "-h") and time.monotonic() < until:
        time.sleep(0.5)
    folder = str(Path(environment["SLURM_CONF"]).parent)
    for process in psutil.process_iter(["name", "environ"]):
        of_here = (process.info["environ"] or {}).get("SLURM_CONF", "")
        steps = process.info["name"] == "slurmstepd"
        if steps and of_here.startswith(folder):
            process.kill()


def _wait(is_ready, folder):
    """Wait until a daemon is there; say what all of them said if not."""
    until = time.monotonic() + PATIENCE
    while not is_ready():
        if time.monotonic() > until:
            logs = [file.read_text() for file in folder.glob("*.log")]
            raise TimeoutError("\n".join(logs))
        time.sleep(0.2)
