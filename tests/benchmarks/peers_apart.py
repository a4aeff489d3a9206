"""Peers that clash with our environment, in one of their own.

`make bench` makes it from ``peers_apart.txt``, a line at a time: what cannot
be installed is missing alone, and the end of its error is on the page. Run by
that environment's Python, this file serves one of them: ``peers_apart.py NAME
FOLDER`` reads ``FOLDER/inputs.npy``, writes the result to ``FOLDER/NAME.npy``
and then makes the call whenever it is asked to (`timing.serve`).
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from timing import Process, serve  # noqa: E402

ROOT = HERE.parents[1]
ENVIRONMENT = Path(os.environ.get("PEERS", ROOT / ".venv-peers"))
EPSILON, ITERATIONS, SIDE, PAD = 0.05, 3, 64, 8


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

    name = "torchvision::nms"
    torch.library.define(name, "(Tensor a, Tensor b, float t) -> Tensor")


def sinkhorn_lightly(scores) -> Callable:
    """lightly's, as its SwAV uses it."""
    _without_operators()
    from lightly.loss.swav_loss import sinkhorn

    return lambda: sinkhorn(scores, ITERATIONS, EPSILON)


def sinkhorn_stable_pretraining(scores) -> Callable:
    """stable-pretraining's, as its SwAV uses it."""
    _without_operators()
    from stable_pretraining.losses import SwAVLoss

    loss = SwAVLoss(sinkhorn_iterations=ITERATIONS, epsilon=EPSILON)
    return lambda: loss.sinkhorn(scores)


def main() -> None:
    """Serve a peer."""
    import numpy as np
    import torch

    name, folder = sys.argv[1], Path(sys.argv[2])
    make = globals()[name]
    call = make(torch.from_numpy(np.load(folder / "inputs.npy")))
    np.save(folder / f"{name}.npy", call().detach().numpy())
    serve(call)


if __name__ == "__main__":
    main()
