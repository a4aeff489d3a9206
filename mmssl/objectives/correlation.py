"""The canonical correlation of representations as a term."""

import torch

from mmssl.losses.cca import canonical_correlation
from mmssl.objectives.term import Term, cross_edges


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

    pairwise = True

    def __init__(
        self,
        modalities,
        latent: int,
        ridge: float = 1e-3,
        norm: str = "nuclear",
        memory: int = 0,
    ):
        super().__init__()
        self.ridge = ridge
        self.norm = norm
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))
        for m in modalities:
            self.register_buffer(f"earlier_{m}", torch.zeros(memory, latent))
            there = torch.ones(memory, dtype=torch.bool)
            self.register_buffer(f"present_{m}", there)

    def graph(self, modalities):
        """z_j with z_i."""
        return cross_edges(modalities, "z", "z")

    def forward(self, ctx):
        """Negative correlation, summed over ordered pairs; by chance, that of
        rows paired with the next one's partner.
        """
        self._remember(ctx)
        correlations, chance = [], []
        for source, target in ctx.possible(self.graph(ctx.modalities)):
            first = self.rows[source.modality]
            second = self.rows[target.modality]
            if ctx.batch.present:
                there = self.present[source.modality]
                both = there & self.present[target.modality]
                first, second = first[both], second[both]
            correlations.append(
                canonical_correlation(first, second, self.ridge, self.norm)
            )
            with torch.no_grad():
                apart = second.roll(1, 0)
                chance.append(
                    canonical_correlation(first, apart, self.ridge, self.norm)
                )
        return {
            "loss": -ctx.total(correlations),
            "chance": -ctx.total(chance).detach(),
        }

    def _remember(self, ctx) -> None:
        """Gather z of the batch and of the earlier rows, and who has one."""
        filled = int(self.filled)
        self.rows, self.present = {}, {}
        for m in ctx.modalities:
            z = ctx.latent(m)
            there = torch.ones(len(z), dtype=torch.bool, device=z.device)
            if m in ctx.batch.present:
                there = ctx.present(m)
            earlier = self.get_buffer(f"earlier_{m}")[:filled]
            known = self.get_buffer(f"present_{m}")[:filled]
            self.rows[m] = torch.cat([z, earlier])
            self.present[m] = torch.cat([there, known])

    @torch.no_grad()
    def after_step(self, ctx):
        """Remember the newest rows."""
        for m, rows in self.rows.items():
            buffer = self.get_buffer(f"earlier_{m}")
            there = self.get_buffer(f"present_{m}")
            newest = rows[: len(buffer)]
            buffer[: len(newest)] = newest
            there[: len(newest)] = self.present[m][: len(newest)]
            self.filled.fill_(len(newest))
