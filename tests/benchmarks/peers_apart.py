"""Peers that clash with our environment, in one of their own.

`make bench` makes it from ``peers_apart.txt``, a line at a time: what cannot
be installed is missing alone, and the end of its error is on the page. Run by
that environment's Python, this file serves one of them: ``peers_apart.py NAME
FOLDER`` reads ``FOLDER/inputs.npy``, writes the result to ``FOLDER/NAME.npy``
and then makes the call whenever it is asked to (`timing.serve`).
"""

import importlib.util
import os
import re
import sys
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from timing import Process, serve  # noqa: E402

ROOT = HERE.parents[1]
ENVIRONMENT = Path(os.environ.get("PEERS", ROOT / ".venv-peers"))
EPSILON, ITERATIONS = 0.05, 3
PAD, LATENT = 8, 64


class MissingPeerError(RuntimeError):
    """A peer that is not there or does not run, with what it said."""


def started(name: str, folder: str | Path) -> Process:
    """The process of a peer that has written its result.

    Raises
    ------
    MissingPeerError
        If there is no such environment, or the peer fails in it.
    """
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        raise MissingPeerError("not run: `make bench` makes its environment")
    try:
        return Process(
            str(HERE / "peers_apart.py"),
            name,
            folder,
            python=python,
            paths=(ROOT,),
        )
    except RuntimeError as error:
        last = str(error).splitlines()[-1][:160]
        raise MissingPeerError(f"not run: {last}") from error


def _without_operators() -> None:
    """Let torchvision be imported beside a torch without its operators, none
    of which is used here.
    """
    import torch

    place = Path(importlib.util.find_spec("torchvision").origin)
    source = place.with_name("_meta_registrations.py").read_text("utf-8")
    names = re.findall(r'register_(?:fake|meta)\("(?:\w+::)?(\w+)"', source)
    for name in sorted(set(names)):
        torch.library.define(f"torchvision::{name}", "() -> Tensor")


def sinkhorn_lightly(scores) -> tuple:
    """lightly's, as its SwAV uses it."""
    _without_operators()
    from lightly.loss.swav_loss import sinkhorn

    return partial(sinkhorn, scores, ITERATIONS, EPSILON), None


def sinkhorn_stable_pretraining(scores) -> tuple:
    """stable-pretraining's, as its SwAV uses it."""
    _without_operators()
    from stable_pretraining.losses import SwAVLoss

    loss = SwAVLoss(sinkhorn_iterations=ITERATIONS, epsilon=EPSILON)
    return partial(loss.sinkhorn, scores), None


def views_torchio(images) -> tuple:
    """TorchIO 2 on a whole batch in memory: pad, crop to the old size, flip.

    images : Tensor, shape (B, 2, X, Y, Z)
        Pairs.
    """
    import torchio

    side = images.shape[-1]
    transform = torchio.Compose(
        [
            torchio.Pad(padding=PAD),
            torchio.CropOrPad(side, location="random"),
            torchio.Flip(axes=(0, 1, 2), flip_probability=0.5),
        ]
    )
    subjects = []
    for t1, falff in images:
        subject = torchio.Subject(
            t1=torchio.ScalarImage(t1[None]),
            falff=torchio.ScalarImage(falff[None]),
        )
        subjects.append(subject)
    batch = torchio.SubjectsBatch.from_subjects(subjects)
    return lambda: transform(batch).t1.data, None


def _encoder():
    """Our encoder, as every side of the comparison starts it, returning z
    alone.
    """
    import torch

    from mmssl.models.dcgan import Encoder

    class Representation(torch.nn.Module):
        """z of the DCGAN encoder."""

        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.encoder = Encoder()

        def forward(self, x):
            """Encode a batch."""
            return self.encoder(x).z

    return Representation()


def simclr_nidl(views) -> tuple:
    """nidl's step on two views, (B, 2, X, Y, Z)."""
    import torch

    _without_operators()
    from lightning_fabric import Fabric
    from nidl.estimators.ssl import SimCLR

    first, second = views[:, :1], views[:, 1:]
    model = SimCLR(_encoder(), None, LATENT, LATENT, LATENT)
    model.fabric = Fabric(accelerator="cpu", devices=1)  # it asks for one
    optimiser = torch.optim.AdamW(model.parameters())

    def step() -> None:
        optimiser.zero_grad()
        model.training_step((first, second), 0)["loss"].backward()
        optimiser.step()

    return step, model.encoder(first)


def simclr_stable_pretraining(views) -> tuple:
    """stable-pretraining's loss on two views, (B, 2, X, Y, Z)."""
    import torch

    _without_operators()
    from stable_pretraining.losses import NTXEntLoss

    first, second = views[:, :1], views[:, 1:]
    encoder, loss = _encoder(), NTXEntLoss()
    head = torch.nn.Sequential(
        torch.nn.Linear(LATENT, LATENT),
        torch.nn.ReLU(),
        torch.nn.Linear(LATENT, LATENT),
    )
    parameters = [*encoder.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters)

    def step() -> None:
        optimiser.zero_grad()
        loss(head(encoder(first)), head(encoder(second))).backward()
        optimiser.step()

    return step, encoder(first)


def main() -> None:
    """Serve a peer."""
    import numpy as np
    import torch

    name, folder = sys.argv[1], Path(sys.argv[2])
    inputs = torch.from_numpy(np.load(folder / "inputs.npy"))
    call, result = globals()[name](inputs)
    if result is None:
        result = call()
    np.save(folder / f"{name}.npy", result.detach().numpy())
    serve(call)


if __name__ == "__main__":
    main()
