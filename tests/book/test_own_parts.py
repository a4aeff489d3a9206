"""The example parts against their equations, and where a user sees them: in
runs, tables and sweeps.
"""

import json

import numpy as np
import pytest
import torch
from page_in_process import LEAST, empty_project, run_page, text_of
from test_modalities import write_cohort

from book import own_parts
from mmssl import cohorts, evaluate, pretrain, robustness
from mmssl.evaluate.runs import supervised_runs
from mmssl.pretrain.backbones import make_encoder


def by_hand(z, other, weights):
    """Return VICReg's loss by loops over dimensions."""
    people, length = z.shape
    parts = [0.0, 0.0, 0.0]
    for one, two in zip(z, other, strict=True):
        parts[0] += sum((a - b) ** 2 for a, b in zip(one, two, strict=True))
    parts[0] /= people * length
    for own in (z, other):
        covariance = np.cov(own, rowvar=False)
        for j in range(length):
            spread = np.sqrt(covariance[j, j] + 1e-4)
            parts[1] += max(0.0, 1 - spread) / length
            for k in range(length):
                if j != k:
                    parts[2] += covariance[j, k] ** 2 / length
    return float(np.dot(parts, weights))


def test_vicreg_is_the_paper_s_equation():
    rng = np.random.default_rng(4)
    z = rng.normal(size=(7, 5)) * [0.2, 0.5, 1.0, 1.5, 2.0]
    other = z + rng.normal(size=(7, 5))
    for weights in ((25.0, 25.0, 1.0), (1.0, 0.0, 3.0)):
        term = own_parts.VICReg(*weights)
        found = term.of_pair(torch.tensor(z), torch.tensor(other))
        assert float(found) == pytest.approx(by_hand(z, other, weights))
        swapped = term.of_pair(torch.tensor(other), torch.tensor(z))
        assert float(swapped) == pytest.approx(float(found))


@pytest.mark.parametrize("weights", [(25.0, 25.0, 1.0), (1.0, 4.0, 1.0)])
@pytest.mark.parametrize(("people", "length"), [(7, 5), (16, 64), (500, 4)])
def test_chance_is_the_least_mean_loss_of_vectors_that_say_nothing(
    weights, people, length
):
    term = own_parts.VICReg(*weights)
    generator = torch.Generator().manual_seed(0)
    batches = 300
    draws = torch.randn(
        2, batches, people, length, generator=generator, dtype=torch.float64
    )
    means = []
    for spread in np.linspace(0.2, 1.4, 49):
        losses = torch.vmap(term.of_pair)(*(spread * draws))
        means.append(float(losses.mean()))
    chance = term.chance(people, length)
    assert min(means) == pytest.approx(chance, rel=0.01)
    assert 0 < np.argmin(means) < 48


@pytest.mark.parametrize(("dims", "channels"), [(2, 3), (3, 1)])
def test_the_residual_network_gives_z_and_a_local_map(dims, channels):
    options = {"width": 2, "latent": 6, "size": 32, "dims": dims}
    encoder = make_encoder("book.own_parts:resnet", channels, options)
    found = encoder(torch.randn(3, channels, *(32,) * dims))
    assert found.z.shape == (3, 6) == (3, encoder.latent)
    assert found.local.shape[:2] == (3, encoder.local_channels)
    # its last maps have a side of 2
    x = torch.randn(3, channels, *(32,) * dims)
    with torch.autocast("cpu", torch.bfloat16):
        half = encoder(x)
    whole = encoder(x)
    assert half.z.dtype == torch.float32
    torch.testing.assert_close(half.z, whole.z)


def test_a_run_of_own_parts_is_measured_like_any_other(tmp_path):
    digits = own_parts.edges_of_digits(tmp_path / "digits", 300)
    assert cohorts.load(digits.path).tasks["digit"]["classes"][3] == "3"
    embeddings = {}
    for model, (objective, backbone) in {
        "own term": ("book.own_parts:VICReg", None),
        "own encoder": ("RR", "book.own_parts:resnet"),
    }.items():
        run = pretrain.fit(
            digits,
            objective,
            tmp_path / "runs" / f"{model}-fold0-seed0",
            epochs=2,
            batch_size=32,
            width=2,
            latent=8,
            backbone=backbone,
            progress=False,
        )
        embeddings[model] = pretrain.embed(run, digits)
        code = json.loads((run / "params.json").read_text())["code"]
        part = (backbone or objective).replace(":", ".")
        assert part in code and "mmssl.objectives.preservation" not in code
    runs = evaluate.finished_runs(tmp_path / "runs", digits)
    assert list(runs) == ["own encoder", "own term"]
    assert supervised_runs(runs) == set()
    history = pretrain.read_history(runs["own term"])
    assert {"train/VICReg/loss", "valid/chance"} <= set(history)
    table = evaluate.accuracy_table(digits, embeddings, epochs=2)
    assert set(table["model"]) == {"own term", "own encoder"}


def test_notebook_03_takes_them_and_04_shows_them(tmp_path, monkeypatch):
    shown = empty_project(tmp_path, monkeypatch)
    cohort = write_cohort(tmp_path / "cohort", 2)
    for model, values in {
        "VICReg": {"objective": "book.own_parts:VICReg"},
        "resnet": {"objective": "RR", "backbone": "book.own_parts:resnet"},
    }.items():
        values |= {"cohort": str(cohort.path), "fold": 0}
        values["run_dir"] = str(tmp_path / "runs" / f"{model}-fold0-seed0")
        run_page("03_pretraining", LEAST["03_pretraining"] | values, shown)
    values = {"cohort": str(cohort.path), "runs": str(tmp_path / "runs")}
    values |= {"output": str(tmp_path / "out"), "target": ""}
    least = LEAST["04_linear_evaluation"]
    run_page("04_linear_evaluation", least | values, shown)
    text = " ".join(map(text_of, shown))
    assert "VICReg" in text and "resnet" in text
    table = (tmp_path / "out" / "linear_evaluation.tsv").read_text()
    assert "\tVICReg\t" in table and "\tresnet\t" in table


def test_stripes_shrink_every_second_slab(affine):
    volume = torch.arange(1.0, 1 + 9 * 4 * 5).view(1, 1, 9, 4, 5)
    point = ("book.own_parts:Stripes", "width", 10.0)
    found = robustness.distort(volume, *point, 3, affine)[0, 0]
    kept = (found / volume[0, 0]).numpy()
    # one value a slab, half of it where it is shrunk
    np.testing.assert_allclose(kept, kept[:, :1, :1] + 0 * kept, rtol=1e-6)
    slabs = kept[:, 0, 0].round(6)
    assert set(slabs.tolist()) == {0.5, 1.0}
    # edges lie the width apart, so never nearer than its whole voxels
    edges = np.flatnonzero(np.diff(slabs))
    voxel = np.linalg.norm(affine[:3, 0])
    assert (np.diff(edges) * voxel >= 10.0 - voxel).all()
