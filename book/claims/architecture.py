"""Tests of what follows from the methods alone: shapes, counts, chance levels.

Computed from this package's networks, losses and measures. Nothing is trained,
and nobody's data are read.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from book.claims.evidence import Found, exact, normal


def parameters(
    network: str, size: int = 64, dims: int = 3, channels: int = 1
) -> Found:
    """Trained numbers of a network of the shared architecture.

    Parameters
    ----------
    network : str
        "encoder", "decoder" or "head" (of local features).
    size, dims, channels : int
        Of the input.
    """
    from mmssl.models.dcgan import Decoder, Encoder
    from mmssl.models.heads import ConvolutionalHead

    encoder = Encoder(channels, size=size, dims=dims)
    made = {
        "encoder": lambda: encoder,
        "decoder": lambda: Decoder(channels, size=size, dims=dims),
        "head": lambda: ConvolutionalHead(encoder.local_channels, dims=dims),
    }
    if network not in made:
        raise ValueError(
            f"network={network!r}: expected one of {sorted(made)}"
        )
    return exact(
        sum(p.numel() for p in made[network]().parameters()),
        f"{dims}D, side {size}",
    )


def local_features(what: str, size: int = 64, dims: int = 3) -> Found:
    """Side or channels of the local feature map, or length of the
    representation.

    what : "side", "channels" or "latent".
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
    if what not in values:
        raise ValueError(f"what={what!r}: expected one of {sorted(values)}")
    return exact(values[what], f"{dims}D, side {size}")


def operations(
    first: str, second: str, size: int = 64, dims: int = 3
) -> Found:
    """Forward multiply-adds of the networks of one objective over those of
    another.

    Encoders, heads and decoders of two modalities; the terms' own sums are
    left out, which are two orders smaller at a batch of 64.
    """
    counts = [
        _forward_operations(name, size, dims) for name in (first, second)
    ]
    return exact(
        counts[0] / counts[1],
        f"{counts[0] / 1e9:.2f} and {counts[1] / 1e9:.2f} GFLOP",
    )


def connections(objective: str) -> Found:
    """Undirected edges between features of two modalities that an objective
    has.
    """
    from mmssl.objectives.language import build

    graph = build(objective, width=1, latent=4, size=16).graph
    return exact(
        len({frozenset(edge) for edges in graph.values() for edge in edges}),
        "two modalities",
    )


def combinations(terms: list[str]) -> Found:
    """Objectives that the language makes from some terms: their non-empty
    subsets.
    """
    from itertools import chain
    from itertools import combinations as subsets

    from mmssl.objectives.language import parse

    names = chain.from_iterable(
        subsets(terms, k) for k in range(1, len(terms) + 1)
    )
    return exact(
        len({frozenset(parse("-".join(name))) for name in names}),
        f"{len(terms)} terms",
    )


def chance_similarity(
    measure: str,
    people: int,
    others: int,
    dimensions: int = 64,
    shared: float = 0.0,
    draws: int = 10,
) -> Found:
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
        (`mmssl.similarity.inference.related`); 0: nothing at all.
    draws : int
        Simulated studies; the interval is that of their mean.
    """
    gaps = np.subtract(
        *(
            _similarities(measure, n, dimensions, shared, draws)
            for n in (people, others)
        )
    )
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
) -> Found:
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


def luck_of_the_best(
    value: float, people: int, dimensions: int = 64, draws: int = 50
) -> Found:
    """A printed largest correlation of two dimensions, minus what luck gives.

    Luck: the largest absolute correlation over all pairs of dimensions of two
    independent Gaussian codes of so many people. Its 95 % range over draws
    makes the interval.
    """
    rng, best = np.random.default_rng(0), []
    for _ in range(draws):
        codes = rng.normal(size=(2, people, dimensions))
        codes = (codes - codes.mean(axis=1, keepdims=True)) / codes.std(
            axis=1, keepdims=True
        )
        best.append(np.abs(codes[0].T @ codes[1] / people).max())
    low, high = np.quantile(best, (0.025, 0.975))
    return Found(
        value - float(np.mean(best)),
        value - float(high),
        value - float(low),
        f"{draws} draws of {people} people",
        "simulation",
    )


def clip_term(
    batch: int = 64, locations: int = 512, clip: float = 20.0
) -> Found:
    r"""Share of InfoNCE's denominator that an extra :math:`e^{-c}` has when
    all scores are 0.
    """
    return exact(
        np.exp(-clip) / (1 + (batch - 1) * locations), f"batch {batch}"
    )


def visible_brain(scale: float) -> Found:
    """Share of the MNI brain's volume that stays inside a cube of 192 mm when
    zoomed in.
    """
    from nilearn.datasets import load_mni152_brain_mask

    mask = load_mni152_brain_mask()
    at = (
        np.argwhere(mask.get_fdata() > 0) @ mask.affine[:3, :3].T
        + mask.affine[:3, 3]
    )
    centre = (at.max(axis=0) + at.min(axis=0)) / 2
    inside = (np.abs(at - centre) * scale <= 96).all(axis=1)
    return exact(inside.mean(), "MNI152 brain mask, about its centre")


def grid_points(distortion: str, parameter: str) -> Found:
    """Values that a distortion's parameter takes in the sweep."""
    from mmssl.robustness import spaces

    return exact(
        len(spaces.PARAMETER_SPACES[distortion][parameter]), f"{distortion}"
    )


def equipartition(
    batch: int, prototypes: int, iterations: int = 3, epsilon: float = 0.03
) -> Found:
    """Smallest mass that a prototype gets in Sinkhorn's solution, over B / K.

    Independent unit features of length 128 and prototypes; 1 where the batch
    is shared out evenly. Written here as in its equation: rows, then columns,
    in turn (002, section III-A).
    """
    rng = np.random.default_rng(0)
    z, c = (
        v / np.linalg.norm(v, axis=1, keepdims=True)
        for v in (rng.normal(size=(n, 128)) for n in (batch, prototypes))
    )
    q = np.exp(c @ z.T / epsilon)
    for _ in range(iterations):
        q /= q.sum(axis=1, keepdims=True) * prototypes
        q /= q.sum(axis=0, keepdims=True) * batch
    return exact(
        q.sum(axis=1).min() * prototypes, f"one random batch of {batch}"
    )


def _similarities(
    measure: str, people: int, dimensions: int, shared: float, draws: int
):
    """One measure in simulated studies, (draws,)."""
    from mmssl.similarity.measures import MEASURES

    if measure not in MEASURES:
        raise ValueError(f"measure={measure!r}: expected one of {MEASURES}")
    return np.array(
        [
            found[measure]
            for found in _studies(people, dimensions, shared, draws)
        ]
    )


@cache
def _studies(
    people: int, dimensions: int, shared: float, draws: int
) -> list[dict[str, float]]:
    """All measures of each simulated study."""
    from mmssl.similarity.inference import related
    from mmssl.similarity.measures import measures

    return [
        measures(*related(people, dimensions, shared, rng=(d, people)))
        for d in range(draws)
    ]


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
