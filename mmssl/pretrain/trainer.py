"""Lightning's trainer as this package uses it: its loop and its precision, and
nothing that writes or speaks for itself.
"""

import logging
import warnings
from collections.abc import Sequence

import lightning
import torch
from lightning.pytorch.plugins.environments import (
    LightningEnvironment,
    TorchElasticEnvironment,
)
from lightning.pytorch.strategies import DDPStrategy

from mmssl.pretrain import processes

OF_LIGHTNING = (
    # of torch 2.13
    (r".*LeafSpec.* is deprecated", FutureWarning),
    # of a machine that has Slurm
    (r".*`srun` command is available.*", UserWarning),
)
"""What Lightning warns of, whoever uses it."""

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}
STRATEGIES = ("auto", "ddp")

# whatever Slurm says of the job around it: else Lightning would answer its
# signals with a checkpoint in the middle of an epoch, from which no run
# continues bit for bit
_ALONE = {"devices": 1, "plugins": [LightningEnvironment()]}


def best_precision() -> str:
    """Precision this machine gains from: "bf16" where a GPU or CPU multiplies
    it, else "fp32".
    """
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    # AMX: 3 times and more; AVX-512 with bfloat16 dot products: 2 times at
    # 64^3, 1.3 times at 32^3
    native = (
        torch.cpu._is_amx_tile_supported()
        or torch.cpu._is_avx512_bf16_supported()
    )
    return "bf16" if native else "fp32"


def chosen_precision(precision: str) -> str:
    """The precision asked for, or the best one for "auto"; ValueError for
    another.
    """
    if precision == "auto":
        return best_precision()
    if precision not in PRECISIONS:
        raise ValueError(
            f"precision={precision!r}, expected 'auto' or one of "
            f"{sorted(PRECISIONS)}"
        )
    return precision


def quiet_trainer(precision: str, **options) -> lightning.Trainer:
    """A trainer without logger, bar, checkpoint or summary, of one device
    unless options say otherwise; the same in a job of Slurm as elsewhere.

    Parameters
    ----------
    precision : {"fp32", "bf16"}
    **options
        Of `lightning.Trainer`.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    return lightning.Trainer(
        **{**_ALONE, **options},
        precision=PRECISIONS[precision],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )


def of_processes(strategy: str) -> dict[str, object]:
    """Options of a trainer that shares its steps with the processes that were
    started together (`mmssl.pretrain.processes`), if any.

    Parameters
    ----------
    strategy : {"auto", "ddp"}
        Of several processes: Lightning's distributed data parallel, which
        looks for weights that a step does not use ("auto"), or relies on all
        being used ("ddp", a little faster).

    Raises
    ------
    ValueError
        For another strategy.
    """
    if strategy not in STRATEGIES:
        raise ValueError(
            f"strategy={strategy!r}, expected one of {STRATEGIES}"
        )
    if processes.number() == 1:
        return {}
    here = processes.on_this_node()
    return {
        "devices": here,
        "num_nodes": processes.number() // here,
        "plugins": [TorchElasticEnvironment()],
        # buffers are the same in all processes without being sent
        "strategy": DDPStrategy(
            find_unused_parameters=strategy == "auto",
            broadcast_buffers=False,
        ),
    }


def train_steps(
    trainer: lightning.Trainer,
    module: lightning.LightningModule,
    steps: Sequence[int],
    validation_steps: Sequence[int],
    checkpoint=None,
) -> None:
    """Fit a module on numbered steps, from a checkpoint if there is one."""
    with warnings.catch_warnings():
        # what makes errors of warnings may not stop a run for these
        for message, category in OF_LIGHTNING:
            warnings.filterwarnings("default", message, category)
        trainer.fit(
            module,
            steps,
            validation_steps,
            ckpt_path=checkpoint,
            weights_only=True,
        )
