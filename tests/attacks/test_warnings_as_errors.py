"""Attacks by ``python -W error``: what a library warns of does not stop a
training.
"""

import dataclasses
import warnings

import pytest
import torch

from mmssl.cohorts import natural
from mmssl.pretrain import loop
from mmssl.pretrain.encoders import embed
from mmssl.pretrain.fit import fit

SMALL = {
    "epochs": 2,
    "batch_size": 8,
    "width": 4,
    "latent": 8,
    "progress": False,
}


def nobody_validates(cohort):
    """Return a cohort whose folds have no validation people."""
    folds = [fold | {"valid": []} for fold in cohort.splits["folds"]]
    return dataclasses.replace(cohort, splits=cohort.splits | {"folds": folds})


@pytest.mark.parametrize(
    "options",
    [
        {"objective": "RR-AE"},
        {"objective": "Supervised", "dropout": 0.2},
        {"objective": "CR-XX-CC", "precision": "bf16"},
        {"objective": "MMVAE", "progress": True},
        {"objective": "RR", "optimiser": "larc"},
        {"objective": "AE", "optimiser": "sgd"},
    ],
    ids=lambda options: options["objective"],
)
def test_a_training_where_warnings_are_errors(tiny_phantom, tmp_path, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = fit(tiny_phantom, run_dir=tmp_path / "run", **SMALL | options)
        embed(run, tiny_phantom)


def test_without_validation(tiny_phantom, tmp_path):
    cohort = nobody_validates(tiny_phantom)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = fit(cohort, "RR-AE", tmp_path / "run", **SMALL)
    history = (run / "history.csv").read_text(encoding="utf-8")
    assert "train/loss" in history and "valid" not in history


def test_of_images_in_two_dimensions(tmp_path):
    cohort = natural.two_view_mnist(
        tmp_path / "digits", train=100, test=50, folds=2
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(cohort, "RR-AE", tmp_path / "run", **SMALL)


def test_resumed(tiny_phantom, tmp_path, monkeypatch):
    ended = loop.Recorder.on_train_epoch_end

    def stop(recorder, *arguments):
        ended(recorder, *arguments)
        raise RuntimeError("stopped")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with monkeypatch.context() as patched:
            patched.setattr(loop.Recorder, "on_train_epoch_end", stop)
            with pytest.raises(RuntimeError, match="stopped"):
                fit(tiny_phantom, "RR-AE", tmp_path / "run", **SMALL)
        run = fit(tiny_phantom, "RR-AE", tmp_path / "run", **SMALL)
    assert torch.load(run / "checkpoint.ckpt", weights_only=True)
