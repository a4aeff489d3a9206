"""An optimiser step of any objective on random images, as training takes
it.
"""

from collections.abc import Sequence

import torch
from timing import clocked

from mmssl.models.keyed_random import Stream
from mmssl.objectives.language import build
from mmssl.objectives.term import Batch
from mmssl.objectives.views import PadCropFlip, make_views
from mmssl.pretrain.radam import RAdam

MODALITIES = ("T1", "fALFF", "dwi", "asl")


class Step:
    """One optimiser step.

    Parameters
    ----------
    name : str
        Of the objective.
    sides : sequence of int
        Of the images, in voxels.
    batch : int
    modalities : int
        How many.
    precision : {"fp32", "bf16"}
    **options
        Of `mmssl.objectives.language.build`.
    """

    def __init__(
        self,
        name: str = "CR-XX-CC",
        sides: Sequence[int] = (64, 64, 64),
        batch: int = 8,
        modalities: int = 2,
        precision: str = "fp32",
        **options,
    ):
        torch.manual_seed(0)
        self.precision = precision
        names = MODALITIES[:modalities]
        options.setdefault("size", sides[0])
        self.objective = build(name, names, **options)
        self.objective.to(memory_format=torch.channels_last_3d)
        draw = torch.Generator().manual_seed(1)
        shape = (batch, 1, *sides)
        images = {m: torch.randn(shape, generator=draw) for m in names}
        for term in self.objective.terms.values():
            term.learn_images(images)
        keys = torch.arange(batch)
        rows = dict.fromkeys(names, keys)
        stream = Stream(keys, 0, 0)
        recipes = self.objective.views
        views = make_views(images, rows, recipes, PadCropFlip(), stream)
        self.batch = Batch(views, rows, {m: {} for m in names})
        self.optimiser = RAdam(self.objective.parameters(), lr=4e-4)
        self.weights = sum(p.numel() for p in self.objective.parameters())

    def take(self) -> None:
        """Take it."""
        half = self.precision == "bf16"
        terms = self.objective.terms.values()
        for term in terms:
            term.before_forward(0)
        self.optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            total, _, ctx = self.objective(self.batch)
        total.backward()
        for term in terms:
            term.after_backward(0)
        self.optimiser.step()
        self.objective.update_momentum()
        for term in terms:
            term.after_step(ctx)

    def __call__(self) -> float:
        """Seconds of one step."""
        return clocked(self.take)()
