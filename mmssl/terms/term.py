"""What a term is, and the graph it declares."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor, nn

from mmssl.augment import ViewSpec

if TYPE_CHECKING:
    from mmssl.objectives import Context


class Node(NamedTuple):
    """Something of one modality that a term relates.

    Attributes
    ----------
    kind : {"c", "z", "reconstruction", "label"}
        Convolutional embedding, global representation, decoder output, label.
    modality : str
    """

    kind: str
    modality: str


Edge = tuple[Node, Node]


class Term(nn.Module):
    """A summand of the loss.

    It reads the features of a batch from its context and returns ``{"loss": …, "penalty": …}``; any
    other key is only logged. It declares as class attributes what it needs made, owns its
    parameters and buffers, and knows no other term.

    Attributes
    ----------
    views : ViewSpec
        Views the term needs, by name; None is the run's own augmentation.
    local_head, decoder : bool
        Whether each modality's convolutional head, or decoder, is used.
    momentum : float or None
        Rate of the momentum copy of encoders and heads, if the term reads one.
    sampling : {None, "class", "modality"}
        How rows must be drawn.
    supervised : bool
        Whether the term uses labels.
    """

    views: ViewSpec = {"main": None}
    local_head = False
    decoder = False
    momentum: float | None = None
    sampling: str | None = None
    supervised = False

    def graph(self, modalities: Sequence[str]) -> list[Edge]:
        """Edges of the term: what :meth:`forward` runs over and what a figure of it shows."""
        raise NotImplementedError

    def forward(self, ctx: "Context") -> dict[str, Tensor]:
        """Loss of the batch in ``ctx``."""
        raise NotImplementedError

    def before_forward(self, step: int) -> None:
        """Before a step's forward pass (normalise prototypes, say)."""

    def after_backward(self, step: int) -> None:
        """After the gradients exist (drop frozen ones, say)."""

    def after_step(self, ctx: "Context") -> None:
        """After the optimiser's step (enqueue keys, say)."""
