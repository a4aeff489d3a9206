r"""Transformation-conditioned Attention: features that know how the image they
are to become was turned (003, section 3.1).

An indicator vector says which flips and which rotation the target of a
reconstruction has undergone. It weighs the channels of the encoder's last map,
so that the map must hold what any of the targets needs.
"""

import torch
from torch import Tensor, nn

from mmssl.models.dcgan import CONVOLUTION
from mmssl.models.full_precision import applied

MODES = ("paper", "code")


class TransformationAttention(nn.Module):
    r"""Weigh the channels of a map by an indicator vector.

    "paper": with :math:`f^p` two linear layers of the vector and :math:`f^l`
    the mean of the map over its places,

    .. math::
        f^w = \mathrm{sigmoid}\,\mathrm{ReLU}\bigl(W\,\mathrm{flat}(f^p
        \otimes f^l)\bigr), \qquad F^{l+1} = \mathrm{conv}_3(F^l \odot f^w),

    003's equations 1 to 4, so that weights lie in [.5, 1). The product with W
    is a bilinear form in :math:`f^p` and :math:`f^l`: the weights of W, C³
    (134 million at 512 channels, 2 million at 128), exist once and the outer
    product never; beside them C² numbers a row are held. "code": the public
    code's variant, a sigmoid of two linear layers of the vector alone, and no
    convolution.

    Parameters
    ----------
    channels : int
        C.
    indicators : int
        Length of the vector: 7 in 3D, 6 in 2D.
    dims : int
        2 or 3.
    mode : {"paper", "code"}

    Raises
    ------
    ValueError
        For another mode.
    """

    def __init__(
        self,
        channels: int,
        indicators: int,
        dims: int = 3,
        mode: str = "paper",
    ):
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"mode is {mode!r}, expected one of {MODES}")
        self.mode = mode
        hidden = channels if mode == "paper" else channels // 2
        self.embedding = nn.Sequential(
            nn.Linear(indicators, hidden),
            nn.ReLU(),
            nn.Linear(hidden, channels),
        )
        if mode == "code":
            return
        # as a linear layer of C² inputs begins
        bound = 1 / channels
        weight = torch.empty(channels, channels, channels)
        self.weight = nn.Parameter(weight.uniform_(-bound, bound))
        conv = CONVOLUTION[dims]
        self.convolution = conv(channels, channels, 3, padding=1)

    def forward(self, local: Tensor, indicator: Tensor) -> Tensor:
        """Weigh a map.

        Parameters
        ----------
        local : Tensor, shape (B, C, *sides)
        indicator : Tensor, shape (B, indicators)
            0 or 1.

        Returns
        -------
        Tensor, shape of ``local``
        """
        known = self.embedding(indicator.to(local.dtype))
        if self.mode == "code":
            weights = known.sigmoid()
        else:
            weights = self._bilinear(known, local).relu().sigmoid()
        weighed = local * weights.view(
            *weights.shape, *(1,) * (local.dim() - 2)
        )
        if self.mode == "code":
            return weighed
        return applied(self.convolution, weighed)

    def _bilinear(self, known: Tensor, local: Tensor) -> Tensor:
        """W flat(known ⊗ mean of local), (B, C)."""
        mean = local.flatten(2).mean(2)
        channels = len(self.weight)
        # (C, C, B): the weights times the mean, then times what is known
        half = self.weight.view(-1, channels).to(mean.dtype) @ mean.T
        half = half.view(channels, channels, -1)
        return (half * known.T).sum(1).T
