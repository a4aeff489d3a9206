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
from mmssl.objectives.term import Batch
from mmssl.objectives.views import Clean, Recipe, make_views
from mmssl.pretrain import rankme
from mmssl.pretrain.draws import Draw

# 004, section III-C; OneCycle starts at MAX_LR / div_factor
MAX_LR, INITIAL_LR = 0.01, 4e-4
# a step no run reaches: validation draws are the same in every epoch
_VALIDATION_STEP = 2**40


class Pretraining(lightning.LightningModule):
    """Optimise an objective over a cohort that stays on the device.

    Parameters
    ----------
    objective : Objective
    inputs : dict of Tensor, each (pairs, C, *sides)
        Standardised volumes of the whole cohort.
    labels : dict of Tensor of int64, each (pairs,)
        Task -> class index, -1 where missing.
    train, valid : Draw
        ``valid`` may be None.
    recipe : Recipe
        The run's own augmentation.
    epochs, seed : int
    """

    def __init__(
        self,
        objective: Objective,
        inputs: dict[str, Tensor],
        labels: dict[str, Tensor],
        train: Draw,
        valid: Draw | None,
        recipe: Recipe,
        epochs: int,
        seed: int,
    ):
        super().__init__()
        self.objective, self.recipe, self.seed, self.epochs = (
            objective,
            recipe,
            seed,
            epochs,
        )
        self.draws = {"train": train, "valid": valid}
        self.inputs, self.labels = inputs, labels
        self.sums: dict[str, Tensor] = {}
        self.seen: dict[str, list[Tensor]] = {}

    def on_fit_start(self):
        """Move the cohort to the device once."""
        self.inputs = {m: x.to(self.device) for m, x in self.inputs.items()}
        self.labels = {
            task: x.to(self.device) for task, x in self.labels.items()
        }

    def batch(self, role: str, epoch: int, index: int) -> Batch:
        """Views, keys and labels of one step on this process."""
        draw = self.draws[role]
        share = draw.batch_size // self.trainer.world_size
        start = index * draw.batch_size + self.trainer.global_rank * share
        mine = slice(start, start + share)
        rows = {
            m: torch.as_tensor(
                draw.epoch(epoch, number)[mine], device=self.device
            )
            for number, m in enumerate(self.inputs)
        }
        keys = torch.arange(start, start + share, device=self.device)
        step = self.global_step if role == "train" else _VALIDATION_STEP
        recipe = self.recipe if role == "train" else Clean()
        stream = Stream(keys, self.seed, step)
        views = make_views(
            self.inputs, rows, self.objective.views, recipe, stream
        )
        labels = {
            m: {task: y[rows[m]] for task, y in self.labels.items()}
            for m in rows
        }
        return Batch(views, dict.fromkeys(rows, keys), labels, step, self.seed)

    @property
    def inputs_are_volumes(self) -> bool:
        """Whether the inputs are (pairs, C, X, Y, Z) and not (pairs, C, H,
        W).
        """
        return next(iter(self.inputs.values())).dim() == 5

    def training_step(self, index: int, _=None) -> Tensor:
        """One optimiser step on batch ``index`` of the epoch."""
        for term in self.objective.terms.values():
            term.before_forward(self.global_step)
        total, parts, self.ctx = self.objective(
            self.batch("train", self.current_epoch, index)
        )
        self._check(total, parts, f"batch {index}")
        self._record("train", total, parts)
        for m in self.objective.modalities:
            self.seen.setdefault(m, []).append(self.ctx.features(m).z.detach())
        return total

    def validation_step(self, index: int, _=None) -> None:
        """Objective on clean views of the validation rows, with the same draws
        in every epoch.
        """
        total, parts, _ = self.objective(self.batch("valid", 0, index))
        self._check(total, parts, f"validation batch {index}")
        self._record("valid", total, parts)

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

    def _check(
        self, total: Tensor, parts: dict[str, Tensor], where: str
    ) -> None:
        """Stop at a loss that is not finite, before it can reach a
        checkpoint.
        """
        if not torch.isfinite(total):
            bad = {k: v.item() for k, v in parts.items() if not v.isfinite()}
            self._stop(f"the loss is not finite: {bad or total.item()}", where)

    def check_weights(self) -> None:
        """Stop where the last step of an epoch, of a finite loss, left weights
        that are not.
        """
        bad = [
            k
            for k, v in self.objective.state_dict().items()
            if not v.isfinite().all()
        ]
        if bad:
            terms = ", ".join(self.objective.terms)
            last = f"batch {len(self.draws['train']) - 1}"
            self._stop(
                f"the gradient of {terms} is not finite, so neither is {bad[0]},",
                last,
            )

    def _stop(self, what: str, where: str) -> None:
        raise FloatingPointError(
            f"{what} in epoch {self.current_epoch}, {where}; the checkpoint of the last complete "
            "epoch is kept"
        )

    def _record(
        self, role: str, total: Tensor, parts: dict[str, Tensor]
    ) -> None:
        for name, value in {"loss": total, **parts}.items():
            key = f"{role}/{name}"
            self.sums[key] = self.sums.get(key, 0.0) + value.detach().double()

    def summary(self) -> tuple[dict[str, float], dict[str, list[float]]]:
        """Means of the epoch and the spread of each latent dimension; starts
        the next epoch.
        """
        row = {}
        for key, value in self.sums.items():
            row[key] = float(value) / len(self.draws[key.split("/")[0]])
        spread = {}
        for m, parts in self.seen.items():
            z = torch.cat(parts).float().cpu()
            spread[m] = rankme.spread(z).tolist()
            row[f"rankme/{m}"] = rankme.rankme(z - z.mean(0))
            row[f"std_mean/{m}"] = float(np.mean(spread[m]))
            row[f"std_min/{m}"] = float(np.min(spread[m]))
        self.sums, self.seen = {}, {}
        return row, spread

    def configure_optimizers(self):
        """RAdam with OneCycle, stepped every batch (004, section III-C)."""
        parameters = [
            p for p in self.objective.parameters() if p.requires_grad
        ]
        optimiser = torch.optim.RAdam(parameters, lr=INITIAL_LR)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            MAX_LR,
            total_steps=self.epochs * len(self.draws["train"]),
            div_factor=MAX_LR / INITIAL_LR,
        )
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


class Recorder(lightning.Callback):
    """History, the best encoder by validation loss, and a checkpoint after
    every epoch.

    Parameters
    ----------
    folder : Path
        Where ``last.ckpt`` and ``best.ckpt`` go; each is replaced atomically.
    progress : bool
        Whether to show a progress bar over the epochs.
    """

    def __init__(self, folder: Path, progress: bool):
        self.folder, self.progress = folder, progress
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
        self.history, self.dimensions = state["history"], state["dimensions"]
        self.best = state["best"]

    def on_train_start(self, trainer, module):
        """Open the progress bar where the run stands."""
        start = {
            "total": module.epochs,
            "initial": trainer.current_epoch,
            "unit": "epoch",
        }
        self.bar = tqdm(**start, disable=not self.progress)

    def on_train_batch_start(self, trainer, *_):
        """Note the learning rate of the step, before the schedule moves on."""
        self.rate = trainer.optimizers[0].param_groups[0]["lr"]

    def on_train_epoch_end(self, trainer, module):
        """Write down the epoch and make it the point to resume from, unless it
        went wrong.
        """
        module.check_weights()
        row, spread = module.summary()
        epoch = trainer.current_epoch
        self.history.append(
            {
                "epoch": epoch,
                "step": trainer.global_step,
                "lr": self.rate,
                **row,
            }
        )
        self.dimensions += [
            {"epoch": epoch, "modality": m, "std": s}
            for m, s in spread.items()
        ]
        loss = row.get("valid/loss", row["train/loss"])
        if loss < self.best:
            self.best = loss
            if trainer.is_global_zero:
                with atomic.file(self.folder / "best.ckpt") as temporary:
                    torch.save(module.objective.state_dict(), temporary)
        with atomic.file(self.folder / "last.ckpt") as temporary:
            # the optimiser too
            trainer.save_checkpoint(temporary, weights_only=False)
        self.bar.set_postfix(loss=f"{row['train/loss']:.3f}", refresh=False)
        self.bar.update()

    def teardown(self, trainer, module, stage):
        """Close the progress bar, also after an error."""
        if hasattr(self, "bar"):
            self.bar.close()
