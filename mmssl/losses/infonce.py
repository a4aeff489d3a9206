r"""InfoNCE between local embeddings and anchors (AMDIM's form, used by 000,
001 and 004).

With B samples, D channels and L locations, local embeddings :math:`x_{b,l}`
and anchors :math:`y_a`, the raw scores and their soft clipping are

.. math::
    r_{a,b,l} = \langle y_a, x_{b,l}\rangle / \sqrt{D}, \qquad
    s = c \tanh(r / c),

and the loss contrasts each location of the anchor's own sample with all
locations of the others (own other locations are neither positive nor
negative):

.. math::
    \ell = -\frac{1}{BL} \sum_a \sum_l \Bigl[ s_{a,a,l} - \log\bigl(
    e^{s_{a,a,l}} + \sum_{b \ne a} \sum_{l'} e^{s_{a,b,l'}}\bigr) \Bigr].

The penalty is :math:`\lambda\,\mathrm{mean}(r^2)` over all pairs, on the
unclipped scores. Source: 004, section II-B; clip c = 20, lambda = 4e-2.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mmssl.losses.precision import promote

NEGATIVES = ("locations", "representations")


def chance_level(
    batch: int, locations: int, negatives: str = "locations"
) -> float:
    """Loss of `info_nce` where all scores are equal, in nats.

    Parameters
    ----------
    batch, locations : int
        B and L.
    negatives : {"locations", "representations"}
        As in `info_nce`.

    Returns
    -------
    float
        log(1 + (B - 1) L), or log B over representations.
    """
    if negatives == "representations":
        return math.log(batch)
    return math.log1p((batch - 1) * locations)


def _check_shapes(local: Tensor, anchor: Tensor) -> None:
    if local.dim() != 3 or local.shape[:2] != anchor.shape[:2]:
        raise ValueError(
            f"InfoNCE: local {tuple(local.shape)} and anchor "
            f"{tuple(anchor.shape)}, expected (B, D, L) with the same B and D"
        )
    if len(local) < 2:
        raise ValueError(
            f"InfoNCE needs negatives: batch of {len(local)}, "
            "expected at least 2"
        )


def _contrast(scaled: Tensor, clip: float, negatives: str) -> Tensor:
    """Loss of the scores r / c, shape (..., B, B, L): sample of the anchor,
    sample of the local embedding, location.
    """
    score = clip * torch.tanh(scaled)
    # (..., B, L)
    positive = score.diagonal(dim1=-3, dim2=-2).transpose(-1, -2)
    if negatives == "representations":
        return (score.logsumexp(-3) - positive).mean()
    # (..., B, B): each sample's locations against each anchor
    blocks = score.logsumexp(-1)
    own = torch.eye(score.shape[-2], dtype=torch.bool, device=score.device)
    others = blocks.masked_fill(own, -torch.inf).logsumexp(-1, keepdim=True)
    # log(e^s + e^others) - s, without overflow
    return F.softplus(others - positive).mean()


def _squares(scaled: Tensor, clip: float) -> Tensor:
    """Mean of r squared, without a temporary of the size of r."""
    total = torch.linalg.vector_norm(scaled).square()
    return total * (clip**2 / scaled.numel())


def _scaled_scores(local: Tensor, anchors: Tensor, clip: float) -> Tensor:
    """Raw scores over the clip, (M, B, B, L), of anchors (M, B, D) and local
    (B, D, L).

    All scaling happens on the anchors: the scores are L times larger and are
    touched once.
    """
    batch, channels, locations = local.shape
    keys = local.transpose(0, 1).reshape(channels, batch * locations)
    queries = anchors.reshape(-1, channels) / (clip * channels**0.5)
    return (queries @ keys).view(len(anchors), batch, batch, locations)


def info_nce(
    local: Tensor,
    anchor: Tensor,
    clip: float = 20.0,
    penalty: float = 0.04,
    negatives: str = "locations",
) -> tuple[Tensor, Tensor]:
    """InfoNCE of each location with its sample's anchor.

    Parameters
    ----------
    local : Tensor, shape (B, D, L)
        Local embeddings; L = 1 for a global one.
    anchor : Tensor, shape (B, D)
        One anchor a sample.
    clip : float
        c of the soft clipping.
    penalty : float
        Weight of the squared raw scores; 0 as in 001's OASIS runs.
    negatives : {"locations", "representations"}
        "locations": the equation above (the public code). "representations":
        the direction printed in 000, section 2.2, where a location is
        contrasted over the anchors of all samples (without its constant 1/N
        inside the logarithm).

    Returns
    -------
    loss, penalty : Tensor
        Scalars in fp32 (fp64 for fp64 input); the penalty is already times its
        weight.

    Raises
    ------
    ValueError
        For shapes that disagree, a batch below 2, or an unknown direction.
    """
    _check_shapes(local, anchor)
    if negatives not in NEGATIVES:
        raise ValueError(
            f"negatives={negatives!r}: expected one of {NEGATIVES}"
        )
    with torch.autocast(local.device.type, enabled=False):
        scaled = _scaled_scores(promote(local), promote(anchor)[None], clip)
        loss = _contrast(scaled, clip, negatives)
        return loss, penalty * _squares(scaled, clip)


def info_nce_all_locations(
    local: Tensor,
    anchors: Tensor,
    clip: float = 20.0,
    penalty: float = 0.04,
    max_bytes: int = 256 * 2**20,
) -> tuple[Tensor, Tensor]:
    """Exact mean of :func:`info_nce` over every location of the other map as
    the anchor.

    What the random anchor location of CC estimates without bias. The B·B·L
    scores of an anchor location are made in chunks of at most ``max_bytes``
    and made again in the backward pass, so the (B·L)² score matrix (4 GiB at B
    = 64, L = 512) never exists.

    Parameters
    ----------
    local : Tensor, shape (B, D, L)
    anchors : Tensor, shape (B, D, M)
        Anchor embeddings, M locations a sample.
    clip, penalty
        As in :func:`info_nce`.
    max_bytes : int
        Bound on the score tensors alive at once.

    Returns
    -------
    loss, penalty : Tensor
    """
    _check_shapes(local, anchors)
    with torch.autocast(local.device.type, enabled=False):
        local, anchors = promote(local), promote(anchors)
        batch, _, locations = local.shape
        # scaled, clipped and one temporary of the logsumexp are alive together
        each = 3 * batch * batch * locations * local.element_size()
        chunks = anchors.permute(2, 0, 1).split(max(1, max_bytes // each))

        def part(local: Tensor, chunk: Tensor) -> tuple[Tensor, Tensor]:
            """Loss and squared scores of some locations."""
            scaled = _scaled_scores(local, chunk, clip)
            share = len(chunk) / anchors.shape[2]
            loss = _contrast(scaled, clip, "locations") * share
            return loss, _squares(scaled, clip) * share

        losses, squares = [], []
        for chunk in chunks:
            made = checkpoint(part, local, chunk, use_reentrant=False)
            losses.append(made[0])
            squares.append(made[1])
        loss = torch.stack(losses).sum()
        return loss, penalty * torch.stack(squares).sum()
