"""SGD with a rate of its own for each layer, with which 002 trains by SwAV's
recipe.
"""

import torch

TRUST_COEFFICIENT = 0.001
EPSILON = 1e-8


class LARC(torch.optim.SGD):
    r"""SGD with layer-wise adaptive rates (You et al. 2017).

    Of a parameter tensor w with gradient g and weight decay :math:`\beta`,

    .. math::
        \frac{\eta \lVert w \rVert}
        {\lVert g \rVert + \beta \lVert w \rVert + \epsilon}
        \, (g + \beta w)

    takes the place of g, with :math:`\eta = .001` and :math:`\epsilon =
    10^{-8}`; SGD then goes on with its learning rate and momentum, and decays
    nothing itself. Where w or g is zero g stays, without decay; where there is
    no gradient the parameter stays. All as NVIDIA apex's LARC around SGD with
    ``clip=False``, by which SwAV's public code trains every parameter, those
    of batch norm and biases too.

    Parameters are those of `torch.optim.SGD`, the state is its own.
    """

    def step(self, closure=None):
        """Take a step; the gradients are changed in place.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and the gradients.

        Returns
        -------
        Tensor or None
            What the closure returns.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        decays = [group["weight_decay"] for group in self.param_groups]
        try:
            for group, decay in zip(self.param_groups, decays, strict=True):
                _adapt_gradients(group["params"], decay)
                group["weight_decay"] = 0.0
            super().step()
        finally:
            for group, decay in zip(self.param_groups, decays, strict=True):
                group["weight_decay"] = decay
        return loss


@torch.no_grad()
def _adapt_gradients(parameters: list[torch.Tensor], decay: float) -> None:
    """Replace the gradients by what SGD is to follow."""
    for w in parameters:
        if w.grad is None:
            continue
        length = torch.linalg.vector_norm(w)
        slope = torch.linalg.vector_norm(w.grad)
        if length == 0 or slope == 0:
            continue
        rate = TRUST_COEFFICIENT * length / (slope + decay * length + EPSILON)
        w.grad.add_(w, alpha=decay).mul_(rate)
