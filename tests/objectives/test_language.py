"""The language, the context and the terms; each objective against its sum
written out by hand.
"""

import inspect
import itertools
import math

import pytest
import torch
from torch.nn import functional as F
from two_processes import of_two_processes

from mmssl.losses.cca import canonical_correlation
from mmssl.losses.infonce import (
    NEGATIVES,
    info_nce,
    info_nce_all_locations,
)
from mmssl.models.dcgan import Encoder
from mmssl.models.keyed_random import Stream
from mmssl.objectives.language import TERMS, build, options_of, parse
from mmssl.objectives.term import Batch, Context, Term
from mmssl.objectives.views import Clean, PadCropFlip, View

SMALL = {"width": 4, "latent": 8, "size": 16}
EDGES = ("CR", "XX", "CC", "RR")


def test_where_nothing_is_said_the_networks_are_the_papers():
    """64 voxels a side, 32 channels, 64 dimensions, without dropout."""
    stated = inspect.signature(build).parameters
    expected = {"in_channels": 1, "width": 32, "latent": 64, "size": 64}
    expected |= {"dims": 3, "dropout": 0.0}
    assert {name: stated[name].default for name in expected} == expected
    of_encoder = inspect.signature(Encoder).parameters
    assert {name: of_encoder[name].default for name in expected} == expected


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("L-CL-CS", ("CR", "XX", "CC")),
        ("S-AE", ("RR", "AE")),
        ("RR-AE", ("RR", "AE")),
        ("Supervised", ("CE",)),
        ("CC-CR", ("CC", "CR")),
        ("DCCAE", ("CCA", "AE")),
        ("L-CCA", ("CR", "CCA")),
    ],
)
def test_both_spellings(name, words):
    assert parse(name) == words


@pytest.mark.parametrize(
    "name", ["", "cr", "CR-", "CR+XX", "CR-L", "AE-AE", "Supervised-AE"]
)
def test_unknown_or_doubled_terms_raise(name):
    with pytest.raises(ValueError, match="unknown term|comes twice"):
        parse(name)


def batch(
    modalities=("T1", "fALFF"), rows=3, size=16, step=0, labels=None, seed=0
):
    draw = torch.Generator().manual_seed(seed)
    volumes = {
        m: torch.randn(rows, 1, size, size, size, generator=draw)
        for m in modalities
    }
    by_modality = {}
    if labels:
        diagnosis = torch.tensor(labels)
        by_modality = {m: {"diagnosis": diagnosis} for m in modalities}
    keys = dict.fromkeys(modalities, torch.arange(rows))
    return Batch({"main": View(volumes, "main")}, keys, by_modality, step)


def embeddings(objective, data):
    """c, z and CC's anchors of every modality; z alone without heads."""
    ctx = Context(objective, data)
    c, z, anchors = {}, {}, {}
    for m in objective.modalities:
        features = objective.encoders[m](data.views["main"].volumes[m])
        z[m] = features.z
        if m in objective.heads:
            c[m] = objective.heads[m](features.local)
            anchors[m] = ctx.random_location(m)
    return c, z, anchors


def written_out(words, c, z, anchors):
    """Sum over directed edges of the taxonomy (004, Fig. 2), modality by
    modality.
    """
    loss = penalty = 0.0
    for i, j in itertools.product(z, z):
        for word in words:
            edge = None
            if word == "CR" and i == j:
                edge = info_nce(c[i], z[i])
            elif word == "XX" and i != j:
                edge = info_nce(c[j], z[i])
            elif word == "CC" and i != j:
                edge = info_nce(c[j], anchors[i])
            elif word == "RR" and i != j:
                edge = info_nce(z[j][..., None], z[i])
            if edge:
                loss, penalty = loss + edge[0], penalty + edge[1]
    return loss, penalty


@pytest.mark.parametrize(
    "modalities", [("T1", "fALFF"), ("T1", "fALFF", "grey")]
)
@pytest.mark.parametrize(
    "words",
    [c for n in range(1, 5) for c in itertools.combinations(EDGES, n)],
    ids="-".join,
)
def test_all_fifteen_subsets_are_the_sum_of_their_edges(words, modalities):
    objective = build("-".join(words), modalities, **SMALL).eval()
    data = batch(modalities)
    total, parts, _ = objective(data)
    expected = sum(written_out(words, *embeddings(objective, data)))
    torch.testing.assert_close(total, expected)
    assert set(parts) == {
        f"{w}/{k}" for w in words for k in ("loss", "penalty", "chance")
    }


@pytest.mark.parametrize("negatives", NEGATIVES)
@pytest.mark.parametrize("words", ["CR-XX-CC-RR", "CE", "CCA"])
def test_chance_is_the_loss_of_features_that_say_nothing(words, negatives):
    """Encoders whose output is the same for everybody."""
    options = {"negatives": negatives} if "RR" in words else {}
    objective = build(words, ("T1", "fALFF", "grey"), **SMALL, **options)
    labels = [0, 1, 1]
    with torch.no_grad():
        for parameter in objective.parameters():
            parameter.zero_()
    _, parts, _ = objective.eval()(batch(objective.modalities, labels=labels))
    for word in parse(words):
        torch.testing.assert_close(
            parts[f"{word}/chance"], parts[f"{word}/loss"]
        )


def test_chance_of_an_autoencoder_is_the_mean_image():
    objective = build("AE", **SMALL)
    data = batch()
    _, parts, _ = objective(data)
    volumes = data.views["main"].volumes.values()
    errors = [(x - x.mean(0)).square().sum(0) / (len(x) - 1) for x in volumes]
    expected = sum(error.mean() for error in errors)
    torch.testing.assert_close(parts["AE/chance"], expected)


class MedianDecoder(torch.nn.Module):
    """Decodes every vector into one image."""

    def __init__(self, image):
        super().__init__()
        self.image = image

    def forward(self, z):
        return self.image.expand(len(z), *self.image.shape)


def test_chance_of_a_vae_is_the_median_image_from_the_prior():
    weights = {"T1": 1.0, "fALFF": 0.25}
    objective = build("MMVAE", samples=3, llik_scaling=weights, **SMALL)
    data = batch()
    with torch.no_grad():
        for parameter in objective.parameters():
            parameter.zero_()
    for m, volumes in data.views["main"].volumes.items():
        objective.decoders[m] = MedianDecoder(volumes.median(0).values)
    _, parts, _ = objective.eval()(data)
    # a posterior's scale is 1e-6 above the prior's
    torch.testing.assert_close(
        parts["MMVAE/chance"], parts["MMVAE/loss"], rtol=1e-4, atol=0.0
    )


def test_local_head_only_where_a_term_needs_it():
    assert not build("RR", **SMALL).heads
    assert set(build("RR-CR", **SMALL).heads) == {"T1", "fALFF"}
    assert not build("CR", **SMALL).decoders


def test_weights_scale_losses_and_not_penalties():
    data = batch()
    objective = build("CR-RR", weights={"RR": 0.1}, **SMALL).eval()
    total, parts, _ = objective(data)
    expected = (
        parts["CR/loss"]
        + 0.1 * parts["RR/loss"]
        + parts["CR/penalty"]
        + parts["RR/penalty"]
    )
    torch.testing.assert_close(total, expected)


def test_places_inside_are_those_that_show_brain():
    """A brain in one half of the volume: the loss is that of the half's
    places alone.
    """
    objective = build("XX-CC", inside=True, **SMALL).eval()
    data = batch()
    for volumes in data.views["main"].volumes.values():
        volumes[:, :, :, 8:] = 0
    ctx = Context(objective, data)
    side = ctx.features("T1").local.shape[-1]
    grid = torch.arange(side**3).view(side, side, side)
    half = grid[:, : side // 2].flatten()
    assert torch.equal(ctx.places("T1"), half)
    total, parts, _ = objective(data)
    c = {m: ctx.local(m)[..., half] for m in objective.modalities}
    expected = 0.0
    for i, j in itertools.permutations(objective.modalities):
        expected += info_nce(c[j], ctx.latent(i))[0]
        anchor = ctx.random_location(i, inside=True)
        assert (c[i] == anchor[..., None]).all(1).any(1).all()
        expected += info_nce(c[j], anchor)[0]
    torch.testing.assert_close(parts["XX/loss"] + parts["CC/loss"], expected)
    chance = 2 * math.log1p(2 * len(half))
    assert parts["XX/chance"].item() == pytest.approx(chance)


def test_exact_cc_is_the_expectation_of_the_sampled_one():
    objective = build("CC", exact=True, **SMALL).eval()
    data = batch()
    c, _, _ = embeddings(objective, data)
    expected = sum(info_nce_all_locations(c["fALFF"], c["T1"]))
    expected += sum(info_nce_all_locations(c["T1"], c["fALFF"]))
    torch.testing.assert_close(objective(data)[0], expected)


def test_cc_draws_one_location_a_row_by_step():
    objective = build("CC", **SMALL).eval()
    data, later = batch(), batch(step=1)
    first = Context(objective, data).random_location("T1")
    assert torch.equal(first, Context(objective, data).random_location("T1"))
    assert not torch.equal(
        first, Context(objective, later).random_location("T1")
    )
    ctx = Context(objective, data)
    local = ctx.head("T1", "local", ctx.features("T1"))
    hits = (local == first[..., None]).all(1)
    assert (hits.sum(1) >= 1).all()


def test_random_numbers_are_keyed_from_seed_and_step_0_on():
    rows = {"T1": torch.tensor([3, 1])}
    volumes = {"T1": torch.zeros(2, 1, 16, 16, 16)}
    data = Batch({"main": View(volumes, "main")}, rows)
    found = Context(build("CR", ("T1",), **SMALL), data).rng("noise", "T1")
    expected = Stream(rows["T1"], 0, 0, "noise/T1")
    assert torch.equal(found.uniform(""), expected.uniform(""))


def test_autoencoder_is_the_mean_over_all_elements():
    objective = build("AE", **SMALL).eval()
    data = batch()
    expected = 0.0
    for m, x in data.views["main"].volumes.items():
        output = objective.decoders[m](objective.encoders[m](x).z)
        expected = expected + ((output - x) ** 2).sum() / x.numel()
    torch.testing.assert_close(objective(data)[0], expected)


@pytest.mark.filterwarnings("ignore:CCA over")
def test_cca_correlates_the_batch_with_earlier_rows():
    objective = build("DCCAE", memory=4, **SMALL).eval()
    assert list(objective.terms) == ["CCA", "AE"]
    latents = {m: [] for m in objective.modalities}
    for seed in range(3):
        data = batch(seed=seed)
        total, parts, ctx = objective(data)
        for m, newest_first in latents.items():
            newest_first.insert(0, ctx.features(m).z)
        rows = 3 + min(3 * seed, 4)
        joined = [torch.cat(z)[:rows] for z in latents.values()]
        expected = -2 * canonical_correlation(*joined)
        torch.testing.assert_close(parts["CCA/loss"], expected)
        objective.terms["CCA"].after_step(ctx)
    newest = [z[0] for z in latents.values()]
    gradients = torch.autograd.grad(parts["CCA/loss"], newest)
    assert all(g.any(1).all() for g in gradients)


def test_cross_entropy_skips_missing_labels():
    objective = build("Supervised", classes=2, **SMALL).eval()
    data = batch(rows=4, labels=[0, 1, -1, 1])
    expected = 0.0
    for m, x in data.views["main"].volumes.items():
        z = objective.encoders[m](x).z
        scores = objective.terms["CE"].classifiers[m](z)
        labelled, labels = scores[[0, 1, 3]], torch.tensor([0, 1, 1])
        expected = expected + F.cross_entropy(labelled, labels)
    torch.testing.assert_close(objective(data)[0], expected)
    classifier = build("CE", classes=3, **SMALL).terms["CE"].classifiers["T1"]
    torch.testing.assert_close(classifier.bias, torch.full((3,), 1 / 3))


def test_no_label_at_all_gives_a_zero_with_a_graph():
    objective = build("CE", **SMALL)
    total, _, _ = objective(batch(rows=3, labels=[-1, -1, -1]))
    total.backward()
    assert float(total.detach()) == 0
    gradients = [p.grad for p in objective.parameters()]
    assert all(g is not None and not g.any() for g in gradients)


def test_every_parameter_is_used_and_each_feature_is_computed_once():
    objective = build("CR-XX-CC-RR-AE", **SMALL)
    calls = []
    for m in objective.modalities:
        objective.encoders[m].register_forward_hook(
            lambda *_, m=m: calls.append(m)
        )
        objective.heads[m].register_forward_hook(
            lambda *_, m=m: calls.append(m)
        )
    objective(batch())[0].backward()
    assert sorted(calls) == ["T1", "T1", "fALFF", "fALFF"]
    assert all(p.grad is not None for p in objective.parameters())


def test_random_encoder_starts_near_chance():
    """At initialisation an InfoNCE of B samples is near log of its
    candidates.
    """
    objective = build("RR", **SMALL).eval()
    loss, _ = written_out(("RR",), *embeddings(objective, batch(rows=16)))
    assert 0.5 * math.log(16) < float(loss.detach()) / 2 < 2 * math.log(16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "CR", "weights": {"RR": 1.0}}, "weights.*RR"),
        ({"name": "CR", "temperature": 0.1}, "unknown.*temperature"),
        ({"name": "RR", "modalities": ("T1",)}, "two modalities"),
        ({"name": "RR", "modalities": ("T1", "T1")}, "distinct"),
        ({"name": "CE", "classes": 1}, "classes=1"),
        (
            {"name": "CC", "exact": True, "negatives": "representations"},
            "exact",
        ),
        ({"name": "CR", "size": 33}, "power of two"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**{**SMALL, **arguments})


class Momentum(Term):
    """A toy with all that later terms ask for: a second view, a momentum copy,
    a queue, hooks.
    """

    views = {"main": None, "second": PadCropFlip(pad=1)}
    momentum = 0.9

    def __init__(self, latent: int, length: int = 5):
        super().__init__()
        self.prototypes = torch.nn.Parameter(torch.ones(2, latent))
        self.register_buffer("queue", torch.zeros(length, latent))

    def before_forward(self, step):
        with torch.no_grad():
            self.prototypes.copy_(F.normalize(self.prototypes, dim=1))

    def forward(self, ctx):
        self.keys = ctx.features("T1", "second", momentum=True).z
        z = ctx.features("T1").z
        scores = z @ self.prototypes.T
        return {"loss": scores.mean() + (z - self.keys).square().mean()}

    def after_backward(self, step):
        self.prototypes.grad = None

    def after_step(self, ctx):
        newest = torch.cat([self.keys, self.queue])
        self.queue.copy_(newest[: len(self.queue)])


def test_a_new_term_is_one_class(monkeypatch):
    monkeypatch.setitem(TERMS, "Momentum", Momentum)
    objective = build("Momentum-CR", length=4, **SMALL)
    assert objective.views == {"main": None, "second": PadCropFlip(pad=1)}
    data = batch()
    data.views["second"] = data.views["main"]
    before = {
        k: v.clone() for k, v in objective.momentum_copy.state_dict().items()
    }
    total, _, ctx = objective(data)
    total.backward()
    assert all(p.grad is None for p in objective.momentum_copy.parameters())
    with torch.no_grad():
        for p in objective.encoders.parameters():
            p += 1.0
    objective.update_momentum()
    objective.terms["Momentum"].after_step(ctx)
    after = objective.momentum_copy.state_dict()
    for name, value in objective.encoders.state_dict().items():
        name = f"encoders.{name}"
        expected = value
        if value.is_floating_point():
            expected = 0.9 * before[name] + 0.1 * value
        # the momentum encoder's own batch statistics moved in the forward pass
        # before the update
        if "running" not in name:
            torch.testing.assert_close(after[name], expected)
    queue = objective.terms["Momentum"].queue
    assert queue[:3].any(1).all()
    assert not queue[3].any()
    assert {"terms.Momentum.queue", "terms.Momentum.prototypes"} <= set(
        objective.state_dict()
    )


def test_terms_that_disagree_fail_when_built(monkeypatch):
    class Other(Momentum):
        momentum = 0.5
        views = {"main": Clean()}

    monkeypatch.setitem(TERMS, "Momentum", Momentum)
    monkeypatch.setitem(TERMS, "Other", Other)
    with pytest.raises(ValueError, match="view 'main'"):
        build("Momentum-Other", **SMALL)
    Other.views = Momentum.views
    with pytest.raises(ValueError, match="momentum"):
        build("Momentum-Other", **SMALL)


def test_class_sampling_only_when_every_term_wants_it():
    assert build("CE", **SMALL).sampling == "class"
    assert build("CR-CE", **SMALL).sampling is None


def test_a_term_says_itself_that_it_needs_a_pair_or_labels(monkeypatch):
    class Pairwise(Momentum):
        pairwise = True

    monkeypatch.setitem(TERMS, "Momentum", Momentum)
    monkeypatch.setitem(TERMS, "Pairwise", Pairwise)
    build("Momentum", ("T1",), **SMALL)
    with pytest.raises(ValueError, match="'Pairwise'.*two modalities"):
        build("Momentum-Pairwise", ("T1",), **SMALL)
    declared = {word for word, term in TERMS.items() if term.pairwise}
    assert declared == {"XX", "CC", "RR", "CCA", "Pairwise"}
    assert {word for word, term in TERMS.items() if term.supervised} == {"CE"}
    assert build("CR-CE", task="sex", **SMALL).task == "sex"
    assert build("CR", **SMALL).task is None


# a sum over voxels would hide an error in the other terms
BALANCED = {"MMVAE": 1e-3}


def _of_half(rank):
    """The objective and two of four rows, or all of them."""
    torch.manual_seed(0)
    objective = build(
        "CR-XX-CC-RR-CE-AE-MMVAE", samples=2, weights=BALANCED, **SMALL
    ).eval()
    whole = batch(rows=4, labels=[0, 1, 1, -1])
    if rank is None:
        return objective, whole
    part = slice(2 * rank, 2 * rank + 2)
    volumes = {m: x[part] for m, x in whole.views["main"].volumes.items()}
    labels = {
        m: {t: y[part] for t, y in d.items()} for m, d in whole.labels.items()
    }
    rows = {m: x[part] for m, x in whole.rows.items()}
    return objective, Batch({"main": View(volumes, "main")}, rows, labels)


def test_two_processes_equal_one_on_the_joined_batch(tmp_path):
    """Loss on every rank after the gather, mean of the gradients as DDP takes
    it.
    """
    objective, whole = _of_half(None)
    expected, _, _ = objective(whole)
    expected.backward()
    trained = [p for p in objective.parameters() if p.requires_grad]
    for total, gradients, _ in of_two_processes(_of_half, tmp_path):
        assert float(total) == pytest.approx(float(expected), rel=1e-5)
        for gradient, parameter in zip(gradients, trained, strict=True):
            torch.testing.assert_close(
                gradient, parameter.grad, rtol=1e-4, atol=1e-5
            )


def test_options_are_those_of_the_terms():
    assert options_of("RR") == {
        "clip": 20.0,
        "inside": False,
        "negatives": "locations",
        "penalty": 0.04,
    }
    assert "exact" in options_of("CR-CC") and "exact" not in options_of("CR")
    assert options_of("CC") == options_of("RR") | {"exact": False}
    assert options_of("AE") == {}
    assert options_of("CE") == {"classes": 2, "task": "diagnosis"}
    assert "memory" in options_of("DCCAE")
