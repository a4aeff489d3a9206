"""Fine-tuning: a pretrained network and the head of a task learn together from
labelled people, all weights of both (003, section 4.2).

A class is told from z by a linear layer, under cross-entropy; a class of each
voxel by a decoder that reads the encoder's maps, under the Dice loss. Other
labels, of the image or of each of its slices, can be learned beside it from
the same z (002, section IV-E). The decoder goes on from the pretrained one
where the run has one of the same layers; only its last layer begins anew.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmssl.losses.dice import dice_loss
from mmssl.models.dcgan import Features
from mmssl.models.keyed_random import Stream
from mmssl.objectives.views import PadCropFlip, Recipe
from mmssl.pretrain.draws import Draw
from mmssl.pretrain.encoders import Weights, make_encoders
from mmssl.pretrain.trainer import chosen_precision, quiet_trainer, train_steps
from mmssl.stats.auc import roc_auc

_BATCH = 16  # of predictions; volumes of 64^3 have large maps
_OUTPUT = "output."  # the last layer of a decoder, in its state
UNKNOWN = -1
CURVE = ("step", "loss", "auc")
"""Columns of a validation curve."""


class Target(NamedTuple):
    """What a network is to tell.

    name : such as "lesion"
    values : (pairs,) class of each pair; (pairs, slices) of each slice across
        the last axis; or (pairs, X, Y, Z) of each voxel, the background 0. -1
        where it is not known.
    classes : their names, in order.
    """

    name: str
    values: np.ndarray
    classes: tuple[str, ...]

    @property
    def voxelwise(self) -> bool:
        """Whether it is a segmentation."""
        return np.ndim(self.values) > 2

    @property
    def slices(self) -> int:
        """How many slices have a class of their own; 0 for none."""
        return self.values.shape[1] if np.ndim(self.values) == 2 else 0


class People(NamedTuple):
    """Rows of pairs.tsv: who is learned from, chosen with and tested on."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Schedule:
    """How a network is fine-tuned.

    Parameters
    ----------
    steps : int
        Of the optimiser, the same for any number of labelled people; the
        weights kept are those of the lowest loss on validation people, read
        ``validations`` times.
    batch_size : int
        Never more than there are people.
    learning_rate : float
        Of Adam; 1e-4 in 003.
    validations : int
    """

    steps: int = 200
    batch_size: int = 8
    learning_rate: float = 1e-4
    validations: int = 5


class TaskNetwork(nn.Module):
    """An encoder with the head of a task.

    Parameters
    ----------
    encoder : Module
    target : Target
    auxiliary : sequence of Target
        What is told from z beside it, of images or slices.

    Raises
    ------
    ValueError
        For a segmentation by an encoder whose maps no decoder reads, slices as
        the target itself, or voxels beside it.
    """

    def __init__(
        self,
        encoder: nn.Module,
        target: Target,
        auxiliary: Sequence[Target] = (),
    ):
        super().__init__()
        _check_kinds(target, auxiliary)
        self.encoder = encoder
        self.voxelwise = target.voxelwise
        classes = len(target.classes)
        if not self.voxelwise:
            self.head = nn.Linear(encoder.latent, classes)
        elif hasattr(encoder, "decoder"):
            self.head = encoder.decoder(classes)
        else:
            raise ValueError(
                f"{type(encoder).__name__}: no decoder reads its maps; "
                "expected an encoder for segmentation, such as "
                "mmssl.models.unet:UNetEncoder"
            )
        self.auxiliary = nn.ModuleList()
        for other in auxiliary:
            number = len(other.classes) * max(1, other.slices)
            self.auxiliary.append(nn.Linear(encoder.latent, number))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images (B, C, *sides): (B, classes), or (B, classes,
        *sides).
        """
        return self.told(self.encoder(x))

    def told(self, features: Features) -> Tensor:
        """Logits from features."""
        if self.voxelwise:
            return self.head(features.local, features.maps)
        return self.head(features.z)


def _check_kinds(target: Target, auxiliary: Sequence[Target]) -> None:
    if target.slices:
        raise ValueError(
            f"{target.name}: a class of each slice, expected of each image or "
            "voxel; slices may stand beside it"
        )
    for other in auxiliary:
        if other.voxelwise:
            raise ValueError(
                f"{other.name}: a class of each voxel beside the target, "
                "expected of each image or slice"
            )


def task_network(
    weights: Weights,
    modality: str,
    target: Target,
    seed: int = 0,
    pretrained: bool = True,
    auxiliary: Sequence[Target] = (),
    around: Callable[[nn.Module], nn.Module] | None = None,
) -> TaskNetwork:
    """The network of a run with the head of a task.

    Parameters
    ----------
    weights : Weights
    modality : str
        Whose encoder.
    target : Target
    seed : int
        Of what is not pretrained.
    pretrained : bool
        Whether it begins with the run's weights, or has its shape alone.
    auxiliary : sequence of Target
        As of `TaskNetwork`.
    around : callable, optional
        Makes the network's encoder of the run's, such as one of other inputs.

    Raises
    ------
    ValueError
        For a modality that the run does not know, or as `TaskNetwork`.
    """
    if modality not in weights.encoders:
        raise ValueError(
            f"modality {modality!r}: the run encodes "
            f"{', '.join(sorted(weights.encoders))}"
        )
    channels = {modality: weights.shape["channels"][modality]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = make_encoders({**weights.shape, "channels": channels})
        encoder = encoder[modality]
        whole = around(encoder) if around else encoder
        network = TaskNetwork(whole, target, auxiliary)
    if pretrained:
        encoder.load_state_dict(weights.encoders[modality])
        if goes_on(network, weights, modality):
            learned = weights.decoders[modality].items()
            state = {k: v for k, v in learned if not k.startswith(_OUTPUT)}
            network.head.load_state_dict(state, strict=False)
    return network


def goes_on(network: TaskNetwork, weights: Weights, modality: str) -> bool:
    """Whether a run has the decoder of a network, but for its last layer."""
    learned = weights.decoders.get(modality, {})
    if not network.voxelwise:
        return False
    for name, value in network.head.state_dict().items():
        same = name in learned and learned[name].shape == value.shape
        if not name.startswith(_OUTPUT) and not same:
            return False
    return True


def finetune(
    network: TaskNetwork,
    inputs: np.ndarray,
    target: Target,
    people: People,
    schedule: Schedule | None = None,
    recipe: Recipe | None = None,
    seed: int = 0,
    precision: str = "auto",
    auxiliary: Sequence[Target] = (),
) -> np.ndarray:
    """Train all weights of a network on labelled people.

    It ends in evaluation mode, with the weights of the lowest loss of the
    target on validation people.

    Parameters
    ----------
    network : TaskNetwork
        Of `task_network`; trained in place.
    inputs : array, shape (pairs, C, *sides)
        Standardised images of one modality.
    target : Target
    people : People
        Those to test are not looked at.
    schedule : Schedule, optional
    recipe : Recipe, optional
        Of the augmentation, the same for an image and its voxels' classes; by
        default small shifts and flips (`mmssl.objectives.views`).
    seed : int
        Of the order and the augmentation.
    precision : {"auto", "fp32", "bf16"}
        As of `mmssl.pretrain.fit.fit`.
    auxiliary : sequence of Target
        Those that the network was made with; their losses are added.

    Returns
    -------
    array, shape (validations, 3)
        `CURVE`: step, loss and ROC-AUC of the target on validation people; no
        AUC (NaN) of voxels, or where a class is missing.

    Raises
    ------
    ValueError
        Before any step: fewer than two people to learn from, nobody to choose
        with, somebody without a label, or a class that nobody to learn from
        has.
    FloatingPointError
        For a loss that is not finite.
    """
    schedule = schedule or Schedule()
    recipe = recipe or PadCropFlip(flips=True, shared=True)
    _check(target, people)
    size = min(schedule.batch_size, len(people.train))
    draw = Draw(people.train, size, seed)
    if inputs.ndim == 5:
        # 1.4 times as fast at 32^3, and more where voxels are told
        network.to(memory_format=torch.channels_last_3d)
    module = _FineTuning(
        network,
        inputs,
        (target, *auxiliary),
        people.valid,
        draw,
        recipe,
        schedule,
    )
    trainer = quiet_trainer(
        chosen_precision(precision),
        max_epochs=1,
        val_check_interval=max(1, schedule.steps // schedule.validations),
    )
    batches = range(-(-len(people.valid) // _BATCH))
    train_steps(trainer, module, range(schedule.steps), batches)
    network.load_state_dict(module.best_state)
    network.eval()
    return np.array(module.curve)


def predict(
    network: TaskNetwork, inputs: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """What a network says of people.

    Parameters
    ----------
    network : TaskNetwork
    inputs : array, shape (pairs, C, *sides)
    rows : array of int

    Returns
    -------
    array
        Logits (rows, classes) float32, or the class of each voxel (rows,
        *sides) uint8.
    """
    parts = []
    for logits in logits_of(network, inputs, rows):
        if network.voxelwise:
            logits = logits.argmax(1).to(torch.uint8)
        parts.append(logits.numpy())
    return np.concatenate(parts)


@torch.no_grad()
def logits_of(
    network: TaskNetwork, inputs: np.ndarray, rows: np.ndarray
) -> Iterator[Tensor]:
    """Logits of people, some at a time, float32 on the CPU; parameters as of
    `predict`.
    """
    network.eval()
    device = next(network.parameters()).device
    for start in range(0, len(rows), _BATCH):
        images = inputs[rows[start : start + _BATCH]].astype(np.float32)
        yield network(torch.from_numpy(images).to(device)).float().cpu()


def labelled_subset(
    rows: np.ndarray, labels: np.ndarray, ratio: float, seed: int = 0
) -> np.ndarray:
    """A share of people, of each class alike; smaller shares lie within larger
    ones of the same seed.

    Parameters
    ----------
    rows : array of int
        Of pairs, one a person.
    labels : array, shape (pairs,)
        Class of each pair.
    ratio : float
        In (0, 1].
    seed : int

    Returns
    -------
    array of int
        Sorted; one of each class at least.

    Raises
    ------
    ValueError
        For a ratio outside (0, 1].
    """
    if not 0 < ratio <= 1:
        raise ValueError(f"label ratio is {ratio}, expected in (0, 1]")
    rng = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(labels[rows]):
        order = rng.permutation(rows[labels[rows] == label])
        chosen.append(order[: max(1, round(ratio * len(order)))])
    return np.sort(np.concatenate(chosen))


def _check(target: Target, people: People) -> None:
    for role in ("train", "valid"):
        rows = getattr(people, role)
        least = 2 if role == "train" else 1
        if len(rows) < least:
            raise ValueError(
                f"{target.name}: {len(rows)} people to {role}, expected "
                f"{least} at least"
            )
        if (target.values[rows] == UNKNOWN).any():
            raise ValueError(f"{target.name}: somebody to {role} has no label")
    there = np.unique(target.values[people.train])
    missing = sorted(set(range(len(target.classes))) - set(there.tolist()))
    if missing:
        names = ", ".join(target.classes[k] for k in missing)
        raise ValueError(
            f"{target.name}: none of {len(people.train)} people to learn from "
            f"shows {names}; expected more people"
        )


class _FineTuning(lightning.LightningModule):
    """The loop of one fit, whose epoch is the whole schedule."""

    def __init__(
        self,
        network: TaskNetwork,
        inputs: np.ndarray,
        targets: Sequence[Target],
        valid: np.ndarray,
        draw: Draw,
        recipe: Recipe,
        schedule: Schedule,
    ):
        super().__init__()
        self.network = network
        self.images = inputs
        self.targets = targets
        self.valid = valid
        self.draw = draw
        self.recipe = recipe
        self.schedule = schedule
        self.told: list[tuple[Tensor, Tensor]] = []
        self.curve: list[tuple[float, float, float]] = []
        self.best = float("inf")
        self.best_state = copy.deepcopy(network.state_dict())

    def on_fit_start(self):
        """Move what is read to the device once."""
        rows = np.concatenate([self.draw.rows, self.valid])
        self.place = {int(row): k for k, row in enumerate(rows)}
        images = torch.from_numpy(np.asarray(self.images[rows], np.float32))
        self.images = images.to(self.device)
        self.values = []
        for target in self.targets:
            values = np.asarray(target.values[rows], np.int64)
            self.values.append(torch.from_numpy(values).to(self.device))

    def _batch(self, rows: np.ndarray) -> tuple[Tensor, list[Tensor]]:
        """Images and labels of rows."""
        places = torch.tensor([self.place[int(row)] for row in rows])
        places = places.to(self.device)
        return self.images[places], [x[places] for x in self.values]

    def training_step(self, index: int, _=None) -> Tensor:
        """One step, in views of its own."""
        epoch, part = divmod(index, len(self.draw))
        size = self.draw.batch_size
        rows = self.draw.epoch(epoch)[part * size : (part + 1) * size]
        images, values = self._batch(rows)
        keys = torch.arange(size, device=self.device)
        stream = Stream(keys, self.draw.seed, index)
        images, values = self._augmented(images, values, stream)
        features = self.network.encoder(images)
        loss = self._loss(self.network.told(features), values[0])
        heads = zip(self.network.auxiliary, values[1:], strict=True)
        for head, labels in heads:
            loss = loss + _known_entropy(head(features.z), labels)
        if not loss.isfinite():
            raise FloatingPointError(
                f"fine-tuning: the loss is {loss.item()} in step {index}"
            )
        return loss

    def _augmented(
        self, images: Tensor, values: list[Tensor], stream: Stream
    ) -> tuple[Tensor, list[Tensor]]:
        """A view, and the labels that move with it: of voxels and slices."""
        volumes = {"image": images}
        moving = [k for k, x in enumerate(values) if x.dim() > 1]
        for k in moving:
            labels = values[k]
            if labels.dim() == 2:  # the same all over a slice
                across = (1,) * (images.dim() - 3)
                labels = labels.view(len(labels), *across, -1)
                labels = labels.expand(len(labels), *images.shape[2:])
            # what comes in from outside is not known; of voxels background
            known = labels[:, None].float()
            volumes[str(k)] = known if k == 0 else known - UNKNOWN
        views = self.recipe(volumes, stream)
        for k in moving:
            moved = views[str(k)][:, 0]
            if values[k].dim() == 2:
                moved = moved.flatten(1, -2).amax(1) + UNKNOWN
            values[k] = moved.long()
        return views["image"], values

    def _loss(self, logits: Tensor, values: Tensor) -> Tensor:
        if self.network.voxelwise:
            return dice_loss(logits, values)
        return F.cross_entropy(logits.float(), values)

    def validation_step(self, index: int, _=None) -> None:
        """What the network says of some validation people."""
        rows = self.valid[index * _BATCH : (index + 1) * _BATCH]
        images, values = self._batch(rows)
        logits = self.network(images)
        loss = self._loss(logits, values[0]).detach() * len(rows)
        said = logits.new_zeros(0) if self.network.voxelwise else logits
        self.told.append((loss, said.float()))

    def on_validation_epoch_end(self):
        """Add a point to the curve; keep the weights of the lowest loss."""
        losses = torch.stack([loss for loss, _ in self.told])
        loss = float(losses.sum()) / len(self.valid)
        auc = np.nan
        if not self.network.voxelwise:
            logits = torch.cat([said for _, said in self.told])
            auc = self._auc(logits.softmax(1).cpu().numpy())
        self.told = []
        self.curve.append((self.global_step, loss, auc))
        if loss < self.best:
            self.best = loss
            self.best_state = copy.deepcopy(self.network.state_dict())

    def _auc(self, p: np.ndarray) -> float:
        """Of probabilities (people, classes); NaN where a class is missing."""
        target = self.targets[0]
        labels = target.values[self.valid]
        if len(np.unique(labels)) < len(target.classes):
            return np.nan
        return roc_auc(labels, p[:, 1] if p.shape[1] == 2 else p.T)

    def configure_optimizers(self):
        """Adam (003, section 4.2)."""
        return torch.optim.Adam(
            self.network.parameters(), lr=self.schedule.learning_rate
        )


def _known_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of the labels that are known, (B,) or (B, slices);
    0 where none is.
    """
    if labels.dim() == 2:
        logits = logits.view(len(labels), -1, labels.shape[1])
    total = F.cross_entropy(
        logits.float(), labels, ignore_index=UNKNOWN, reduction="sum"
    )
    return total / (labels != UNKNOWN).sum().clamp(min=1)
