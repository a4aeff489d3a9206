"""Lightning's trainer, as this package uses it."""

import signal

from small_cohort import SMALL_RUN, write_small_cohort

from mmssl.pretrain import loop
from mmssl.pretrain.fit import fit


def test_in_a_job_of_slurm_it_answers_no_signal(tmp_path, monkeypatch):
    """Lightning would save a checkpoint in the middle of an epoch and have
    the job begin again.
    """
    task = {"JOB_ID": "7", "JOB_NAME": "run", "NTASKS": "1", "PROCID": "0"}
    for name, value in {**task, "LOCALID": "0", "NODEID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    answers = []

    def note(self, trainer, module):
        answers.append(signal.getsignal(signal.SIGUSR1))
        began(self, trainer, module)

    began = loop.Recorder.on_train_start
    monkeypatch.setattr(loop.Recorder, "on_train_start", note)
    people = write_small_cohort(tmp_path / "cohort")
    run = fit(people, "RR", tmp_path / "run", **SMALL_RUN)
    assert answers == [signal.SIG_DFL]
    assert not list(run.glob("hpc_*"))
