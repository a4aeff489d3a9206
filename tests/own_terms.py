"""A user's terms of the loss, in a module of their own."""

from mmssl.objectives import Term, cross_edges


class Apart(Term):
    """The squared distance of two modalities' z, `scale` times."""

    pairwise = True

    def __init__(self, scale: float = 1.0):
        super().__init__()
        self.scale = scale

    def graph(self, modalities):
        """z_j with z_i."""
        return cross_edges(modalities, "z", "z")

    def forward(self, ctx):
        """Sum over ordered pairs."""
        losses = []
        for source, target in ctx.possible(self.graph(ctx.modalities)):
            z = ctx.latent(source.modality)
            other = ctx.latent(target.modality)
            losses.append(self.scale * (z - other).square().mean())
        return {"loss": ctx.total(losses)}


class RR(Apart):
    """Named like one of the package's."""
