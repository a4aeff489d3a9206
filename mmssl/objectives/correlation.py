"""The canonical correlation of representations as a term."""

from itertools import permutations

import torch

from mmssl.losses.cca import canonical_correlation
from mmssl.objectives.term import Node, Term


class CCA(Term):
    """Canonical correlation of z, over both orders of each pair (004: DCCAE,
    CR-CCA).

    Parameters
    ----------
    modalities : tuple of str
    latent : int
    ridge : float
    norm : {"nuclear", "frobenius"}
    memory : int
        Earlier rows to correlate together with the batch. They carry no
        gradient; they keep the covariances from being those of a batch hardly
        larger than the latent dimension.
    """

    def __init__(
        self,
        modalities,
        latent: int,
        ridge: float = 1e-3,
        norm: str = "nuclear",
        memory: int = 0,
    ):
        super().__init__()
        self.options = {"ridge": ridge, "norm": norm}
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))
        for m in modalities:
            self.register_buffer(f"earlier_{m}", torch.zeros(memory, latent))

    def graph(self, modalities):
        """z_j with z_i."""
        return [
            (Node("z", j), Node("z", i))
            for i, j in permutations(modalities, 2)
        ]

    def forward(self, ctx):
        """Negative correlation, summed over ordered pairs."""
        earlier = {
            m: self.get_buffer(f"earlier_{m}")[: int(self.filled)]
            for m in ctx.modalities
        }
        self.rows = {
            m: torch.cat([ctx.latent(m), x]) for m, x in earlier.items()
        }
        correlations = [
            canonical_correlation(
                self.rows[a.modality], self.rows[b.modality], **self.options
            )
            for a, b in self.graph(ctx.modalities)
        ]
        return {"loss": -torch.stack(correlations).sum()}

    @torch.no_grad()
    def after_step(self, ctx):
        """Remember the newest rows."""
        for m, rows in self.rows.items():
            buffer = self.get_buffer(f"earlier_{m}")
            kept = rows[: len(buffer)]
            buffer[: len(kept)] = kept
            self.filled.fill_(len(kept))
