"""A run that is stopped behind an epoch and goes on; what it must equal."""

import pandas as pd
import pytest
import torch

from mmssl.pretrain import fit, loop


def resumed(cohort, objective, folder, monkeypatch, epoch, **options):
    """Begin a run, stop it behind an epoch, and finish it in the same
    folder.
    """
    save = loop.Recorder.on_train_epoch_end

    def stopped(self, trainer, module):
        save(self, trainer, module)
        if trainer.current_epoch == epoch:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop.Recorder, "on_train_epoch_end", stopped)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(cohort, objective, folder, **options)
    monkeypatch.undo()
    return fit(cohort, objective, folder, **options)


def assert_same_run(first, second):
    """All that two runs learned, queues and buffers too, and their history, to
    the bit; return the state.
    """
    states = []
    for run in (first, second):
        content = torch.load(run / "checkpoint.ckpt", weights_only=True)
        states.append(content["objective"])
    assert set(states[0]) == set(states[1])
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    histories = [pd.read_csv(run / "history.csv") for run in (first, second)]
    pd.testing.assert_frame_equal(*histories)
    return states[0]
