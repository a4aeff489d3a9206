"""Each term, over two modalities and over three, against its equation written
out in plain loops.

Two modalities are random volumes; three are T1, fALFF and grey matter of
simulated people.
"""

import itertools
import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import scipy.stats
import torch
from matplotlib.colors import to_hex
from torch import nn

from mmssl import plotting
from mmssl.cohorts.cohort import write
from mmssl.cohorts.simulated import anatomy, images
from mmssl.models.dcgan import Features
from mmssl.objectives.language import TERMS, build, parse
from mmssl.objectives.term import Batch, Context, Node
from mmssl.objectives.views import View
from mmssl.preprocessing.network_inputs import fit_landmarks, standardised
from mmssl.pretrain.encoders import embed
from mmssl.pretrain.fit import fit

pytestmark = pytest.mark.filterwarnings("ignore:CCA over")

# these have views of their own, and tests in test_preservation and
# test_clustering
OF_MAIN_VIEW = [word for word in TERMS if word not in ("PCRL", "SwAV")]
EDGES = {"CR": "L", "XX": "CL", "CC": "CS", "RR": "S"}
SUBSETS = [
    "-".join(c) for n in range(1, 5) for c in itertools.combinations(EDGES, n)
]
NAMED = ["AE", "RR-AE", "CR-CCA", "DCCAE", "MMVAE", "MMVAE-CR", "Supervised"]
LATENT = 4


class Tiny(nn.Module):
    """An encoder with eight locations, so that loops over all scores end."""

    latent, local_channels = LATENT, 3

    def __init__(self, _):
        super().__init__()
        self.locals = nn.Conv3d(1, 3, 16, 16, bias=False)
        self.whole = nn.Linear(24, LATENT)

    def forward(self, x, stream=None):
        local = self.locals(x)
        return Features(self.whole(local.flatten(1)), local)


@pytest.fixture(scope="module")
def three(tiny_phantom, tmp_path_factory):
    """Give the simulated people with a third modality: grey matter, deformed
    as the person is.
    """
    shared, design = anatomy.anatomy(32), images.Design()
    factors = pd.read_csv(
        tiny_phantom.path / "truth" / "factors.tsv", sep="\t"
    )
    index = {name: i for i, name in enumerate(factors["participant_id"])}
    grey = np.zeros((len(tiny_phantom), 32, 32, 32), np.float16)
    for row in tiny_phantom.pairs.itertuples():
        i = index[row.participant_id]
        row_factors = factors.iloc[i].to_dict()
        person = images.SimulatedPerson(i, tiny_phantom.seed, row_factors)
        pose = images.pose(person, row.session, "T1", design)
        points = shared.points @ pose[:3, :3].T + pose[:3, 3]
        points = points + images.deformation(shared.points, person, design)
        grey[row.pair][shared.inside] = shared.sample(["grey"], points)[0]
    return write(
        tmp_path_factory.mktemp("three") / "cohort",
        name="three",
        kind="phantom",
        volumes={**tiny_phantom.volumes, "grey": grey * tiny_phantom.mask},
        participants=tiny_phantom.participants,
        pairs=tiny_phantom.pairs,
        splits=tiny_phantom.splits,
        affine=tiny_phantom.affine,
        mask=tiny_phantom.mask,
        tasks=tiny_phantom.tasks,
    )


@pytest.fixture(params=[2, 3], ids=["two", "three"])
def batch(request):
    """Give three rows of two or of three modalities in fp64, one of them
    without a label.
    """
    if request.param == 2:
        draw = torch.Generator().manual_seed(0)
        shape = (3, 1, 32, 32, 32)
        volumes = {
            m: torch.randn(shape, generator=draw).double()
            for m in ("T1", "fALFF")
        }
    else:
        cohort = request.getfixturevalue("three")
        rows = cohort.rows("train")[:3]
        inputs = standardised(cohort, fit_landmarks(cohort, 0), rows=rows)
        volumes = {m: torch.from_numpy(x).double() for m, x in inputs.items()}
    keys = dict.fromkeys(volumes, torch.tensor([4, 0, 7]))
    labels = {m: {"diagnosis": torch.tensor([1, -1, 0])} for m in volumes}
    return Batch({"main": View(volumes, "main")}, keys, labels, step=3)


def make(name, batch, **options):
    torch.manual_seed(1)
    modalities = tuple(batch.views["main"].volumes)
    return build(
        name, modalities, backbone=Tiny, width=2, size=32, **options
    ).double()


def representations(objective, batch):
    """c (B, D, L), z (B, D) and CC's anchors of every modality, as arrays."""
    ctx = Context(objective, batch)
    c, z, anchors = {}, {}, {}
    with torch.no_grad():
        for m in ctx.modalities:
            z[m] = ctx.latent(m).numpy()
            if objective.heads:
                c[m] = ctx.local(m).numpy()
                anchors[m] = ctx.random_location(m).numpy()
    return c, z, anchors


def info_nce(embeddings, anchors, clip=20.0, weight=0.04):
    """004, section II-B, one score at a time."""
    batch, channels, locations = embeddings.shape
    loss = squares = 0.0
    for a in range(batch):
        raw = [
            [
                anchors[a] @ embeddings[b, :, n] / math.sqrt(channels)
                for n in range(locations)
            ]
            for b in range(batch)
        ]
        squares += sum(r * r for row in raw for r in row)
        score = [[clip * math.tanh(r / clip) for r in row] for row in raw]
        negatives = sum(
            math.exp(s) for b in range(batch) if b != a for s in score[b]
        )
        for s in score[a]:
            loss -= math.log(math.exp(s) / (math.exp(s) + negatives))
    return loss / (batch * locations), weight * squares / (
        batch * batch * locations
    )


def contrast(word, objective, batch):
    """Sums over the pairs of 004, section II-C."""
    c, z, anchors = representations(objective, batch)
    edges = []
    for i, j in itertools.product(z, z):
        if word == "CR" and i == j:
            edges.append((c[i], z[i]))
        elif word == "XX" and i != j:
            edges.append((c[j], z[i]))
        elif word == "CC" and i != j:
            edges.append((c[j], anchors[i]))
        elif word == "RR" and i != j:
            edges.append((z[j][..., None], z[i]))
    parts = [info_nce(*edge) for edge in edges]
    return {
        "loss": sum(p[0] for p in parts),
        "penalty": sum(p[1] for p in parts),
    }


def autoencoder(objective, batch):
    _, z, _ = representations(objective, batch)
    loss = 0.0
    for m, x in batch.views["main"].volumes.items():
        with torch.no_grad():
            output = objective.decoders[m](torch.from_numpy(z[m])).numpy()
        errors = [
            (a - b) ** 2
            for a, b in zip(output.flat, x.numpy().flat, strict=True)
        ]
        loss += math.fsum(errors) / len(errors)
    return {"loss": loss}


def correlation(objective, batch, ridge=1e-3):
    """Sum of the singular values of T = S11^-1/2 S12 S22^-1/2, for both orders
    of each pair.
    """
    _, z, _ = representations(objective, batch)
    total = 0.0
    for i, j in itertools.permutations(z, 2):
        a, b = (z[m] - z[m].mean(0) for m in (i, j))
        n = len(a) - 1
        s11, s22 = (h.T @ h / n + ridge * np.eye(LATENT) for h in (a, b))
        left = np.linalg.inv(scipy.linalg.sqrtm(s11))
        right = np.linalg.inv(scipy.linalg.sqrtm(s22))
        t = left @ (a.T @ b / n) @ right
        total += np.linalg.svd(t, compute_uv=False).sum()
    return {"loss": -total}


def cross_entropy(objective, batch):
    _, z, _ = representations(objective, batch)
    loss = 0.0
    for m, features in z.items():
        layer = objective.terms["CE"].classifiers[m]
        labels = batch.labels[m]["diagnosis"].tolist()
        weight = layer.weight.detach().numpy()
        bias = layer.bias.detach().numpy()
        labelled = [row for row, label in enumerate(labels) if label >= 0]
        for row in labelled:
            exps = np.exp(weight @ features[row] + bias)
            share = exps[labels[row]] / exps.sum()
            loss -= math.log(share) / len(labelled)
    return {"loss": loss}


def log_laplace(x, loc, scale):
    return sum(
        -math.log(2 * s) - abs(a - b) / s
        for a, b, s in zip(x, loc, scale, strict=True)
    )


def evidence(objective, batch, scale=0.75):
    """Shi et al. 2019: w of each modality, sample and row; log-mean-exp over
    samples; means.
    """
    term = objective.terms["MMVAE"]
    _, z, _ = representations(objective, batch)
    scales = {}
    for m in z:
        weight = term.scales[m].weight.detach().numpy()
        bias = term.scales[m].bias.detach().numpy()
        scales[m] = []
        for row in z[m]:
            exps = np.exp(weight @ row + bias)
            scales[m].append(LATENT * exps / exps.sum() + 1e-6)
    draws = {m: samples(term, objective, batch, m).detach().numpy() for m in z}
    exps = np.exp(term.prior.detach().numpy())
    prior = LATENT * exps / exps.sum()
    total = 0.0
    for b in range(3):
        for m in z:
            weights = []
            for k in range(term.samples):
                code = draws[m][k, b]
                experts = [
                    math.exp(log_laplace(code, z[n][b], scales[n][b]))
                    for n in z
                ]
                w = log_laplace(code, [0.0] * LATENT, prior) - math.log(
                    sum(experts) / len(experts)
                )
                # all rows: batch norm sees the rows of one sample
                codes = torch.from_numpy(draws[m][k])
                for d, x in batch.views["main"].volumes.items():
                    with torch.no_grad():
                        output = objective.decoders[d](codes)[b].flatten()
                    x = x[b].flatten().numpy()
                    errors = np.abs(x - output.numpy()).tolist()
                    density = math.fsum(errors) / scale
                    density += len(x) * math.log(2 * scale)
                    w -= term.llik_scaling[d] * density
                weights.append(w)
            top = max(weights)
            mean = sum(math.exp(w - top) for w in weights) / len(weights)
            total += (top + math.log(mean)) / len(z)
    return {"loss": -total / 3}


def samples(term, objective, batch, m):
    ctx = Context(objective, batch)
    return term.draw(ctx, m, term.posterior(ctx, m))


LOOPS = {
    **{word: partial(contrast, word) for word in EDGES},
    "AE": autoencoder,
    "CCA": correlation,
    "CE": cross_entropy,
    "MMVAE": evidence,
}
OPTIONS = {
    "MMVAE": {"samples": 3, "llik_scaling": {"T1": 0.01, "fALFF": 0.02}}
}


@pytest.mark.parametrize("word", OF_MAIN_VIEW)
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_term_equals_the_loop_of_its_equation(word, training, batch):
    objective = make(word, batch, **OPTIONS.get(word, {})).train(training)
    parts = objective(batch)[1]
    for key, expected in LOOPS[word](objective, batch).items():
        assert parts[f"{word}/{key}"].dtype == torch.float64
        assert float(parts[f"{word}/{key}"].detach()) == pytest.approx(
            expected, rel=1e-9, abs=1e-9
        )


@pytest.mark.parametrize("word", OF_MAIN_VIEW)
def test_gradient_of_every_network_equals_finite_differences(word, batch):
    """Along a random direction of each; in training mode, so through
    recomputed passes.
    """
    options = {}
    if word == "MMVAE":
        options = {**OPTIONS[word], "samples": 2, "learn_prior": True}
    objective = make(word, batch, **options)
    objective(batch)[0].backward()
    draw = torch.Generator().manual_seed(0)
    groups = {}
    for name, parameter in objective.named_parameters():
        if word == "CC" and "whole" in name:  # it alone never reads z
            assert parameter.grad is None
            continue
        groups.setdefault(".".join(name.split(".")[:2]), []).append(parameter)
    for group, parameters in groups.items():
        directions = [
            torch.randn(p.shape, generator=draw, dtype=p.dtype)
            for p in parameters
        ]
        # small, not to cross a kink of LReLU
        length = torch.nn.utils.get_total_norm(directions)
        directions = [d / length for d in directions]
        values = []
        for step in (1e-7, -1e-7):
            with torch.no_grad():
                torch._foreach_add_(parameters, directions, alpha=step)
                values.append(float(objective(batch)[0]))
                torch._foreach_add_(parameters, directions, alpha=-step)
        slope = 0.0
        for p, d in zip(parameters, directions, strict=True):
            slope += float((p.grad * d).sum())
        expected = (values[0] - values[1]) / 2e-7
        tolerance = 1e-5 + 1e-7 * abs(values[0])
        assert slope == pytest.approx(expected, rel=1e-4, abs=tolerance), group


@pytest.mark.parametrize("name", SUBSETS + NAMED)
def test_every_objective_parses_builds_and_steps_in_both_spellings(
    name, batch
):
    words = parse(name)
    other = "-".join(EDGES.get(word, word) for word in name.split("-"))
    assert parse(other) == words
    options = {"samples": 2} if "MMVAE" in words else {}
    torch.manual_seed(0)
    objective = make(other, batch, **options)
    before = {k: p.detach().clone() for k, p in trained(objective).items()}
    optimiser = torch.optim.RAdam(trained(objective).values(), lr=1e-3)
    total, parts, _ = objective(batch)
    total.backward()
    optimiser.step()
    assert {key.split("/")[0] for key in parts} == set(words)
    after = trained(objective)
    unmoved = {k for k, p in after.items() if torch.equal(p, before[k])}
    never_read = set()
    if words == ("CC",):  # it alone never reads z
        never_read = {k for k in before if "whole" in k}
    assert unmoved == never_read
    assert total.isfinite()


def trained(objective):
    return {k: p for k, p in objective.named_parameters() if p.requires_grad}


def test_graph_is_what_the_loss_runs_over(batch):
    """Take one edge away and exactly its share of the loss is gone."""
    for word in ("CR", "XX", "CC", "RR", "AE", "CCA", "CE"):
        objective = make(word, batch).eval()
        term = objective.terms[word]
        whole = objective(batch)[1][f"{word}/loss"]
        edges = objective.graph[word]
        alone = []
        for edge in edges:
            term.graph = lambda _, edge=edge: [edge]
            alone.append(objective(batch)[1][f"{word}/loss"])
        torch.testing.assert_close(torch.stack(alone).sum(), whole)
        assert len(set(edges)) == len(edges)


def test_graph_names_every_pair():
    three = ("a", "b", "c")
    counts = {
        word: len(build(word, three, size=16, width=2).graph[word])
        for word in TERMS
    }
    assert counts == {
        "CR": 3,
        "XX": 6,
        "CC": 6,
        "RR": 6,
        "AE": 3,
        "CCA": 6,
        "MMVAE": 9,
        "CE": 3,
        "PCRL": 9,
        "SwAV": 3,
    }
    edges = build("XX-AE", ("a", "b"), size=16, width=2).graph
    assert set(edges["XX"]) == {
        (Node("c", "b"), Node("z", "a")),
        (Node("c", "a"), Node("z", "b")),
    }
    assert edges["AE"][0] == (Node("z", "a"), Node("reconstruction", "a"))


def test_cca_ignores_invertible_maps_as_the_ridge_vanishes():
    draw = torch.Generator().manual_seed(0)
    z = {
        m: torch.randn(60, LATENT, generator=draw, dtype=torch.float64)
        for m in "abc"
    }
    z["b"] = z["b"] + z["a"]
    maps = {
        m: torch.randn(LATENT, LATENT, generator=draw, dtype=torch.float64)
        for m in "abc"
    }

    def loss(features, ridge):
        objective = build(
            "CCA", tuple("abc"), size=16, width=2, latent=LATENT, ridge=ridge
        )
        ctx = Context(objective, Batch({}, {}))
        ctx.latent = features.__getitem__
        return float(objective.terms["CCA"].double()(ctx)["loss"])

    gaps = []
    for ridge in (1e-2, 1e-4, 1e-6, 1e-8, 1e-10):
        moved = {m: x @ maps[m] - 2 for m, x in z.items()}
        gaps.append(abs(loss(moved, ridge) - loss(z, ridge)))
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 1e-3 and gaps[-1] < 1e-6


def test_posterior_samples_are_laplace_keyed_and_reparameterised(batch):
    objective = make("MMVAE", batch, samples=400)
    term = objective.terms["MMVAE"]
    ctx = Context(objective, batch)
    posterior = term.posterior(ctx, "T1")
    z = term.draw(ctx, "T1", posterior)
    noise = ((z - posterior.loc) / posterior.scale).detach().numpy().ravel()
    assert scipy.stats.kstest(noise, scipy.stats.laplace.cdf).pvalue > 0.01
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 0.05
    whole = torch.full((3,), LATENT * (1 + 1e-6), dtype=torch.float64)
    torch.testing.assert_close(posterior.scale.sum(1), whole)
    inputs = [
        x.detach().requires_grad_() for x in (posterior.loc, posterior.scale)
    ]
    drawn = term.draw(ctx, "T1", torch.distributions.Laplace(*inputs)).sum()
    by_loc, by_scale = torch.autograd.grad(drawn, inputs)
    assert (by_loc == 400).all()
    noise = torch.from_numpy(noise).view(400, 3, LATENT)
    torch.testing.assert_close(by_scale, noise.sum(0))
    # the same row draws the same noise in another batch, order and number of
    # samples apart
    rows = {m: keys[[1]] for m, keys in batch.rows.items()}
    volumes = {m: x[[1]] for m, x in batch.views["main"].volumes.items()}
    alone = Batch({"main": View(volumes, "main")}, rows, step=3)
    torch.testing.assert_close(
        samples(term, objective, alone, "T1")[:, 0], z[:, 1]
    )
    later = Batch(batch.views, batch.rows, step=4)
    same = torch.isclose(samples(term, objective, later, "T1"), z)
    assert not same.any(-1).all()


def test_no_uniform_number_gives_a_sample_at_infinity():
    objective = build("MMVAE", ("a",), size=16, width=2, latent=2, samples=1)
    ends = torch.tensor([[0.0, 1 - 2**-24]])[None]

    class Ends:
        def uniform(self, *_):
            return ends

    posterior = torch.distributions.Laplace(
        torch.zeros(1, 2), torch.ones(1, 2)
    )
    ctx = Context(objective, Batch({}, {}))
    ctx.rng = lambda *_: Ends()
    z = objective.terms["MMVAE"].draw(ctx, "a", posterior)[0, 0]
    assert z[0] == -z[1] and z.isfinite().all()


def test_recomputed_passes_change_nothing(batch, monkeypatch):
    """Value, gradients and running statistics with every pass kept equal those
    made again.
    """

    def step():
        objective = make("MMVAE", batch, **OPTIONS["MMVAE"])
        total = objective(batch)[0]
        total.backward()
        gradients = [p.grad for p in trained(objective).values()]
        return total, gradients, objective.state_dict()

    total, gradients, state = step()
    name = "mmssl.objectives.generative.checkpoint"
    monkeypatch.setattr(name, lambda function, z, **_: function(z))
    expected_total, expected_gradients, expected_state = step()
    assert torch.equal(total, expected_total)
    for a, b in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    assert all(torch.equal(state[k], expected_state[k]) for k in state)


@pytest.mark.parametrize("gradients", [True, False])
def test_decoder_statistics_move_once_a_step(batch, gradients):
    objective = make("MMVAE", batch, samples=3)
    batch_means = {m: [] for m in objective.modalities}
    before = {}

    def note_mean(m, _, x):
        batch_means[m].append(x[0].detach().mean((0, 2, 3, 4)))

    for m, decoder in objective.decoders.items():
        norm = decoder.norms[0]
        before[m] = norm.running_mean.clone()
        norm.register_forward_pre_hook(partial(note_mean, m))
    with torch.set_grad_enabled(gradients):
        total = objective(batch)[0]
    passes = 3 * len(batch_means)
    assert all(len(means) == passes for means in batch_means.values())
    if gradients:
        total.backward()
    for m, means in batch_means.items():
        norm = objective.decoders[m].norms[0]
        expected = 0.9 * before[m] + 0.1 * torch.stack(means[:passes]).mean(0)
        torch.testing.assert_close(norm.running_mean, expected)
        assert norm.num_batches_tracked == 1 and norm.momentum == 0.1


def test_prior_is_fixed_unless_asked():
    for learn in (False, True):
        objective = build("MMVAE", size=16, width=2, learn_prior=learn)
        assert objective.terms["MMVAE"].prior.requires_grad is learn
    torch.testing.assert_close(
        objective.terms["MMVAE"].prior, torch.zeros(64), check_dtype=False
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples=0"),
        ({"likelihood_scale": 0}, "likelihood_scale=0"),
        ({"llik_scaling": {"PET": 1.0}}, "llik_scaling.*PET"),
    ],
)
def test_bad_options_of_mmvae(options, message):
    with pytest.raises(ValueError, match=message):
        build("MMVAE", size=16, width=2, **options)


SMALL = {
    "epochs": 2,
    "batch_size": 8,
    "width": 4,
    "latent": 8,
    "progress": False,
}


def test_three_modalities_of_the_phantom_train_together(three, tmp_path):
    run = fit(three, "CR-XX-CC-RR-CCA", tmp_path / "run", memory=40, **SMALL)
    history = pd.read_csv(run / "history.csv")
    assert np.isfinite(history.filter(like="loss")).all(axis=None)
    assert {"rankme/T1", "rankme/fALFF", "rankme/grey"} <= set(history)
    assert embed(run, three)["grey"].shape == (len(three), 8)


def test_mmvae_trains_on_the_phantom(tiny_phantom, tmp_path):
    options = {**SMALL, "width": 2, "precision": "fp32"}
    run = fit(tiny_phantom, "MMVAE", tmp_path / "run", **options)
    history = pd.read_csv(run / "history.csv")
    assert len(history) == 2 and np.isfinite(history.filter(like="loss")).all(
        axis=None
    )
    assert all(np.isfinite(z).all() for z in embed(run, tiny_phantom).values())


def test_mmvae_learns_in_half_precision_at_the_size_of_other_losses(
    tiny_phantom, tmp_path
):
    """RAdam's first five steps are plain gradient steps: they must not be a
    volume's sum long.
    """
    options = {"precision": "bf16", "samples": 4, "weights": {"MMVAE": 1e-3}}
    run = fit(tiny_phantom, "MMVAE", tmp_path / "run", **options, **SMALL)
    history = pd.read_csv(run / "history.csv")
    # where they are, the loss rises by powers of ten
    assert history["valid/loss"].iloc[1] < 1.01 * history["valid/loss"].iloc[0]
    assert history["train/loss"].iloc[1] < history["train/loss"].iloc[0]


@pytest.mark.parametrize("name", ["CR-CCA", "RR-CC", "MMVAE", "Supervised"])
def test_a_nan_names_term_epoch_and_batch_and_keeps_the_last_good_checkpoint(
    name, tiny_phantom, tmp_path
):
    steps = len(tiny_phantom.rows("train")) // SMALL["batch_size"]

    class Poison:
        def __call__(self, volumes, stream):
            scale = float("nan") if stream.step == steps + 1 else 1.0
            return {m: x * scale for m, x in volumes.items()}

        def __repr__(self):
            return "Poison()"

    options = {"samples": 2} if name == "MMVAE" else {}
    word = parse(name)[-1]
    with pytest.raises(
        FloatingPointError, match=f"{word}/loss.*epoch 1, batch 1"
    ):
        fit(
            tiny_phantom,
            name,
            tmp_path / "run",
            augment=Poison(),
            **options,
            **SMALL,
        )
    last = torch.load(
        tmp_path / "run.partial" / "last.ckpt", weights_only=True
    )
    assert last["epoch"] == 0
    assert all(v.isfinite().all() for v in last["state_dict"].values())


@pytest.mark.parametrize(
    "name", ["CR-XX-CC-RR-CCA", "RR-AE", "MMVAE", "Supervised"]
)
def test_figure_draws_every_edge_once_and_names_terms_and_weights(name, batch):
    words = parse(name)
    objective = make(name, batch, weights={words[-1]: 0.5})
    figure = plotting.objective_graph(
        objective.graph, objective.modalities, objective.weights
    )
    axis = figure.axes[0]
    drawn = 0
    for edges in objective.graph.values():
        drawn += len({frozenset(edge) for edge in edges})
    assert len(axis.patches) == drawn + 2 * len(objective.modalities)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == [*words[:-1], f"0.5 × {words[-1]}", "encoder"]
    assert set(objective.modalities) <= {
        text.get_text() for text in axis.texts
    }
    with pytest.raises(ValueError, match="prototype"):
        plotting.objective_graph(
            {"SwAV": [(("z", "T1"), ("prototype", "T1"))]}, ("T1",)
        )


def test_a_gallery_draws_the_same_graphs_with_one_colour_a_term(batch):
    names = ["CR-XX", "XX-RR", "RR-AE", "MMVAE"]
    graphs = {name: make(name, batch).graph for name in names}
    modalities = make("RR", batch).modalities
    learned = {"CR-XX": {"CR": -0.25, "XX": 1.5}, "XX-RR": {"XX": 2.0}}
    figure = plotting.objective_gallery(graphs, modalities, learned)
    panels = {axis.get_title(loc="left"): axis for axis in figure.axes}
    assert set(panels) == {*names, ""}  # two are left empty
    colours = {}
    for name in names:
        alone = plotting.objective_graph(graphs[name], modalities).axes[0]
        assert len(panels[name].patches) == len(alone.patches)
        marks = [m for m in panels[name].lines if len(m.get_xdata()) == 2]
        texts = [text.get_text() for text in panels[name].texts]
        said = [text for text in texts if " " in text]
        assert set(modalities) <= set(texts)
        for mark, text in zip(marks, said, strict=True):
            colours.setdefault(text.split(" ")[0], set()).add(mark.get_color())
        edges = {to_hex(patch.get_edgecolor()) for patch in alone.patches}
        assert len(edges) == 1 + len(graphs[name])
        gains = learned.get(name, {})
        for term, text in zip(graphs[name], said, strict=True):
            found = text.removeprefix(f"{term} ").replace("−", "-")
            expected = "no chance level"
            if term in gains:
                expected = f"{gains[term]:+.2f}"
            assert found == expected
    shades = [shade for of_term in colours.values() for shade in of_term]
    assert len(shades) == len(set(shades)) == len(colours) == 5


class InPlace(Tiny):
    """The same encoder, which shifts its input in place first."""

    def forward(self, x, stream=None):
        x -= 3.0
        return super().forward(x)


def test_a_backbone_in_place_leaves_the_volumes_alone(batch):
    before = {m: x.clone() for m, x in batch.views["main"].volumes.items()}
    torch.manual_seed(1)
    objective = build("RR", tuple(before), backbone=InPlace, size=32)
    objective.double()(batch)
    for m, x in batch.views["main"].volumes.items():
        assert torch.equal(x, before[m])
