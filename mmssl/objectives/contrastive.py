r"""The four contrastive terms: the edges of 004's taxonomy (section II-C,
figure 2).

They relate the convolutional embedding :math:`c` and the global representation
:math:`z` of modalities i and j, summed over ordered pairs. An edge runs from
the embeddings to the anchor.
"""

import torch
from torch import Tensor

from mmssl.losses.infonce import (
    chance_level,
    info_nce,
    info_nce_all_locations,
)
from mmssl.objectives.term import Edge, Node, Term, cross_edges


class _ContrastiveTerm(Term):
    """InfoNCE over the edges of the graph.

    Parameters
    ----------
    clip, penalty, negatives
        As in :func:`mmssl.losses.infonce.info_nce`.
    inside : bool
        Whether only places inside the brain are contrasted
        (:meth:`Context.places`): those outside are alike in everybody, so that
        most candidates cannot be told apart.
    """

    def __init__(
        self,
        clip: float = 20.0,
        penalty: float = 0.04,
        negatives: str = "locations",
        inside: bool = False,
    ):
        super().__init__()
        self.clip = clip
        self.penalty = penalty
        self.negatives = negatives
        self.inside = inside

    def embeddings(self, ctx, source: Node) -> Tensor:
        """What is contrasted with the anchors, (B, D, L)."""
        if source.kind == "z":
            return ctx.latent(source.modality)[..., None]
        local = ctx.local(source.modality)
        if self.inside:
            return local[..., ctx.places(source.modality)]
        return local

    def contrast(self, ctx, edge: Edge) -> tuple[Tensor, Tensor]:
        """Loss and penalty of one edge."""
        source, target = edge
        both = source.modality, target.modality
        embeddings = ctx.among(self.embeddings(ctx, source), *both)
        anchor = ctx.among(self.anchor(ctx, target.modality), *both)
        return info_nce(
            embeddings, anchor, self.clip, self.penalty, self.negatives
        )

    def anchor(self, ctx, modality: str) -> Tensor:
        """One anchor a sample, (B, D)."""
        return ctx.latent(modality)

    def forward(self, ctx):
        """Sum of InfoNCE over the term's edges, and its chance level."""
        losses, penalties, chance = [], [], 0.0
        for edge in ctx.possible(self.graph(ctx.modalities)):
            loss, penalty = self.contrast(ctx, edge)
            losses.append(loss)
            penalties.append(penalty)
            source, target = edge
            both = source.modality, target.modality
            embeddings = ctx.among(self.embeddings(ctx, source), *both)
            batch, _, places = embeddings.shape
            chance += chance_level(batch, places, self.negatives)
        return {
            "loss": ctx.total(losses),
            "penalty": ctx.total(penalties),
            "chance": torch.tensor(chance),
        }


class CR(_ContrastiveTerm):
    """Convolution to representation of one modality: local Deep InfoMax (004:
    CR; 001: L).
    """

    local_head = True

    def graph(self, modalities):
        """c_i with z_i."""
        return [(Node("c", i), Node("z", i)) for i in modalities]


class XX(_ContrastiveTerm):
    """Cross convolution to representation (004: XX; 001: CL): AMDIM, ST-DIM,
    CM-DIM.
    """

    local_head = True
    pairwise = True

    def graph(self, modalities):
        """c_j with z_i."""
        return cross_edges(modalities, "c", "z")


class RR(_ContrastiveTerm):
    """Representation to representation (004: RR; 001: S): CMC, SimCLR."""

    pairwise = True

    def graph(self, modalities):
        """z_j with z_i."""
        return cross_edges(modalities, "z", "z")


class CC(_ContrastiveTerm):
    """Convolution to convolution (004: CC; 001: CS).

    Parameters
    ----------
    clip, penalty, negatives, inside
        As in the other terms.
    exact : bool
        Contrast with every location of c_i as the anchor, in bounded chunks,
        instead of one drawn at random for each sample (the public code).
    """

    local_head = True
    pairwise = True

    def __init__(
        self,
        clip: float = 20.0,
        penalty: float = 0.04,
        negatives: str = "locations",
        inside: bool = False,
        exact: bool = False,
    ):
        super().__init__(clip, penalty, negatives, inside)
        self.exact = exact
        if exact and negatives != "locations":
            raise ValueError(
                "CC: exact=True is defined for negatives='locations' only"
            )

    def graph(self, modalities):
        """c_j with c_i."""
        return cross_edges(modalities, "c", "c")

    def anchor(self, ctx, modality):
        """One location of c_i for each sample."""
        return ctx.random_location(modality, self.inside)

    def contrast(self, ctx, edge):
        """All locations of c_j with one location of c_i, or with every one."""
        if not self.exact:
            return super().contrast(ctx, edge)
        source, target = edge
        both = source.modality, target.modality
        embeddings = ctx.among(self.embeddings(ctx, source), *both)
        anchors = ctx.among(self.embeddings(ctx, target), *both)
        return info_nce_all_locations(
            embeddings, anchors, self.clip, self.penalty
        )
