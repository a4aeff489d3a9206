"""Tests of what follows from the methods alone: shapes, counts, chance levels.

Computed from this package's networks, losses and measures. Nothing is trained,
and nobody's data are read.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations as subsets

import numpy as np

from book.claims.evidence import Finding, exact, normal


def local_features(quantity: str, size: int = 64, dims: int = 3) -> Finding:
    """Side or channels of the local feature map, or length of the
    representation.

    Parameters
    ----------
    quantity : str
        "side", "channels" or "latent".
    size, dims : int
        Of the input.
    """
    import torch

    from mmssl.models.dcgan import Encoder

    with torch.no_grad():
        encoder = Encoder(size=size, dims=dims).eval()
        z, local, _ = encoder(torch.zeros(1, 1, *(size,) * dims))
    values = {
        "side": local.shape[2],
        "channels": local.shape[1],
        "latent": z.shape[1],
    }
    if quantity not in values:
        raise ValueError(
            f"quantity={quantity!r}: expected one of {sorted(values)}"
        )
    return exact(values[quantity], f"{dims}D, side {size}")


def attention_weights(bound: str, draws: int = 64) -> Finding:
    """Smallest or largest weight that the attention of 003 gives a channel,
    whatever its own weights are.

    Parameters
    ----------
    bound : str
        "low" or "high".
    draws : int
        Of networks, of weights up to 100 times as large as at first.
    """
    import torch

    from mmssl.models.transformation_attention import TransformationAttention

    if bound not in ("low", "high"):
        raise ValueError(f"bound={bound!r}: expected 'low' or 'high'")
    found = []
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for draw in range(draws):
            attention = TransformationAttention(8, 7).eval()
            attention.weight.mul_(100.0 ** (draw / draws))
            # a convolution that passes the centre on shows the weights
            kernel = torch.zeros_like(attention.convolution.weight)
            kernel[range(8), range(8), 1, 1, 1] = 1
            attention.convolution.weight.copy_(kernel)
            attention.convolution.bias.zero_()
            local = 1 + torch.rand(1, 8, 1, 1, 1)
            turn = torch.randint(2, (1, 7)).float()
            found.append((attention(local, turn) / local).flatten())
    weights = torch.cat(found)
    value = weights.min() if bound == "low" else weights.max()
    return exact(float(value), f"{draws} networks")


def learned_together(labelled: float) -> Finding:
    """Share of an encoder's weights that the clusters and the labels of one
    step give a gradient each (002, equation 7).

    Parameters
    ----------
    labelled : float
        Share of the rows that have a label.
    """
    import torch

    from mmssl.models.keyed_random import Stream
    from mmssl.objectives.language import build
    from mmssl.objectives.term import Batch
    from mmssl.objectives.views import Clean, make_views

    rows = 8
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        objective = build("SwAV-CE", size=16, width=2, prototypes=4)
        shape = rows, 1, 16, 16, 16
        images = {m: torch.randn(shape) for m in objective.modalities}
    objective.terms["SwAV"].learn_images(images)
    keys = torch.arange(rows)
    of_all = dict.fromkeys(images, keys)
    stream = Stream(keys, 0, 0)
    views = make_views(images, of_all, objective.views, Clean(), stream)
    labels = torch.where(keys < labelled * rows, keys % 2, -1)
    own = {m: {"diagnosis": labels} for m in images}
    _, parts, _ = objective(Batch(views, of_all, own))
    weights = list(objective.encoders["T1"].parameters())
    reached = torch.ones(len(weights), dtype=torch.bool)
    for term in ("SwAV", "CE"):
        gradients = torch.autograd.grad(
            parts[f"{term}/loss"], weights, retain_graph=True
        )
        reached &= torch.tensor([bool(g.any()) for g in gradients])
    sizes = torch.tensor([w.numel() for w in weights])
    share = float(sizes[reached].sum() / sizes.sum())
    return exact(share, f"{labelled:.0%} of {rows} rows labelled")


def operations(
    first: str, second: str, size: int = 64, dims: int = 3
) -> Finding:
    """Forward multiply-adds of the networks of one objective over those of
    another.

    Encoders, heads and decoders of two modalities; the terms' own sums are
    left out, which are two orders smaller at a batch of 64.
    """
    first_count = _forward_operations(first, size, dims)
    second_count = _forward_operations(second, size, dims)
    return exact(
        first_count / second_count,
        f"{first_count / 1e9:.2f} and {second_count / 1e9:.2f} GFLOP",
    )


def connections(objective: str) -> Finding:
    """Undirected edges between features of two modalities that an objective
    has.
    """
    from mmssl.objectives.language import build

    graph = build(objective, width=1, latent=4, size=16).graph
    undirected = set()
    for edges in graph.values():
        undirected.update(frozenset(edge) for edge in edges)
    return exact(len(undirected), "two modalities")


def combinations(terms: list[str]) -> Finding:
    """Objectives that the language makes from some terms: their non-empty
    subsets.
    """
    from mmssl.objectives.language import parse

    objectives = set()
    for count in range(1, len(terms) + 1):
        for names in subsets(terms, count):
            objectives.add(frozenset(parse("-".join(names))))
    return exact(len(objectives), f"{len(terms)} terms")


def chance_similarity(
    measure: str,
    people: int,
    others: int,
    dimensions: int = 64,
    shared: float = 0.0,
    draws: int = 10,
) -> Finding:
    """Similarity of two codes at one number of people minus that at another,
    same population.

    Parameters
    ----------
    measure : str
        Of `mmssl.similarity.measures.MEASURES`.
    people, others : int
        The two sample sizes.
    dimensions : int
        Of each code.
    shared : float
        Variance that 8 of the dimensions share
        (`mmssl.similarity.simulations.simulated_codes`); 0: nothing at all.
    draws : int
        Simulated studies; the interval is that of their mean.
    """
    at_people = _similarities(measure, people, dimensions, shared, draws)
    at_others = _similarities(measure, others, dimensions, shared, draws)
    gaps = at_people - at_others
    return normal(
        np.mean(gaps),
        np.std(gaps, ddof=1) / draws**0.5,
        f"{draws} simulated studies of {people} and {others}",
        "simulation",
    )


def chance_level(
    measure: str,
    people: int,
    dimensions: int = 64,
    shared: float = 0.0,
    draws: int = 10,
) -> Finding:
    """Similarity of two codes that share nothing, or 8 dimensions, at a number
    of people.

    Parameters as in `chance_similarity`.
    """
    values = _similarities(measure, people, dimensions, shared, draws)
    return normal(
        np.mean(values),
        np.std(values, ddof=1) / draws**0.5,
        f"{draws} simulated studies of {people}",
        "simulation",
    )


def above_largest_by_chance(
    value: float, people: int, dimensions: int = 64, draws: int = 50
) -> Finding:
    """A printed largest correlation of two dimensions, minus the largest that
    chance gives.

    Chance: the largest absolute correlation over all pairs of dimensions of
    two independent Gaussian codes of so many people. Its 95 % range over draws
    makes the interval.
    """
    rng = np.random.default_rng(0)
    largest = []
    for _ in range(draws):
        codes = rng.normal(size=(2, people, dimensions))
        centred = codes - codes.mean(axis=1, keepdims=True)
        first, second = centred / codes.std(axis=1, keepdims=True)
        largest.append(np.abs(first.T @ second / people).max())
    low, high = np.quantile(largest, (0.025, 0.975))
    return Finding(
        value - float(np.mean(largest)),
        value - float(high),
        value - float(low),
        f"{draws} draws of {people} people",
        "simulation",
    )


def clip_term(
    batch: int = 64, locations: int = 512, clip: float = 20.0
) -> Finding:
    r"""Share of InfoNCE's denominator that an extra :math:`e^{-c}` has when
    all scores are 0.
    """
    denominator = 1 + (batch - 1) * locations
    return exact(np.exp(-clip) / denominator, f"batch {batch}")


def visible_brain(scale: float) -> Finding:
    """Share of the MNI brain's volume that stays inside a cube of 192 mm when
    zoomed in.
    """
    from nilearn.datasets import load_mni152_brain_mask

    mask = load_mni152_brain_mask()
    voxels = np.argwhere(mask.get_fdata() > 0)
    position = voxels @ mask.affine[:3, :3].T + mask.affine[:3, 3]  # mm
    centre = (position.max(axis=0) + position.min(axis=0)) / 2
    inside = (np.abs(position - centre) * scale <= 96).all(axis=1)
    return exact(inside.mean(), "MNI152 brain mask, about its centre")


def grid_points(distortion: str, parameter: str) -> Finding:
    """Values that a distortion's parameter takes in the sweep."""
    from mmssl.robustness.spaces import PARAMETER_SPACES

    values = PARAMETER_SPACES[distortion][parameter]
    return exact(len(values), distortion)


def equipartition(
    batch: int, prototypes: int, iterations: int = 3, epsilon: float = 0.03
) -> Finding:
    """Smallest mass that a prototype gets in Sinkhorn's solution, over B / K.

    Independent unit features of length 128 and prototypes; 1 where the batch
    is shared out evenly. Written here as in its equation: rows, then columns,
    in turn (002, section III-A).
    """
    rng = np.random.default_rng(0)
    features = rng.normal(size=(batch, 128))
    features = features / np.linalg.norm(features, axis=1, keepdims=True)
    centres = rng.normal(size=(prototypes, 128))
    centres = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    q = np.exp(centres @ features.T / epsilon)  # (prototypes, batch)
    for _ in range(iterations):
        q /= q.sum(axis=1, keepdims=True) * prototypes
        q /= q.sum(axis=0, keepdims=True) * batch
    smallest = q.sum(axis=1).min()
    return exact(smallest * prototypes, f"one random batch of {batch}")


def _similarities(
    measure: str, people: int, dimensions: int, shared: float, draws: int
) -> np.ndarray:
    """One measure in simulated studies, (draws,)."""
    from mmssl.similarity.measures import MEASURES

    if measure not in MEASURES:
        raise ValueError(f"measure={measure!r}: expected one of {MEASURES}")
    studies = _studies(people, dimensions, shared, draws)
    return np.array([study[measure] for study in studies])


@cache
def _studies(
    people: int, dimensions: int, shared: float, draws: int
) -> list[dict[str, float]]:
    """All measures of each simulated study."""
    from mmssl.similarity.measures import measures
    from mmssl.similarity.simulations import simulated_codes

    studies = []
    for draw in range(draws):
        x, y = simulated_codes(people, dimensions, shared, rng=(draw, people))
        studies.append(measures(x, y))
    return studies


@cache
def _forward_operations(name: str, size: int, dims: int) -> int:
    """Floating-point operations of one volume a modality through all networks
    of an objective.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from mmssl.objectives.language import build

    objective = build(name, size=size, dims=dims).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        for m, encoder in objective.encoders.items():
            features = encoder(torch.zeros(1, 1, *(size,) * dims))
            if m in objective.heads:
                objective.heads[m](features.local)
            if m in objective.decoders:
                objective.decoders[m](features.z)
    return counter.get_total_flops()
