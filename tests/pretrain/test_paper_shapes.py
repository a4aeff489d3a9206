"""Two optimiser steps of every objective at the papers' shapes: 64^3, width
32, 64-d, float32, and a batch of 64: both steps take 10 s of one core with the
contrasts, CCA or the labels, and 21 s and 6 GB with an autoencoder.

MMVAE decodes 20 samples of each modality into both: 9 s a row. Eight rows take
75 s and 6 GB; 16, the most within three minutes, take 12 GB.
"""

import itertools

import pytest
import torch

from mmssl.models.densenet import DenseNetEncoder
from mmssl.models.keyed_random import Stream
from mmssl.models.resnet import ResNetEncoder
from mmssl.models.unet import UNetEncoder
from mmssl.objectives.clustering import table_1
from mmssl.objectives.language import build, parse
from mmssl.objectives.term import Batch
from mmssl.objectives.views import Clean, View, make_views
from mmssl.pretrain.larc import LARC

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:CCA over 64 rows"),
]

EDGES = ("CR", "XX", "CC", "RR")
SUBSETS = [
    "-".join(c) for n in range(1, 5) for c in itertools.combinations(EDGES, n)
]
NAMED = ["AE", "RR-AE", "CR-CCA", "DCCAE", "MMVAE", "Supervised"]
MODALITIES = ("T1", "fALFF")
ROWS = dict.fromkeys(SUBSETS + NAMED, 64) | {"MMVAE": 8}
"""Of a batch, by objective."""


def batch(step, number):
    draw = torch.Generator().manual_seed(step)
    volumes = {
        m: torch.randn(number, 1, 64, 64, 64, generator=draw)
        for m in MODALITIES
    }
    layout = torch.channels_last_3d
    volumes = {m: x.to(memory_format=layout) for m, x in volumes.items()}
    classes = torch.tensor([0, 1, -1, 1]).repeat(number // 4)
    labels = {m: {"diagnosis": classes} for m in MODALITIES}
    rows = dict.fromkeys(MODALITIES, torch.arange(number))
    return Batch({"main": View(volumes, "main")}, rows, labels, step)


@pytest.mark.parametrize("name", SUBSETS + NAMED)
def test_two_steps(name):
    torch.manual_seed(0)
    objective = build(name, MODALITIES).to(
        memory_format=torch.channels_last_3d
    )
    before = {k: p.detach().clone() for k, p in objective.named_parameters()}
    trained = [p for p in objective.parameters() if p.requires_grad]
    optimiser = torch.optim.RAdam(trained, lr=0.01)
    for step in range(2):
        optimiser.zero_grad()
        total, parts, ctx = objective(batch(step, ROWS[name]))
        total.backward()
        torch.nn.utils.clip_grad_norm_(trained, 100.0)  # as a run does
        optimiser.step()
        assert total.isfinite()
        assert {key.split("/")[0] for key in parts} == set(parse(name))
        assert ctx.features("T1").z.shape == (ROWS[name], 64)
    unmoved = {
        k for k, p in objective.named_parameters() if torch.equal(p, before[k])
    }
    # the prior is fixed, and CC alone reads nothing of the encoder beyond side
    # 8
    idle = {"terms.MMVAE.prior"} if name == "MMVAE" else set()
    if name == "CC":
        beyond = ("norms.2", "norms.3", "convs.3", "to_latent")
        idle = {
            k
            for k in before
            if k.startswith("encoders") and any(b in k for b in beyond)
        }
    assert unmoved == idle


def test_two_steps_of_pcrl():
    """At 64 x 64 x 32 and 32 channels, with an attention of 134 million
    weights; two rows, as the step counts 2 Tflop a row.
    """
    torch.manual_seed(0)
    sides, rows = (64, 64, 32), torch.arange(2)
    objective = build(
        "PCRL",
        ("T1",),
        backbone=lambda m: UNetEncoder(1, 32, sides),
        size=64,
        queue=4,
    )
    attention = objective.further_heads["T1"]["attention"]
    assert attention.weight.numel() == 512**3
    before = {k: p.detach().clone() for k, p in objective.named_parameters()}
    trained = [p for p in objective.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(trained, lr=1e-3, momentum=0.9)
    inputs = {"T1": torch.randn(2, 1, *sides)}
    keys = {"T1": rows}
    for step in range(2):
        stream = Stream(rows, 0, step)
        views = make_views(inputs, keys, objective.views, None, stream)
        optimiser.zero_grad()
        total, parts, ctx = objective(Batch(views, keys, {"T1": {}}, step, 0))
        total.backward()
        optimiser.step()
        objective.update_momentum()
        objective.terms["PCRL"].after_step(ctx)
        assert total.isfinite()
        assert (parts["PCRL/contrast"] > 0) == (step == 1)
    for name, parameter in objective.named_parameters():
        # a bias before a batch norm moves nothing
        if parameter.requires_grad and name.endswith("weight"):
            assert not torch.equal(parameter, before[name]), name


@pytest.mark.parametrize("dims", [2, 3])
def test_two_steps_of_online_clustering(dims):
    """Crops, prototypes and networks of 002's table I, by LARC: DenseNet at
    64 x 64 x 64, ResNet-50 at 224 x 224; two rows of each modality, and a
    queue of four in the place of its thousands.
    """
    torch.manual_seed(0)
    table = table_1(dims, steps=1, size=224)
    table |= {"queue": 4, "queue_starts": 0, "frozen": 0}
    if dims == 2:
        # crops at the size of the image are the paper's 224
        table |= {"prototypes": 6, "crops": (2, 1)}
    size = {2: 224, 3: 64}[dims]
    networks = {2: lambda m: ResNetEncoder(1), 3: lambda m: DenseNetEncoder(1)}
    objective = build(
        "SwAV-CE",
        MODALITIES,
        backbone=networks[dims],
        size=size,
        dims=dims,
        **table,
    )
    inputs = {m: torch.randn(2, 1, *(size,) * dims) for m in MODALITIES}
    objective.terms["SwAV"].learn_images(inputs)
    before = {k: p.detach().clone() for k, p in objective.named_parameters()}
    optimiser = LARC(objective.parameters(), 0.6, momentum=0.9)
    rows = torch.arange(2)
    keys = dict.fromkeys(MODALITIES, rows)
    labels = {m: {"diagnosis": torch.tensor([0, -1])} for m in MODALITIES}
    for step in range(2):
        stream = Stream(rows, 0, step)
        views = make_views(inputs, keys, objective.views, Clean(), stream)
        for term in objective.terms.values():
            term.before_forward(step)
        optimiser.zero_grad()
        total, _, ctx = objective(Batch(views, keys, labels, step, 0))
        total.backward()
        optimiser.step()
        objective.terms["SwAV"].after_step(ctx)
        assert total.isfinite()
    assert int(objective.terms["SwAV"].queued_T1) == 4
    for name, parameter in objective.named_parameters():
        if name.endswith("weight"):
            assert not torch.equal(parameter, before[name]), name
