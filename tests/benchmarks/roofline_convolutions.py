"""Every shape of convolution in a training step at 64³, batch 8, by itself, as
oneDNN makes it: forward, and the gradients of input and weight.
"""

from machine import rates
from roofline import noted_products
from steps import Step

from mmssl.pretrain.trainer import best_precision

NAME = "Convolutions"
KIND = "convolutions"


def measure(rounds: int) -> list[dict]:
    """A line a shape and precision."""
    known = rates()
    precisions = ["fp32"]
    if best_precision() == "bf16":
        precisions.append("bf16")
    lines = []
    for precision in precisions:
        products = noted_products(Step(precision=precision).take)
        for line in products.convolutions(known[precision], rounds):
            lines.append({"precision": precision, **line})
    return lines
