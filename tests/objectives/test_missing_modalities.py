"""Rows that lack a modality: each term against the same term over the complete
rows that its two modalities share, an edge at a time.
"""

import math

import pytest
import torch
from torch.nn import functional as F
from two_processes import of_two_processes

from mmssl.losses.cca import canonical_correlation
from mmssl.losses.elbo import importance_weighted_bound
from mmssl.models.keyed_random import Stream
from mmssl.objectives.language import build
from mmssl.objectives.term import Batch, Context
from mmssl.objectives.views import Clean, Noisy, PadCropFlip, View, make_views

pytestmark = pytest.mark.filterwarnings("ignore:CCA over")

SMALL = {"width": 2, "latent": 4, "size": 16}
SIDE = 16
THREE = ("T1", "fALFF", "dMRI")
PRESENT = {
    "T1": torch.tensor([1, 1, 1, 1, 0, 1], dtype=torch.bool),
    "fALFF": torch.tensor([1, 0, 1, 1, 1, 1], dtype=torch.bool),
    "dMRI": torch.tensor([0, 1, 1, 1, 1, 0], dtype=torch.bool),
}
LABELS = torch.tensor([1, 0, -1, 0, 1, 1])


def volumes_of(modalities, rows=6):
    draw = torch.Generator().manual_seed(3)
    shape = (rows, 1, SIDE, SIDE, SIDE)
    return {m: torch.randn(shape, generator=draw).double() for m in modalities}


def batch_of(volumes, keys, labels, present=None):
    """A batch of clean views that hold what is there."""
    rows = dict.fromkeys(volumes, keys)
    targets = dict.fromkeys(volumes, labels)
    for m, there in (present or {}).items():
        volumes = {**volumes, m: volumes[m][there]}
        rows[m], targets[m] = keys[there], labels[there]
    return Batch(
        {"main": View(volumes, "main")},
        rows,
        {m: {"diagnosis": y} for m, y in targets.items()},
        step=5,
        present=dict(present or {}),
    )


def incomplete(present=PRESENT):
    keys = torch.tensor([4, 0, 7, 2, 9, 1])
    return batch_of(volumes_of(THREE), keys, LABELS, present)


def complete(rows):
    """Those of the rows, with every image, as if nobody lacked any."""
    keys = torch.tensor([4, 0, 7, 2, 9, 1])[rows]
    volumes = {m: x[rows] for m, x in volumes_of(THREE).items()}
    return batch_of(volumes, keys, LABELS[rows])


def make(name, modalities=THREE, **options):
    torch.manual_seed(1)
    return build(name, modalities, **SMALL, **options).double().eval()


def shared(*modalities):
    there = torch.stack([PRESENT[m] for m in modalities])
    return there.all(0).nonzero().flatten()


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("CR", {}),
        ("XX", {}),
        ("CC", {}),
        ("CC", {"exact": True}),
        ("RR", {}),
        ("RR", {"negatives": "representations"}),
    ],
)
def test_contrast_is_over_the_rows_that_both_have(name, options, inside):
    objective = make(name, inside=inside, **options)
    term = objective.terms[name]
    batch = incomplete()
    losses, penalties = 0.0, 0.0
    for edge in term.graph(THREE):
        rows = shared(edge[0].modality, edge[1].modality)
        ctx = Context(objective, complete(rows))
        loss, penalty = term.contrast(ctx, edge)
        losses, penalties = losses + loss, penalties + penalty
    found = term(Context(objective, batch))
    torch.testing.assert_close(found["loss"], losses)
    torch.testing.assert_close(found["penalty"], penalties)
    assert found["loss"] > 0


def test_chance_counts_the_rows_that_both_have():
    batch = incomplete()
    objective = make("XX-RR", penalty=0.0)
    for parameter in objective.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        _, parts, _ = objective(batch)
    for name in ("XX", "RR"):
        loss, chance = parts[f"{name}/loss"], parts[f"{name}/chance"]
        assert float(loss) == pytest.approx(float(chance), rel=1e-6)
    expected = 0.0
    for i, j in (("T1", "fALFF"), ("T1", "dMRI"), ("fALFF", "dMRI")):
        expected += 2 * math.log1p(len(shared(i, j)) - 1)
    assert float(parts["RR/chance"]) == pytest.approx(expected)


@pytest.mark.parametrize("memory", [0, 4])
def test_correlation_is_over_the_rows_that_both_have(memory):
    objective = make("CCA", memory=memory)
    term = objective.terms["CCA"]
    batch = incomplete()
    z = {}
    for m in THREE:
        ctx = Context(objective, complete(torch.arange(6)))
        z[m] = ctx.latent(m).detach()

    def expected(earlier):
        """Of the batch, and of so many of its rows once more."""
        total = 0.0
        for source, target in term.graph(THREE):
            i, j = source.modality, target.modality
            rows = shared(i, j).tolist()
            rows += [row for row in rows if row < earlier]
            total -= canonical_correlation(z[i][rows], z[j][rows])
        return total

    ctx = Context(objective, batch)
    torch.testing.assert_close(term(ctx)["loss"], expected(0))
    term.after_step(ctx)
    again = term(Context(objective, batch))["loss"]
    torch.testing.assert_close(again, expected(memory))


def test_reconstruction_and_labels_count_the_rows_that_are_there():
    objective = make("AE-CE")
    batch = incomplete()
    _, parts, _ = objective(batch)
    entropy = 0.0
    for m in THREE:
        rows = shared(m)
        ctx = Context(objective, complete(rows))
        output = objective.decoders[m](ctx.features(m).z)
        error = F.mse_loss(output, volumes_of(THREE)[m][rows])
        torch.testing.assert_close(parts[f"AE/{m}"], error)
        scores = objective.terms["CE"].classifiers[m](ctx.features(m).z)
        entropy += F.cross_entropy(scores, LABELS[rows], ignore_index=-1)
    torch.testing.assert_close(parts["CE/loss"], entropy)


@pytest.mark.parametrize("looser", [True, False])
def test_the_evidence_bound_is_that_of_the_experts_a_row_has(looser):
    """Each row's bound is that of an objective of its modalities alone, with
    the same weights.
    """
    objective = make("MMVAE", samples=3, looser=looser)
    state = objective.state_dict()
    bounds = []
    for row in range(6):
        own = tuple(m for m in THREE if PRESENT[m][row])
        smaller = make("MMVAE", own, samples=3, looser=looser)
        smaller.load_state_dict(
            {name: state[name] for name in smaller.state_dict()}
        )
        whole = complete(torch.tensor([row]))
        views = whole.views["main"].volumes
        whole.views["main"].volumes = {m: views[m] for m in own}
        weights = smaller.terms["MMVAE"].log_weights(Context(smaller, whole))
        bounds.append(importance_weighted_bound(weights, looser))
    total, parts, _ = objective(incomplete())
    expected = -torch.cat(bounds).mean()
    torch.testing.assert_close(parts["MMVAE/loss"], expected.to(total.dtype))
    total.backward()
    for parameter in objective.parameters():
        if parameter.requires_grad:
            assert parameter.grad.isfinite().all()


ALL = "CR-XX-CC-RR-CE-AE-CCA-MMVAE"


def test_who_lacks_nothing_is_learned_from_as_ever():
    everybody = torch.ones(6, dtype=torch.bool)
    batch = incomplete(dict.fromkeys(THREE, everybody))
    values = []
    for each in (batch, complete(torch.arange(6))):
        objective = make(ALL, samples=2).train()
        total, _, _ = objective(each)
        total.backward()
        trained = [p for p in objective.parameters() if p.requires_grad]
        values.append([total.detach(), *(p.grad for p in trained)])
    for first, second in zip(*values, strict=True):
        torch.testing.assert_close(first, second)


def test_batch_norm_does_not_count_who_is_absent():
    objective = make("CR-RR").train()
    objective(incomplete())
    apart = make("CR-RR").train()
    for m in THREE:
        ctx = Context(apart, complete(shared(m)))
        ctx.head(m, "local", ctx.features(m))
    found, expected = objective.state_dict(), apart.state_dict()
    names = [name for name in found if "running" in name]
    assert names
    for name in names:
        torch.testing.assert_close(found[name], expected[name])


@pytest.mark.parametrize("name", ["XX", "RR", "CCA", ALL])
def test_a_batch_without_two_shared_rows_is_learned_from_as_far_as_it_goes(
    name,
):
    """Half have T1 alone, half fALFF alone, nobody dMRI."""
    first = torch.tensor([1, 1, 1, 0, 0, 0], dtype=torch.bool)
    nobody = torch.zeros(6, dtype=torch.bool)
    batch = incomplete({"T1": first, "fALFF": ~first, "dMRI": nobody})
    objective = make(name, samples=2) if "MMVAE" in name else make(name)
    objective.train()
    total, parts, ctx = objective(batch)
    total.backward()
    for term in objective.terms.values():
        term.after_step(ctx)
    assert total.isfinite()
    for word in {"XX", "RR", "CCA"} & {*name.split("-")}:
        assert float(parts[f"{word}/loss"]) == 0
        assert float(parts[f"{word}/chance"]) == 0
    for parameter in objective.encoders["dMRI"].parameters():
        assert parameter.grad is None or not parameter.grad.any()
    moved = any(
        parameter.grad is not None and parameter.grad.any()
        for parameter in objective.encoders["T1"].parameters()
    )
    assert moved == (name == ALL)


@pytest.mark.parametrize(
    "recipe", [Clean(), PadCropFlip(2, flips=True), Noisy(probability=0.5)]
)
def test_a_view_holds_what_is_there_as_if_nobody_lacked_any(recipe):
    inputs = {m: x.half() for m, x in volumes_of(THREE, rows=9).items()}
    drawn = torch.tensor([8, 0, 3, 5, 1, 7])
    rows = dict.fromkeys(THREE, drawn)
    stream = Stream(torch.tensor([4, 0, 7, 2, 9, 1]), seed=2, step=3)
    arguments = (inputs, rows, {"main": None}, recipe, stream)
    whole = make_views(*arguments)["main"].volumes
    found = make_views(*arguments, PRESENT)["main"].volumes
    for m in THREE:
        assert torch.equal(found[m], whole[m][PRESENT[m]])
    nobody = {"dMRI": torch.zeros(6, dtype=torch.bool)}
    found = make_views(*arguments, nobody)["main"].volumes
    assert found["dMRI"].shape == (0, 1, SIDE, SIDE, SIDE)
    assert torch.equal(found["T1"], whole["T1"])


# a sum over voxels would hide an error in the other terms
BALANCED = {"MMVAE": 1e-3}
TWO = ("T1", "fALFF")
# the second process has no row of fALFF
OF_TWO = {"fALFF": torch.tensor([1, 1, 1, 0, 0, 0], dtype=torch.bool)}


def _of_two(part):
    """Part of a batch of two modalities, and of an objective of all terms."""
    torch.manual_seed(0)
    objective = build(
        ALL, TWO, samples=2, weights=BALANCED, memory=4, **SMALL
    ).double()
    volumes = {m: x[part] for m, x in volumes_of(TWO).items()}
    keys = torch.arange(6)[part]
    present = {m: there[part] for m, there in OF_TWO.items()}
    batch = batch_of(volumes, keys, LABELS[part], present)
    return objective.eval(), batch


def _of_half(rank):
    """The objective and one half of the rows."""
    return _of_two(slice(3 * rank, 3 * rank + 3))


def test_two_processes_equal_one_where_one_has_nobody_of_a_modality(tmp_path):
    objective, batch = _of_two(slice(None))
    expected, _, ctx = objective(batch)
    expected.backward()
    for term in objective.terms.values():
        term.after_step(ctx)
    trained = [p for p in objective.parameters() if p.requires_grad]
    for total, gradients, buffers in of_two_processes(_of_half, tmp_path):
        torch.testing.assert_close(total, expected.detach())
        for gradient, parameter in zip(gradients, trained, strict=True):
            torch.testing.assert_close(gradient, parameter.grad)
        for name, buffer in objective.named_buffers():
            torch.testing.assert_close(buffers[name], buffer)
