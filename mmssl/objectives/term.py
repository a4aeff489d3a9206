"""What a term is, and the graph it declares."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmssl.models.dcgan import Features
from mmssl.models.keyed_random import Stream
from mmssl.objectives.views import View, ViewSpec


@dataclass
class Batch:
    """What one step works on.

    Attributes
    ----------
    views : dict of View
    rows : dict of Tensor (B,)
        For each modality, the rows' index in the step's global draw (unique in
        a step, the same on any number of processes); keys of the random
        numbers.
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
    """What the terms of one step see: features, embeddings and keyed
    randomness, each made once.
    """

    def __init__(self, objective: nn.Module, batch: Batch):
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
        return [
            (i, j) for i in self.modalities for j in self.modalities if i != j
        ]

    def view(self, name: str = "main") -> View:
        """A view of the batch."""
        return self.batch.views[name]

    def rng(self, purpose: str, modality: str | None = None) -> Stream:
        """Random numbers keyed by seed, step, row and purpose, one stream a
        row.
        """
        rows = self.batch.rows[modality or self.modalities[0]]
        return Stream(
            rows,
            self.batch.seed,
            self.batch.step,
            f"{purpose}/{modality or ''}",
        )

    def features(
        self, m: str, view: str = "main", momentum: bool = False
    ) -> Features:
        """Features of one modality in one view; the momentum copy's carry no
        gradient.
        """

        def encode() -> Features:
            stream = self.rng(f"dropout/{view}", m)
            with torch.set_grad_enabled(
                torch.is_grad_enabled() and not momentum
            ):
                networks = (
                    self.objective.momentum_copy
                    if momentum
                    else self.objective
                )
                return networks.encoders[m](self.view(view).volumes[m], stream)

        return self._once(("features", m, view, momentum), encode)

    def head(
        self, m: str, role: str, features: Features, momentum: bool = False
    ) -> Tensor:
        """Embedding of features: role "local" (B, D, locations), role "latent"
        (B, D) as it is.
        """
        if role == "latent":
            return features.z

        def project() -> Tensor:
            with torch.set_grad_enabled(
                torch.is_grad_enabled() and not momentum
            ):
                networks = (
                    self.objective.momentum_copy
                    if momentum
                    else self.objective
                )
                return networks.heads[m](features.local)

        # the features stay alive in the memo, so their identity is a safe key
        return self._once(("head", m, role, id(features), momentum), project)

    def decode(
        self, m: str, features: Features, condition: Tensor | None = None
    ) -> Tensor:
        """Decoder output of one modality; a condition is handed to decoders
        that take one.
        """
        decoder = self.objective.decoders[m]
        return (
            decoder(features.z)
            if condition is None
            else decoder(features.z, condition)
        )

    def local(self, m: str) -> Tensor:
        """Convolutional embedding of the main view over all processes, (B, D,
        locations).
        """
        embed = partial(self.head, m, "local")
        return self._once(
            ("local", m), lambda: self.gather(embed(self.features(m)))
        )

    def latent(self, m: str) -> Tensor:
        """Global embedding of the main view over all processes, (B, D)."""
        embed = partial(self.head, m, "latent")
        return self._once(
            ("latent", m), lambda: self.gather(embed(self.features(m)))
        )

    def random_location(self, m: str) -> Tensor:
        """Convolutional embedding at one random location of each row of all
        processes, (B, D).
        """

        def take() -> Tensor:
            embedding = self.head(m, "local", self.features(m))
            at = self.rng("location", m).integers("", embedding.shape[2])
            at = at.view(-1, 1, 1).expand(-1, embedding.shape[1], 1)
            return self.gather(embedding.gather(2, at)[..., 0])

        return self._once(("random location", m), take)

    def gather(self, x: Tensor) -> Tensor:
        """Rows of all processes in rank order, differentiable; ``x`` itself in
        a single process.
        """
        if not (
            torch.distributed.is_available()
            and torch.distributed.is_initialized()
        ):
            return x
        return _Gather.apply(x)


class _Gather(torch.autograd.Function):
    """All-gather whose gradient is the sum over processes of what each made of
    this one's rows.
    """

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        parts = [
            torch.empty_like(x)
            for _ in range(torch.distributed.get_world_size())
        ]
        torch.distributed.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        torch.distributed.all_reduce(gradient)
        world, rank = (
            torch.distributed.get_world_size(),
            torch.distributed.get_rank(),
        )
        return gradient.chunk(world)[rank]


class Node(NamedTuple):
    """Something of one modality that a term relates.

    Attributes
    ----------
    kind : {"c", "z", "reconstruction", "label"}
        Convolutional embedding, global representation, decoder output, label.
    modality : str
    """

    kind: str
    modality: str


Edge = tuple[Node, Node]


class Term(nn.Module):
    """A summand of the loss.

    It reads the features of a batch from its context and returns ``{"loss": …,
    "penalty": …}``; any other key is only logged. It declares as class
    attributes what it needs made, owns its parameters and buffers, and knows
    no other term.

    Attributes
    ----------
    views : ViewSpec
        Views the term needs, by name; None is the run's own augmentation.
    local_head, decoder : bool
        Whether each modality's convolutional head, or decoder, is used.
    momentum : float or None
        Rate of the momentum copy of encoders and heads, if the term reads one.
    sampling : {None, "class", "modality"}
        How rows must be drawn.
    supervised : bool
        Whether the term uses labels.
    """

    views: ViewSpec = {"main": None}
    local_head = False
    decoder = False
    momentum: float | None = None
    sampling: str | None = None
    supervised = False

    def graph(self, modalities: Sequence[str]) -> list[Edge]:
        """Edges of the term: what :meth:`forward` runs over and what a figure
        of it shows.
        """
        raise NotImplementedError

    def forward(self, ctx: "Context") -> dict[str, Tensor]:
        """Loss of the batch in ``ctx``."""
        raise NotImplementedError

    def before_forward(self, step: int) -> None:
        """Before a step's forward pass (normalise prototypes, say)."""

    def after_backward(self, step: int) -> None:
        """After the gradients exist (drop frozen ones, say)."""

    def after_step(self, ctx: "Context") -> None:
        """After the optimiser's step (enqueue keys, say)."""
