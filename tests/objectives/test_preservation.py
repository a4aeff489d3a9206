"""PCRL: its views, and its loss against 003's equations step by step."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from resumed_run import assert_same_run, resumed
from small_cohort import lack, write_small_cohort
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from two_processes import of_two_processes

from mmssl.models import ResNetUNetEncoder, UNetEncoder
from mmssl.models.keyed_random import Stream
from mmssl.objectives.corruptions import Turn, turned_back
from mmssl.objectives.language import build
from mmssl.objectives.preservation import (
    ABLATION,
    ENCODERS,
    HYBRID,
    INPUT,
    VIEWS,
    Corrupted,
)
from mmssl.objectives.term import Batch, Context
from mmssl.objectives.views import make_views
from mmssl.pretrain import embed, fit, load_encoders

SIDE = 16
SMALL = {"width": 2, "size": SIDE}
ROWS = 5


def inputs_of(modalities, rows=ROWS):
    draw = torch.Generator().manual_seed(2)
    shape = (rows, 1, SIDE, SIDE, SIDE)
    return {m: torch.randn(shape, generator=draw) for m in modalities}


def batch_of(objective, part=None, present=None, step=4):
    """A batch as the loop makes it, of all rows or a part of them."""
    part = slice(None) if part is None else part
    inputs = inputs_of(objective.modalities)
    keys = torch.arange(ROWS)[part]
    rows = dict.fromkeys(inputs, keys)
    there = {m: x[part] for m, x in (present or {}).items()}
    stream = Stream(keys, 0, step)
    views = make_views(inputs, rows, objective.views, None, stream, there)
    own = dict.fromkeys(inputs, keys)
    own |= {m: keys[x] for m, x in there.items()}
    return Batch(views, own, {}, step, 0, there)


def make(modalities=("T1", "fALFF"), **options):
    torch.manual_seed(1)
    return build("PCRL", modalities, **SMALL, queue=12, **options)


def filled(objective):
    """The objective with seven features in every queue."""
    draw = torch.Generator().manual_seed(5)
    term = objective.terms["PCRL"]
    for m in objective.modalities:
        queue = term.get_buffer(f"queue_{m}")
        queue[:7] = torch.randn(7, queue.shape[1], generator=draw)
        term.get_buffer(f"filled_{m}")[:7] = True
    # the copy is another network, as after some steps
    for parameter in objective.momentum_copy.parameters():
        parameter.mul_(0.9)
    return objective.eval()


@pytest.mark.parametrize("alpha", [0.5, 1.0])
@pytest.mark.parametrize("modalities", [("T1",), ("T1", "fALFF")])
def test_the_loss_is_the_equations_step_by_step(modalities, alpha):
    objective = filled(make(modalities, alpha=alpha))
    batch = batch_of(objective)
    total, parts, _ = objective(batch)
    term, copy = objective.terms["PCRL"], objective.momentum_copy
    error, spread, query, key = 0.0, 0.0, {}, {}
    for m in modalities:
        heads = objective.further_heads[m]
        slow = copy["further_heads"][m]
        views = {name: batch.views[name] for name in VIEWS}
        o = objective.encoders[m](views["ordinary"].volumes[m])
        k = copy["encoders"][m](views["momentum"].volumes[m])
        uniform = Stream(torch.arange(ROWS), 0, 4, f"share/{m}").uniform("")
        share = (
            uniform if alpha == 1 else torch.sin(math.pi / 2 * uniform) ** 2
        )
        c = share.view(-1, 1, 1, 1, 1)

        def target(name, m=m, views=views):
            return views[name].targets[name][m]

        h_local = c * o.local + (1 - c) * k.local
        maps = zip(o.maps, k.maps, strict=True)
        h_maps = [c * a + (1 - c) * b for a, b in maps]
        first, turn = views["ordinary"].targets[HYBRID][m]
        second, again = views["momentum"].targets[HYBRID][m]
        assert torch.equal(turn, again)
        passes = [
            (heads, o.local, o.maps, *target("ordinary")),
            (slow, k.local, k.maps, *target("momentum")),
            (heads, h_local, h_maps, c * first + (1 - c) * second, turn),
        ]
        projected = []
        for own, local, maps, image, indicator in passes:
            last = own["attention"](local, indicator)
            output = objective.decoders[m](last, maps)
            error = error + F.mse_loss(output, image)
            spread = spread + image.var(0).mean()
            projected.append(own["projector"](last.mean((2, 3, 4))))
        query[m], key[m] = projected[:2]
    contrast = 0.0
    pairs = [(modalities[0],) * 2]
    if len(modalities) > 1:
        pairs = [("T1", "fALFF"), ("fALFF", "T1")]
    for i, j in pairs:
        q, k = F.normalize(query[i]), F.normalize(key[j])
        queue = F.normalize(term.get_buffer(f"queue_{j}")[:7])
        own = (q * k).sum(1) / 0.2
        scores = torch.cat([own[:, None], q @ queue.T / 0.2], 1)
        contrast = contrast + (scores.logsumexp(1) - own).mean()
    torch.testing.assert_close(parts["PCRL/reconstruction"], error)
    torch.testing.assert_close(parts["PCRL/contrast"], contrast)
    torch.testing.assert_close(total, 0.5 * contrast + 0.5 * error)
    # one of eight features is the key, and every output the mean image
    by_chance = 0.5 * len(pairs) * math.log(8) + 0.5 * spread
    torch.testing.assert_close(parts["PCRL/chance"], by_chance)


def test_gradients_reach_everything_but_the_copy():
    objective = filled(make())
    total, _, _ = objective.train()(batch_of(objective))
    total.backward()
    for name, parameter in objective.named_parameters():
        if name.startswith("momentum_copy"):
            assert not parameter.requires_grad and parameter.grad is None
        else:
            assert parameter.grad.any(), name


def test_a_target_is_the_clean_crop_turned_and_views_have_their_own():
    inputs = inputs_of(["T1", "fALFF"])
    keys = torch.arange(ROWS)
    rows = dict.fromkeys(inputs, keys)
    spec = {name: Corrupted(name, shares=(1.0,)) for name in VIEWS}
    views = make_views(inputs, rows, spec, None, Stream(keys, 0, 1))
    for name, view in views.items():
        for m, images in inputs.items():
            image, indicator = view.targets[name][m]
            assert indicator.shape == (ROWS, 7)
            assert (indicator[:, 3:].sum(1) == 1).all()
            # the whole image, turned by the input's turn and the target's
            quarters = indicator[:, 3:].argmax(1)
            clean = turned_back(image, Turn(indicator[:, :3] > 0, quarters))
            for row in range(ROWS):
                wanted = set(images[row].flatten().tolist())
                found = clean[row].flatten()
                torch.testing.assert_close(
                    found.sort().values,
                    torch.tensor(sorted(wanted)),
                    atol=1e-4,
                    rtol=1e-4,
                )
            assert not torch.equal(view.volumes[m], image)
    first, second = (views[name].targets[name]["T1"][1] for name in VIEWS)
    assert not torch.equal(first, second)
    one, other = (views["ordinary"].targets["ordinary"][m][1] for m in inputs)
    assert not torch.equal(one, other)


def crops_of(name, inputs, stream):
    """Starts of the crops that a view's targets show, half an image a side:
    {modality: (B, 3)}.
    """
    made = Corrupted(name, "none", shares=(0.5,))(inputs, stream)
    starts = {}
    for m, (image, _) in made.targets[name].items():
        # a turn changes no mean; that of n places from a is a + (n - 1) / 2
        means = image.flatten(2).mean(2)
        starts[m] = (means - (SIDE / 2 - 1) / 2).round()
    return starts


def test_both_views_crop_together_and_each_modality_for_itself():
    """Crops are read off images that hold their own coordinates."""
    rows = 40
    axes = torch.meshgrid(*[torch.arange(float(SIDE))] * 3, indexing="ij")
    images = torch.stack(axes).expand(rows, 3, *(SIDE,) * 3)
    inputs = {"T1": images, "fALFF": images}
    stream = Stream(torch.arange(rows), 0, 1)
    # as `make_views` keys them: each view has a stream of its own
    first, second = (
        crops_of(name, inputs, stream.child(f"view/{name}")) for name in VIEWS
    )
    side = SIDE // 2
    for m in inputs:
        apart = (first[m] - second[m]).abs()
        shared = (side - apart).clamp(min=0).prod(1)
        assert (shared / (2 * side**3 - shared) > 0.25).all()
        # two crops, not one twice
        assert apart.any(1).float().mean() > 0.9
    assert (first["T1"] != first["fALFF"]).any(1).float().mean() > 0.9


def test_a_crop_is_painted_shuffled_and_blurred_each_by_its_own_chance():
    rows = 80
    images = inputs_of(["T1"], rows)["T1"]
    stream = Stream(torch.arange(rows), 1, 1)
    made = Corrupted("ordinary", "none")({"T1": images}, stream)
    clean, _ = made.targets["ordinary"]["T1"]
    changed = (made.volumes["T1"] != clean).flatten(1).any(1)
    chances = {"paint": 0.9, "shuffle": 0.5, "blur": 0.5}
    own = stream.child("T1")
    happens = torch.stack(
        [own.uniform(name) < chance for name, chance in chances.items()]
    )
    # of some rows each is all that happens, and to some nothing does
    assert {0, 1, 2, 3} == set(happens.sum(0).tolist())
    assert happens[:, happens.sum(0) == 1].any(1).all()
    assert torch.equal(changed, happens.any(0))


def test_the_passes_of_a_step_are_one_update_of_the_decoder():
    """Its running statistics move once, to the mean of the three encoders'."""
    objective = filled(make(("T1",))).train()
    decoder = objective.decoders["T1"]
    norms = [m for m in decoder.modules() if isinstance(m, _BatchNorm)]
    seen = {norm: [] for norm in norms}
    for norm in norms:
        norm.running_mean.normal_()
        norm.register_forward_pre_hook(
            lambda norm, inputs: seen[norm].append(inputs[0].detach())
        )
    before = {norm: norm.running_mean.clone() for norm in norms}
    objective(batch_of(objective))
    assert norms
    for norm in norms:
        means = torch.stack([x.mean((0, 2, 3, 4)) for x in seen[norm]])
        assert len(means) == 3 and int(norm.num_batches_tracked) == 1
        expected = torch.lerp(before[norm], means.mean(0), norm.momentum)
        torch.testing.assert_close(norm.running_mean, expected)


def test_views_do_not_depend_on_the_batch():
    objective = make()
    whole = batch_of(objective)
    part = batch_of(objective, slice(1, 4))
    for name in VIEWS:
        for m in objective.modalities:
            torch.testing.assert_close(
                part.views[name].volumes[m],
                whole.views[name].volumes[m][1:4],
                atol=1e-5,
                rtol=1e-5,
            )
            for target in (name, HYBRID):
                for one, expected in zip(
                    part.views[name].targets[target][m],
                    whole.views[name].targets[target][m],
                    strict=True,
                ):
                    torch.testing.assert_close(
                        one, expected[1:4], atol=1e-5, rtol=1e-5
                    )


@pytest.mark.parametrize(
    ("turns", "flips", "rotations"),
    [("none", False, False), ("flips", True, False), ("all", True, True)],
)
def test_turns_are_those_asked_for(turns, flips, rotations):
    objective = make(turns=turns)
    found = []
    for step in range(8):
        batch = batch_of(objective, step=step)
        for name in VIEWS:
            for kind in (name, HYBRID):
                target = batch.views[name].targets[kind]
                found += [indicator for _, indicator in target.values()]
    vectors = torch.cat(found)
    assert vectors[:, :3].any() == flips
    assert vectors[:, 4:].any() == rotations


def test_the_copy_follows_at_its_rate_buffers_and_heads_included():
    objective = make(momentum=0.9)
    before = {
        k: v.clone() for k, v in objective.momentum_copy.state_dict().items()
    }
    objective.train()
    objective(batch_of(objective))[0].backward()
    with torch.no_grad():
        for parameter in objective.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    slow = {
        k: v.clone() for k, v in objective.momentum_copy.state_dict().items()
    }
    objective.update_momentum()
    trained = {}
    for part in ("encoders", "heads", "further_heads"):
        module = getattr(objective, part)
        for name, value in module.state_dict().items():
            trained[f"{part}.{name}"] = value
    after = objective.momentum_copy.state_dict()
    assert set(after) == set(trained) == set(before)
    assert any("attention" in name for name in after)
    assert any("running_mean" in name for name in after)
    for name, value in after.items():
        if value.is_floating_point():
            expected = 0.9 * slow[name] + 0.1 * trained[name]
            torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("queued", [("momentum",), ENCODERS])
def test_the_queue_holds_the_newest_features_of_these_encoders(queued):
    objective = make(("T1",), queued=queued).eval()
    term = objective.terms["PCRL"]
    pushed = []
    for step in range(3):
        total, parts, ctx = objective(batch_of(objective, step=step))
        # nothing to contrast with yet
        assert (float(parts["PCRL/contrast"]) == 0) == (step == 0)
        assert total.isfinite()
        newest = torch.cat(term.newest["T1"])
        assert newest.shape == (len(queued) * ROWS, 128)
        projected = term.projections(ctx)["T1"]
        expected = torch.cat([projected[name] for name in queued])
        torch.testing.assert_close(newest, expected)
        term.after_step(ctx)
        pushed = [newest, *pushed]
    expected = torch.cat(pushed)[:12]
    assert torch.equal(term.get_buffer("queue_T1"), expected)
    assert term.get_buffer("filled_T1").all()
    longer = make(("T1",), reconstruct=False, queued=ENCODERS).eval()
    ctx = longer(batch_of(longer))[2]
    longer.terms["PCRL"].after_step(ctx)
    # without a hybrid two encoders push
    assert int(longer.terms["PCRL"].get_buffer("filled_T1").sum()) == 10


def test_rows_that_lack_a_modality_take_their_part():
    present = {"fALFF": torch.tensor([True, False, True, True, False])}
    objective = filled(make())
    _, parts, ctx = objective(batch_of(objective, present=present))
    objective.terms["PCRL"].after_step(ctx)
    rows = torch.tensor([0, 2, 3])
    complete = filled(make())
    _, expected, _ = complete(batch_of(complete, rows))
    torch.testing.assert_close(
        parts["PCRL/contrast"], expected["PCRL/contrast"]
    )
    assert len(objective.terms["PCRL"].newest["fALFF"][0]) == ROWS
    nobody = {"fALFF": torch.zeros(ROWS, dtype=torch.bool)}
    objective = filled(make())
    total, parts, ctx = objective.train()(batch_of(objective, present=nobody))
    total.backward()
    objective.terms["PCRL"].after_step(ctx)
    assert float(parts["PCRL/contrast"]) == 0
    assert float(parts["PCRL/reconstruction"]) > 0


def _of_half(rank):
    """The objective and two of four rows, or all of them."""
    objective = filled(make())
    present = {"fALFF": torch.tensor([True, True, True, False])}
    part = slice(0, 4) if rank is None else slice(2 * rank, 2 * rank + 2)
    return objective, batch_of(objective, part, _four(present))


def _four(present):
    """Presence of four rows as of all five."""
    last = torch.tensor([False])
    return {m: torch.cat([there, last]) for m, there in present.items()}


def test_two_processes_equal_one_on_the_joined_batch(tmp_path):
    objective, batch = _of_half(None)
    expected, _, ctx = objective(batch)
    expected.backward()
    term = objective.terms["PCRL"]
    term.after_step(ctx)
    trained = [p for p in objective.parameters() if p.requires_grad]
    for total, gradients, buffers in of_two_processes(_of_half, tmp_path):
        torch.testing.assert_close(
            total, expected.detach(), rtol=1e-5, atol=1e-6
        )
        for gradient, parameter in zip(gradients, trained, strict=True):
            torch.testing.assert_close(
                gradient, parameter.grad, rtol=1e-4, atol=1e-6
            )
        own = term.state_dict()
        assert own
        for name, value in own.items():
            found = buffers[f"terms.PCRL.{name}"]
            shape = value.sort(0).values, found.sort(0).values
            torch.testing.assert_close(*shape, rtol=1e-4, atol=1e-5)


TRAINED = {
    "epochs": 3,
    "batch_size": 4,
    "width": 2,
    "precision": "fp32",
    "progress": False,
    "queue": 20,
}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pcrl") / "cohort"
    return write_small_cohort(folder, intensity="brain")


def test_it_trains_with_a_unet_and_resumes_to_the_bit(
    cohort, tmp_path, monkeypatch
):
    """Queue and momentum copy included."""
    whole = fit(cohort, "PCRL", tmp_path / "whole", **TRAINED)
    history = pd.read_csv(whole / "history.csv")
    assert np.isfinite(history["train/loss"]).all()
    assert (history["train/PCRL/contrast"] > 0).all()
    assert type(load_encoders(whole)[0]["T1"]) is UNetEncoder
    assert embed(whole, cohort)["T1"].shape == (len(cohort), 32)
    broken = resumed(
        cohort, "PCRL", tmp_path / "broken", monkeypatch, 1, **TRAINED
    )
    state = assert_same_run(whole, broken)
    assert any("queue_T1" in name for name in state)


def test_people_who_lack_a_modality_train_too(cohort, tmp_path):
    write_small_cohort(tmp_path / "cohort", intensity="brain")
    made = lack(tmp_path / "cohort", "fALFF", [0, 3, 5, 17])
    run = fit(made, "PCRL", tmp_path / "run", **TRAINED)
    z = embed(run, made)["fALFF"]
    assert np.isnan(z).any(1).sum() == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 2.0}, "alpha=2.0, expected one of"),
        ({"turns": "some"}, "turns='some', expected one of"),
        ({"mode": "both"}, "mode='both', expected one of"),
        ({"queue": 0}, "queue=0, expected at least 1"),
        ({"queued": ("other",)}, "queued=.*, expected some of"),
        ({"queued": ()}, "queued=.*, expected some of"),
        ({"queued": ("hybrid",), "hybrid": False}, "without a hybrid encoder"),
    ],
)
def test_choices_that_are_none_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        build("PCRL", ("T1",), **{**SMALL, **options})


def test_an_encoder_without_maps_is_refused_and_two_decoders_too():
    from mmssl.models import Encoder

    def dcgan(m):
        return Encoder(1, 2, 4, SIDE)

    with pytest.raises(ValueError, match="Encoder has no `decoder`"):
        build("PCRL", ("T1",), backbone=dcgan, **SMALL)
    with pytest.raises(ValueError, match="terms disagree on decoder"):
        build("PCRL-AE", ("T1",), **SMALL)


def test_a_contrast_alone_decodes_nothing():
    objective = filled(make(reconstruct=False))
    total, parts, _ = objective(batch_of(objective))
    assert float(parts["PCRL/reconstruction"]) == 0
    torch.testing.assert_close(total, 0.5 * parts["PCRL/contrast"])
    batch = batch_of(objective)
    ctx = Context(objective, replace(batch))
    before = objective.terms["PCRL"](ctx)["contrast"]
    torch.testing.assert_close(before, parts["PCRL/contrast"])
    code = filled(make(mode="code"))
    assert objective.graph["PCRL"] == objective.graph["PCRL"]
    assert float(code(batch_of(code))[0].detach()) > 0


def test_views_are_not_rounded_in_half_precision(cohort, tmp_path):
    objective = make()
    expected = batch_of(objective)
    with torch.autocast("cpu", torch.bfloat16):
        found = batch_of(objective)
    for name in VIEWS:
        for m in objective.modalities:
            assert torch.equal(
                found.views[name].volumes[m], expected.views[name].volumes[m]
            )
    half = {**TRAINED, "precision": "bf16", "epochs": 2}
    run = fit(cohort, "PCRL", tmp_path / "run", **half)
    history = pd.read_csv(run / "history.csv")
    assert np.isfinite(history["valid/loss"]).all()


@pytest.mark.parametrize("row", sorted(ABLATION))
def test_every_row_of_the_ablation_has_the_parts_of_its_name(row):
    objective = filled(make(("T1",), **ABLATION[row]))
    total, parts, _ = objective(batch_of(objective))
    there = {k.split("/")[1] for k, value in parts.items() if value != 0}
    expected = {"loss", "chance", "contrast", "reconstruction"}
    if row in ("contrast", "RotNet"):
        expected -= {"reconstruction"}
    if row == "restoration":
        expected -= {"contrast"}
    if row == "RotNet":
        expected |= {"rotation"}
    assert there == expected
    if "reconstruction" in expected:
        assert objective.terms["PCRL"].hybrid == row.startswith("mixup")
    sums = sum(parts[f"PCRL/{name}"] for name in expected - {"loss", "chance"})
    assert total.item() == pytest.approx(0.5 * sums.item())


def test_a_rotation_is_told_of_the_input_by_cross_entropy():
    objective = filled(make(("T1",), **ABLATION["RotNet"]))
    batch = batch_of(objective)
    _, parts, _ = objective(batch)
    view = batch.views["ordinary"]
    clean, indicator = view.targets[INPUT]["T1"]
    quarters = indicator[:, 3:].argmax(1)
    z = objective.encoders["T1"](view.volumes["T1"]).z
    logits = objective.further_heads["T1"]["rotation"](z)
    log_p = logits.log_softmax(1)
    expected = -sum(log_p[row, quarters[row]] for row in range(ROWS)) / ROWS
    torch.testing.assert_close(parts["PCRL/rotation"], expected)
    by_chance = 0.5 * (math.log(8) + math.log(4))
    assert parts["PCRL/chance"].item() == pytest.approx(by_chance)
    # the input is the clean crop in that position: turned back, all crops of
    # a whole image are the image
    whole = Corrupted("ordinary", shares=(1.0,))
    images = inputs_of(("T1",))
    made = whole(images, Stream(torch.arange(ROWS), 0, 1))
    clean, indicator = made.targets[INPUT]["T1"]
    turn = Turn(indicator[:, :3].bool(), indicator[:, 3:].argmax(1))
    torch.testing.assert_close(turned_back(clean, turn), images["T1"])


def test_a_network_may_read_crops_of_fewer_voxels():
    objective = make(("T1",), shares=(0.5, 0.75), scale=0.5)
    batch = batch_of(objective)
    half = (SIDE // 2,) * 3
    for name in VIEWS:
        view = batch.views[name]
        assert view.volumes["T1"].shape[2:] == half
        for target, _ in (kind["T1"] for kind in view.targets.values()):
            assert target.shape[2:] == half
    total, _, _ = objective.train()(batch)
    total.backward()


def test_slices_are_learned_by_a_u_net_of_residual_layers():
    """Two steps of two modalities in 2D: everything moves, and what is
    reconstructed has the sides of the slices.
    """
    torch.manual_seed(1)
    sides = (64, 32)
    objective = build(
        "PCRL",
        backbone=lambda m: ResNetUNetEncoder(1, 4, sides),
        dims=2,
        queue=12,
    )
    attention = objective.further_heads["T1"]["attention"]
    assert len(attention.weight) == objective.encoders["T1"].local_channels
    before = {k: p.detach().clone() for k, p in objective.named_parameters()}
    trained = [p for p in objective.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(trained, lr=1e-2)
    rows = torch.arange(ROWS)
    keys = dict.fromkeys(objective.modalities, rows)
    inputs = {m: torch.randn(ROWS, 1, *sides) for m in objective.modalities}
    for step in range(2):
        stream = Stream(rows, 0, step)
        views = make_views(inputs, keys, objective.views, None, stream)
        optimiser.zero_grad()
        total, parts, ctx = objective(Batch(views, keys, {}, step, 0))
        total.backward()
        optimiser.step()
        objective.update_momentum()
        objective.terms["PCRL"].after_step(ctx)
        assert total.isfinite()
        assert (parts["PCRL/contrast"] > 0) == (step == 1)
        features = ctx.features("T1", "ordinary")
        image = ctx.decode_maps("T1", features.local, features.maps)
        assert image.shape == (ROWS, 1, *sides)
    for name, parameter in objective.named_parameters():
        # a bias before a batch norm moves nothing
        if parameter.requires_grad and name.endswith("weight"):
            assert not torch.equal(parameter, before[name]), name


def test_nothing_to_learn_is_refused():
    with pytest.raises(ValueError, match="contrast=False and reconstruct"):
        make(contrast=False, reconstruct=False)


def test_the_last_epoch_is_kept_of_a_contrast_with_a_queue(cohort, tmp_path):
    """Its losses cannot be compared; those of a reconstruction can."""
    assert not make().terms["PCRL"].comparable
    assert make(contrast=False).terms["PCRL"].comparable
    asked = {"epochs": 4, "batch_size": 4, "width": 2, "progress": False}
    runs = []
    for keep in ("best", "last"):
        folder = tmp_path / keep
        runs.append(fit(cohort, "PCRL", folder, keep=keep, queue=8, **asked))
    losses = pd.read_csv(runs[0] / "history.csv")["valid/loss"]
    assert losses.idxmin() < len(losses) - 1
    one, other = (load_encoders(run)[0]["T1"] for run in runs)
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
