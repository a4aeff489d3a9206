"""The training loop: it knows the objective and the optimiser, and no term by
name.

Rows, crops and every other random choice are functions of (seed, epoch, step,
row), so there is no hidden state: a checkpoint at the end of an epoch is
enough to continue bit for bit.
"""

from pathlib import Path

import lightning
import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from mmssl.ledger import atomic
from mmssl.models.keyed_random import Stream
from mmssl.objectives.language import Objective
from mmssl.objectives.term import Batch, Context
from mmssl.objectives.views import Recipe, make_views
from mmssl.pretrain import processes
from mmssl.pretrain.draws import Draw
from mmssl.pretrain.neighbours import nearest_neighbours_auc
from mmssl.pretrain.optimisers import LEARNING_RATES, optimiser_and_schedule
from mmssl.pretrain.rankme import dimension_std, rankme
from mmssl.pretrain.run_folder import BEST, LAST
from mmssl.pretrain.stored_inputs import StoredInputs

# a step no run reaches: validation draws are the same in every epoch
_VALIDATION_STEP = 2**40


class Pretraining(lightning.LightningModule):
    """Optimise an objective over a cohort, on the device or in files.

    Parameters
    ----------
    objective : Objective
    inputs : dict of Tensor or StoredInputs, each (pairs, C, *sides)
        Standardised volumes of the whole cohort.
    labels : dict of Tensor of int64, each (pairs,)
        Task -> class index, -1 where missing.
    present : dict of Tensor of bool, each (pairs,)
        Of the modalities that some pairs lack: which have it.
    train, valid : Draw
        ``valid`` may be None.
    recipe : Recipe
        The run's own augmentation.
    epochs, seed : int
    task : str, optional
        Label that the nearest neighbours of validation people tell.
    optimiser : {"radam", "larc", "sgd"}
        See :func:`mmssl.pretrain.optimisers.optimiser_and_schedule`.
    learning_rate : float
        The largest of the schedule.
    """

    def __init__(
        self,
        objective: Objective,
        inputs: dict[str, Tensor | StoredInputs],
        labels: dict[str, Tensor],
        present: dict[str, Tensor],
        train: Draw,
        valid: Draw | None,
        recipe: Recipe,
        epochs: int,
        seed: int,
        task: str | None = None,
        optimiser: str = "radam",
        learning_rate: float = LEARNING_RATES["radam"],
    ):
        super().__init__()
        self.objective = objective
        self.inputs = inputs
        self.labels = labels
        self.present = present
        self.draws = {"train": train, "valid": valid}
        self.recipe = recipe
        self.epochs = epochs
        self.seed = seed
        self.task = task
        self.optimiser = optimiser
        self.learning_rate = learning_rate
        # of the epoch: sums of loss and parts; by role and modality, z and
        # labels of the steps
        self.sums: dict[str, Tensor] = {}
        self.embeddings: dict[tuple[str, str], list[Tensor]] = {}
        self.classes: dict[tuple[str, str], list[Tensor]] = {}

    @property
    def inputs_are_volumes(self) -> bool:
        """Whether the inputs are (pairs, C, X, Y, Z) and not (pairs, C, H,
        W).
        """
        return next(iter(self.inputs.values())).dim() == 5

    def on_fit_start(self):
        """Move the cohort to the device once, or what a step reads of it."""
        for m, x in self.inputs.items():
            self.inputs[m] = x.to(self.device)
        for task, classes in self.labels.items():
            self.labels[task] = classes.to(self.device)
        for m, there in self.present.items():
            self.present[m] = there.to(self.device)

    def batch(self, role: str, epoch: int, index: int) -> Batch:
        """Views, keys and labels of one step on this process."""
        draw = self.draws[role]
        count = draw.batch_size // self.trainer.world_size
        start = index * draw.batch_size + self.trainer.global_rank * count
        rows = self._rows(draw, epoch, slice(start, start + count))
        keys = torch.arange(start, start + count, device=self.device)
        step = self.global_step if role == "train" else _VALIDATION_STEP
        stream = Stream(keys, self.seed, step)
        present = {m: x[rows[m]] for m, x in self.present.items()}
        views = make_views(
            self.inputs,
            rows,
            self.objective.views,
            self.recipe,
            stream,
            present,
        )
        labels, own_keys = {}, dict.fromkeys(rows, keys)
        for m, there in present.items():
            own_keys[m], rows[m] = keys[there], rows[m][there]
        for m in rows:
            labels[m] = {task: y[rows[m]] for task, y in self.labels.items()}
        return Batch(views, own_keys, labels, step, self.seed, present)

    def _rows(self, draw: Draw, epoch: int, part: slice) -> dict[str, Tensor]:
        """Rows of the cohort that a part of an epoch's draw holds."""
        rows = {}
        for number, m in enumerate(self.inputs):
            drawn = draw.epoch(epoch, number)[part]
            rows[m] = torch.as_tensor(drawn, device=self.device)
        return rows

    def training_step(self, index: int, _=None) -> Tensor:
        """One optimiser step on batch ``index`` of the epoch."""
        for term in self.objective.terms.values():
            term.before_forward(self.global_step)
        batch = self.batch("train", self.current_epoch, index)
        total, parts, self.ctx = self.objective(batch)
        self._check_loss(total, parts, f"batch {index}")
        self._add_to_sums("train", total, parts)
        self._add_embeddings("train", self.ctx)
        return total

    def validation_step(self, index: int, _=None) -> None:
        """Objective on the validation rows, in views drawn as in training, the
        same in every epoch.
        """
        total, parts, ctx = self.objective(self.batch("valid", 0, index))
        self._check_loss(total, parts, f"validation batch {index}")
        self._add_to_sums("valid", total, parts)
        self._add_embeddings("valid", ctx)

    def on_after_backward(self):
        """Let the terms change gradients."""
        for term in self.objective.terms.values():
            term.after_backward(self.global_step)

    def on_train_batch_end(self, *_):
        """Let the terms and the momentum copy follow the step."""
        self.objective.update_momentum()
        for term in self.objective.terms.values():
            term.after_step(self.ctx)
        del self.ctx

    def _check_loss(
        self, total: Tensor, parts: dict[str, Tensor], place: str
    ) -> None:
        """Stop at a loss that is not finite, before it can reach a
        checkpoint.
        """
        if torch.isfinite(total):
            return
        bad = {k: v.item() for k, v in parts.items() if not v.isfinite()}
        self._stop(f"the loss is not finite: {bad or total.item()}", place)

    def check_weights(self) -> None:
        """Stop where the last step of an epoch, of a finite loss, left weights
        that are not.
        """
        for name, value in self.objective.state_dict().items():
            if not value.isfinite().all():
                terms = ", ".join(self.objective.terms)
                self._stop(
                    f"the gradient of {terms} is not finite, "
                    f"so neither is {name},",
                    f"batch {len(self.draws['train']) - 1}",
                )

    def _stop(self, reason: str, place: str) -> None:
        raise FloatingPointError(
            f"{reason} in epoch {self.current_epoch}, {place}; "
            "the checkpoint of the last complete epoch is kept"
        )

    def _add_to_sums(
        self, role: str, total: Tensor, parts: dict[str, Tensor]
    ) -> None:
        values = {"loss": total, **parts}
        chance = self.objective.chance(parts)
        if chance is not None:
            values["chance"] = chance
        for name, value in values.items():
            key = f"{role}/{name}"
            value = value.detach().double()
            self.sums[key] = self.sums.get(key, 0.0) + value

    def _add_embeddings(self, role: str, ctx: Context) -> None:
        """Keep z and label of the rows of a step."""
        for m in self.objective.modalities:
            # all processes pass a modality together, or none
            if not len(ctx.batch.rows[m]) and processes.number() == 1:
                continue
            z = ctx.features(m, ctx.main_view).z.detach()
            self.embeddings.setdefault((role, m), []).append(z)
            if self.task is not None:
                labels = ctx.batch.labels[m][self.task]
                self.classes.setdefault((role, m), []).append(labels)

    def summary(self) -> tuple[dict[str, float], dict[str, list[float]]]:
        """Close the epoch.

        Returns
        -------
        values : dict of float
            Mean of loss and parts over the steps; effective rank, mean and
            smallest standard deviation of z on training pairs, and ROC-AUC of
            the nearest neighbours on validation pairs, by modality.
        spread : dict of list of float
            modality -> standard deviation of each latent dimension.
        """
        values = {}
        sums = processes.of_all({k: float(x) for k, x in self.sums.items()})
        for key in self.sums:
            steps = len(self.draws[key.split("/")[0]])
            values[key] = float(np.mean([own[key] for own in sums])) / steps
        embeddings = _of_all_processes(self.embeddings)
        classes = _of_all_processes(self.classes)
        spread = {}
        for m in self.objective.modalities:
            if ("train", m) not in embeddings:
                continue
            z = embeddings["train", m].float()
            spread[m] = dimension_std(z).tolist()
            values[f"rankme/{m}"] = rankme(z - z.mean(0))
            values[f"std_mean/{m}"] = float(np.mean(spread[m]))
            values[f"std_min/{m}"] = float(np.min(spread[m]))
            if ("valid", m) in classes:
                values[f"knn/{m}"] = nearest_neighbours_auc(
                    z,
                    classes["train", m],
                    embeddings["valid", m].float(),
                    classes["valid", m],
                )
        self.sums = {}
        self.embeddings = {}
        self.classes = {}
        return values, spread

    def configure_optimizers(self):
        """The optimiser and its schedule, stepped every batch."""
        parameters = [
            p for p in self.objective.parameters() if p.requires_grad
        ]
        steps = self.epochs * len(self.draws["train"])
        return optimiser_and_schedule(
            self.optimiser, parameters, self.learning_rate, steps
        )


def _of_all_processes(
    parts: dict[tuple[str, str], list[Tensor]],
) -> dict[tuple[str, str], Tensor]:
    """Rows of all steps and all processes, on the CPU."""
    own = {key: torch.cat(steps).cpu() for key, steps in parts.items()}
    joined: dict[tuple[str, str], list[Tensor]] = {}
    for found in processes.of_all(own):
        for key, rows in found.items():
            joined.setdefault(key, []).append(rows)
    return {key: torch.cat(rows) for key, rows in joined.items()}


class Recorder(lightning.Callback):
    """History, the best encoder by validation loss, and a checkpoint after
    every epoch.

    Parameters
    ----------
    folder : Path
        Where ``last.ckpt`` and ``best.ckpt`` go; each is replaced atomically.
    progress : bool
        Whether to show a progress bar over the epochs.
    keep : {"best", "last"}
        Which epoch's weights are kept.
    """

    def __init__(self, folder: Path, progress: bool, keep: str = "best"):
        self.folder = folder
        self.progress = progress
        self.keep = keep
        self.history: list[dict[str, float]] = []
        self.dimensions: list[dict] = []
        self.best = float("inf")

    def state_dict(self) -> dict:
        """What a resumed run must know of the past to write the same files."""
        return {
            "history": self.history,
            "dimensions": self.dimensions,
            "best": self.best,
        }

    def load_state_dict(self, state: dict) -> None:
        """Continue a history."""
        self.history = state["history"]
        self.dimensions = state["dimensions"]
        self.best = state["best"]

    def on_train_start(self, trainer, module):
        """Open the progress bar where the run stands."""
        self.bar = tqdm(
            total=module.epochs,
            initial=trainer.current_epoch,
            unit="epoch",
            disable=not self.progress or not processes.is_first(),
        )

    def on_train_batch_start(self, trainer, *_):
        """Note the learning rate of the step, before the schedule moves on."""
        self.rate = trainer.optimizers[0].param_groups[0]["lr"]

    def on_train_epoch_end(self, trainer, module):
        """Write down the epoch and make it the point to resume from, unless it
        went wrong.
        """
        module.check_weights()
        values, spread = module.summary()
        self._write_down(trainer, values, spread)
        loss = values.get("valid/loss", values["train/loss"])
        terms = module.objective.terms.values()
        comparable = all(term.comparable for term in terms)
        if loss < self.best or self.keep == "last" or not comparable:
            self.best = loss
            self._save_kept(trainer, module)
        self._save_last(trainer)
        loss = f"{values['train/loss']:.3f}"
        self.bar.set_postfix(loss=loss, refresh=False)
        self.bar.update()

    def _write_down(self, trainer, values: dict, spread: dict) -> None:
        """Add the epoch to the history."""
        epoch = trainer.current_epoch
        place = {
            "epoch": epoch,
            "step": trainer.global_step,
            "lr": self.rate,
        }
        self.history.append({**place, **values})
        for m, std in spread.items():
            record = {"epoch": epoch, "modality": m, "std": std}
            self.dimensions.append(record)

    def _save_last(self, trainer) -> None:
        """The point to resume from, with the optimiser; all processes take
        part, and the first writes.
        """
        last = self.folder / LAST
        if not processes.is_first():
            trainer.save_checkpoint(last, weights_only=False)
            return
        with atomic.file(last) as temporary:
            trainer.save_checkpoint(temporary, weights_only=False)

    def _save_kept(self, trainer, module) -> None:
        """The weights that the run holds, so far."""
        if not processes.is_first():
            return
        with atomic.file(self.folder / BEST) as temporary:
            torch.save(module.objective.state_dict(), temporary)

    def teardown(self, trainer, module, stage):
        """Close the progress bar, also after an error."""
        if hasattr(self, "bar"):
            self.bar.close()
