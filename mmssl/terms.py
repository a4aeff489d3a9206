r"""The words of the objective language: one class a term, named as it is written.

A term reads the features of a batch from its context and returns ``{"loss": …, "penalty": …}``;
any other key is only logged. It declares as class attributes what it needs made (views, heads,
decoders, a momentum copy, a sampling of the rows), owns its parameters and buffers, and knows no
other term. Adding an objective is adding a class here.

The four contrastive terms are the edges of 004's taxonomy, with the convolutional embedding
:math:`c` and the global representation :math:`z` of modalities i and j, summed over ordered pairs.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmssl.augment import ViewSpec
from mmssl.losses import canonical_correlation, info_nce, info_nce_all_locations

if TYPE_CHECKING:
    from mmssl.objectives import Context


class Term(nn.Module):
    """What every term may say and do.

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

    def forward(self, ctx: "Context") -> dict[str, Tensor]:
        """Loss of the batch in ``ctx``."""
        raise NotImplementedError

    def before_forward(self, step: int) -> None:
        """Before a step's forward pass (normalise prototypes, say)."""

    def after_backward(self, step: int) -> None:
        """After the gradients exist (drop frozen ones, say)."""

    def after_step(self, ctx: "Context") -> None:
        """After the optimiser's step (enqueue keys, say)."""


class _Contrast(Term):
    """Shared options of the InfoNCE terms."""

    def __init__(self, clip: float = 20.0, penalty: float = 0.04, negatives: str = "locations"):
        super().__init__()
        self.options = {"clip": clip, "penalty": penalty, "negatives": negatives}

    def edges(self, ctx: "Context") -> list[tuple[Tensor, Tensor]]:
        """(local, anchor) of each edge of the objective's graph."""
        raise NotImplementedError

    def forward(self, ctx: "Context") -> dict[str, Tensor]:
        """Sum of InfoNCE over the term's edges."""
        parts = [info_nce(local, anchor, **self.options) for local, anchor in self.edges(ctx)]
        loss, penalty = (torch.stack(p).sum() for p in zip(*parts, strict=True))
        return {"loss": loss, "penalty": penalty}


class CR(_Contrast):
    """Convolution to representation of one modality: local Deep InfoMax (004: CR; 001: L)."""

    local_head = True

    def edges(self, ctx):
        """c_i with z_i."""
        return [(ctx.local(m), ctx.latent(m)) for m in ctx.modalities]


class XX(_Contrast):
    """Cross convolution to representation (004: XX; 001: CL): AMDIM, ST-DIM, CM-DIM."""

    local_head = True

    def edges(self, ctx):
        """c_j with z_i."""
        return [(ctx.local(j), ctx.latent(i)) for i, j in ctx.pairs()]


class RR(_Contrast):
    """Representation to representation (004: RR; 001: S): CMC, SimCLR."""

    def edges(self, ctx):
        """z_j with z_i."""
        return [(ctx.latent(j)[..., None], ctx.latent(i)) for i, j in ctx.pairs()]


class CC(_Contrast):
    """Convolution to convolution (004: CC; 001: CS).

    Parameters
    ----------
    exact : bool
        Contrast with every location of c_i as the anchor, in bounded chunks, instead of one drawn
        at random for each sample (the public code).
    """

    local_head = True

    def __init__(
        self,
        clip: float = 20.0,
        penalty: float = 0.04,
        negatives: str = "locations",
        exact: bool = False,
    ):
        super().__init__(clip, penalty, negatives)
        self.exact = exact
        if exact and negatives != "locations":
            raise ValueError("CC: exact=True is defined for negatives='locations' only")

    def edges(self, ctx):
        """All locations of c_j with one location of c_i."""
        anchors = {m: ctx.gather(ctx.random_location(m)) for m in ctx.modalities}
        return [(ctx.local(j), anchors[i]) for i, j in ctx.pairs()]

    def forward(self, ctx):
        """Sum over ordered pairs, sampled or exact."""
        if not self.exact:
            return super().forward(ctx)
        options = {k: self.options[k] for k in ("clip", "penalty")}
        parts = [
            info_nce_all_locations(ctx.local(j), ctx.local(i), **options) for i, j in ctx.pairs()
        ]
        loss, penalty = (torch.stack(p).sum() for p in zip(*parts, strict=True))
        return {"loss": loss, "penalty": penalty}


class AE(Term):
    """Autoencoder: mean squared error over all elements, summed over modalities (004, Fig. 3)."""

    decoder = True

    def forward(self, ctx):
        """Reconstruction error of the view from z."""
        losses = {}
        for m in ctx.modalities:
            output = ctx.decode(m, ctx.features(m)).float()
            losses[m] = F.mse_loss(output, ctx.view().volumes[m].float())
        return {"loss": torch.stack(list(losses.values())).sum(), **losses}


class CCA(Term):
    """Canonical correlation of z, over both orders of each pair (004: DCCAE, CR-CCA).

    Parameters
    ----------
    modalities : tuple of str
    latent : int
    ridge : float
    norm : {"nuclear", "frobenius"}
    memory : int
        Earlier rows to correlate together with the batch. They carry no gradient; they keep the
        covariances from being those of a batch hardly larger than the latent dimension.
    """

    def __init__(
        self, modalities, latent: int, ridge: float = 1e-3, norm: str = "nuclear", memory: int = 0
    ):
        super().__init__()
        self.options = {"ridge": ridge, "norm": norm}
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))
        for m in modalities:
            self.register_buffer(f"earlier_{m}", torch.zeros(memory, latent))

    def forward(self, ctx):
        """Negative correlation, summed over ordered pairs."""
        earlier = {m: self.get_buffer(f"earlier_{m}")[: int(self.filled)] for m in ctx.modalities}
        self.rows = {m: torch.cat([ctx.latent(m), x]) for m, x in earlier.items()}
        pairs = [(self.rows[i], self.rows[j]) for i, j in ctx.pairs() if i < j]
        correlations = [canonical_correlation(a, b, **self.options) for a, b in pairs]
        return {"loss": -2 * torch.stack(correlations).sum()}  # T and its transpose: both orders

    @torch.no_grad()
    def after_step(self, ctx):
        """Remember the newest rows."""
        for m, rows in self.rows.items():
            buffer = self.get_buffer(f"earlier_{m}")
            kept = rows[: len(buffer)]
            buffer[: len(kept)] = kept
            self.filled.fill_(len(kept))


class CE(Term):
    """Cross-entropy of a linear classifier on z, one a modality (004: Supervised).

    Rows without a label (-1) take no part; a batch with no label gives a zero that keeps its graph.

    Parameters
    ----------
    modalities : tuple of str
    latent : int
    classes : int
    task : str
        Name of the label.
    """

    sampling = "class"
    supervised = True

    def __init__(self, modalities, latent: int, classes: int = 2, task: str = "diagnosis"):
        super().__init__()
        if classes < 2:
            raise ValueError(f"CE: classes={classes}, expected at least 2")
        self.task = task
        self.classifiers = nn.ModuleDict({m: nn.Linear(latent, classes) for m in modalities})
        for layer in self.classifiers.values():
            nn.init.xavier_uniform_(layer.weight)
            nn.init.constant_(layer.bias, 1 / classes)

    def forward(self, ctx):
        """Mean cross-entropy over the labelled rows of all processes, summed over modalities."""
        losses = []
        for m in ctx.modalities:
            scores = self.classifiers[m](ctx.features(m).z).float()
            labels = ctx.batch.labels[m][self.task]
            each = F.cross_entropy(scores, labels, ignore_index=-1, reduction="none")
            each, known = ctx.gather(each), ctx.gather((labels >= 0).to(each.dtype))
            losses.append(each.sum() / known.sum().clamp(min=1))
        return {"loss": torch.stack(losses).sum()}


TERMS = {term.__name__: term for term in (CR, XX, CC, RR, AE, CCA, CE)}
