"""Pretrain the encoders of an objective on a cohort, and embed cohorts with
them.

A finished run is a folder: ``params.json`` (what was asked, of which data, by
which code), ``history.csv`` (every named term, learning rate, effective rank
and spread, by epoch), ``dimensions.csv`` (standard deviation of each latent
dimension, by epoch), ``checkpoint.ckpt`` (the best encoder and its intensity
landmarks; loads without executing pickles) and ``embeddings.npz`` (the whole
cohort). Until it is complete it lies under ``<run_dir>.partial``, from which a
killed run continues bit for bit.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import lightning
import numpy as np
import torch

from mmssl.ledger import atomic, leakage
from mmssl.ledger.code import fingerprint
from mmssl.ledger.sidecars import versions
from mmssl.objectives.language import Objective, build, parse
from mmssl.objectives.views import Clean, PadCropFlip, Recipe
from mmssl.preprocessing.network_inputs import fit_landmarks, standardised
from mmssl.pretrain import malloc
from mmssl.pretrain.draws import Draw
from mmssl.pretrain.encoders import encode, network
from mmssl.pretrain.loop import Pretraining, Recorder

if TYPE_CHECKING:
    import pandas as pd

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}


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


def fit(
    cohort,
    objective: str,
    run_dir: str | Path,
    epochs: int = 50,
    batch_size: int = 64,
    seed: int = 0,
    fold: int = 0,
    *,
    width: int = 32,
    latent: int = 64,
    dropout: float = 0.0,
    weights: Mapping[str, float] | None = None,
    augment: Recipe | None = None,
    gradient_clip: float | None = 100.0,
    precision: str = "auto",
    progress: bool = True,
    **options,
) -> Path:
    """Pretrain one objective on the training fold of a cohort.

    Parameters
    ----------
    cohort : Cohort
    objective : str
        Name in the language of :func:`mmssl.objectives.language.parse`.
    run_dir : path
        Folder of the finished run. If it exists with the same parameters
        nothing is done.
    epochs : int
    batch_size : int
        Pairs a step; never more than there are training pairs.
    seed, fold : int
    width, latent, dropout
        Of the DCGAN encoder.
    weights : mapping, optional
        Weight of each term, 1 where absent.
    augment : Recipe, optional
        The run's own augmentation: pad-crop and flips for volumes, none for
        images by default.
    gradient_clip : float, optional
        Largest norm of the gradient; None, as in the papers, leaves it alone.
        RAdam's first five steps are plain gradient steps, and the sum over
        voxels of MMVAE (norms of 1e4, where all other objectives stay below
        35) throws its decoders too far to return.
    precision : {"auto", "fp32", "bf16"}
        Of the network; losses are at least fp32. "auto":
        :func:`best_precision`.
    progress : bool
        Whether to show a progress bar.
    **options
        Of the objective's terms, see :func:`mmssl.objectives.language.build`.

    Returns
    -------
    Path
        ``run_dir``.

    Raises
    ------
    ValueError
        Before any long work: an unknown objective, option, fold or precision;
        fewer than two training pairs; one class only for a supervised
        objective; a finished or unfinished run of other parameters in the same
        place.
    FloatingPointError
        If the loss becomes NaN or infinite, naming term, epoch and batch.
    """
    run_dir = Path(run_dir)
    partial = run_dir.with_name(run_dir.name + ".partial")
    augment = augment or (PadCropFlip() if cohort.dims == 3 else Clean())
    sizes = {"width": width, "latent": latent, "dropout": dropout}
    parameters = {
        "objective": "-".join(parse(objective)),
        "weights": dict(weights or {}),
        "options": options,
        "epochs": epochs,
        "batch_size": batch_size,
        "seed": seed,
        "fold": fold,
        **sizes,
        "augment": repr(augment),
        "gradient_clip": gradient_clip,
        "precision": _precision(precision),
        "cohort": {"name": cohort.name, "hashes": dict(cohort.hashes)},
    }
    _agree(run_dir, parameters)
    _agree(partial, parameters)
    if (run_dir / "params.json").exists():
        return run_dir
    if run_dir.exists():
        raise ValueError(
            f"{run_dir}: exists but holds no params.json of a finished run"
        )

    built = _build(
        cohort, objective, seed, weights=weights, **sizes, **options
    )
    provenance = _provenance(built)
    # half a run by other code is no run
    _agree(partial, {"code": provenance["code"]})
    train, valid = _draws(cohort, built, fold, batch_size, seed)
    if epochs < 1:
        raise ValueError(f"epochs={epochs}, expected at least 1")
    landmarks = fit_landmarks(cohort, fold)
    inputs = standardised(cohort, landmarks, np.float16)
    partial.mkdir(parents=True, exist_ok=True)
    _write_json(partial / "params.json", {**parameters, **provenance})
    leakage.write_exposures(
        partial / "exposures.json", _exposures(cohort, fold, train, valid)
    )
    module = Pretraining(
        built,
        {m: torch.from_numpy(x) for m, x in inputs.items()},
        {task: torch.from_numpy(cohort.labels(task)) for task in cohort.tasks},
        train,
        valid,
        augment,
        epochs,
        seed,
    )
    recorder = _train(
        module, partial, parameters["precision"], gradient_clip, progress
    )
    _finish(partial, module, recorder, landmarks, network(cohort, sizes))
    os.rename(partial, run_dir)
    return run_dir


def _finish(
    folder: Path, module: Pretraining, recorder: Recorder, landmarks, about
) -> None:
    """Write what a finished run holds beside its parameters, and drop what
    only resuming needs.
    """
    import pandas as pd

    best = torch.load(folder / "best.ckpt", weights_only=True)
    module.objective.load_state_dict(best)
    content = {"objective": best, "landmarks": landmarks, "network": about}
    torch.save(content, folder / "checkpoint.ckpt")
    pd.DataFrame(recorder.history).to_csv(folder / "history.csv", index=False)
    _dimensions(recorder.dimensions).to_csv(
        folder / "dimensions.csv", index=False
    )
    inputs = {m: x.cpu().numpy() for m, x in module.inputs.items()}
    np.savez(
        folder / "embeddings.npz", **encode(module.objective.encoders, inputs)
    )
    for name in ("last.ckpt", "best.ckpt"):
        (folder / name).unlink()


def _exposures(
    cohort, fold: int, train: Draw, valid: Draw | None
) -> list[leakage.Exposure]:
    """Whom the landmarks and the encoders of this run see."""
    draws = {"train": train, "choose": valid}
    return [
        leakage.exposure(
            "landmarks", "train", cohort, cohort.rows("train", fold)
        ),
        *(
            leakage.exposure(
                "encoder", role, cohort, np.concatenate(draw.groups)
            )
            for role, draw in draws.items()
            if draw
        ),
    ]


def _precision(precision: str) -> str:
    if precision not in ("auto", *PRECISIONS):
        raise ValueError(
            f"precision={precision!r}, expected 'auto' or one of {sorted(PRECISIONS)}"
        )
    return best_precision() if precision == "auto" else precision


def _agree(folder: Path, parameters: Mapping) -> None:
    """Refuse to continue or return a run of other parameters."""
    path = folder / "params.json"
    if not path.exists():
        return
    found = json.loads(path.read_text())
    for key, value in json.loads(json.dumps(parameters)).items():
        have = found.get(key)
        if have != value:
            if key == "code":  # the modules that differ are enough
                have, value = (
                    dict(have.items() - value.items()),
                    dict(value.items() - have.items()),
                )
            raise ValueError(
                f"{path}: {key} is {have!r}, asked for {value!r}; "
                f"remove {folder} or choose another run_dir"
            )


def _build(cohort, objective: str, seed: int, **options) -> Objective:
    """The objective for a cohort, initialised from the seed alone."""
    if "CE" in parse(objective):
        options.setdefault("task", next(iter(cohort.tasks), None))
        if options["task"] not in cohort.tasks:
            known = sorted(cohort.tasks)
            raise ValueError(
                f"{cohort.path}: task {options['task']!r}, expected one of {known}"
            )
        options.setdefault(
            "classes", len(cohort.tasks[options["task"]]["classes"])
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(
            objective,
            cohort.modalities,
            in_channels=dict(cohort.channels),
            size=cohort.size,
            dims=cohort.dims,
            output="sigmoid" if cohort.intensity == "unit" else None,
            **options,
        )


def _draws(
    cohort, objective, fold: int, batch_size: int, seed: int
) -> tuple[Draw, Draw | None]:
    """Row draws of training and validation, or a clear error before any long
    work.
    """
    rows, valid = cohort.rows("train", fold), cohort.rows("valid", fold)
    classes = None
    if objective.sampling == "class":
        task = objective.terms["CE"].task
        classes = cohort.labels(task)[rows]
        found = np.unique(classes[classes >= 0])
        if len(found) < 2:
            raise ValueError(
                f"{cohort.path}: the training rows of fold {fold} hold {len(found)} class(es) of "
                f"{task!r}, expected at least 2"
            )
        rows, classes = rows[classes >= 0], classes[classes >= 0]
        valid = valid[cohort.labels(task)[valid] >= 0]
    size = min(batch_size, len(rows))
    if size < 2:
        raise ValueError(
            f"{cohort.path}: batch of {size} (batch_size={batch_size}, {len(rows)} training pairs "
            f"in fold {fold}), expected at least 2: a contrast needs negatives, batch norm a spread"
        )
    pairing = (
        None if cohort.pairing is None else cohort.labels(cohort.pairing)[rows]
    )
    train = Draw(rows, size, seed, classes, pairing)
    return train, Draw(valid, min(size, len(valid)), seed) if len(
        valid
    ) >= 2 else None


def _train(
    module: Pretraining,
    folder: Path,
    precision: str,
    clip: float | None,
    progress: bool,
) -> Recorder:
    """Run or continue the loop; the recorder holds the history."""
    recorder = Recorder(folder, progress)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    if module.inputs_are_volumes:
        module.to(memory_format=torch.channels_last_3d)
    trainer = lightning.Trainer(
        max_epochs=module.epochs,
        devices=1,
        precision=PRECISIONS[precision],
        gradient_clip_val=clip,
        callbacks=[recorder],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )
    last = folder / "last.ckpt"
    steps = {
        role: range(len(draw)) for role, draw in module.draws.items() if draw
    }
    with malloc.kept():
        trainer.fit(
            module,
            steps["train"],
            steps.get("valid"),
            ckpt_path=last if last.exists() else None,
            weights_only=True,
        )
    return recorder


def _dimensions(records: list[dict]) -> pd.DataFrame:
    import pandas as pd

    return pd.concat(
        pd.DataFrame({**record, "dimension": range(len(record["std"]))})
        for record in records
    )[["epoch", "modality", "dimension", "std"]]


def _provenance(objective: Objective) -> dict:
    modules = {type(part).__module__ for part in objective.modules()} | {
        "mmssl.pretrain.fit"
    }
    ours = sorted(name for name in modules if name.startswith("mmssl."))
    return {
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "code": fingerprint(*ours),
    }


def _write_json(path: Path, content: Mapping) -> None:
    with atomic.file(path) as temporary:
        temporary.write_text(
            json.dumps(content, indent=1, sort_keys=True) + "\n"
        )
