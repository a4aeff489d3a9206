"""Batch-norm statistics of a network that several passes of one step share."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class SharedUpdate:
    r"""One of n passes through a network that together count as one batch-norm
    update.

    Each pass is normalised with its own batch statistics. After all n, the
    running statistics have moved once, at the layers' own rate :math:`\mu`,
    towards the mean of those of the passes: pass i (from 0) moves them at the
    rate :math:`\frac{\mu}{n} / (1 - \mu\frac{n-1-i}{n})`. The value of a pass
    therefore depends on nothing but its own rows, and what evaluation mode
    reads is the same whether a pass is kept or computed again (checkpointing).

    Parameters
    ----------
    network : Module
        In evaluation mode nothing moves anyway.
    passes : int
        n.
    index : int or None
        i; None for a pass that is computed again, in which nothing moves.
    """

    def __init__(self, network: nn.Module, passes: int, index: int | None):
        self.norms = [
            module
            for module in network.modules()
            if isinstance(module, _BatchNorm)
        ]
        self.passes = passes
        self.index = index

    def _rate(self, momentum: float) -> float:
        """Rate at which this pass moves the statistics."""
        if self.index is None:
            return 0.0
        share = momentum / self.passes
        return share / (1 - share * (self.passes - 1 - self.index))

    def __enter__(self) -> None:
        self.saved = []
        for norm in self.norms:
            count = norm.num_batches_tracked.clone()
            self.saved.append((norm.momentum, count))
            norm.momentum = self._rate(norm.momentum)

    def __exit__(self, *_) -> None:
        for norm, saved in zip(self.norms, self.saved, strict=True):
            norm.momentum, count = saved
            if self.index != 0:  # the first pass counts for all
                norm.num_batches_tracked.copy_(count)
