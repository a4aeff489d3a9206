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
from torch.nn.grad import conv2d_weight

from mmssl.losses.precision import promote

NEGATIVES = ("locations", "representations")
CHUNK_BYTES = 2**26  # of scores alive at a time
_BLOCK_BYTES = 2**22  # of scores that stay in a processor's caches
_BOUNDED = 40.0  # exp of scores up to it is far from what a float32 holds


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


class _Contrast(torch.autograd.Function):
    """Loss over locations and mean of r squared, with gradients made in the
    forward pass.

    Local embeddings (B, D, L) and queries (B, M, D), scaled anchors. The
    scores of some samples' queries are alive at a time, and the backward pass
    needs none of them. Differentiable once.
    """

    @staticmethod
    def forward(ctx, local, queries, clip, wanted):
        """Two scalars; gradients are ``wanted`` or not."""
        batch, channels, locations = local.shape
        each = queries.shape[1]
        # (B L, D): no copy of what has its channels last
        rows = local.mT.reshape(-1, channels)
        queries = queries.flatten(0, 1)
        count = len(queries) * locations
        of_rows, of_queries = None, torch.empty_like(queries)
        loss = local.new_zeros(())
        one = len(rows) * each * rows.element_size()
        step = max(1, CHUNK_BYTES // one)
        for start in range(0, batch, step):
            own = slice(start, start + step)
            chunk = slice(start * each, (start + step) * each)
            scores = _linear(rows, queries[chunk])
            of_sample = scores.view(batch, locations, -1, each)
            part, factor = _contrast(of_sample, own, clip, wanted)
            loss += part
            if wanted:  # the scores' gradient has taken their place
                factor = factor.view(-1, 1) / count
                of_chunk = _linear(scores, (queries[chunk] * factor).T)
                of_rows = of_rows.add_(of_chunk) if start else of_chunk
                of_queries[chunk] = _outer(scores, rows) * factor
        # sum of (q x)^2 by products of channels, not of scores
        products = _outer(rows, rows)
        squares = (queries.T @ queries * products).sum()
        ctx.scale = (clip / 2) ** 2 / (count * batch)
        ctx.batch = batch
        if wanted:
            ctx.save_for_backward(rows, queries, products, of_rows, of_queries)
        return loss / count, squares * ctx.scale

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, of_loss, of_square):
        """Of local embeddings and queries."""
        rows, queries, products, of_rows, of_queries = ctx.saved_tensors
        weight = 2 * ctx.scale * of_square
        both = queries.T @ queries * weight
        of_rows = _linear(rows, both).addcmul_(of_rows, of_loss)
        of_queries = of_queries * of_loss + queries @ (products * weight)
        of_local = of_rows.view(ctx.batch, -1, rows.shape[1]).mT
        of_queries = of_queries.view(ctx.batch, -1, rows.shape[1])
        return of_local, of_queries, None, None


def _contrast(
    scores: Tensor, own: slice, clip: float, wanted: bool
) -> tuple[Tensor, Tensor]:
    """Summed loss of the scores 2 r / c, (B, L, k, M), of M queries of each of
    the ``own`` samples, and a factor of each query, (k, M). Where the scores'
    gradient is wanted, it takes their place, divided by the factor.
    """
    steepness = 2 * clip
    # (L, k, M), a view
    of_own = scores[own].diagonal(dim1=0, dim2=2).movedim(2, 1)
    positive = of_own.sigmoid()
    of_own.fill_(-torch.inf)  # below any other
    samples = torch.arange(len(scores), device=scores.device)
    # (B, 1, k, 1)
    is_other = samples[:, None, None, None] != samples[own, None]
    is_other = is_other.to(scores.dtype)
    # s is its shift + 2 c sigmoid(2 r / c), and its exp a number
    shift = scores.new_tensor(-clip)
    if clip > _BOUNDED:
        shift = -steepness * scores.amax((0, 1)).sigmoid()
    sums = scores.new_zeros(scores.shape[2:])
    rows = max(1, _BLOCK_BYTES // scores[:1].nbytes)
    parts = scores.split(rows), is_other.split(rows)
    for part, others in zip(*parts, strict=True):
        bounded = part.sigmoid_()
        weights = torch.add(shift, bounded, alpha=steepness).exp_()
        weights.mul_(others)
        sums += weights.sum((0, 1))
        if wanted:
            # the derivative of a sigmoid is s - s^2
            bounded.addcmul_(bounded, bounded, value=-1).mul_(weights)
    # log(e^s + e^others) - s, without overflow
    behind = torch.add(sums.log() - shift, positive, alpha=-steepness)
    loss = F.softplus(behind).sum()
    # what the share of each positive lacks of 1
    missing = behind.sigmoid_()
    total = missing.sum(0)
    if wanted:
        slope = positive.addcmul_(positive, positive, value=-1)
        shares = missing.div_(total.clamp(min=torch.finfo(total.dtype).tiny))
        of_own.copy_(shares.mul_(slope).mul_(-sums))
    return loss, total * steepness / sums


def _linear(rows: Tensor, weight: Tensor) -> Tensor:
    """Rows (n, D) times weight (R, D) transposed, (n, R).

    On a CPU as a convolution of one place: oneDNN multiplies such tall
    matrices twice as fast as the library of `torch.matmul`, on AMD at least.
    """
    if rows.device.type != "cpu":
        return F.linear(rows, weight)
    return _rows(F.conv2d(_image(rows), weight[:, :, None, None]))


def _outer(first: Tensor, second: Tensor) -> Tensor:
    """First (n, R) transposed times second (n, D), (R, D); on a CPU the
    gradient of the weight of `_linear`.
    """
    if first.device.type != "cpu":
        return first.T @ second
    sides = (first.shape[1], second.shape[1], 1, 1)
    return conv2d_weight(_image(second), sides, _image(first))[:, :, 0, 0]


def _image(rows: Tensor) -> Tensor:
    """Rows (n, D) as an image (1, D, n, 1) with its channels last."""
    return rows[None, :, None].permute(0, 3, 1, 2)


def _rows(image: Tensor) -> Tensor:
    """`_image` undone; a copy where the channels do not come last."""
    return image.permute(0, 2, 3, 1).flatten(0, 2)


def _queries(anchors: Tensor, clip: float) -> Tensor:
    """Anchors (…, D) that make 2 r / c: there are fewer of them than scores.

    c tanh(r / c) is 2 c sigmoid(2 r / c) - c, whose constant no difference of
    scores sees; a sigmoid is ten times as fast on a CPU.
    """
    return anchors * (2 / (clip * anchors.shape[-1] ** 0.5))


def _over_locations(
    local: Tensor, queries: Tensor, clip: float
) -> tuple[Tensor, Tensor]:
    """Loss of each sample's queries (B, M, D), and mean of r squared."""
    wanted = local.requires_grad or queries.requires_grad
    wanted = wanted and torch.is_grad_enabled()
    return _Contrast.apply(local, queries, clip, wanted)


def _over_representations(
    local: Tensor, queries: Tensor, clip: float
) -> tuple[Tensor, Tensor]:
    """Loss of each location contrasted over the anchors of all samples, and
    mean of r squared.
    """
    rows = queries.expand(len(local), -1, -1)
    # (B, B, L): sample of the location, sample of the anchor, location
    scaled = torch.bmm(rows, local)
    score = 2 * clip * torch.sigmoid(scaled)
    positive = score.diagonal().transpose(0, 1)
    square = (clip / 2 * scaled).square().mean()
    return (score.logsumexp(1) - positive).mean(), square


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
        local, queries = promote(local), _queries(promote(anchor), clip)
        if negatives == "representations":
            loss, square = _over_representations(local, queries, clip)
        else:
            loss, square = _over_locations(local, queries[:, None], clip)
        return loss, penalty * square


def info_nce_all_locations(
    local: Tensor,
    anchors: Tensor,
    clip: float = 20.0,
    penalty: float = 0.04,
) -> tuple[Tensor, Tensor]:
    """Exact mean of :func:`info_nce` over every location of the other map as
    the anchor.

    What the random anchor location of CC estimates without bias. Neither the
    (B·L)² scores (4 GiB at B = 64, L = 512) nor their gradients are alive at
    once.

    Parameters
    ----------
    local : Tensor, shape (B, D, L)
    anchors : Tensor, shape (B, D, M)
        Anchor embeddings, M locations a sample.
    clip, penalty
        As in :func:`info_nce`.

    Returns
    -------
    loss, penalty : Tensor
    """
    _check_shapes(local, anchors)
    with torch.autocast(local.device.type, enabled=False):
        local, anchors = promote(local), promote(anchors)
        queries = _queries(anchors.mT, clip)
        loss, square = _over_locations(local, queries, clip)
        return loss, penalty * square
