r"""Online clustering by swapped prediction, of one or several modalities (002,
after SwAV, Caron et al. 2020).

Crops of an image pass the encoder and a projector; their features, of length
1, are scored against prototypes. The codes of some crops, which use all
prototypes alike, are what all other crops of the image predict
(`mmssl.losses.swapped`). Each modality has its prototypes, its codes and its
queue; the encoder is one for all (002, equation 4).

With a classifier beside it, "SwAV-CE", labels of those who have one are
learned too: weights={"SwAV": α, "CE": β} are the factors of equation 7.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmssl.losses.precision import promote
from mmssl.losses.swapped import (
    sinkhorn,
    swapped_chance_level,
    swapped_prediction,
)
from mmssl.objectives.energy_bands import (
    REFERENCES,
    SIGMAS,
    ReferenceEnergies,
)
from mmssl.objectives.multicrop import RescaledCrop
from mmssl.objectives.term import Node, Term

ABLATION: dict[str, tuple[str, dict]] = {
    "SwAV-plain": ("SwAV", {"probability": 0.0}),
    "SwAV-apart": ("SwAV", {"shared": False}),
    "SwAV-mixed": ("SwAV", {"mixed": True}),
    "SwAV-rounded": ("SwAV", {"rounded": True}),
    "SwAV-hybrid": ("SwAV-CE", {"task": "diagnosis"}),
}
"""Objective and options of models beside the whole method: images of their own
intensities, encoders of the modalities' own, prototypes for all modalities,
codes rounded to one prototype, and the labels of another question learned too.
"""


def table_1(dims: int, steps: int, size: int = 1200) -> dict[str, object]:
    """Options of `SwAV` as 002's Table I has them, for pretraining with
    ``optimiser="larc"``, learning_rate=.6 and 100 epochs, on 32 devices.

    The table's rows have no names; those without one in the text are read in
    the order of SwAV's own options. In 3D its second row of assigned crops, 0
    and 1, is a large and a small crop.

    Parameters
    ----------
    dims : {2, 3}
        2D: batch_size=1024; 3D: batch_size=128.
    steps : int
        Of an epoch: the queue starts after so many epochs.
    size : int
        Side of the images in 2D, in pixels; crops of 224 and 92 are cut from
        images rescaled to between 600 and 1200.

    Raises
    ------
    ValueError
        For other dims.
    """
    if dims not in (2, 3):
        raise ValueError(f"dims is {dims}, expected 2 or 3")
    shared = {"temperature": 0.1, "epsilon": 0.03, "iterations": 3}
    shared |= {"features": 128, "assigned": (0, 1)}
    if dims == 2:
        return shared | {
            "crops": (2, 6),
            "sides": (224 / size, 92 / size),
            "rescaled": (600 / size, 1200 / size),
            "prototypes": 3000,
            # 3840, cut to whole steps as in SwAV's code
            "queue": 3 * 1024,
            "queue_starts": 10 * steps,
            "frozen": 10_000,
        }
    return shared | {
        "crops": (1, 4),
        "sides": (1.0, 0.5),
        "rescaled": (112 / 224, 250 / 224),
        "prototypes": 1500,
        "queue": 1920,
        "queue_starts": 3 * steps,
        "frozen": 4000,
    }


class Assignment(NamedTuple):
    """Crops of one modality and their prototypes.

    features : (rows, features) of each crop, of length 1.
    scores : (rows, K) of each crop.
    codes : {number of an assigned crop: (rows, K)}
    """

    features: list[Tensor]
    scores: list[Tensor]
    codes: dict[int, Tensor]


class SwAV(Term):
    """Swapped prediction of prototypes between crops.

    Parameters
    ----------
    modalities : tuple of str
    latent : int
        Length of z.
    prototypes : int
        Of each modality (002: 1500 in 3D). Codes share them out evenly, so
        that more than the images of a step, with its queue, cannot all be
        used.
    queue : int
        Earlier features of each modality that codes are computed with, 0 or a
        multiple of the rows of a step; used once it is full.
    queue_starts : int
        Step from which the queue is filled.
    frozen : int
        Steps for which prototypes stay as they are.
    crops : tuple of int
        How many large and how many small ones.
    sides : tuple of float
        Of a large and of a small crop, as shares of the image's.
    rescaled : tuple of float
        Of the image before it is cropped: smallest and largest side, as shares
        of its own; half to 1.12 times in 002's table, as it is read, with
        which little was learned of simulated people (page on methods).
    assigned : tuple of int
        Numbers of the crops whose codes are predicted, large ones first.
    temperature, epsilon : float
    iterations : int
        As of `mmssl.losses.swapped`.
    features, hidden : int
        Length of what is clustered, and of the projector's hidden layer; by
        default as long as z.
    norm : bool
        Whether the projector's hidden layer has a batch norm.
    sigmas : tuple of float
        Of the energy bands, in voxels.
    probability : float
        Of each change of intensities, see `mmssl.objectives.multicrop`. 002
        does not say; with .5 of each, untrained networks know 12 to 25 % of 32
        simulated people again behind two crops, without any 59 to 84 %.
    shared : bool
        Whether all modalities have one encoder and one projector, as in 002.
    mixed : bool
        Whether all modalities have the same prototypes, codes and queue, from
        which 002 sets itself apart.
    rounded : bool
        Whether codes are rounded to one prototype (002, section III-A).

    Raises
    ------
    ValueError
        For no prototypes or iterations, a negative queue, fewer than two
        crops, an assigned crop that is not there, a temperature or an epsilon
        that is not above 0, or as `mmssl.objectives.multicrop.RescaledCrop`.
    """

    sampling = "modality"
    images_shown = REFERENCES
    # codes, and with them what is predicted, change as prototypes do
    comparable = False

    def __init__(
        self,
        modalities,
        latent: int,
        prototypes: int = 16,
        queue: int = 0,
        queue_starts: int = 0,
        frozen: int = 0,
        crops: tuple[int, int] = (2, 2),
        sides: tuple[float, float] = (1.0, 0.5),
        rescaled: tuple[float, float] = (0.9, 1.1),
        assigned: tuple[int, ...] = (0, 1),
        temperature: float = 0.1,
        epsilon: float = 0.03,
        iterations: int = 3,
        features: int = 128,
        hidden: int | None = None,
        norm: bool = True,
        sigmas: tuple[float, ...] = SIGMAS,
        probability: float = 0.2,
        shared: bool = True,
        mixed: bool = False,
        rounded: bool = False,
    ):
        super().__init__()
        number = sum(crops)
        _check_counts(prototypes, queue, iterations)
        _check_assigned(number, assigned)
        for name, value in (
            ("temperature", temperature),
            ("epsilon", epsilon),
        ):
            if not value > 0:
                raise ValueError(f"SwAV: {name}={value}, expected above 0")
        self.queue_starts = queue_starts
        self.frozen = frozen
        self.assigned = tuple(assigned)
        self.temperature = temperature
        self.epsilon = epsilon
        self.iterations = iterations
        self.features = features
        self.hidden = hidden or latent
        self.norm = norm
        self.rounded = rounded
        self.members = {m: (m,) for m in modalities}
        if mixed:
            self.members = {"+".join(modalities): tuple(modalities)}
        self.references = ReferenceEnergies(modalities, sigmas)
        self.views = {}
        large, _ = crops
        for k in range(number):
            side = sides[0] if k < large else sides[1]
            self.views[f"crop{k}"] = RescaledCrop(
                side, tuple(rescaled), self.references, probability
            )
        shape = len(self.assigned), queue, features
        self.prototypes = nn.ParameterDict()
        for m in self.members:
            drawn = torch.empty(prototypes, features)
            nn.init.kaiming_uniform_(drawn, a=math.sqrt(5))
            self.prototypes[m] = nn.Parameter(F.normalize(drawn, dim=1))
            self.register_buffer(f"queue_{m}", torch.zeros(shape))
            self.register_buffer(f"queued_{m}", torch.tensor(0))

    def heads(self, encoder: nn.Module, dims: int) -> dict[str, nn.Module]:
        """The projector: two linear layers."""
        layers = [nn.Linear(encoder.latent, self.hidden)]
        if self.norm:
            layers.append(nn.BatchNorm1d(self.hidden))
        layers += [nn.ReLU(), nn.Linear(self.hidden, self.features)]
        return {"clustering": nn.Sequential(*layers)}

    def graph(self, modalities):
        """z_i with its code."""
        return [(Node("z", m), Node("code", m)) for m in modalities]

    def check_batch(self, size: int) -> None:
        """ValueError for more prototypes than rows and queue, or a queue that
        is no multiple of the rows.
        """
        for m, prototypes in self.prototypes.items():
            rows = size * len(self.members[m])
            length = self.get_buffer(f"queue_{m}").shape[1]
            if length % rows:
                raise ValueError(
                    f"SwAV: queue={length}, expected a multiple of the {rows} "
                    "rows of a step"
                )
            if len(prototypes) > rows + length:
                raise ValueError(
                    f"SwAV: prototypes={len(prototypes)} with {rows} rows a "
                    f"step and queue={length}, expected {rows + length} at "
                    "most: each prototype needs an image"
                )

    @torch.no_grad()
    def learn_images(self, images: dict[str, Tensor]) -> None:
        """Reference energies of each modality."""
        for m, x in images.items():
            self.references.learn(m, x)

    def forward(self, ctx):
        """Swapped prediction of each modality, summed; "usage" is the entropy
        of the prototypes that the assigned crops lie nearest to, as a share of
        ln K.
        """
        losses, usage, chance = [], [], 0.0
        self.newest = {}
        for m, one in self.assignments(ctx).items():
            loss = swapped_prediction(one.codes, one.scores, self.temperature)
            losses.append(loss)
            usage.append(_usage([one.scores[k] for k in self.assigned]))
            chance += swapped_chance_level(len(self.prototypes[m]))
            newest = [one.features[k].detach() for k in self.assigned]
            self.newest[m] = torch.stack(newest)
        parts = {"loss": ctx.total(losses), "chance": torch.tensor(chance)}
        if usage:
            parts["usage"] = torch.stack(usage).mean()
        return parts

    def assignments(self, ctx) -> dict[str, Assignment]:
        """What the rows of all processes that have a modality are assigned to,
        of each modality that two rows at least have; of all of them together,
        one after the other, where they are mixed.
        """
        found = {}
        projected = self._projections(ctx)
        for m, members in self.members.items():
            there = [projected[n] for n in members if n in projected]
            if not there:
                continue
            crops = [torch.cat(parts) for parts in zip(*there, strict=True)]
            prototypes = self._prototypes(m)
            scores = [crop @ prototypes.T for crop in crops]
            codes = {k: self._codes(m, k, scores[k]) for k in self.assigned}
            found[m] = Assignment(crops, scores, codes)
        return found

    def _projections(self, ctx) -> dict[str, list[Tensor]]:
        """Features of length 1 of each crop, of every row of all processes
        that has the modality: modality -> crops of (rows, features).
        """
        edges = ctx.possible(self.graph(ctx.modalities))
        there = [source.modality for source, _ in edges]
        inputs = {}
        for m in there:
            z = [ctx.features(m, view).z for view in self.views]
            inputs[m] = torch.cat(z)
        outputs = ctx.joint_head("clustering", inputs)
        projected = {}
        for m, output in outputs.items():
            projected[m] = []
            for crop in output.chunk(len(self.views)):
                rows = ctx.gather(ctx.spread(promote(crop), m))
                projected[m].append(F.normalize(ctx.among(rows, m), dim=1))
        return projected

    def _prototypes(self, m: str) -> Tensor:
        """(K, features); of length 1 also behind the last step of an epoch."""
        prototypes = promote(self.prototypes[m])
        return prototypes if self.training else F.normalize(prototypes, dim=1)

    @torch.no_grad()
    def _codes(self, m: str, crop: int, scores: Tensor) -> Tensor:
        """Codes of the rows of a step, computed beside those of the queue."""
        rows = len(scores)
        queue = self.get_buffer(f"queue_{m}")[self.assigned.index(crop)]
        if len(queue) and self.get_buffer(f"queued_{m}") == len(queue):
            earlier = queue @ self._prototypes(m).T
            scores = torch.cat([scores, earlier])
        codes = sinkhorn(scores, self.epsilon, self.iterations)[:rows]
        if self.rounded:
            return F.one_hot(codes.argmax(1), codes.shape[1]).to(codes.dtype)
        return codes

    @torch.no_grad()
    def before_forward(self, step: int) -> None:
        """Make the prototypes of length 1 again."""
        for prototypes in self.prototypes.values():
            prototypes.copy_(F.normalize(prototypes, dim=1))

    def after_backward(self, step: int) -> None:
        """Let prototypes stay as they are, at first."""
        if step < self.frozen:
            for prototypes in self.prototypes.values():
                prototypes.grad = None

    @torch.no_grad()
    def after_step(self, ctx) -> None:
        """Push the features of this step, the newest first."""
        if ctx.batch.step < self.queue_starts:
            return
        for m, newest in self.newest.items():
            queue = self.get_buffer(f"queue_{m}")
            length = queue.shape[1]
            queue.copy_(torch.cat([newest, queue], 1)[:, :length])
            queued = self.get_buffer(f"queued_{m}")
            queued.copy_((queued + newest.shape[1]).clamp(max=length))


def _check_counts(prototypes: int, queue: int, iterations: int) -> None:
    if prototypes < 1 or queue < 0 or iterations < 1:
        raise ValueError(
            f"SwAV: prototypes={prototypes}, queue={queue}, "
            f"iterations={iterations}; expected 1 at least, 0 or more, and 1 "
            "at least"
        )


def _check_assigned(crops: int, assigned: tuple[int, ...]) -> None:
    if crops < 2 or not set(assigned) <= set(range(crops)) or not assigned:
        raise ValueError(
            f"SwAV: codes of the crops {tuple(assigned)} of {crops}, expected "
            "two crops at least and some of their numbers"
        )


def _usage(scores: list[Tensor]) -> Tensor:
    """Entropy of the nearest prototypes, as a share of its largest; of a
    single prototype 1.
    """
    prototypes = scores[0].shape[1]
    nearest = torch.cat([s.detach().argmax(1) for s in scores])
    share = F.one_hot(nearest, prototypes).float().mean(0)
    entropy = -torch.special.xlogy(share, share).sum()
    return entropy / math.log(prototypes) if prototypes > 1 else entropy + 1
