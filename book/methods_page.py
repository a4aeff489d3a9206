"""Draw the figures of the page on methods.

    python book/methods_page.py

`write` leaves them in a folder of the build, and the page includes them. What
they show is asked of the package's code, not typed.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from matplotlib.figure import Figure

from mmssl import losses, objectives, plotting
from mmssl.ledger import atomic

BOOK = Path(__file__).resolve().parent
BUILD = BOOK / "_build" / "methods"
DPI = 220  # two pixels for one

CONTRASTIVE = ("CR", "XX", "CC", "RR")


def write(folder: Path = BUILD) -> list[Path]:
    """Write every figure; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, draw in FIGURES.items():
        files.append(folder / f"{name}.png")
        with atomic.file(files[-1]) as temporary:
            draw().savefig(temporary, dpi=DPI, format="png")
    return files


def taxonomy() -> Figure:
    """Which feature meets which in the contrastive terms."""
    graphs = {}
    for name in CONTRASTIVE:
        # the edges of a term do not depend on the size of its encoders
        objective = objectives.build(name, width=1, size=16)
        graphs[name] = objective.graph
    return plotting.term_graphs(graphs, objective.modalities)


def infonce() -> Figure:
    """The scores of a batch of 4 samples and 4 locations, those of the
    second location.
    """
    return plotting.contrast_scores(score_roles(batch=4, locations=4, place=1))


def score_roles(batch: int, locations: int, place: int) -> np.ndarray:
    """Ask InfoNCE which scores it raises, lowers and leaves out.

    A score has a part in the summand of an anchor and its positive, if its
    gradient changes with the positive's score; the sign is that of the
    descent.

    Parameters
    ----------
    batch, locations : int
        B and L.
    place : int
        The location whose score with its own anchor is the positive.

    Returns
    -------
    ndarray, shape (B, B, L)
        Of anchor a and location l of sample b: 1, -1 or 0.
    """
    roles = np.zeros((batch, batch, locations), dtype=int)
    scores = torch.zeros(batch, batch, locations, dtype=torch.float64)
    before = _score_gradient(scores)
    for a in range(batch):
        changed = scores.clone()
        changed[a, a, place] += 1
        after = _score_gradient(changed)
        has_part = (after != before)[a]
        roles[a] = torch.where(has_part, -before[a].sign(), 0)
    return roles


def _score_gradient(scores: torch.Tensor) -> torch.Tensor:
    """Gradient of InfoNCE for scores (anchor, sample, location)."""
    batch = len(scores)
    # unit vectors as anchors make each channel a row of scores
    anchors = torch.eye(batch, dtype=scores.dtype) * batch**0.5
    local = scores.transpose(0, 1).contiguous().requires_grad_()
    loss, _ = losses.info_nce(local, anchors)
    loss.backward()
    return local.grad.transpose(0, 1)


FIGURES: Mapping[str, Callable[[], Figure]] = MappingProxyType(
    {"taxonomy": taxonomy, "infonce": infonce}
)
"""{name of the file: what draws it}."""


if __name__ == "__main__":
    print(*write(), sep="\n")
