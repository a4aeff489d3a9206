"""Cross-entropy with labels as a term."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmssl.losses.precision import promote
from mmssl.objectives.term import Node, Term


class CE(Term):
    """Cross-entropy of linear classifiers on z, of each modality (004:
    Supervised).

    Rows without a label (-1) take no part; a batch with no label gives a zero
    that keeps its graph.

    Parameters
    ----------
    modalities : tuple of str
    latent : int
    classes : int or sequence of int
        Of each task.
    task : str or sequence of str
        Name of the label, or of several that are learned at once; rows are
        balanced by the classes of the first.

    Raises
    ------
    ValueError
        For fewer than two classes, one number of classes a task, or none.
    """

    supervised = True
    sampling = "class"

    def __init__(
        self,
        modalities,
        latent: int,
        classes: int | Sequence[int] = 2,
        task: str | Sequence[str] = "diagnosis",
    ):
        super().__init__()
        self.tasks = (task,) if isinstance(task, str) else tuple(task)
        is_one = isinstance(classes, int)
        self.classes = (classes,) if is_one else tuple(classes)
        if len(self.tasks) != len(self.classes) or min(self.classes) < 2:
            raise ValueError(
                f"CE: classes={classes} of the tasks {self.tasks}, expected 2 "
                "at least of each"
            )
        self.task = self.tasks[0]
        self.classifiers = nn.ModuleDict(
            {m: nn.Linear(latent, sum(self.classes)) for m in modalities}
        )
        for layer in self.classifiers.values():
            nn.init.xavier_uniform_(layer.weight)
            with torch.no_grad():
                for bias in layer.bias.split(self.classes):
                    bias.fill_(1 / len(bias))

    def graph(self, modalities):
        """z_i with the label."""
        return [(Node("z", m), Node("label", m)) for m in modalities]

    def forward(self, ctx):
        """Mean cross-entropy over the labelled rows of all processes, summed
        over modalities and tasks; by chance, that of equal probabilities.
        """
        losses, chance = [], 0.0
        for source, target in ctx.possible(self.graph(ctx.modalities), 1):
            z = ctx.features(source.modality).z
            scores = promote(self.classifiers[source.modality](z))
            labels = ctx.batch.labels[target.modality]
            parts = scores.split(self.classes, 1)
            for task, of_task in zip(self.tasks, parts, strict=True):
                losses.append(
                    self._entropy(ctx, source.modality, of_task, labels[task])
                )
                chance += math.log(of_task.shape[1])
        return {
            "loss": ctx.total(losses),
            "chance": torch.tensor(chance),
        }

    @staticmethod
    def _entropy(ctx, m: str, scores: Tensor, labels: Tensor) -> Tensor:
        """Mean over the labelled rows of all processes."""
        entropies = F.cross_entropy(
            scores, labels, ignore_index=-1, reduction="none"
        )
        labelled = (labels >= 0).to(entropies.dtype)
        entropies = ctx.gather(ctx.spread(entropies, m))
        labelled = ctx.gather(ctx.spread(labelled, m))
        return entropies.sum() / labelled.sum().clamp(min=1)
