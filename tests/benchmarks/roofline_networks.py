"""How near to the machine's limits training and saliency come.

Operations are those of convolutions and matrix products, counted from their
shapes; bytes those of their operands and results, and seven numbers a weight
that the optimiser reads or writes. "Alone" are the same products one after the
other, as the library multiplies them.
"""

from collections.abc import Iterator
from functools import partial

import torch
from machine import rates
from roofline import Work, noted_products, rows
from steps import Step

from mmssl.losses.infonce import info_nce, info_nce_all_locations
from mmssl.losses.swapped import sinkhorn
from mmssl.models.dcgan import Encoder
from mmssl.models.unet import UNetEncoder
from mmssl.pretrain.trainer import best_precision
from mmssl.saliency.smoothgrad import smoothgrad

NAME = "Training and saliency"
KIND = "roofline"
OPTIMISER = (
    7 * 4
)  # bytes a weight: value, gradient, two moments; three written
PLAIN = 5  # first steps of RAdam, which it takes in another way
FORMULA = (
    "2 B C_out L_out C_in k³ of each convolution, and as many for each of its "
    "gradients; 2 n m k of each matrix product"
)
PRODUCTS = "its convolutions and matrix products"


def measure(rounds: int) -> list[dict]:
    """A line a path."""
    return list(rows(works(), rates(), rounds))


def works() -> Iterator[Work]:
    """Every path, made when its turn comes."""
    precisions = ["fp32"]
    if best_precision() == "bf16":
        precisions.append("bf16")
    for precision in precisions:
        for size, batch in ((32, 32), (64, 8)):
            yield _step(
                f"training step, {size}³, batch {batch}, {precision}",
                Step("CR-XX-CC", (size,) * 3, batch, precision=precision),
            )
        yield _step(
            f"PCRL step, 64×64×32, batch 4, {precision}",
            pcrl_step(precision),
        )
        yield _step(
            f"SwAV step, 32³, batch 16, {precision}",
            Step("SwAV", (32,) * 3, 16, precision=precision),
        )
        yield _smoothgrad(precision)
    yield _info_nce()
    yield _exact_cc()
    yield _sinkhorn()


def pcrl_step(precision: str, sides=(64, 64, 32), batch: int = 4) -> Step:
    """The step of PCRL that is compared with its peer."""
    return Step(
        "PCRL",
        sides,
        batch,
        modalities=1,
        precision=precision,
        queue=256,
        backbone=lambda m: UNetEncoder(1, 16, sides),
    )


def _step(name: str, step: Step) -> Work:
    for _ in range(PLAIN):
        step.take()
    products = noted_products(step.take)
    return Work(
        name,
        FORMULA,
        products.operations,
        products.bytes + OPTIMISER * step.weights,
        step.take,
        step.precision,
        products.replay(),
        library=PRODUCTS,
        moved=products.moved,
    )


def _smoothgrad(precision: str) -> Work:
    """64 dimensions and 5 copies of one person."""
    torch.manual_seed(0)
    encoder = Encoder(size=32).eval()
    volume = torch.randn(1, 1, 32, 32, 32)
    call = partial(smoothgrad, encoder, volume, 5, precision=precision)
    products = noted_products(call)
    return Work(
        f"SmoothGrad, 32³, 64 dimensions × 5, {precision}",
        FORMULA,
        products.operations,
        products.bytes,
        call,
        precision,
        products.replay(),
        library=PRODUCTS,
        moved=products.moved,
    )


def _embeddings(batch: int, locations: int) -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(0)
    # with its channels last, as encoders make it
    local = torch.randn(batch, locations, 64, generator=draw).mT
    anchor = torch.randn(batch, 64, generator=draw)
    return local.requires_grad_(), anchor.requires_grad_()


def _info_nce() -> Work:
    """Loss and gradients of one edge."""
    batch, channels, locations = 64, 64, 512
    local, anchor = _embeddings(batch, locations)

    def call() -> None:
        loss, penalty = info_nce(local, anchor)
        torch.autograd.grad(loss + penalty, (local, anchor))

    scores = batch * batch * locations
    products = noted_products(call)
    return Work(
        "InfoNCE of an edge, batch 64, 512 places",
        "3 products of 2 B² L D; embeddings read and their gradients written "
        "once, as scores may stay in a cache",
        3 * 2 * scores * channels,
        4 * 2 * local.numel(),
        call,
        alone=_with_curves(products.replay(), scores),
        library="its matrix products, sigmoid and exp",
    )


def _exact_cc() -> Work:
    """Loss and gradients over all anchors of one edge."""
    batch, channels, locations = 8, 64, 512
    local, _ = _embeddings(batch, locations)
    anchors = local.detach().clone().requires_grad_()

    def call() -> None:
        loss, penalty = info_nce_all_locations(local, anchors)
        torch.autograd.grad(loss + penalty, (local, anchors))

    scores = (batch * locations) ** 2
    products = noted_products(call)
    return Work(
        "exact CC of an edge, batch 8, 512 × 512 places",
        "3 products of 2 B² L² D; embeddings read and their gradients written "
        "once, as scores may stay in a cache",
        3 * 2 * scores * channels,
        4 * 4 * local.numel(),
        call,
        alone=_with_curves(products.replay(), scores),
        library="its matrix products, sigmoid and exp",
    )


def _with_curves(products, scores: int):
    """Products, then a sigmoid and an exp of so many scores."""
    block = torch.randn(min(scores, 1 << 22))
    times = max(1, scores // len(block))

    def call() -> None:
        products()
        for _ in range(times):
            block.sigmoid()
            block.exp()

    return call


def _sinkhorn() -> Work:
    """Codes of a batch with its queue."""
    rows_, prototypes, iterations = 2048, 1500, 3
    draw = torch.Generator().manual_seed(0)
    scores = torch.rand(rows_, prototypes, generator=draw) * 2 - 1
    number = scores.numel()
    rows, columns = torch.ones(rows_), torch.ones(prototypes)

    def alone() -> None:
        kernel = scores.exp()
        for _ in range(iterations):
            rows @ kernel
            kernel @ columns
        kernel.mul_(rows[:, None]).mul_(columns)

    return Work(
        "Sinkhorn, 2048 rows, 1500 prototypes, 3 iterations",
        "an exp of B K numbers, 2 products of the kernel with a vector an "
        "iteration, each reading it once, and the codes written",
        number * (2 * 2 * iterations + 3),
        4 * number * (2 * iterations + 4),
        partial(sinkhorn, scores, 0.05),
        alone=alone,
        library="its exp and products",
    )
