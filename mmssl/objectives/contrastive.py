r"""The four contrastive terms: the edges of 004's taxonomy (section II-C,
figure 2).

They relate the convolutional embedding :math:`c` and the global representation
:math:`z` of modalities i and j, summed over ordered pairs. An edge runs from
the embeddings to the anchor.
"""

from itertools import permutations

import torch

from mmssl.losses.infonce import info_nce, info_nce_all_locations
from mmssl.objectives.term import Edge, Node, Term


class _Contrast(Term):
    """InfoNCE over the edges of the graph."""

    def __init__(
        self,
        clip: float = 20.0,
        penalty: float = 0.04,
        negatives: str = "locations",
    ):
        super().__init__()
        self.options = {
            "clip": clip,
            "penalty": penalty,
            "negatives": negatives,
        }

    def contrast(self, ctx, edge: Edge):
        """Loss and penalty of one edge."""
        (kind, j), anchor = edge
        embeddings = ctx.local(j) if kind == "c" else ctx.latent(j)[..., None]
        return info_nce(embeddings, self.anchor(ctx, anchor), **self.options)

    def anchor(self, ctx, node: Node):
        """One anchor a sample, (B, D)."""
        return ctx.latent(node.modality)

    def forward(self, ctx):
        """Sum of InfoNCE over the term's edges."""
        parts = [
            self.contrast(ctx, edge) for edge in self.graph(ctx.modalities)
        ]
        loss, penalty = (
            torch.stack(p).sum() for p in zip(*parts, strict=True)
        )
        return {"loss": loss, "penalty": penalty}


class CR(_Contrast):
    """Convolution to representation of one modality: local Deep InfoMax (004:
    CR; 001: L).
    """

    local_head = True

    def graph(self, modalities):
        """c_i with z_i."""
        return [(Node("c", i), Node("z", i)) for i in modalities]


class XX(_Contrast):
    """Cross convolution to representation (004: XX; 001: CL): AMDIM, ST-DIM,
    CM-DIM.
    """

    local_head = True

    def graph(self, modalities):
        """c_j with z_i."""
        return [
            (Node("c", j), Node("z", i))
            for i, j in permutations(modalities, 2)
        ]


class RR(_Contrast):
    """Representation to representation (004: RR; 001: S): CMC, SimCLR."""

    def graph(self, modalities):
        """z_j with z_i."""
        return [
            (Node("z", j), Node("z", i))
            for i, j in permutations(modalities, 2)
        ]


class CC(_Contrast):
    """Convolution to convolution (004: CC; 001: CS).

    Parameters
    ----------
    clip, penalty, negatives
        As in :func:`mmssl.losses.infonce.info_nce`.
    exact : bool
        Contrast with every location of c_i as the anchor, in bounded chunks,
        instead of one drawn at random for each sample (the public code).
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
            raise ValueError(
                "CC: exact=True is defined for negatives='locations' only"
            )

    def graph(self, modalities):
        """c_j with c_i."""
        return [
            (Node("c", j), Node("c", i))
            for i, j in permutations(modalities, 2)
        ]

    def anchor(self, ctx, node):
        """One location of c_i for each sample."""
        return ctx.random_location(node.modality)

    def contrast(self, ctx, edge):
        """All locations of c_j with one location of c_i, or with every one."""
        if not self.exact:
            return super().contrast(ctx, edge)
        options = {k: self.options[k] for k in ("clip", "penalty")}
        return info_nce_all_locations(
            *(ctx.local(node.modality) for node in edge), **options
        )
