"""SwAV: codes, queues and prototypes of each modality, against 002's equations
step by step.
"""

import copy
import math
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from resumed_run import assert_same_run, resumed
from small_cohort import lack, write_small_cohort
from torch import nn
from torch.nn import functional as F
from two_processes import of_two_processes

from mmssl.losses import sinkhorn, swapped_prediction
from mmssl.models import Encoder
from mmssl.models.keyed_random import Stream
from mmssl.objectives.clustering import ABLATION, SwAV, _usage, table_1
from mmssl.objectives.energy_bands import energies, energy_bands
from mmssl.objectives.language import build
from mmssl.objectives.term import Batch
from mmssl.objectives.views import Clean, make_views
from mmssl.preprocessing.network_inputs import standardised
from mmssl.pretrain import embed, fit, load_encoders, load_weights, loop
from mmssl.pretrain.fit import _draws, load_objective

SIDE = 16
ROWS = 6
PROTOTYPES = 5
OPTIONS = {
    "prototypes": PROTOTYPES,
    "features": 7,
    "queue": 12,
    "crops": (2, 1),
    "sigmas": (1.0, 2.0),
}


def inputs_of(modalities):
    draw = torch.Generator().manual_seed(2)
    shape = (ROWS, 1, SIDE, SIDE, SIDE)
    return {m: torch.randn(shape, generator=draw) for m in modalities}


def make(name="SwAV", modalities=("T1", "fALFF"), **options):
    torch.manual_seed(1)
    objective = build(
        name,
        modalities,
        width=2,
        size=SIDE,
        latent=8,
        **{**OPTIONS, **options},
    )
    objective.terms["SwAV"].learn_images(inputs_of(modalities))
    return objective


def batch_of(objective, part=None, present=None, step=4):
    """A batch as the loop makes it, of all rows or a part of them."""
    part = slice(None) if part is None else part
    inputs = inputs_of(objective.modalities)
    keys = torch.arange(ROWS)[part]
    rows = dict.fromkeys(inputs, keys)
    there = {m: x[part] for m, x in (present or {}).items()}
    stream = Stream(keys, 0, step)
    views = make_views(inputs, rows, objective.views, Clean(), stream, there)
    own = dict.fromkeys(inputs, keys)
    own |= {m: keys[x] for m, x in there.items()}
    labels = {}
    for m, k in own.items():
        labels[m] = {"diagnosis": torch.tensor([0, 1, -1, 1, 0, 1])[k]}
    return Batch(views, own, labels, step, 0, there)


def with_queue(objective, filled=12):
    """The objective with features in every queue."""
    draw = torch.Generator().manual_seed(5)
    term = objective.terms["SwAV"]
    for m in objective.modalities:
        queue = term.get_buffer(f"queue_{m}")
        drawn = torch.randn(queue.shape, generator=draw)
        queue.copy_(F.normalize(drawn, dim=2))
        term.get_buffer(f"queued_{m}").fill_(filled)
    return objective


def crops_of(objective, batch, m):
    """Features of length 1 of each crop of a modality."""
    features = []
    for view in objective.terms["SwAV"].views:
        volumes = batch.views[view].volumes[m]
        if volumes.shape[-1] != SIDE:
            volumes = F.interpolate(volumes, (SIDE,) * 3, mode="trilinear")
        z = objective.encoders[m](volumes).z
        z = objective.further_heads[m]["clustering"](z)
        features.append(z / z.norm(dim=1, keepdim=True))
    return features


@pytest.mark.parametrize("filled", [0, 11, 12])
@pytest.mark.parametrize("modalities", [("T1",), ("T1", "fALFF")])
@pytest.mark.parametrize(
    "temperature, epsilon, iterations", [(0.1, 0.03, 3), (0.4, 0.3, 1)]
)
def test_the_loss_is_the_equations_step_by_step(
    modalities, filled, temperature, epsilon, iterations
):
    """A queue takes part only when it is full."""
    options = {"temperature": temperature, "epsilon": epsilon}
    options |= {"iterations": iterations}
    objective = make(modalities=modalities, **options)
    objective = with_queue(objective, filled).eval()
    batch = batch_of(objective)
    total, parts, _ = objective(batch)
    term = objective.terms["SwAV"]
    expected, usage = 0.0, []
    for m in modalities:
        prototypes = F.normalize(term.prototypes[m], dim=1)
        crops = crops_of(objective, batch, m)
        scores = [crop @ prototypes.T for crop in crops]
        codes = {}
        for slot, k in enumerate((0, 1)):
            of_all = scores[k]
            if filled == 12:
                earlier = term.get_buffer(f"queue_{m}")[slot] @ prototypes.T
                of_all = torch.cat([earlier, of_all])
            codes[k] = sinkhorn(of_all, epsilon, iterations)[-ROWS:]
        loss = swapped_prediction(codes, scores, temperature)
        expected = expected + loss
        usage.append(float(_usage(scores[:2])))
    torch.testing.assert_close(total, expected)
    assert float(parts["SwAV/usage"]) == pytest.approx(np.mean(usage))
    chance = len(modalities) * math.log(PROTOTYPES)
    assert float(parts["SwAV/chance"]) == pytest.approx(chance)


def test_modalities_share_an_encoder_and_pass_it_together():
    objective = make().train()
    first, second = objective.encoders["T1"], objective.encoders["fALFF"]
    assert first is second
    heads = objective.further_heads
    assert heads["T1"] is heads["fALFF"]
    batch = batch_of(objective)
    _, _, ctx = objective(batch)
    found = {m: ctx.features(m, "crop0") for m in ("T1", "fALFF")}
    other = make().train()
    both = [batch.views["crop0"].volumes[m] for m in ("T1", "fALFF")]
    expected = other.encoders["T1"](torch.cat(both))
    z = torch.cat([found["T1"].z, found["fALFF"].z])
    local = torch.cat([found["T1"].local, found["fALFF"].local])
    torch.testing.assert_close(z, expected.z)
    torch.testing.assert_close(local, expected.local)
    # and prototypes of their own
    prototypes = objective.terms["SwAV"].prototypes
    assert prototypes["T1"] is not prototypes["fALFF"]


def test_or_have_their_own():
    shared, apart = make(), make(shared=False)
    assert apart.encoders["T1"] is not apart.encoders["fALFF"]
    heads = apart.further_heads
    assert heads["T1"]["clustering"] is not heads["fALFF"]["clustering"]
    numbers = [
        sum(p.numel() for p in objective.parameters())
        for objective in (shared, apart)
    ]
    encoder = sum(p.numel() for p in shared.encoders["T1"].parameters())
    projector = sum(p.numel() for p in shared.further_heads["T1"].parameters())
    assert numbers[1] == numbers[0] + encoder + projector


def test_an_encoder_for_all_needs_the_same_channels():
    with pytest.raises(ValueError, match="expected the same, or shared=False"):
        make(in_channels={"T1": 1, "fALFF": 2})


def test_dropout_differs_between_modalities_of_one_encoder():
    objective = make(dropout=0.5).train()
    batch = batch_of(objective)
    for view in batch.views.values():
        view.volumes["fALFF"] = view.volumes["T1"]
    _, _, ctx = objective(batch)
    first, second = (ctx.features(m, "crop0").z for m in ("T1", "fALFF"))
    assert not torch.allclose(first, second)


def test_the_momentum_copy_of_a_shared_encoder_moves_once():
    objective = make()
    objective.momentum_rate = 0.75
    networks = objective._encoders_and_heads()
    objective.momentum_copy = copy.deepcopy(networks).requires_grad_(False)
    before = next(objective.momentum_copy.parameters()).clone()
    with torch.no_grad():
        next(objective.encoders["T1"].parameters()).add_(1.0)
    objective.update_momentum()
    after = next(objective.momentum_copy.parameters())
    torch.testing.assert_close(after, before + 0.25)


def test_prototypes_are_made_of_length_one_and_stay_when_frozen():
    objective = make(frozen=3).train()
    term = objective.terms["SwAV"]
    with torch.no_grad():
        for prototypes in term.prototypes.values():
            prototypes.mul_(2.0)
    for step, moves in ((2, False), (3, True)):
        term.before_forward(step)
        for prototypes in term.prototypes.values():
            length = prototypes.norm(dim=1)
            torch.testing.assert_close(length, torch.ones(PROTOTYPES))
        objective.zero_grad()
        objective(batch_of(objective))[0].backward()
        term.after_backward(step)
        for prototypes in term.prototypes.values():
            assert (prototypes.grad is not None) is moves


def test_prototypes_are_of_length_one_in_evaluation_too():
    """Behind the last step of an epoch they are not yet made so again."""
    objective = make().eval()
    batch = batch_of(objective)
    expected, _, _ = objective(batch)
    with torch.no_grad():
        for prototypes in objective.terms["SwAV"].prototypes.values():
            prototypes.mul_(3.0)
    found, _, _ = objective(batch)
    torch.testing.assert_close(found, expected)


def test_the_queue_holds_the_newest_features_of_the_assigned_crops():
    objective = make(queue_starts=5).eval()
    term = objective.terms["SwAV"]
    for step, filled in ((4, 0), (5, ROWS), (6, 2 * ROWS), (7, 2 * ROWS)):
        batch = batch_of(objective, step=step)
        _, _, ctx = objective(batch)
        term.after_step(ctx)
        assert int(term.queued_T1) == filled
        if not filled:
            continue
        for slot in (0, 1):
            expected = crops_of(objective, batch, "fALFF")[slot]
            found = term.get_buffer("queue_fALFF")[slot, :ROWS]
            torch.testing.assert_close(found, expected)
    # the step before lies behind
    before = crops_of(objective, batch_of(objective, step=6), "T1")[1]
    torch.testing.assert_close(term.queue_T1[1, ROWS:], before)


def test_the_hybrid_learns_of_labelled_rows_alone():
    weights = {"SwAV": 0.5, "CE": 2.0}
    objective = make("SwAV-CE", weights=weights).eval()
    total, parts, ctx = objective(batch_of(objective))
    entropy = 0.0
    for m in ("T1", "fALFF"):
        z = ctx.features(m).z
        scores = objective.terms["CE"].classifiers[m](z).log_softmax(1)
        known = torch.tensor([0, 1, 3, 4, 5])
        labels = torch.tensor([0, 1, 1, 0, 1])
        entropy = entropy - scores[known, labels].mean()
    expected = 0.5 * parts["SwAV/loss"] + 2.0 * entropy
    torch.testing.assert_close(total, expected)


def test_people_without_any_label_leave_the_hybrid_its_clusters():
    objective = make("SwAV-CE").train()
    batch = batch_of(objective)
    for labels in batch.labels.values():
        labels["diagnosis"] = torch.full((ROWS,), -1)
    total, parts, _ = objective(batch)
    total.backward()
    assert float(parts["CE/loss"]) == 0
    torch.testing.assert_close(total, parts["SwAV/loss"])
    layer = objective.terms["CE"].classifiers["T1"]
    assert not layer.weight.grad.any()


def test_several_labels_are_learned_at_once():
    tasks = {"task": ("diagnosis", "kind"), "classes": (2, 3)}
    objective = make("SwAV-CE", **tasks).eval()
    assert objective.task == "diagnosis"
    batch = batch_of(objective)
    kinds = torch.tensor([2, -1, 1, 0, -1, 2])
    for labels in batch.labels.values():
        labels["kind"] = kinds
    _, parts, ctx = objective(batch)
    entropy = 0.0
    for m in ("T1", "fALFF"):
        layer = objective.terms["CE"].classifiers[m]
        scores = layer(ctx.features(m).z)
        first, second = scores[:, :2], scores[:, 2:]
        for of_task, labels in (
            (first, batch.labels[m]["diagnosis"]),
            (second, kinds),
        ):
            known = labels >= 0
            logs = of_task.log_softmax(1)[known]
            chosen = logs[torch.arange(len(logs)), labels[known]]
            entropy = entropy - chosen.mean()
    torch.testing.assert_close(parts["CE/loss"], entropy)
    chance = 2 * (math.log(2) + math.log(3))
    assert float(parts["CE/chance"]) == pytest.approx(chance)
    biases = make("SwAV-CE", **tasks).terms["CE"].classifiers["T1"].bias
    torch.testing.assert_close(biases[:2], torch.full((2,), 1 / 2))
    torch.testing.assert_close(biases[2:], torch.full((3,), 1 / 3))
    with pytest.raises(ValueError, match="expected 2 at least of each"):
        make("SwAV-CE", task=("diagnosis", "kind"), classes=(2,))
    with pytest.raises(ValueError, match=r"classes=\(2, 1\)"):
        make("SwAV-CE", task=("diagnosis", "kind"), classes=(2, 1))


def test_rows_that_lack_a_modality_take_their_part():
    there = torch.tensor([True, False, True, True, False, True])
    objective = with_queue(make(shared=False)).eval()
    batch = batch_of(objective, present={"fALFF": there})
    total, _, ctx = objective(batch)
    rows = torch.arange(ROWS)[there]
    expected = 0.0
    for m, part in (("T1", None), ("fALFF", rows)):
        own = batch_of(objective, part)
        prototypes = objective.terms["SwAV"].prototypes[m]
        scores = [c @ prototypes.T for c in crops_of(objective, own, m)]
        codes = {}
        for slot in (0, 1):
            queue = objective.terms["SwAV"].get_buffer(f"queue_{m}")[slot]
            of_all = torch.cat([scores[slot], queue @ prototypes.T])
            codes[slot] = sinkhorn(of_all)[: len(scores[slot])]
        expected = expected + swapped_prediction(codes, scores)
    torch.testing.assert_close(total, expected)
    objective.terms["SwAV"].after_step(ctx)
    nobody = {"fALFF": torch.zeros(ROWS, dtype=torch.bool)}
    objective = make().train()
    total, parts, ctx = objective(batch_of(objective, present=nobody))
    total.backward()
    assert float(parts["SwAV/chance"]) == pytest.approx(math.log(PROTOTYPES))
    objective.terms["SwAV"].after_step(ctx)
    assert int(objective.terms["SwAV"].queued_fALFF) == 0


def test_an_image_keeps_its_size_on_average():
    usual = SwAV(("T1",), 8)
    for view in usual.views.values():
        assert np.mean(view.rescaled) == pytest.approx(1)


def test_usage_is_nothing_where_features_collapsed():
    even = torch.eye(4)
    assert float(_usage([even, even])) == pytest.approx(1)
    same = torch.eye(4)[:1].expand(6, -1)
    assert float(_usage([same])) == 0
    half = torch.eye(4)[[0, 0, 1, 1]]
    assert float(_usage([half])) == pytest.approx(0.5)
    assert float(_usage([torch.ones(3, 1)])) == 1


@pytest.mark.parametrize("dims", [2, 3])
def test_the_papers_table_holds_options_of_the_term(dims):
    options = table_1(dims, steps=7)
    term = SwAV(("T1",), 8, **options)
    large, small = options["crops"]
    assert len(term.views) == large + small
    assert len(term.prototypes["T1"]) == {2: 3000, 3: 1500}[dims]
    assert term.queue_starts == {2: 70, 3: 21}[dims]
    rows = {2: 1024, 3: 128}[dims]
    term.check_batch(rows)
    # as many of the paper's as fill whole steps
    assert options["queue"] == {2: 3840, 3: 1920}[dims] // rows * rows
    # in 2D an image of 1200 pixels is never enlarged
    assert options["rescaled"] == {2: (0.5, 1), 3: (0.5, 250 / 224)}[dims]
    crop = term.views["crop0"]
    assert crop.side / term.views[f"crop{large}"].side == pytest.approx(
        {2: 224 / 92, 3: 2.0}[dims]
    )
    with pytest.raises(ValueError, match="dims is 4"):
        table_1(4, 1)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"prototypes": 0}, "prototypes=0"),
        ({"queue": -1}, "queue=-1"),
        ({"crops": (1, 0)}, r"codes of the crops \(0, 1\) of 1"),
        ({"assigned": (0, 3)}, r"codes of the crops \(0, 3\) of 3"),
        ({"assigned": ()}, r"codes of the crops \(\) of 3"),
        ({"temperature": 0}, "temperature=0"),
        ({"epsilon": 0}, "epsilon=0"),
        ({"iterations": 0}, "iterations=0"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def _of_half(rank):
    """The objective and every second half of its rows, or all of them."""
    objective = with_queue(make("SwAV-CE")).eval()
    present = {"fALFF": torch.tensor([True] * 4 + [False, True])}
    part = None if rank is None else slice(3 * rank, 3 * rank + 3)
    return objective, batch_of(objective, part, present)


def test_two_processes_equal_one_on_the_joined_batch(tmp_path):
    """Loss, gradients and queues: a halved gradient with an equal loss is the
    common fault.
    """
    objective, batch = _of_half(None)
    expected, _, ctx = objective(batch)
    expected.backward()
    objective.terms["SwAV"].after_step(ctx)
    parameters = list(objective.parameters())
    assert any(float(p.grad.abs().max()) > 1e-3 for p in parameters)
    for total, gradients, buffers in of_two_processes(_of_half, tmp_path):
        torch.testing.assert_close(
            total, expected.detach(), rtol=1e-5, atol=1e-6
        )
        for gradient, parameter in zip(gradients, parameters, strict=True):
            torch.testing.assert_close(
                gradient, parameter.grad, rtol=1e-5, atol=1e-6
            )
        for name, value in objective.named_buffers():
            torch.testing.assert_close(
                buffers[name], value, rtol=1e-4, atol=1e-5
            )


TRAINED = {
    "epochs": 3,
    "batch_size": 4,
    "width": 2,
    "precision": "fp32",
    "progress": False,
    "prototypes": 6,
    "queue": 8,
    "queue_starts": 2,
    "frozen": 5,
}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("swav") / "cohort"
    return write_small_cohort(folder, intensity="brain")


def test_it_trains_and_resumes_to_the_bit(cohort, tmp_path, monkeypatch):
    """Queues and frozen steps included."""
    whole = fit(cohort, "SwAV", tmp_path / "whole", **TRAINED)
    history = pd.read_csv(whole / "history.csv")
    assert np.isfinite(history["train/loss"]).all()
    assert embed(whole, cohort)["fALFF"].shape == (len(cohort), 64)
    broken = resumed(
        cohort, "SwAV", tmp_path / "broken", monkeypatch, 0, **TRAINED
    )
    state = assert_same_run(whole, broken)
    assert int(state["terms.SwAV.queued_T1"]) == 8
    assert any("prototypes" in name for name in state)


def test_what_it_learned_is_loaded_for_each_modality(cohort, tmp_path):
    run = fit(cohort, "SwAV", tmp_path / "run", **TRAINED)
    encoders, _ = load_encoders(run)
    assert all(type(encoder) is Encoder for encoder in encoders.values())
    for name, value in encoders["T1"].state_dict().items():
        assert torch.equal(value, encoders["fALFF"].state_dict()[name])
    state = torch.load(run / "checkpoint.ckpt", weights_only=True)["objective"]
    assert state["terms.SwAV.references.mean_T1"].isfinite().all()
    assert (state["terms.SwAV.references.std_fALFF"] > 0).all()


def test_each_modality_is_drawn_apart(cohort, tmp_path, monkeypatch):
    """As many images of each, not of the same people, also where some lack
    one.
    """
    drawn = []
    batch = loop.Pretraining.batch

    def watched(self, role, epoch, index):
        made = batch(self, role, epoch, index)
        if role == "train":
            drawn.append(
                (self._rows(self.draws[role], epoch, slice(None)), made)
            )
        return made

    monkeypatch.setattr(loop.Pretraining, "batch", watched)
    folder = shutil.copytree(cohort.path, tmp_path / "cohort")
    missing = lack(folder, "fALFF", [0, 2, 3])
    run = fit(missing, "SwAV", tmp_path / "run", **TRAINED)
    # of the training people who have it, nobody else
    rows = missing.rows("train")
    rows = rows[missing.present("fALFF")[rows]]
    weights = load_weights(run)
    landmarks = {"fALFF": weights.landmarks["fALFF"]}
    images = standardised(missing, landmarks, np.float16)["fALFF"][rows]
    bands = energy_bands(torch.from_numpy(images))
    torch.testing.assert_close(
        weights.objective["terms.SwAV.references.mean_fALFF"],
        energies(bands).mean(1),
    )
    # a step has no more rows than the modality of most
    objective = load_objective(run, missing)
    train, _ = _draws(missing, objective, False, 0, 100, 0)
    assert train.batch_size == len(missing.rows("train")) > len(rows)
    for rows, made in drawn:
        assert not torch.equal(rows["T1"], rows["fALFF"])
        assert missing.present("fALFF")[rows["fALFF"]].all()
        assert len(made.rows["T1"]) == len(made.rows["fALFF"]) == 4


@pytest.mark.parametrize(
    "options, message",
    [
        ({"queue": 6}, "queue=6, expected a multiple of the 4 rows"),
        ({"prototypes": 13}, "prototypes=13 with 4 rows a step and queue=8"),
        ({"balanced": True}, "expected balanced=False"),
    ],
)
def test_bad_input_leaves_nothing_behind(cohort, tmp_path, options, message):
    run = tmp_path / "run"
    with pytest.raises(ValueError, match=message):
        fit(cohort, "SwAV", run, **{**TRAINED, **options})
    assert not run.exists()
    assert not run.with_name("run.partial").exists()


def test_the_cohorts_own_tasks_give_the_classes(cohort, tmp_path):
    asked = {**TRAINED, "task": ["diagnosis", "diagnosis"], "epochs": 1}
    run = fit(cohort, "SwAV-CE", tmp_path / "run", **asked)
    state = torch.load(run / "checkpoint.ckpt", weights_only=True)
    assert len(state["objective"]["terms.CE.classifiers.T1.bias"]) == 4
    with pytest.raises(ValueError, match="task 'apoe'"):
        fit(cohort, "SwAV-CE", tmp_path / "other", task=["apoe"], epochs=1)
    asked = {**TRAINED, "task": ["diagnosis", "diagnosis"], "classes": [2, 1]}
    with pytest.raises(ValueError, match="outside their range"):
        fit(cohort, "SwAV-CE", tmp_path / "other", **asked)


def test_pairs_stay_pairs_beside_a_term_that_relates_them():
    assert make().sampling == "modality"
    assert make("SwAV-CE").sampling == "modality"
    assert make("SwAV-RR").sampling is None
    assert build("CE", ("T1",), size=SIDE, width=2).sampling == "class"


def test_mixed_modalities_have_prototypes_codes_and_queue_together():
    objective = with_queue_of_all(make(mixed=True)).eval()
    term = objective.terms["SwAV"]
    assert list(term.prototypes) == ["T1+fALFF"]
    batch = batch_of(objective)
    total, parts, ctx = objective(batch)
    prototypes = F.normalize(term.prototypes["T1+fALFF"], dim=1)
    of_each = [crops_of(objective, batch, m) for m in ("T1", "fALFF")]
    crops = [torch.cat(parts) for parts in zip(*of_each, strict=True)]
    scores = [crop @ prototypes.T for crop in crops]
    codes = {}
    for slot in (0, 1):
        earlier = term.get_buffer("queue_T1+fALFF")[slot] @ prototypes.T
        codes[slot] = sinkhorn(torch.cat([scores[slot], earlier]))[: 2 * ROWS]
    torch.testing.assert_close(total, swapped_prediction(codes, scores))
    assert float(parts["SwAV/chance"]) == pytest.approx(math.log(PROTOTYPES))
    term.after_step(ctx)
    torch.testing.assert_close(term.get_buffer("queue_T1+fALFF")[0], crops[0])
    term.check_batch(6)
    with pytest.raises(ValueError, match="a multiple of the 8 rows"):
        term.check_batch(4)


def with_queue_of_all(objective):
    """The objective with features in the queue of mixed modalities."""
    draw = torch.Generator().manual_seed(5)
    term = objective.terms["SwAV"]
    queue = term.get_buffer("queue_T1+fALFF")
    queue.copy_(F.normalize(torch.randn(queue.shape, generator=draw), dim=2))
    term.get_buffer("queued_T1+fALFF").fill_(12)
    return objective


def test_rounded_codes_are_the_nearest_of_the_soft_ones():
    soft, hard = make().eval(), make(rounded=True).eval()
    batch = batch_of(soft)
    found = {}
    for name, objective in (("soft", soft), ("hard", hard)):
        _, _, ctx = objective(batch)
        found[name] = objective.terms["SwAV"].assignments(ctx)["T1"].codes[0]
    expected = torch.zeros_like(found["soft"])
    for row, place in enumerate(found["soft"].argmax(1)):
        expected[row, place] = 1
    assert torch.equal(found["hard"], expected)
    assert not torch.equal(found["hard"], found["soft"])


@pytest.mark.parametrize("name", sorted(ABLATION))
def test_every_row_of_the_ablation_is_an_objective(name):
    objective, options = ABLATION[name]
    made = make(objective, **options).train()
    total, _, ctx = made(batch_of(made))
    total.backward()
    made.terms["SwAV"].after_step(ctx)
    assert total.isfinite()


def test_the_projector_is_of_the_asked_shape():
    layers = make(norm=False).further_heads["T1"]["clustering"]
    assert not any(isinstance(layer, nn.BatchNorm1d) for layer in layers)
    # as long as z unless asked
    assert layers[0].out_features == 8
    layers = make(hidden=13).further_heads["T1"]["clustering"]
    assert [tuple(p.shape) for p in layers.parameters()] == [
        (13, 8),
        (13,),
        (13,),
        (13,),
        (7, 13),
        (7,),
    ]


def test_the_last_epoch_is_kept():
    """Losses of other codes are not compared."""
    assert not make().terms["SwAV"].comparable
