"""Encoders other than DCGAN's: by name, recorded, and made again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from own_backbone import Pooled
from small_cohort import SMALL_RUN

from mmssl.evaluate.runs import deviating_settings
from mmssl.ledger.manifest import write_manifest
from mmssl.models import Encoder, UNetEncoder
from mmssl.pretrain import embed, fit, load_encoders
from mmssl.pretrain.backbones import (
    accepted_arguments,
    backbone_class,
    make_encoder,
)

UNET = "mmssl.models.unet:UNetEncoder"


@pytest.fixture(scope="module")
def run(cohort, tmp_path_factory):
    """Give a run with the U-Net as its encoder."""
    folder = tmp_path_factory.mktemp("unet") / "run"
    return fit(cohort, "CR-RR-AE", folder, backbone=UNET, **SMALL_RUN)


def test_a_run_names_its_backbone_and_makes_it_again(run, cohort):
    assert json.loads((run / "params.json").read_text())["backbone"] == UNET
    encoders, _ = load_encoders(run)
    assert all(type(e) is UNetEncoder for e in encoders.values())
    z = embed(run, cohort)
    assert z["T1"].shape == (len(cohort), 32)
    x = torch.from_numpy(np.asarray(cohort.volumes["T1"][:3], np.float32))
    with torch.no_grad():
        found = encoders["T1"](x[:, None]).z.numpy()
    np.testing.assert_allclose(found, z["T1"][:3], rtol=1e-4, atol=1e-5)


def test_another_process_reads_it(run):
    code = (
        "import sys; from mmssl import pretrain\n"
        f"encoders, _ = pretrain.load_encoders({str(run)!r})\n"
        "print(sorted({type(e).__name__ for e in encoders.values()}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert done.stdout.strip() == "['UNetEncoder']", done.stderr


def test_the_code_of_the_backbone_is_that_of_the_run(run, cohort):
    record = json.loads((run / "params.json").read_text())
    assert "mmssl.models.unet" in record["code"]
    with pytest.raises(ValueError, match="backbone is 'mmssl.models.unet:UNe"):
        fit(cohort, "CR-RR-AE", run, **SMALL_RUN)


def test_where_nothing_is_said_it_is_dcgan_to_the_bit(cohort, tmp_path):
    named = "mmssl.models.dcgan:Encoder"
    first = fit(cohort, "RR", tmp_path / "a", **SMALL_RUN)
    second = fit(cohort, "RR", tmp_path / "b", backbone=named, **SMALL_RUN)
    for m, z in embed(first, cohort).items():
        np.testing.assert_array_equal(z, embed(second, cohort)[m])
    assert type(load_encoders(first)[0]["T1"]) is Encoder
    deviating = deviating_settings({"a": first, "b": second, "c": first})
    assert deviating == {"b": f"backbone {named}"}


@pytest.mark.parametrize("own", ["Pooled", "pooled"])
def test_a_users_class_or_factory_is_taken_and_its_code_recorded(
    own, cohort, tmp_path
):
    name = f"own_backbone:{own}"
    run = fit(cohort, "CR", tmp_path / "run", backbone=name, **SMALL_RUN)
    assert type(load_encoders(run)[0]["T1"]) is Pooled
    assert embed(run, cohort)["fALFF"].shape == (len(cohort), 5)
    record = json.loads((run / "params.json").read_text())
    assert {"own_backbone.Pooled", f"own_backbone.{own}"} <= {*record["code"]}
    # where the module is not on the path, who reads it is told
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    code = f"from mmssl import pretrain; pretrain.load_encoders({str(run)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert f"backbone {name!r}: not found" in done.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("UNetEncoder", "expected 'module:Class'"),
        ("a b:C", "expected 'module:Class'"),
        (3, "expected 'module:Class'"),
        ("no_such_module:C", "not found .No module named"),
        ("mmssl.models.unet:Missing", "not found .module"),
        ("os:system", "expected a subclass of"),
        ("mmssl.models.unet:mixed", "expected a subclass of"),
        ("mmssl.objectives.term:Node", "expected a subclass of"),
        ("own_backbone:unsaid", "a function annotated to return one"),
    ],
)
def test_what_is_no_backbone_is_refused(name, message, cohort, tmp_path):
    with pytest.raises(ValueError, match=message):
        backbone_class(name)
    with pytest.raises(ValueError, match=message):
        fit(cohort, "RR", tmp_path / "run", backbone=name, **SMALL_RUN)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "dims"),
    [
        ("densenet:DenseNetEncoder", 2),
        ("densenet:DenseNetEncoder", 3),
        ("resnet:ResNetEncoder", 2),
        ("resnet:ResNetUNetEncoder", 2),
    ],
)
def test_encoders_of_the_papers_say_what_they_give(name, dims):
    options = {"width": 4, "latent": 6, "size": 32, "dims": dims}
    options["dropout"] = 0.1
    encoder = make_encoder(f"mmssl.models.{name}", 2, options)
    found = encoder(torch.randn(3, *encoder.input_shape))
    assert encoder.input_shape == (2, *(32,) * dims)
    assert found.z.shape == (3, encoder.latent)
    assert found.local.shape[:2] == (3, encoder.local_channels)
    assert bool(found.maps) == hasattr(encoder, "decoder")


def test_only_what_a_class_takes_is_handed_to_it():
    asked = {"in_channels": 1, "width": 4, "dropout": 0.0, "size": 16}
    found = accepted_arguments(Pooled, asked)
    assert found == {"in_channels": 1, "dropout": 0.0}


def test_an_encoder_must_say_what_heads_need():
    with pytest.raises(ValueError, match="no attribute latent, local_channel"):
        make_encoder("torch.nn:ReLU", 1, {"width": 2})


def test_a_checkpoint_that_names_something_else_calls_nothing(
    run, tmp_path, monkeypatch
):
    called = []
    monkeypatch.setattr(os, "system", lambda *a, **k: called.append(a))
    folder = tmp_path / "run"
    folder.mkdir()
    for file in run.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    content = torch.load(folder / "checkpoint.ckpt", weights_only=True)
    content["network"]["backbone"] = "os:system"
    torch.save(content, folder / "checkpoint.ckpt")
    write_manifest(folder)
    with pytest.raises(
        ValueError, match="not a readable checkpoint.*subclass"
    ):
        load_encoders(folder)
    assert called == []
