"""The objective language: "CR-XX-CC" is a sum of terms over the features of the modalities.

    volumes {"T1": x, "fALFF": x} --encoders--> Features(z, local) --terms--> loss, named parts

`parse` reads a name, `build` makes the module that owns encoders, heads, decoders and terms, and a
`Context` is what the terms of one step see: lazy and memoised, so each feature is computed once
however many terms read it. Nothing here assumes two modalities.
"""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from mmssl.augment import View, merge
from mmssl.keyed import Stream
from mmssl.models import ConvolutionalHead, Decoder, Encoder, Features
from mmssl.terms import TERMS, Edge, Term

# 001 and 000 spell the connections L, CL, CS, S; two combinations have names of their own
SYNONYMS = {"L": "CR", "CL": "XX", "CS": "CC", "S": "RR"}
NAMED = {"DCCAE": "CCA-AE", "Supervised": "CE"}


def parse(name: str) -> tuple[str, ...]:
    """Read the name of an objective.

    Parameters
    ----------
    name : str
        Terms joined by "-", case-sensitive, in either spelling of the papers: "CR-XX-CC" (004) is
        "L-CL-CS" (001, 000); "RR-AE" is "S-AE"; "Supervised" is "CE".

    Returns
    -------
    tuple of str
        The terms in the order written, in 004's spelling.

    Raises
    ------
    ValueError
        For a term that is unknown or comes twice.

    Examples
    --------
    >>> parse("L-CL-CS")
    ('CR', 'XX', 'CC')
    """
    words = tuple(SYNONYMS.get(word, word) for word in NAMED.get(name, name).split("-"))
    for word in words:
        if word not in TERMS:
            known = ", ".join([*TERMS, *SYNONYMS, *NAMED])
            raise ValueError(f"objective {name!r}: unknown term {word!r}, expected of: {known}")
        if words.count(word) > 1:
            raise ValueError(f"objective {name!r}: term {word!r} comes twice")
    return words


@dataclass
class Batch:
    """What one step works on.

    Attributes
    ----------
    views : dict of View
    rows : dict of Tensor (B,)
        For each modality, the rows' index in the step's global draw (unique in a step, the same on
        any number of processes); keys of the random numbers.
    labels : dict
        {modality: {task: int64 (B,)}}, -1 where missing.
    step, seed : int
    """

    views: dict[str, View]
    rows: dict[str, Tensor]
    labels: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    step: int = 0
    seed: int = 0


class Context:
    """What the terms of one step see: features, embeddings and keyed randomness, each made once."""

    def __init__(self, objective: "Objective", batch: Batch):
        self.objective, self.batch = objective, batch
        self._memo: dict = {}

    def _once(self, key: tuple, make: Callable):
        if key not in self._memo:
            self._memo[key] = make()
        return self._memo[key]

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities of the objective."""
        return self.objective.modalities

    def pairs(self) -> list[tuple[str, str]]:
        """Ordered pairs (i, j) of different modalities."""
        return [(i, j) for i in self.modalities for j in self.modalities if i != j]

    def view(self, name: str = "main") -> View:
        """A view of the batch."""
        return self.batch.views[name]

    def rng(self, purpose: str, modality: str | None = None) -> Stream:
        """Random numbers keyed by seed, step, row and purpose, one stream a row."""
        rows = self.batch.rows[modality or self.modalities[0]]
        return Stream(rows, self.batch.seed, self.batch.step, f"{purpose}/{modality or ''}")

    def features(self, m: str, view: str = "main", momentum: bool = False) -> Features:
        """Features of one modality in one view; the momentum copy's carry no gradient."""

        def encode() -> Features:
            stream = self.rng(f"dropout/{view}", m)
            with torch.set_grad_enabled(torch.is_grad_enabled() and not momentum):
                networks = self.objective.momentum_copy if momentum else self.objective
                return networks.encoders[m](self.view(view).volumes[m], stream)

        return self._once(("features", m, view, momentum), encode)

    def head(self, m: str, role: str, features: Features, momentum: bool = False) -> Tensor:
        """Embedding of features: role "local" (B, D, locations), role "latent" (B, D) as it is."""
        if role == "latent":
            return features.z

        def project() -> Tensor:
            with torch.set_grad_enabled(torch.is_grad_enabled() and not momentum):
                networks = self.objective.momentum_copy if momentum else self.objective
                return networks.heads[m](features.local)

        # the features stay alive in the memo, so their identity is a safe key
        return self._once(("head", m, role, id(features), momentum), project)

    def decode(self, m: str, features: Features, condition: Tensor | None = None) -> Tensor:
        """Decoder output of one modality; a condition is handed to decoders that take one."""
        decoder = self.objective.decoders[m]
        return decoder(features.z) if condition is None else decoder(features.z, condition)

    def local(self, m: str) -> Tensor:
        """Convolutional embedding of the main view over all processes, (B, D, locations)."""
        embed = partial(self.head, m, "local")
        return self._once(("local", m), lambda: self.gather(embed(self.features(m))))

    def latent(self, m: str) -> Tensor:
        """Global embedding of the main view over all processes, (B, D)."""
        embed = partial(self.head, m, "latent")
        return self._once(("latent", m), lambda: self.gather(embed(self.features(m))))

    def random_location(self, m: str) -> Tensor:
        """Convolutional embedding at one random location of each row of all processes, (B, D)."""

        def take() -> Tensor:
            embedding = self.head(m, "local", self.features(m))
            at = self.rng("location", m).integers("", embedding.shape[2])
            at = at.view(-1, 1, 1).expand(-1, embedding.shape[1], 1)
            return self.gather(embedding.gather(2, at)[..., 0])

        return self._once(("random location", m), take)

    def gather(self, x: Tensor) -> Tensor:
        """Rows of all processes in rank order, differentiable; ``x`` itself in a single process."""
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return x
        return _Gather.apply(x)


class _Gather(torch.autograd.Function):
    """All-gather whose gradient is the sum over processes of what each made of this one's rows."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        torch.distributed.all_reduce(gradient)
        world, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
        return gradient.chunk(world)[rank]


class Objective(nn.Module):
    """Encoders, heads, decoders and weighted terms; `state_dict` is the whole of it.

    Total loss = Σ weight · loss + Σ penalty. Made by :func:`build`.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        heads: Mapping[str, nn.Module],
        decoders: Mapping[str, nn.Module],
        terms: Mapping[str, Term],
        weights: Mapping[str, float],
    ):
        super().__init__()
        self.modalities = tuple(encoders)
        self.encoders, self.heads = nn.ModuleDict(encoders), nn.ModuleDict(heads)
        self.decoders, self.terms = nn.ModuleDict(decoders), nn.ModuleDict(terms)
        self.weights = {name: float(weights.get(name, 1.0)) for name in terms}
        self.views = merge([term.views for term in terms.values()])
        self.sampling = _agreed("sampling", terms, needs_all="class")
        self.momentum_rate = _agreed("momentum", terms)
        if self.momentum_rate is not None:
            trained = nn.ModuleDict({"encoders": self.encoders, "heads": self.heads})
            self.momentum_copy = copy.deepcopy(trained).requires_grad_(False)

    @property
    def supervised(self) -> bool:
        """Whether any term uses labels."""
        return any(term.supervised for term in self.terms.values())

    @property
    def graph(self) -> dict[str, list[Edge]]:
        """Edges of each term, by its name: the same that the loss is computed over."""
        return {name: term.graph(self.modalities) for name, term in self.terms.items()}

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], Context]:
        """Total loss, its named parts (unweighted) and the context they were computed in."""
        ctx = Context(self, batch)
        total, parts = 0.0, {}
        for name, term in self.terms.items():
            out = term(ctx)
            total = total + self.weights[name] * out["loss"] + out.get("penalty", 0.0)
            parts |= {f"{name}/{key}": value for key, value in out.items()}
        return total, parts, ctx

    @torch.no_grad()
    def update_momentum(self) -> None:
        """Move the momentum copy, buffers included, towards the trained networks."""
        if self.momentum_rate is None:
            return
        trained = {**_state("encoders", self.encoders), **_state("heads", self.heads)}
        for name, slow in self.momentum_copy.state_dict().items():
            if slow.is_floating_point():
                slow.lerp_(trained[name], 1 - self.momentum_rate)
            else:
                slow.copy_(trained[name])


def _state(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": value for name, value in module.state_dict().items()}


def _agreed(attribute: str, terms: Mapping[str, Term], needs_all: str | None = None):
    """The one value that terms ask of an attribute; None if none asks.

    A value of ``needs_all`` only holds when every term asks for it: balancing classes drops
    unlabelled rows, which self-supervised terms want.
    """
    asked = {name: getattr(term, attribute) for name, term in terms.items()}
    values = {value for value in asked.values() if value is not None}
    if needs_all in values and len(set(asked.values())) > 1:
        values.discard(needs_all)
    if len(values) > 1:
        raise ValueError(f"terms disagree on {attribute}: {asked}")
    return next(iter(values), None)


def _make_terms(name: str, words: Sequence[str], given: Mapping, options: Mapping) -> dict:
    """Make the terms, handing each option to those whose constructor names it."""
    takes = {word: set(inspect.signature(TERMS[word]).parameters) for word in words}
    if unknown := set(options) - set().union(*takes.values()):
        known = sorted(set().union(*takes.values()) - set(given))
        raise ValueError(f"objective {name!r}: unknown {sorted(unknown)}, expected of {known}")
    known = {**given, **options}
    return {
        word: TERMS[word](**{k: v for k, v in known.items() if k in takes[word]}) for word in words
    }


def build(
    name: str,
    modalities: Sequence[str] = ("T1", "fALFF"),
    weights: Mapping[str, float] | None = None,
    backbone: Callable[[str], nn.Module] | None = None,
    *,
    in_channels: Mapping[str, int] | int = 1,
    width: int = 32,
    latent: int = 64,
    size: int = 64,
    dims: int = 3,
    dropout: float = 0.0,
    output: str | None = None,
    **options,
) -> Objective:
    """Make an objective from its name.

    Parameters
    ----------
    name : str
        In the language of :func:`parse`.
    modalities : sequence of str
        Two or more for terms over pairs, one or more otherwise.
    weights : mapping, optional
        Weight of each term's loss, 1 where absent; penalties are not weighted.
    backbone : callable, optional
        Modality -> encoder returning `Features`, with attributes ``latent`` and
        ``local_channels``; by default the DCGAN encoder of the sizes below.
    in_channels, width, latent, size, dims, dropout
        Of the DCGAN encoder and decoder; ``in_channels`` may differ by modality.
    output : {None, "sigmoid", "tanh"}
        Output activation of the decoders.
    **options
        Handed to the terms that take them: clip, penalty, negatives, exact; ridge, norm, memory;
        samples, looser, likelihood_scale, llik_scaling, learn_prior; classes, task.

    Returns
    -------
    Objective

    Raises
    ------
    ValueError
        For an unknown term, option or weight, or a pairwise objective of one modality.
    """
    words = parse(name)
    if unknown := set(weights or {}) - set(words):
        raise ValueError(f"objective {name!r}: weights for {sorted(unknown)}, expected of {words}")
    if len(set(modalities)) != len(modalities) or not modalities:
        raise ValueError(f"objective {name!r}: modalities {modalities}, expected distinct names")
    if len(modalities) < 2 and (pairwise := set(words) & {"XX", "CC", "RR", "CCA"}):
        raise ValueError(f"objective {name!r}: {sorted(pairwise)} need two modalities, got one")
    channels = in_channels if isinstance(in_channels, Mapping) else {}
    channels = {m: channels.get(m, 1) if channels else in_channels for m in modalities}
    shape = {"width": width, "latent": latent, "size": size, "dims": dims}

    def dcgan(m: str) -> nn.Module:
        return Encoder(channels[m], dropout=dropout, **shape)

    encoders = {m: (backbone or dcgan)(m) for m in modalities}
    latent = next(iter(encoders.values())).latent
    given = {"modalities": tuple(modalities), "latent": latent}
    terms = _make_terms(name, words, given, options)
    heads = decoders = {}
    if any(term.local_head for term in terms.values()):
        heads = {m: ConvolutionalHead(e.local_channels, latent, dims) for m, e in encoders.items()}
    if any(term.decoder for term in terms.values()):
        shape["latent"] = latent  # of the backbone
        decoders = {m: Decoder(channels[m], activation=output, **shape) for m in modalities}
    return Objective(encoders, heads, decoders, terms, weights or {})
