"""The contract between a term of a loss and the objective that sums terms.

For each step the objective wraps a :class:`Batch` in a :class:`Context` and
hands that to every :class:`Term`. A term

1. declares as class attributes what must be made for it: views of the batch,
   convolutional heads, decoders, a momentum copy, labels;
2. declares with :meth:`Term.graph` which representations it relates, as edges
   between nodes; the loss runs over them and the figure of an objective draws
   them;
3. reads what it needs from the context, which makes each thing once, and
   returns its loss;
4. owns its parameters and buffers, so that ``state_dict`` of the objective is
   the whole checkpoint, and knows no other term.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmssl.models.batchnorm import is_synchronised
from mmssl.models.dcgan import Encoder, Features
from mmssl.models.keyed_random import Stream
from mmssl.objectives.views import View, ViewSpec


class Node(NamedTuple):
    """Something of one modality that a term relates.

    Attributes
    ----------
    kind : {"c", "z", "reconstruction", "label", "code"}
        Convolutional embedding, global representation, decoder output, label,
        assignment to prototypes.
    modality : str
    """

    kind: str
    modality: str


Edge = tuple[Node, Node]


def cross_edges(modalities: Sequence[str], kind: str, anchor: str) -> list:
    """Edges from a ``kind`` of modality j to the ``anchor`` kind of modality
    i, one for each ordered pair (i, j) of different modalities.
    """
    edges = []
    for i, j in permutations(modalities, 2):
        edges.append((Node(kind, j), Node(anchor, i)))
    return edges


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
    present : dict of Tensor of bool (B,)
        Of the modalities that some rows of the cohort lack: which rows of the
        batch have it. Views, rows and labels of such a modality hold these
        rows alone.
    """

    views: dict[str, View]
    rows: dict[str, Tensor]
    labels: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    step: int = 0
    seed: int = 0
    present: dict[str, Tensor] = field(default_factory=dict)


class Context:
    """What the terms of one step read: features, embeddings and keyed random
    numbers, each made once.

    Parameters
    ----------
    objective : Objective
        Owner of encoders, heads, decoders and their momentum copy.
    batch : Batch
    """

    def __init__(self, objective: nn.Module, batch: Batch):
        self.objective = objective
        self.batch = batch
        self._memo: dict[tuple, Tensor | Features] = {}

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities of the objective."""
        return self.objective.modalities

    def pairs(self) -> list[tuple[str, str]]:
        """Ordered pairs (i, j) of different modalities."""
        return list(permutations(self.modalities, 2))

    def possible(self, edges: Sequence[Edge], least: int = 2) -> list[Edge]:
        """Those of the edges whose two modalities at least so many rows of
        all processes have.
        """
        kept = []
        for source, target in edges:
            shared = self.shared(source.modality, target.modality)
            if shared is None or len(shared) >= least:
                kept.append((source, target))
        return kept

    def among(self, x: Tensor, *modalities: str) -> Tensor:
        """Those rows of ``x``, one for each of all processes, that have every
        one of some modalities; ``x`` itself where nobody lacks any.
        """
        shared = self.shared(*modalities)
        return x if shared is None else x[shared]

    def shared(self, *modalities: str) -> Tensor | None:
        """Indices of the rows of all processes that have every one of some
        modalities; None where nobody lacks any.
        """
        lacked = [m for m in modalities if m in self.batch.present]
        if not lacked:
            return None
        key = ("shared", *lacked)
        if key not in self._memo:
            there = torch.stack([self.present(m) for m in lacked])
            self._memo[key] = there.all(0).nonzero().flatten()
        return self._memo[key]

    def present(self, m: str) -> Tensor:
        """Whether each row of all processes has a modality that some lack:
        bool (rows,).
        """
        key = ("present", m)
        if key not in self._memo:
            own = self.batch.present[m].to(torch.uint8)
            self._memo[key] = self.gather(own).bool()
        return self._memo[key]

    def spread(self, x: Tensor, m: str) -> Tensor:
        """From the rows of this process that have a modality, (n, …), to all
        of its rows, (B, …): 0 for the others.
        """
        if m not in self.batch.present:
            return x
        own = self.batch.present[m]
        rows = own.nonzero().flatten()
        return x.new_zeros(len(own), *x.shape[1:]).index_copy(0, rows, x)

    def nothing(self) -> Tensor:
        """0 that is connected to the graph: the loss of a term that no row of
        the step has the images for.
        """
        return next(self.objective.parameters()).sum() * 0

    def total(self, losses: Sequence[Tensor]) -> Tensor:
        """Sum of losses; of none, `nothing`."""
        return torch.stack(losses).sum() if losses else self.nothing()

    def view(self, name: str = "main") -> View:
        """A view of the batch."""
        return self.batch.views[name]

    @property
    def main_view(self) -> str:
        """Name of the view that says what a batch is: "main", or the first
        where no term reads that.
        """
        views = self.batch.views
        return "main" if "main" in views else next(iter(views))

    def rng(self, purpose: str, modality: str | None = None) -> Stream:
        """Random numbers keyed by seed, step, row and purpose, one stream a
        row.
        """
        rows = self.batch.rows[modality or self.modalities[0]]
        key = f"{purpose}/{modality or ''}"
        return Stream(rows, self.batch.seed, self.batch.step, key)

    def features(
        self, m: str, view: str = "main", momentum: bool = False
    ) -> Features:
        """Features of one modality in one view; those of the momentum copy
        carry no gradient.
        """
        key = ("features", m, view, momentum)
        if key not in self._memo:
            encoders = self._networks(momentum).encoders
            # modalities of one encoder pass it together: its batch norm sees
            # them all, as it does in evaluation mode
            names = [n for n in self.modalities if encoders[n] is encoders[m]]
            volumes = [self._volumes(n, view, encoders[m]) for n in names]
            stream = self._joined_rng(f"dropout/{view}", names)
            with self._gradients(momentum):
                joined = torch.cat(volumes) if len(names) > 1 else volumes[0]
                features = _output(encoders[m], joined, stream)
            parts = _split(features, [len(x) for x in volumes])
            for n, part in zip(names, parts, strict=True):
                self._memo["features", n, view, momentum] = part
        return self._memo[key]

    def _volumes(self, m: str, view: str, encoder: nn.Module) -> Tensor:
        """The volumes of a view as an encoder takes them."""
        volumes = self.view(view).volumes[m]
        if not isinstance(encoder, Encoder):
            # a backbone may begin in place, and terms read the volumes
            return volumes.clone()
        # DCGAN's takes one size alone
        sides = encoder.input_shape[1:]
        if tuple(volumes.shape[2:]) == sides or not len(volumes):
            return volumes
        mode = {4: "bilinear", 5: "trilinear"}[volumes.dim()]
        return F.interpolate(volumes, sides, mode=mode)

    def _joined_rng(self, purpose: str, names: Sequence[str]) -> Stream:
        """The streams of several modalities' rows, one after the other."""
        if len(names) == 1:
            return self.rng(purpose, names[0])
        rows = []
        for number, m in enumerate(names):
            # apart from those of the other modalities
            rows.append(self.batch.rows[m] + (number << 32))
        key = f"{purpose}/{'+'.join(names)}"
        return Stream(torch.cat(rows), self.batch.seed, self.batch.step, key)

    def head(
        self, m: str, role: str, features: Features, momentum: bool = False
    ) -> Tensor:
        """Embedding of features: role "local" (B, D, locations), role "latent"
        (B, D) as it is.
        """
        if role == "latent":
            return features.z
        # features live as long as the memo, so their identity is a safe key
        key = ("head", m, role, id(features), momentum)
        if key not in self._memo:
            head = self._networks(momentum).heads[m]
            with self._gradients(momentum):
                self._memo[key] = _output(head, features.local)
        return self._memo[key]

    def further_head(
        self, m: str, role: str, *inputs: Tensor, momentum: bool = False
    ) -> Tensor:
        """What a head of a term's own (:meth:`Term.heads`) gives; of the
        momentum copy without gradients.
        """
        head = self._networks(momentum).further_heads[m][role]
        with self._gradients(momentum):
            return _output(head, *inputs)

    def joint_head(
        self, role: str, inputs: dict[str, Tensor], momentum: bool = False
    ) -> dict[str, Tensor]:
        """What a head of a term's own gives for several modalities: those that
        share it pass it together.
        """
        heads = self._networks(momentum).further_heads
        outputs = {}
        for m in inputs:
            if m in outputs:
                continue
            head = heads[m][role]
            names = [n for n in inputs if heads[n][role] is head]
            joined = torch.cat([inputs[n] for n in names])
            with self._gradients(momentum):
                output = _output(head, joined)
            parts = output.split([len(inputs[n]) for n in names])
            outputs |= dict(zip(names, parts, strict=True))
        return {m: outputs[m] for m in inputs}

    def decode_maps(
        self, m: str, local: Tensor, maps: Sequence[Tensor]
    ) -> Tensor:
        """Output of the decoder of one modality that reads maps."""
        return _output(self.objective.decoders[m], local, maps)

    def decode(self, m: str, features: Features) -> Tensor:
        """Output of the decoder of one modality that reads z."""
        return _output(self.objective.decoders[m], features.z)

    def local(self, m: str) -> Tensor:
        """Convolutional embedding of the main view over all processes, (B, D,
        locations).
        """
        key = ("local", m)
        if key not in self._memo:
            embedding = self.head(m, "local", self.features(m))
            self._memo[key] = self.gather(self.spread(embedding, m))
        return self._memo[key]

    def latent(self, m: str) -> Tensor:
        """Global embedding of the main view over all processes, (B, D)."""
        key = ("latent", m)
        if key not in self._memo:
            embedding = self.head(m, "latent", self.features(m))
            self._memo[key] = self.gather(self.spread(embedding, m))
        return self._memo[key]

    def places(self, m: str) -> Tensor:
        """Locations of the convolutional embedding that lie in the brain:
        indices, int64 (places,).

        A place counts where at least half of the voxels it stands for are not
        0, in at least half of the rows of all processes.
        """
        key = ("places", m)
        if key not in self._memo:
            volumes = self.view().volumes[m]
            side = self.features(m).local.shape[-1]
            pool = {4: F.adaptive_avg_pool2d, 5: F.adaptive_avg_pool3d}
            shown = (volumes != 0).any(1, keepdim=True).float()
            share = pool[volumes.dim()](shown, side).flatten(1)
            share = self.among(self.gather(self.spread(share, m)), m)
            typical = share.median(0).values
            self._memo[key] = (typical >= 0.5).nonzero().flatten()
        return self._memo[key]

    def random_location(self, m: str, inside: bool = False) -> Tensor:
        """Convolutional embedding at one random location of each row of all
        processes, (B, D); ``inside``: of :meth:`places` alone.
        """
        key = ("random location", m, inside)
        if key not in self._memo:
            embedding = self.head(m, "local", self.features(m))
            if inside:
                embedding = embedding[..., self.places(m)]
            _, channels, locations = embedding.shape
            index = self.rng("location", m).integers("", locations)
            index = index.view(-1, 1, 1).expand(-1, channels, 1)
            chosen = embedding.gather(2, index)[..., 0]
            self._memo[key] = self.gather(self.spread(chosen, m))
        return self._memo[key]

    def gather(self, x: Tensor) -> Tensor:
        """Rows of all processes in rank order, differentiable; ``x`` itself in
        a single process.
        """
        distributed = torch.distributed
        if not distributed.is_available() or not distributed.is_initialized():
            return x
        return _Gather.apply(x)

    def _networks(self, momentum: bool) -> nn.Module:
        """The owner of encoders and heads: trained ones or their copy."""
        return self.objective.momentum_copy if momentum else self.objective

    def _gradients(self, momentum: bool) -> torch.set_grad_enabled:
        """Gradients as outside, but none for the momentum copy."""
        enabled = torch.is_grad_enabled() and not momentum
        return torch.set_grad_enabled(enabled)


def _output(network: nn.Module, x: Tensor, *further) -> Tensor | Features:
    """What a network gives for a batch; for one without rows, as a process
    may have of a modality, in evaluation mode: it has no statistics, unless
    they are those of all processes.
    """
    if len(x) or not network.training or is_synchronised(network):
        return network(x, *further)
    network.eval()
    try:
        return network(x, *further)
    finally:
        network.train()


def _split(features: Features, numbers: Sequence[int]) -> list[Features]:
    """Features of the rows of several modalities, one after the other."""
    if len(numbers) == 1:
        return [features]
    z = features.z.split(numbers)
    local = features.local.split(numbers)
    maps = [x.split(numbers) for x in features.maps]
    parts = []
    for k in range(len(numbers)):
        parts.append(Features(z[k], local[k], tuple(x[k] for x in maps)))
    return parts


class Term(nn.Module):
    """A summand of the loss.

    :meth:`forward` reads the features of a batch from its context and returns
    ``{"loss": …, "penalty": …}``; any other key is only logged. "chance" is
    the loss of features that say nothing, where there is such a value: the
    line that a figure draws beside the loss. A constructor
    that names ``modalities`` or ``latent`` is given them by
    :func:`mmssl.objectives.language.build`; its other parameters are options
    of the objective.

    Attributes
    ----------
    views : ViewSpec
        Views the term needs, by name; None is the run's own augmentation.
    local_head : bool
        Whether each modality's convolutional head is used.
    decoder : {None, "latent", "maps"}
        What each modality's decoder reads, if the term uses one: z, or an
        encoder's maps.
    pairwise : bool
        Whether the term relates modalities and so needs two of them.
    supervised : bool
        Whether the term learns labels; its constructor then takes ``task`` and
        ``classes``, which training fills in from the cohort.
    task : str or None
        Name of the label that a supervised term learns.
    momentum : float or None
        Rate of the momentum copy of encoders and heads, if the term reads one.
    sampling : {None, "class", "modality"}
        How rows must be drawn; "class" balances the classes of ``task``,
        "modality" draws as many images of each modality, whoever's they are.
    comparable : bool
        Whether the loss may be compared with that of other epochs, so that the
        best of them can be kept; otherwise the last one is.
    images_shown : int
        How many training images of each modality `learn_images` is shown.
    """

    views: ViewSpec = {"main": None}
    comparable = True
    local_head = False
    decoder: str | None = None
    pairwise = False
    supervised = False
    task: str | None = None
    momentum: float | None = None
    sampling: str | None = None
    images_shown = 0

    def graph(self, modalities: Sequence[str]) -> list[Edge]:
        """Edges of the term: what :meth:`forward` runs over and what a figure
        of it shows.
        """
        raise NotImplementedError

    def forward(self, ctx: Context) -> dict[str, Tensor]:
        """Loss of the batch in ``ctx``."""
        raise NotImplementedError

    def heads(self, encoder: nn.Module, dims: int) -> dict[str, nn.Module]:
        """Heads of the term's own for the encoder of a modality, by their
        roles; the momentum copy follows them.
        """
        return {}

    def check_batch(self, size: int) -> None:
        """ValueError where steps of so many rows, over all processes, will not
        do.
        """

    def learn_images(self, images: dict[str, Tensor]) -> None:
        """Before the first step: what the term's views must know of the
        training people's standardised images, {modality: (n, C, *sides)}, of
        which it is shown the first `images_shown`.
        """

    def before_forward(self, step: int) -> None:
        """Before a step's forward pass (normalise prototypes, say)."""

    def after_backward(self, step: int) -> None:
        """After the gradients exist (drop frozen ones, say)."""

    def after_step(self, ctx: Context) -> None:
        """After the optimiser's step (enqueue keys, say)."""


class _Gather(torch.autograd.Function):
    """All-gather whose gradient sums, over the processes, the gradients with
    respect to the rows of this one.
    """

    # torch.distributed.nn.functional.all_gather, which Lightning calls too, is
    # deprecated, and what replaces it is private

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        """The rows of all processes, in their order."""
        world = torch.distributed.get_world_size()
        parts = [torch.empty_like(x) for _ in range(world)]
        torch.distributed.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        """What all processes ask of the rows of this one."""
        gradient = gradient.contiguous()
        torch.distributed.all_reduce(gradient)
        world = torch.distributed.get_world_size()
        return gradient.chunk(world)[torch.distributed.get_rank()]
