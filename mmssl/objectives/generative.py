"""Terms that decode: the autoencoder and the multimodal mixture-of-experts
VAE.
"""

import math
from collections.abc import Mapping
from contextlib import nullcontext
from itertools import product

import torch
from torch import Tensor, nn
from torch.distributions import Laplace
from torch.utils.checkpoint import checkpoint

from mmssl.losses.elbo import importance_weighted_bound, laplace_log_density
from mmssl.losses.precision import promote
from mmssl.models.batchnorm import SharedUpdate
from mmssl.models.dcgan import Features
from mmssl.objectives.term import Node, Term


class AE(Term):
    """Autoencoder: mean squared error over all elements, summed over
    modalities (004, Fig. 3).
    """

    decoder = "latent"

    def graph(self, modalities):
        """z_i to the reconstruction of x_i."""
        return [(Node("z", m), Node("reconstruction", m)) for m in modalities]

    def forward(self, ctx):
        """Reconstruction error of the view from z; by chance, that of the mean
        image of the rows of this process.
        """
        losses, chance = {}, {}
        for source, target in ctx.possible(self.graph(ctx.modalities)):
            m = target.modality
            output = promote(ctx.decode(m, ctx.features(source.modality)))
            volumes = promote(ctx.view().volumes[m])
            # of each row
            errors = (output - volumes).square().flatten(1).mean(1)
            errors = ctx.gather(ctx.spread(errors, m))
            losses[m] = ctx.among(errors, m).mean()
            chance[m] = volumes.var(0).mean()
        return {
            "loss": ctx.total(list(losses.values())),
            "chance": ctx.total(list(chance.values())).detach(),
            **losses,
        }


class MMVAE(Term):
    r"""Mixture-of-experts multimodal VAE with Laplace distributions (Shi et
    al. 2019; 001, 004).

    Each modality's posterior :math:`q_m(z \mid x_m)` is a Laplace around its
    z; K samples of each are decoded into every modality, and the loss is the
    negative importance-weighted bound of

    .. math::
        w_{m,k} = \log p(z) + \sum_d \lambda_d \log p(x_d \mid z)
        - \log \tfrac{1}{M} \sum_n q_n(z \mid x_n), \qquad
        z = z_{m,k} \sim q_m,

    averaged over the batch. Scales of posterior and prior are
    softmax(·)·latent, so that they sum to the dimension. Every decoder pass
    takes the B rows of one sample k, whatever the memory at hand, and is made
    again in the backward pass, so that one pass at a time is held.

    Parameters
    ----------
    modalities : tuple of str
    latent : int
    samples : int
        K.
    looser : bool
        Which bound, see :func:`mmssl.losses.elbo.importance_weighted_bound`.
    likelihood_scale : float
        Of the Laplace around the decoder's output.
    llik_scaling : mapping, optional
        Modality -> weight of its log likelihood, 1 where absent. The public
        code makes modalities of different size weigh the same: {"MNIST": 3.0}
        beside the three channels of SVHN.
    learn_prior : bool
        Whether the prior's scales are trained; its location stays 0.
    """

    decoder = "latent"

    def __init__(
        self,
        modalities,
        latent: int,
        samples: int = 20,
        looser: bool = True,
        likelihood_scale: float = 0.75,
        llik_scaling: Mapping[str, float] | None = None,
        learn_prior: bool = False,
    ):
        super().__init__()
        if samples < 1 or likelihood_scale <= 0:
            raise ValueError(
                f"MMVAE: samples={samples}, "
                f"likelihood_scale={likelihood_scale}, "
                "expected at least 1 and above 0"
            )
        weights = dict(llik_scaling or {})
        if unknown := set(weights) - set(modalities):
            raise ValueError(
                f"MMVAE: llik_scaling for {sorted(unknown)}, "
                f"expected of {modalities}"
            )
        self.samples = samples
        self.looser = looser
        self.likelihood_scale = likelihood_scale
        self.llik_scaling = {m: float(weights.get(m, 1.0)) for m in modalities}
        self.scales = nn.ModuleDict(
            {m: nn.Linear(latent, latent) for m in modalities}
        )
        prior = torch.zeros(latent)
        self.prior = nn.Parameter(prior, requires_grad=learn_prior)

    def graph(self, modalities):
        """z_i to the reconstruction of x_j, also for i = j."""
        edges = []
        for i, j in product(modalities, repeat=2):
            edges.append((Node("z", i), Node("reconstruction", j)))
        return edges

    def forward(self, ctx):
        """Negative bound, mean over the rows of all processes; by chance, that
        of the prior for everybody, decoded into the median image of the rows
        of this process.
        """
        weights = self.log_weights(ctx)
        bound = importance_weighted_bound(
            weights, self.looser, self._present(ctx)
        )
        chance = []
        for m in self._modalities(ctx):
            images = promote(ctx.view().volumes[m]).flatten(1)
            if not len(images):
                continue
            density = laplace_log_density(
                images, images.median(0).values, self.likelihood_scale
            )
            chance.append(self.llik_scaling[m] * density.mean())
        return {
            "loss": -ctx.gather(bound).mean(),
            "chance": -torch.stack(chance).sum(),
        }

    def _modalities(self, ctx) -> list[str]:
        """Modalities that any row of all processes has: all must decode the
        same ones.
        """
        edges = [(Node("z", m), Node("z", m)) for m in ctx.modalities]
        return [source.modality for source, _ in ctx.possible(edges, 1)]

    def _present(self, ctx) -> Tensor | None:
        """Which of `_modalities` each row of this process has,
        (modalities, B); None where nobody lacks any.
        """
        if not ctx.batch.present:
            return None
        there = ctx.batch.present
        everybody = torch.ones_like(next(iter(there.values())))
        return torch.stack(
            [there.get(m, everybody) for m in self._modalities(ctx)]
        )

    def posterior(self, ctx, m: str) -> Laplace:
        """q_m(z | x_m) of each row, (B, latent): mean z, scale
        softmax(Linear(z))·latent + 1e-6.
        """
        mean = promote(ctx.features(m).z)
        with torch.autocast(mean.device.type, enabled=False):
            share = self.scales[m](mean).softmax(-1)
        scale = share * mean.shape[-1] + 1e-6
        return Laplace(mean, scale, validate_args=False)

    def draw(self, ctx, m: str, posterior: Laplace) -> Tensor:
        """K samples of each row, (K, B, latent), keyed and differentiable in
        the posterior.
        """
        latent = posterior.mean.shape[-1]
        uniform = ctx.rng("posterior", m).uniform("", self.samples, latent)
        # the middles of the 2^24 steps: an end would be a sample at infinity
        middle = uniform.double().transpose(0, 1) + 2.0**-25
        return posterior.icdf(middle).to(posterior.mean.dtype)

    def log_weights(self, ctx) -> Tensor:
        """Log importance weight of each sample, (modalities, K, B), fp64.

        Of the modalities that any row has. The experts of a row are those of
        the modalities it has, and only these are to be likely; a weight of a
        modality that it lacks means nothing.
        """
        modalities = self._modalities(ctx)
        posteriors = {m: self.posterior(ctx, m) for m in modalities}
        draws = {m: self.draw(ctx, m, q) for m, q in posteriors.items()}
        prior_scale = self.prior.softmax(-1) * len(self.prior)
        weights = {}
        for m, z in draws.items():
            if m in ctx.batch.present:
                # (K, B, latent)
                z = ctx.spread(z.transpose(0, 1), m).transpose(0, 1)
            mixture = self._log_mixture(ctx, posteriors, z)
            weights[m] = laplace_log_density(z, 0.0, prior_scale) - mixture
        for source, target in self.graph(modalities):
            i, j = source.modality, target.modality
            first = ctx.modalities.index(i) * self.samples
            likelihoods = []
            for k, z in enumerate(draws[i]):
                density = self._log_likelihood(ctx, i, j, z, first + k)
                likelihoods.append(density)
            scaled = self.llik_scaling[j] * torch.stack(likelihoods)
            weights[i] = weights[i] + scaled
        return torch.stack(list(weights.values()))

    def _log_mixture(
        self, ctx, posteriors: Mapping[str, Laplace], z: Tensor
    ) -> Tensor:
        """Log density of samples (K, B, latent) in the mean of a row's
        experts, (K, B).
        """
        experts = []
        for m, posterior in posteriors.items():
            mean, scale = posterior.loc, posterior.scale
            if m in ctx.batch.present:
                mean = ctx.spread(mean, m)
                # a scale of 1 keeps finite what is not counted
                scale = 1 + ctx.spread(scale - 1, m)
            experts.append(laplace_log_density(z, mean, scale))
        present = self._present(ctx)
        if present is None:
            return torch.stack(experts).logsumexp(0) - math.log(len(experts))
        counted = torch.stack(experts).where(present[:, None], -torch.inf)
        return counted.logsumexp(0) - present.sum(0).log()

    def _log_likelihood(
        self, ctx, i: str, m: str, z: Tensor, index: int
    ) -> Tensor:
        """Log p(x_m | z) of the rows of one sample of modality i, (B,), 0
        where there is no x_m; pass ``index`` of the decoder's step.
        """
        decoder = ctx.objective.decoders[m]
        target = ctx.spread(ctx.view().volumes[m].flatten(1), m)
        there = ctx.batch.present
        if i in there:
            target = target[there[i]]
        passes = len(ctx.modalities) * self.samples

        def decode(z: Tensor) -> Tensor:
            """Log-likelihood of the target under what z decodes to."""
            output = promote(ctx.decode(m, Features(z, None)))
            return laplace_log_density(
                output.flatten(1), promote(target), self.likelihood_scale
            )

        def recompute():
            """Contexts of the pass and of its repetition."""
            return nullcontext(), SharedUpdate(decoder, passes, None)

        with SharedUpdate(decoder, passes, index):
            density = checkpoint(
                decode,
                z,
                use_reentrant=False,
                preserve_rng_state=False,
                context_fn=recompute,
            )
        density = ctx.spread(density, i)
        return density.where(there[m], 0.0) if m in there else density
