"""Draw the figures of the page on methods.

    python book/methods_page.py

`write` leaves them in a folder of the build, and the page includes them. What
they show is asked of the package's code, not typed.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from book import method_flows
from mmssl import groupmaps, losses, models, objectives, plotting, stats
from mmssl.cohorts import splits
from mmssl.ledger import atomic

BOOK = Path(__file__).resolve().parent
BUILD = BOOK / "_build" / "methods"
DPI = 220  # two pixels for one

SIDE = 24  # voxels of an imagined slice
RELABELLINGS = 499

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
        # sums of others are rounded in another order
        has_part = ~torch.isclose(after, before, rtol=1e-9)[a]
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


def encoder() -> Figure:
    """The DCGAN encoder of volumes of 64 voxels a side, in the papers' width.

    The shapes are those of a batch that passes through it.
    """
    network = models.Encoder(size=64).eval()
    head = models.ConvolutionalHead(network.local_channels).eval()
    images = torch.zeros(1, *network.input_shape)
    outputs = [images]
    for layer in network.convs:
        layer.register_forward_hook(lambda *call: outputs.append(call[-1]))
    with torch.no_grad():
        features = network(images)
        embeddings = head(features.local)
    shapes = [(output.shape[1], output.shape[-1]) for output in outputs]
    is_local = [output is features.local for output in outputs]
    return plotting.encoder_layers(
        shapes,
        is_local.index(True),
        tuple(embeddings.shape[1:]),
        features.z.shape[1],
    )


def evaluation() -> Figure:
    """Splits of 34 imagined people, in the order in which they validate."""
    groups = ["HC"] * 18 + ["AD"] * 16
    people = pd.DataFrame({"group": groups})
    people["participant_id"] = [f"{number}" for number in people.index]
    drawn = splits.make(people)
    order = [name for fold in drawn["folds"] for name in fold["valid"]]
    order += drawn["holdout"]
    folds = np.full((len(drawn["folds"]), len(order)), "holdout")
    for row, fold in zip(folds, drawn["folds"], strict=True):
        for role, names in fold.items():
            row[np.isin(order, names)] = role
    group_of = people.set_index("participant_id")["group"]
    return plotting.fold_roles(folds, list(group_of[order]))


def permutation() -> Figure:
    """A made-up slice of 24 voxels a side: smooth noise in 40 people, and half
    of them higher in a disc.
    """
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((40, SIDE, SIDE))
    maps = gaussian_filter(noise, (0, 2, 2))
    maps /= maps.std()
    places = np.indices((SIDE, SIDE)) - np.array([8, 15])[:, None, None]
    patients = np.arange(40) % 2 == 1
    maps[patients] += 2 * (np.hypot(*places) < 4)
    flat = maps.reshape(40, -1)
    found = groupmaps.compare(flat, patients, RELABELLINGS, progress=False)
    largest = []
    for labels in stats.labellings(patients, RELABELLINGS):
        other = groupmaps.rank_biserial(flat[labels], flat[~labels])
        largest.append(np.abs(other.rbc).max())
    low, high = maps.min(), maps.max()
    return plotting.relabelled_maps(
        (maps[:4] - low) / (high - low),
        ["HC", "AD", "HC", "AD"],
        found.rbc.reshape(SIDE, SIDE),
        found.corrected.reshape(SIDE, SIDE),
        np.array(largest),
    )


FIGURES: Mapping[str, Callable[[], Figure]] = MappingProxyType(
    {
        "clustering": method_flows.clustering_flow,
        "encoder": encoder,
        "evaluation": evaluation,
        "infonce": infonce,
        "permutation": permutation,
        "preprocessing": method_flows.preprocessing_flow,
        "preservation": method_flows.preservation_flow,
        "taxonomy": taxonomy,
    }
)
"""{name of the file: what draws it}."""


if __name__ == "__main__":
    print(*write(), sep="\n")
