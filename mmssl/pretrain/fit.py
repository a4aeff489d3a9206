"""Pretrain the encoders of an objective on a cohort, and embed cohorts with
them.

A finished run is a folder: ``params.json`` (what was asked, of which data, by
which code), ``history.csv`` (every named term, learning rate, effective rank
and spread, by epoch), ``dimensions.csv`` (standard deviation of each latent
dimension, by epoch), ``checkpoint.ckpt`` (the best encoder and its intensity
landmarks; loads without executing pickles), ``embeddings.npz`` (the whole
cohort, with the participant_id and session of every row) and ``manifest.json``
(the hashes of these). Until it is complete it lies under
``<run_dir>.partial``, from which a killed run continues bit for bit.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mmssl.ledger import atomic, leakage, locks
from mmssl.ledger.code import fingerprint
from mmssl.ledger.definitions import user_fingerprint
from mmssl.ledger.manifest import check_manifest
from mmssl.ledger.sidecars import versions
from mmssl.models.batchnorm import synchronised
from mmssl.objectives.language import (
    Objective,
    build,
    parse,
    term_class,
    unused_imports,
    usual_backbone,
)
from mmssl.objectives.views import Clean, PadCropFlip, Recipe
from mmssl.preprocessing.network_inputs import (
    fit_landmarks,
    standardised,
    store_standardised,
)
from mmssl.pretrain import processes, run_folder
from mmssl.pretrain.backbones import backbone_class, make_encoder
from mmssl.pretrain.draws import Draw
from mmssl.pretrain.encoders import load_weights, network_shape
from mmssl.pretrain.loop import Pretraining, Recorder
from mmssl.pretrain.optimisers import chosen_rate
from mmssl.pretrain.stored_inputs import PLACES, StoredInputs, chosen_place
from mmssl.pretrain.trainer import (
    chosen_precision,
    of_processes,
    quiet_trainer,
    train_steps,
)

KEPT = ("best", "last")


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
    backbone: str | None = None,
    weights: Mapping[str, float] | None = None,
    augment: Recipe | None = None,
    region: str = "brain",
    balanced: bool = False,
    keep: str = "best",
    optimiser: str = "radam",
    learning_rate: float | None = None,
    gradient_clip: float | None = 100.0,
    precision: str = "auto",
    devices: int = 1,
    strategy: str = "auto",
    inputs: str = "auto",
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
        Folder of the finished run. If it exists, made with the same parameters
        by the same code, nothing is done.
    epochs : int
    batch_size : int
        Pairs a step; never more than there are training pairs.
    seed, fold : int
    width, latent, dropout
        Of the encoder, as far as its class takes them.
    backbone : str, optional
        Class of the encoders or what makes them, "module:Class" (see
        :func:`mmssl.pretrain.backbones.backbone_class`), such as
        "mmssl.models.unet:UNetEncoder", which is the default of objectives
        that decode an encoder's maps (PCRL); DCGAN's of all others.
    weights : mapping, optional
        Weight of each term, 1 where absent; of a user's by its class.
    augment : Recipe, optional
        The run's own augmentation: small crops for volumes, none for images
        by default.
    region : {"brain", "image"}
        Where intensity steps learn, see
        :func:`mmssl.preprocessing.network_inputs.fit_landmarks`.
    balanced : bool
        Whether the classes of the cohort's first task are drawn equally often
        (001, section 3.1), and people without a label never: the labels then
        have a part in a self-supervised run. Supervised objectives always do.
    keep : {"best", "last"}
        Which epoch's weights the run holds: the one of the lowest loss on
        validation pairs, in views drawn as in training, or the last; always
        the last where a term's losses cannot be compared (PCRL's contrast).
    optimiser : {"radam", "larc", "sgd"}
        With its schedule: that of 004, of 002 or of 003, see
        :func:`mmssl.pretrain.optimisers.optimiser_and_schedule`.
    learning_rate : float, optional
        The largest of the schedule; by default the paper's of the optimiser:
        .01, .6 (for batches of 1024 images or 128 volumes) or .001.
    gradient_clip : float, optional
        Largest norm of the gradient; None, as in the papers, leaves it alone.
        RAdam's first five steps are plain gradient steps, and the sum over
        voxels of MMVAE (norms of 1e4, where all other objectives stay below
        35) throws its decoders too far to return.
    precision : {"auto", "fp32", "bf16"}
        Of the network; losses are at least fp32. "auto":
        :func:`mmssl.pretrain.trainer.best_precision`.
    devices : int
        Processes that share the training, on all nodes together, as
        ``torchrun`` started them (`mmssl.pretrain.processes`); each has as
        many rows of a batch. The result is that of one process, up to the
        last digits. Batch norm is over the rows of all; the first alone
        writes, and all return when the run is there.
    strategy : {"auto", "ddp"}
        Of several processes, see :func:`mmssl.pretrain.trainer.of_processes`.
    inputs : {"auto", "memory", "disk"}
        Where the standardised volumes of the cohort are kept meanwhile: on
        the device, or in files beside the run, from which each step reads its
        rows; "auto": `mmssl.pretrain.stored_inputs.chosen_place`. The run is
        the same, bit for bit.
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
        Before any long work: an unknown objective, option, fold, precision,
        optimiser, strategy or place of inputs; another number of processes
        than devices, or a batch that is no multiple of it; a learning rate
        that is not above 0; fewer than two training pairs or steps; one class
        only for a supervised objective; a finished or unfinished run of other
        parameters, or made by other code, in the same place; a finished run
        with a file that is not the one that was made.
    mmssl.ledger.locks.LockedError
        At once, when another process is at work on this run.
    FloatingPointError
        If the loss becomes NaN or infinite, naming term, epoch and batch.
    """
    run_dir = Path(run_dir)
    partial = run_dir.with_name(run_dir.name + ".partial")
    augment = augment or _usual_augmentation(cohort)
    precision = chosen_precision(precision)
    learning_rate = chosen_rate(optimiser, learning_rate)
    shape = {"width": width, "latent": latent, "dropout": dropout}
    shape["backbone"] = backbone or usual_backbone(objective)
    parameters = {
        "objective": "-".join(parse(objective)),
        "weights": dict(weights or {}),
        "options": options,
        "epochs": epochs,
        "batch_size": batch_size,
        "seed": seed,
        "fold": fold,
        **shape,
        "augment": repr(augment),
        "region": region,
        "balanced": balanced,
        "keep": keep,
        "optimiser": optimiser,
        "learning_rate": learning_rate,
        "gradient_clip": gradient_clip,
        "precision": precision,
        "cohort": {"name": cohort.name, "hashes": dict(cohort.hashes)},
    }
    _check_choices(epochs, keep, inputs)
    processes.check(devices, batch_size)
    trained_by = of_processes(strategy)
    with processes.together(), ExitStack() as owned:
        tell = processes.told_by_first
        # what was asked for, before anything is built, then by which code
        tell(lambda: _own(owned, run_dir, partial, parameters))
        network = {**options, **shape, "weights": weights}
        built = _build(cohort, objective, seed, **network)
        made_by = _provenance(cohort, built, parameters, augment)
        code = {"code": made_by["code"]}
        if tell(lambda: _is_finished(run_dir, partial, code)):
            return run_dir
        drawn = fold, batch_size, seed
        train, valid = _draws(cohort, built, balanced, *drawn)
        _check_draw(cohort, built, epochs, train, fold)
        landmarks = fit_landmarks(cohort, fold, region)
        data = _data(owned, run_dir, cohort, landmarks, inputs)
        _show_images(built, cohort, data[0], train)

        exposed = cohort, fold, train, valid
        tell(lambda: _begin(partial, parameters, made_by, *exposed))
        watched = built.task or next(iter(cohort.tasks), None)
        choices = augment, epochs, seed, watched, optimiser, learning_rate
        module = Pretraining(built, *data, train, valid, *choices)
        recorder = Recorder(partial, progress, keep)
        _train(module, recorder, partial, precision, gradient_clip, trained_by)
        shape["shared"] = len({*built.encoders.values()}) < len(built.encoders)
        made = landmarks, network_shape(cohort, **shape)
        found = recorder.history, recorder.dimensions
        finished = partial, built, module.inputs, cohort, *made, *found
        tell(lambda: _finish(run_dir, *finished))
    return run_dir


def load_objective(run_dir: str | Path, cohort) -> Objective:
    """The objective of a finished run with all that it learned, on the CPU and
    in evaluation mode.

    Parameters
    ----------
    run_dir : path
    cohort : Cohort
        Of the run's size and modalities.

    Raises
    ------
    ValueError
        As `mmssl.pretrain.encoders.load_encoders`; also for a cohort that does
        not fit.
    """
    weights = load_weights(run_dir)
    made = run_folder.read_parameters(run_dir)
    network = {name: made[name] for name in ("width", "latent", "dropout")}
    network |= {"backbone": made["backbone"], "weights": made["weights"]}
    objective = _build(
        cohort, made["objective"], made["seed"], **made["options"], **network
    )
    try:
        objective.load_state_dict(weights.objective)
    except RuntimeError as error:
        raise ValueError(
            f"{run_dir}: not of the modalities or the size of {cohort.path} "
            f"({error})"
        ) from error
    return objective.eval()


def _own(
    owned: ExitStack, run_dir: Path, partial: Path, parameters: Mapping
) -> None:
    """Lock a run for as long as the stack is open; not a finished one, which
    is only read. ValueError where another is in its place.
    """
    if not (run_dir / run_folder.PARAMETERS).exists():
        owned.enter_context(locks.owned(run_dir))
    _is_finished(run_dir, partial, parameters)


def _begin(
    partial: Path, parameters: Mapping, made_by: Mapping, *exposed
) -> None:
    """Open the folder of an unfinished run, and put on record whom it
    sees.
    """
    run_folder.begin(partial, parameters, made_by)
    _write_exposures(partial, *exposed)


def _finish(run_dir: Path, partial: Path, *made) -> None:
    """Complete the folder of a run and give it its name."""
    run_folder.finish(partial, *made)
    os.rename(partial, run_dir)


def _check_choices(epochs: int, keep: str, inputs: str) -> None:
    if epochs < 1:
        raise ValueError(f"epochs={epochs}, expected at least 1")
    if keep not in KEPT:
        raise ValueError(f"keep={keep!r}, expected one of {KEPT}")
    if inputs not in PLACES:
        raise ValueError(f"inputs={inputs!r}, expected one of {PLACES}")


def _usual_augmentation(cohort) -> Recipe:
    """Small crops for volumes, none for images."""
    return PadCropFlip() if cohort.dims == 3 else Clean()


def _is_finished(run_dir: Path, partial: Path, parameters: Mapping) -> bool:
    """Whether the run is there; ValueError where another is in its place."""
    run_folder.check_parameters(run_dir, parameters)
    run_folder.check_parameters(partial, parameters)
    if (run_dir / run_folder.PARAMETERS).exists():
        check_manifest(run_dir)
        return True
    if run_dir.exists():
        raise ValueError(
            f"{run_dir}: exists but holds no {run_folder.PARAMETERS} of a "
            "finished run"
        )
    return False


def _build(cohort, objective: str, seed: int, **options) -> Objective:
    """The objective for a cohort, initialised from the seed alone."""
    options = _with_task(cohort, parse(objective), options)
    output = "sigmoid" if cohort.intensity == "unit" else None
    backbone = options.pop("backbone")
    shape = {name: options[name] for name in ("width", "latent", "dropout")}
    shape |= {"size": cohort.size, "dims": cohort.dims}

    def encoder(m: str) -> nn.Module:
        """That of a modality."""
        return make_encoder(backbone, cohort.channels[m], shape)

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(
            objective,
            cohort.modalities,
            backbone=encoder,
            in_channels=dict(cohort.channels),
            size=cohort.size,
            dims=cohort.dims,
            output=output,
            **options,
        )


def _with_task(cohort, words: Sequence[str], options: Mapping) -> dict:
    """Options with what supervised terms learn of the cohort: the task, its
    first one where none is named, and the number of its classes.
    """
    options = dict(options)
    if not any(term_class(word).supervised for word in words):
        return options
    task = options.setdefault("task", next(iter(cohort.tasks), None))
    tasks = [task] if isinstance(task, str) or task is None else [*task]
    for name in tasks:
        if name not in cohort.tasks:
            raise ValueError(
                f"{cohort.path}: task {name!r}, expected one of "
                f"{sorted(cohort.tasks)}"
            )
    known = [len(cohort.tasks[name]["classes"]) for name in tasks]
    expected = known[0] if isinstance(task, str) else known
    classes = options.setdefault("classes", expected)
    asked = [classes] if isinstance(classes, int) else [*classes]
    if any(a < k for a, k in zip(asked, known, strict=False)):
        raise ValueError(
            f"{cohort.path}: classes={classes} of {task!r}, expected "
            f"{expected}: labels would be outside their range"
        )
    return options


def _balanced_task(cohort, objective: Objective, balanced: bool) -> str | None:
    """Task whose classes are drawn equally often, if any."""
    if objective.sampling == "class":
        return objective.task
    if not balanced:
        return None
    if objective.sampling == "modality":
        raise ValueError(
            "balanced=True, but the objective draws each modality apart, as "
            "many images of each; expected balanced=False"
        )
    if not cohort.tasks:
        raise ValueError(
            f"{cohort.path}: balanced=True, but the cohort has no task"
        )
    return next(iter(cohort.tasks))


def _draws(
    cohort,
    objective: Objective,
    balanced: bool,
    fold: int,
    batch_size: int,
    seed: int,
) -> tuple[Draw, Draw | None]:
    """Row draws of training and validation, balanced by the classes of a task
    if there is one, or each modality apart; or a clear error before any long
    work.
    """
    task = _balanced_task(cohort, objective, balanced)
    apart = objective.sampling == "modality"
    rows, valid = cohort.rows("train", fold), cohort.rows("valid", fold)
    classes = pairing = None
    if task is not None:
        labels = cohort.labels(task)
        rows = rows[labels[rows] >= 0]
        valid = valid[labels[valid] >= 0]
        classes = labels[rows]
        _check_classes(cohort, fold, task, classes)
    if cohort.pairing is not None and not apart:
        pairing = cohort.labels(cohort.pairing)[rows]
    number, own = len(rows), None
    if apart:
        own = [rows[cohort.present(m)[rows]] for m in cohort.modalities]
        number = max(len(of_modality) for of_modality in own)
    # as many rows for each process
    shares = processes.number()
    size = min(batch_size, number) // shares * shares
    if size < 2:
        raise ValueError(
            f"{cohort.path}: batch of {size} (batch_size={batch_size}, "
            f"{len(rows)} training pairs in fold {fold}), expected at least "
            "2: a contrast needs negatives, batch norm a spread"
        )
    train = Draw(rows, size, seed, classes, pairing, own)
    if len(valid) < max(2, shares):
        return train, None
    of_valid = min(size, len(valid)) // shares * shares
    return train, Draw(valid, of_valid, seed)


def _show_images(
    objective: Objective, cohort, inputs: Mapping, train: Draw
) -> None:
    """Let the terms learn what they must of the training people's images."""
    for term in objective.terms.values():
        images = {}
        for m in cohort.modalities if term.images_shown else ():
            rows = train.rows[cohort.present(m)[train.rows]]
            shown = torch.as_tensor(rows[: term.images_shown])
            images[m] = inputs[m][shown]
        term.learn_images(images)


def _data(
    owned: ExitStack, run_dir: Path, cohort, landmarks: Mapping, inputs: str
) -> tuple[dict, dict, dict]:
    """Standardised images of all pairs, their labels, and which of them have a
    modality that some lack, by modality, task and modality: tensors, or files
    of the images that are there for as long as the stack is open.
    """
    labels = {task: cohort.labels(task) for task in cohort.tasks}
    there = {m: cohort.present(m) for m in cohort.modalities}
    lacked = {m: rows for m, rows in there.items() if not rows.all()}
    others = _tensors(labels), _tensors(lacked)
    tell = processes.told_by_first
    if tell(lambda: chosen_place(inputs, cohort)) == "memory":
        images = standardised(cohort, landmarks, np.float16)
        return _tensors(images), *others

    def store() -> dict[str, Path]:
        """The files, which all processes read."""
        folder = owned.enter_context(atomic.scratch(run_dir))
        return store_standardised(folder, cohort, landmarks, np.float16)

    files = tell(store)
    return {m: StoredInputs(file) for m, file in files.items()}, *others


def _check_draw(
    cohort, objective: Objective, epochs: int, train: Draw, fold: int
) -> None:
    """ValueError for steps as of `_check_steps`, and unless two training pairs
    at least have the images that the terms relate.
    """
    _check_steps(cohort, objective, epochs, train)
    asked = {(m,) for m in objective.modalities}
    for edges in objective.graph.values():
        for source, target in edges:
            asked.add(tuple(sorted({source.modality, target.modality})))
    for modalities in sorted(asked):
        number = int(cohort.present(modalities)[train.rows].sum())
        if number < 2:
            raise ValueError(
                f"{cohort.path / 'pairs.tsv'}: {number} of the "
                f"{len(train.rows)} training pairs of fold {fold} have "
                f"{' and '.join(modalities)}, expected 2 at least"
            )


def _check_steps(
    cohort, objective: Objective, epochs: int, train: Draw
) -> None:
    """ValueError for a run of one step, or steps that a term cannot take."""
    if epochs * len(train) < 2:
        raise ValueError(
            f"{cohort.path}: epochs={epochs} of {len(train)} step (batch of "
            f"{train.batch_size}), expected at least 2 steps in all: a "
            "schedule goes from one rate to another; OneCycle takes the first "
            "of one step at its last, 4e-8, and nothing is learned"
        )
    for term in objective.terms.values():
        term.check_batch(train.batch_size)


def _check_classes(cohort, fold: int, task: str, classes: np.ndarray) -> None:
    count = len(np.unique(classes))
    if count < 2:
        raise ValueError(
            f"{cohort.path}: the training rows of fold {fold} hold {count} "
            f"class(es) of {task!r}, expected at least 2"
        )


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(x) for name, x in arrays.items()}


def _write_exposures(
    folder: Path, cohort, fold: int, train: Draw, valid: Draw | None
) -> None:
    """Put on record whom the landmarks and the encoders of this run see."""
    rows = cohort.rows("train", fold)
    exposures = [leakage.exposure("landmarks", "train", cohort, rows)]
    for role, draw in (("train", train), ("choose", valid)):
        if draw:
            exposures.append(
                leakage.exposure("encoder", role, cohort, draw.rows)
            )
    leakage.write_exposures(folder / "exposures.json", exposures)


def _provenance(
    cohort, objective: Objective, parameters: Mapping, augment: Recipe
) -> dict:
    """Device, threads, versions and the code behind a run: this module without
    what other objectives are made of, and that of its own terms and networks,
    of the cohort and of the augmentation, a user's own among them.
    """
    made = {type(part) for part in objective.modules()} - {Objective}
    made |= {type(cohort), type(augment)}
    made.add(backbone_class(parameters["backbone"]))
    others = unused_imports(parameters["objective"])
    code = fingerprint("mmssl.pretrain.fit", without=others)
    return {
        "device": _device_name(),
        "threads": torch.get_num_threads(),
        "processes": processes.number(),
        "versions": versions(),
        "code": code | user_fingerprint(*made),
    }


def _device_type() -> str:
    """Of the device that Lightning trains on."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _device_name() -> str:
    """What Lightning trains on: the first GPU, or the processor."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "cpu"


def _train(
    module: Pretraining,
    recorder: Recorder,
    folder: Path,
    precision: str,
    clip: float | None,
    trained_by: Mapping,
) -> None:
    """Run or continue the loop; the recorder holds the history."""
    if trained_by:
        synchronised(module.objective, _device_type())
    if module.inputs_are_volumes:
        module.to(memory_format=torch.channels_last_3d)
    trainer = quiet_trainer(
        precision,
        max_epochs=module.epochs,
        gradient_clip_val=clip,
        callbacks=[recorder],
        # Lightning warns of a module that validates without anything to read
        limit_val_batches=1.0 if module.draws["valid"] else 0,
        default_root_dir=folder,
        **trained_by,
    )
    steps = {}
    for role, draw in module.draws.items():
        steps[role] = range(len(draw) if draw else 1)
    last = folder / run_folder.LAST
    run_folder.check_checkpoint(last)
    checkpoint = last if last.exists() else None
    train_steps(trainer, module, steps["train"], steps["valid"], checkpoint)
