r"""Preservational contrastive learning: a contrast, and the reconstruction of
diverse contexts (003, PCRL).

Each image is seen twice: by the ordinary encoder and by its momentum copy, in
crops that overlap, turned, and corrupted. A decoder reconstructs from each,
and from the mixture of both encoders' maps, the clean crop *turned once more*;
an attention tells it how. So the maps must hold what any turn of the image
needs.

With :math:`F` an encoder's maps, :math:`A` the attention
(`mmssl.models.transformation_attention`), :math:`D` the decoder and
:math:`X^1` the clean crop,

.. math::
    L = \tfrac12 L_c + \tfrac12 \sum_{s \in \{o, m, h\}}
    \mathrm{MSE}\bigl(D(A(F_s, T_s)), T_s(X^1_s)\bigr), \qquad
    X^1_h = \lambda X^1_o + (1 - \lambda) X^1_m ,

and :math:`L_c` the contrast with a queue (`mmssl.losses.preservation`) of
g(A(F_o, T_o)) with g(A(F_m, T_m)), g a mean over places and two linear layers.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmssl.losses.precision import promote
from mmssl.losses.preservation import queue_chance_level, queue_contrast
from mmssl.models.batchnorm import SharedUpdate
from mmssl.models.dcgan import Features
from mmssl.models.keyed_random import Stream
from mmssl.models.transformation_attention import (
    MODES,
    TransformationAttention,
)
from mmssl.models.unet import mixed
from mmssl.objectives.corruptions import (
    QUARTERS,
    blurred,
    crop_pairs,
    draw_turns,
    painted,
    resized,
    shuffled,
    turned,
)
from mmssl.objectives.term import Node, Term
from mmssl.objectives.views import Made, Volumes

ORDINARY, MOMENTUM = VIEWS = ("ordinary", "momentum")
HYBRID = "hybrid"
ENCODERS = (ORDINARY, MOMENTUM, HYBRID)
INPUT = "input"
TURNS = ("none", "flips", "all")
ALPHAS = (0.5, 1.0)

ABLATION = {
    "contrast": {"reconstruct": False},
    "restoration": {"contrast": False, "turns": "none", "hybrid": False},
    "self-reconstruction": {"turns": "none", "hybrid": False},
    "RotNet": {"reconstruct": False, "rotation": True},
    "attention-flips": {"turns": "flips", "hybrid": False},
    "attention": {"hybrid": False},
    "mixup-0.5": {"turns": "none", "alpha": 0.5},
    "mixup-1": {"turns": "none"},
}
"""Options of `PCRL` that make the rows of 003's tables 1 and 2, and the
restoration of images alone; the whole method has none.
"""


@dataclass(frozen=True)
class Corrupted:
    """One of the two views of an image: a crop, turned and then corrupted, and
    the clean crop turned anew as the target.

    Both views of a modality draw their crops together, so that they overlap;
    each modality has crops and turns of its own.

    Parameters
    ----------
    name : {"ordinary", "momentum"}
    turns : {"none", "flips", "all"}
        What targets undergo: nothing, flips, flips and rotations.
    shares : tuple of float
        Sides of a crop, as shares of the image's.
    least_overlap : float
        Of the two crops, intersection over union.
    scale : float
        Sides of what a network reads, as shares of the image's.
    """

    name: str
    turns: str = "all"
    shares: tuple[float, ...] = (0.75, 0.875, 1.0)
    least_overlap: float = 0.25
    scale: float = 1.0

    def __call__(self, volumes: Volumes, stream: Stream) -> Made:
        """The corrupted crops, the targets of this view's encoder and of the
        hybrid one, and the crops as they were before corruption.
        """
        corrupted: Volumes = {}
        targets: dict = {self.name: {}, HYBRID: {}, INPUT: {}}
        for m, images in volumes.items():
            # of both views
            both = Stream(stream.rows, stream.seed, stream.step, f"PCRL/{m}")
            own = stream.child(m)
            clean = self.crop(images, both)
            axes = images.dim() - 2
            turn = draw_turns(own.child("input"), axes, self._rotates(images))
            clean = turned(clean, turn)
            targets[INPUT][m] = clean, turn.indicator()
            for name, drawn in ((self.name, own), (HYBRID, both)):
                targets[name][m] = self.target(clean, drawn.child("target"))
            made = shuffled(clean, own)
            made = painted(made, own)
            corrupted[m] = blurred(made, own)
        return Made(corrupted, targets)

    def crop(self, images: Tensor, stream: Stream) -> Tensor:
        """This view's crop, at the sides of the network."""
        sides = images.shape[2:]
        boxes = crop_pairs(stream, sides, self.shares, self.least_overlap)
        read = [round(self.scale * side) for side in sides]
        return resized(images, boxes[VIEWS.index(self.name)], read)

    def target(self, clean: Tensor, stream: Stream) -> tuple[Tensor, Tensor]:
        """The clean crop, turned, and the indicator of the turn."""
        axes = clean.dim() - 2
        rotate = self.turns == "all" and self._rotates(clean)
        turn = draw_turns(stream, axes, rotate)
        if self.turns == "none":
            turn = turn._replace(flips=torch.zeros_like(turn.flips))
        return turned(clean, turn), turn.indicator()

    @staticmethod
    def _rotates(images: Tensor) -> bool:
        """Whether quarters leave the sides as they are."""
        return images.shape[2] == images.shape[3]


class _Seen(NamedTuple):
    """Of one encoder: its features, its last map behind the attention, and
    what is to be reconstructed from them.
    """

    features: Features
    last: Tensor
    target: Tensor


class PCRL(Term):
    """Contrast with a queue, and reconstruction from three encoders.

    With two modalities and more, the key of an image is another modality's of
    the same pair; with one, its own second view.

    Parameters
    ----------
    modalities : tuple of str
    queue : int
        How many earlier features of each modality to contrast with, the
        newest first.
    queued : tuple of str
        Whose features these are, of "ordinary", "momentum" and "hybrid": the
        momentum encoder's, as in 003's public code, or all three, as in its
        text, with which z came out of fewer dimensions on simulated people.
    temperature : float
    momentum : float
        Rate of the momentum copy, .99 in 003's text.
    alpha : {0.5, 1.0}
        Of the Beta distribution of the mixture's share, one share a row.
    turns : {"none", "flips", "all"}
        As of `Corrupted`; "none" is 003's self-reconstruction.
    contrast, reconstruct, hybrid : bool
        Whether to contrast, to reconstruct, and from the mixture too. Without
        contrast and with turns "none" images are restored, as in Models
        Genesis (Zhou et al. 2019).
    rotation : bool
        Whether to tell by how many quarters the input was turned, beside the
        contrast (RotNet, Gidaris et al. 2018; 003, table 2).
    mode : {"paper", "code"}
        Of the attention; "code" also contrasts the maps before it.
    shares, least_overlap, scale
        As of `Corrupted`. 003 reads patches of a volume, by a network that
        takes any sides; here heads are whole by default.
    positive : bool
        Whether the positive is in the contrast's denominator.

    Raises
    ------
    ValueError
        For another alpha, turns or mode, a queue below 1, or neither contrast
        nor reconstruction.
    """

    decoder = "maps"
    features = 128
    """Length of what is contrasted."""

    def __init__(
        self,
        modalities,
        queue: int = 1024,
        queued: tuple[str, ...] = (MOMENTUM,),
        temperature: float = 0.2,
        momentum: float = 0.99,
        alpha: float = 1.0,
        turns: str = "all",
        contrast: bool = True,
        reconstruct: bool = True,
        hybrid: bool = True,
        rotation: bool = False,
        mode: str = "paper",
        shares: tuple[float, ...] = (0.75, 0.875, 1.0),
        least_overlap: float = 0.25,
        scale: float = 1.0,
        positive: bool = True,
    ):
        super().__init__()
        for name, value, known in (
            ("alpha", alpha, ALPHAS),
            ("turns", turns, TURNS),
            ("mode", mode, MODES),
        ):
            if value not in known:
                raise ValueError(
                    f"PCRL: {name}={value!r}, expected one of {known}"
                )
        if queue < 1:
            raise ValueError(f"PCRL: queue={queue}, expected at least 1")
        known = ENCODERS if hybrid and reconstruct else VIEWS
        if not queued or set(queued) - set(ENCODERS):
            raise ValueError(
                f"PCRL: queued={queued!r}, expected some of {ENCODERS}"
            )
        if not set(queued) & set(known):
            raise ValueError(
                f"PCRL: queued={queued!r} without a hybrid encoder, expected "
                f"some of {known}"
            )
        if not contrast and not reconstruct:
            raise ValueError(
                "PCRL: contrast=False and reconstruct=False, expected one of "
                "them"
            )
        self.queued = tuple(queued)
        self.temperature = temperature
        self.momentum = momentum
        self.alpha = alpha
        self.contrast = contrast
        self.reconstruct = reconstruct
        self.hybrid = hybrid and reconstruct
        self.rotation = rotation
        self.mode = mode
        self.positive = positive
        shares = tuple(shares)
        self.views = {
            name: Corrupted(name, turns, shares, least_overlap, scale)
            for name in VIEWS
        }
        for m in modalities:
            earlier = torch.zeros(queue, self.features)
            self.register_buffer(f"queue_{m}", earlier)
            filled = torch.zeros(queue, dtype=torch.bool)
            self.register_buffer(f"filled_{m}", filled)

    def heads(self, encoder: nn.Module, dims: int) -> dict[str, nn.Module]:
        """The attention and the projector g of a modality, and what tells a
        rotation.
        """
        channels = encoder.local_channels
        indicators = dims + 4
        heads = {
            "attention": TransformationAttention(
                channels, indicators, dims, self.mode
            ),
            "projector": nn.Sequential(
                nn.Linear(channels, self.features),
                nn.ReLU(),
                nn.Linear(self.features, self.features),
            ),
        }
        if self.rotation:
            heads["rotation"] = nn.Linear(encoder.latent, QUARTERS)
        return heads

    def graph(self, modalities):
        """z_i with z_j, or with itself where there is one modality, and z_i to
        the reconstruction.
        """
        edges = []
        if self.contrast:
            for i, j in self.contrasted(modalities):
                edges.append((Node("z", j), Node("z", i)))
        if self.reconstruct:
            for m in modalities:
                edges.append((Node("z", m), Node("reconstruction", m)))
        return edges

    @staticmethod
    def contrasted(modalities) -> list[tuple[str, str]]:
        """Pairs of modalities: of the query, and of the key."""
        if len(modalities) == 1:
            return [(modalities[0], modalities[0])]
        return [(i, j) for i in modalities for j in modalities if i != j]

    def forward(self, ctx):
        """Half the contrast, summed over pairs, plus half the reconstructions,
        summed over encoders and modalities.
        """
        queries, keys, errors, chance = {}, {}, [], []
        rotations = []
        self.newest = {}
        for m in self._there(ctx):
            seen = self._seen(ctx, m)
            projected = self._projections(ctx, m, seen)
            queries[m], keys[m] = projected[ORDINARY], projected[MOMENTUM]
            self.newest[m] = [
                projected[name].detach()
                for name in self.queued
                if name in projected
            ]
            if self.reconstruct:
                errors += self._errors(ctx, m, seen)
                chance += [one.target.var(0).mean() for one in seen.values()]
            if self.rotation:
                rotations.append(self._rotation(ctx, m))
        contrast, contrast_chance = self._contrast(ctx, queries, keys)
        reconstruction = ctx.total(errors)
        parts = {"contrast": contrast, "reconstruction": reconstruction}
        levels = ctx.total(chance).detach() + contrast_chance
        if self.rotation:
            parts["rotation"] = ctx.total(rotations)
            levels = levels + len(rotations) * math.log(QUARTERS)
        loss = 0.5 * sum(parts.values())
        return {"loss": loss, "chance": 0.5 * levels, **parts}

    def _there(self, ctx) -> list[str]:
        """Modalities that two rows of all processes at least have."""
        edges = [(Node("z", m), Node("z", m)) for m in ctx.modalities]
        return [source.modality for source, _ in ctx.possible(edges)]

    def _seen(self, ctx, m: str) -> dict[str, _Seen]:
        """What the ordinary, the momentum and the hybrid encoder see of a
        modality.
        """
        first, second = (ctx.view(name).targets for name in VIEWS)
        ordinary = ctx.features(m, ORDINARY)
        momentum = ctx.features(m, MOMENTUM, momentum=True)
        seen = {
            ORDINARY: (ordinary, *first[ORDINARY][m]),
            MOMENTUM: (momentum, *second[MOMENTUM][m]),
        }
        if self.hybrid:
            share = ctx.rng("share", m).uniform("")
            if self.alpha == 0.5:  # the arcsine distribution
                share = torch.sin(math.pi / 2 * share).square()
            target, indicator = first[HYBRID][m]
            other, _ = second[HYBRID][m]
            weight = share.view(-1, *(1,) * (target.dim() - 1))
            target = torch.lerp(other, target, weight)
            seen[HYBRID] = mixed(ordinary, momentum, share), target, indicator
        attended = {}
        for name, (features, target, indicator) in seen.items():
            last = ctx.further_head(
                m,
                "attention",
                features.local,
                indicator,
                momentum=name == MOMENTUM,
            )
            attended[name] = _Seen(features, last, promote(target))
        return attended

    def projections(self, ctx) -> dict[str, dict[str, Tensor]]:
        """What is contrasted: modality -> encoder -> (rows, features)."""
        projected = {}
        for m in self._there(ctx):
            projected[m] = self._projections(ctx, m, self._seen(ctx, m))
        return projected

    @property
    def comparable(self) -> bool:
        """False with a contrast, whose loss falls by as much as features have
        drifted away from those in the queue, and rises again as they settle.
        """
        return not self.contrast

    def queue(self, m: str) -> Tensor:
        """Earlier features of a modality, the newest first, (n, features)."""
        return self.get_buffer(f"queue_{m}")[self.get_buffer(f"filled_{m}")]

    def _projections(self, ctx, m: str, seen) -> dict[str, Tensor]:
        """g of each encoder, of every row of all processes, (rows,
        features).
        """
        projected = {}
        for name, one in seen.items():
            read = one.last if self.mode == "paper" else one.features.local
            found = ctx.further_head(
                m,
                "projector",
                read.flatten(2).mean(2),
                momentum=name == MOMENTUM,
            )
            projected[name] = ctx.gather(ctx.spread(found, m))
        return projected

    def _errors(self, ctx, m: str, seen) -> list[Tensor]:
        """Mean squared error of the reconstruction from each encoder."""
        decoder = ctx.objective.decoders[m]
        errors = []
        for number, one in enumerate(seen.values()):
            with SharedUpdate(decoder, len(seen), number):
                output = ctx.decode_maps(m, one.last, one.features.maps)
            each = (promote(output) - one.target).square().flatten(1).mean(1)
            each = ctx.gather(ctx.spread(each, m))
            errors.append(ctx.among(each, m).mean())
        return errors

    def _rotation(self, ctx, m: str) -> Tensor:
        """Cross-entropy of the quarters by which the input was turned."""
        _, indicator = ctx.view(ORDINARY).targets[INPUT][m]
        quarters = indicator[:, -QUARTERS:].argmax(1)
        z = ctx.features(m, ORDINARY).z
        logits = promote(ctx.further_head(m, "rotation", z))
        each = F.cross_entropy(logits, quarters, reduction="none")
        return ctx.among(ctx.gather(ctx.spread(each, m)), m).mean()

    def _contrast(self, ctx, queries, keys) -> tuple[Tensor, Tensor]:
        """Sum over pairs of the contrast with the queue of the key's modality,
        and its level by chance; nothing while the queue is empty.
        """
        losses, chance = [], 0.0
        pairs = self.contrasted(ctx.modalities) if self.contrast else []
        for i, j in pairs:
            edge = (Node("z", i), Node("z", j))
            if i not in queries or j not in keys or not ctx.possible([edge]):
                continue
            queue = self.queue(j)
            if not len(queue):
                continue
            query = ctx.among(queries[i], i, j)
            key = ctx.among(keys[j], i, j)
            losses.append(
                queue_contrast(
                    query, key, queue, self.temperature, self.positive
                )
            )
            chance += queue_chance_level(len(queue), self.positive)
        return ctx.total(losses), torch.tensor(chance)

    @torch.no_grad()
    def after_step(self, ctx):
        """Push the features of this step, the newest first."""
        for m, parts in self.newest.items():
            queue = self.get_buffer(f"queue_{m}")
            filled = self.get_buffer(f"filled_{m}")
            newest = torch.cat([ctx.among(part, m) for part in parts])
            new = torch.ones_like(newest[:, 0], dtype=torch.bool)
            queue.copy_(torch.cat([newest, queue])[: len(queue)])
            filled.copy_(torch.cat([new, filled])[: len(filled)])
