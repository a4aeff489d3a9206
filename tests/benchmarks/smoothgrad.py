"""SmoothGrad of 64 dimensions at 32³, width 32, against Captum dimension by
dimension, same noise.

Captum's Saliency is called on the noisy copies of a person, once a dimension,
which is what its NoiseTunnel does after it has drawn them: a forward and a
backward pass each. Multiply-adds of a person are counted: less than half of
the loop's are left (`mmssl.saliency.smoothgrad`), and the rest of the ratio is
memory layout. bfloat16 is chosen explicitly and gains most with AMX.
"""

import statistics
import time

import torch
from captum.attr import Saliency

from mmssl.models.dcgan import Encoder
from mmssl.saliency.smoothgrad import gaussian_noise, smoothgrad

NAME = "SmoothGrad"
SIZE, WIDTH, LATENT, SAMPLES, STD = 32, 32, 64, 5, 0.05


def multiply_adds() -> dict:
    """Counted for one person: the loop over dimensions, and all dimensions at
    once.
    """
    layers = [
        (WIDTH * 2**i, SIZE // 2 ** (i + 1), WIDTH * 2**i // 2 if i else 1)
        for i in range(3)
    ]
    each = [out * side**3 * 64 * into for out, side, into in layers] + [
        LATENT * 64 * 4 * WIDTH
    ]
    loop = LATENT * SAMPLES * 2 * sum(each)
    ours = SAMPLES * sum(each) + LATENT * (SAMPLES * sum(each[1:3]) + each[0])
    return {
        "Captum, billion multiply-adds": loop / 1e9,
        "ours, billion multiply-adds": ours / 1e9,
    }


def by_captum(encoder, x, noise) -> torch.Tensor:
    """Mean signed gradient over the noisy copies, one dimension after
    another.
    """
    attribute = Saliency(lambda volume: encoder(volume).z).attribute
    copies = x + STD * noise
    maps = [
        attribute(copies.clone().requires_grad_(), target=k, abs=False).mean(0)
        for k in range(LATENT)
    ]
    return torch.stack(maps)[:, 0]


def measure(rounds: int) -> dict:
    """Seconds a person, ratios to Captum, and how well the maps agree with
    Captum's.
    """
    torch.manual_seed(0)
    encoder = Encoder(width=WIDTH, latent=LATENT, size=SIZE).eval()
    # as after training: statistics that are not 0 and 1
    for norm in list(encoder.norms)[1:]:
        norm.running_mean.normal_(std=0.3)
        norm.running_var.uniform_(0.5, 2.0)
    encoder.requires_grad_(False)
    x = torch.randn(1, 1, SIZE, SIZE, SIZE)
    noise = gaussian_noise(x.shape[1:], SAMPLES, 0)
    ways = {"Captum": lambda: by_captum(encoder, x, noise)}
    for precision in ("fp32", "bf16"):
        ways[precision] = lambda p=precision: smoothgrad(
            encoder, x, SAMPLES, STD, precision=p
        )[0]
    maps = {way: run() for way, run in ways.items()}
    times = []
    for _ in range(min(rounds, 5)):
        times.append({})
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            times[-1][way] = time.perf_counter() - start
    report = multiply_adds()
    for way in ways:
        report[f"{way}, s"] = statistics.median(t[way] for t in times)
    for way in ("fp32", "bf16"):
        report[f"{way}, ratio"] = statistics.median(
            t["Captum"] / t[way] for t in times
        )
        error = (maps[way] - maps["Captum"]).norm() / maps["Captum"].norm()
        report[f"{way}, relative error"] = error.item()
        pair = zip(maps[way], maps["Captum"], strict=True)
        worst = min(
            torch.corrcoef(torch.stack([a.ravel(), b.ravel()]))[0, 1]
            for a, b in pair
        )
        report[f"{way}, least correlation of a map"] = worst.item()
    return report
