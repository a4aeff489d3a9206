"""Batch norm whose statistics several passes of one step share, or several
processes.
"""

import torch
from torch import Tensor, nn
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


class AllReduceBatchNorm(_BatchNorm):
    """Batch norm over the rows of all processes, on any device;
    `torch.nn.SyncBatchNorm` refuses a CPU.

    A process may have no row, and takes part all the same. Statistics are
    those of the joined rows in at least fp32, and so is the gradient: what
    each process's loss asks of them is summed.
    """

    def _check_input_dim(self, x: Tensor) -> None:
        if x.dim() < 2:
            raise ValueError(
                f"batch norm of {x.dim()} dimensions, expected 2 at least"
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, *sides), normalised."""
        distributed = torch.distributed
        if not self.training or not distributed.is_initialized():
            return super().forward(x)
        self._check_input_dim(x)
        # half precision has no statistics of a million voxels
        exact = x.float() if x.dtype in (torch.bfloat16, torch.half) else x
        axes = [0, *range(2, x.dim())]
        shape = (1, -1, *(1,) * (x.dim() - 2))
        number = exact.new_tensor([x.numel() / self.num_features])
        number = _Sum.apply(number).clamp(min=1)
        mean = _Sum.apply(exact.sum(axes)) / number
        apart = exact - mean.view(shape)
        variance = _Sum.apply(apart.square().sum(axes)) / number
        self._follow(mean.detach(), variance.detach(), float(number))
        scale = (variance + self.eps).rsqrt()
        shift = 0.0
        if self.affine:
            scale = scale * self.weight
            shift = self.bias.view(shape)
        return (apart * scale.view(shape) + shift).to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, number: float) -> None:
        """Move the running statistics, as torch's batch norm does."""
        if not self.track_running_stats or number < 2:
            return
        self.num_batches_tracked += 1
        rate = self.momentum
        if rate is None:
            rate = 1 / float(self.num_batches_tracked)
        unbiased = variance * number / (number - 1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), rate)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), rate)


def synchronised(network: nn.Module, device: str) -> nn.Module:
    """A network whose batch norms are of the rows of all processes, with the
    weights and buffers of its own ones.

    Parameters
    ----------
    network : Module
        Changed in place, but for a network that is itself a batch norm.
    device : {"cpu", "cuda"}
        Where it will run: torch's own `SyncBatchNorm` on a GPU.
    """
    if device == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    if isinstance(network, _BatchNorm):
        made = AllReduceBatchNorm(
            network.num_features,
            network.eps,
            network.momentum,
            network.affine,
            network.track_running_stats,
        )
        made.load_state_dict(network.state_dict())
        made.requires_grad_(all(p.requires_grad for p in network.parameters()))
        return made.train(network.training)
    for name, child in network.named_children():
        setattr(network, name, synchronised(child, device))
    return network


def is_synchronised(network: nn.Module) -> bool:
    """Whether a network's batch norms are of the rows of all processes."""
    kinds = AllReduceBatchNorm, nn.SyncBatchNorm
    return any(isinstance(module, kinds) for module in network.modules())


class _Sum(torch.autograd.Function):
    """Sum over all processes, whose gradient is summed over them too."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        """The same sum on each of them."""
        total = x.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        """What all processes ask of this one's summand."""
        gradient = gradient.contiguous().clone()
        torch.distributed.all_reduce(gradient)
        return gradient
