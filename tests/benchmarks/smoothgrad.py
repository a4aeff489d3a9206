"""SmoothGrad of 64 dimensions at 32³, width 32, against Captum dimension by
dimension, same noise.

Captum's Saliency is called on the noisy copies of a person, once a dimension,
which is what its NoiseTunnel does after it has drawn them: a forward and a
backward pass each. Multiply-adds of a person are counted: less than half of
the loop's are left (`mmssl.saliency.smoothgrad`), and the rest of the ratio is
memory layout. bfloat16 is chosen explicitly and gains most with AMX. MONAI's
SmoothGrad does the same a copy at a time, with noise of its own.

The menus of notebook 06 are to follow within a second: one update is another
person of one modality at 32³, from the image to the PNG and to what a browser
is sent of the volumes, at the widths of the smoke and the demo edition.
"""

import itertools
import tempfile
from functools import partial
from pathlib import Path

import torch
from captum.attr import Saliency
from timing import Clocked, clocked, in_turns, medians, ratio

from mmssl.cohorts.simulated.phantom import make_phantom
from mmssl.models.dcgan import Encoder
from mmssl.plotting.saliency_menus import SaliencyMenus
from mmssl.preprocessing.network_inputs import fit_landmarks
from mmssl.saliency.person_maps import KEPT, PersonMaps
from mmssl.saliency.smoothgrad import gaussian_noise, smoothgrad

NAME = "SmoothGrad"
SIZE, WIDTH, LATENT, SAMPLES, STD = 32, 32, 64, 5, 0.05

MENU_WIDTHS = (8, 16)
"""Of the smoke and the demo edition."""


def multiply_adds() -> dict:
    """Counted for one person: the loop over dimensions, and all dimensions at
    once.
    """
    each, in_channels = [], 1
    for i in range(3):
        out_channels, side = WIDTH * 2**i, SIZE // 2 ** (i + 1)
        each.append(out_channels * side**3 * 64 * in_channels)
        in_channels = out_channels
    each.append(LATENT * 64 * in_channels)
    forward = sum(each)
    loop = LATENT * SAMPLES * 2 * forward
    backward = SAMPLES * (each[1] + each[2]) + each[0]
    ours = SAMPLES * forward + LATENT * backward
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
    maps = []
    for k in range(LATENT):
        gradients = attribute(
            copies.clone().requires_grad_(), target=k, abs=False
        )
        maps.append(gradients.mean(0))
    return torch.stack(maps)[:, 0]


def by_monai(encoder, x) -> torch.Tensor:
    """MONAI's SmoothGrad of each dimension, its noise drawn anew each time."""
    from monai.visualize import SmoothGrad

    class Representation(torch.nn.Module):
        """z alone."""

        def forward(self, volume):
            """Encode a batch."""
            return encoder(volume).z

    spread = STD / (x.max() - x.min()).item()
    attribute = SmoothGrad(Representation(), spread, SAMPLES, False, False)
    return torch.stack([attribute(x, index=k)[0, 0] for k in range(LATENT)])


def menu_updates() -> dict[str, Clocked]:
    """One update of the menus of notebook 06 a width, each time of a person
    whose maps are not kept.
    """
    with tempfile.TemporaryDirectory() as folder:
        # its images stay mapped
        people = make_phantom(Path(folder) / "cohort", subjects=24, size=SIZE)
        landmarks = {"T1": fit_landmarks(people, 0)["T1"]}
    updates = {}
    for width in MENU_WIDTHS:
        encoder = Encoder(width=width, latent=LATENT, size=SIZE).eval()
        maps_of = PersonMaps(
            people,
            {"run": ({"T1": encoder}, landmarks)},
            samples=SAMPLES,
            std=STD,
        )
        rows = range(KEPT + 2)  # none is kept when it comes again
        menus = SaliencyMenus(
            maps_of, ["run"], ["T1"], rows, people.volumes, people.affine
        )
        _, _, _, person, *_ = menus.show(live=True).children
        others = itertools.cycle([*rows[1:], rows[0]])

        def update(person=person, others=others) -> None:
            """Choose the next person; the picture is drawn on the way, and
            the volumes are sent.
            """
            person.value = next(others)

        updates[f"menu of notebook 06, width {width}"] = clocked(update)
    return updates


def measure(rounds: int) -> dict:
    """Seconds a person, ratios to Captum, and how well the maps agree with
    Captum's; seconds of an update of the menus.
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

    def ours(precision: str) -> torch.Tensor:
        maps = smoothgrad(encoder, x, SAMPLES, STD, precision=precision)
        return maps[0]

    ways = {
        "Captum": partial(by_captum, encoder, x, noise),
        "MONAI": partial(by_monai, encoder, x),
        "fp32": partial(ours, "fp32"),
        "bf16": partial(ours, "bf16"),
    }
    maps = {way: run() for way, run in ways.items()}
    calls = {way: clocked(run) for way, run in ways.items()}
    times = in_turns(calls, min(rounds, 5), warm=0)
    report = {**multiply_adds(), **medians(times, "s")}
    report |= medians(in_turns(menu_updates(), min(rounds, 5)), "s")
    report["MONAI, least correlation of a map"] = least_correlation(
        maps["MONAI"], maps["Captum"]
    )
    for way in ("fp32", "bf16"):
        report[f"{way}, ratio"] = ratio(times, "Captum", way)
        report[f"{way} to MONAI, ratio"] = ratio(times, "MONAI", way)
        error = (maps[way] - maps["Captum"]).norm() / maps["Captum"].norm()
        report[f"{way}, relative error"] = error.item()
        report[f"{way}, least correlation of a map"] = least_correlation(
            maps[way], maps["Captum"]
        )
    return report


def least_correlation(maps: torch.Tensor, others: torch.Tensor) -> float:
    """Of the maps of each dimension, the least alike."""
    correlations = []
    for a, b in zip(maps, others, strict=True):
        both = torch.stack([a.ravel(), b.ravel()])
        correlations.append(torch.corrcoef(both)[0, 1].item())
    return min(correlations)
