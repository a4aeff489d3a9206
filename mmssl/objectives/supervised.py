"""Cross-entropy with labels as a term."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from mmssl.losses.precision import promote
from mmssl.objectives.term import Node, Term


class CE(Term):
    """Cross-entropy of a linear classifier on z, one a modality (004:
    Supervised).

    Rows without a label (-1) take no part; a batch with no label gives a zero
    that keeps its graph.

    Parameters
    ----------
    modalities : tuple of str
    latent : int
    classes : int
    task : str
        Name of the label.
    """

    supervised = True
    sampling = "class"

    def __init__(
        self,
        modalities,
        latent: int,
        classes: int = 2,
        task: str = "diagnosis",
    ):
        super().__init__()
        if classes < 2:
            raise ValueError(f"CE: classes={classes}, expected at least 2")
        self.task = task
        self.classifiers = nn.ModuleDict(
            {m: nn.Linear(latent, classes) for m in modalities}
        )
        for layer in self.classifiers.values():
            nn.init.xavier_uniform_(layer.weight)
            nn.init.constant_(layer.bias, 1 / classes)

    def graph(self, modalities):
        """z_i with the label."""
        return [(Node("z", m), Node("label", m)) for m in modalities]

    def forward(self, ctx):
        """Mean cross-entropy over the labelled rows of all processes, summed
        over modalities; by chance, that of equal probabilities.
        """
        losses, chance = [], 0.0
        for source, target in ctx.possible(self.graph(ctx.modalities), 1):
            classifier = self.classifiers[source.modality]
            scores = promote(classifier(ctx.features(source.modality).z))
            labels = ctx.batch.labels[target.modality][self.task]
            entropies = F.cross_entropy(
                scores, labels, ignore_index=-1, reduction="none"
            )
            labelled = (labels >= 0).to(entropies.dtype)
            entropies = ctx.gather(ctx.spread(entropies, source.modality))
            labelled = ctx.gather(ctx.spread(labelled, source.modality))
            count = labelled.sum().clamp(min=1)
            losses.append(entropies.sum() / count)
            chance += math.log(classifier.out_features)
        return {
            "loss": ctx.total(losses),
            "chance": torch.tensor(chance),
        }
